"""What feeds the watchdog, and what does not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from collector.daemon.progress import RECORDER_IDLE_MAX_SECONDS, WORKERS_DEAD_MAX_SECONDS, Progress
from collector.journal import Kind
from collector.model import Records
from collector.status.snapshot import snapshot
from collector.store.batch import Batch
from tests.kit.watched import WatchedDaemon, watched


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[WatchedDaemon]:
    async with watched(tmp_path) as one:
        for venue in ("one", "two"):
            one.add_connection(one.add_venue(venue), "A")
        one.intake.catch_up(one.normaliser)
        yield one


@pytest.fixture
def progress(daemon: WatchedDaemon) -> Progress:
    return Progress(daemon.observed, lambda: snapshot(daemon.observed).venues)


def crash(daemon: WatchedDaemon, *venues: str) -> None:
    for venue in venues:
        daemon.workers[venue].failed_ns, daemon.workers[venue].failure = daemon.clock.now_ns(), "ZeroDivisionError: x"


async def leave_work(daemon: WatchedDaemon) -> None:
    """Put something into the journal and into the queue, as the intake does."""
    daemon.recorder.committed = daemon.journal.end
    daemon.journal.append(1, Kind.NOTE, daemon.clock.now_ns(), b"{}")
    await daemon.journal.sync(daemon.journal.end)
    end = daemon.journal.end
    daemon.intake.queue.offer(Batch(Records(), end, daemon.clock.now_ns(), 10))


def test_a_quiet_daemon_gets_on(daemon: WatchedDaemon, progress: Progress) -> None:
    for _ in range(10):
        assert progress.stuck() is None
        daemon.clock.now += 1000


def test_one_worker_that_crashes_does_not_cost_the_others_a_restart(daemon: WatchedDaemon, progress: Progress) -> None:
    crash(daemon, "one")
    assert progress.stuck() is None
    daemon.clock.now += 10 * WORKERS_DEAD_MAX_SECONDS
    assert progress.stuck() is None


def test_workers_that_all_crash_for_long_are_given_up(daemon: WatchedDaemon, progress: Progress) -> None:
    crash(daemon, "one", "two")
    assert progress.stuck() is None
    daemon.clock.now += WORKERS_DEAD_MAX_SECONDS
    assert progress.stuck() == "every worker crashes: one: ZeroDivisionError: x; two: ZeroDivisionError: x"
    daemon.workers["two"].failed_ns = None
    assert progress.stuck() is None


async def test_recorder_that_does_nothing_with_its_work_is_stuck(daemon: WatchedDaemon, progress: Progress) -> None:
    await leave_work(daemon)
    assert progress.stuck() is None  # it has only just come
    assert progress.stuck() is None
    daemon.clock.now += RECORDER_IDLE_MAX_SECONDS
    assert str(progress.stuck()).startswith("the recorder has done nothing for 60 s")
    daemon.recorder.committed = daemon.journal.end
    assert progress.stuck() is None


async def test_recorder_that_reads_the_journal_is_not(daemon: WatchedDaemon, progress: Progress) -> None:
    await leave_work(daemon)
    for _ in range(5):
        daemon.recorder.turns += 1
        assert progress.stuck() is None
        daemon.clock.now += RECORDER_IDLE_MAX_SECONDS


@pytest.mark.parametrize("excuse", ["busy", "away"])
async def test_recorder_that_waits_for_the_database_is_not(
    daemon: WatchedDaemon, progress: Progress, excuse: str
) -> None:
    await leave_work(daemon)
    if excuse == "busy":
        daemon.recorder.busy = True
    else:
        daemon.writer_connection.note_away("the server is starting up")
    for _ in range(5):
        assert progress.stuck() is None
        daemon.clock.now += RECORDER_IDLE_MAX_SECONDS
