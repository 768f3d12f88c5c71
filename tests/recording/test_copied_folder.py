"""A data folder that was copied, with its journal's name: two collectors that would move one position."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from collector.config import load
from collector.daemon.daemon import Daemon
from collector.recording import start as starting
from collector.store import place
from tests.kit.running import running
from tests.kit.stage import Stage, all_equal, live, stage, until

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)


def copied(on: Stage, name: str) -> Path:
    """Copy the data folder, and return a configuration for the copy."""
    shutil.copytree(on.folder / "data", on.folder / name)
    config = on.folder / f"{name}.toml"
    config.write_text(on.config.read_text().replace(str(on.folder / "data"), str(on.folder / name)))
    return config


async def recorded(daemon: Daemon, rows: int) -> None:
    before = daemon.statistics.total.stored
    await until(lambda: live(daemon) and daemon.statistics.total.stored > before + rows, f"{rows} rows more")


async def test_copy_refuses_to_run_beside_the_original_and_says_why(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path) as on, on.daemon() as daemon:
        await recorded(daemon, 500)
        config = copied(on, "copy")
        on.config, original = config, on.config
        async with on.process() as process, asyncio.timeout(60):
            assert await process.wait() == 1
        on.config = original
        [error] = [line for line in (tmp_path / "daemon.log").read_text().splitlines() if line.startswith("error:")]
        assert f"another collector, at {place_of(daemon)}" in error
        assert "delete the file journal/name in the copy" in error
        await recorded(daemon, 200)
        assert all_equal(await on.compare(daemon, "trades", "candles"))  # the ledger holds what both were sent
        await on.counts_add_up()


def place_of(daemon: Daemon) -> str:
    owner = daemon.writer._place
    assert owner is not None
    return str(owner._owner.place)


async def test_original_that_comes_back_after_its_copy_loses_nothing_and_gets_a_name_of_its_own(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "OWNER_SILENT_MAX_SECONDS", 1.0)
    monkeypatch.setattr(starting, "ABANDONED_MIN_SECONDS", 1.0)
    async with stage(database, tmp_path) as on:
        async with on.daemon() as daemon:
            await recorded(daemon, 500)
            daemon.writer.database._held._dsn = lambda: (
                "postgresql://nobody@127.0.0.1:1/none"
            )  # what comes now stays in the journal
            daemon.writer.database._held.drop()
            before = daemon.journal.end
            await until(lambda: daemon.journal.distance(before) > 100_000, "frames that are not committed")
        await on.ledger.pause()
        older = copied(on, "copy")
        # The copy has an older journal: it lacks what the original has received last.
        for path in sorted((tmp_path / "copy" / "journal").glob("*.seg"))[-1:]:
            path.write_bytes(path.read_bytes()[: before.offset])
        async with running(load(older, {})) as copy:
            await until(lambda: live(copy) and copy.intake.live, "the copy to record")
            await on.ledger.resume()
            await recorded(copy, 500)
            await on.ledger.pause()
        await on.ledger.resume()
        with capture_logs() as logs:
            async with on.daemon() as daemon:
                await until(lambda: live(daemon) and daemon.intake.live, "the original to record")
                await recorded(daemon, 200)
                assert all_equal(await on.compare(daemon, "trades", "candles"))
                assert daemon.intake.unaccounted == 0
        assert "journal_name_lost" in {entry["event"] for entry in logs}
        assert await on.query("select count(*) from journal_position") == [(2,)]
        await on.counts_add_up()
