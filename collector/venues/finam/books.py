"""Reads order books: whole ones over REST and at the start of a subscription, changed levels on the socket.

The venue does not number books, so a row's `seq` is a checksum of its content: equal books of the same time are one
row, different ones are two. The checksum is the CRC-32 of the four lists, joined by `|`, best prices first and numbers
without trailing zeros. Levels are stored with the venue's digits.

A crossed or one-sided book is stored as it is. A book that crosses on the socket is also reported as a loss: either a
change was lost or there is an auction, and only a new snapshot can tell which.

Where participants are named (`mpid`), the sizes of equal prices are added up.
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
# The cause of a gap in books.
CROSSED = "book crossed"

# The action of a row that removes a level, and the members that say which side a row is on: bids, asks.
_REMOVE = "ACTION_REMOVE"
_SIDES = ("buy_size", "sell_size")

# One side of a book: sizes by price.
Levels = dict[str, str]


class Content(NamedTuple):
    """The content of one message: the time of its newest row, and its levels by side."""

    time_us: int
    bids: Levels
    asks: Levels


def read_rows(rows: Sequence[Any], *, snapshot: bool) -> Content | None:
    """Sort a message's rows by side; None where there are none. Raises `BadValueError`.

    In a snapshot, rows that remove a level or have size 0 are left out; in a change their level gets size 0. A removal
    that names no side removes the price on both sides.
    """
    times: list[int] = []
    sides: dict[str, dict[tuple[str, str], str]] = {name: {} for name in _SIDES}
    for row in rows:
        item = mapping(row, "row")
        price, row_time_us = needed(item, "price"), moment_us(item)
        size_by_side = {name: size for name in _SIDES if (size := unsigned(item, name)) is not None}
        times.append(row_time_us)
        removed = item.get("action") == _REMOVE
        if not size_by_side and not removed:
            raise BadValueError(f"row: {shorten(item)} has no size")
        for name in size_by_side or _SIDES:
            size = "0" if removed else size_by_side[name]
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
    """Make the row of a book or a change: bids from the highest price down, asks from the lowest up."""
    bids = sorted(content.bids.items(), key=lambda level: Decimal(level[0]), reverse=True)
    asks = sorted(content.asks.items(), key=lambda level: Decimal(level[0]))
    bid_prices, bid_sizes = [price for price, _ in bids], [size for _, size in bids]
    ask_prices, ask_sizes = [price for price, _ in asks], [size for _, size in asks]
    checked_text = "|".join(",".join(map(plain, part)) for part in (bid_prices, bid_sizes, ask_prices, ask_sizes))
    return Book(
        instrument,
        content.time_us,
        zlib.crc32(checked_text.encode()),
        snapshot,
        ",".join(bid_prices),
        ",".join(bid_sizes),
        ",".join(ask_prices),
        ",".join(ask_sizes),
        received_us,
    )


class _LiveBook:
    """The present book of one instrument, as built from the socket. `gap`: the open gap since it crossed."""

    __slots__ = ("asks", "bids", "gap", "time_us")

    def __init__(self, bids: Levels, asks: Levels, time_us: int, gap: Gap | None = None) -> None:
        self.bids = bids
        self.asks = asks
        self.time_us = time_us
        self.gap = gap

    def fork(self) -> _LiveBook:
        return _LiveBook(self.bids.copy(), self.asks.copy(), self.time_us, self.gap)

    def apply(self, content: Content) -> None:
        self.time_us = content.time_us
        for levels, changes in ((self.bids, content.bids), (self.asks, content.asks)):
            for price, size in changes.items():
                if size == "0":
                    levels.pop(price, None)
                else:
                    levels[price] = size

    @property
    def crossed(self) -> bool:
        return bool(self.bids and self.asks) and max(map(Decimal, self.bids)) >= min(map(Decimal, self.asks))


class BookReader:
    """Reads the books of a session."""

    __slots__ = ("_context", "_last", "_live")

    def __init__(
        self, context: Context, live: dict[str, _LiveBook] | None = None, last: dict[str, tuple[int, int]] | None = None
    ) -> None:
        self._context = context
        self._live = {} if live is None else live
        self._last = {} if last is None else last

    def fork(self, context: Context) -> Self:
        return type(self)(context, {symbol: book.fork() for symbol, book in self._live.items()}, self._last.copy())

    def levels(self, symbol: str) -> tuple[int, Levels, Levels] | None:
        """Return time, bids and asks of the present book on the socket; None before its first snapshot."""
        book = self._live.get(symbol)
        return None if book is None else (book.time_us, book.bids, book.asks)

    def read(self, instrument: Instrument, rows: Sequence[Any], received_us: int, out: Records) -> int:
        """Read a whole book from REST. Returns 1 where it became a row, 0 where it is empty or equal to the last one.

        Raises `BadValueError`.
        """
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
        """Read a message of the socket. Returns the event that follows from it, if any. Raises `BadValueError`.

        A symbol's first message is a snapshot, whether or not it is flagged as one.
        """
        symbol = instrument.symbol
        book = self._live.get(symbol)
        snapshot = snapshot or book is None
        content = read_rows(rows, snapshot=snapshot)
        if content is None:
            if snapshot:
                self._live[symbol] = _LiveBook({}, {}, 0, book.gap if book else None)
            return None
        out.books.append(make_row(instrument, content, received_us, snapshot=snapshot))
        out.items += 1
        if snapshot:
            gap = book.gap if book else None
            if gap is not None:
                out.gaps.append(gap._replace(to_us=max(content.time_us, gap.from_us)))
            self._live[symbol] = _LiveBook(content.bids, content.asks, content.time_us)
            return SnapshotTaken(channel, symbol)
        assert book is not None
        before_us = book.time_us
        book.apply(content)
        if book.gap is not None or not book.crossed:
            return None
        book.gap = Gap(instrument, STREAM, before_us, None, None, None, CROSSED)
        out.gaps.append(book.gap)
        return SequenceLost(channel, symbol, 0, 0)
