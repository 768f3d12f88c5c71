"""What an audit cannot judge, by venue, symbol and stream, and why: silence about it would pass for proof."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg

from collector.audit.subjects import ALL_SYMBOLS, Subject, Terms
from collector.store.named import queries

NOTHING_TO_COMPARE = "the venue gives nothing that it could be compared with"
BY_COMMAND = "only `collector audit` rebuilds books"

_SQL = queries("audit")


class Unjudged(NamedTuple):
    """A stream of an instrument, and why nothing of it is judged."""

    venue: str
    symbol: str
    stream: str
    reason: str


class UnjudgedGroup(NamedTuple):
    """Streams of a venue that have a reason in common."""

    venue: str
    stream: str
    reason: str
    symbols: tuple[str, ...]


async def unjudged(
    connection: asyncpg.Connection,
    found: Iterable[Subject],
    known: Mapping[str, Terms],
    since: datetime,
    venues: Sequence[str] | None = None,
    symbols: Sequence[str] = ALL_SYMBOLS,
    *,
    rebuilt: bool,
) -> list[Unjudged]:
    """Return what was to be recorded after `since` and is not judged; `symbols` are patterns of SQL.

    `rebuilt`: whether books are rebuilt, which the daemon does not do.
    """
    reasons = {subject.instrument_id: subject.reason for subject in found}
    told = []
    for instrument_id, code, symbol, stream in await connection.fetch(_SQL["asked_for"], venues, symbols, since):
        if stream in ("trades", "candles"):
            reason = reasons.get(instrument_id, "")
        elif stream == "books" and code in known:
            reason = known[code].why_no_books or ("" if rebuilt else BY_COMMAND)
        else:
            reason = NOTHING_TO_COMPARE
        if reason:
            told.append(Unjudged(code, symbol, stream, reason))
    return told


def grouped(told: Sequence[Unjudged]) -> list[UnjudgedGroup]:
    """Return them by venue, stream and reason."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for one in told:
        groups.setdefault((one.venue, one.stream, one.reason), []).append(one.symbol)
    return [UnjudgedGroup(*key, tuple(symbols)) for key, symbols in sorted(groups.items())]
