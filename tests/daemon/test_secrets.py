"""No secret gets out: known ones are fed through every failure, and then looked for in everything that came out."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import unquote, urlsplit

import aiohttp
import asyncpg
import pytest
import structlog
import zstandard

from collector import simulator
from collector.clock import SystemClock
from collector.demo.compare import Ledger
from collector.logs import configure
from collector.simulator.metaapi.accounts import SECRETS
from collector.supervise.parts import Supervised
from tests.feed.fakes import FakeVenue
from tests.kit.stage import until
from tests.kit.watched import serving, watched

PATHS = (
    "/",
    "/instrument",
    "/api/status",
    "/api/day",
    "/api/instrument?venue=finam&symbol=SBER@MISX",
    "/metrics",
    "/healthz",
    "/readyz",
    "/nothing",
    "/api/instrument/candles?venue=metaapi&symbol=EURUSD&period=x",
)
COMMANDS = (
    ["check"],
    ["check", "--json"],
    ["check", "--offline"],
    ["status"],
    ["status", "--json"],
    ["plan", "--json"],
    ["gaps", "--json"],
    ["quarantine", "list"],
)
FAULTS = {
    "metaapi": [
        "update",
        "garbage",
        "unknown_packet",
        "disconnected",
        "refuse_symbol",
        "429",
        "rest_429",
        "5xx",
        "cut",
        "refuse_subscribe",
        "downgrade",
    ],
    "finam": [
        "expire",
        "401",
        "429",
        "5xx",
        "envoy",
        "garbage",
        "hang_up",
        "403",
        "crossed_book",
        "cut",
        "ws_garbage",
        "ws_error",
    ],
}
PATIENCE_SECONDS = 60.0


@dataclass
class Staged:
    """Two venues with accounts, a database with a password, and a configuration that leads to them."""

    running: Any
    folder: Path
    dsn: str

    @property
    def config(self) -> Path:
        return self.folder / "collector.toml"

    @property
    def text(self) -> str:
        quick = "rest_per_minute = 3000\nshortest_seconds = 0.05\n"
        return (
            f'data_dir = "{self.folder / "data"}"\n[log]\nlevel = "debug"\nformat = "json"\n'
            f'[database]\ndsn = "{self.dsn}"\n[http]\nlisten = "127.0.0.1:{self.port}"\n'
            f"{self.running['metaapi'].config}\n{self.running['finam'].config}\n{quick}"
        )

    port: int = 0

    @property
    def secrets(self) -> list[str]:
        """What must be nowhere. Of the token its middle is enough, of the finam simulator the session tokens, too."""
        password = urlsplit(self.dsn).password
        assert password
        return [unquote(password), "simulated-token-of-nobody", "tapi_sk_simulated", "tapi_ak_", *SECRETS]

    async def command(self, *arguments: str, config: Path | None = None, **environ: str) -> str:
        """All that a command prints."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "collector.cli",
            *arguments,
            "--config",
            str(config or self.config),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **environ},
        )
        try:
            out, _ = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
        except TimeoutError:
            process.kill()
            raise
        return out.decode()


@asynccontextmanager
async def staged(dsn: str, folder: Path) -> AsyncIterator[Staged]:
    settings: dict[str, dict[str, object]] = {
        "metaapi": {"accounts": ("demo",), "ping_interval": 1.0, "ping_timeout": 0.3, "status_every": 0.3},
        "finam": {"quota": 100_000},
    }
    async with simulator.serve(["metaapi", "finam"], seed=5, rate=60, settings=settings) as running:
        on = Staged(running, folder, dsn)
        on.config.write_text(on.text)
        yield on


def found(secrets: list[str], where: dict[str, str]) -> list[tuple[str, str]]:
    """Where which secret stands, with what is around it."""
    return [
        (name, text[max(0, text.find(secret) - 60) : text.find(secret) + len(secret)])
        for name, text in where.items()
        for secret in secrets
        if secret in text
    ]


def on_disk(folder: Path) -> Iterator[tuple[str, str]]:
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            if path.suffix == ".zst":
                content = zstandard.ZstdDecompressor().decompressobj().decompress(content)
            yield str(path), content.decode(errors="replace")


