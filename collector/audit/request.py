"""An audit on request: minutes, order books and the journal of a choice, written down and summed up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg

from collector import venues
from collector.audit.books import NOT_COMPARABLE, Outcome, audit_books
from collector.audit.minutes import MINUTE
from collector.audit.request_minutes import MinuteChoice, Minutes, audit_minutes
from collector.audit.segments import Segment, audit_segments, committed_segments, load, note
from collector.audit.subjects import subjects
from collector.audit.terms import configured_terms
from collector.audit.unjudged import Unjudged, unjudged
from collector.config import Config
from collector.proof.known import Filter, check_names
from collector.repair.listing import like_any
from collector.store.connection import connected
from collector.store.dsn import DRIVER_ERRORS
from collector.store.errors import DatabaseUnreachableError
from collector.store.named import queries
from collector.venues.audit import BookRows

PARTS = ("minutes", "books", "journal")
# Minutes that are shown for each verdict.
EXAMPLES_MAX = 20

_SQL = queries("audit")


class Choice(NamedTuple):
    """What to audit; no `venues`: all, `symbols`: patterns of file names, `again`: parse known segments once more.

    `only`: whether the parts were named, `fetch`: whether candles that are not recorded are fetched.
    """

    venues: Sequence[str]
    symbols: Sequence[str]
    since: datetime
    until: datetime
    parts: Sequence[str]
    again: bool
    only: bool = False
    fetch: bool = True

    @property
    def narrowed(self) -> bool:
        """Whether not everything was asked for. The journal is everybody's, and looked at as a whole."""
        return bool(self.venues or self.symbols)

    @property
    def instruments(self) -> tuple[Sequence[str] | None, list[str]]:
        """Venues, None for all, and symbols as patterns of SQL: what the database is asked for."""
        return self.venues or None, like_any(self.symbols)


@dataclass(eq=False)
class Report:
    """What was found. `examples`: the oldest unexplained minutes; `fetch_failed`: candles were not to be had."""

    choice: Choice
    minutes: list[Minutes] = field(default_factory=list)
    examples: list[dict[str, Any]] = field(default_factory=list)
    books: list[tuple[str, str, Outcome]] = field(default_factory=list)
    journal: list[Segment] = field(default_factory=list)
    fetch_failed: bool = False
    unjudged: list[Unjudged] = field(default_factory=list)
    """Streams of which nothing, or not everything, could be judged."""

    @property
    def unexplained(self) -> bool:
        """Whether there is anything that nothing explains."""
        return (
            any(one.unexplained for one in self.minutes)
            or any(outcome.verdict == "unexplained" for *_, outcome in self.books)
            or any(one.verdict == "unexplained" for one in self.journal)
        )

    @property
    def looked_at(self) -> dict[str, int]:
        """How much was compared, by part."""
        counts = {
            "minutes": sum(one.compared for one in self.minutes),
            "books": sum(outcome.verdict != NOT_COMPARABLE for *_, outcome in self.books),
            "journal": len(self.journal),
        }
        return {part: count for part, count in counts.items() if part in self.choice.parts}

    @property
    def missed(self) -> list[str]:
        """Parts of which something should have been looked at, and nothing was."""
        found = self.looked_at
        if self.choice.only:
            return [part for part, count in found.items() if not count]
        asked = [part for part in found if part != "journal" or not self.choice.narrowed] or list(found)
        return [] if any(found[part] for part in asked) else asked

    @property
    def proved(self) -> bool:
        """Whether what was asked for was looked at, and nothing is unexplained."""
        return not self.unexplained and not self.missed and not self.fetch_failed

    def as_json(self) -> dict[str, Any]:
        """Return it for scripts."""
        return {
            "proved": self.proved,
            "unexplained": self.unexplained,
            "looked_at": self.looked_at,
            "unjudged": [one._asdict() for one in self.unjudged],
            "minutes": [one._asdict() for one in self.minutes],
            "examples": self.examples,
            "books": [{"venue": venue, "symbol": symbol, **one._asdict()} for venue, symbol, one in self.books],
            "journal": [one._asdict() for one in self.journal],
        }


class Step(NamedTuple):
    """How far one part is."""

    part: str
    done: int
    total: int


