"""The whole daemon between a simulated MetaAPI and a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from collector import simulator
from collector.service.daemon import Daemon
from collector.service.demo import settled
from collector.service.verify import Ledger, Verdict, verify

from .stage import Stage, all_equal, live, until

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)


class MetaapiStage(Stage):
    """One simulated MetaAPI, with the configuration that it writes itself."""

    def __init__(self, venue: Any, folder: Path, dsn: str, http: aiohttp.ClientSession, extra: str) -> None:
        self.venue = venue
        self.folder = folder
        self.dsn = dsn
        self.ledger = Ledger(http, venue.address["url"])
        self.config = folder / "collector.toml"
        head = f'data_dir = "{folder / "data"}"\n[database]\ndsn = "{dsn}"\n[http]\nlisten = "127.0.0.1:0"\n'
        self.config.write_text(head + venue.config.replace("[venues.metaapi]", f"[venues.metaapi]\n{extra}", 1))

    async def compare(self, daemon: Daemon, *tables: str) -> list[Verdict]:
        await self.ledger.pause()
        await settled(daemon)
        return await verify(self.dsn, "metaapi", self.ledger, tables or None)


@asynccontextmanager
async def stage(
    dsn: str, folder: Path, *, rate: float = 200.0, extra: str = "", **settings: object
) -> AsyncIterator[MetaapiStage]:
    """Serve a simulated MetaAPI whose terminals and pings are quick; `extra`: more lines of `[venues.metaapi]`."""
    quick = {"ping_interval": 5.0, "ping_timeout": 0.5, "status_every": 3.0, **settings}
    async with (
        simulator.serve(["metaapi"], seed=5, rate=rate, settings={"metaapi": quick}) as running,
        aiohttp.ClientSession() as http,
    ):
        yield MetaapiStage(running["metaapi"], folder, dsn, http, extra)


def ready(daemon: Daemon, rows: int) -> bool:
    return live(daemon) and daemon.statistics.total.stored > rows


async def test_tables_equal_what_was_sent(database: str, tmp_path: Path) -> None:
    async with stage(database, tmp_path) as on, on.daemon() as daemon:
        await until(lambda: ready(daemon, 1500), "1,500 rows")
        verdicts = await on.compare(daemon)
        assert {verdict.table for verdict in verdicts} == {"trades", "ticks", "books", "candles", "rates"}
        assert all_equal(verdicts)
        assert daemon.statistics.total.quarantined == 0
        await on.counts_add_up()
        assert await on.query("select count(*) from gaps") == [(0,)]
        symbols = {row[0] for row in await on.query("select symbol from instruments")}
        assert {"demo:EURUSD", "old:EURUSD", "demo:#SBER/RUB"} <= symbols
