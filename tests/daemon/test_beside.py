"""Nothing that runs beside recording ends it: not who looks, not what is broken, not a port that is taken."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from collector.audit.auditor import Auditor
from collector.cli import main
from collector.daemon import daemon as daemon_module
from collector.daemon import presence, watchdog
from collector.daemon.daemon import Daemon
from collector.daemon.progress import Progress
from collector.daemon.reload import Reloading
from collector.daemon.systemd import Notifier
from collector.daemon.upkeep import Upkeep
from collector.repair.repairer import Repairer
from collector.repair.tally import GapTally
from collector.status.recent import Recent
from collector.supervise import parts as supervise
from collector.web import pages
from collector.web import server as http
from collector.web.connections import Connections
from collector.web.events import Events
from tests.kit.stage import Stage, stage, until

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

FEW_FILES = 256
MANY_VISITORS = 400


async def page_of(on: Stage) -> str:
    """Return where the page of a daemon in another process is."""
    pages_told: list[str] = []

    def told() -> bool:
        daemon = presence.read(on.folder / "data")
        pages_told.extend([daemon.page] if daemon and daemon.page else [])
        return bool(pages_told)

    await until(told, "the page")
    return pages_told[0]


async def test_hundreds_who_hold_connections_and_ask_nothing_take_nothing_from_the_journal(
    database: str, tmp_path: Path
) -> None:
    journal = "\n[journal]\nsegment_minutes = 0.01\n"
    async with stage(database, tmp_path, rate=500, extra=journal) as on, on.process(most_files=FEW_FILES) as process:
        address = await page_of(on)
        port = int(address.rpartition(":")[2])
        visitors = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MANY_VISITORS)]
        try:
            segments = len(list((tmp_path / "data" / "journal").glob("*.seg*")))
            await until(
                lambda: len(list((tmp_path / "data" / "journal").glob("*.seg*"))) > segments + 2, "new segments"
            )
            async with aiohttp.ClientSession(address) as client, client.get("/api/status") as answer:
                status = await answer.json()
            assert status["journal"]["fault"] is None
            assert status["totals"]["total"]["stored"] > 0
        finally:
            for _, writer in visitors:
                writer.close()
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
        await on.counts_add_up()
    log = (tmp_path / "daemon.log").read_text()
    assert "Too many open files" not in log


def fail(*_: Any, **__: Any) -> Any:
    raise RuntimeError("a bug of ours")


async def fail_later(*_: Any, **__: Any) -> Any:
    await asyncio.sleep(0)
    raise RuntimeError("a bug of ours")


BROKEN: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "page": lambda patch: patch.setattr(pages, "contents", fail),
    "page, once it is served": lambda patch: patch.setattr(Connections, "accept", fail_later),
    "rates": lambda patch: patch.setattr(Recent, "watch", fail_later),
    "events": lambda patch: patch.setattr(Events, "run", fail_later),
    "watchdog": lambda patch: patch.setattr(Notifier, "status", fail),
    "progress": lambda patch: patch.setattr(Progress, "stuck", fail),
    "summary": lambda patch: patch.setattr(watchdog, "summary", fail),
    "upkeep": lambda patch: patch.setattr(Upkeep, "run", fail_later),
    "clock": lambda patch: patch.setattr(daemon_module, "watch_clock", fail_later),
    "audit": lambda patch: patch.setattr(Auditor, "run", fail_later),
    "tally": lambda patch: patch.setattr(GapTally, "run", fail_later),
    "repair": lambda patch: patch.setattr(Repairer, "run", fail_later),
    "reload": lambda patch: patch.setattr(Reloading, "reload", fail_later),
    "status": lambda patch: patch.setattr(http, "snapshot", fail),
}


async def test_every_part_may_fail_at_once_and_no_row_is_missing(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "RESTART_PAUSE_MAX_SECONDS", 0.1)
    for break_it in BROKEN.values():
        break_it(monkeypatch)
    # Without a log, since tests show tracebacks at length.
    with capture_logs():
        async with stage(database, tmp_path, rate=500) as on, on.daemon() as daemon:
            await all_fail_and_rows_come(on, daemon, monkeypatch)


async def all_fail_and_rows_come(on: Stage, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon.requests.reload.set()
    await until(lambda: daemon.statistics.total.stored > 2000, "2,000 rows")
    troubled = {"page", "watchdog", "upkeep", "clock", "audit", "repair fmfw", "reload"}
    await until(lambda: all(daemon.parts[name].failures > 0 for name in troubled), "failures of all")
    assert {name for name, part in daemon.parts.items() if part.failures} == troubled
    monkeypatch.undo()
    await until(lambda: daemon.http_address is not None, "the page is back")
    verdicts = await on.compare(daemon)
    assert all(verdict.equal for verdict in verdicts)


@pytest.mark.parametrize("broken", ["page, once it is served", "rates", "events"])
async def test_a_page_that_fails_is_served_again(
    broken: str, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    BROKEN[broken](monkeypatch)
    async with stage(database, tmp_path) as on, on.daemon() as daemon:
        await until(lambda: daemon.parts["page"].failures > 0, "a failure of the page")
        monkeypatch.undo()
        await until(lambda: daemon.http_address is not None, "the page is back")
        async with aiohttp.ClientSession(daemon.http_address) as client, client.get("/api/status") as answer:
            [part] = [part for part in (await answer.json())["parts"] if part["name"] == "page"]
        assert part["failures"] > 0


async def test_a_port_that_is_taken_is_waited_for(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "RESTART_PAUSE_MAX_SECONDS", 0.2)
    async with stage(database, tmp_path) as on:
        with socket.create_server(("127.0.0.1", 0)) as taken, capture_logs() as logs:
            port = taken.getsockname()[1]
            on.config.write_text(on.config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
            async with on.daemon() as daemon:
                await until(lambda: daemon.statistics.total.stored > 500, "500 rows")
                assert f"page: http.listen: port {port} on 127.0.0.1 is taken" in watchdog.summary(daemon.observed)
                capsys.readouterr()
                assert await asyncio.to_thread(main, ["status", "--config", str(on.config)]) == 1
                assert (
                    f"its status page is not available: http.listen: port {port} on 127.0.0.1 is taken"
                    in capsys.readouterr().err
                )
                taken.close()
                await until(lambda: daemon.http_address is not None, "the page is served")
                assert "page" not in watchdog.summary(daemon.observed)
                assert await asyncio.to_thread(main, ["status", "--config", str(on.config)]) == 0
            assert [one["event"] for one in logs if one["event"].startswith("part_")] == ["part_waits"]
    assert presence.read(tmp_path / "data") is None
