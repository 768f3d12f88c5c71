"""The files of one embedded server, under `data_dir/postgres`.

    data/              PostgreSQL's own; `collector.conf` in it is rewritten at every start, `postgresql.conf` is yours
    log/               the server's log, bounded by `prune_logs`, and what it said while starting
    socket/            where it listens: nobody but its account, and root, can enter, and so nobody else be taken for it
    port               the port of the last start, the number in the socket's name
    collector.pgpass   passwords of superuser and daemon, in the form that psql reads
    analyst.pgpass     password of the read-only login for people
    lock               held by the collector that uses all this; a second one is refused

All of it belongs to the server's account. Nothing here talks to the server.
"""

from __future__ import annotations

__all__ = ["LOOPBACK_HOST", "Cluster"]

import fcntl
import os
import secrets
import shutil
import signal
import stat
import subprocess
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from collector.store.embedded import files
from collector.store.embedded.account import Account, account_for, command_as
from collector.store.embedded.bootstrap import ANALYST, OWNER, SUPERUSER
from collector.store.embedded.installation import Installation, Kind
from collector.store.errors import ServerBusyError, ServerStartError

# Where the server listens when its folder's path is too long for the address of a socket.
LOOPBACK_HOST = "127.0.0.1"
# Part of a socket's name. It lies below the range that the kernel gives to outgoing connections, for those who change
# `listen_addresses` and have the server listen on the net as well.
SOCKET_PORT = 15432
# The longest path of a socket that Linux takes (`sun_path` in unix(7), without its final NUL).
SOCKET_PATH_MAX_BYTES = 107
# It takes about a second; a slow or busy disk may need a hundred times that.
INITDB_TIMEOUT_SECONDS = 180.0
# Together with `LOG_FILES_MAX` the bound of the server's log on the disk, 50 MB.
LOG_FILE_MAX_MEGABYTES = 10
LOG_FILES_MAX = 5
START_LOG = "start.log"

_SETTINGS = {
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",  # its compile time is longer than our queries
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "wal_compression": "on",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",  # the journal is cut behind what was committed
    "max_locks_per_transaction": "256",  # a query takes a lock for each chunk and each of its indexes
    "logging_collector": "on",
    "log_filename": "server-%Y%m%d-%H%M%S.log",
    "log_directory": "../log",
    "log_rotation_age": "1d",
    "log_rotation_size": f"{LOG_FILE_MAX_MEGABYTES}MB",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}
# For tests, whose data nobody wants back.
_THROWAWAY_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
    "max_wal_size": "256MB",
}


_INCLUDE = """
# The collector's settings come first; yours belong below this line.
include_if_exists = 'collector.conf'
"""


# The line of `postmaster.pid`, counted from 0, on which a server writes its state (pidfile.h of PostgreSQL).
STATE_LINE = 7


class ServerState(StrEnum):
    """What a server has written about itself into `postmaster.pid`."""

    UNKNOWN = ""
    STARTING = "starting"
    READY = "ready"
    STANDBY = "standby"
    STOPPING = "stopping"


