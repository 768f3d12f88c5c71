"""A broker's market: one random walk a symbol, whose ticks, deals, bars and books agree with each other.

All chance comes from the seed. Forex symbols have quotes only; exchange symbols have deals in some of their ticks. A
tenth of the ticks come twice within their millisecond, since some real ones do.
"""

from array import array
from bisect import bisect, bisect_left
from collections.abc import Sequence
from itertools import accumulate
from random import Random
from typing import Final

from collector.simulator.metaapi.bars import Series
from collector.simulator.metaapi.symbols import Symbol
from collector.simulator.metaapi.text import broker, number, utc

# Ticks of a symbol that are kept.
TICKS_MAX: Final = 200_000
_BOOK_LEVELS: Final = 8
_DEAL_SHARE: Final = 0.4
_TWIN_TICKS_SHARE: Final = 0.1

Levels = list[tuple[str, str]]


class Tick:
    """One change of a symbol; `volume` 0 where there was no deal. `id` counts the symbol's ticks."""

    __slots__ = ("ask", "bid", "id", "last", "side", "time_ms", "volume")

    def __init__(self, number: int, time_ms: int, bid: int, ask: int, last: int, volume: int, side: str) -> None:
        self.id = number
        self.time_ms = time_ms
        self.bid = bid
        self.ask = ask
        self.last = last
        self.volume = volume
        self.side = side


class Quoted:
    """One symbol of one broker."""

    def __init__(self, symbol: Symbol, offset_ms: int, random: Random, kept_ticks: int = TICKS_MAX) -> None:
        self.symbol = symbol
        self._kept_ticks = kept_ticks
        self.offset_ms = offset_ms
        self.series = Series(offset_ms)
        self.ticks: list[Tick] = []
        self.times = array("q")
        self.count = 0
        self._random = random
        self._books = Random(random.random())  # noqa: S311  a market, not a secret
        self._middle = symbol.start
        self._book: tuple[int, Levels, Levels] | None = None

    def __repr__(self) -> str:
        return f"<Quoted {self.symbol.name} {self.count} ticks>"

    def step(self, time_ms: int) -> list[Tick]:
        """Make the next tick, not before the last one, and now and then its twin."""
        one = self._next(time_ms)
        if self._random.random() >= _TWIN_TICKS_SHARE:
            return [one]
        return [one, self._keep(Tick(0, one.time_ms, one.bid, one.ask, one.last, one.volume, one.side))]

    def _next(self, time_ms: int) -> Tick:
        draw, symbol = self._random.random, self.symbol
        if self.ticks:
            time_ms = max(time_ms, self.ticks[-1].time_ms)
        pull = (symbol.start - self._middle) / symbol.start
        move = int((draw() - 0.5 + pull) * max(3, symbol.spread) * 2)
        self._middle = max(symbol.spread * 4, self._middle + move)
        spread = max(1, int(symbol.spread * (0.7 + 0.6 * draw())))
        bid = self._middle - spread // 2
        ask = bid + spread
        if symbol.exchange and draw() < _DEAL_SHARE:
            side = "buy" if draw() < 0.5 else "sell"
            volume = 1 + int(self._random.expovariate(1 / 15))
            return self._keep(Tick(0, time_ms, bid, ask, ask if side == "buy" else bid, volume, side))
        return self._keep(Tick(0, time_ms, bid, ask, 0, 0, ""))

    def _keep(self, tick: Tick) -> Tick:
        tick.id = self.count
        self.count += 1
        self.ticks.append(tick)
        self.times.append(tick.time_ms)
        self.series.add(tick.time_ms, tick.bid, tick.ask - tick.bid, tick.volume)
        if len(self.ticks) > self._kept_ticks:
            del self.ticks[: self._kept_ticks // 10]
            del self.times[: self._kept_ticks // 10]
        return tick

    def since(self, time_ms: int, offset: int, limit: int) -> list[Tick]:
        """Return ticks from a time on, the first `offset` of them left out."""
        start = bisect_left(self.times, time_ms) + offset
        return self.ticks[start : start + limit]

    def price_json(self, tick: Tick) -> str:
        price = self.symbol.price
        return (
            f'{{"symbol":"{self.symbol.name}","bid":{price(tick.bid)},"ask":{price(tick.ask)},'
            f'"profitTickValue":1,"lossTickValue":1,{self._times(tick.time_ms)}}}'
        )

    def tick_json(self, tick: Tick) -> str:
        price = self.symbol.price
        deal = ""
        if tick.volume:
            volume = number(tick.volume, self.symbol.volume_digits)
            deal = f',"last":{price(tick.last)},"volume":{volume},"side":"{tick.side}"'
        return (
            f'{{"symbol":"{self.symbol.name}",{self._times(tick.time_ms)},"bid":{price(tick.bid)},'
            f'"ask":{price(tick.ask)}{deal}}}'
        )

    def book(self, tick: Tick) -> tuple[Levels, Levels]:
        """Return the depth around a tick: asks from the lowest, bids from the highest, as texts of price and volume."""
        if self._book is None or self._book[0] != tick.id:
            self._book = tick.id, self._levels(tick.ask, 1), self._levels(tick.bid, -1)
        return self._book[1], self._book[2]

    def _levels(self, best: int, direction: int) -> Levels:
        step = direction * max(1, self.symbol.spread // 3)
        return [
            (self.symbol.price(best + level * step), number(1 + self._books.randrange(400), self.symbol.volume_digits))
            for level in range(_BOOK_LEVELS)
        ]

    def book_json(self, tick: Tick, asks: Levels, bids: Levels) -> str:
        """Write a book in no particular order, as the venue does."""
        entries = [
            f'{{"type":"BOOK_TYPE_{side}","price":{price},"volume":{volume}}}'
            for side, levels in (("BUY", bids), ("SELL", asks))
            for price, volume in levels
        ]
        self._books.shuffle(entries)
        return f'{{"symbol":"{self.symbol.name}",{self._times(tick.time_ms)},"book":[{",".join(entries)}]}}'

    def _times(self, time_ms: int) -> str:
        return f'"time":"{utc(time_ms)}","brokerTime":"{broker(time_ms + self.offset_ms)}"'


class Broker:
    """A broker with its symbols and its clock."""

    def __init__(
        self, name: str, symbols: Sequence[Symbol], offset_hours: int, seed: int, kept_ticks: int = TICKS_MAX
    ) -> None:
        self.name = name
        self.offset_ms = offset_hours * 3_600_000
        self._random = Random(seed)  # noqa: S311  a market, not a secret
        self.quoted = {
            one.name: Quoted(one, self.offset_ms, Random(self._random.random()), kept_ticks)  # noqa: S311
            for one in symbols
        }
        self._order = list(self.quoted.values())
        self._weights = list(accumulate(one.weight for one in symbols))
        self.time_ms = 0

    @property
    def weight(self) -> int:
        return self._weights[-1]

    def step(self, time_ms: int) -> tuple[Quoted, list[Tick]]:
        """Make the next tick of some symbol, and its twin where it has one."""
        self.time_ms = max(self.time_ms, time_ms)
        quoted = self._order[bisect(self._weights, self._random.random() * self._weights[-1])]
        return quoted, quoted.step(self.time_ms)

    def make_history(self, now_ms: int, hours: float, events: int) -> None:
        """Live through the hours before `now_ms`; every symbol has a tick then."""
        length = int(hours * 3_600_000)
        for quoted in self._order:
            quoted.step(now_ms - length)
        for place in range(events):
            self.step(now_ms - length + length * (place + 1) // (events + 1))
