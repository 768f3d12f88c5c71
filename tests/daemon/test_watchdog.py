"""The service as systemd sees it: a stub of its socket, and its rule that silence means a new start."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WATCHDOG_SECONDS = 3.0

# A daemon whose event loop stands still a second after its first start.
BLOCKED_ONCE = """
import asyncio, pathlib, sys, time
from collector.daemon.daemon import Daemon

mark = pathlib.Path(sys.argv.pop(1))
whole = Daemon.run

async def run(self):
    if not mark.exists():
        mark.touch()
        asyncio.get_running_loop().call_later(1.0, time.sleep, 600)  # a call that never comes back to the loop
    await whole(self)

Daemon.run = run
from collector.cli import main
main()
"""


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(str(tmp_path / "notify"))
        bound.setblocking(False)
        yield bound


async def start(tmp_path: Path, dsn: str) -> asyncio.subprocess.Process:
    config = tmp_path / "collector.toml"
    config.write_text(
        f'data_dir = "{tmp_path / "data"}"\n[database]\ndsn = "{dsn}"\n[http]\nlisten = "127.0.0.1:0"\n'
        '[venues.fmfw]\nsymbols = ["BTCUSDT"]\nrest_url = "http://127.0.0.1:9/api/3"\n'
        'ws_url = "ws://127.0.0.1:9/api/3/ws/public"\n'
    )
    environment = {
        **os.environ,
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
        "WATCHDOG_USEC": str(int(WATCHDOG_SECONDS * 1e6)),
    }
    environment.pop("WATCHDOG_PID", None)
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        BLOCKED_ONCE,
        str(tmp_path / "blocked"),
        "run",
        "--config",
        str(config),
        env=environment,
        cwd=ROOT,
        stderr=asyncio.subprocess.DEVNULL,
    )


async def hear(systemd: socket.socket, wanted: bytes, seconds: float) -> bool:
    """Whether this is said before it is silent for `seconds`; what else is said counts as life only if it is a feed."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while (left := end - loop.time()) > 0:
        try:
            async with asyncio.timeout(left):
                message = await loop.sock_recv(systemd, 4096)
        except TimeoutError:
            return False
        if wanted in message.split(b"\n"):
            return True
    return False


@pytest.mark.parametrize("database_server", ["postgres"], indirect=True)
async def test_blocked_event_loop_is_noticed_and_a_new_start_records_again(
    tmp_path: Path, systemd: socket.socket, database: str
) -> None:
    process = await start(tmp_path, database)
    try:
        assert await hear(systemd, b"READY=1", 60)
        while await hear(systemd, b"WATCHDOG=1", WATCHDOG_SECONDS):
            pass
        silent = time.monotonic()
        process.send_signal(signal.SIGABRT)  # as systemd does
        await process.wait()
        process = await start(tmp_path, database)
        assert await hear(systemd, b"READY=1", 60)
        assert await hear(systemd, b"WATCHDOG=1", 60)
        print(f"{time.monotonic() - silent:.1f} s from the last allowance to the first feed")  # noqa: T201
        for _ in range(3):
            assert await hear(systemd, b"WATCHDOG=1", 20)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
