"""One symbol's market: its book, its trades, its bars, and the rules by which the next event is made.

An event is one aggressive order (trades, and the levels they ate) or a few placements and cancellations.  All
arithmetic is in integers, all chance comes from the generator handed in.  After each event the best bid is below the
best ask, a level is removed only if it was there, and no level appears twice in one update.
"""

from random import Random
from typing import Final

from collector.simulator.fmfw.trading import book
from collector.simulator.fmfw.trading.candles import Bar, Series, period_start
from collector.simulator.fmfw.trading.instruments import Instrument
from collector.simulator.fmfw.trading.trades import TradeLog
from collector.simulator.kit.book import Side
from collector.simulator.kit.trade import Trade

_DAY_MS: Final = 86_400_000
# Trades take no level of a side that has no more than these.
_LEVELS_MIN: Final = 5
# Trades that one market order makes.
_TRADES_PER_ORDER_MAX: Final = 6
# The share of levels that hold two equal orders, of those that could: then a tenth of the moments with trades has equal
# ones.
_TWIN_ORDERS_SHARE: Final = 0.12

Levels = list[tuple[int, int]]


class Event:
    """What one step changed: trades in order of execution, and levels (price, size; 0 removes), best first."""

    __slots__ = ("asks", "bids", "market", "time_ms", "trades")

    def __init__(self, market: "Market", time_ms: int, trades: list[Trade], asks: Levels, bids: Levels) -> None:
        self.market = market
        self.time_ms = time_ms
        self.trades = trades
        self.asks = asks
        self.bids = bids


class Day:
    """The rolling day of one symbol: whole minutes, from 24 hours before the current one began."""

    __slots__ = ("high", "low", "open", "value", "volume")

    def __init__(self, bars: list[Bar]) -> None:
        self.open = bars[0].open if bars else None
        self.high = max((bar.high for bar in bars), default=None)
        self.low = min((bar.low for bar in bars), default=None)
        self.volume = sum(bar.volume for bar in bars)
        self.value = sum(bar.value for bar in bars)


