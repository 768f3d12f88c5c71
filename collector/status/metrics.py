"""The status as Prometheus metrics, made when somebody asks for them.

Labels are bounded by the configuration: venues, connections, streams and states, never symbols. What is not known has
no sample, so that no alert takes it for zero. `docs/metrics.md` lists all of them, and a test keeps the list true.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from collector.feed.connection import ConnectionState
from collector.feed.failures import Place
from collector.venues.events import SubscriptionState

if TYPE_CHECKING:
    from collector.status.facts import JournalFacts, Status, SubscriptionFacts, VenueFacts
    from collector.supervise.looks import Looks

_CONNECTION = ("venue", "connection")

# Values with the values of their labels.
Samples = Iterable[tuple[tuple[str, ...], float | None]]


class DaemonMetrics(Collector):
    """Turns one snapshot a scrape into metric families."""

    def __init__(self, look: Callable[[], Status], looks: Looks) -> None:
        self._look = look
        self._looks = looks

    def describe(self) -> list[Metric]:
        """Name nothing beforehand: registering must not need a daemon that has started."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield every family; those of a part that cannot be told are left out."""
        status = self._look()
        for make in (_daemon, _counts, _venues, _connections, _subscriptions, _completeness, _storage):
            nothing: list[Metric] = []
            yield from self._looks.take(f"metrics of {make.__name__[1:]}", partial(_made, make, status), nothing)


def _made(make: Callable[[Status], Iterator[Metric]], status: Status) -> list[Metric]:
    return list(make(status))


def _daemon(status: Status) -> Iterator[Metric]:
    health = status.health
    yield _gauge("build_info", "Always 1; the version is in the label.", [((status.version,), 1)], "version")
    yield _gauge("healthy", "1 while /healthz is green.", [((), health.healthy)])
    yield _gauge("ready", "1 while /readyz is green: every venue is recorded.", [((), health.ready)])
    yield _gauge("uptime_seconds", "How long ago the daemon started.", [((), status.uptime_seconds)])
    yield _counter(
        "part_failures",
        "Crashes of a part beside recording, each followed by a new start.",
        (((part.name,), part.failures) for part in status.parts),
        "part",
    )
    yield _gauge(
        "part_troubled",
        "1 while a part beside recording does not do its work.",
        (((part.name,), part.trouble != "") for part in status.parts),
        "part",
    )
    yield _counter("failed_looks", "Looks for status and metrics that failed.", [((), status.failed_looks)])
    if (process := status.process) is None:
        return
    yield _gauge("memory_bytes", "Resident memory of the daemon.", [((), process.rss_bytes)])
    yield _counter("cpu_seconds", "Processor time used by the daemon.", [((), process.cpu_seconds)])
    yield _gauge(
        "loop_late_seconds",
        "The longest that the event loop stood still in the last minute.",
        [((), process.loop_late_seconds)],
    )
    yield _counter("log_lines_lost", "Lines of the log that could not be written.", [((), process.log_lines_lost)])


def _counts(status: Status) -> Iterator[Metric]:
    if (totals := status.totals) is None:
        return
    yield _counter(
        "items",
        "Items of frames by what became of them; the three outcomes add up to all items.",
        (
            ((table, outcome), value)
            for table, count in totals.tables.items()
            for outcome, value in (
                ("stored", count.stored),
                ("duplicate", count.duplicates),
                ("quarantined", count.quarantined),
            )
        ),
        "table",
        "outcome",
    )
    yield _gauge(
        "unaccounted_items",
        "Items that were dropped without being stored, a duplicate or quarantined; always 0.",
        [((), totals.unaccounted)],
    )
    yield _gauge("items_add_up", "1 while the outcomes add up to what the frames held.", [((), totals.adds_up)])


