"""An audit on request: minutes, order books and the journal of a choice, written down and summed up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg

from collector import venues
from collector.audit.books import Outcome, audit_books
from collector.audit.minutes import MINUTE, MinuteAudit
from collector.audit.subjects import subjects
from collector.config import Config
from collector.repair.listing import like
from collector.service.auditing import VERDICTS, configured_terms
from collector.service.segments import Segment, audit_segments, committed_segments, load, note
from collector.store.dsn import DRIVER_ERRORS, connect, refusals
from collector.store.errors import DatabaseUnreachableError
from collector.store.named import queries
from collector.venues.adapter import BookRows

PARTS = ("minutes", "books", "journal")
PIECE = timedelta(hours=6)
EXAMPLES = 20

_SQL = queries("audit")


class Choice(NamedTuple):
    """What to audit; `venue` None: all, `symbol`: a pattern of file names, `again`: parse known segments once more."""

    venue: str | None
    symbol: str
    since: datetime
    until: datetime
    parts: Sequence[str]
    again: bool


class Minutes(NamedTuple):
    """One instrument's minutes by verdict; `waiting`: the candle is open. `reason`: why none can be audited."""

    venue: str
    symbol: str
    complete: int
    explained: int
    unexplained: int
    not_comparable: int
    waiting: int
    reason: str


class Report(NamedTuple):
    """What was found. `examples`: the oldest unexplained minutes."""

    minutes: list[Minutes]
    examples: list[dict[str, Any]]
    books: list[tuple[str, str, Outcome]]
    journal: list[Segment]

    @property
    def unexplained(self) -> bool:
        """Whether there is anything that nothing explains."""
        return (
            any(one.unexplained for one in self.minutes)
            or any(outcome.verdict == "unexplained" for *_, outcome in self.books)
            or any(one.verdict == "unexplained" for one in self.journal)
        )

    def as_json(self) -> dict[str, Any]:
        """Return it for scripts."""
        return {
            "unexplained": self.unexplained,
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
    """Audit what was chosen. Raises `DatabaseError`."""
    connection = await connect(dsn)
    report = Report([], [], [], [])
    work: dict[str, Callable[[], Awaitable[None]]] = {
        "minutes": lambda: _minutes(config, connection, choice, report, progress),
        "books": lambda: _books(config, connection, choice, report, progress),
        "journal": lambda: _journal(config.data_dir / "journal", connection, choice, report, progress),
    }
    try:
        with refusals(dsn):
            for part in PARTS:
                if part in choice.parts:
                    await work[part]()
    except DRIVER_ERRORS as error:
        raise DatabaseUnreachableError(f"the audit cannot read or write: {error}") from error
    finally:
        connection.terminate()
    return report


async def _minutes(
    config: Config, connection: asyncpg.Connection, choice: Choice, report: Report, progress: Callable[[Step], object]
) -> None:
    found = await subjects(connection, configured_terms(config), choice.venue, like(choice.symbol))
    judge = MinuteAudit(connection)
    counts: Counter[tuple[int, str]] = Counter()
    start = choice.since.replace(second=0, microsecond=0)
    pieces = [
        (since, min(since + PIECE, choice.until))
        for since in (start + number * PIECE for number in range(-(-(choice.until - start) // PIECE)))
    ]
    # Pieces of minutes that nobody recorded cost a question each; there is no need for them.
    first = min((piece[0] for one in found for piece in one.pieces), default=choice.until)
    last = max((piece[1] for one in found for piece in one.pieces), default=choice.since)
    pieces = [piece for piece in pieces if piece[1] > first and piece[0] < last]
    now = datetime.now(UTC)
    for number, (since, until) in enumerate(pieces):
        progress(Step("minutes", number, len(pieces)))
        spans = [span for one in found for span in one.spans(since, until.replace(second=0, microsecond=0))]
        for count in await judge.judge(spans, now):
            counts[count.instrument_id, count.verdict] += count.minutes
    progress(Step("minutes", len(pieces), len(pieces)))
    for one in found:
        sums = [counts[one.instrument_id, verdict] for verdict in (*VERDICTS, "waiting")]
        report.minutes.append(Minutes._make((one.venue, one.symbol, *sums, one.reason)))
    rows = await connection.fetch(
        _SQL["examples"], choice.venue, like(choice.symbol), choice.since - MINUTE, choice.until, EXAMPLES
    )
    report.examples.extend(dict(row) for row in rows)


async def _books(
    config: Config, connection: asyncpg.Connection, choice: Choice, report: Report, progress: Callable[[Step], object]
) -> None:
    rows = await connection.fetch(
        _SQL["with_books"], choice.venue, like(choice.symbol), choice.since, choice.until
    )  # fmt: skip
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
