"""All that a machine, a database and two other venues can do at once, and a venue that is recorded beside it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import signal
import socket
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from collector.demo.compare import verify
from tests.databases import open_folder
from tests.feed.doors import body, bomb, door
from tests.kit.running import PATIENCE_SECONDS
from tests.kit.stage import Stage, stage
from tests.soak.recording import Recording, Status
from tests.soak.servers import standby

DESCRIPTORS = 1024
IDLE_CONNECTIONS = 1100
BOMB_MIB = 500
MOST_MIB = 250
TABLES = ("trades", "ticks", "books", "candles")
FOREIGN_VENUE = """
[venues.{name}]
adapter = "fmfw"
symbols = ["*"]
rest_url = "{url}"
ws_url = "ws://127.0.0.1:1"
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the embedded server's account may enter."""
    folder = open_folder()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def descriptors() -> Iterator[None]:
    """Descriptors for all those who come to look."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@asynccontextmanager
async def idle_connections(port: int) -> AsyncIterator[None]:
    """Many who connect and ask nothing."""
    writers = []
    try:
        for _ in range(IDLE_CONNECTIONS):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writers.append(writer)
        yield
    finally:
        for writer in writers:
            writer.close()


async def journal_grows(on: Stage, process: asyncio.subprocess.Process) -> None:
    """Wait until some frames more are in the journal, of a daemon that nobody can ask."""
    journal = on.folder / "data" / "journal"

    def size() -> int:
        return sum(path.stat().st_size for path in journal.glob("*.seg*"))

    async with asyncio.timeout(PATIENCE_SECONDS):
        before = size()
        while size() < before + 200_000:
            assert process.returncode is None
            await asyncio.sleep(0.05)


def frames(status: Status) -> int:
    return sum(int(one["frames"]) for venue in status["venues"] for one in venue["connections"])


async def frames_come(daemon: Recording) -> None:
    before = frames(await daemon.until(lambda status: frames(status) > 0, "frames"))
    await daemon.until(lambda status: frames(status) > before + 100, "100 frames more")


class StuckLog:
    """A pipe that is full and that nobody reads, until somebody does."""

    def __init__(self) -> None:
        self._reader, self.writer = os.pipe()
        os.set_blocking(self.writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.writer, b"x" * 4096)
        os.set_blocking(self.writer, True)

    def read(self) -> list[dict[str, Any]]:
        """Read to the end, which comes with the process that writes; returns the lines behind the filling."""
        os.close(self.writer)
        with os.fdopen(self._reader, "rb") as file:
            return [orjson.loads(line) for line in file.read().lstrip(b"x").splitlines()]


async def page_is_served(port: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.05)


async def all_is_stored(on: Stage) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            verdicts = await verify(on.dsn, on.name, on.ledger, TABLES)
            if all(verdict.equal for verdict in verdicts):  # a poll's answer may have been on its way
                break
    assert sum(verdict.sent for verdict in verdicts) > 500


async def test_recording_goes_on_whatever_is_around_it(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "data" / "daemon.json").mkdir(parents=True)
    log = StuckLog()
    async with (
        AsyncExitStack() as stack,
        standby(folder) as server,
        body(bomb(BOMB_MIB, 16 + zlib.MAX_WBITS), "gzip") as bombed,
        door() as moved,
        stage(server.dsn, tmp_path, rate=500) as on,
    ):
        moved.status, moved.headers = 307, {"Location": on.venue.address["rest_url"]}
        foreign = FOREIGN_VENUE.format(name="bombed", url=bombed) + FOREIGN_VENUE.format(name="moved", url=moved.url)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            on.config.write_text(on.config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}") + foreign)
            process = await stack.enter_async_context(on.process(stderr=log.writer, most_files=DESCRIPTORS))
            await journal_grows(on, process)
        daemon = Recording(on, process, 0, f"http://127.0.0.1:{port}")
        await page_is_served(port)
        async with idle_connections(port):
            await frames_come(daemon)
            status = await daemon.until(lambda status: status["database"]["state"] == "away", "a standby")
            assert "read-only" in status["database"]["reason"]
            await server.tell("select pg_promote(true, 30)")
            await daemon.flows(500)
        await on.ledger.pause()
        await daemon.settled()
        await all_is_stored(on)
        assert daemon.memory_mb("VmHWM") < MOST_MIB
        process.send_signal(signal.SIGTERM)
        lines = await asyncio.to_thread(log.read)
        assert await process.wait() == 0
        await on.counts_add_up()
    troubles = [(line["event"], line.get("venue")) for line in lines if line["level"] in ("warning", "error")]
    assert sorted(troubles, key=str) == [
        ("database_away", None),
        ("discovery_failed", "bombed"),
        ("discovery_failed", "moved"),
        ("note_not_left", None),
        ("part_waits", None),
    ]
