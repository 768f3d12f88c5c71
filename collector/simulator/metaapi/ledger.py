"""Everything market-like that was sent by socket, or given by the history, in the words of a recorder's tables.

A tick counts once however often and to however many it was sent; several equal ones of one millisecond count as often
as one client got them. The history's ticks are kept apart (`given`): who asks for deals leaves the quotes and the other
way round. Memory is bounded: beyond `_ROWS_MAX` rows of a table the oldest leave first.
"""

import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

import orjson

from collector.simulator.metaapi.bars import MT5, Bar
from collector.simulator.metaapi.market import Quoted, Tick
from collector.simulator.metaapi.text import number

# Rows of a table that are kept, so that a long run does not fill the memory.
_ROWS_MAX: Final = 1_000_000
_OFFSET: Final = "broker_offset_seconds"
_PERIODS: Final = {name: length // 1000 for name, length in MT5.items()}

Rows = dict[Any, list[Any]]


class Moments:
    """How often one client got the same tick in the present millisecond of each symbol."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[int, Counter[Any]]] = {}

    def ordinal(self, symbol: str, time_ms: int, content: Any) -> int:
        at, counts = self._counts.get(symbol, (0, Counter()))
        if at != time_ms:
            counts = Counter()
            self._counts[symbol] = time_ms, counts
        counts[content] += 1
        return counts[content] - 1

    def note(self, symbol: str, quoted: Quoted, tick: Tick) -> int:
        """Count a tick; returns how many equal ones of its millisecond came before it."""
        return self.ordinal(symbol, tick.time_ms, _content(quoted, tick))


def _content(quoted: Quoted, tick: Tick) -> tuple[str, str, str | None, str | None]:
    price = quoted.symbol.price
    last = volume = None
    if tick.volume:
        last, volume = price(tick.last), number(tick.volume, quoted.symbol.volume_digits)
    return price(tick.bid), price(tick.ask), last, volume


def _rows_of(name: str, quoted: Quoted, tick: Tick, moments: Moments) -> Iterator[tuple[str, Any, list[Any]]]:
    bid, ask, last, volume = _content(quoted, tick)
    key = (tick.time_ms, bid, ask, last, volume, moments.note(name, quoted, tick))
    yield "ticks", key, [tick.time_ms * 1000, bid, None, ask, None, last, None]
    if tick.volume:
        side = 1 if tick.side == "buy" else -1
        yield "trades", (*key, side), [tick.time_ms * 1000, last, volume, side]


class Ledger:
    """What went out, by instrument."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, Rows]] = {}
        self.given: dict[str, dict[str, Rows]] = {}
        self.rates: Rows = {}
        self.packets: Counter[str] = Counter()
        self.items: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<Ledger {self.packets.total()} packets, {self.items.total()} items>"

    def quote(self, name: str, quoted: Quoted, tick: Tick) -> None:
        bid, ask = quoted.symbol.price(tick.bid), quoted.symbol.price(tick.ask)
        self._put(
            name,
            "ticks",
            (tick.time_ms, bid, ask, None, None, 0),
            [tick.time_ms * 1000, bid, None, ask, None, None, None],
        )

    def tick(self, name: str, quoted: Quoted, tick: Tick, moments: Moments) -> None:
        for table, key, row in _rows_of(name, quoted, tick, moments):
            self._put(name, table, key, row)

    def gave_tick(self, name: str, quoted: Quoted, tick: Tick, moments: Moments) -> None:
        """Note a tick of the history."""
        for table, key, row in _rows_of(name, quoted, tick, moments):
            if key not in self.tables.get(name, {}).get(table, {}):
                self.given.setdefault(name, {}).setdefault(table, {})[key] = row

    def candle(self, name: str, quoted: Quoted, timeframe: str, bar: Bar) -> None:
        price = quoted.symbol.price
        row = [
            bar.start * 1000,
            _PERIODS[timeframe],
            "bid",
            price(bar.open),
            price(bar.high),
            price(bar.low),
            price(bar.close),
            str(bar.volume),
            None,
        ]
        self._put(name, "candles", (timeframe, bar.start), row)

    def book(
        self, name: str, tick: Tick, seq: int, asks: Sequence[tuple[str, str]], bids: Sequence[tuple[str, str]]
    ) -> None:
        checksum = zlib.crc32(orjson.dumps(asks) + orjson.dumps(bids))
        self._put(name, "books", (tick.time_ms, seq), [tick.time_ms * 1000, seq, True, checksum])

    def offset(self, account: str, time_ms: int, offset_ms: int) -> None:
        """Note that a client saw the broker's clock for the first time."""
        name = f"{_OFFSET}:{account}"
        self.rates.setdefault((time_ms, name), [time_ms * 1000, name, str(offset_ms // 1000)])

    def _put(self, name: str, table: str, key: Any, row: list[Any]) -> None:
        rows = self.tables.setdefault(name, {}).setdefault(table, {})
        rows[key] = row
        self.given.get(name, {}).get(table, {}).pop(key, None)
        self.items[table] += 1
        if len(rows) > _ROWS_MAX:
            del rows[next(iter(rows))]
