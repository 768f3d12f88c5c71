"""The gap table for people: chosen, counted and in order. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from collector.model import GapState
from collector.store.connection import connected
from collector.store.named import queries

_SQL = queries("repair")


class Listed(NamedTuple):
    """A gap. While it lasts, `to_time` is None and `seconds` counts until now."""

    gap_id: int
    venue: str
    symbol: str
    stream: str
    from_time: datetime
    to_time: datetime | None
    seconds: float
    cause: str
    reason: str | None
    state: GapState
    filled_rows: int | None
    filled_at: datetime | None
    tries: int
    trouble: str | None


async def listing(
    dsn: str,
    venues: Sequence[str],
    symbols: Sequence[str],
    streams: Sequence[str],
    state: str | None,
    *,
    limit: int | None,
    max_age_days: float | None = None,
) -> tuple[list[Listed], dict[str, int]]:
    """Return the newest gaps of a choice, and how many there are of each state. Raises `DatabaseError`.

    `symbols` are patterns with * and ?. Where nothing is named, everything is meant. Of the counts, `lasting` are
    those without an end, and `too_old` those that the daemon leaves alone because they ended more than `max_age_days`
    ago.
    """
    async with connected(dsn) as connection:
        choice = (venues or None, like_any(symbols), streams or None, state)
        rows = await connection.fetch(_SQL["list_gaps"], *choice, limit)
        counts = await connection.fetchrow(_SQL["count_gaps"], *choice, max_age_days)
    return [Listed(*row) for row in rows], dict(counts or {})


def like_any(patterns: Sequence[str]) -> list[str]:
    """Write patterns of file names as those of SQL; none of them mean everything."""
    return [like(pattern) for pattern in patterns] or ["%"]


def like(pattern: str) -> str:
    """Turn a shell pattern into one for SQL's `like`."""
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%").replace("?", "_")
