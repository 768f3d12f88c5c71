"""Order books: whole ones and changes, and the chain that the changes must form.

A change (`depth-delta`) names in `pre_seq` the `seq` of what it follows; `seq` itself may jump by any amount. So a
hole cannot be seen in the rows afterwards, and rows that do not connect would silently spoil every book made from
them: a change that follows nothing (no whole book yet, messages lost, a book that crossed) is not stored but put into
quarantine with its reason. The loss is told once (`SequenceLost`, and a gap that the next whole book closes). A change
at or below the last `seq` is a repetition; its row is the one that is there already.

The first message after subscribing to `depth-delta` is the whole book under the type of `depth`, and may come again at
any time. Levels of size zero in it are dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from collector.model import Book, Gap, Instrument, Records
from collector.venues.events import Event, SequenceLost, SnapshotTaken
from collector.venues.fmex.context import Context
from collector.venues.fmex.ladder import Ladder, is_zero
from collector.venues.fmex.numbers import all_unsigned, whole
from collector.venues.fmex.topics import DELTA, DEPTH, LEVELS
from collector.venues.fmex.values import millis_us
from collector.venues.kit.values import shorten

STREAM = "books"
LOST_CAUSE = "sequence lost"
CROSSED_CAUSE = "book crossed"


class Chain:
    """One instrument's delta book: how far it has come, and whether it is whole."""

    __slots__ = ("gap", "ladder", "last", "last_us", "whole")

    def __init__(self, depth: int) -> None:
        self.ladder = Ladder(depth)
        self.last = -1
        self.last_us = 0
        self.whole = False
        self.gap: Gap | None = None

    def fork(self) -> Chain:
        copy = Chain(0)
        copy.ladder = self.ladder.fork()
        copy.last, copy.last_us, copy.whole, copy.gap = self.last, self.last_us, self.whole, self.gap
        return copy

    def begin(self, book: Book, out: Records) -> None:
        """Take a whole book; the open gap ends with it."""
        if self.gap is not None:
            out.gaps.append(self.gap._replace(to_us=max(book.time_us, self.gap.from_us), to_seq=book.seq))
            self.gap = None
        self.ladder.begin(book.bid_prices, book.ask_prices)
        self.last, self.last_us, self.whole = book.seq, book.time_us, True

    def lose(self, instrument: Instrument, seq: int, cause: str, out: Records) -> None:
        """Note that the book is wrong from here on."""
        self.whole = False
        self.gap = Gap(instrument, STREAM, self.last_us, None, self.last, seq, cause)
        out.gaps.append(self.gap)


class BookReader:
    """The topics `depth.*` and `depth-delta.*` of one level."""

    __slots__ = ("_chains", "_context", "_delta", "_level", "_seen_changes", "_seen_whole")

    def __init__(self, context: Context, level: str, chains: dict[Instrument, Chain] | None = None) -> None:
        self._context = context
        self._level = level
        self._delta = f"{DELTA}.{level}"
        self._seen_whole = context.seen(f"{DEPTH}.{level}")
        self._seen_changes = context.seen(self._delta)
        self._chains = {} if chains is None else chains

    def fork(self, context: Context) -> BookReader:
        chains = {instrument: chain.fork() for instrument, chain in self._chains.items()}
        return BookReader(context, self._level, chains)

    def read_whole(
        self, instrument: Instrument, message: dict[str, Any], payload: bytes, received_ns: int, out: Records
    ) -> Sequence[Event]:
        """Read the whole of the best levels; where changes are subscribed they follow it."""
        book = read_book(instrument, message, received_ns // 1000, snapshot=True)
        if isinstance(book, str):
            self._context.reject(out, STREAM, book, payload, received_ns // 1000)
            return ()
        out.books.append(book)
        out.items += 1
        self._seen_whole[instrument.symbol] = received_ns
        if self._level != self._context.delta_level:
            return ()
        self._chain(instrument).begin(book, out)
        self._seen_changes[instrument.symbol] = received_ns
        return (SnapshotTaken(self._delta, instrument.symbol),)

    def read_change(
        self, instrument: Instrument, message: dict[str, Any], payload: bytes, received_ns: int, out: Records
    ) -> Sequence[Event]:
        """Read a change, which must follow the last message."""
        received_us = received_ns // 1000
        book = read_book(instrument, message, received_us, snapshot=False)
        before = whole(message.get("pre_seq"))
        if isinstance(book, str) or before is None:
            reason = book if isinstance(book, str) else f"pre_seq: {shorten(message.get('pre_seq'))} is not a number"
            self._context.reject(out, STREAM, reason, payload, received_us)
            return ()
        chain = self._chain(instrument)
        if not chain.whole:
            self._context.reject(out, STREAM, "a change without a whole book before it", payload, received_us)
            return ()
        if book.seq <= chain.last:
            out.books.append(book)
            out.items += 1
            return ()
        if before == chain.last:
            return self._follow(chain, book, received_ns, out)
        reason = f"a change that follows {before}, but the last one was {chain.last}"
        self._context.reject(out, STREAM, reason, payload, received_us)
        chain.lose(instrument, book.seq, LOST_CAUSE, out)
        return (SequenceLost(self._delta, instrument.symbol, chain.last, before),)

    def _chain(self, instrument: Instrument) -> Chain:
        chain = self._chains.get(instrument)
        if chain is None:
            chain = self._chains[instrument] = Chain(LEVELS[self._level])
        return chain

    def _follow(self, chain: Chain, book: Book, received_ns: int, out: Records) -> Sequence[Event]:
        out.books.append(book)
        out.items += 1
        self._seen_changes[book.instrument.symbol] = received_ns
        sane = chain.ladder.change(book.bid_prices, book.bid_sizes, book.ask_prices, book.ask_sizes)
        before, chain.last, chain.last_us = chain.last, book.seq, book.time_us
        if sane:
            return ()
        chain.lose(book.instrument, book.seq, CROSSED_CAUSE, out)
        return (SequenceLost(self._delta, book.instrument.symbol, before, book.seq),)


def read_book(instrument: Instrument, item: Any, received_us: int, *, snapshot: bool) -> Book | str:
    """Make the row of a book, or say what is wrong with it. Zero levels of a whole book are dropped."""
    if type(item) is not dict:
        return f"{shorten(item)} is not a book"
    time_us = millis_us(item.get("ts"))
    if time_us is None:
        return f"ts: {shorten(item.get('ts'))} is not a time in milliseconds between the years 2000 and 2100"
    seq = whole(item.get("seq"))
    if seq is None:
        return f"seq: {shorten(item.get('seq'))} is not a sequence number"
    bids = _levels(item.get("bids"), drop_zero=snapshot)
    asks = _levels(item.get("asks"), drop_zero=snapshot)
    if bids is None or asks is None:
        name = "bids" if bids is None else "asks"
        return f"{name}: {shorten(item.get(name))} is not a list of pairs of price and amount"
    return Book(instrument, time_us, seq, snapshot, *bids, *asks, received_us)


def _levels(flat: Any, *, drop_zero: bool) -> tuple[str, str] | None:
    """Part a flat list of prices and amounts into two comma-joined ones."""
    if type(flat) is not list or len(flat) % 2:
        return None
    if not flat:
        return "", ""
    numbers = all_unsigned(flat)
    if numbers is None:
        return None
    prices, sizes = numbers[::2], numbers[1::2]
    if drop_zero and any(map(is_zero, sizes)):
        kept = [(price, size) for price, size in zip(prices, sizes, strict=True) if not is_zero(size)]
        prices, sizes = [price for price, _ in kept], [size for _, size in kept]
    return ",".join(prices), ",".join(sizes)
