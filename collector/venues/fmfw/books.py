"""Order books: every message becomes a row, and the sequence number of the full book is watched.

Rows are facts and are kept even after a loss: whoever reads them sees the hole in `seq`. What is told beside them is
that the book is wrong (`SequenceLost` and an open gap, once) and that it is whole again (`SnapshotTaken`, the gap
closed). No book is built here: that would cost several times the parsing. So a book that crosses without a hole in its
sequence, which the venue has never been seen to send, is not noticed here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from collector.model import Book, Gap, Instrument, Records
from collector.venues.events import Event, SequenceLost, SnapshotTaken
from collector.venues.fmfw.context import Context
from collector.venues.fmfw.values import (
    DECIMAL_LIST,
    FIRST_MS,
    LARGEST_BIGINT,
    LAST_MS,
    MILLIS,
    MOMENT,
    SEQUENCE,
    fault,
    moment_us,
)
from collector.venues.kit.values import shorten

STREAM = "books"
LOST_CAUSE = "sequence lost"

# So many updates in a row at or below the last number are not repeats: the venue has begun to count anew.
OLD_UPDATES_ALLOWED = 20

_RULES = {"t": MILLIS, "s": SEQUENCE}
_REST_RULES = {"timestamp": MOMENT}


class _BadLevelsError(ValueError):
    pass


def levels(side: Any, *, drop_zero: bool) -> tuple[str, str]:
    """Join a side's `[price, size]` pairs into its two lists; ValueError or TypeError when one is not a decimal."""
    if type(side) is not list:
        raise _BadLevelsError
    if not side:
        return "", ""
    if set(map(type, side)) != {list}:
        raise _BadLevelsError
    prices, sizes = zip(*side, strict=True)
    price_text = ",".join(prices)
    size_text = ",".join(sizes)
    commas = len(side) - 1
    if not (
        DECIMAL_LIST(price_text)
        and DECIMAL_LIST(size_text)
        and price_text.count(",") == commas
        and size_text.count(",") == commas
    ):
        raise _BadLevelsError
    # A size that is zero begins with one, and looking for that first spares most snapshots the walk.
    if drop_zero and (size_text[0] == "0" or ",0" in size_text) and not all(size.strip("0.") for size in sizes):
        return levels([level for level in side if level[1].strip("0.")], drop_zero=False)
    return price_text, size_text


class _Chain:
    """The sequence of one instrument's full book."""

    __slots__ = ("gap", "instrument", "last", "last_us", "old")

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.last: int | None = None
        self.last_us = 0
        self.old = 0
        self.gap: Gap | None = None

    def fork(self) -> _Chain:
        copy = _Chain(self.instrument)
        copy.last, copy.last_us, copy.old, copy.gap = self.last, self.last_us, self.old, self.gap
        return copy

    def snapshot(self, channel: str, sequence: int, time_us: int, out: Records) -> Event:
        if self.gap is not None:
            # A snapshot's time is that of its last change, so it can lie before the loss was noticed.
            out.gaps.append(self.gap._replace(to_us=max(time_us, self.gap.from_us), to_seq=sequence))
            self.gap = None
        self.last, self.last_us, self.old = sequence, time_us, 0
        return SnapshotTaken(channel, self.instrument.symbol)

    def update(self, channel: str, sequence: int, time_us: int, out: Records) -> Event | None:
        last = self.last
        if last is None:
            return None  # no snapshot yet: the missing first data is what brings one
        if sequence == last + 1:
            self.last, self.last_us, self.old = sequence, time_us, 0
            return None
        if sequence <= last:
            self.old += 1
            if self.old < OLD_UPDATES_ALLOWED:
                return None
        event = None
        if self.gap is None:
            self.gap = Gap(self.instrument, STREAM, self.last_us, None, last, sequence, LOST_CAUSE)
            out.gaps.append(self.gap)
            event = SequenceLost(channel, self.instrument.symbol, last + 1, sequence)
        self.last, self.last_us, self.old = sequence, time_us, 0
        return event


