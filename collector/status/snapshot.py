"""One look at everything that a running daemon knows about itself; the page, the metrics and the terminal show it.

Reads only: taking a snapshot changes nothing, waits for nothing and asks neither a venue nor the database. It never
raises: what cannot be looked at is not known, and the verdict says so.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from collector import __version__
from collector.clock import iso
from collector.journal import BEGINNING
from collector.logs import lines_lost
from collector.model import Instrument
from collector.recording.database import DatabaseState
from collector.status.audit import audit_facts, repair_facts
from collector.status.facts import (
    ConnectionFacts,
    CountFacts,
    DatabaseFacts,
    JournalFacts,
    LagFacts,
    PartFacts,
    PlaceFacts,
    ProblemFacts,
    ProcessFacts,
    RestFacts,
    Status,
    SubscriptionFacts,
    TotalFacts,
    VenueFacts,
)
from collector.status.health import NOT_JUDGED, judge
from collector.status.observed import Observed
from collector.status.recent import Recent, buckets, quantile

if TYPE_CHECKING:
    from collector.feed.connection import ConnectionFeed
    from collector.feed.polling import PollFeed
    from collector.feed.rest import RestClient
    from collector.feed.worker import VenueWorker
    from collector.journal import Position
    from collector.store.batch import TableCount
    from collector.supervise.parts import Supervised

# The state of a subscription whose connection is not open.
NOT_SUBSCRIBED = "waiting"


def snapshot(observed: Observed, recent: Recent | None = None) -> Status:
    """Return the daemon's status now; rates and what is "recent" are known to a `Recent` that has been watching."""
    if recent is None:
        recent = Recent(observed)
        observed.statistics.looks.take("recent rates", recent.look, None)
    looks, now_ns = observed.statistics.looks, observed.clock.now_ns()
    looks.take("last records", recent.remember_last_seen, None)
    venues = tuple(
        looks.take(f"venue {name}", partial(_venue, observed, one, now_ns, recent), _unseen(name))
        for name, one in list(observed.workers.items())
    )
    totals = looks.take("totals", lambda: _totals(observed), None)
    journal = looks.take("journal", lambda: _journal(observed, now_ns), None)
    database = looks.take("database", lambda: _database(observed, now_ns), None)
    process = looks.take("process", lambda: _process(recent), None)
    audit = looks.take("audit", partial(audit_facts, observed.auditing), None)
    configuration = looks.take("configuration", observed.configuration, None)
    rates, lag = looks.take("rates", recent.rates, None), looks.take("lag", lambda: _lag(observed, recent), None)
    parts = tuple(PartFacts(part.name, part.failures, part.trouble) for part in observed.parts.values())
    health = looks.take(
        "health",
        lambda: judge(
            started=observed.started.is_set(),
            stopping=observed.stopping.is_set(),
            enabled=[name for name, venue in observed.config().venues.items() if venue.enabled],
            venues=venues,
            totals=totals,
            audit=audit,
            journal=journal,
            database=database,
            process=process,
            parts=parts,
            unseen=looks.failing,
        ),
        NOT_JUDGED,
    )
    return Status(
        version=__version__,
        started=iso(observed.started_ns),
        now=iso(now_ns),
        uptime_seconds=_age(observed.started_ns, now_ns) or 0.0,
        health=health,
        configuration=configuration,
        venues=venues,
        totals=totals,
        rates=rates,
        lag=lag,
        audit=audit,
        journal=journal,
        disk=recent.disk,
        database=database,
        process=process,
        parts=parts,
        failed_looks=looks.failures,
    )