async def audit(
    config: Config, dsn: str, choice: Choice, progress: Callable[[Step], object] = lambda _: None
) -> Report:
    """Audit what was chosen. Raises `UnknownNameError` for names that mean nothing, and `DatabaseError`."""
    await check_names(config, dsn, Filter(choice.venues, choice.symbols))
    report = Report(choice)
    try:
        async with connected(dsn) as connection:
            work: dict[str, Callable[[], Awaitable[None]]] = {
                "minutes": lambda: _minutes(config, connection, dsn, choice, report, progress),
                "books": lambda: _books(config, connection, choice, report, progress),
                "journal": lambda: _journal(config.data_dir / "journal", connection, choice, report, progress),
            }
            for part in PARTS:
                if part in choice.parts:
                    await work[part]()
            report.unjudged = await _unjudged(config, connection, report)
    except DRIVER_ERRORS as error:
        raise DatabaseUnreachableError(f"the audit cannot read or write: {error}") from error
    return report


async def _unjudged(config: Config, connection: asyncpg.Connection, report: Report) -> list[Unjudged]:
    """Return what of the chosen parts was not judged: as things are configured, and as they turned out."""
    choice, terms = report.choice, configured_terms(config)
    found = await subjects(connection, terms, *choice.instruments)
    told = await unjudged(connection, found, terms, choice.since, *choice.instruments, rebuilt=True)
    told += [Unjudged(one.venue, one.symbol, "trades", one.reason) for one in report.minutes if one.reason]
    told += [
        Unjudged(venue, symbol, "books", one.first or "")
        for venue, symbol, one in report.books
        if one.verdict == NOT_COMPARABLE
    ]
    part_of = {"trades": "minutes", "candles": "minutes", "books": "books"}
    chosen = [one for one in told if part_of.get(one.stream, "" if choice.only else PARTS[0]) in choice.parts]
    return list({one[:3]: one for one in sorted(chosen)}.values())


async def _minutes(
    config: Config,
    connection: asyncpg.Connection,
    dsn: str,
    choice: Choice,
    report: Report,
    progress: Callable[[Step], object],
) -> None:
    wanted = MinuteChoice(*choice.instruments, choice.since, choice.until, choice.fetch)
    minutes, report.fetch_failed = await audit_minutes(
        config,
        connection,
        dsn,
        wanted,
        lambda done, total: progress(Step("candles", done, total)),
        lambda done, total: progress(Step("minutes", done, total)),
    )
    report.minutes.extend(minutes)
    rows = await connection.fetch(
        _SQL["examples"], *choice.instruments, choice.since - MINUTE, choice.until, EXAMPLES_MAX
    )
    report.examples.extend(dict(row) for row in rows)


async def _books(
    config: Config, connection: asyncpg.Connection, choice: Choice, report: Report, progress: Callable[[Step], object]
) -> None:
    rows = await connection.fetch(_SQL["with_books"], *choice.instruments, choice.since, choice.until)
    for number, (instrument_id, venue, symbol) in enumerate(rows):
        progress(Step("books", number, len(rows)))
        configured = config.venues.get(venue)
        kind = BookRows.WHOLE if configured is None else venues.find(configured.adapter).book_rows
        outcome = await audit_books(connection, instrument_id, kind, choice.since, choice.until)
        if outcome is not None:
            report.books.append((venue, symbol, outcome))
    progress(Step("books", len(rows), len(rows)))


async def _journal(
    directory: Path, connection: asyncpg.Connection, choice: Choice, report: Report, progress: Callable[[Step], object]
) -> None:
    path = directory / "name"
    name = path.read_text().strip() if path.exists() else ""
    ledger = await load(connection, name) if name else None
    if ledger is None:
        return
    wanted = committed_segments(directory, ledger, int(choice.since.timestamp()), int(choice.until.timestamp()))
    for one in audit_segments(directory, ledger, wanted, again=choice.again):
        if isinstance(one, Segment):
            report.journal.append(one)
            if one.read:
                await note(connection, name, one)
        progress(Step("journal", len(report.journal), len(wanted)))
    report.journal.sort(key=lambda one: one.segment)
