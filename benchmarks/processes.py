"""Programs under measurement: started, watched through /proc, and ended."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

START_SECONDS = 120.0
STOP_SECONDS = 15.0
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_LAST_LINES = 15


class ProgramError(Exception):
    """A program under measurement did not do what the measurement needs."""


class Program:
    """A running process; the numbers are the kernel's."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log

    def __repr__(self) -> str:
        return f"<Program {self.name} pid={self._process.pid} status={self._process.returncode}>"

    @property
    def cpu_seconds(self) -> float:
        """Processor time of all its threads."""
        self.check()
        return cpu_seconds(self._process.pid)

    def memory_mb(self, which: str = "VmRSS") -> float:
        """Resident memory in MiB; `VmHWM` is the most that it ever was."""
        self.check()
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith(which + ":"):
                return int(line.split()[1]) / 1024
        raise ProgramError(f"the kernel does not tell {which} of {self.name}")

    def check(self) -> None:
        """Raise when it has ended, with its last words."""
        if self._process.returncode is not None:
            words = "\n".join(self._log.read_text(errors="replace").splitlines()[-_LAST_LINES:])
            raise ProgramError(f"{self.name} ended with status {self._process.returncode}:\n{words}")

    async def first_line(self) -> Any:
        """Return the JSON object that it prints when it is ready."""
        assert self._process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            line = await self._process.stdout.readline()
            if not line:
                await self._process.wait()
                self.check()
        return json.loads(line)

    async def stop(self) -> None:
        """End it in order, or by force when it takes too long."""
        if self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()


@asynccontextmanager
async def program(
    name: str, *command: str | Path, log: Path, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Program]:
    """Run a program within the block; what it says on stderr goes to `log`."""
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *map(str, command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            env=None if environ is None else {**os.environ, **environ},
            start_new_session=True,  # a Ctrl-C is for us: we end them in order
        )
    running = Program(name, process, log)
    try:
        yield running
    finally:
        await running.stop()


def cpu_seconds(pid: int, *, children: bool = False) -> float:
    """Processor time of a process; with `children` also that of its living and ended ones (a database server)."""
    user, system, gone_user, gone_system = _times(pid)
    ticks = user + system
    if children:
        ticks += gone_user + gone_system
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                if _parent(stat) == pid:
                    ticks += sum(_times(int(stat.parent.name))[:2])
            except FileNotFoundError:  # ended since the listing
                continue
    return ticks / _TICKS_A_SECOND


def _fields(stat: Path) -> list[str]:
    # The name, in parentheses, may hold blanks and parentheses itself.
    return stat.read_text().rpartition(")")[2].split()


def _parent(stat: Path) -> int:
    return int(_fields(stat)[1])


def _times(pid: int) -> tuple[int, int, int, int]:
    fields = _fields(Path(f"/proc/{pid}/stat"))
    return int(fields[11]), int(fields[12]), int(fields[13]), int(fields[14])
