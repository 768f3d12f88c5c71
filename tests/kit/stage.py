"""A simulated venue, a database and a daemon, put together for a test, and the comparison at the end of it."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from collector import simulator
from collector.clock import Clock
from collector.config import load
from collector.daemon.daemon import Daemon
from collector.demo.compare import Ledger, Verdict
from collector.demo.demo import compared
from tests.kit.running import PATIENCE_SECONDS, running

STREAMS = '["trades", "ticks", "books", "candles", "derivatives", "rates"]'


class Stage:
    """One simulated venue and a folder; daemons are started on it one after another."""

    name = "fmfw"

    def __init__(
        self,
        venue: Any,
        folder: Path,
        dsn: str,
        http: aiohttp.ClientSession,
        extra: str,
        streams: str = STREAMS,
    ) -> None:
        self.venue = venue
        self.folder = folder
        self.dsn = dsn
        address = venue.address
        self.ledger = Ledger(http, address["rest_url"])
        self.config = folder / "collector.toml"
        self.config.write_text(
            f"""
            data_dir = "{folder / "data"}"
            [database]
            dsn = "{dsn}"
            [http]
            listen = "127.0.0.1:0"
            [venues.fmfw]
            symbols = ["*"]
            streams = {streams}
            rate_currencies = ["BTC", "ETH"]
            rest_url = "{address["rest_url"]}"
            ws_url = "{address["ws_url"]}"
            {extra}
            """
        )

    @asynccontextmanager
    async def daemon(self, clock: Clock | None = None) -> AsyncIterator[Daemon]:
        """A daemon in this process."""
        async with running(load(self.config, {}), clock=clock) as daemon:
            yield daemon
            assert daemon.intake.unaccounted == 0, daemon.intake.accounts
        assert daemon.intake.unaccounted == 0, daemon.intake.accounts

    @asynccontextmanager
    async def process(
        self,
        *,
        environ: Mapping[str, str] | None = None,
        most_file_bytes: int | None = None,
        most_files: int | None = None,
        program: Sequence[str] = ("-m", "collector.cli"),
        stderr: int | None = None,
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """A daemon in a process of its own, killed at the end if it still runs; its files may be limited.

        `program` takes the command line, `stderr` its log instead of the file `daemon.log`.
        """

        def limit() -> None:
            if most_file_bytes is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (most_file_bytes, most_file_bytes))
            if most_files is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))

        with (self.folder / "daemon.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *program,
                "run",
                "--config",
                str(self.config),
                stderr=log if stderr is None else stderr,
                preexec_fn=limit,
                env={**os.environ, "COLLECTOR_LOG__FORMAT": "json", **(environ or {})},
            )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
                await process.wait()

    async def query(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(self.dsn)
        try:
            return [tuple(row) for row in await connection.fetch(query, *parameters)]
        finally:
            await connection.close()

    async def begun(self, *, without: str = "") -> None:
        """Wait until what a start has missed was seen to, of all symbols but one: later losses are healed by others."""
        waiting = "select from v_gaps where cause = 'starting' and state = 'open' and symbol <> $1 limit 1"
        end = time.monotonic() + PATIENCE_SECONDS
        while await self.query(waiting, without):
            assert time.monotonic() < end, "the start's gaps stay open"
            await asyncio.sleep(0.05)

    async def rows(self, table: str) -> int:
        [(count,)] = await self.query(f"select count(*) from {table}")
        return int(count)

    async def compare(self, daemon: Daemon, *tables: str) -> list[Verdict]:
        """Stop the market, wait for the last of it, compare the tables with the ledger."""
        await self.ledger.pause()
        return await compared(daemon.observed, {self.name: self.ledger}, tables or None)

    async def counts_add_up(self) -> None:
        tables = ("trades", "ticks", "books", "derivatives", "rates")
        held = " + ".join(f"(select count(*) from {table})" for table in tables)
        # In one statement, which sees one state: polls go on.
        [(items, accounted, stored, rows)] = await self.query(
            "select sum(items), sum(stored + duplicates + quarantined),"
            f" sum(stored) filter (where table_name = any($1::text[])), {held} from journal_counts",
            list(tables),
        )
        assert items == accounted
        assert stored == rows


@asynccontextmanager
async def stage(
    dsn: str,
    folder: Path,
    *,
    rate: float = 300.0,
    symbols: int | None = None,
    extra: str = "",
    streams: str = STREAMS,
    clock_ns: Callable[[], int] = time.time_ns,
    **settings: object,
) -> AsyncIterator[Stage]:
    """Serve a simulated FMFW; `settings` are its own switches, `extra` more lines of `[venues.fmfw]`."""
    async with (
        simulator.serve(
            ["fmfw"], seed=7, rate=rate, symbols=symbols, clock_ns=clock_ns, settings={"fmfw": settings}
        ) as running,
        aiohttp.ClientSession() as http,
    ):
        yield Stage(running["fmfw"], folder, dsn, http, extra, streams)


async def until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait for a state that nobody announces."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.02)


def all_equal(verdicts: list[Verdict]) -> bool:
    """Whether there is something and all of it equal; prints what is not."""
    for verdict in verdicts:
        if not verdict.equal:
            print(verdict)  # noqa: T201  shown by pytest when the test fails
    return bool(verdicts) and all(verdict.equal for verdict in verdicts)


def live(daemon: Daemon) -> bool:
    """Whether every connection of every venue is live."""
    feeds = [feed for one in daemon.workers.values() for feed in one.worker.connections.values()]
    return bool(feeds) and all(feed.state == "live" for feed in feeds)
