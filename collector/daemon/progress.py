"""Whether the daemon gets on, which is what its watchdog is fed by.

A watchdog that a timer feeds proves that timers work. This one asks what a restart would cure: workers that crash, all
of them, again and again, or a recorder that has work, a database and no reason to wait, and does nothing. A slow
database, a disk that refuses, a venue that is down are no reasons: a restart would only add a gap to them. One worker
that crashes must not cost the others theirs. (A blocked event loop needs no question: it feeds nothing.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from collector.status.facts import VenueFacts
from collector.status.observed import Observed

# The daemon restarts a worker that crashed. If none has run for this long, it lets systemd restart it.
WORKERS_DEAD_MAX_SECONDS = 300.0
# If the recorder has done nothing for this long although there is work, the daemon lets systemd restart it.
RECORDER_IDLE_MAX_SECONDS = 60.0


class Progress:
    """Remembers between looks; `look` tells how the venues are."""

    def __init__(self, observed: Observed, look: Callable[[], Sequence[VenueFacts]]) -> None:
        self._observed = observed
        self._look = look
        self._dead_since: float | None = None
        self._idle_since: float | None = None
        self._at: object = None

    def __repr__(self) -> str:
        return f"<Progress dead_since={self._dead_since} idle_since={self._idle_since}>"

    def stuck(self) -> str | None:
        """Return why a restart is due; None while all is well, or wrong in a way that no restart cures."""
        now = self._observed.clock.monotonic()
        return self._dead(now) or self._idle(now)

    def _dead(self, now: float) -> str | None:
        venues = self._look()
        if not venues or not all(venue.failed for venue in venues):
            self._dead_since = None
            return None
        if self._dead_since is None:
            self._dead_since = now
        if now - self._dead_since < WORKERS_DEAD_MAX_SECONDS:
            return None
        return "every worker crashes: " + "; ".join(f"{venue.venue}: {venue.reason}" for venue in venues)

    def _idle(self, now: float) -> str | None:
        observed = self._observed
        recorder, committed = observed.recorder, observed.recorder.committed
        at = committed, recorder.turns
        waits = committed is not None and not observed.intake.settled and committed < observed.journal.durable
        moved = at != self._at
        self._at = at
        if moved or not waits or recorder.busy or not observed.writer_connection.connected:
            self._idle_since = None
            return None
        if self._idle_since is None:
            self._idle_since = now
        if now - self._idle_since < RECORDER_IDLE_MAX_SECONDS:
            return None
        return f"the recorder has done nothing for {now - self._idle_since:.0f} s although rows are waiting"
