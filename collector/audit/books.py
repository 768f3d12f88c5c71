"""Order books made again from their rows, and compared with the venue's next snapshot.

A book is only known along an unbroken chain of changes from a snapshot. Where a venue numbers its changes without holes
a missing row is found by its number; elsewhere by the next snapshot that the chain reaches. A place where the chain
breaks is explained where a gap of the book tells of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple, Self

import asyncpg

from collector.audit.subjects import WHOLE_BOOKS
from collector.store.named import queries
from collector.venues.audit import BookRows

# Gaps are taken to be this much longer on either side: their ends are by our clock, and a little late.
GAP_MARGIN = timedelta(seconds=5)
# Rows that the cursor fetches at a time.
CURSOR_ROWS = 500
NOT_COMPARABLE = "not comparable"

_SQL = queries("audit")

Side = dict[Decimal, Decimal]
Levels = Iterable[tuple[Decimal, Decimal]]


class BookRow(NamedTuple):
    """One row of `books`."""

    received_at: datetime
    seq: int
    snapshot: bool
    bid_prices: Sequence[Decimal]
    bid_sizes: Sequence[Decimal]
    ask_prices: Sequence[Decimal]
    ask_sizes: Sequence[Decimal]

    @property
    def bids(self) -> Levels:
        return zip(self.bid_prices, self.bid_sizes, strict=True)

    @property
    def asks(self) -> Levels:
        return zip(self.ask_prices, self.ask_sizes, strict=True)


class Book:
    """A book as rebuilt so far; `whole` tells whether a snapshot began it."""

    def __init__(self, seq: int, *, whole: bool) -> None:
        self.seq = seq
        self.whole = whole
        self.bids: Side = {}
        self.asks: Side = {}

    @classmethod
    def of(cls, row: BookRow) -> Self:
        """Begin with a snapshot."""
        book = cls(row.seq, whole=True)
        _change(book.bids, row.bids)
        _change(book.asks, row.asks)
        return book

    def change(self, row: BookRow) -> None:
        """Apply changed levels."""
        _change(self.bids, row.bids)
        _change(self.asks, row.asks)
        self.seq = row.seq

    def difference(self, row: BookRow, *, best_only: bool) -> str | None:
        """Tell the first level that a snapshot has otherwise, the best ones first; `best_only`: as deep as it goes."""
        told = Book.of(row)
        for name, ours, theirs in (("bid", self.bids, told.bids), ("ask", self.asks, told.asks)):
            prices = sorted(ours.keys() | theirs.keys(), reverse=name == "bid")
            if best_only and theirs:
                worst = min(theirs) if name == "bid" else max(theirs)
                prices = [price for price in prices if (price >= worst if name == "bid" else price <= worst)]
            for price in prices:
                if ours.get(price) != theirs.get(price):
                    return (
                        f"at {row.seq}, {row.received_at:%Y-%m-%d %H:%M:%S.%f}: {name} {price:f} has "
                        f"{_size(ours.get(price))} as rebuilt, {_size(theirs.get(price))} in the snapshot"
                    )
        return None


class Outcome(NamedTuple):
    """What was found in one instrument's rows; see the table `book_audits`."""

    verdict: str
    rows: int
    snapshots: int
    compared: int
    divergences: int
    breaks: int
    explained: int
    first: str | None


class Rebuilder:
    """Rebuilds one instrument's book row by row. `gaps`: the spans of which it is known that changes are missing."""

    def __init__(self, kind: BookRows, gaps: Sequence[tuple[datetime, datetime]]) -> None:
        self._kind = kind
        self._gaps = gaps
        self._book: Book | None = None
        self._ahead: Book | None = None
        """The book before a snapshot that is older than it: of two lines one can be behind the other."""
        self._last_at: datetime | None = None
        self._rows = self._snapshots = self._compared = self._divergences = self._breaks = self._explained = 0
        self._first: str | None = None

    def take(self, row: BookRow) -> None:
        """Take the next row, in the order of receipt."""
        self._rows += 1
        if row.snapshot:
            self._snapshots += 1
            self._meet(row)
        elif self._kind is not BookRows.WHOLE:
            self._follow(row)
        self._last_at = row.received_at

    def outcome(self) -> Outcome:
        """Return what was found."""
        first = self._first
        if self._divergences or self._breaks > self._explained:
            verdict = "unexplained"
        elif self._breaks:
            verdict = "explained"
        elif self._kind is BookRows.WHOLE:
            verdict, first = NOT_COMPARABLE, WHOLE_BOOKS
        elif self._kind is BookRows.LINKED and not self._compared:
            verdict, first = NOT_COMPARABLE, "no snapshot came with which the changes could be compared"
        else:
            verdict = "complete"
        return Outcome(
            verdict,
            self._rows,
            self._snapshots,
            self._compared,
            self._divergences,
            self._breaks,
            self._explained,
            first,
        )

    def _meet(self, row: BookRow) -> None:
        book = self._book
        if self._kind is not BookRows.WHOLE and book is not None and book.whole and book.seq == row.seq:
            self._compared += 1
            wrong = book.difference(row, best_only=self._kind is BookRows.LINKED)
            if wrong is not None:
                self._divergences += 1
                self._first = self._first or wrong
        self._ahead = book if book is not None and book.seq > row.seq else None
        self._book = Book.of(row)

    def _follow(self, row: BookRow) -> None:
        if self._book is None:
            self._book = Book(row.seq, whole=False)
            return
        if self._ahead is not None and row.seq == self._ahead.seq + 1:
            self._book = self._ahead
        self._ahead = None if self._ahead is None or row.seq > self._ahead.seq else self._ahead
        if row.seq <= self._book.seq:
            return  # told by another line before
        if self._kind is BookRows.NUMBERED and row.seq != self._book.seq + 1:
            self._break(self._book.seq, row)
            self._book = Book(row.seq, whole=False)
            return
        self._book.change(row)

    def _break(self, reached: int, row: BookRow) -> None:
        self._breaks += 1
        since = self._last_at or row.received_at
        if any(start - GAP_MARGIN <= row.received_at and end + GAP_MARGIN >= since for start, end in self._gaps):
            self._explained += 1
        elif self._first is None:
            self._first = (
                f"at {row.seq}, {row.received_at:%Y-%m-%d %H:%M:%S.%f}: {row.seq - reached - 1} changes after "
                f"{reached} are missing, and no gap explains that"
            )


async def audit_books(
    connection: asyncpg.Connection, instrument_id: int, kind: BookRows, since: datetime, until: datetime
) -> Outcome | None:
    """Rebuild one instrument's book from the rows of a span and write down what was found; None without rows."""
    gaps = [(row[0], row[1]) for row in await connection.fetch(_SQL["book_gaps"], instrument_id, since, until)]
    rebuilder = Rebuilder(kind, gaps)
    async with connection.transaction(readonly=True):
        async for row in connection.cursor(_SQL["books"], instrument_id, since, until, prefetch=CURSOR_ROWS):
            rebuilder.take(BookRow(*row))
    outcome = rebuilder.outcome()
    if not outcome.rows:
        return None
    await connection.execute(_SQL["note_book"], instrument_id, since, until, *outcome)
    return outcome


def _change(side: Side, levels: Levels) -> None:
    for price, size in levels:
        if size:
            side[price] = size
        else:
            side.pop(price, None)


def _size(size: Decimal | None) -> str:
    return "nothing" if size is None else f"{size:f}"
