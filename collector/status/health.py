"""Red or green, and why: the two verdicts that others act on.

*Healthy* means alive: what is red here is a bug that a restart may cure, so a supervisor may restart on it. *Ready*
means recording: every venue brings frames and the journal takes them. A database that is away is no reason against it,
because nothing is lost then; it is a warning, with the size of what waits. Nothing is green for want of knowledge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from collector.backoff import BACKOFF_MAX_SECONDS
from collector.feed.connection import UNAUTHORIZED_PAUSE_SECONDS, ConnectionState
from collector.status.facts import (
    AuditFacts,
    DatabaseFacts,
    Health,
    JournalFacts,
    PartFacts,
    ProcessFacts,
    Reason,
    TotalFacts,
    VenueFacts,
)

# No connection waits longer for its next try: whatever should try again has died.
RETRY_OVERDUE_SECONDS = UNAUTHORIZED_PAUSE_SECONDS + BACKOFF_MAX_SECONDS
# If nothing is committed for this long although the database is connected and frames wait, the recorder is stuck.
STALLED_SECONDS = 120.0
# Frames that are committed later than this after their receipt are worth a warning.
LATE_WARNING_SECONDS = 5.0
# Where candles are fetched in turn, a minute may wait several minutes for its audit.
UNAUDITED_MAX_MINUTES = 15
_WAITING_STATES = (ConnectionState.WAITING, ConnectionState.STOPPED)

_UNKNOWN_HEALTH = Reason("health", "could not be determined; see the log")
# The verdict where finding the health itself failed: not ready, but nothing that a restart would cure.
NOT_JUDGED = Health(healthy=True, ready=False, not_healthy=(), not_ready=(_UNKNOWN_HEALTH,), warnings=())


def judge(
    *,
    started: bool,
    stopping: bool,
    enabled: Sequence[str],
    venues: Sequence[VenueFacts],
    totals: TotalFacts | None,
    audit: AuditFacts | None,
    journal: JournalFacts | None,
    database: DatabaseFacts | None,
    process: ProcessFacts | None,
    parts: Sequence[PartFacts],
    unseen: Mapping[str, str],
) -> Health:
    """Return the verdicts.

    `enabled` are the venues that should be there, `unseen` is why something cannot be looked at.
    """
    not_healthy = tuple(_dead(venues))
    not_ready = (
        *_lifecycle(started=started, stopping=stopping),
        *not_healthy,
        *_not_recording(enabled, venues),
        *(_not_written(journal, database) if journal is not None else _unknown("journal")),
    )
    warnings = (
        *_incomplete(venues),
        *_delayed(totals, journal, database, process),
        *_unexplained(audit),
        *(Reason(part.name, part.trouble) for part in parts if part.trouble),
        *(Reason(part, f"its state could not be read: {reason}") for part, reason in unseen.items()),
    )
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
            if connection.state in _WAITING_STATES and connection.state_seconds > RETRY_OVERDUE_SECONDS:
                yield Reason(
                    f"connection {connection.name}",
                    f"is {connection.state} for {connection.state_seconds:.0f} s and is not being retried",
                )


def _not_recording(enabled: Sequence[str], venues: Sequence[VenueFacts]) -> Iterator[Reason]:
    if not enabled:
        yield Reason("venues", "no venue is configured, so nothing is recorded")
    known = {venue.venue for venue in venues}
    for name in enabled:
        if name not in known:
            yield Reason(f"venue {name}", "its worker has not started yet")
    for venue in venues:
        if venue.failed or any(one.state == ConnectionState.LIVE for one in venue.connections):
            continue
        why = venue.reason or "; ".join(dict.fromkeys(one.reason for one in venue.connections if one.reason))
        yield Reason(f"venue {venue.venue}", "no connection is live: " + (why or f"the worker is {venue.state}"))


def _unknown(part: str) -> Iterator[Reason]:
    yield Reason(part, "is unknown: its state could not be read")


def _not_written(journal: JournalFacts, database: DatabaseFacts | None) -> Iterator[Reason]:
    if journal.fault is not None:
        yield Reason("journal", f"the disk of data_dir cannot be written: {journal.fault}")
    elif journal.refusal is not None:
        yield Reason(
            "journal", f"is full: {journal.refusal}; what the venues send now is not recorded, and becomes gaps"
        )
    elif journal.full:
        yield Reason("journal", "its buffer is full because the disk is too slow; reading from the venues is paused")
    if database is None:
        return
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
        if venue.adapter_failures:
            places = ", ".join(f"{place} {_times(count)}" for place, count in sorted(venue.adapter_failures.items()))
            yield Reason(
                f"venue {venue.venue}", f"its adapter failed since the start: {places}; please report this bug"
            )
        refused = sum(s.state == "refused" for one in venue.connections for s in one.subscriptions)
        if refused:
            yield Reason(f"venue {venue.venue}", f"{refused} subscriptions were refused")
        if venue.problems:
            symbols = ", ".join(problem.symbol for problem in venue.problems[:5])
            more = f" and {len(venue.problems) - 5} more" if len(venue.problems) > 5 else ""
            yield Reason(f"venue {venue.venue}", f"cannot be recorded as configured: {symbols}{more}")


def _delayed(
    totals: TotalFacts | None,
    journal: JournalFacts | None,
    database: DatabaseFacts | None,
    process: ProcessFacts | None,
) -> Iterator[Reason]:
    if database is not None and database.state != "connected":
        waiting = "" if journal is None or journal.backlog_bytes is None else f" ({journal.backlog_bytes} bytes)"
        why = f": {database.reason}" if database.reason else ""
        yield Reason("database", f"is {database.state}; what is received is kept in the journal{waiting}{why}")
    if totals is not None and not totals.adds_up:
        dropped = f", {totals.unaccounted} were dropped" if totals.unaccounted else ""
        yield Reason("counts", f"items differ from stored + duplicates + quarantined{dropped}: please report this bug")
    late = None if process is None else process.loop_late_seconds
    if late is not None and late > LATE_WARNING_SECONDS:
        yield Reason("daemon", f"did not respond for {late:.1f} s within the last minute")


def _unexplained(audit: AuditFacts | None) -> Iterator[Reason]:
    if audit is None:
        return
    for one in audit.fetching:
        if one.trouble and (one.refused or one.behind_minutes > UNAUDITED_MAX_MINUTES):
            what = f"{one.refused} instruments" if one.refused else f"the last {one.behind_minutes} minutes"
            yield Reason("audit", f"{what} of {one.venue} cannot be audited because candles are missing: {one.trouble}")
    if not audit.open_alarms:
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
