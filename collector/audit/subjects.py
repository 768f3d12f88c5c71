"""What can be audited: instruments whose trades are recorded, and when their one-minute candles are, too.

Time counts from when a stream was asked for, as in the view `coverage`, and where a backfill has fetched it, less what
was deleted because of its age. Where trades are recorded without one-minute candles, these have to be fetched first.
What a venue's candles hold, and whether they may be fetched, is told by its adapter and the settings (`terms`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import asyncpg

from collector.audit.minutes import MINUTE, Span
from collector.store.named import queries
from collector.venues.adapter import Adapter, VenueSettings
from collector.venues.audit import BookRows, CandleSums

# The SQL pattern that matches all symbols.
ALL_SYMBOLS = ("%",)

# Where only the first session's time tells when recording began: its subscriptions may be confirmed this much later.
SUBSCRIBING_SPAN = timedelta(seconds=15)

_SQL = queries("audit")
WHOLE_BOOKS = "each row is a whole book, so there is nothing to rebuild"
NO_CANDLES = "one-minute candles are not recorded"

Piece = tuple[datetime, datetime]


class Terms(NamedTuple):
    """How a venue's trades may be audited."""

    sums: CandleSums
    recorded: bool = True
    """Whether one-minute candles are recorded."""
    fetched: bool = False
    """Whether they are fetched where they are not recorded."""
    why_not_fetched: str = ""
    polled_per_minute: float = 0.0
    """Of how many instruments trades are asked for in a minute; 0 where they come by themselves."""
    why_no_books: str = ""
    """Why books cannot be rebuilt; empty where they can."""


class Subject(NamedTuple):
    """An instrument. `pieces`: whole minutes of which trades and candles are recorded; `lacking`: those of which only
    trades are, and candles may be fetched. None of either where `reason` says why."""

    instrument_id: int
    venue: str
    symbol: str
    sums: CandleSums
    pieces: tuple[Piece, ...]
    reason: str
    lacking: tuple[Piece, ...] = ()

    def spans(self, since: datetime, until: datetime, fetched: Iterable[Piece] = ()) -> list[Span]:
        """Return the whole minutes between two times that can be audited.

        `fetched`: the times of which candles were fetched where they are not recorded.
        """
        known = [*self.pieces, *common(self.lacking, fetched)]
        return [Span(self.instrument_id, start, end, self.sums) for start, end in common(known, [(since, until)])]

    def lacks(self, minute: datetime) -> bool:
        """Whether a minute's candle is to be fetched."""
        return any(start <= minute < end for start, end in self.lacking)


def terms(configured: Mapping[str, tuple[Adapter[Any], VenueSettings]], *, fetch: bool) -> dict[str, Terms]:
    """Return what may be compared at each venue, as it is configured; `fetch`: whether candles may be fetched."""
    return {venue: _terms(adapter, settings, fetch=fetch) for venue, (adapter, settings) in configured.items()}


def _terms(adapter: Adapter[Any], settings: VenueSettings, *, fetch: bool) -> Terms:
    streams = getattr(settings, "streams", ("candles",))
    recorded = "candles" in streams and "1m" in settings.periods_of("")
    why_not = "" if fetch else "audit.fetch_candles is false"
    if not adapter.minute_calls.instruments:
        why_not = "the venue cannot be asked for candles alone"
    why_no_books = WHOLE_BOOKS if adapter.book_rows is BookRows.WHOLE else ""
    return Terms(adapter.candle_sums, recorded, not why_not, why_not, settings.polled_per_minute, why_no_books)


async def subjects(
    connection: asyncpg.Connection,
    known: Mapping[str, Terms],
    venues: Sequence[str] | None = None,
    symbols: Sequence[str] = ALL_SYMBOLS,
    now: datetime | None = None,
) -> list[Subject]:
    """Return every instrument of which trades or candles were ever recorded; `symbols` are patterns of SQL.

    Sessions that are open last until `now`, or, where nobody knows whether a daemon runs, until something was written.
    """
    recorded: dict[tuple[int, str, str], dict[str, list[Piece]]] = {}
    for instrument_id, code, symbol, stream, since, until in await connection.fetch(
        _SQL["recorded"], venues, symbols, now
    ):
        # What was asked for begins with a whole minute, and what of that is missing is a gap.
        begun = since if since == _down(since) else since + SUBSCRIBING_SPAN
        recorded.setdefault((instrument_id, code, symbol), {}).setdefault(stream, []).append((begun, until))
    backfilled: dict[tuple[int, str], list[Piece]] = {}
    for instrument_id, stream, since, until in await connection.fetch(_SQL["backfilled"]):
        backfilled.setdefault((instrument_id, stream), []).append((since, until))
    expired: dict[tuple[int, str], list[Piece]] = {}
    for instrument_id, stream, since, until in await connection.fetch(_SQL["expired"], [key[0] for key in recorded]):
        expired.setdefault((instrument_id, stream), []).append((since, until))
    found = []
    for (instrument_id, code, symbol), streams in sorted(recorded.items(), key=lambda item: item[0][1:]):
        of_venue = known.get(code, Terms(CandleSums(reason="the venue is not configured")))
        there = {
            stream: without(
                union([*streams.get(stream, ()), *backfilled.get((instrument_id, stream), ())]),
                expired.get((instrument_id, stream), ()),
            )
            for stream in ("trades", "candles")
        }
        if not of_venue.recorded:  # of other periods only, then
            there["candles"] = union(backfilled.get((instrument_id, "candles"), ()))
        pieces: tuple[Piece, ...] = ()
        lacking: tuple[Piece, ...] = ()
        if not (reason := _obstacle(of_venue, streams, there["candles"])):
            pieces = _whole(common(there["trades"], there["candles"]))
            if of_venue.fetched:
                unknown = without(_whole(there["trades"]), pieces)
                lacking = _whole(without(unknown, expired.get((instrument_id, "candles"), ())))
        found.append(Subject(instrument_id, code, symbol, of_venue.sums, pieces, reason, lacking))
    return found


def _obstacle(of_venue: Terms, streams: Mapping[str, Any], candles: Sequence[Piece]) -> str:
    """Say why nothing of an instrument can be audited; empty where something can."""
    if not of_venue.sums.comparable:
        return of_venue.sums.reason
    if "trades" not in streams:
        return "trades are not recorded"
    return "" if candles or of_venue.fetched else f"{NO_CANDLES}, and {of_venue.why_not_fetched}"


def _whole(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    return tuple((_up(start), _down(end)) for start, end in pieces if _up(start) < _down(end))


def without(pieces: Iterable[Piece], others: Iterable[Piece]) -> list[Piece]:
    """Return the times that are in the first and not in the others."""
    left = sorted(pieces)
    for start, end in others:
        left = [
            piece
            for since, until in left
            for piece in ((since, min(until, start)), (max(since, end), until))
            if piece[0] < piece[1]
        ]
    return left


def union(pieces: Iterable[Piece]) -> list[Piece]:
    """Return the times that are in any of them, joined where they touch."""
    joined: list[Piece] = []
    for start, end in sorted(pieces):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        elif start < end:
            joined.append((start, end))
    return joined


def common(some: Iterable[Piece], others: Iterable[Piece]) -> list[Piece]:
    """Return the times that are in both."""
    others = list(others)
    both = [(max(a, c), min(b, d)) for a, b in some for c, d in others]
    return sorted(piece for piece in both if piece[0] < piece[1])


def _down(time: datetime) -> datetime:
    return time.replace(second=0, microsecond=0)


def _up(time: datetime) -> datetime:
    floor = _down(time)
    return floor if floor == time else floor + MINUTE
