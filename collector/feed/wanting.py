"""Journals which streams the configuration wants of one venue, whenever that changes.

Coverage is measured against it. A symbol that is named is wanted from the start, whether the venue answers or not. The
symbols of a pattern are known with the venue's first list, and are then wanted since the start as well. One list that
lacks a symbol is no proof that it was delisted: the symbol stays wanted until a list most of an hour later lacks it
too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

from collector.clock import Clock
from collector.feed.intake import Intake
from collector.normalise.gaps import VENUE_STREAMS
from collector.venues.adapter import Venue
from collector.venues.plan import Plan

# A symbol that is missing from the venue's lists for longer counts as delisted. The lists are fetched at least once an
# hour (`REFRESH_SECONDS`), so that such a symbol was missing from two of them in a row.
DELISTED_SECONDS = 3000.0

# Stream and symbol.
_Stream = tuple[str, str]


class Wanting:
    """The wanted streams of a venue."""

    def __init__(self, venue: Venue[Any], intake: Intake, clock: Clock) -> None:
        self._venue = venue
        self._intake = intake
        self._clock = clock
        self._since_ns: dict[_Stream, int] = {}
        self._left_out: dict[_Stream, float] = {}
        """Those that the venue's lists have left out, and since when, in monotonic seconds."""
        self._asked_ns = 0
        """When the configuration that holds now was taken."""
        self._first = True
        """Whether no list has come since."""

    def __repr__(self) -> str:
        return f"<Wanting {self._venue.name} {len(self._since_ns)}>"

    def configured(self) -> None:
        """Take a configuration, before the venue is asked anything."""
        self._asked_ns, self._first = self._clock.now_ns(), True
        for stream in _each(self._venue.named()):
            self._since_ns.setdefault(stream, self._asked_ns)
        self._tell(whole=False)

    def planned(self, plan: Plan) -> None:
        """Take over the symbols that discovery found for the configuration."""
        planned = dict.fromkeys(
            (one.stream, symbol)
            for line in plan.lines
            for one in line.subscriptions
            if one.stream not in VENUE_STREAMS
            for symbol in one.symbols
        )
        symbols = {symbol for _, symbol in planned}
        # A configured name that the venue's list lacks stays wanted: it should be recorded, and is not.
        named = [stream for stream in _each(self._venue.named()) if stream[1] not in symbols]
        kept = self._not_gone_yet(planned.keys(), symbols, {symbol for _, symbol in named})
        since_ns = self._asked_ns if self._first else self._clock.now_ns()
        wanted = {stream: self._since_ns.get(stream, since_ns) for stream in dict.fromkeys((*planned, *named, *kept))}
        changed = self._first or wanted.keys() != self._since_ns.keys()
        self._since_ns, self._first = wanted, False
        if changed:
            self._tell(whole=True)

    def _not_gone_yet(self, planned: Set[_Stream], symbols: Set[str], named: Set[str]) -> list[_Stream]:
        """Return streams whose symbols are missing from the newest list, but not for long."""
        if self._first:  # after a change of the configuration only what it names now is wanted
            self._left_out.clear()
            return []
        now = self._clock.monotonic()
        left_out = self._since_ns.keys() - planned
        self._left_out = {stream: self._left_out.get(stream, now) for stream in sorted(left_out)}
        return [
            stream
            for stream, since in self._left_out.items()
            if stream[1] in named or (stream[1] not in symbols and now - since < DELISTED_SECONDS)
        ]

    def tell_again(self) -> None:
        """Journal all of it again: what was journalled may be lost."""
        self._tell(whole=not self._first)

    def nothing(self) -> None:
        """The venue is configured no more."""
        self._since_ns.clear()
        self._tell(whole=True)

    def _tell(self, *, whole: bool) -> None:
        spans: dict[tuple[int, str], list[str]] = {}
        for (stream, symbol), since_ns in self._since_ns.items():
            spans.setdefault((since_ns, stream), []).append(symbol)
        told = [(since_ns, stream, symbols) for (since_ns, stream), symbols in spans.items()]
        self._intake.wanted(self._venue.name, told, whole=whole)


def _each(by_stream: Mapping[str, Iterable[str]]) -> list[_Stream]:
    return [
        (stream, symbol) for stream, symbols in by_stream.items() if stream not in VENUE_STREAMS for symbol in symbols
    ]