def _venues(status: Status) -> Iterator[Metric]:
    venues = status.venues
    yield _counter(
        "worker_failures",
        "Crashes of a venue's worker, each followed by a new start.",
        (((venue.venue,), venue.failures) for venue in venues),
        "venue",
    )
    yield _counter(
        "adapter_failures",
        "Bugs of a venue's adapter, by the place where it was called; each costs its line or its call.",
        (((venue.venue, place), venue.adapter_failures.get(place, 0)) for venue in venues for place in Place),
        "venue",
        "place",
    )
    yield _gauge(
        "venue_problems",
        "Configured symbols that the venue does not have.",
        (((venue.venue,), len(venue.problems)) for venue in venues),
        "venue",
    )
    yield _gauge(
        "venue_clock_offset_seconds",
        "The least of received less venue time in the last minute or two; negative where the venue's clock is ahead.",
        (((venue.venue,), venue.clock_offset_seconds) for venue in venues),
        "venue",
    )
    used = [((venue.venue,), venue.rest) for venue in venues if venue.rest is not None]
    yield _counter("rest_calls", "REST calls made.", ((at, rest.calls) for at, rest in used), "venue")
    yield _counter("rest_failed", "REST calls that failed.", ((at, rest.failed) for at, rest in used), "venue")
    yield _counter(
        "rest_throttled",
        "REST calls that the venue answered with 429: too many.",
        ((at, rest.throttled) for at, rest in used),
        "venue",
    )
    yield _gauge(
        "rest_allowed_per_second",
        "REST calls a second that are made at the most.",
        ((at, rest.allowed_per_second) for at, rest in used),
        "venue",
    )
    yield _gauge(
        "rest_pause_seconds",
        "How long no REST call will be made, since the venue asked for a pause.",
        ((at, rest.pause_seconds) for at, rest in used),
        "venue",
    )


def _completeness(status: Status) -> Iterator[Metric]:
    venues, audit = status.venues, status.audit
    yield _gauge(
        "gaps_open",
        "Gaps that wait for their end or their repair.",
        (((venue.venue, cause), count) for venue in venues for cause, count in (venue.gaps or {}).items()),
        "venue",
        "cause",
    )
    yield _counter(
        "gaps",
        "Gaps in the table, whatever became of them.",
        (((venue.venue, cause), count) for venue in venues for cause, count in (venue.gaps_recorded or {}).items()),
        "venue",
        "cause",
    )
    repairs = [(venue.venue, venue.repair) for venue in venues if venue.repair is not None]
    yield _gauge(
        "gaps_waiting",
        "Gaps that are being repaired or wait for it.",
        (((name,), repair.waiting) for name, repair in repairs),
        "venue",
    )
    yield _counter(
        "repaired_gaps", "Gaps closed as repaired.", (((name,), repair.repaired) for name, repair in repairs), "venue"
    )
    yield _counter(
        "lost_gaps", "Gaps closed as unrecoverable.", (((name,), repair.lost) for name, repair in repairs), "venue"
    )
    yield _counter(
        "repaired_rows", "Rows that repairs have found.", (((name,), repair.rows) for name, repair in repairs), "venue"
    )
    yield _counter(
        "audited_minutes",
        "Minutes compared with the venue's candles, by what came of it.",
        (
            ((venue, verdict), count)
            for venue, verdicts in (audit.verdicts if audit else {}).items()
            for verdict, count in verdicts.items()
        ),
        "venue",
        "verdict",
    )
    yield _gauge("audit_alarms", "Minutes that nothing explains.", [((), audit.open_alarms if audit else None)])


