"""What an earlier server left in its folder: processes that still end, and the file that says it runs.

A collector that was killed takes its server with it, but that takes a moment; a server that was killed leaves
`postmaster.pid` behind, and after a restart its number may belong to anybody, for which PostgreSQL would refuse to
start. The caller holds the cluster's lock, so whatever is found here belongs to no living collector.
"""

from __future__ import annotations

__all__ = ["clear"]

import asyncio
from pathlib import Path

from collector.store.embedded import files
from collector.store.errors import ServerBusyError

# How long the server of a killed collector may take to end: it finishes its checkpoint first.
LEFTOVER_TIMEOUT_SECONDS = 30.0
# How often the process table is looked at meanwhile: no event tells of the end of another's child.
POLL_SECONDS = 0.02


async def clear(data: Path, *, timeout_seconds: float = LEFTOVER_TIMEOUT_SECONDS) -> None:
    """Wait until no server process is in the folder `data`, then remove a stale `postmaster.pid`.

    Raises:
        ServerBusyError: a server is still there; one that the collector did not start is never ended by it.

    """
    try:
        async with asyncio.timeout(timeout_seconds):
            while _processes_in(data):  # noqa: ASYNC110  not our children: nothing tells us of their end
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        processes = ", ".join(map(str, _processes_in(data)))
        raise ServerBusyError(
            f"a PostgreSQL server (process {processes}) still runs in {data}, and this collector did not start it; "
            f"end it with `pg_ctl -D {data} stop`"
        ) from None
    pid_file = data / "postmaster.pid"
    try:
        with files.held(data.parents[1], data.parent.name, data.name) as folder:
            pid = files.read(folder, pid_file.name).partition("\n")[0]
    except FileNotFoundError:
        return
    if pid.isdecimal() and b"postgres" in _command(pid) and _folder(pid) is None:
        raise ServerBusyError(
            f"process {pid}, a PostgreSQL server of another account, may be running in {data}; end it, "
            f"or if it belongs elsewhere remove {pid_file}"
        )
    with files.held(data.parents[1], data.parent.name, data.name) as folder:
        files.remove(folder, pid_file.name)


def _processes_in(data: Path) -> list[int]:
    here = data.resolve()
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdecimal() and _folder(entry.name) == here and b"postgres" in _command(entry.name)
    ]


def _folder(pid: str) -> Path | None:
    """The working folder of a process, for a PostgreSQL its data folder; None where we may not see it."""
    try:
        return Path("/proc", pid, "cwd").readlink()
    except OSError:
        return None


def _command(pid: str) -> bytes:
    try:
        return Path("/proc", pid, "cmdline").read_bytes()
    except OSError:
        return b""