class FullBookReader:
    """The socket channel `orderbook/full`."""

    __slots__ = ("_chains", "_channel", "_context", "_seen")

    def __init__(self, context: Context, channel: str, chains: dict[str, _Chain] | None = None) -> None:
        self._context = context
        self._channel = channel
        self._seen = context.seen(channel)
        self._chains = {} if chains is None else chains

    def fork(self, context: Context) -> Self:
        return type(self)(context, self._channel, {symbol: chain.fork() for symbol, chain in self._chains.items()})

    def read(self, message: dict[str, Any], payload: bytes, received_ns: int, out: Records) -> Sequence[Event] | None:
        content = message.get("update")
        snapshot = content is None
        if snapshot:
            content = message.get("snapshot")
        if type(content) is not dict:
            return None
        received_us = received_ns // 1000
        events: list[Event] = []
        for symbol, item in content.items():
            chain = self._chains.get(symbol) or self._begin(symbol)
            if chain is None:
                self._context.reject_symbol(out, STREAM, symbol, payload, received_us, item)
                continue
            book = read_book(chain.instrument, item, received_us, snapshot=snapshot)
            if isinstance(book, str):
                self._context.reject(out, STREAM, book, payload, received_us)
                continue
            out.books.append(book)
            out.items += 1
            self._seen[symbol] = received_ns
            follow = chain.snapshot if snapshot else chain.update
            event = follow(self._channel, book.seq, book.time_us, out)
            if event is not None:
                events.append(event)
        return events

    def _begin(self, symbol: str) -> _Chain | None:
        instrument = self._context.admit(symbol)
        if instrument is None:
            return None
        chain = self._chains[symbol] = _Chain(instrument)
        return chain


class PartialBookReader:
    """The socket channels `orderbook/D5` to `D20`: each message is the whole of what is shown, none follows another."""

    __slots__ = ("_channel", "_context", "_seen")

    def __init__(self, context: Context, channel: str) -> None:
        self._context = context
        self._channel = channel
        self._seen = context.seen(channel)

    def fork(self, context: Context) -> Self:
        return type(self)(context, self._channel)

    def read(self, message: dict[str, Any], payload: bytes, received_ns: int, out: Records) -> Sequence[Event] | None:
        content = message.get("data")
        if type(content) is not dict:
            return None
        context = self._context
        received_us = received_ns // 1000
        for symbol, item in content.items():
            instrument = context.instruments.get(symbol) or context.admit(symbol)
            if instrument is None:
                context.reject_symbol(out, STREAM, symbol, payload, received_us, item)
                continue
            book = read_book(instrument, item, received_us, snapshot=True)
            if isinstance(book, str):
                context.reject(out, STREAM, book, payload, received_us)
                continue
            out.books.append(book)
            out.items += 1
            self._seen[symbol] = received_ns
        return ()


def read_book(instrument: Instrument, item: Any, received_us: int, *, snapshot: bool) -> Book | str:
    """Make the row of a socket book, or say what is wrong with it. Zero levels of a snapshot are dropped."""
    try:
        t = item["t"]
        sequence = item["s"]
        if not (
            type(t) is int and FIRST_MS <= t <= LAST_MS and type(sequence) is int and 0 <= sequence <= LARGEST_BIGINT
        ):
            raise ValueError  # noqa: TRY301  the field at fault is looked for below
        bid_prices, bid_sizes = levels(item["b"], drop_zero=snapshot)
        ask_prices, ask_sizes = levels(item["a"], drop_zero=snapshot)
    except (KeyError, TypeError, ValueError):
        return fault(item, _RULES) or _fault_of_levels(item, ("a", "b"))
    return Book(instrument, t * 1000, sequence, snapshot, bid_prices, bid_sizes, ask_prices, ask_sizes, received_us)


def read_rest_book(instrument: Instrument, item: Any, received_us: int) -> Book | str:
    """Make the row of a REST book, which has no sequence number (0 stands there), or say what is wrong with it."""
    reason = fault(item, _REST_RULES)
    if reason is not None:
        return reason
    time_us = moment_us(item["timestamp"])
    try:
        bid_prices, bid_sizes = levels(item["bid"], drop_zero=True)
        ask_prices, ask_sizes = levels(item["ask"], drop_zero=True)
    except (KeyError, TypeError, ValueError):
        return _fault_of_levels(item, ("ask", "bid"))
    assert time_us is not None
    return Book(instrument, time_us, 0, True, bid_prices, bid_sizes, ask_prices, ask_sizes, received_us)


def _fault_of_levels(item: Mapping[str, Any], sides: Sequence[str]) -> str:
    for name in sides:
        side = item.get(name)
        if type(side) is not list:
            return f"{name}: {shorten(side)} is not a list of levels"
        for level in side:
            try:
                levels([level], drop_zero=False)
            except (TypeError, ValueError):
                return f"{name}: {shorten(level)} is not a level of price and size"
    return "levels of different shapes"
