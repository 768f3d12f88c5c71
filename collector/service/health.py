"""Red or green, and why: the two verdicts that others act on.

*Healthy* means alive: what is red here is a bug that a restart may cure, so a supervisor may restart on it. *Ready*
means recording: every venue brings frames and the journal takes them. A database that is away is no reason against it,
because nothing is lost then; it is a warning, with the size of what waits. Nothing is green for want of knowledge.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from collector.feed.connection import LONGEST_BACKOFF_SECONDS, ConnectionState
from collector.service.facts import (
    AuditFacts,
    DatabaseFacts,
    Health,
    JournalFacts,
    ProcessFacts,
    Reason,
    TotalFacts,
    VenueFacts,
)

ABANDONED_SECONDS = 2 * LONGEST_BACKOFF_SECONDS
"""No connection waits so long for its next try: nobody holds it any more."""
STALLED_SECONDS = 120.0
"""Without a commit for so long, with the database there and frames waiting, the recorder is stuck."""
LATE_SECONDS = 5.0
_RESTING = (ConnectionState.WAITING, ConnectionState.STOPPED)


def judge(
    *,
    started: bool,
    stopping: bool,
    enabled: Sequence[str],
    venues: Sequence[VenueFacts],
    totals: TotalFacts,
    audit: AuditFacts | None,
    journal: JournalFacts,
    database: DatabaseFacts,
    process: ProcessFacts,
) -> Health:
    """Return the verdicts; `enabled` are the venues that should be there."""
    not_healthy = tuple(_dead(venues))
    not_ready = (
        *_lifecycle(started=started, stopping=stopping),
        *not_healthy,
        *_not_recording(enabled, venues),
        *_not_written(journal, database),
    )
    warnings = (*_incomplete(venues), *_delayed(totals, journal, database, process), *_unexplained(audit))
    return Health(not not_healthy, not not_ready, not_healthy, not_ready, warnings)


def _lifecycle(*, started: bool, stopping: bool) -> Iterator[Reason]:
    if stopping:
        yield Reason("daemon", "is stopping")
    elif not started:
        yield Reason("daemon", "is starting")


def _dead(venues: Sequence[VenueFacts]) -> Iterator[Reason]:
    for venue in venues:
        if venue.failed:
            yield Reason(f"venue {venue.venue}", f"the worker failed {_times(venue.failures)}: {venue.reason}")
        for connection in venue.connections:
            if connection.state in _RESTING and connection.state_seconds > ABANDONED_SECONDS:
                yield Reason(
                    f"connection {connection.name}",
                    f"is {connection.state} for {connection.state_seconds:.0f} s and nobody tries again",
                )


def _not_recording(enabled: Sequence[str], venues: Sequence[VenueFacts]) -> Iterator[Reason]:
    if not enabled:
        yield Reason("venues", "none is configured, so nothing is recorded")
    known = {venue.venue for venue in venues}
    for name in enabled:
        if name not in known:
            yield Reason(f"venue {name}", "its worker has not started yet")
    for venue in venues:
        if venue.failed or any(one.state == ConnectionState.LIVE for one in venue.connections):
            continue
        why = venue.reason or "; ".join(dict.fromkeys(one.reason for one in venue.connections if one.reason))
        yield Reason(f"venue {venue.venue}", "no connection is live: " + (why or f"the worker is {venue.state}"))


def _not_written(journal: JournalFacts, database: DatabaseFacts) -> Iterator[Reason]:
    if journal.fault is not None:
        yield Reason("journal", f"the disk refuses: {journal.fault}; free space in data_dir or replace the disk")
    elif journal.refusal is not None:
        yield Reason("journal", f"is full: {journal.refusal}; what the venues send now is missed, and told as gaps")
    elif journal.full:
        yield Reason("journal", "its buffer is full because the disk is too slow; the venues are held back")
    quiet = database.last_commit_age_seconds
    if database.state == "connected" and journal.backlog_bytes and quiet is not None and quiet > STALLED_SECONDS:
        yield Reason(
            "recorder", f"nothing was committed for {quiet:.0f} s although {journal.backlog_bytes} bytes are waiting"
        )


def _incomplete(venues: Sequence[VenueFacts]) -> Iterator[Reason]:
    for venue in venues:
        live = sum(one.state == ConnectionState.LIVE for one in venue.connections)
        if 0 < live < len(venue.connections):
            yield Reason(f"venue {venue.venue}", f"{live} of {len(venue.connections)} connections are live")
        refused = sum(s.state == "refused" for one in venue.connections for s in one.subscriptions)
        if refused:
            yield Reason(f"venue {venue.venue}", f"{refused} subscriptions were refused")
        if venue.problems:
            symbols = ", ".join(problem.symbol for problem in venue.problems[:5])
            more = f" and {len(venue.problems) - 5} more" if len(venue.problems) > 5 else ""
            yield Reason(f"venue {venue.venue}", f"cannot be recorded as configured: {symbols}{more}")


def _delayed(
    totals: TotalFacts, journal: JournalFacts, database: DatabaseFacts, process: ProcessFacts
) -> Iterator[Reason]:
    if database.state != "connected":
        waiting = "" if journal.backlog_bytes is None else f" ({journal.backlog_bytes} bytes)"
        why = f": {database.reason}" if database.reason else ""
        yield Reason("database", f"is {database.state}, and what is received waits in the journal{waiting}{why}")
    if not totals.adds_up:
        dropped = f", {totals.unaccounted} were dropped" if totals.unaccounted else ""
        yield Reason("counts", f"items are not stored + duplicates + quarantined{dropped}: please report this bug")
    if process.loop_late_seconds is not None and process.loop_late_seconds > LATE_SECONDS:
        yield Reason("daemon", f"stood still for {process.loop_late_seconds:.1f} s within the last minute")


def _unexplained(audit: AuditFacts | None) -> Iterator[Reason]:
    if audit is None or not audit.open_alarms:
        return
    newest = audit.alarms[0]
    expected = "no candle" if newest.expected is None else f"{newest.expected} by the candle"
    yield Reason(
        "audit",
        f"{audit.open_alarms} minutes are not explained, the newest {newest.minute} of {newest.symbol} at "
        f"{newest.venue}: {newest.stored} stored, {expected}; `collector audit` shows them",
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
