"""The embedded database: a PostgreSQL server that the collector starts, keeps running and stops.

The server is a child process. When the collector dies, in whatever way, the kernel signals the server, so that none is
left behind. It listens on a Unix socket that no other account can reach, asks for passwords, and never runs as root.
Where the folder's path is too long for a socket, it listens on loopback instead; there the password is given only to a
server that proves it knows the password. Recovery after a kill is PostgreSQL's own: this module only gives it time.
"""

from __future__ import annotations

__all__ = ["EmbeddedServer", "Hint"]

import asyncio
import contextlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn
from urllib.parse import quote

import structlog

from collector.store.embedded.account import Account, account_for, command_as
from collector.store.embedded.bootstrap import ANALYST, DATABASE, OWNER, SUPERUSER, bootstrap
from collector.store.embedded.cluster import LOOPBACK_HOST, SOCKET_PORT, Cluster, ServerState
from collector.store.embedded.installation import Installation, find
from collector.store.embedded.leftovers import clear
from collector.store.errors import DatabaseError, ServerMissingError, ServerStartError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

log = structlog.get_logger(__name__)

# After a kill the server first repeats up to `max_wal_size` of writes.
START_TIMEOUT_SECONDS = 600.0
# For an orderly stop; together with `CRASH_STOP_TIMEOUT_SECONDS` it leaves the rest of the collector enough of the 30 s
# that the unit allows (`TimeoutStopSec`).
STOP_TIMEOUT_SECONDS = 8.0
# For an immediate stop after that, which recovers at the next start; then the process is killed.
CRASH_STOP_TIMEOUT_SECONDS = 5.0
# How often the server's status file is read while it starts; a start takes 0.2 s.
READY_POLL_SECONDS = 0.02
# How often old log files are deleted while the server runs.
LOG_PRUNE_SECONDS = 60.0
# Before the first, second ... restart in a row; the last one repeats. The first costs nothing, since most deaths (out
# of memory, a kill) are over at once.
RESTART_DELAYS_SECONDS = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
# Ports beside the one of the last start that are tried where it is taken.
PORTS_TRIED_MAX = 100
# The only way in which the server may ask for the password: SCRAM proves to us that it knows the password itself. The
# value is one of `require_auth` of libpq.
REQUIRED_LOGIN_METHOD = "scram-sha-256"


class Hint(NamedTuple):
    """How a person connects with psql: the one on the machine, or else the one beside the server.

    `host` is the folder of the server's socket, or an address.
    """

    host: str
    port: int
    database: str
    user: str
    password_file: Path
    psql: str

    @property
    def command(self) -> str:
        """The shell command, ready to be pasted."""
        # A psql older than 16 does not know PGREQUIREAUTH, and ignores it.
        variables = f"PGPASSFILE={shlex.quote(str(self.password_file))} PGREQUIREAUTH={REQUIRED_LOGIN_METHOD}"
        place = f"-h {shlex.quote(self.host)} -p {self.port} -U {self.user} {self.database}"
        return f"{variables} {shlex.quote(self.psql)} {place}"


