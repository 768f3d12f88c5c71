"""`collector status` against a served daemon, none at all, and somebody else on its port."""

from __future__ import annotations

import asyncio
import http.server
import io
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from collector.cli import main
from collector.cli.output.screen import Screen
from collector.cli.status import show, size, span
from collector.feed.connection import ConnectionState
from collector.status.snapshot import snapshot
from collector.store.batch import TableCount
from tests.kit.watched import HINT, WatchedDaemon, serving, watched


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[WatchedDaemon]:
    async with watched(tmp_path) as one:
        one.add_connection(one.add_venue(), "A", "B")
        one.commit(TableCount(1010, 1007, 2, 1))
        yield one


@pytest.fixture
async def port(daemon: WatchedDaemon) -> AsyncIterator[int]:
    async with serving(daemon) as address:
        yield int(address.rpartition(":")[2])


def config(folder: Path, port: int) -> list[str]:
    path = folder / "collector.toml"
    path.write_text(f'data_dir = "{folder}/data"\n[http]\nlisten = "127.0.0.1:{port}"\n')
    return ["status", "--config", str(path)]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def test_running_daemon_is_shown_with_its_verdict_counts_and_reasons(
    daemon: WatchedDaemon, port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.writer_connection.note_away("nobody answers")
    assert await asyncio.to_thread(main, config(tmp_path, port)) == 0
    out = capsys.readouterr().out
    assert out.startswith("recording, with warnings")
    assert "is kept in the journal" in out
    for word in ("fake-1", "live", "trades", "1,007", "adds up", HINT.command):
        assert word in out


async def test_json_is_what_the_daemon_says(port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await asyncio.to_thread(main, [*config(tmp_path, port), "--json"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out)["totals"]["total"] == {"items": 1010, "stored": 1007, "duplicates": 2, "quarantined": 1}


def test_without_a_daemon_it_fails_and_still_tells_how_to_connect(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data" / "postgres").mkdir(parents=True)
    (tmp_path / "data" / "postgres" / "port").write_text("15999\n")
    assert main(config(tmp_path, free_port())) == 1
    told = capsys.readouterr()
    assert "-p 15999" in told.out
    assert "no collector is running here" in told.err
    assert "collector run" in told.err


def test_without_a_daemon_json_prints_nothing_that_a_script_would_take_for_a_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*config(tmp_path, free_port()), "--json"]) == 1
    assert capsys.readouterr().out == ""


@contextmanager
def stranger() -> Iterator[int]:
    """Another program's web server."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello")

        def log_message(self, *_: object) -> None:
            """Keep the tests quiet."""

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_other_program_on_the_port_is_not_taken_for_the_daemon(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with stranger() as port:
        assert main(config(tmp_path, port)) == 1
    assert "is not this collector" in capsys.readouterr().err


def test_port_that_the_system_chooses_cannot_be_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(config(tmp_path, 0)) == 1
    assert "http.listen has port 0" in capsys.readouterr().err


async def test_words_of_a_venue_are_neither_markup_nor_orders_to_the_terminal(daemon: WatchedDaemon) -> None:
    feed = daemon.add_connection(daemon.workers["fake"].worker, "C", state=ConnectionState.WAITING, age=1)
    feed.reason = "[red]cut[/red] \x1b]0;owned\x07 [/nothing]"
    text = io.StringIO()
    status = orjson.loads(orjson.dumps(snapshot(daemon.observed)))
    show(status, Screen(file=text, width=200), None)
    assert "[red]cut[/red] \\x1b]0;owned\\x07 [/nothing]" in text.getvalue()
    assert "\x1b" not in text.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.0, "0 ms"),
        (0.25, "250 ms"),
        (5, "5.0 s"),
        (65, "1 min 5 s"),
        (7260, "2 h 1 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_spans_are_told_in_two_units_at_most(seconds: float | None, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "not known"), (0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2_000_000_000_000, "2.0 TB")],
)
def test_sizes_are_told_in_fitting_units(count: int | None, text: str) -> None:
    assert size(count) == text


async def test_the_terminal_shows_what_the_page_shows(daemon: WatchedDaemon) -> None:
    status = orjson.loads(orjson.dumps(snapshot(daemon.observed)))
    [venue] = status["venues"]
    venue |= {
        "clock_offset_seconds": -1.234,
        "gaps": {"disconnect": 41, "silent loss": 2},
        "rest": {"calls": 4242, "failed": 17, "throttled": 5, "allowed_per_second": 9.0, "pause_seconds": 31.0},
        "repair": {"state": "repairing", "waiting": 71, "repaired": 72, "lost": 73, "rows": 1, "trouble": "HTTP 503"},
    }
    venue["connections"][0] |= {"reconnects": 9, "losses": {"silent": 6, "refused": 3}}
    status["journal"] |= {"backlog_bytes": 5_000_000, "backlog_seconds": 77.0, "used_bytes": 6_000_000_000}
    status["disk"] = {"free_bytes": 8_000_000_000, "size_bytes": 9_000_000_000}
    status["audit"] = dict.fromkeys(("checked", "unexplained", "open_alarms"), 11) | {
        "last_minute": "2026-11-21T10:00:00Z",
        "trouble": "away",
    }
    status["configuration"] |= {"refused": ["venues.fmfw.symbols: none"], "needs_restart": ["journal"]}
    text = io.StringIO()

    show(status, Screen(file=text, width=250), None)

    for word in (
        "-1.234 s",
        "41 disconnect, 2 silent loss",
        "4,242 calls, 17 failed, 5 throttled, pause 31.0 s",
        "71 waiting",
        "73 lost: HTTP 503",
        "9 (6 silent, 3 refused)",
        "5.0 MB, the oldest for 1 min 17 s",
        "6.0 GB, 8.0 GB of 9.0 GB",
        "11 minutes, 11 unexplained",
        "10:00:00Z: away",
        "venues.fmfw.symbols: none",
        "journal",
        "fake-1",
    ):
        assert word in text.getvalue(), word
