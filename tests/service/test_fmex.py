"""The whole daemon between the simulated FMex and a real database."""

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
from collector.service.verify import Verdict, verify

from .stage import Stage, all_equal, live, until

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

TABLES = {"trades", "ticks", "books", "candles", "derivatives", "rates"}


class FmexStage(Stage):
    """One simulated FMex and a folder; daemons are started on it one after another."""

    def __init__(self, venue: Any, folder: Path, dsn: str, http: aiohttp.ClientSession, extra: str) -> None:
        super().__init__(venue, folder, dsn, http, "")
        self.config.write_text(
            f"""
            data_dir = "{folder / "data"}"
            [database]
            dsn = "{dsn}"
            [http]
            listen = "127.0.0.1:0"
            {venue.config}
            messages_per_second = 50
            indexes_seconds = 2
            {extra}
            """
        )

    async def compare(self, daemon: Daemon, *tables: str) -> list[Verdict]:
        await self.ledger.pause()
        await settled(daemon)
        return await verify(self.dsn, "fmex", self.ledger, tables or None)


@asynccontextmanager
async def fmex(
    dsn: str, folder: Path, *, rate: float = 200.0, extra: str = "", **settings: object
) -> AsyncIterator[FmexStage]:
    """Serve a simulated FMex; `settings` are its own switches, `extra` more lines of `[venues.fmex]`."""
    async with (
        simulator.serve(["fmex"], seed=7, rate=rate, settings={"fmex": settings}) as running,
        aiohttp.ClientSession() as http,
    ):
        yield FmexStage(running["fmex"], folder, dsn, http, extra)


async def test_tables_equal_what_was_sent(database: str, tmp_path: Path) -> None:
    extra = 'candles = ["1m", "1h", "1d", "1mo"]'
    async with fmex(database, tmp_path, extra=extra) as on, on.daemon() as daemon:
        await until(lambda: live(daemon) and daemon.statistics.total.stored > 1500, "1,500 rows")
        verdicts = await on.compare(daemon)
        assert {verdict.table for verdict in verdicts} == TABLES
        assert all_equal(verdicts)
        assert daemon.statistics.total.quarantined == 0
        await on.counts_add_up()
