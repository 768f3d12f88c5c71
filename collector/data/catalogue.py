"""What can be exported: tables, and in each the series that a pattern means."""

from __future__ import annotations

__all__ = ["TABLES", "Series", "chosen", "folder_of"]

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple
from urllib.parse import quote

import asyncpg

from collector.data.errors import UnknownError
from collector.names import meant
from collector.store.named import queries
from collector.tables import NAMES, OF_INSTRUMENTS

_SQL = queries("export")

TABLES = NAMES


class Series(NamedTuple):
    """Rows that go to one folder: of an instrument, of a venue's rate (`symbol` is its name) or of a venue alone.

    `key` is the number that the statements take, `further` what they take besides the span.
    """

    table: str
    venue: str
    symbol: str | None
    key: int
    further: tuple[str, ...] = ()


def folder_of(series: Series) -> str:
    """Return the folder of a series: hive style, with every odd character as %XX."""
    parts = [series.table, f"venue={quote(series.venue, safe='')}"]
    if series.symbol is not None:
        name = "name" if series.table == "rates" else "symbol"
        parts.append(f"{name}={quote(series.symbol, safe='')}")
    return "/".join(parts)


async def chosen(
    connection: asyncpg.Connection, tables: Sequence[str], venues: Sequence[str], symbols: Sequence[str]
) -> tuple[list[Series], list[dict[str, Any]]]:
    """Return the series that are meant and the instruments among them, in the order of their names.

    Patterns are those of file names. Every one has to mean something: `UnknownError` otherwise.
    """
    for table in tables:
        if table not in TABLES:
            raise UnknownError("table", f"{table!r} cannot be exported{meant(table, TABLES)}")
    instruments = [dict(row) for row in await connection.fetch(_SQL["instruments"])]
    rates = await connection.fetch(_SQL["rate_names"]) if "rates" in tables else []
    every = await connection.fetch(_SQL["venues"])
    _each_means_one("venue", venues, [row["venue"] for row in every])
    within = [one for one in instruments if _meant(one["venue"], venues)]
    names = [row["name"] for row in rates if _meant(row["venue"], venues)]
    _each_means_one("symbol", symbols, [one["symbol"] for one in within] + names)

    selected = [one for one in within if _meant(one["symbol"], symbols)]
    series: list[Series] = []
    for table in dict.fromkeys(tables):
        if table in OF_INSTRUMENTS:
            series += [Series(table, one["venue"], one["symbol"], one["instrument_id"]) for one in selected]
        elif table == "rates":
            series += [
                Series(table, row["venue"], row["name"], row["venue_id"], (row["name"],))
                for row in rates
                if _meant(row["venue"], venues) and _meant(row["name"], symbols)
            ]
        else:
            series += [
                Series(table, row["venue"], None, row["venue_id"]) for row in every if _meant(row["venue"], venues)
            ]
    return series, selected


def _meant(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def _each_means_one(what: str, patterns: Sequence[str], names: Sequence[str]) -> None:
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UnknownError(what, f"the database has no {what} {pattern!r}{meant(pattern, names)}")
