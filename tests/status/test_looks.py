"""Whatever fails while somebody looks: the rest is told, it is told once, and the recording goes on."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from structlog.testing import capture_logs

from collector.cli.output.screen import Screen
from collector.cli.status import show
from collector.daemon.progress import Progress
from collector.status import health, metrics
from collector.status import snapshot as status
from collector.status.recent import Recent
from collector.status.snapshot import snapshot
from collector.store.batch import TableCount
from collector.supervise.looks import Looks, encoded
from collector.web import events
from collector.web import server as http
from tests.kit.watched import WatchedDaemon, serving, watched

Break = Callable[[pytest.MonkeyPatch, WatchedDaemon], None]


def fail(*_: Any, **__: Any) -> Any:
    raise IsADirectoryError(21, "Is a directory", "/data/postgres/port")


# What can be looked at, how it is broken, and the key that is null then.
PARTS: dict[str, tuple[Break, str | None]] = {
    "venue fake": (lambda patch, _: patch.setattr(status, "_venue", fail), None),
    "totals": (lambda patch, _: patch.setattr(status, "_totals", fail), "totals"),
    "journal": (lambda patch, _: patch.setattr(status, "_journal", fail), "journal"),
    "database": (lambda patch, _: patch.setattr(status, "_database", fail), "database"),
    "psql": (lambda patch, daemon: patch.setattr(daemon.database, "hint", fail), None),
    "process": (lambda patch, _: patch.setattr(status, "rss_bytes", fail), "process"),
    "audit": (lambda patch, _: patch.setattr(status, "audit_facts", fail), "audit"),
    "configuration": (lambda patch, daemon: patch.setattr(daemon.reloading, "facts", fail), "configuration"),
    "rates": (lambda patch, _: patch.setattr(Recent, "rates", fail), "rates"),
    "lag": (lambda patch, _: patch.setattr(status, "_lag", fail), "lag"),
    "last records": (lambda patch, _: patch.setattr(Recent, "remember_last_seen", fail), None),
    "recent rates": (lambda patch, _: patch.setattr(Recent, "look", fail), None),
    "health": (lambda patch, _: patch.setattr(status, "judge", fail), None),
}


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[WatchedDaemon]:
    async with watched(tmp_path) as one:
        one.add_connection(one.add_venue(), "A", "B")
        one.commit(TableCount(1010, 1007, 2, 1))
        yield one


@pytest.mark.parametrize("part", PARTS)
async def test_a_part_that_cannot_be_looked_at_is_not_known_and_the_rest_is_told(
    part: str, daemon: WatchedDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_it, key = PARTS[part]
    break_it(monkeypatch, daemon)
    with capture_logs() as logs:
        for _ in range(3):
            told = snapshot(daemon.observed)
    assert sorted(one["part"] for one in logs) == sorted({part, "recent rates"} if part == "last records" else {part})
    answer = orjson.loads(orjson.dumps(told))
    for name in ("totals", "journal", "database", "process", "audit", "configuration", "rates", "lag"):
        assert (answer[name] is None) == (name == key), name
    if part == "health":
        assert not told.health.ready
    else:
        assert part in [one.part for one in told.health.warnings]
        assert told.health.ready == (part not in ("journal", "venue fake"))
    assert told.health.healthy
    text = io.StringIO()
    show(answer, Screen(file=text, width=200), None)
    assert "connect" in text.getvalue()
    monkeypatch.undo()
    snapshot(daemon.observed)
    assert not [one for one in snapshot(daemon.observed).health.warnings if "looked at" in one.reason]


async def test_every_path_answers_though_every_part_fails(
    daemon: WatchedDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "STATE_INTERVAL_SECONDS", 0.05)
    async with serving(daemon) as address, aiohttp.ClientSession(address) as client:
        for break_it, _ in PARTS.values():
            break_it(monkeypatch, daemon)
        statuses = {}
        for path in ("/", "/healthz", "/readyz", "/metrics", "/api/status", "/api/day", "/api/instrument"):
            async with client.get(path) as answer:
                statuses[path] = answer.status
        async with client.get("/api/events") as answer:
            while not (await answer.content.readline()).startswith(b"event: status"):
                pass
            told = json.loads((await answer.content.readline()).removeprefix(b"data: "))
    assert statuses == {
        "/": 200,
        "/healthz": 200,
        "/readyz": 503,
        "/metrics": 200,
        "/api/status": 200,
        "/api/day": 200,
        "/api/instrument": 400,
    }
    assert told["journal"] is None
    assert daemon.statistics.looks.failures > 10


@pytest.mark.parametrize(
    ("path", "broken"),
    [("/api/status", "_json"), ("/metrics", "choose_encoder"), ("/api/day", None), ("/healthz", "_json")],
)
async def test_a_path_that_fails_answers_so_and_the_next_one_is_well(
    path: str, broken: str | None, daemon: WatchedDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = http._json
    async with serving(daemon) as address, aiohttp.ClientSession(address) as client:
        if broken == "_json":
            monkeypatch.setattr(http, "_json", lambda value, code: fail() if code != 500 else kept(value, code))
        elif broken is not None:
            monkeypatch.setattr(http, broken, fail)
        else:
            monkeypatch.setattr("collector.web.day.LastDay.refresh", fail)
        with capture_logs() as logs:
            for _ in range(3):
                async with client.get(path) as answer:
                    assert answer.status == 500
                    assert "could not be answered (IsADirectoryError)" in (await answer.json())["error"]
                    assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert [(one["event"], one["part"]) for one in logs] == [("look_failed", f"GET {path}")]
        monkeypatch.undo()
        async with client.get(path) as answer:
            assert answer.status == 200
    assert not daemon.statistics.looks.failing


async def test_metrics_without_a_group_that_fails_hold_the_others(
    daemon: WatchedDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "_storage", fail)
    fail.__name__ = "_storage"
    async with serving(daemon) as address, aiohttp.ClientSession(address) as client, client.get("/metrics") as answer:
        text = await answer.text()
    assert "collector_ready 1.0" in text
    assert "collector_journal_backlog_bytes" not in text
    assert "collector_connection_state" in text


def test_verdicts_on_nothing_known_are_not_ready(daemon: WatchedDaemon) -> None:
    verdict = health.judge(
        started=True,
        stopping=False,
        enabled=["fake"],
        venues=(),
        totals=None,
        audit=None,
        journal=None,
        database=None,
        process=None,
        parts=(),
        unseen={},
    )
    assert (verdict.healthy, verdict.ready) == (True, False)


async def test_the_watchdog_s_look_outlives_a_status_that_fails(
    daemon: WatchedDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    for break_it, _ in PARTS.values():
        break_it(monkeypatch, daemon)
    progress = Progress(daemon.observed, lambda: snapshot(daemon.observed).venues)
    assert progress.stuck() is None


def test_a_look_is_told_again_when_it_fails_for_another_reason_or_has_been_well() -> None:
    looks = Looks()
    with capture_logs() as logs:
        for error in (ValueError("a"), ValueError("a"), ValueError("b"), None, ValueError("b")):
            if error is None:
                looks.succeeded("x")
            else:
                looks.failed("x", error)
    assert [one["reason"] for one in logs] == ["ValueError: a", "ValueError: b", "ValueError: b"]
    assert looks.failures == 4


def test_a_text_that_is_no_text_is_json_all_the_same(daemon: WatchedDaemon) -> None:
    daemon.config._origin = "/etc/\udcff.toml"
    assert json.loads(encoded(snapshot(daemon.observed)))["configuration"]["origin"] == "/etc/\udcff.toml"
