"""The shape of what the daemon tells about itself; `/api/status` is this, as JSON.

Scripts read these names: they are documented in `docs/status.md`, a test keeps the two in step, and a name is never
given another meaning. Times are ISO 8601 in UTC, spans are seconds, sizes are bytes, all say so in their name or here.
None is "not known", never zero.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """Something that is not as it should be: whose, and why."""

    part: str
    reason: str


@dataclass(frozen=True, slots=True)
class Health:
    """The verdicts of `/healthz` and `/readyz`; `warnings` turn neither red."""

    healthy: bool
    ready: bool
    not_healthy: tuple[Reason, ...]
    not_ready: tuple[Reason, ...]
    warnings: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class SubscriptionFacts:
    """One symbol on one channel. The last two are of its stream, over all channels that bring it."""

    channel: str
    stream: str
    symbol: str
    state: str
    since: str
    reason: str
    last_record_age_seconds: float | None
    records_per_second: float | None
    commit_lag_seconds: float | None


@dataclass(frozen=True, slots=True)
class ConnectionFacts:
    """One connection of a venue; the counts are since the daemon's start and outlive reconnects."""

    name: str
    state: str
    since: str
    state_seconds: float
    reason: str
    frames: int
    bytes: int
    reconnects: int
    losses: dict[str, int]
    last_frame_age_seconds: float | None
    subscriptions: tuple[SubscriptionFacts, ...]


@dataclass(frozen=True, slots=True)
class ProblemFacts:
    """Something configured that the venue does not have."""

    symbol: str
    reason: str


@dataclass(frozen=True, slots=True)
class RestFacts:
    """What a venue's REST budget was used for since the start."""

    calls: int
    failed: int
    throttled: int
    allowed_per_second: float
    pause_seconds: float


@dataclass(frozen=True, slots=True)
class RepairFacts:
    """What a venue's repairer does (`idle`, `repairing`, or `waiting` for the next try); counts are since the start."""

    state: str
    waiting: int
    repaired: int
    lost: int
    rows: int
    trouble: str


@dataclass(frozen=True, slots=True)
class VenueFacts:
    """One configured venue. `failed` is true from a worker's crash until it works again.

    `adapter_failures`: bugs of its adapter since the start, by the place where it was called.
    """

    venue: str
    adapter: str
    state: str
    since: str
    reason: str
    failed: bool
    failures: int
    adapter_failures: dict[str, int]
    clock_offset_seconds: float | None
    rest: RestFacts | None
    repair: RepairFacts | None
    gaps: dict[str, int] | None
    gaps_recorded: dict[str, int] | None
    problems: tuple[ProblemFacts, ...]
    connections: tuple[ConnectionFacts, ...]


@dataclass(frozen=True, slots=True)
class CountFacts:
    """What became of the items since the start; `items` is the sum of the other three while all is well."""

    items: int
    stored: int
    duplicates: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class TotalFacts:
    """All tables, and whether items = stored + duplicates + quarantined in each of them and nothing else was dropped.

    `unaccounted`: items of frames received since the start that are neither of the three nor still on their way.
    """

    tables: dict[str, CountFacts]
    total: CountFacts
    adds_up: bool
    unaccounted: int


@dataclass(frozen=True, slots=True)
class RateFacts:
    """Averages over the last `window_seconds`."""

    window_seconds: float
    rows_per_second: float | None
    frames_per_second: float | None
    bytes_per_second: float | None


@dataclass(frozen=True, slots=True)
class LagFacts:
    """Seconds from the receipt of a batch's oldest frame to its commit, as read from the histogram's buckets."""

    last_seconds: float | None
    p50_seconds: float | None
    p99_seconds: float | None
    recent_p50_seconds: float | None
    recent_p99_seconds: float | None


@dataclass(frozen=True, slots=True)
class PlaceFacts:
    """A place in the journal."""

    segment: int
    offset: int