async def in_tables(dsn: str) -> AsyncIterator[tuple[str, str]]:
    connection = await asyncpg.connect(dsn)
    try:
        for [table] in await connection.fetch("select tablename::text from pg_tables where schemaname = 'public'"):
            rows = await connection.fetch(f'select to_jsonb(t)::text from "{table}" t')
            yield f"table {table}", "\n".join(row[0] for row in rows)
            if table == "quarantine":
                frames = await connection.fetch("select payload from quarantine where payload is not null")
                yield "quarantined bytes", b"\n".join(row[0] for row in frames).decode(errors="replace")
    finally:
        await connection.close()


def command_lines(pid: int) -> dict[str, str]:
    """The process list as anyone may read it: this process and what it has started."""
    lines = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if pid in (parent, int(folder.name)):
                lines[f"process {folder.name}"] = (folder / "cmdline").read_text()
    return lines


async def address_in(log: Path, process: asyncio.subprocess.Process) -> str:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            text = await asyncio.to_thread(log.read_text)
            assert process.returncode is None, text
            if told := re.search(r'"url":"(http://[^"]+)","event":"http_listening"', text):
                return told[1]
            await asyncio.sleep(0.1)


async def stored(dsn: str, wanted: int) -> None:
    """Wait until so many ticks are in the table, which may not be there yet."""
    connection = await asyncpg.connect(dsn)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                with contextlib.suppress(asyncpg.PostgresError):
                    if await connection.fetchval("select count(*) from ticks") >= wanted:
                        return
                await asyncio.sleep(0.2)
    finally:
        await connection.close()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)
async def test_no_secret_is_in_anything_that_a_running_daemon_gives_out(database: str, tmp_path: Path) -> None:
    log = tmp_path / "daemon.log"
    async with staged(database, tmp_path) as on, aiohttp.ClientSession() as http:
        with log.open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "collector.cli", "run", "--config", str(on.config), stderr=stderr
            )
        out: dict[str, str] = {}
        try:
            url = await address_in(log, process)
            await stored(database, 100)
            for venue, faults in FAULTS.items():
                ledger = Ledger(http, on.running[venue].address.get("rest_url") or on.running[venue].address["url"])
                for fault in faults:
                    with contextlib.suppress(Exception):  # one that wants options is tried by the venue's own tests
                        await ledger.tell("faults", {"fault": fault})
                    await asyncio.sleep(0.1)
            for path in PATHS:
                async with http.get(url + path) as answer:
                    out[path] = await answer.text()
            async with http.get(url + "/api/events") as answer:
                out["/api/events"] = (await answer.content.read(200_000)).decode()
            out |= command_lines(process.pid)
            on.config.write_text(on.text.replace("127.0.0.1:0", url.removeprefix("http://")))
            for some in (COMMANDS[:4], COMMANDS[4:]):
                told = await asyncio.gather(*(on.command(*command) for command in some))
                out |= {" ".join(command): text for command, text in zip(some, told, strict=True)}
            process.terminate()
            assert await asyncio.wait_for(process.wait(), PATIENCE_SECONDS) == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        out |= dict(on_disk(tmp_path / "data"))
        out |= {name: text async for name, text in in_tables(database)}
        out["log"] = log.read_text()

        assert "SBER@MISX" in out["/api/status"]
        assert "connection_lost" in out["log"], "the faults did strike"
        assert any("EURUSD" in text for name, text in out.items() if ".seg" in name)
        assert found(on.secrets, out) == []
        # Who has the account is nobody's business either; the journal needs MetaAPI's ids to be read again.
        ids = [on.running["finam"].address["account"], on.running["metaapi"].address["account"]]
        public = {name: text for name, text in out.items() if name.startswith("/") and ".seg" not in name}
        assert found(ids, {name: text for name, text in public.items() if name in PATHS}) == []


