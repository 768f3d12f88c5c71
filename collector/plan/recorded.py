"""What was recorded so far: rows a day of each stream, bytes of a row, bytes a day of the journal."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from collector.attach import running
from collector.config import Config
from collector.errors import CollectorError
from collector.journal.segments import segments
from collector.store.connection import connected
from collector.store.dsn import DRIVER_ERRORS
from collector.store.named import queries

# How long the database may take to answer; without it the plan uses assumptions.
DATABASE_TIMEOUT_SECONDS = 20.0
# Rows that a measured rate needs; with fewer, the assumption is used.
RATE_ROWS_MIN = 20
# Rows that a measured size needs: with fewer, half empty pages weigh too much.
SIZE_ROWS_MIN = 1000
# The shortest time over which a rate is measured.
RATE_MIN_SECONDS = 10.0
# An instrument that has been recorded for this long with hardly any row is taken to be quiet, not new.
QUIET_MIN_SECONDS = 3600.0
# The shortest journal whose growth is measured.
JOURNAL_MIN_SECONDS = 60.0
# The journal's growth is measured on its newest segments.
SEGMENTS_MEASURED_MAX = 100
DAY_SECONDS = 86_400
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1", None, ""})
_SQL = queries("plan")


@dataclass(slots=True)
class Recorded:
    """What the database tells. `shares_disk`: whether its data is on the journal's disk; None: not known."""

    rows_a_day: dict[tuple[str, str, str], float] = field(default_factory=dict)
    row_bytes: dict[str, float] = field(default_factory=dict)
    shares_disk: bool | None = None
    free_bytes: int | None = None


async def look(config: Config, notes: list[str]) -> Recorded:
    """Ask the database, if it is there; a note says why where it was not."""
    recorded = Recorded()
    secret = config.database.dsn
    if secret is None:
        recorded.shares_disk = True
    try:
        dsn = running(config) if secret is None else secret.get_secret_value()
        if dsn is None:
            notes.append("the embedded server does not run: rows are assumed")
            return recorded
        async with asyncio.timeout(DATABASE_TIMEOUT_SECONDS):
            await _ask(dsn, [*config.venues], recorded, config.data_dir)
    except TimeoutError:
        notes.append(
            f"the database did not answer within {DATABASE_TIMEOUT_SECONDS:.0f} s: what it did not tell is assumed"
        )
    except (CollectorError, OSError, *DRIVER_ERRORS) as error:
        notes.append(f"the database was not asked, and rows are assumed: {error}")
    return recorded


async def _ask(dsn: str, venues: list[str], recorded: Recorded, data_dir: Path) -> None:
    async with connected(dsn) as connection:
        await connection.fetch(_SQL["set_timeout"], f"{DATABASE_TIMEOUT_SECONDS:.0f}s")
        folder = await connection.fetchval(_SQL["data_folder"])
        if recorded.shares_disk is None and folder and urlsplit(dsn).hostname in _LOCAL_HOSTS:
            _same_disk(Path(folder), data_dir, recorded)
        for row in await connection.fetch(_SQL["sizes"]):
            if row["rows"] >= SIZE_ROWS_MIN:
                recorded.row_bytes[row["stream"]] = row["bytes"] / row["rows"]
        for row in await connection.fetch(_SQL["rates"], venues):
            if row["rows"] >= RATE_ROWS_MIN and row["seconds"] >= RATE_MIN_SECONDS:
                rate = (row["rows"] - 1) / row["seconds"]
            elif row["rows"] < RATE_ROWS_MIN and row["age"] >= QUIET_MIN_SECONDS:
                rate = row["rows"] / row["age"]  # a quiet one: the time since its last row counts as well
            else:
                continue
            recorded.rows_a_day[row["venue"], row["symbol"], row["stream"]] = rate * DAY_SECONDS


def _same_disk(folder: Path, data_dir: Path, recorded: Recorded) -> None:
    try:
        device, ours = folder.stat().st_dev, data_dir.stat().st_dev
        recorded.free_bytes = shutil.disk_usage(folder).free
    except OSError:  # on another machine behind a tunnel, in a container, or not ours to see
        return
    recorded.shares_disk = device == ours


def journal_bytes_now(folder: Path) -> int:
    """Return what the journal's files take."""
    return sum(one.stat().st_size for one in folder.iterdir()) if folder.is_dir() else 0


def journal_bytes_a_day(folder: Path) -> float | None:
    """Return what the newest closed segments took on the disk, as a day's; None where they tell too little."""
    if not folder.is_dir():
        return None
    newest = segments(folder)[-SEGMENTS_MEASURED_MAX:]
    spans = [
        (one.bytes, (following.created_ns - one.created_ns) / 1e9)
        for one, following in itertools.pairwise(newest)
        if one.created_ns and following.created_ns > one.created_ns
    ]
    seconds = sum(span for _, span in spans)
    return sum(size for size, _ in spans) / seconds * DAY_SECONDS if seconds >= JOURNAL_MIN_SECONDS else None
