"""A journal that holds sessions of an adapter that this program lacks, or with a header that it cannot use."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pytest

from collector.cli import main
from collector.journal import Journal, JournalOptions, Kind
from tests.kit.stage import all_equal, live, stage, until

if TYPE_CHECKING:
    from tests.databases import DatabaseServer

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

HEADER = {"venue": "gone", "worker": "gone-1", "url": "", "subscriptions": [["trades", "trades", ["XY"]]]}


async def leave_sessions(directory: Path) -> None:
    """Write two sessions as a killed daemon leaves them: one of a venue that is gone, one without an adapter."""
    journal = await Journal.open(directory, JournalOptions(), now_ns=time.time_ns)
    for number, header in enumerate((HEADER | {"adapter": "gone"}, HEADER), start=journal.last_session + 1):
        journal.append(number, Kind.OPEN, time.time_ns(), orjson.dumps(header))
        for frame in range(3):
            journal.append(number, Kind.FRAME, time.time_ns(), b"frame %d of %d" % (frame, number))
    await journal.close()


async def test_daemon_records_on_and_says_what_it_could_not_read(
    database: str, database_server: DatabaseServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with stage(database, tmp_path) as on:
        async with on.daemon() as daemon:
            await until(lambda: live(daemon) and daemon.statistics.total.stored > 500, "500 rows")
        await leave_sessions(tmp_path / "data" / "journal")
        for _ in range(2):  # the second start meets them while parsers are warmed up
            async with on.daemon() as daemon:
                await until(
                    lambda: live(daemon) and daemon.intake.live and daemon.statistics.total.stored > 500, "rows"
                )
                assert all_equal(await on.compare(daemon, "trades", "candles"))
                assert daemon.intake.unaccounted == 0
                await on.ledger.resume()
        assert await on.query(
            "select error, count(*), sum(items) from v_quarantine where venue = 'gone' group by 1"
        ) == [
            ("the header of its session cannot be used: adapter: is missing", 3, 3),
            ("this program has no adapter 'gone'", 3, 3),
        ]
        assert await on.query("select symbol, stream, cause, to_time is null from v_gaps where venue = 'gone'") == [
            ("XY", "trades", "not readable", True)
        ]
        await on.counts_add_up()
    capsys.readouterr()
    import asyncio

    config = str(on.config)
    assert await asyncio.to_thread(main, ["audit", "--config", config, "--only", "journal"]) == 0, capsys.readouterr()
    async with database_server.database() as other:
        assert await asyncio.to_thread(main, ["replay", "--config", config, "--into", other]) == 0, capsys.readouterr()