@dataclass(frozen=True, slots=True)
class JournalFacts:
    """How far the journal has come. `backlog_bytes`: received and not in the tables yet."""

    segment: int
    end: PlaceFacts
    durable: PlaceFacts
    committed: PlaceFacts | None
    backlog_bytes: int | None
    backlog_seconds: float | None
    buffered_bytes: int
    used_bytes: int
    full: bool
    refusal: str | None
    fault: str | None


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """The file system that holds the data folder; None where the system does not tell."""

    free_bytes: int | None
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """The database: `starting`, `connected` or `away`. `psql`: a command to paste, where the server is ours."""

    place: str
    embedded: bool
    state: str
    since: str
    reason: str
    last_commit_age_seconds: float | None
    psql: str | None


@dataclass(frozen=True, slots=True)
class AlarmFacts:
    """A minute whose trades and candle disagree without a reason: the candle's volume, and what is stored of it."""

    venue: str
    symbol: str
    minute: str
    expected: str | None
    stored: str
    state: str


@dataclass(frozen=True, slots=True)
class FetchFacts:
    """Candles fetched for the audit at one venue: of how many instruments, and how far behind the farthest one is."""

    venue: str
    instruments: int
    refused: int
    behind_minutes: int
    trouble: str


@dataclass(frozen=True, slots=True)
class UnjudgedFacts:
    """A stream of a venue's instruments that the audit cannot judge, and why; `symbols` are some of them."""

    venue: str
    stream: str
    reason: str
    instruments: int
    symbols: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AuditFacts:
    """Minutes compared with the venues' candles since the start. `verdicts`: the same by venue and verdict."""

    last_minute: str | None
    checked: int
    complete: int
    explained: int
    unexplained: int
    not_comparable: int
    open_alarms: int
    verdicts: dict[str, dict[str, int]]
    trouble: str
    fetching: tuple[FetchFacts, ...]
    unjudged: tuple[UnjudgedFacts, ...]
    alarms: tuple[AlarmFacts, ...]


@dataclass(frozen=True, slots=True)
class ConfigurationFacts:
    """What is configured. `refused`: the last reload's faults; `needs_restart`: what it could not change."""

    origin: str
    loaded: str
    reloads: int
    tried: str | None
    refused: tuple[str, ...]
    needs_restart: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """`loop_late_seconds`: the longest that the event loop stood still in the last minute.

    `log_lines_lost`: lines that could not be written since the start.
    """

    pid: int
    rss_bytes: int
    cpu_seconds: float
    loop_late_seconds: float | None
    log_lines_lost: int


@dataclass(frozen=True, slots=True)
class PartFacts:
    """A part of the daemon beside recording: its crashes since the start, and why it does not run; empty: it does."""

    name: str
    failures: int
    trouble: str


@dataclass(frozen=True, slots=True)
class Status:
    """Everything at one moment. A part that cannot be looked at is None, and `health` says so."""

    version: str
    started: str
    now: str
    uptime_seconds: float
    health: Health
    configuration: ConfigurationFacts | None
    venues: tuple[VenueFacts, ...]
    totals: TotalFacts | None
    rates: RateFacts | None
    lag: LagFacts | None
    audit: AuditFacts | None
    journal: JournalFacts | None
    disk: DiskFacts
    database: DatabaseFacts | None
    process: ProcessFacts | None
    parts: tuple[PartFacts, ...]
    failed_looks: int


@dataclass(frozen=True, slots=True)
class StreamDayFacts:
    """One instrument's stream over the last day; a character of `strip` is one of the day's spans, the oldest first."""

    venue: str
    symbol: str
    stream: str
    strip: str
    covered_share: float
    gaps: int


@dataclass(frozen=True, slots=True)
class QuarantinedFacts:
    """One frame or row that waits in quarantine, without its bytes."""

    received: str
    venue: str | None
    stream: str | None
    kind: str | None
    error: str
    items: int


@dataclass(frozen=True, slots=True)
class QuarantineFacts:
    """What waits in quarantine, whenever it came; `waiting` is counted to 10,000 at the most."""

    waiting: int
    newest: tuple[QuarantinedFacts, ...]


@dataclass(frozen=True, slots=True)
class Day:
    """The last 24 hours as the tables tell them; `/api/day` is this. While it is `away` they are the last known."""

    state: str
    reason: str
    asked: str
    from_time: str
    to_time: str
    streams: tuple[StreamDayFacts, ...]
    quarantine: QuarantineFacts