@pytest.mark.timeout(400)
@pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)
async def test_no_secret_is_told_by_what_fails_before_a_start(database: str, tmp_path: Path) -> None:
    password = urlsplit(database).password or ""
    async with staged(database, tmp_path) as on:
        token = re.compile(r'^token = "(.*)"', re.MULTILINE)
        changes: dict[str, Callable[[str], str]] = {
            "refused logins": lambda text: text.replace(password, "wrong-hunter22").replace("simulated", "refused77"),
            "nobody there": lambda text: re.sub(r"127\.0\.0\.1:\d\d+", "127.0.0.1:1", text),
            "bad TLS": lambda text: re.sub('(rest_url|base_url) = "http:', '\\1 = "https:', text),
            "an address that cannot be read": lambda text: text.replace(f":{password}@", f":{password}/%zz@"),
            "a driver's option": lambda text: text.replace("sslmode=disable", "sslmode=unheard-of"),
            "no address at all": lambda text: text.replace("postgresql://", "mysql://"),
            "a token of the wrong type": lambda text: token.sub(r'token = ["\1"]', text),
            "a token with a line's end": lambda text: token.sub(r'token = "\1\\n x"', text),
            "secrets under wrong names": lambda text: text.replace("token =", "tokn =").replace("secret =", "secrt ="),
            "a file that is not TOML": lambda text: token.sub(r'token = "\1', text),
        }
        told: dict[str, str] = {}

        async def fails(number: int, what: str) -> None:
            path = tmp_path / f"{number}.toml"
            path.write_text(changes[what](on.text))
            told[what] = await on.command("check", config=path)
            if "fault" in told[what]:  # else it would run
                told[f"run: {what}"] = await on.command("run", config=path)

        for at in range(0, len(changes), 5):
            await asyncio.gather(*(fails(at + n, what) for n, what in enumerate([*changes][at : at + 5])))
        variables = {
            "COLLECTOR_VENUES__METAAPI__TOKN": "header.simulated-token-of-nobody.signature",
            "COLLECTOR_DATABASE__DSN": f"postgres//x:{password}@h",
        }
        told["variables"] = await on.command("check", config=None, **variables)

    assert "the token was refused" in told["refused logins"]
    assert "the configuration" in told["no address at all"].lower()
    assert all(told.values())
    assert found([*on.secrets, "wrong-hunter22", "token-of-refused77", "sk_refused77"], told) == []


class Crashing:
    """A worker with a bug whose exception holds a secret, and a cause that holds it, too."""

    venue = FakeVenue()

    async def run(self) -> None:
        password = "hunter2-and-more"
        logins: dict[str, str] = {}
        try:
            logins[password]
        except KeyError as error:
            raise RuntimeError(f"cannot log in with {password!r} at postgresql://me:{password}@h/db") from error


async def test_an_exception_of_a_worker_is_told_without_the_secret_in_it(tmp_path: Path) -> None:
    stream = io.StringIO()
    for form in ("json", "console"):
        configure(form=form, secrets=["hunter2-and-more"], stream=stream)
        crashing = Supervised(Crashing(), SystemClock(), Random(1))  # type: ignore[arg-type]
        task = asyncio.ensure_future(crashing.run())
        await until(lambda: crashing.failures == 1, "a crash")  # noqa: B023
        task.cancel()
        await asyncio.wait([task])
    try:
        async with watched(tmp_path) as daemon, aiohttp.ClientSession() as http, AsyncExitStack() as gone:
            one = daemon.add_venue()
            supervised = daemon.workers[one.venue.name]
            supervised.failures, supervised.failure = 1, crashing.failure
            supervised.failed_ns = daemon.clock.now_ns()
            address = await gone.enter_async_context(serving(daemon))
            out = {"log": stream.getvalue()}
            for path in ("/api/status", "/healthz", "/readyz", "/metrics"):
                async with http.get(f"{address}{path}") as answer:
                    out[path] = await answer.text()
            async with http.get(f"{address}/api/events") as answer:
                out["/api/events"] = (await answer.content.read(100_000)).decode()
    finally:
        structlog.reset_defaults()

    assert "cannot log in with" in out["log"]
    assert "cannot log in with" in json.loads(out["/api/status"])["venues"][0]["reason"]
    assert found(["hunter2-and-more"], out) == []
