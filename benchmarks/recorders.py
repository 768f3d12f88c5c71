"""The recorders that are compared, each run as its users run it, into a database server of the same kind."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import orjson

from benchmarks.database import Observer, prepare, server
from benchmarks.environment import cryptofeed_python
from benchmarks.processes import START_SECONDS, Program, program

POLL_SECONDS = 0.1
_HERE = Path(__file__).parent
_OUR_PROGRESS = "select coalesce(sum(stored), 0)::bigint from journal_counts where table_name = 'trades'"
_THEIR_PROGRESS = "select n_tup_ins from pg_stat_user_tables where relname = 'trades'"


@dataclass(frozen=True, slots=True)
class Recorder:
    """A running recorder and its database."""

    name: str
    program: Program
    observer: Observer
    versions: str
    status_url: str | None = None


def toml(data_dir: Path, port: int, venue: str) -> str:
    """A configuration with nothing but defaults apart from the places."""
    return f'data_dir = "{data_dir}"\n\n[http]\nlisten = "127.0.0.1:{port}"\n\n{venue}'


def trades_only(addresses: Mapping[str, str]) -> str:
    """The section for the venue that sends trades only."""
    return (
        f'[venues.fmfw]\nrest_url = "{addresses["rest_url"]}"\nws_url = "{addresses["ws_url"]}"\n'
        'symbols = ["*"]\nstreams = ["trades"]\nsnapshot = 0\n'
    )


@asynccontextmanager
async def collector(folder: Path, venue: str, environ: Mapping[str, str] | None = None) -> AsyncIterator[Recorder]:
    """`collector run` with an embedded server, once it records; `venue` is the configuration's section."""
    data, port = folder / "data", _free_port()
    data.mkdir(mode=0o755)
    versions = await prepare(data)
    configuration = folder / "collector.toml"
    configuration.write_text(toml(data, port, venue))
    url = f"http://127.0.0.1:{port}"
    async with program(
        "collector",
        sys.executable,
        "-m",
        "collector.cli",
        "run",
        "--config",
        configuration,
        log=folder / "log",
        environ=environ,
    ) as running:
        await _ready(running, url)
        async with Observer.of(data, _OUR_PROGRESS) as observer:
            yield Recorder("collector", running, observer, versions, url)


@asynccontextmanager
async def journalling(folder: Path, venue: str, environ: Mapping[str, str] | None = None) -> AsyncIterator[Program]:
    """`collector run` whose database never answers: it receives, journals and parses, and stores nothing."""
    data, port = folder / "data", _free_port()
    data.mkdir(mode=0o755)
    nowhere = f'[database]\ndsn = "postgresql://nobody@127.0.0.1:{_free_port()}/none"\n'
    configuration = folder / "collector.toml"
    configuration.write_text(toml(data, port, f"{nowhere}\n{venue}"))
    command = (sys.executable, "-m", "collector.cli", "run", "--config", configuration)
    async with program("collector, journal only", *command, log=folder / "log", environ=environ) as running:
        await _ready(running, f"http://127.0.0.1:{port}", database="away")
        yield running


@asynccontextmanager
async def cryptofeed(folder: Path, addresses: Mapping[str, str], symbols: Sequence[str]) -> AsyncIterator[Recorder]:
    """cryptofeed with its own PostgreSQL backend; the venue tells when it has subscribed."""
    python = await asyncio.to_thread(cryptofeed_python)
    data = folder / "data"
    data.mkdir(mode=0o755)
    async with server(data) as embedded:
        connection = await asyncpg.connect(embedded.dsn)
        try:
            await connection.execute((_HERE / "cryptofeed.sql").read_text())
        finally:
            await connection.close()
        async with (
            Observer.of(data, _THEIR_PROGRESS) as observer,
            program(
                "cryptofeed",
                python,
                _HERE / "cryptofeed_recorder.py",
                addresses["rest_url"],
                addresses["ws_url"],
                *symbols,
                log=folder / "log",
                environ={"BENCH_DSN": embedded.dsn},
            ) as running,
        ):
            yield Recorder(str((await running.first_line())["version"]), running, observer, "the same")


async def status(http: aiohttp.ClientSession, url: str) -> Any:
    """What a running collector says of itself."""
    async with http.get(f"{url}/api/status") as response:
        return orjson.loads(await response.read())


async def _ready(running: Program, url: str, *, database: str = "connected") -> None:
    async with asyncio.timeout(START_SECONDS), aiohttp.ClientSession() as http:
        while True:
            running.check()
            try:
                async with http.get(f"{url}/readyz") as response:
                    ready = response.status == 200
                # It records, and is ready, before the database is: the journal takes what comes.
                if ready and (await status(http, url))["database"]["state"] == database:
                    return
            except aiohttp.ClientConnectionError:  # it does not listen yet
                pass
            await asyncio.sleep(POLL_SECONDS)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