class Cluster:
    """The folder `data_dir/postgres` and its contents."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir.absolute() / "postgres"
        self.data = self.folder / "data"
        self.log = self.folder / "log"
        self._lock: int | None = None

    def __repr__(self) -> str:
        return f"<Cluster {self.folder} major={self.major} locked={self._lock is not None}>"

    @property
    def major(self) -> int | None:
        """The PostgreSQL major version that the files belong to; None where there are none yet."""
        try:
            with files.held(self._parent, "postgres", "data") as folder:
                return int(files.read(folder, "PG_VERSION"))
        except FileNotFoundError:
            return None

    @property
    def needs_timescaledb(self) -> bool:
        """Whether the files may hold hypertables, which only a server with TimescaleDB opens."""
        try:
            with files.held(self._parent, "postgres", "data") as folder:
                return "timescaledb" in files.read(folder, "collector.conf")
        except FileNotFoundError:
            return False

    @property
    def _parent(self) -> Path:
        return self.folder.parent

    @property
    def socket_folder(self) -> Path | None:
        """The folder of the server's socket; None where its path is too long for the address of a socket."""
        folder = self.folder / "socket"
        longest = len(os.fsencode(folder / f".s.PGSQL.{SOCKET_PORT}"))
        return folder if longest <= SOCKET_PATH_MAX_BYTES and "," not in str(folder) else None

    def lock(self) -> Account:
        """Make the folder, claim it for this process, and return the account that the server will run as.

        Raises:
            ServerBusyError: another process has claimed it.
            ServerStartError: the folder cannot be made or written.

        """
        try:
            account = account_for(self.data, self.folder, self._parent)
            # The server's account may pass through root's folder, but not list it.
            self._parent.mkdir(0o711 if account.switch else 0o700, parents=True, exist_ok=True)
            with files.held(self._parent) as parent:
                files.made(parent, self.folder.name, account)
            with files.held(self._parent, self.folder.name) as folder:
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
                descriptor = os.open("lock", flags, 0o600, dir_fd=folder)
            about = os.fstat(descriptor)
            if account.switch and stat.S_ISREG(about.st_mode) and (about.st_uid, about.st_nlink) == (0, 1):
                os.fchown(descriptor, account.uid, account.gid)
        except OSError as error:
            raise ServerStartError(
                f"{self.folder} cannot be used ({error.strerror}): set data_dir to a folder of yours"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise ServerBusyError(
                f"another collector runs its database in {self.folder}; stop it, or set another data_dir"
            ) from None
        self._lock = descriptor
        return account

    def unlock(self) -> None:
        """Release the folder; does nothing where it is not claimed."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def create(self, installation: Installation, account: Account) -> None:
        """Make the database files where there are none; takes about a second.

        They are made under another name and then renamed, so that an interrupted attempt leaves no half-made cluster.
        """
        with files.held(self._parent, self.folder.name) as folder:
            files.made(folder, "log", account)
            files.made(folder, "socket", account)
            if "data" in files.names(folder):
                return
            shutil.rmtree("data.new", ignore_errors=True, dir_fd=folder)
            files.made(folder, "data.new", account)
            self._initialise(installation, account, folder)
            os.rename("data.new", "data", src_dir_fd=folder, dst_dir_fd=folder)

    def _initialise(self, installation: Installation, account: Account, folder: int) -> None:
        making, password_file = self.folder / "data.new", self.folder / "initdb.password"
        account.require(making, Path(installation.program("initdb")))
        files.write(folder, password_file.name, self.passwords(account)[SUPERUSER], account)
        try:
            done = subprocess.run(  # noqa: S603
                command_as(
                    account,
                    [
                        installation.program("initdb"),
                        "--pgdata",
                        str(making),
                        "--username",
                        SUPERUSER,
                        "--pwfile",
                        str(password_file),
                        "--auth",
                        "scram-sha-256",
                        "--encoding",
                        "UTF8",
                        "--locale",
                        "C",
                    ],
                    death_signal=signal.SIGTERM,
                ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=INITDB_TIMEOUT_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise ServerStartError(
                f"initdb did not finish in {INITDB_TIMEOUT_SECONDS:.0f} s; is the disk alive?"
            ) from error
        finally:
            files.remove(folder, password_file.name)
        if done.returncode != 0:
            raise ServerStartError(f"the database files could not be made in {self.folder}:\n{done.stdout.strip()}")
        with files.held(self._parent, self.folder.name, making.name) as new:
            files.append(new, "postgresql.conf", _INCLUDE, account)

    def configure(self, installation: Installation, account: Account, *, tcp: bool, throwaway: bool) -> None:
        """Write the settings of this start.

        Settings in `postgresql.conf` below the include, or by ALTER SYSTEM, win.
        """
        settings = dict(_SETTINGS)
        settings |= {
            "listen_addresses": LOOPBACK_HOST if tcp else "",
            "unix_socket_directories": "" if tcp else _quoted(str(self.folder / "socket")),
        }
        if throwaway:
            settings |= _THROWAWAY_SETTINGS
        if installation.kind is not Kind.WHEEL:
            settings["wal_compression"] = "lz4"  # in every distribution's build, and cheaper
            if not Path("/usr/share/zoneinfo/UTC").exists():
                settings |= {"timezone": "GMT", "log_timezone": "GMT"}  # the one zone that needs no file
        if installation.timescaledb:
            settings |= {"shared_preload_libraries": "timescaledb", "timescaledb.telemetry_level": "off"}
            if throwaway:
                # A scheduler in each of many databases would hold connections to what tests want to copy and drop.
                settings["timescaledb.max_background_workers"] = "0"
        lines = [f"{name} = {_written(value)}" for name, value in settings.items()]
        text = "# Rewritten at every start; change postgresql.conf instead.\n" + "\n".join(lines)
        with files.held(self._parent, self.folder.name, "data") as folder:
            files.write(folder, "collector.conf", text, account)
        with files.held(self._parent, self.folder.name, "socket") as folder:
            # Left by a server that was killed, whose process id may belong to another process by now.
            for name in files.names(folder):
                files.remove(folder, name)

    def passwords(self, account: Account) -> dict[str, str]:
        """Return the password of each login, generated at the first call. The caller holds the lock."""
        found: dict[str, str] = {}
        with files.held(self._parent, self.folder.name) as folder:
            present = files.names(folder)
            for logins in ((SUPERUSER, OWNER), (ANALYST,)):
                name = self.password_file(logins[-1]).name
                if name not in present and "data" not in present:
                    known = {login: secrets.token_urlsafe(24) for login in logins}
                else:
                    known = self.known_passwords(logins[-1])
                lines = [
                    f"{place}:*:*:{login}:{password}" for place in self._places() for login, password in known.items()
                ]
                if name not in present or files.read(folder, name).splitlines() != lines:
                    files.write(folder, name, "\n".join(lines), account)
                found |= known
        return found

    def known_passwords(self, login: str) -> dict[str, str]:
        """Return the passwords in a login's password file, by login.

        Raises:
            ServerStartError: this account may not read it, or it is lost.

        """
        file = self.password_file(login)
        try:
            with files.held(self._parent, self.folder.name) as folder:
                lines = files.read(folder, file.name).splitlines()
        except OSError as error:
            raise ServerStartError(
                f"{file} cannot be read ({error.strerror}); without it the database in {self.folder} cannot be "
                "entered: restore it, or make it readable"
            ) from error
        return {name: password for line in lines for name, password in [line.rsplit(":", 2)[1:]]}

    def _places(self) -> list[str]:
        """The server's addresses as psql's password file spells them."""
        folder = self.socket_folder
        return [*([str(folder).replace("\\", "\\\\").replace(":", "\\:")] if folder else []), LOOPBACK_HOST]

    def password_file(self, login: str) -> Path:
        """The file with a login's password, fit for `PGPASSFILE`."""
        return self.folder / f"{login}.pgpass"

    @property
    def port(self) -> int | None:
        """The port of the last start."""
        try:
            with files.held(self._parent, self.folder.name) as folder:
                return int(files.read(folder, "port"))
        except PermissionError:
            raise
        except (OSError, ValueError):  # none yet, or something else by that name
            return None

    def remember_port(self, account: Account, port: int) -> None:
        """Store the port for the next start and for other processes."""
        with files.held(self._parent, self.folder.name) as folder:
            files.write(folder, "port", str(port), account)

    def state(self, pid: int) -> ServerState:
        """Return what the server with this process id has written about itself."""
        try:
            with files.held(self._parent, self.folder.name, "data") as folder:
                lines = files.read(folder, "postmaster.pid").splitlines()
        except FileNotFoundError:
            return ServerState.UNKNOWN
        if len(lines) <= STATE_LINE or lines[0] != str(pid):
            return ServerState.UNKNOWN
        with suppress(ValueError):
            return ServerState(lines[STATE_LINE].strip())
        return ServerState.UNKNOWN

    def prune_logs(self) -> None:
        """Delete all but the newest log files: PostgreSQL bounds the size of each, but not their number."""
        with files.held(self._parent, self.folder.name, "log") as folder:
            for old in self._logs(folder)[:-LOG_FILES_MAX]:
                files.remove(folder, old)

    def new_start_log(self, account: Account) -> int:
        """Return a descriptor of an empty file for the server's output until it has its own log."""
        with files.held(self._parent, self.folder.name, "log") as folder:
            return files.create(folder, START_LOG, account)

    def last_words(self) -> tuple[str, str]:
        """Return the server's output from its start, and the end of its newest log."""
        with files.held(self._parent, self.folder.name, "log") as folder:
            logs = self._logs(folder)
            said = files.read(folder, START_LOG) if START_LOG in files.names(folder) else ""
            return said.strip(), files.read(folder, logs[-1]) if logs else ""

    @staticmethod
    def _logs(folder: int) -> list[str]:
        return [name for name in files.names(folder) if name.startswith("server-") and name.endswith(".log")]


def _written(value: str) -> str:
    """Write a value as the server's configuration wants it."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _quoted(folder: str) -> str:
    """Write a folder as an element of a list of folders."""
    return '"' + folder.replace('"', '""') + '"'
