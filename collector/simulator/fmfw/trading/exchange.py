"""All markets of the venue, one sequence of trade ids over them, and the history from before the doors opened."""

from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate
from random import Random
from typing import Final

from collector.simulator.fmfw.trading.candles import MINUTE_MS
from collector.simulator.fmfw.trading.futures import Contract
from collector.simulator.fmfw.trading.instruments import Instrument
from collector.simulator.fmfw.trading.market import Event, Market

_FIRST_TRADE_ID: Final = 1_417_984_573
# The share of events that are trades, in the history from before the start.
_HISTORY_TRADE_SHARE: Final = 0.6


class Exchange:
    """The market's truth.  `kept_trades` bounds the trades in memory over all symbols; older ones are forgotten."""

    def __init__(self, listed: Sequence[Instrument], seed: int, *, kept_trades: int = 2_500_000) -> None:
        self._random = Random(seed)  # noqa: S311  a market, not a secret
        self.markets = {
            one.symbol: Market(one, Random(self._random.random()), self._random.randrange(10**5, 10**7))  # noqa: S311
            for one in listed
        }
        self.contracts = {
            market.symbol: Contract(market, self._spot_of(market.instrument))
            for market in self.markets.values()
            if market.instrument.is_futures
        }
        self.next_trade_id = _FIRST_TRADE_ID
        self.events = 0
        self.trades = 0
        self.time_ms = 0
        self._kept_trades = kept_trades
        self._order = list(self.markets.values())
        self._weights = list(accumulate(one.weight for one in listed))

    def __repr__(self) -> str:
        return f"<Exchange {len(self.markets)} markets, {self.events} events, {self.trades} trades>"

    @property
    def kept(self) -> int:
        """How many trades are in memory."""
        return sum(len(market.trades) for market in self._order)

    def step(self, time_ms: int, trade_share: float = 0.3) -> Event:
        """Make one event in one market, not earlier than the event before it."""
        self.time_ms = time_ms = max(self.time_ms, time_ms)
        market = self._order[bisect(self._weights, self._random.random() * self._weights[-1])]
        return self._count(market.step(time_ms, self.next_trade_id, trade_share))

    def take_trade_id(self) -> int:
        """Use up one trade id for a trade that never happened."""
        self.next_trade_id += 1
        return self.next_trade_id - 1

    def make_history(self, now_ms: int, hours: float, events: int) -> None:
        """Live through the hours before `now_ms` in `events` steps, so that history has something to show.

        Every symbol has traded at least once then.
        """
        length = int(hours * 3_600_000)
        begin = now_ms - length
        for contract in self.contracts.values():
            contract.open(begin)
        for market in self._order:
            self._count(market.step(begin, self.next_trade_id, 1.0))
        sampled = begin
        for number in range(events):
            time_ms = begin + length * number // events + self._random.randrange(max(1, length // events))
            while time_ms - sampled >= MINUTE_MS:
                sampled += MINUTE_MS
                self.sample_contracts(sampled)
            self.step(time_ms, _HISTORY_TRADE_SHARE)
        self.sample_contracts(max(sampled, self.time_ms))

    def sample_contracts(self, now_ms: int) -> None:
        """Take the mark, index and premium of every contract, as the venue does once a second."""
        for contract in self.contracts.values():
            contract.sample(now_ms)

    def _spot_of(self, instrument: Instrument) -> Market | None:
        for market in self.markets.values():
            spot = market.instrument
            if not spot.is_futures and (spot.base, spot.quote) == (instrument.underlying, instrument.quote):
                return market
        return None

    def _count(self, event: Event) -> Event:
        self.events += 1
        if event.trades:
            count = len(event.trades)
            self.trades += count
            # Ids are dealt out over all products of the venue, so neighbours are often not consecutive.
            self.next_trade_id += count + (self.events & 1)
        if not self.events & 0xFFF:
            self._forget()
        return event

    def _forget(self) -> None:
        """Bring the trades in memory back to their bound, the longest list first, a good part of it at once."""
        while (surplus := self.kept - self._kept_trades) > 0:
            longest = max(self._order, key=lambda market: len(market.trades))
            longest.trades.drop_oldest(min(len(longest.trades), surplus + self._kept_trades // 20))
