"""A daemon in a process of its own, as the test that torments it sees it: its status page, its memory, its log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from tests.kit.stage import Stage

POLL_SECONDS = 0.1
PATIENCE_SECONDS = 240.0
QUIET_SECONDS = 0.6
STATUS_TIMEOUT = aiohttp.ClientTimeout(total=30)
LAUNCHER = str(Path(__file__).with_name("launcher.py"))

Status = dict[str, Any]


class Recording:
    """One running daemon."""

    def __init__(self, on: Stage, process: asyncio.subprocess.Process, log_from: int, url: str = "") -> None:
        """`url` is where its page is, if its log does not tell."""
        self.on = on
        self.process = process
        self._log_from = log_from
        self._url = url

    def log(self, event: str) -> list[dict[str, Any]]:
        """What this process has logged under a name."""
        with (self.on.folder / "daemon.log").open("rb") as file:
            file.seek(self._log_from)
            lines = [orjson.loads(line) for line in file if line.startswith(b"{") and line.endswith(b"}\n")]
        return [line for line in lines if line["event"] == event]

    async def status(self) -> Status | None:
        """What it tells of itself; None while it does not listen yet."""
        if not self._url and (told := self.log("http_listening")):
            self._url = told[-1]["url"]
        if not self._url:
            return None
        async with (
            aiohttp.ClientSession(timeout=STATUS_TIMEOUT) as http,
            http.get(f"{self._url}/api/status") as response,
        ):
            told_now: Status = orjson.loads(await response.read())
        return told_now

    async def until(self, condition: Callable[[Status], bool], what: str, seconds: float = PATIENCE_SECONDS) -> Status:
        """Wait until the status is so; returns it."""
        end = time.monotonic() + seconds
        while True:
            status = await self.status()
            assert status is None or status["totals"]["unaccounted"] == 0, status["totals"]
            if status is not None and condition(status):
                return status
            assert self.process.returncode is None, f"the daemon ended while waiting for {what}"
            assert time.monotonic() < end, f"not within {seconds} s: {what}; {status and status['health']}"
            await asyncio.sleep(POLL_SECONDS)

    async def flows(self, rows: int = 1) -> Status:
        """Wait until every connection is live and so many more rows are stored."""
        before = (await self.until(all_live, "live connections"))["totals"]["total"]["stored"]
        return await self.until(
            lambda status: all_live(status) and status["totals"]["total"]["stored"] >= before + rows, f"{rows} rows"
        )

    async def settled(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until nothing new arrives, everything that arrived is in the tables and every gap has been seen to."""
        last, since = -1, time.monotonic()

        def quiet(status: Status) -> bool:
            nonlocal last, since
            frames = sum(one["frames"] for venue in status["venues"] for one in venue["connections"])
            if frames != last:
                last, since = frames, time.monotonic()
            return (
                all_live(status)
                and time.monotonic() - since > QUIET_SECONDS
                and status["journal"]["backlog_bytes"] == 0
            )

        await self.until(quiet, "everything committed", seconds)

    async def repaired(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until no gap is open."""
        end = time.monotonic() + seconds
        while await self.on.query("select from gaps where state = 'open' limit 1"):
            assert self.process.returncode is None
            assert time.monotonic() < end, await self.on.query("select * from v_gaps where state = 'open' limit 3")
            await asyncio.sleep(POLL_SECONDS)

    def memory_mb(self, which: str = "VmRSS") -> float:
        """Resident memory in MiB, as the kernel counts it; `VmHWM` is the most that it ever was."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(which + ":"):
                return int(line.split()[1]) / 1024
        raise AssertionError(f"the kernel does not tell {which}")


@asynccontextmanager
async def recording(on: Stage, *mine: str | int) -> AsyncIterator[Recording]:
    """Run a daemon on the stage; `mine` is a step, a call and a victim, see `launcher`."""
    log = on.folder / "daemon.log"
    log_from = log.stat().st_size if log.exists() else 0
    program: Sequence[str] = (LAUNCHER, *map(str, mine)) if mine else ("-m", "collector.cli")
    async with on.process(program=program) as process:
        yield Recording(on, process, log_from)


def all_live(status: Status) -> bool:
    """Whether every connection of every venue is live."""
    connections = [one for venue in status["venues"] for one in venue["connections"]]
    return bool(connections) and all(one["state"] == "live" for one in connections)