def rss_bytes() -> int:
    """Return the memory that the process holds now; its peak where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * resource.getpagesize()


def _process(recent: Recent) -> ProcessFacts:
    return ProcessFacts(os.getpid(), rss_bytes(), round(time.process_time(), 2), recent.late_seconds, lines_lost())


def _age(then_ns: int | None, now_ns: int) -> float | None:
    return None if then_ns is None else round(max(0, now_ns - then_ns) / 1e9, 3)


# -- venues ------------------------------------------------------------------------------------------------------------


def _venue(observed: Observed, one: Supervised, now_ns: int, recent: Recent) -> VenueFacts:
    worker = one.worker
    failed = one.failed_ns is not None and one.failed_ns >= worker.since_ns
    return VenueFacts(
        venue=worker.venue.name,
        adapter=worker.venue.adapter.name,
        state="failed" if failed else str(worker.state),
        since=iso(one.failed_ns if failed and one.failed_ns is not None else worker.since_ns),
        reason=one.failure if failed else worker.reason,
        failed=failed,
        failures=one.failures,
        adapter_failures=dict(worker.failures.counts),
        clock_offset_seconds=observed.statistics.clocks.seconds(worker.venue.name, now_ns),
        rest=_rest(observed, worker.rest),
        repair=repair_facts(observed.auditing, worker.venue.name),
        gaps=observed.auditing.tally.of(worker.venue.name),
        gaps_recorded=observed.auditing.tally.recorded(worker.venue.name),
        problems=tuple(ProblemFacts(problem.subject, problem.reason) for problem in worker.problems),
        connections=tuple(_connection(observed, worker, feed, now_ns, recent) for feed in worker.connections.values()),
    )


def _unseen(name: str) -> VenueFacts:
    """What is told of a venue that cannot be looked at: nothing."""
    return VenueFacts(
        venue=name,
        adapter="",
        state="not known",
        since=iso(0),
        reason="it cannot be looked at; the log says why",
        failed=False,
        failures=0,
        adapter_failures={},
        clock_offset_seconds=None,
        rest=None,
        repair=None,
        gaps=None,
        gaps_recorded=None,
        problems=(),
        connections=(),
    )


def _rest(observed: Observed, rest: RestClient | None) -> RestFacts | None:
    if rest is None:
        return None
    use = rest.use
    pause = max(0.0, use.not_before - observed.clock.monotonic())
    return RestFacts(use.calls, use.failed, use.throttled, use.per_second, round(pause, 1))


def _connection(
    observed: Observed, worker: VenueWorker, feed: ConnectionFeed | PollFeed, now_ns: int, recent: Recent
) -> ConnectionFacts:
    return ConnectionFacts(
        name=feed.plan.name,
        state=str(feed.state),
        since=iso(feed.since_ns),
        state_seconds=_age(feed.since_ns, now_ns) or 0.0,
        reason=feed.reason,
        frames=feed.frames,
        bytes=feed.bytes,
        reconnects=feed.reconnects,
        losses={str(kind): count for kind, count in feed.losses.items()},
        last_frame_age_seconds=_age(feed.last_frame_ns, now_ns),
        subscriptions=tuple(_subscriptions(observed, worker.venue.name, feed, now_ns, recent)),
    )


def _subscriptions(
    observed: Observed, venue: str, feed: ConnectionFeed | PollFeed, now_ns: int, recent: Recent
) -> Iterator[SubscriptionFacts]:
    lags = observed.statistics.lag_by_instrument

    def told(channel: str, stream: str, symbol: str, state: str, since: str, reason: str) -> SubscriptionFacts:
        instrument = Instrument(venue, symbol)
        age = _age(recent.last_seen_ns(venue, channel, symbol), now_ns)
        lag = lags.get(instrument, {}).get(stream)
        rate = recent.stream_rate(instrument, stream)
        return SubscriptionFacts(
            channel, stream, symbol, state, since, reason, age, rate, None if lag is None else round(lag, 4)
        )

    statuses = feed.statuses()
    for one in statuses:
        # A conversation counts in monotonic seconds; people want to know the time of day.
        yield told(one.channel, one.stream, one.symbol, str(one.state), iso(recent.wall_ns(one.since)), one.reason)
    if statuses:
        return
    for wanted in feed.plan.subscriptions:
        for symbol in wanted.symbols:
            yield told(wanted.channel, wanted.stream, symbol, NOT_SUBSCRIBED, iso(feed.since_ns), feed.reason)


# -- what is behind them -----------------------------------------------------------------------------------------------


def _totals(observed: Observed) -> TotalFacts:
    statistics = observed.statistics
    counts = [*statistics.tables.values()]
    # The parsers count what frames hold, the writer what became of it: two counts that have to agree.
    unaccounted = observed.intake.unaccounted
    adds_up = all(map(_adds_up, counts)) and statistics.total.items == statistics.items and not unaccounted
    tables = {table: CountFacts(*count) for table, count in sorted(statistics.tables.items())}
    return TotalFacts(tables, CountFacts(*statistics.total), adds_up, unaccounted)


def _adds_up(count: TableCount) -> bool:
    return min(count) >= 0 and count.items == count.stored + count.duplicates + count.quarantined


def _lag(observed: Observed, recent: Recent) -> LagFacts:
    since_start = buckets(observed.statistics.lag)
    values = (
        observed.statistics.last_lag_seconds,
        quantile(since_start, 0.5),
        quantile(since_start, 0.99),
        recent.lag(0.5),
        recent.lag(0.99),
    )
    return LagFacts(*(None if value is None else round(value, 4) for value in values))


def _journal(observed: Observed, now_ns: int) -> JournalFacts:
    journal, committed = observed.journal, observed.recorder.committed
    if committed == BEGINNING:  # nothing is in the tables yet, and how much there is to read was not counted
        committed = None
    return JournalFacts(
        segment=journal.end.segment,
        end=_place(journal.end),
        durable=_place(journal.durable),
        committed=None if committed is None else _place(committed),
        backlog_bytes=None if committed is None else observed.recorder.backlog_bytes,
        backlog_seconds=_age(observed.recorder.oldest_ns, now_ns),
        buffered_bytes=journal.buffered,
        used_bytes=journal.used_bytes,
        full=journal.full,
        refusal=None if journal.refusal is None else journal.refusal.reason,
        fault=journal.fault,
    )


def _place(position: Position) -> PlaceFacts:
    return PlaceFacts(position.segment, position.offset)


def _database(observed: Observed, now_ns: int) -> DatabaseFacts:
    database, connection = observed.database, observed.writer_connection
    if connection.connected:
        state, reason = "connected", ""
    elif database.state is DatabaseState.STARTING:
        state, reason = "starting", ""
    elif database.state is DatabaseState.AWAY:
        state, reason = "away", database.reason
    else:
        state, reason = "away", connection.reason
    # Before that, the search for psql would run programs, which a look must not wait for.
    hint = (
        observed.statistics.looks.take("psql", database.hint, None) if database.state is DatabaseState.READY else None
    )
    return DatabaseFacts(
        place=database.place,
        embedded=database.embedded,
        state=state,
        since=iso(int(connection.since * 1e9)),
        reason=reason,
        last_commit_age_seconds=_age(observed.statistics.last_commit_ns, now_ns),
        psql=hint.command if hint else None,
    )
