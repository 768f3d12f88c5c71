"""Tables as files: partitioned by series and day, exact, with a manifest of what they hold and lack.

Everything is read in one snapshot of the database. Each series is surveyed first: that tells its days, how many rows
each has and how many digits its numbers need. Then each day is streamed to its file, and the file is read back.
"""

from __future__ import annotations

from collector.store.connection import connected

__all__ = ["Choice", "Exported", "Progress", "Seal", "export"]

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg

from collector import __version__
from collector.data.blocks import stream
from collector.data.catalogue import Series, chosen, folder_of
from collector.data.columns import Column, Digits, kinds_of
from collector.data.errors import ExportError, SealRefusedError
from collector.data.files import count_rows, digest, needs, open_output
from collector.data.manifest import FORMAT_VERSION, File, write
from collector.data.place import Place
from collector.store.dsn import DRIVER_ERRORS
from collector.store.named import queries

_SQL = queries("export")

DAY = timedelta(days=1)
# The span that stands for an open end: the widest one that both Python and the server can hold.
_WIDEST_SPAN = (datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC))


class Choice(NamedTuple):
    """What to export. Patterns as in file names, none for all; the span is [from, to), None for open ends."""

    tables: tuple[str, ...]
    venues: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    from_time: datetime | None = None
    to_time: datetime | None = None


class Seal(NamedTuple):
    """Make it the immutable data set of a day; `anyway` also where the day is not ready for it."""

    day: date
    anyway: bool = False


class Progress(NamedTuple):
    """How far it is: series surveyed, then rows written. `what` is being worked on."""

    phase: str
    done: int
    total: int
    what: str


class Exported(NamedTuple):
    """What an export wrote; `objections` are why a day that was sealed anyway was not ready."""

    folder: Path
    rows: int
    bytes: int
    files: int
    sha256: str
    objections: tuple[str, ...]


class _Day(NamedTuple):
    series: Series
    day: date
    rows: int
    first: datetime
    last: datetime
    digits: tuple[Digits, ...]


async def export(
    dsn: str,
    choice: Choice,
    folder: Path,
    kind: str,
    *,
    replace: bool = False,
    seal: Seal | None = None,
    show: Callable[[Progress], None] = lambda _progress: None,
) -> Exported:
    """Export a choice to a new folder, in the format `kind`.

    The folder appears when everything in it was read back and is on the disk. Raises `DatabaseError`, `UnknownError`
    for names that mean nothing, `SealRefusedError`, and `ExportError` for everything else; nothing remains then.
    """
    needs(kind)
    if seal is not None:
        start = datetime.combine(seal.day, time(), UTC)
        choice = choice._replace(from_time=start, to_time=start + DAY)
    place = Place(folder, replace=replace)
    with place.making() as partial:
        async with _snapshot(dsn) as connection:
            work = _Export(connection, choice, partial, kind, show)
            manifest = await work.run(seal)
        sha256 = write(partial, manifest)
        await asyncio.to_thread(place.finish, read_only=seal is not None)
    sealed = manifest["sealed"] or {}
    return Exported(
        place.wanted, manifest["rows"], manifest["bytes"], len(work.files), sha256, tuple(sealed.get("objections", ()))
    )