class Market:
    """The state of one symbol.  `sequence` counts book updates, `changed_ms` is the time of the last event."""

    def __init__(self, instrument: Instrument, random: Random, sequence: int) -> None:
        self.instrument = instrument
        self.symbol = instrument.symbol
        self.random = random
        self.asks = book.asks()
        self.bids = book.bids()
        self.trades = TradeLog()
        self.series = Series()
        self.sequence = sequence
        self.changed_ms = 0
        self.last_trade: Trade | None = None
        self._anchor = float(instrument.start_price)
        self._settled: tuple[int, Day] | None = None
        self._fill()

    def __repr__(self) -> str:
        return f"<Market {self.symbol} sequence {self.sequence}, {self.trades.end} trades>"

    def step(self, time_ms: int, next_id: int, trade_share: float = 0.3) -> Event:
        """Make one event at `time_ms`; its trades take ids from `next_id` on."""
        draw = self.random.random
        # The pull towards the anchor keeps a long run from drifting to a price of nothing.
        middle = (self.asks.best + self.bids.best) / 2
        buy_share = 0.5 + max(-0.35, min(0.35, 20 * (self._anchor / middle - 1)))
        self._anchor *= 1 + 0.0004 * (draw() - 0.5)
        trades: list[Trade] = []
        changed_asks: dict[int, int] = {}
        changed_bids: dict[int, int] = {}
        if draw() < trade_share:
            self._trade(draw() < buy_share, time_ms, next_id, trades, changed_asks, changed_bids)
        else:
            for _ in range(1 + int(draw() * draw() * 6)):
                self._quote(draw() >= buy_share, changed_asks, changed_bids)
        self.sequence += 1
        self.changed_ms = time_ms
        return Event(self, time_ms, trades, sorted(changed_asks.items()), sorted(changed_bids.items(), reverse=True))

    def deepen(self, levels: int) -> None:
        """Add so many levels a side far from the touch, as part of the next sequence number."""
        for side in (self.asks, self.bids):
            worst = side.keys[0]
            room = levels if side is self.asks else min(levels, worst - 1)
            added = range(worst - room, worst)
            side.keys[:0] = added
            side.sizes.update((key, 1 + key % 9) for key in added)
        self.sequence += 1

    def day(self, now_ms: int) -> Day:
        """Give the rolling day; the minutes that are over are summed once a minute."""
        minute = period_start("M1", now_ms)
        minutes = self.series.minutes
        if self._settled is None or self._settled[0] != minute:
            self._settled = minute, Day(self.series.bars("M1", minute - _DAY_MS, minute - 1))
        day = self._settled[1]
        if not minutes or minutes[-1].start < minute:
            return day
        current = Day(minutes[-1:])
        if day.open is None or day.high is None or day.low is None or current.high is None or current.low is None:
            return current
        whole = Day([])
        whole.open, whole.high, whole.low = day.open, max(day.high, current.high), min(day.low, current.low)
        whole.volume, whole.value = day.volume + current.volume, day.value + current.value
        return whole

    def _parts(self, taken: int) -> list[int]:
        """Share out what was taken of a level: some hold two orders of one size, and so two equal trades come of it."""
        even = taken // self.instrument.size_step % 2 == 0
        return [taken // 2] * 2 if even and self.random.random() < _TWIN_ORDERS_SHARE else [taken]

    def _size(self) -> int:
        step = self.instrument.size_step
        return (int(self.random.expovariate(1.0) * self.instrument.mean_size) // step + 1) * step

    def _fill(self) -> None:
        """Lay out the first book around the start price."""
        price = self.instrument.start_price
        gap = max(1, price // 20_000)
        for side in (self.asks, self.bids):
            key = side.sign * price - gap
            for _ in range(self.instrument.depth):
                if side is self.bids and key < 1:
                    break
                side.set(key, self._size())
                key -= 1 + int(self.random.expovariate(1 / gap))

    def _trade(
        self,
        buy: bool,
        time_ms: int,
        next_id: int,
        trades: list[Trade],
        changed_asks: dict[int, int],
        changed_bids: dict[int, int],
    ) -> None:
        side, changed = (self.asks, changed_asks) if buy else (self.bids, changed_bids)
        left = self._size()
        while left > 0 and len(side.keys) > _LEVELS_MIN and len(trades) < _TRADES_PER_ORDER_MAX:
            price, taken, rest = side.take_best(left)
            for part in self._parts(taken):
                trade = Trade(next_id + len(trades), time_ms, price, part, buy)
                trades.append(trade)
                self.trades.append(trade)
                self.series.add(time_ms, price, part)
            left -= taken
            changed[price] = rest
        if trades:
            self.last_trade = trades[-1]
        if not trades or self.random.random() < 0.5:
            # The other side follows the price; a side that is too thin to eat from gets a level instead.
            if trades:
                self._quote(not buy, changed_asks, changed_bids, place=True)
            else:
                self._quote(buy, changed_asks, changed_bids, place=True)

    def _quote(
        self, ask: bool, changed_asks: dict[int, int], changed_bids: dict[int, int], *, place: bool = False
    ) -> None:
        """Place or cancel one level of a side, unless this update has touched that level already."""
        side, other, changed = (self.asks, self.bids, changed_asks) if ask else (self.bids, self.asks, changed_bids)
        draw = self.random.random
        depth = self.instrument.depth
        if place or draw() * 2 * depth >= len(side.keys) or len(side.keys) <= _LEVELS_MIN:
            key = self._place_at(side, other)
            price = side.sign * key
            if price not in changed:
                size = self._size()
                side.set(key, size)
                changed[price] = size
            return
        position = -1 - min(int(self.random.expovariate(6 / depth)), len(side.keys) - 1)
        key = side.keys[position]
        price = side.sign * key
        if price not in changed:
            side.remove(key)
            changed[price] = 0

    def _place_at(self, side: Side, other: Side) -> int:
        """Choose a key for a new or changed level: inside the spread, or behind the best one, never crossing."""
        best = side.keys[-1]
        spread = -other.keys[-1] - best
        usual = max(2, self.instrument.start_price // 8_000)
        if spread > 1 and (spread > usual or self.random.random() < 0.15):
            return best + 1 + int(self.random.random() * (spread - 1) * 0.6)
        gap = max(1, self.instrument.start_price // 20_000)
        key = best - int(self.random.expovariate(3 / (self.instrument.depth * gap)))
        return key if side.sign < 0 or key >= 1 else best
