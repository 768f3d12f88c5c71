"""All markets of the venue, one sequence of trade ids over them, and the history from before the doors opened."""

from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate
from random import Random
from typing import Final

from collector.simulator.finam.instruments import Instrument
from collector.simulator.finam.market import Event, Market

_FIRST_TRADE_ID: Final = 13_579_246_801
_TRADE_SHARE: Final = 0.35
# Trades of an instrument that are kept.
_TRADES_MAX: Final = 200_000


class Exchange:
    """The market's truth."""

    def __init__(self, listed: Sequence[Instrument], seed: int) -> None:
        self._random = Random(seed)  # noqa: S311  a market, not a secret
        self.markets = {one.symbol: Market(one, Random(self._random.random())) for one in listed}  # noqa: S311
        self.next_trade_id = _FIRST_TRADE_ID
        self.events = 0
        self.trades = 0
        self._order = list(self.markets.values())
        self._weights = list(accumulate(one.weight for one in listed))

    def __repr__(self) -> str:
        return f"<Exchange {len(self.markets)} markets, {self.trades} trades>"

    def step(self, time_us: int, trade_share: float = _TRADE_SHARE) -> Event:
        """Make one event in one market."""
        market = self._order[bisect(self._weights, self._random.random() * self._weights[-1])]
        return self.step_market(market, time_us, trade_share)

    def step_market(self, market: Market, time_us: int, trade_share: float = _TRADE_SHARE) -> Event:
        """Make one event in this market."""
        event = market.step(time_us, self.next_trade_id, trade_share)
        self.events += 1
        self.trades += len(event.trades)
        # Ids are dealt out over all instruments, so neighbours are often not consecutive.
        self.next_trade_id += len(event.trades) + (self.events & 1)
        if not self.events & 0xFFF:
            market.forget(_TRADES_MAX // len(self._order))
        return event

    def make_history(self, now_us: int, hours: float, events: int) -> None:
        """Live through the hours before `now_us`; every market has traded at least once then."""
        length = int(hours * 3_600_000_000)
        begin = now_us - length
        for market in self._order:
            self.step_market(market, begin, 1.0)
        for number in range(events):
            self.step(begin + length * number // max(1, events), 0.7)
