"""What can be audited: instruments whose trades and candles are both recorded, and since when.

Time counts from when a stream was asked for, as in the view `coverage`, and where a backfill has fetched it. What a
venue's candles hold is told by its adapter and settings (`terms`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import asyncpg

from collector.audit.minutes import MINUTE, Span
from collector.store.named import queries
from collector.venues.adapter import Adapter, CandleSums

STARTING = timedelta(seconds=15)
"""Where only the first session tells when recording began: its subscriptions may come so long after it."""

_SQL = queries("audit")
_NEEDED = ("trades", "candles")

Piece = tuple[datetime, datetime]


class Subject(NamedTuple):
    """An instrument. `pieces`: whole minutes of which trades and candles are recorded; none where `reason` says why."""

    instrument_id: int
    venue: str
    symbol: str
    sums: CandleSums
    pieces: tuple[Piece, ...]
    reason: str

    def spans(self, since: datetime, until: datetime) -> list[Span]:
        """Return the whole minutes between two times that can be audited."""
        return [
            Span(self.instrument_id, start, end, self.sums) for start, end in _common(self.pieces, [(since, until)])
        ]


def terms(configured: Mapping[str, tuple[Adapter, Any]]) -> dict[str, CandleSums]:
    """Return what may be compared at each venue, as it is configured."""
    return {
        venue: adapter.candle_sums._replace(polled_per_minute=settings.polled_per_minute)
        if "1m" in settings.periods_of("") or not adapter.candle_sums.comparable
        else CandleSums(reason="one-minute candles are not recorded")
        for venue, (adapter, settings) in configured.items()
    }


async def subjects(
    connection: asyncpg.Connection, known: Mapping[str, CandleSums], venue: str | None = None, symbols: str = "%",
    now: datetime | None = None,
) -> list[Subject]:  # fmt: skip
    """Return every instrument of which trades or candles were ever recorded; `symbols` is a pattern of SQL.

    Sessions that are open last until `now`, or, where nobody knows whether a daemon runs, until something was written.
    """
    recorded: dict[tuple[int, str, str], dict[str, list[Piece]]] = {}
    for instrument_id, code, symbol, stream, since, until in await connection.fetch(
        _SQL["recorded"], venue, symbols, now
    ):
        # What was asked for begins with a whole minute, and what of that is missing is a gap.
        begun = since if since == _down(since) else since + STARTING
        recorded.setdefault((instrument_id, code, symbol), {}).setdefault(stream, []).append((begun, until))
    fetched: dict[tuple[int, str], list[Piece]] = {}
    for instrument_id, stream, since, until in await connection.fetch(_SQL["backfilled"]):
        fetched.setdefault((instrument_id, stream), []).append((since, until))
    found = []
    for (instrument_id, code, symbol), streams in sorted(recorded.items(), key=lambda item: item[0][1:]):
        sums = known.get(code, CandleSums(reason="the venue is not configured"))
        reason = "" if sums.comparable else sums.reason
        missing = [stream for stream in _NEEDED if stream not in streams]
        if missing and not reason:
            reason = f"{missing[0]} are not recorded"
        pieces: Sequence[Piece] = ()
        if not reason:
            trades, candles = (
                _union([*streams[stream], *fetched.get((instrument_id, stream), ())]) for stream in _NEEDED
            )
            pieces = [(_up(start), _down(end)) for start, end in _common(trades, candles)]
        whole = tuple(piece for piece in pieces if piece[0] < piece[1])
        found.append(Subject(instrument_id, code, symbol, sums, whole, reason))
    return found


def _union(pieces: Iterable[Piece]) -> list[Piece]:
    joined: list[Piece] = []
    for start, end in sorted(pieces):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        elif start < end:
            joined.append((start, end))
    return joined


def _common(some: Iterable[Piece], others: Iterable[Piece]) -> list[Piece]:
    others = list(others)
    both = [(max(a, c), min(b, d)) for a, b in some for c, d in others]
    return sorted(piece for piece in both if piece[0] < piece[1])


def _down(time: datetime) -> datetime:
    return time.replace(second=0, microsecond=0)


def _up(time: datetime) -> datetime:
    floor = _down(time)
    return floor if floor == time else floor + MINUTE
