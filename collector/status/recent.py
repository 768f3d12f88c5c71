"""What happened lately: rates, lags and how late the event loop was, from one look a second.

The daemon counts since its start and keeps no history; this does, for a minute, in bounded memory. It also remembers
when each subscription last brought a record, which a parser forgets with its connection.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import deque
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from collector.model import Instrument
from collector.status.facts import DiskFacts, RateFacts
from collector.status.observed import Observed
from collector.tables import OF_INSTRUMENTS

if TYPE_CHECKING:
    from prometheus_client import Histogram

# How often the counters are sampled.
SAMPLE_SECONDS = 1.0
# The spans over which rates, lags and the rows of streams are told.
RATE_SPAN_SECONDS = 10.0
LAG_SPAN_SECONDS = 60.0
STREAM_SPAN_SECONDS = 60.0
# There are many streams, and disks answer slowly: both are sampled less often.
STREAM_SAMPLE_SECONDS = 5.0
DISK_SAMPLE_SECONDS = 10.0

# A histogram's upper bounds and the count of observations up to each.
Buckets = tuple[tuple[float, float], ...]


class _Look(NamedTuple):
    at: float
    rows: int
    frames: int
    bytes: int
    lag: Buckets
    late: float


class _StreamLook(NamedTuple):
    at: float
    rows: dict[Instrument, dict[str, int]]


class Recent:
    """One minute of looks at a daemon; `watch` takes them."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed
        self._looks: deque[_Look] = deque(maxlen=int(LAG_SPAN_SECONDS / SAMPLE_SECONDS) + 1)
        self._seen: dict[tuple[str, str], dict[str, int]] = {}
        self._streams: deque[_StreamLook] = deque(maxlen=int(STREAM_SPAN_SECONDS / STREAM_SAMPLE_SECONDS) + 1)
        self.disk = DiskFacts(None, None)
        # Taken once, so that the same moment is told alike by every look.
        self._zero_ns = observed.clock.now_ns() - int(observed.clock.monotonic() * 1e9)

    def __repr__(self) -> str:
        return f"<Recent looks={len(self._looks)}>"

    async def watch(self) -> None:
        """Look once a second until cancelled."""
        clock = self._observed.clock
        late = 0.0
        while True:
            self._observed.statistics.looks.take("recent rates", partial(self.look, late), None)
            due = clock.monotonic() + SAMPLE_SECONDS
            await clock.sleep(SAMPLE_SECONDS)
            late = max(0.0, clock.monotonic() - due)

    async def watch_disk(self) -> None:
        """Ask how full the disk is until cancelled; a disk that does not answer holds nothing else up."""
        while True:
            try:
                self.disk = await asyncio.to_thread(_disk, self._observed.journal.directory)
            except RuntimeError as error:  # no thread could be started
                self._observed.statistics.looks.failed("disk", error)
            await self._observed.clock.sleep(DISK_SAMPLE_SECONDS)

    def look(self, late: float = 0.0) -> None:
        """Remember how things stand now; `late` is how many seconds later than planned this happens."""
        self._looks.append(self._now(late))
        self.remember_last_seen()
        at = self._looks[-1].at
        if not self._streams or at - self._streams[-1].at >= STREAM_SAMPLE_SECONDS:
            rows = self._observed.statistics.rows_by_instrument
            self._streams.append(_StreamLook(at, {instrument: dict(counts) for instrument, counts in rows.items()}))

    def stream_rate(self, instrument: Instrument, stream: str) -> float | None:
        """Return the records a second of an instrument's stream, over the last minute or as much of it as is known."""
        now = self._observed.clock.monotonic()
        then = next((look for look in self._streams if now - look.at <= STREAM_SPAN_SECONDS), None)
        if then is None or now - then.at < STREAM_SAMPLE_SECONDS or stream not in OF_INSTRUMENTS:
            return None
        counts = self._observed.statistics.rows_by_instrument.get(instrument)
        before = then.rows.get(instrument, {}).get(stream, 0)
        return round(((counts[stream] if counts else 0) - before) / (now - then.at), 2)

    def rates(self) -> RateFacts:
        """Return the averages between now and ten seconds ago."""
        now = self._now()
        then = self._since(now.at - RATE_SPAN_SECONDS)
        seconds = now.at - then.at if then else 0.0
        if then is None or seconds < SAMPLE_SECONDS / 2:
            return RateFacts(RATE_SPAN_SECONDS, None, None, None)
        # A connection that left the plan takes its counts with it.
        rows, frames, size = (max(0, b - a) / seconds for a, b in zip(then[1:4], now[1:4], strict=True))
        return RateFacts(RATE_SPAN_SECONDS, round(rows, 1), round(frames, 1), round(size, 1))

    def lag(self, q: float) -> float | None:
        """Return a quantile of the lags of the last minute; None when nothing was committed in it."""
        now = self._now()
        then = self._since(now.at - LAG_SPAN_SECONDS)
        if then is None:
            return None
        return quantile([(bound, b - a) for (bound, b), (_, a) in zip(now.lag, then.lag, strict=True)], q)

    @property
    def late_seconds(self) -> float | None:
        """The longest delay of the event loop in the last minute."""
        return max((look.late for look in self._looks), default=None)

    def wall_ns(self, monotonic: float) -> int:
        """Return the time of day of a moment that was taken in monotonic seconds."""
        return self._zero_ns + int(monotonic * 1e9)

    def last_seen_ns(self, venue: str, channel: str, symbol: str) -> int | None:
        """Return when the newest record of a subscription was received, over all its connections so far."""
        return self._seen.get((venue, channel), {}).get(symbol)

    def _since(self, at: float) -> _Look | None:
        return next((look for look in self._looks if look.at >= at), None)

    def _now(self, late: float = 0.0) -> _Look:
        observed = self._observed
        feeds = [feed for one in observed.workers.values() for feed in one.worker.connections.values()]
        return _Look(
            observed.clock.monotonic(),
            observed.statistics.total.stored,
            sum(feed.frames for feed in feeds),
            sum(feed.bytes for feed in feeds),
            buckets(observed.statistics.lag),
            late,
        )

    def remember_last_seen(self) -> None:
        """Take over from the parsers of all living connections when each subscription last brought a record."""
        for session in self._observed.intake.normaliser.sessions.values():
            for channel, symbols in session.parser.last_seen.items():
                known = self._seen.setdefault((session.venue, channel), {})
                for symbol, at_ns in symbols.items():
                    if at_ns > known.get(symbol, 0):
                        known[symbol] = at_ns


def _disk(folder: Path) -> DiskFacts:
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return DiskFacts(None, None)
    return DiskFacts(usage.free, usage.total)


def buckets(histogram: Histogram) -> Buckets:
    """Read a histogram without labels."""
    return tuple(
        (float(sample.labels["le"]), sample.value)
        for metric in histogram.collect()
        for sample in metric.samples
        if sample.name.endswith("_bucket")
    )


def quantile(cumulative: Sequence[tuple[float, float]], q: float) -> float | None:
    """Estimate a quantile as Prometheus does: evenly spread within a bucket, never beyond the last finite bound."""
    total = cumulative[-1][1] if cumulative else 0
    if total <= 0:
        return None
    rank = q * total
    for (low, below), (high, upto) in pairwise([(0.0, 0.0), *cumulative]):
        if upto >= rank and upto > below:
            return low if high == float("inf") else low + (high - low) * (rank - below) / (upto - below)
    return None  # pragma: no cover  the last bucket holds everything
