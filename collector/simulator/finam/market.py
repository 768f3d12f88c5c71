"""One instrument's market: a small book, trades that eat from it, and the day's sums.

All arithmetic is in integers and all chance comes from the generator handed in. Trades drive everything, so that the
sizes of a span's trades sum up to the growth of the quote's volume and to the volumes of its bars.
"""

from random import Random
from typing import Final, NamedTuple

from collector.simulator.finam.bars import Series, frame_start
from collector.simulator.finam.instruments import Instrument

DEPTH: Final = 12
# Trades take no level of a side that has no more than these.
_LEVELS_MIN: Final = 4
# The share of levels that hold two equal orders, of those that could: then a tenth of the moments with trades has equal
# ones.
_TWIN_ORDERS_SHARE: Final = 0.15


class Trade(NamedTuple):
    """One execution; `size` in units, `buy` when the buyer came to the book."""

    id: int
    time_us: int
    price: int
    size: int
    buy: bool


class Level(NamedTuple):
    """One changed level; size 0 when it went."""

    bid: bool
    price: int
    size: int
    known: bool
    """Whether it was there before."""


class Event(NamedTuple):
    """What one step did."""

    market: "Market"
    time_us: int
    trades: list[Trade]
    levels: list[Level]


class Market:
    """The state of one instrument. `changed_us` is the time of its last event and never stands still at one."""

    def __init__(self, instrument: Instrument, random: Random) -> None:
        self.instrument = instrument
        self.symbol = instrument.symbol
        self.random = random
        self.series = Series()
        self.trades: list[Trade] = []
        self.forgotten = 0
        self.changed_us = 0
        self.day_us = 0
        self.open = self.high = self.low = self.last = self.last_size = 0
        self.volume = self.turnover = 0
        self.close = instrument.start
        self.open_interest = 1_000_000 + random.randrange(100_000)
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        if instrument.quoted:
            for distance in range(1, DEPTH + 1):
                self.bids[instrument.start - distance * instrument.step] = self._size()
                self.asks[instrument.start + distance * instrument.step] = self._size()

    def __repr__(self) -> str:
        return f"<Market {self.symbol} {len(self.trades)} trades>"

    @property
    def best_bid(self) -> int | None:
        return max(self.bids, default=None)

    @property
    def best_ask(self) -> int | None:
        return min(self.asks, default=None)

    def step(self, time_us: int, next_id: int, trade_share: float) -> Event:
        """Make one event, not before `time_us` and after the last one; its trades take ids from `next_id` on."""
        time_us = max(time_us, self.changed_us + 1)
        self.changed_us = time_us
        trades: list[Trade] = []
        levels: list[Level] = []
        if not self.instrument.quoted:
            self._drift(time_us, next_id, trades)
        elif self.random.random() < trade_share:
            self._trade(time_us, next_id, trades, levels)
        else:
            self._quote(levels)
        return Event(self, time_us, trades, levels)

    def _drift(self, time_us: int, next_id: int, trades: list[Trade]) -> None:
        # An index has a value and no book; its value is told as a trade of nothing by nobody.
        move = self.random.choice((-2, -1, 1, 2)) * self.instrument.step
        self._print(Trade(next_id, time_us, (self.last or self.instrument.start) + move, 1, True), trades)

    def _trade(self, time_us: int, next_id: int, trades: list[Trade], levels: list[Level]) -> None:
        bid, ask = self.best_bid, self.best_ask
        assert bid is not None
        assert ask is not None
        # Drawn towards the start price, or a long run would end at a price of nothing.
        away = (bid + ask) / 2 / self.instrument.start - 1
        buy = self.random.random() < 0.5 - max(-0.4, min(0.4, away * 20))
        side = self.asks if buy else self.bids
        left = self._size()
        while left and len(side) > _LEVELS_MIN and len(trades) < 3:
            price = min(side) if buy else max(side)
            taken = min(left, side[price])
            for part in self._parts(taken):
                self._print(Trade(next_id + len(trades), time_us, price, part, buy), trades)
            left -= taken
            self._set(not buy, price, side[price] - taken, levels)
        self._refill(levels)

    def _parts(self, taken: int) -> list[int]:
        """Share out what was taken of a level: some hold two orders of one size, and so two equal trades come of it."""
        even = taken // self.instrument.lot % 2 == 0
        return [taken // 2] * 2 if even and self.random.random() < _TWIN_ORDERS_SHARE else [taken]

    def _print(self, trade: Trade, trades: list[Trade]) -> None:
        trades.append(trade)
        self.trades.append(trade)
        self.series.add(trade.time_us, trade.price, trade.size)
        day = frame_start("TIME_FRAME_D", trade.time_us)
        if day != self.day_us:
            self.day_us, self.open, self.high, self.low = day, trade.price, trade.price, trade.price
            self.close, self.volume, self.turnover = self.last or self.close, 0, 0
        self.high, self.low = max(self.high, trade.price), min(self.low, trade.price)
        self.last, self.last_size = trade.price, trade.size
        self.volume += trade.size
        self.turnover += trade.size * trade.price
        self.open_interest += trade.size if trade.buy else -(trade.size // 2)

    def _quote(self, levels: list[Level]) -> None:
        bid = self.random.random() < 0.5
        side = self.bids if bid else self.asks
        price = self.random.choice(sorted(side, reverse=bid)[: DEPTH // 2])
        if len(side) > _LEVELS_MIN and self.random.random() < 0.3:
            self._set(bid, price, 0, levels)
        else:
            self._set(bid, price, self._size(), levels)
        self._refill(levels)

    def _refill(self, levels: list[Level]) -> None:
        """Keep the sides deep and close to each other; never crossing."""
        step = self.instrument.step
        bid, ask = self.best_bid, self.best_ask
        assert bid is not None
        assert ask is not None
        if ask - bid > 3 * step:
            # Before the side that a trade has eaten, so that the price follows the trades.
            raised = self.random.random() < 0.5
            self._set(raised, bid + step if raised else ask - step, self._size(), levels)
        for is_bid, side in ((True, self.bids), (False, self.asks)):
            while len(side) < DEPTH:
                price = min(side) - step if is_bid else max(side) + step
                self._set(is_bid, price, self._size(), levels)
            while len(side) > DEPTH + 3:
                self._set(is_bid, min(side) if is_bid else max(side), 0, levels)

    def _set(self, bid: bool, price: int, size: int, levels: list[Level]) -> None:
        side = self.bids if bid else self.asks
        known = price in side
        if size:
            side[price] = size
        elif known:
            del side[price]
        levels.append(Level(bid, price, size, known))

    def _size(self) -> int:
        return (1 + int(self.random.expovariate(1 / 20))) * self.instrument.lot

    def forget(self, keep: int) -> None:
        """Drop the oldest trades from memory."""
        surplus = len(self.trades) - keep
        if surplus > keep // 4:
            del self.trades[:surplus]
            self.forgotten += surplus