class EmbeddedServer:
    """A PostgreSQL server whose files are in `data_dir/postgres`.

    Without `installation`, the best one on the machine that fits the files is taken. `throwaway` trades durability
    for speed, and listens on a loopback port, so that a test can put a proxy before it: for tests only.

    Start it from a thread that outlives the server: the kernel's signal is sent when that thread ends.
    """

    def __init__(self, data_dir: Path, installation: Installation | None = None, *, throwaway: bool = False) -> None:
        self.cluster = Cluster(data_dir)
        self.installation = installation
        self.throwaway = throwaway
        self._account: Account | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def __repr__(self) -> str:
        state = f"port={self._port} pid={self.pid}" if self._process else "stopped"
        return f"<EmbeddedServer {self.cluster.folder} {state}>"

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Have the server running within the block; the value is the daemon's DSN."""
        dsn = await self.start()
        try:
            yield dsn
        finally:
            await self.stop()

    async def start(self) -> str:
        """Start the server, making its files, roles and database where they are missing; return the daemon's DSN.

        Takes about a second the first time, 0.2 s later, and as long as the recovery needs after a kill.

        Raises:
            ServerMissingError: there is no PostgreSQL for it; `collector database install` helps.
            ServerBusyError: another collector runs on the same folder.
            ServerStartError: the server gave up; its own words are in the text.

        """
        if self._process is not None:
            raise ServerStartError(f"the database server in {self.cluster.folder} is running already")
        account = self._account = self.cluster.lock()
        try:
            # In threads, since both run programs: reading these from a cold disk takes seconds.
            installation = await asyncio.to_thread(self._choose)
            if self.cluster.data.exists():
                await clear(self.cluster.data)
            await asyncio.to_thread(self.cluster.create, installation, account)
            await asyncio.to_thread(account.require, self.cluster.data, Path(installation.program("postgres")))
            self.cluster.configure(installation, account, tcp=self._tcp, throwaway=self.throwaway)
            self.cluster.prune_logs()
            await self._start_process(installation, account)
            passwords = self.cluster.passwords(account)
            await bootstrap(self.superuser_dsn, passwords, timescaledb=installation.timescaledb)
        except OSError as error:
            await self.stop()
            what = f"{error.filename}: " if error.filename else ""
            raise ServerStartError(f"{self.cluster.folder} cannot be used ({what}{error.strerror or error})") from error
        except BaseException:
            await self.stop()
            raise
        log.info(
            "database_server_started", port=self._port, version=installation.version, origin=str(installation.kind)
        )
        return self.dsn

    async def stop(self, *, timeout_seconds: float = STOP_TIMEOUT_SECONDS) -> None:
        """Stop the server and release its folder; after `timeout_seconds` by force.

        A forced stop loses nothing that was committed; the next start takes longer. Does nothing where none runs.
        """
        try:
            if self._process is not None:
                await self._stop_process(self._process, timeout_seconds)
                log.info("database_server_stopped")
        finally:
            self._process = None
            self.cluster.unlock()

    async def keep(self) -> NoReturn:
        """Start the server again whenever it dies, and delete its old logs, until cancelled.

        Call it between `start` and `stop`. While the server is away the journal grows; nothing is lost.
        """
        failures = 0
        while True:
            process, installation, account = self._process, self.installation, self._account
            if process is None or installation is None or account is None:
                raise ServerStartError(f"the database server in {self.cluster.folder} was not started")
            if not await _ended(process, LOG_PRUNE_SECONDS):
                failures = 0
                self.cluster.prune_logs()
                continue
            log.error("database_server_died", status=process.returncode, log=str(self.cluster.log))
            await asyncio.sleep(RESTART_DELAYS_SECONDS[min(failures, len(RESTART_DELAYS_SECONDS) - 1)])
            failures += 1
            try:
                await clear(self.cluster.data)
                await self._start_process(installation, account)
            except (DatabaseError, OSError) as error:  # a full disk, too, refuses a start
                log.error("database_server_not_restarted", reason=str(error))  # noqa: TRY400  the text says it all
            else:
                log.info("database_server_restarted", port=self._port)

    @property
    def pid(self) -> int | None:
        """The server's process id; None where it was not started. It may have died since: see `keep`."""
        return None if self._process is None else self._process.pid

    @property
    def dsn(self) -> str:
        """The DSN of the daemon's login, which owns the database; holds the password."""
        return self._dsn(OWNER, DATABASE)

    @property
    def superuser_dsn(self) -> str:
        """The DSN of the superuser, for administration; holds the password."""
        return self._dsn(SUPERUSER, "postgres")

    @property
    def known_dsn(self) -> str:
        """The DSN of the daemon's login at the server's last start, for any process that may read the password file."""
        port = self.cluster.port
        if port is None:
            raise ServerStartError(f"the database server in {self.cluster.folder} is starting; try again in a moment")
        return self._address(OWNER, self.cluster.known_passwords(OWNER)[OWNER], port, DATABASE)

    @property
    def reader_dsn(self) -> str:
        """As `known_dsn`, for the login of analysts, which can only read."""
        port = self.cluster.port
        if port is None:
            raise ServerStartError(f"the database server in {self.cluster.folder} is starting; try again in a moment")
        return self._address(ANALYST, self.cluster.known_passwords(ANALYST)[ANALYST], port, DATABASE)

    def obstacle(self, installation: Installation) -> str | None:
        """Return what would keep the server's account from its files or programs; None where nothing does."""
        folder = self.cluster.folder
        while not os.path.lexists(folder):
            folder = folder.parent
        try:
            account = account_for(self.cluster.data, self.cluster.folder, self.cluster.folder.parent)
            account.require(folder, Path(installation.program("postgres")))
        except ServerStartError as error:
            return str(error)
        return None

    def describe(self) -> Hint | None:
        """Return how people connect in order to read; works from any process. None where no server ever ran."""
        port = self.cluster.port
        if port is None:
            return None
        psql = "psql"
        if shutil.which(psql) is None and (ours := self.installation or find(major=self.cluster.major)):
            psql = ours.program("psql")
        return Hint(self._host, port, DATABASE, ANALYST, self.cluster.password_file(ANALYST), psql)

    @property
    def _tcp(self) -> bool:
        return self.throwaway or self.cluster.socket_folder is None

    @property
    def _host(self) -> str:
        return LOOPBACK_HOST if self._tcp else str(self.cluster.socket_folder)

    def _dsn(self, user: str, database: str) -> str:
        if self._account is None or not self._port:
            raise ServerStartError(f"the database server in {self.cluster.folder} was not started")
        return self._address(user, self.cluster.passwords(self._account)[user], self._port, database)

    def _address(self, user: str, password: str, port: int, database: str) -> str:
        # Without sslmode the driver looks for certificates in the home folder, which we may not be allowed to enter.
        if not self._tcp:
            host = quote(self._host, safe="")
            return f"postgresql://{user}:{password}@/{database}?host={host}&port={port}&sslmode=disable"
        # While our server is down, another account may listen on its port: it must not be given the password.
        proof = "" if self.throwaway else f"&require_auth={REQUIRED_LOGIN_METHOD}"
        return f"postgresql://{user}:{password}@{LOOPBACK_HOST}:{port}/{database}?sslmode=disable{proof}"

    def _choose(self) -> Installation:
        major, timescaledb = self.cluster.major, self.cluster.needs_timescaledb or None
        if self.installation is None:
            self.installation = find(major=major, timescaledb=timescaledb)
        chosen = self.installation
        if chosen and major in {None, chosen.major} and timescaledb in {None, chosen.timescaledb}:
            return chosen
        if major is None:
            raise ServerMissingError(
                "there is no PostgreSQL to keep the data in: run `collector database install`, "
                "or set database.dsn to a server of yours"
            )
        wanted = f"PostgreSQL {major}" + (" with TimescaleDB" if timescaledb else "")
        raise ServerMissingError(
            f"the database in {self.cluster.folder} belongs to {wanted}, "
            + (f"and this is {chosen}" if chosen else "which is not on this machine")
            + ": put it back (`collector database install`), or move the data with pg_dump"
        )

    async def _start_process(self, installation: Installation, account: Account) -> None:
        ports = _ports(self.cluster.port, any_port=self.throwaway) if self._tcp else [SOCKET_PORT]
        for port in ports:
            self._spawn(installation, account, port)
            if await self._becomes_ready():
                self._port = port
                try:
                    self.cluster.remember_port(account, port)
                except OSError as error:  # other processes cannot find the server then, but recording works
                    log.warning("database_server_port_not_kept", reason=error.strerror or str(error))
                return
        raise ServerStartError(f"no free port for the database server was found on {LOOPBACK_HOST}")

    def _spawn(self, installation: Installation, account: Account, port: int) -> None:
        command = [installation.program("postgres"), "-D", str(self.cluster.data), "-p", str(port)]
        with os.fdopen(self.cluster.new_start_log(account), "wb") as said:
            self._process = subprocess.Popen(  # noqa: S603
                command_as(account, command, death_signal=signal.SIGINT),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd="/",
                start_new_session=True,  # a Ctrl-C at the terminal is for us: we stop the server last
            )

    async def _becomes_ready(self) -> bool:
        """Wait for the server to accept connections; False where only its port was taken meanwhile."""
        process = self._process
        assert process is not None
        try:
            async with asyncio.timeout(START_TIMEOUT_SECONDS):
                # The only sign of readiness that needs no login and that every version has is a file.
                while self.cluster.state(process.pid) is not ServerState.READY:
                    if await _ended(process, READY_POLL_SECONDS):
                        break
                else:
                    return True
        except TimeoutError:
            await self._stop_process(process, STOP_TIMEOUT_SECONDS)
            raise ServerStartError(f"the database server was not ready after {START_TIMEOUT_SECONDS:.0f} s") from None
        said, logged = self.cluster.last_words()
        if self._tcp and "could not bind" in said:
            return False
        words = [*said.splitlines()[-10:], *logged.splitlines()[-10:], f"(from {self.cluster.log})"]
        raise ServerStartError("the database server did not start:\n" + "\n".join(words))

    async def _stop_process(self, process: subprocess.Popen[bytes], timeout_seconds: float) -> None:
        try:
            for name, wait in ((signal.SIGINT, timeout_seconds), (signal.SIGQUIT, CRASH_STOP_TIMEOUT_SECONDS)):
                if process.poll() is None:
                    process.send_signal(name)
                if await _ended(process, wait):
                    return
                log.warning("database_server_slow_to_stop", signal=name.name, seconds=wait)
        finally:
            if process.poll() is None:  # cancelled, or deaf: its children see its end and follow
                process.kill()
                process.wait(CRASH_STOP_TIMEOUT_SECONDS)


async def _ended(process: subprocess.Popen[bytes], timeout_seconds: float) -> bool:
    """Wait for a process's end, at most so long; whether it has ended. From any event loop, unlike asyncio's own."""
    if process.poll() is not None:
        return True
    descriptor = os.pidfd_open(process.pid)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        async with asyncio.timeout(timeout_seconds):
            await ended.wait()
    except TimeoutError:
        return False
    else:
        return process.poll() is not None
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _ports(remembered: int | None, *, any_port: bool) -> Iterator[int]:
    """Yield ports that are free now: the remembered one, then the first ones of our range, at last any."""
    wanted = [0] * PORTS_TRIED_MAX if any_port else [*range(SOCKET_PORT, SOCKET_PORT + PORTS_TRIED_MAX), 0]
    for port in [remembered, *wanted] if remembered else wanted:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK_HOST, port))
            except OSError:
                continue
            free: int = probe.getsockname()[1]
        yield free
