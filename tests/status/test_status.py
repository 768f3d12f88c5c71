"""What a snapshot tells, and the two verdicts in both colours."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import orjson
import pytest
from structlog.testing import capture_logs

from collector.audit.fetching import CandleFetcher
from collector.audit.losses import Alarm
from collector.audit.unjudged import UnjudgedGroup
from collector.backoff import BACKOFF_MAX_SECONDS
from collector.feed.connection import UNAUTHORIZED_PAUSE_SECONDS, ConnectionState
from collector.feed.line import LiveConnection
from collector.feed.network import Loss
from collector.feed.worker import WorkerState
from collector.journal import Kind
from collector.status import facts
from collector.status.facts import Health
from collector.status.recent import Recent, quantile
from collector.status.snapshot import snapshot
from collector.store.batch import TableCount
from collector.venues.plan import Problem
from tests.feed.fakes import FakeClock
from tests.kit.known import known
from tests.kit.stage import until
from tests.kit.watched import HINT, WatchedDaemon, watched

DOCS = Path(__file__).parents[2] / "docs" / "status.md"


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[WatchedDaemon]:
    async with watched(tmp_path) as one:
        yield one


@pytest.fixture
def recording(daemon: WatchedDaemon) -> WatchedDaemon:
    daemon.add_connection(daemon.add_venue(), "A", "B")
    return daemon


def health(daemon: WatchedDaemon) -> Health:
    return snapshot(daemon.observed).health


def texts(reasons: tuple[facts.Reason, ...]) -> str:
    return "\n".join(f"{one.part}: {one.reason}" for one in reasons)


# -- facts -------------------------------------------------------------------------------------------------------------


def test_snapshot_is_json_that_tells_of_every_connection_and_subscription(recording: WatchedDaemon) -> None:
    feed = recording.first_connection
    feed.heard.frames, feed.heard.bytes, feed.reconnects = 7, 700, 2
    feed.heard.last_frame_ns = recording.clock.now_ns() - 500_000_000
    recent = Recent(recording.observed)
    recent.look()
    status = orjson.loads(orjson.dumps(snapshot(recording.observed, recent)))
    connection = status["venues"][0]["connections"][0]
    subscriptions = connection.pop("subscriptions")
    assert connection == {
        "name": "fake-1",
        "state": "live",
        "since": "2023-11-14T22:12:20.000Z",
        "state_seconds": 60.0,
        "reason": "",
        "frames": 7,
        "bytes": 700,
        "reconnects": 2,
        "losses": {},
        "last_frame_age_seconds": 0.5,
    }
    assert subscriptions[1] == {
        "channel": "deals",
        "stream": "trades",
        "symbol": "B",
        "state": "flowing",
        "since": "2023-11-14T22:12:20.000Z",
        "reason": "",
        "last_record_age_seconds": 2.0,
        "records_per_second": None,
        "commit_lag_seconds": None,
    }
    assert status["now"] == "2023-11-14T22:13:20.000Z"
    assert status["uptime_seconds"] == 3600
    assert status["process"]["rss_bytes"] > 1_000_000


def test_losses_of_a_connection_are_json_by_their_kind(recording: WatchedDaemon) -> None:
    feed = recording.first_connection
    feed.losses[Loss.CUT] += 2
    status = orjson.loads(orjson.dumps(snapshot(recording.observed)))
    assert status["venues"][0]["connections"][0]["losses"] == {"cut": 2}


def test_use_of_rest_is_told_once_there_is_some(recording: WatchedDaemon) -> None:
    assert snapshot(recording.observed).venues[0].rest is None
    rest = recording.workers["fake"].worker.rest = recording.rest()
    rest.use.calls, rest.use.failed, rest.use.throttled = 9, 2, 1
    rest.use.not_before = recording.clock.monotonic() + 3
    assert snapshot(recording.observed).venues[0].rest == facts.RestFacts(9, 2, 1, rest.use.per_second, 3.0)


def test_clock_offset_is_that_of_the_newest_records(recording: WatchedDaemon) -> None:
    assert snapshot(recording.observed).venues[0].clock_offset_seconds is None
    recording.commit(TableCount(1, 1, 0, 0))
    assert snapshot(recording.observed).venues[0].clock_offset_seconds == 0.0


def test_backlog_is_told_in_seconds_while_there_is_one(recording: WatchedDaemon) -> None:
    recording.intake.catch_up(recording.normaliser)
    assert known(snapshot(recording.observed).journal).backlog_seconds is None
    recording.intake.oldest_ns = recording.clock.now_ns() - 4_000_000_000
    assert known(snapshot(recording.observed).journal).backlog_seconds == 4.0


def test_subscriptions_of_a_lost_connection_are_told_with_its_reason_and_their_last_record(
    recording: WatchedDaemon,
) -> None:
    recent = Recent(recording.observed)
    recent.look()
    feed = recording.first_connection
    feed.state, feed.reason, feed.living = ConnectionState.WAITING, "cut; next try in 3.0 s", None
    recording.normaliser.sessions.clear()
    recording.clock.now += 5
    subscription = snapshot(recording.observed, recent).venues[0].connections[0].subscriptions[0]
    assert subscription.state == "waiting"
    assert subscription.reason == "cut; next try in 3.0 s"
    assert subscription.last_record_age_seconds == 7.0


def test_subscription_that_never_brought_a_record_has_no_age(daemon: WatchedDaemon) -> None:
    daemon.add_connection(daemon.add_venue(), "A", state=ConnectionState.CONNECTING)
    assert snapshot(daemon.observed).venues[0].connections[0].subscriptions[0].last_record_age_seconds is None


def test_totals_are_given_by_table_and_add_up(recording: WatchedDaemon) -> None:
    recording.commit(TableCount(10, 7, 2, 1))
    recording.commit(TableCount(5, 5, 0, 0), table="books")
    totals = known(snapshot(recording.observed).totals)
    assert totals.tables["trades"] == facts.CountFacts(10, 7, 2, 1)
    assert totals.total == facts.CountFacts(15, 12, 2, 1)
    assert totals.adds_up


def test_item_that_went_missing_between_parser_and_tables_is_noticed(recording: WatchedDaemon) -> None:
    recording.commit(TableCount(10, 7, 2, 1))
    recording.statistics.items += 1
    status = snapshot(recording.observed)
    assert not known(status.totals).adds_up
    assert "please report" in texts(status.health.warnings)


def test_rate_is_the_average_of_the_last_ten_seconds_and_unknown_before_that(recording: WatchedDaemon) -> None:
    recent = Recent(recording.observed)
    assert recent.rates().rows_per_second is None
    feed = recording.first_connection
    for _ in range(30):
        recent.look()
        recording.clock.now += 1
        recording.commit(TableCount(40, 40, 0, 0))
        feed.heard.frames += 5
    rates = recent.rates()
    assert rates.rows_per_second == 40
    assert rates.frames_per_second == 5
    recording.clock.now += 9
    assert recent.rates().rows_per_second == pytest.approx(40 * 1 / 10, abs=0.5)


def test_stream_tells_its_records_a_second_in_the_last_minute_and_its_lag(recording: WatchedDaemon) -> None:
    recent = Recent(recording.observed)
    for _ in range(90):
        recent.look()
        recording.clock.now += 1
        recording.commit(TableCount(1, 1, 0, 0), lag=0.25)
    first, second = snapshot(recording.observed, recent).venues[0].connections[0].subscriptions
    assert first.records_per_second == pytest.approx(1, abs=0.1)
    assert first.commit_lag_seconds == pytest.approx(0.25)
    assert (second.records_per_second, second.commit_lag_seconds) == (0, None)
    for _ in range(90):
        recent.look()
        recording.clock.now += 1
    assert snapshot(recording.observed, recent).venues[0].connections[0].subscriptions[0].records_per_second == 0


async def test_disk_of_the_data_folder_is_told(recording: WatchedDaemon) -> None:
    recent = Recent(recording.observed)
    assert snapshot(recording.observed, recent).disk == facts.DiskFacts(None, None)
    watching = asyncio.ensure_future(recent.watch_disk())
    await until(lambda: recent.disk.free_bytes is not None, "the disk answers")
    watching.cancel()
    await asyncio.wait([watching])
    disk = snapshot(recording.observed, recent).disk
    assert disk.size_bytes is not None
    assert disk.free_bytes is not None
    assert 0 <= disk.free_bytes <= disk.size_bytes


def test_recent_lag_forgets_what_was_slow_two_minutes_ago(recording: WatchedDaemon) -> None:
    recent = Recent(recording.observed)
    recent.look()
    recording.commit(TableCount(1, 1, 0, 0), lag=50)
    for _ in range(120):
        recording.clock.now += 1
        recent.look()
    recording.commit(TableCount(1, 1, 0, 0), lag=0.02)
    lag = known(snapshot(recording.observed, recent).lag)
    assert lag.last_seconds == 0.02
    assert lag.p99_seconds is not None
    assert lag.p99_seconds > 15
    assert lag.recent_p99_seconds is not None
    assert lag.recent_p99_seconds <= 0.025


@pytest.mark.parametrize(
    ("q", "expected"), [(0.5, 1.0), (0.25, 0.5), (0.75, 2.0), (0.99, 2.0)]
)  # half of four under 1, the third between 1 and 2 .. and the last beyond all bounds
def test_quantile_is_spread_within_its_bucket_and_stays_finite(q: float, expected: float) -> None:
    assert quantile([(1.0, 2.0), (2.0, 3.0), (float("inf"), 4.0)], q) == expected


def test_quantile_of_nothing_is_unknown() -> None:
    assert quantile([(1.0, 0.0), (float("inf"), 0.0)], 0.5) is None
    assert quantile([], 0.5) is None


def test_backlog_is_unknown_until_the_tables_were_asked(recording: WatchedDaemon) -> None:
    recording.recorder.committed = None
    journal = known(snapshot(recording.observed).journal)
    assert journal.committed is None
    assert journal.backlog_bytes is None


def test_embedded_database_tells_how_to_connect_and_no_password(recording: WatchedDaemon) -> None:
    database = known(snapshot(recording.observed).database)
    assert database.psql == HINT.command
    assert database.embedded
    recording.database.embedded = False
    assert known(snapshot(recording.observed).database).psql is None


async def test_look_that_fails_does_not_end_the_watching(recording: WatchedDaemon) -> None:
    recent = Recent(recording.observed)
    looks, thrice = 0, asyncio.Event()

    def broken(late: float = 0.0) -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            thrice.set()
        raise ZeroDivisionError("a bug")

    recent.look = broken  # type: ignore[method-assign]
    recording.clock.sleep = FakeClock().sleep  # type: ignore[method-assign]
    with capture_logs() as logs:
        watching = asyncio.ensure_future(recent.watch())
        await asyncio.wait_for(thrice.wait(), 5)
        watching.cancel()
        await asyncio.wait([watching])
    assert logs[0]["event"] == "look_failed"


# -- verdicts ----------------------------------------------------------------------------------------------------------


def test_daemon_that_records_everything_is_healthy_and_ready_without_a_word(recording: WatchedDaemon) -> None:
    assert health(recording) == Health(healthy=True, ready=True, not_healthy=(), not_ready=(), warnings=())


def test_bugs_of_an_adapter_are_a_warning_and_no_end_of_the_status(recording: WatchedDaemon) -> None:
    class Broken:
        def statuses(self) -> object:
            raise KeyError("a bug")

    feed = recording.first_connection
    before = snapshot(recording.observed).venues[0].connections[0].subscriptions
    told = SimpleNamespace(statuses=lambda: feed._failures.statuses(Broken(), feed.plan))  # type: ignore[arg-type]
    feed.living = cast(LiveConnection, told)
    snapshot(recording.observed)
    shown = snapshot(recording.observed)
    (venue,) = shown.venues
    assert venue.adapter_failures == {"statuses": 1}
    after = venue.connections[0].subscriptions
    assert [(one.channel, one.symbol) for one in after] == [(one.channel, one.symbol) for one in before]
    assert {(one.state, "a bug" in one.reason) for one in after} == {("waiting", True)}
    assert "its adapter failed since the start: statuses once" in texts(shown.health.warnings)
    assert shown.health.ready


def test_failed_worker_is_red_until_it_works_again(recording: WatchedDaemon) -> None:
    supervised = recording.workers["fake"]
    recording.clock.now += 1
    supervised.failures, supervised.failed_ns = 3, recording.clock.now_ns()
    supervised.failure = "ZeroDivisionError: a bug"
    verdict = health(recording)
    assert not verdict.healthy
    assert not verdict.ready
    assert "the worker failed 3 times: ZeroDivisionError: a bug" in texts(verdict.not_healthy)
    recording.clock.now += 1
    supervised.worker.since_ns = recording.clock.now_ns()
    assert health(recording).healthy


@pytest.mark.parametrize("state", [ConnectionState.WAITING, ConnectionState.STOPPED])
def test_connection_that_nobody_tries_again_is_red(recording: WatchedDaemon, state: ConnectionState) -> None:
    longest = UNAUTHORIZED_PAUSE_SECONDS + BACKOFF_MAX_SECONDS
    feed = recording.add_connection(recording.workers["fake"].worker, "C", state=state, age=longest - 1)
    assert health(recording).healthy
    feed.since_ns -= 2_000_000_000
    assert "connection fake-2: " in texts(health(recording).not_healthy)


def test_venue_without_a_live_connection_is_not_recorded(daemon: WatchedDaemon) -> None:
    feed = daemon.add_connection(daemon.add_venue(), "A", state=ConnectionState.CONNECTING)
    feed.reason = "nobody answers"
    verdict = health(daemon)
    assert verdict.healthy
    assert not verdict.ready
    assert texts(verdict.not_ready) == "venue fake: no connection is live: nobody answers"


def test_venue_that_cannot_be_discovered_says_why_it_is_not_recorded(daemon: WatchedDaemon) -> None:
    worker = daemon.add_venue()
    worker.state, worker.reason = WorkerState.WAITING, "fake: status 500; next try in 2.0 s"
    assert "status 500" in texts(health(daemon).not_ready)


def test_one_venue_down_is_not_hidden_by_another(recording: WatchedDaemon) -> None:
    recording.add_venue("other")
    assert "venue other" in texts(health(recording).not_ready)


def test_enabled_venue_without_a_worker_is_not_ready_and_a_disabled_one_is_not_missed(
    recording: WatchedDaemon,
) -> None:
    recording.add_venue("off", enabled=False)
    assert health(recording).ready
    recording.add_venue("late")
    del recording.workers["late"]
    assert "venue late: its worker has not started yet" in texts(health(recording).not_ready)


def test_daemon_without_venues_is_not_ready(daemon: WatchedDaemon) -> None:
    assert "no venue is configured" in texts(health(daemon).not_ready)


def test_journal_that_the_disk_refuses_is_not_ready(recording: WatchedDaemon) -> None:
    recording.journal._room.fault = "No space left on device"
    verdict = health(recording)
    assert verdict.healthy
    assert "No space left on device" in texts(verdict.not_ready)


def test_database_that_is_away_is_a_warning_because_the_journal_keeps_the_frames(recording: WatchedDaemon) -> None:
    recording.writer_connection.note_away("DatabaseUnreachableError: nobody answers")
    recording.journal.append(1, Kind.FRAME, recording.clock.now_ns(), b"x" * 1000)
    verdict = health(recording)
    assert verdict.ready
    backlog = re.search(r"is kept in the journal \((\d+) bytes\)", texts(verdict.warnings))
    assert backlog
    assert int(backlog[1]) >= 1000


def test_recorder_that_stands_still_while_frames_wait_is_not_ready(recording: WatchedDaemon) -> None:
    recording.commit(TableCount(1, 1, 0, 0))
    recording.clock.now += 300
    assert health(recording).ready
    recording.journal.append(1, Kind.FRAME, recording.clock.now_ns(), b"x")
    assert "nothing was committed for 300 s" in texts(health(recording).not_ready)


def test_starting_and_stopping_daemons_are_not_ready(recording: WatchedDaemon) -> None:
    recording.started.clear()
    assert texts(health(recording).not_ready) == "daemon: is starting"
    recording.started.set()
    recording.stopping.set()
    assert texts(health(recording).not_ready) == "daemon: is stopping"


def test_unknown_symbols_are_named_in_a_warning(recording: WatchedDaemon) -> None:
    recording.workers["fake"].worker.problems = tuple(Problem(f"S{n}", "no such symbol") for n in range(7))
    assert "S0, S1, S2, S3, S4 and 2 more" in texts(health(recording).warnings)


def test_event_loop_that_stood_still_is_told(recording: WatchedDaemon) -> None:
    recent = Recent(recording.observed)
    recent.look(late=6.5)
    assert "did not respond for 6.5 s" in texts(snapshot(recording.observed, recent).health.warnings)


def test_minutes_that_nothing_explains_are_a_warning_until_they_are_settled(recording: WatchedDaemon) -> None:
    auditor = recording.auditing.auditor
    assert auditor is not None
    minute = datetime(2026, 11, 21, 12, 5, tzinfo=UTC)
    alarm = Alarm(1, "fake", "A", minute, 2, Decimal("1.5"), 3, Decimal("1.75"), "volume,trades", "open", ("trades",))
    auditor.last_minute, auditor.alarms.open = minute, (alarm,)
    status = snapshot(recording.observed)
    assert status.audit is not None
    assert (status.audit.last_minute, status.audit.open_alarms) == ("2026-11-21T12:05Z", 1)
    assert status.audit.alarms == (facts.AlarmFacts("fake", "A", "2026-11-21T12:05Z", "1.75", "1.5", "open"),)
    assert "1 minutes are not explained, the newest 2026-11-21T12:05Z of A at fake: 1.5 stored" in texts(
        status.health.warnings
    )
    assert status.health.ready
    auditor.alarms.open = ()
    auditor.alarms.settled.append(alarm._replace(state="repaired"))
    status = snapshot(recording.observed)
    assert status.audit is not None
    assert [one.state for one in status.audit.alarms] == ["repaired"]
    assert texts(status.health.warnings) == ""


def test_candles_that_cannot_be_fetched_are_a_warning_and_what_is_not_judged_is_told(
    recording: WatchedDaemon,
) -> None:
    fetcher = SimpleNamespace(
        instruments=3, refused=1, behind_minutes=0, trouble="has no such thing", refusals=[("A", "has no such thing")]
    )
    recording.auditing.fetching.fetchers["fake"] = cast(CandleFetcher, fetcher)
    assert recording.auditing.auditor is not None
    recording.auditing.auditor.unjudged = [UnjudgedGroup("fake", "ticks", "no sums", tuple(f"S{n}" for n in range(30)))]
    status = snapshot(recording.observed)
    assert status.audit is not None
    assert status.audit.fetching == (facts.FetchFacts("fake", 3, 1, 0, "has no such thing"),)
    ticks, trades = status.audit.unjudged
    assert (ticks.venue, ticks.stream, ticks.reason, ticks.instruments, len(ticks.symbols)) == (
        "fake",
        "ticks",
        "no sums",
        30,
        20,
    )
    assert (trades.stream, trades.symbols) == ("trades", ("A",))
    assert "the venue refuses them: has no such thing" in trades.reason
    assert "1 instruments of fake cannot be audited because candles are missing" in texts(status.health.warnings)
    assert status.health.ready

    fetcher.refused, fetcher.refusals, fetcher.behind_minutes = 0, [], 15
    assert texts(snapshot(recording.observed).health.warnings) == ""
    fetcher.behind_minutes = 16
    told = texts(snapshot(recording.observed).health.warnings)
    assert "the last 16 minutes of fake cannot be audited" in told


# -- documentation -----------------------------------------------------------------------------------------------------


def test_every_key_is_documented_and_every_documented_key_exists() -> None:
    shapes = [shape for shape in vars(facts).values() if isinstance(shape, type) and hasattr(shape, "__slots__")]
    keys = {field.name for shape in shapes for field in fields(shape)}
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", DOCS.read_text(), re.MULTILINE)
    documented = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    assert keys == documented