@asynccontextmanager
async def _snapshot(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection in a transaction that sees one state of the database throughout, and cannot change it."""
    try:
        async with (
            connected(dsn) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            await connection.execute(_SQL["settings"])
            yield connection
    except DRIVER_ERRORS as error:
        raise ExportError(f"the database stopped the export: {error}") from error


@contextmanager
def _faults(name: str) -> Iterator[None]:
    """Say what is wrong with a file, here where it cannot be taken for a fault of the connection."""
    try:
        yield
    except OSError as error:
        raise ExportError(f"{name} cannot be written: {error.strerror or error}") from error
    except ValueError as error:  # a number that is none, such as NaN
        raise ExportError(f"{name} cannot hold the rows exactly: {error}") from error


class _Export:
    """One export at work."""

    def __init__(
        self, connection: asyncpg.Connection, choice: Choice, folder: Path, kind: str, show: Callable[[Progress], None]
    ) -> None:
        self._connection = connection
        self._choice = choice
        self._span = (choice.from_time or _WIDEST_SPAN[0], choice.to_time or _WIDEST_SPAN[1])
        self._folder = folder
        self._kind = kind
        self._show = show
        self._columns: dict[str, list[Column]] = {}
        self.files: list[File] = []

    async def run(self, seal: Seal | None) -> dict[str, Any]:
        """Write all files; returns the manifest."""
        choice = self._choice
        series, instruments = await chosen(self._connection, choice.tables, choice.venues, choice.symbols)
        about = await self._about(series, instruments)
        objections = await self._objections(seal, about) if seal else []
        if seal and objections and not seal.anyway:
            raise SealRefusedError(f"{seal.day}", objections)
        days = await self._survey(series)
        total, done = sum(day.rows for day in days), 0
        for day in days:
            self.files.append(await self._write(day, done, total))
            done += day.rows
        return {
            "format": FORMAT_VERSION,
            "program": {"name": "collector", "version": __version__},
            "file_format": self._kind,
            "tables": list(dict.fromkeys(choice.tables)),
            "venues": list(choice.venues),
            "symbols": list(choice.symbols),
            "from": choice.from_time,
            "to": choice.to_time,
            "sealed": {"date": seal.day, "objections": objections} if seal else None,
            "rows": total,
            "bytes": sum(file.bytes for file in self.files),
            "files": [file._asdict() for file in self.files],
            **about,
        }

    async def _about(self, series: list[Series], instruments: list[dict[str, Any]]) -> dict[str, Any]:
        """What is known of the choice: instruments, coverage, gaps, quarantine."""
        keys = [one["instrument_id"] for one in instruments]
        tables = list(self._choice.tables)
        venues = sorted({one.venue for one in series})
        fetch = self._connection.fetch
        return {
            "instruments": [{name: one[name] for name in one if name != "instrument_id"} for one in instruments],
            "coverage": [dict(row) for row in await fetch(_SQL["coverage"], keys, tables, *self._span)],
            "gaps": [dict(row) for row in await fetch(_SQL["gaps"], keys, tables, *self._span)],
            "quarantined": [dict(row) for row in await fetch(_SQL["quarantined"], venues, tables, *self._span)],
            "audits": [dict(row) for row in await fetch(_SQL["audits"], keys, tables, *self._span)],
        }

    async def _objections(self, seal: Seal, about: dict[str, Any]) -> list[str]:
        """Why the day is not ready to be sealed."""
        end = datetime.combine(seal.day, time(), UTC) + DAY
        row = await self._connection.fetchrow(_SQL["written_until"])
        assert row is not None
        if row["now"] < end:
            return [f"the day is over at {end:%Y-%m-%d %H:%M} UTC only"]
        found = []
        if row["written"] is None:
            found.append("no daemon has ever written here")
        elif row["written"] < end:
            found.append(f"not all that was received may be in the tables: they reach to {row['written']:%F %T} UTC")
        waiting = sum(gap["state"] == "open" for gap in about["gaps"])
        if waiting:
            found.append(f"{waiting:,} {'gap is' if waiting == 1 else 'gaps are'} open and may still be repaired")
        unexplained = sum(one["minutes"] for one in about["audits"] if one["verdict"] == "unexplained")
        if unexplained:
            found.append(f"trades differ from the venue's candles in {unexplained:,} minutes and no gap explains it")
        return found

    async def _survey(self, series: list[Series]) -> list[_Day]:
        found: list[_Day] = []
        for place, one in enumerate(series):
            self._show(Progress("survey", place, len(series), folder_of(one)))
            statement = _SQL[f"survey_{one.table}"]
            for row in await self._connection.fetch(statement, one.key, *self._span, *one.further):
                digits = tuple(map(Digits.of, row["largest"], row["scales"]))
                found.append(_Day(one, row["day"], row["rows"], row["first"], row["last"], digits))
        return found

    async def _write(self, day: _Day, done: int, total: int) -> File:
        one = day.series
        name = f"{folder_of(one)}/date={day.day}/rows.{self._kind}"
        path = self._folder / name
        facts = {"table": one.table, "venue": one.venue, "date": str(day.day)}
        if one.symbol is not None:
            facts["symbol"] = one.symbol
        columns = await self._columns_of(one.table)
        with _faults(name):
            path.parent.mkdir(parents=True, exist_ok=True)
            output = open_output(path, self._kind, columns, day.digits, facts)
        written = 0

        def take(block: bytes) -> None:
            nonlocal written
            with _faults(name):
                output.take(block)
            written += block.count(b"\n")  # near enough for people who watch
            self._show(Progress("rows", done + min(written, day.rows), total, name))

        def finish() -> tuple[str, int]:
            with _faults(name):
                output.close()
                return digest(path), count_rows(path)

        self._show(Progress("rows", done, total, name))
        start = datetime.combine(day.day, time(), UTC)
        span = (max(start, self._span[0]), min(start + DAY, self._span[1]))
        sent = await stream(self._connection, _SQL[f"rows_{one.table}"], (one.key, *span, *one.further), take)
        sha256, held = await asyncio.to_thread(finish)
        if not day.rows == sent == held:
            raise ExportError(f"{name} holds {held:,} rows, {sent:,} were sent and {day.rows:,} were there")
        return File(
            name,
            one.table,
            one.venue,
            one.symbol,
            day.day,
            held,
            path.stat().st_size,
            sha256,
            day.first,
            day.last,
            output.types,
        )

    async def _columns_of(self, table: str) -> list[Column]:
        if table not in self._columns:
            statement = await self._connection.prepare(_SQL[f"rows_{table}"])
            self._columns[table] = kinds_of(statement.get_attributes())
        return self._columns[table]
