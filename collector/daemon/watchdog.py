"""Tells systemd that the daemon gets on, and nothing while it does not: then it is started anew."""

from __future__ import annotations

from typing import Final

import structlog

from collector.daemon.progress import Progress
from collector.daemon.systemd import Notifier
from collector.status.observed import Observed
from collector.status.snapshot import snapshot

log = structlog.get_logger()

# How often the status line is renewed where no watchdog is set.
STATUS_INTERVAL_SECONDS: Final = 10.0


async def feed_watchdog(observed: Observed, notifier: Notifier) -> None:
    """Feed it until cancelled."""
    progress = Progress(observed, lambda: snapshot(observed).venues)
    looks, told = observed.statistics.looks, None
    while True:
        # What cannot be looked at is no reason for a restart: that it was tried shows that the loop gets on.
        stuck = looks.take("progress", progress.stuck, None)
        if stuck is None:
            notifier.watchdog()
            notifier.status(looks.take("summary", lambda: summary(observed), "recording; see the log"))
        else:
            notifier.status(f"stuck: {stuck}")
            if told is None:
                log.error(
                    "stuck",
                    reason=stuck,
                    remedy="the watchdog is no longer notified, so systemd will restart the daemon",
                )
        told = stuck
        await observed.clock.sleep(
            notifier.watchdog_seconds / 3 if notifier.watchdog_seconds else STATUS_INTERVAL_SECONDS
        )


def summary(observed: Observed) -> str:
    """Return one line for people."""
    connections = [feed for worker in observed.workers.values() for feed in worker.worker.connections.values()]
    live = sum(feed.state == "live" for feed in connections)
    backlog = observed.recorder.backlog_bytes
    behind = "the database has not answered yet" if backlog is None else f"{backlog} bytes behind"
    troubles = "".join(f"; {part.name}: {part.trouble}" for part in observed.parts.values() if part.trouble)
    return f"{observed.statistics.total.stored} rows stored, {live} connections live, {behind}{troubles}"
