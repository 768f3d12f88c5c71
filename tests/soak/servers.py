"""A database server of a case's own, to be stopped, killed and starved; and disks that are small."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from collector.store.embedded import EmbeddedServer
from collector.store.migrate import migrate
from tests.databases import TIMESCALEDB, installation_for, open_folder

END_SECONDS = 30.0
# What the embedded server of a daemon is set to.
DURABLE = ("synchronous_commit = on", "fsync = on", "full_page_writes = on", "autovacuum = on", "max_wal_size = '2GB'")


class OwnServer:
    """A server on a port that stays the same; what it has committed survives its end, but no power cut."""

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        # Not one of the well-known ports: another server may take those while this one is away.
        self._server = EmbeddedServer(folder, installation_for(TIMESCALEDB), throwaway=True)
        self._settings = DURABLE if durable else ("synchronous_commit = on",)
        self._port: socket.socket | None = None
        self.dsn = ""

    @property
    def pid(self) -> int:
        pid = self._server.pid
        assert pid is not None
        return pid

    async def start(self) -> None:
        if self._port is not None:
            self._port.close()
            self._port = None
        dsn = await self._server.start()
        assert self.dsn in ("", dsn), "another program has taken the port"
        self.dsn = dsn

    async def prepare(self) -> None:
        """Start for the first time."""
        await self.start()
        await migrate(self.dsn)
        await self.tell(*(f"alter system set {one}" for one in self._settings), "select pg_reload_conf()")

    async def stop(self) -> None:
        """End it in order, and keep its port from others."""
        await self._server.stop()
        self._keep_port()

    def _keep_port(self) -> None:
        if self._port is None and self.dsn:
            self._port = socket.socket()
            self._port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._port.bind(("127.0.0.1", urlsplit(self.dsn).port))

    def close(self) -> None:
        """Give the port up."""
        if self._port is not None:
            self._port.close()

    def kill(self) -> None:
        """End it at once: it recovers at its next start."""
        os.kill(self.pid, signal.SIGQUIT)

    async def ended(self) -> None:
        """Wait until it is gone, and let it be started again."""
        process = self._server._process
        assert process is not None
        await asyncio.to_thread(process.wait, END_SECONDS)
        await self.stop()

    async def tell(self, *statements: str) -> None:
        """Run statements as superuser."""
        connection = await asyncpg.connect(self._server.superuser_dsn)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def cut_all(self) -> int:
        """End every connection to the tables; returns how many there were."""
        connection = await asyncpg.connect(self._server.superuser_dsn)
        try:
            status = await connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'market'"
            )
        finally:
            await connection.close()
        return int(status.rpartition(" ")[2])


@asynccontextmanager
async def own_server(folder: Path | None = None, *, durable: bool = False) -> AsyncIterator[OwnServer]:
    """A running server with our tables, in `folder`, else on the disk where it is durable, else in memory."""
    place = folder or (_on_disk() if durable else open_folder())
    server = OwnServer(place, durable=durable)
    try:
        await server.prepare()
        yield server
    finally:
        await server.stop()
        server.close()
        if folder is None:
            shutil.rmtree(place)


@asynccontextmanager
async def standby(folder: Path) -> AsyncIterator[OwnServer]:
    """A migrated server that was started anew as a standby."""
    async with own_server(folder) as server:
        inner = server._server
        process, account, installation = inner._process, inner._account, inner.installation
        assert process is not None
        assert account is not None
        assert installation is not None
        await server.tell("alter system set wal_level = 'replica'")
        await inner._stop_process(process, 10)
        await inner._start_process(installation, account)  # what it writes from now on can be followed
        assert inner._process is not None
        await inner._stop_process(inner._process, 10)
        (inner.cluster.data / "standby.signal").touch()
        (inner.cluster.data / "standby.signal").chmod(0o644)
        inner._spawn(installation, account, inner._port)
        async with asyncio.timeout(30):
            while inner.cluster.state(inner.pid or 0) != "ready":  # noqa: ASYNC110  nobody announces it
                await asyncio.sleep(0.02)
        yield server


def _on_disk() -> Path:
    place = Path(tempfile.mkdtemp(prefix="collector-test-", dir="/var/tmp"))
    place.chmod(0o755)
    return place


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """A file system of so many MiB; skips the test where none may be mounted."""
    folder = Path(tempfile.mkdtemp(prefix="collector-disk-"))
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", str(folder)]
    try:
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
            pytest.skip("only root may mount a small file system, and not in every container")
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
    finally:
        folder.rmdir()


@contextmanager
def filled(folder: Path, leave_bytes: int) -> Iterator[None]:
    """Take all but a little of a file system away for the time of the block."""
    ballast = folder / "ballast"
    free = shutil.disk_usage(folder).free
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, free - leave_bytes))
    try:
        yield
    finally:
        ballast.unlink()