def _connections(status: Status) -> Iterator[Metric]:
    held = [((venue.venue, one.name), one) for venue in status.venues for one in venue.connections]
    yield _counter("frames", "Frames received.", ((at, one.frames) for at, one in held), *_CONNECTION)
    yield _counter(
        "received_bytes", "Bytes of the frames received.", ((at, one.bytes) for at, one in held), *_CONNECTION
    )
    yield _counter(
        "reconnects",
        "Lost or failed connections, each followed by a new try.",
        ((at, one.reconnects) for at, one in held),
        *_CONNECTION,
    )
    yield _counter(
        "losses",
        "The same by kind of reason.",
        (((*at, kind), count) for at, one in held for kind, count in one.losses.items()),
        *_CONNECTION,
        "kind",
    )
    yield _gauge(
        "last_frame_age_seconds",
        "How long ago the last frame came.",
        ((at, one.last_frame_age_seconds) for at, one in held),
        *_CONNECTION,
    )
    yield _gauge(
        "connection_state",
        "1 for the state that the connection is in, 0 for the others.",
        (((*at, str(state)), one.state == state) for at, one in held for state in ConnectionState),
        *_CONNECTION,
        "state",
    )


def _subscriptions(status: Status) -> Iterator[Metric]:
    venues = status.venues
    counts: Counter[tuple[str, str, str]] = Counter()
    newest: dict[tuple[str, str], float] = {}
    for venue, one in _each(venues):
        counts[venue, one.stream, one.state] += 1
        if one.last_record_age_seconds is not None:
            stream = venue, one.stream
            newest[stream] = min(one.last_record_age_seconds, newest.get(stream, one.last_record_age_seconds))
    streams = dict.fromkeys((venue, one.stream) for venue, one in _each(venues))
    yield _gauge(
        "subscriptions",
        "Subscriptions (one symbol on one channel) by state.",
        (((*at, str(state)), counts[(*at, str(state))]) for at in streams for state in SubscriptionState),
        "venue",
        "stream",
        "state",
    )
    yield _gauge(
        "last_record_age_seconds",
        "How long ago the stream's newest record came, over all its symbols.",
        newest.items(),
        "venue",
        "stream",
    )


def _each(venues: tuple[VenueFacts, ...]) -> Iterator[tuple[str, SubscriptionFacts]]:
    for venue in venues:
        for connection in venue.connections:
            for one in connection.subscriptions:
                yield venue.venue, one


def _storage(status: Status) -> Iterator[Metric]:
    if (journal := status.journal) is not None:
        yield from _journal(journal)
    if (database := status.database) is not None:
        yield _gauge(
            "database_connected", "1 while the database takes what it is given.", [((), database.state == "connected")]
        )
        yield _gauge(
            "last_commit_age_seconds",
            "How long ago the last batch was committed.",
            [((), database.last_commit_age_seconds)],
        )


def _journal(journal: JournalFacts) -> Iterator[Metric]:
    yield _gauge("journal_backlog_bytes", "Received and not in the tables yet.", [((), journal.backlog_bytes)])
    yield _gauge(
        "journal_backlog_seconds",
        "How long ago the oldest frame came that is not in the tables yet.",
        [((), journal.backlog_seconds)],
    )
    yield _gauge("journal_buffered_bytes", "Received and not written to disk yet.", [((), journal.buffered_bytes)])
    yield _gauge("journal_fault", "1 while the disk refuses the journal.", [((), journal.fault is not None)])
    yield _gauge("journal_used_bytes", "What the journal takes on the disk.", [((), journal.used_bytes)])
    yield _gauge(
        "journal_full", "1 while venues are held back because the disk is full or too slow.", [((), journal.full)]
    )
    yield _gauge(
        "journal_refusing",
        "1 while nothing is recorded because the disk budget is used up.",
        [((), journal.refusal is not None)],
    )


def _gauge(name: str, text: str, samples: Samples, *labels: str) -> Metric:
    return _filled(GaugeMetricFamily(f"collector_{name}", text, labels=labels), samples)


def _counter(name: str, text: str, samples: Samples, *labels: str) -> Metric:
    return _filled(CounterMetricFamily(f"collector_{name}", text, labels=labels), samples)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, samples: Samples) -> Metric:
    for labels, value in samples:
        if value is not None:
            family.add_metric(labels, float(value))
    return family
