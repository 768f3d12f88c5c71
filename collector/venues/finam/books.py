"""Order books: whole ones by REST and at a subscription's begin, changed levels on the socket.

The venue numbers nothing, so a row's `seq` is a checksum of what it says: equal books of one time are one row,
different ones are two. The checksum is CRC-32 of the four lists, joined by bars, prices from the best on and without
trailing zeros. Levels are stored with the venue's digits. A crossed or one-sided book is stored as it is; that it
crossed on the socket is told as a loss, since only a lost change or an auction makes one, and a new snapshot tells.

Where participants are named (`mpid`), a book's equal prices are summed up.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple, Self

from collector.model import Book, Gap, Instrument, Records, plain
from collector.venues.events import Event, SequenceLost, SnapshotTaken
from collector.venues.finam.context import Context
from collector.venues.finam.values import BadValueError, is_zero, mapping, moment_us, needed, text, unsigned
from collector.venues.kit.values import shorten

STREAM = "books"
CROSSED = "book crossed"

_REMOVE = "ACTION_REMOVE"
_SIDES = ("buy_size", "sell_size")

# Price to size.
Levels = dict[str, str]


class Content(NamedTuple):
    """What one message says: the time of its newest row, the levels of both sides."""

    time_us: int
    bids: Levels
    asks: Levels


def read_rows(rows: Sequence[Any], *, snapshot: bool) -> Content | None:
    """Sort the rows by side; None when there are none. Raises `BadValueError`.

    In a snapshot rows that remove or have no size are left out; in a change they become size 0. A removal that names
    no side is one on both.
    """
    times: list[int] = []
    sides: dict[str, dict[tuple[str, str], str]] = {name: {} for name in _SIDES}
    for row in rows:
        item = mapping(row, "row")
        price, times_us = needed(item, "price"), moment_us(item)
        named = {name: size for name in _SIDES if (size := unsigned(item, name)) is not None}
        times.append(times_us)
        gone = item.get("action") == _REMOVE
        if not named and not gone:
            raise BadValueError(f"row: {shorten(item)} has no size")
        for name in named or _SIDES:
            size = "0" if gone else named[name]
            if snapshot and is_zero(size):
                continue
            sides[name][price, text(item, "mpid")] = "0" if is_zero(size) else size
    if not times:
        return None
    bids, asks = (_summed(sides[name]) for name in _SIDES)
    return Content(max(times), bids, asks)


def _summed(levels: Mapping[tuple[str, str], str]) -> Levels:
    joined: Levels = {}
    for (price, _), size in levels.items():
        joined[price] = f"{Decimal(joined[price]) + Decimal(size):f}" if price in joined else size
    return joined


def make_row(instrument: Instrument, content: Content, received_us: int, *, snapshot: bool) -> Book:
    """Make the row: bids from the highest, asks from the lowest price on."""
    bids = sorted(content.bids.items(), key=lambda level: Decimal(level[0]), reverse=True)
    asks = sorted(content.asks.items(), key=lambda level: Decimal(level[0]))
    bid_prices, bid_sizes = [price for price, _ in bids], [size for _, size in bids]
    ask_prices, ask_sizes = [price for price, _ in asks], [size for _, size in asks]
    said = "|".join(",".join(map(plain, part)) for part in (bid_prices, bid_sizes, ask_prices, ask_sizes))
    return Book(
        instrument,
        content.time_us,
        zlib.crc32(said.encode()),
        snapshot,
        ",".join(bid_prices),
        ",".join(bid_sizes),
        ",".join(ask_prices),
        ",".join(ask_sizes),
        received_us,
    )


class _Held:
    """The book of one instrument as the socket tells it."""

    __slots__ = ("asks", "bids", "gap", "time_us")

    def __init__(self, bids: Levels, asks: Levels, time_us: int, gap: Gap | None = None) -> None:
        self.bids = bids
        self.asks = asks
        self.time_us = time_us
        self.gap = gap

    def fork(self) -> _Held:
        return _Held(self.bids.copy(), self.asks.copy(), self.time_us, self.gap)

    def apply(self, content: Content) -> None:
        self.time_us = content.time_us
        for mine, changed in ((self.bids, content.bids), (self.asks, content.asks)):
            for price, size in changed.items():
                if size == "0":
                    mine.pop(price, None)
                else:
                    mine[price] = size

    @property
    def crossed(self) -> bool:
        return bool(self.bids and self.asks) and max(map(Decimal, self.bids)) >= min(map(Decimal, self.asks))


class BookReader:
    """Reads the books of a session."""

    __slots__ = ("_context", "_held", "_last")

    def __init__(
        self, context: Context, held: dict[str, _Held] | None = None, last: dict[str, tuple[int, int]] | None = None
    ) -> None:
        self._context = context
        self._held = {} if held is None else held
        self._last = {} if last is None else last

    def fork(self, context: Context) -> Self:
        return type(self)(context, {symbol: held.fork() for symbol, held in self._held.items()}, self._last.copy())

    def levels(self, symbol: str) -> tuple[int, Levels, Levels] | None:
        """Return time, bids and asks of the book as the socket has told it."""
        held = self._held.get(symbol)
        return None if held is None else (held.time_us, held.bids, held.asks)

    def read(self, instrument: Instrument, rows: Sequence[Any], received_us: int, out: Records) -> int:
        """Read a whole book by REST; returns how many rows came of it. Raises `BadValueError`."""
        content = read_rows(rows, snapshot=True)
        if content is None:
            return 0
        book = make_row(instrument, content, received_us, snapshot=True)
        identity = book.time_us, book.seq
        if self._last.get(instrument.symbol) == identity:
            return 0
        self._last[instrument.symbol] = identity
        out.books.append(book)
        out.items += 1
        return 1

    def follow(
        self,
        channel: str,
        instrument: Instrument,
        rows: Sequence[Any],
        received_us: int,
        out: Records,
        *,
        snapshot: bool,
    ) -> Event | None:
        """Read a message of the socket; a symbol's first is a snapshot whatever it says. Raises `BadValueError`."""
        symbol = instrument.symbol
        held = self._held.get(symbol)
        snapshot = snapshot or held is None
        content = read_rows(rows, snapshot=snapshot)
        if content is None:
            if snapshot:
                self._held[symbol] = _Held({}, {}, 0, held.gap if held else None)
            return None
        out.books.append(make_row(instrument, content, received_us, snapshot=snapshot))
        out.items += 1
        if snapshot:
            gap = held.gap if held else None
            if gap is not None:
                out.gaps.append(gap._replace(to_us=max(content.time_us, gap.from_us)))
            self._held[symbol] = _Held(content.bids, content.asks, content.time_us)
            return SnapshotTaken(channel, symbol)
        assert held is not None
        before = held.time_us
        held.apply(content)
        if held.gap is not None or not held.crossed:
            return None
        held.gap = Gap(instrument, STREAM, before, None, None, None, CROSSED)
        out.gaps.append(held.gap)
        return SequenceLost(channel, symbol, 0, 0)
