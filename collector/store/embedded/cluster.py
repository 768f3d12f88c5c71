"""The files of one embedded server, under `data_dir/postgres`.

    data/              PostgreSQL's own; `collector.conf` in it is rewritten at every start, `postgresql.conf` is yours
    log/               the server's log, bounded by `prune_logs`, and what it said while starting
    port               the port of the last start, taken again where it is free
    collector.pgpass   passwords of superuser and daemon, in the form that psql reads
    analyst.pgpass     password of the read-only login for people
    lock               held by the collector that uses all this; a second one is refused

Nothing here talks to the server.
"""

from __future__ import annotations

__all__ = ["HOST", "Cluster"]

import fcntl
import os
import secrets
import shutil
import signal
import subprocess
from pathlib import Path

from collector.store.embedded.account import Account, account_for, command_as
from collector.store.embedded.bootstrap import ANALYST, OWNER, SUPERUSER
from collector.store.embedded.installation import Installation, Kind
from collector.store.errors import ServerBusyError, ServerStartError

HOST = "127.0.0.1"
INITDB_TIMEOUT_SECONDS = 180.0
LOG_FILE_MEGABYTES = 10
LOG_FILES_KEPT = 5

_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
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
    "log_rotation_size": f"{LOG_FILE_MEGABYTES}MB",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}
_THROWAWAY = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
    "max_wal_size": "256MB",
}


class Cluster:
    """The folder `data_dir/postgres` and what is in it."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir.absolute() / "postgres"
        self.data = self.folder / "data"
        self.log = self.folder / "log"
        self.start_log = self.log / "start.log"
        self._lock: int | None = None

    def __repr__(self) -> str:
        return f"<Cluster {self.folder} major={self.major} locked={self._lock is not None}>"

    @property
    def major(self) -> int | None:
        """The PostgreSQL major version that the files belong to; None where there are none yet."""
        try:
            return int((self.data / "PG_VERSION").read_text())
        except FileNotFoundError:
            return None

    @property
    def needs_timescaledb(self) -> bool:
        """Whether the files may hold hypertables, which only a server with TimescaleDB opens."""
        try:
            return "timescaledb" in (self.data / "collector.conf").read_text()
        except FileNotFoundError:
            return False

    def lock(self) -> Account:
        """Make the folder, claim it for this process, and return the account that the server will run as.

        Raises:
            ServerBusyError: another process has claimed it.
            ServerStartError: the folder cannot be made or written.

        """
        try:
            account = account_for(self.data, self.folder, self.folder.parent)
            self.folder.mkdir(parents=True, exist_ok=True)
            account.own(self.folder)
            descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            account.own(self.folder / "lock")
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
        """Give the folder up; without a claim, nothing happens."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def create(self, installation: Installation, account: Account) -> None:
        """Make the database files where there are none; takes about a second.

        An interrupted attempt leaves no half-made cluster behind: it is made beside its place and renamed.
        """
        self._folder_of(account, self.log, 0o700)
        if self.data.exists():
            return
        making = self.folder / "data.new"
        shutil.rmtree(making, ignore_errors=True)
        self._folder_of(account, making, 0o700)
        account.require(making, Path(installation.program("initdb")))
        password_file = self.folder / "initdb.password"
        self._write(account, password_file, self.passwords(account)[SUPERUSER])
        try:
            done = subprocess.run(  # noqa: S603
                command_as(account, [
                    installation.program("initdb"), "--pgdata", str(making), "--username", SUPERUSER,
                    "--pwfile", str(password_file), "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C",
                ], death_signal=signal.SIGTERM),
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                timeout=INITDB_TIMEOUT_SECONDS,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise ServerStartError(
                f"initdb did not finish in {INITDB_TIMEOUT_SECONDS:.0f} s; is the disk alive?"
            ) from error
        finally:
            password_file.unlink()
        if done.returncode != 0:
            raise ServerStartError(f"the database files could not be made in {self.folder}:\n{done.stdout.strip()}")
        with (making / "postgresql.conf").open("a") as configuration:
            configuration.write("\n# The collector's settings come first; yours belong below this line.\n")
            configuration.write("include_if_exists = 'collector.conf'\n")
        making.rename(self.data)

    def configure(self, installation: Installation, account: Account, *, throwaway: bool) -> None:
        """Write the settings of this start. What stands in `postgresql.conf` below them, or in ALTER SYSTEM, wins."""
        settings = dict(_SETTINGS)
        if throwaway:
            settings |= _THROWAWAY
        if installation.kind is not Kind.WHEEL:
            settings["wal_compression"] = "lz4"  # in every distribution's build, and cheaper
            if not Path("/usr/share/zoneinfo/UTC").exists():
                settings |= {"timezone": "GMT", "log_timezone": "GMT"}  # the one zone that needs no file
        if installation.timescaledb:
            settings |= {"shared_preload_libraries": "timescaledb", "timescaledb.telemetry_level": "off"}
            if throwaway:
                # A scheduler in each of many databases would hold connections to what tests want to copy and drop.
                settings["timescaledb.max_background_workers"] = "0"
        path = self.data / "collector.conf"
        lines = [f"{name} = '{value}'" for name, value in settings.items()]
        self._write(account, path, "# Rewritten at every start; change postgresql.conf instead.\n" + "\n".join(lines))

    def passwords(self, account: Account) -> dict[str, str]:
        """Return the password of each login, made up once."""
        for logins in ((SUPERUSER, OWNER), (ANALYST,)):
            file = self.password_file(logins[-1])
            if not self.data.exists() and not file.exists():
                lines = [f"{HOST}:*:*:{login}:{secrets.token_urlsafe(24)}" for login in logins]
                self._write(account, file, "\n".join(lines))
        found: dict[str, str] = {}
        for login in (OWNER, ANALYST):
            try:
                text = self.password_file(login).read_text()
            except OSError as error:
                raise ServerStartError(
                    f"{self.password_file(login)} cannot be read ({error.strerror}); without it the database in "
                    f"{self.folder} cannot be entered: restore it, or make it readable"
                ) from error
            for line in text.split():
                *_, name, password = line.split(":")
                found[name] = password
        return found

    def password_file(self, login: str) -> Path:
        """The file with a login's password, fit for `PGPASSFILE`."""
        return self.folder / f"{login}.pgpass"

    @property
    def port(self) -> int | None:
        """The port of the last start."""
        try:
            return int((self.folder / "port").read_text())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None

    def remember_port(self, account: Account, port: int) -> None:
        """Keep the port for the next start and for `describe`."""
        self._write(account, self.folder / "port", str(port))

    def state(self, pid: int) -> str:
        """What the server with this process id says of itself: '' at first, then `starting`, `ready`, `stopping`."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return ""
        return lines[7].strip() if len(lines) > 7 and lines[0] == str(pid) else ""

    def prune_logs(self) -> None:
        """Delete all but the newest log files; PostgreSQL bounds each file's size, never their number."""
        for old in sorted(self.log.glob("server-*.log"))[:-LOG_FILES_KEPT]:
            old.unlink(missing_ok=True)

    def _folder_of(self, account: Account, path: Path, mode: int) -> None:
        path.mkdir(mode=mode, exist_ok=True)
        account.own(path)

    def _write(self, account: Account, path: Path, text: str) -> None:
        """Put a file of mode 0600 in place whole: after a crash there is the old one or the new one."""
        beside = path.with_name(path.name + ".new")
        beside.unlink(missing_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        account.own(beside)
        beside.replace(path)
