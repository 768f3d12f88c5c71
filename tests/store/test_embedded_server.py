"""The embedded server comes up, keeps what it was given through every kind of death, and never stays behind."""

from __future__ import annotations

import asyncio
import os
import select
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg
import pytest

import collector
from collector.store.dsn import connect
from collector.store.embedded import EmbeddedServer, server_folder
from collector.store.embedded import server as server_module
from collector.store.embedded.leftovers import clear
from collector.store.errors import DatabaseRefusedError, ServerBusyError, ServerMissingError, ServerStartError
from tests.databases import POSTGRES, TIMESCALEDB, installation_for, open_folder
from tests.store.test_authentication import ACCEPTED, IN_CLEAR, MD5, Impostor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from collector.store.embedded import Installation

WAIT_SECONDS = 30

# Starts a server, stores a row, says the server's process id, and waits to be killed.
CHILD = """
import asyncio, sys
from pathlib import Path
import asyncpg
from collector.store.embedded import EmbeddedServer, Kind, find

async def main():
    server = EmbeddedServer(Path(sys.argv[1]), find(major=int(sys.argv[2]), kind=Kind(sys.argv[3])))
    async with server.running() as dsn:
        connection = await asyncpg.connect(dsn)
        await connection.execute("create table kept (x int); insert into kept values (7)")
        print(server.pid, flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def installation() -> Installation:
    return installation_for(POSTGRES)


@pytest.fixture(scope="module")
def used_once(installation: Installation) -> Iterator[Path]:
    """A data_dir whose server ran once; copying it is quicker than making it."""
    folder = open_folder()

    async def use() -> None:
        async with EmbeddedServer(folder, installation).running():
            pass

    asyncio.run(use())
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def data_dir(used_once: Path) -> Iterator[Path]:
    """A data_dir of the test's own, with a server's files in it."""
    folder = open_folder()
    subprocess.run(["cp", "-a", f"{used_once}/.", str(folder)], check=True)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def empty_dir() -> Iterator[Path]:
    folder = open_folder()
    yield folder
    shutil.rmtree(folder)


@asynccontextmanager
async def session(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


def child(data_dir: Path, installation: Installation, *program: str) -> subprocess.Popen[str]:
    """Another collector, as far as the database is concerned."""
    modules = [str(Path(collector.__file__).parents[1]), *(path for path in sys.path if "site-packages" in path)]
    return subprocess.Popen(
        [*(program or [sys.executable]), "-c", CHILD, str(data_dir), str(installation.major), installation.kind.value],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
        env={**os.environ, "COLLECTOR_SERVER_DIR": str(server_folder()), "PYTHONPATH": os.pathsep.join(modules)},
    )


def server_pid(process: subprocess.Popen[str]) -> int:
    """The process id of the child's server, once it is up."""
    assert process.stdout is not None
    while line := process.stdout.readline():
        if line.strip().isdecimal():
            return int(line)
    raise AssertionError(process.communicate(timeout=WAIT_SECONDS)[1])


def owner_of(pid: int) -> int:
    return Path("/proc", str(pid)).stat().st_uid


def wait_for_end(pid: int) -> None:
    """Wait until a process that is not our child has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], WAIT_SECONDS)[0], f"process {pid} is still there"
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("kind", [TIMESCALEDB, POSTGRES])
async def test_a_first_start_makes_a_database_that_asks_for_passwords(kind: str, empty_dir: Path) -> None:
    server = EmbeddedServer(empty_dir, installation_for(kind))
    async with server.running() as dsn:
        async with session(dsn) as connection:
            assert await connection.fetchval("select current_database() || ' ' || current_user") == "market collector"
            assert await connection.fetchval("show timezone") == "UTC"
            assert await connection.fetchval("show fsync") == "on"
            assert await connection.fetchval("select inet_server_addr()") is None
            assert await connection.fetchval("show listen_addresses") == ""
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(dsn.replace("collector:", "collector:x"))
        for login in ("collector", "analyst"):
            assert stat.S_IMODE(server.cluster.password_file(login).stat().st_mode) == 0o600
        for folder in (server.cluster.folder, server.cluster.data, server.cluster.log, server.cluster.socket_folder):
            assert folder is not None
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            assert server.pid is not None
            assert folder.stat().st_uid == owner_of(server.pid)


async def test_a_second_start_finds_rows_port_and_passwords_again(data_dir: Path, installation: Installation) -> None:
    async with EmbeddedServer(data_dir, installation).running() as first, session(first) as connection:
        await connection.execute("create table kept (x int); insert into kept values (7)")
    async with EmbeddedServer(data_dir, installation).running() as second, session(second) as connection:
        assert second == first
        assert await connection.fetchval("select x from kept") == 7


async def test_the_server_never_runs_as_root_and_hears_no_ctrl_c(data_dir: Path, installation: Installation) -> None:
    server = EmbeddedServer(data_dir, installation)
    async with server.running():
        assert server.pid is not None
        assert owner_of(server.pid) != 0
        assert os.getsid(server.pid) == server.pid


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_starts_it_as_himself(empty_dir: Path, installation: Installation) -> None:
    empty_dir.chmod(0o777)
    become = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "sh", "-c", 'exec "$0" "$@"')
    for python in (sys.executable, f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"):
        if subprocess.run([*become, python, "-c", ""], check=False, capture_output=True).returncode == 0:
            break
    else:
        pytest.skip("no interpreter of this version is where an ordinary user can start it")
    with child(empty_dir, installation, *become, python) as process:
        assert Path("/proc", str(server_pid(process))).owner() == "nobody"
        process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 0
    assert (empty_dir / "postgres").owner() == "nobody"


@pytest.mark.parametrize("kind", [TIMESCALEDB, POSTGRES])
async def test_a_killed_parent_takes_the_server_along_and_loses_no_row(kind: str, empty_dir: Path) -> None:
    installation = installation_for(kind)
    with child(empty_dir, installation) as process:
        pid = server_pid(process)
        process.kill()
    async with EmbeddedServer(empty_dir, installation).running() as dsn, session(dsn) as connection:
        wait_for_end(pid)
        assert await connection.fetchval("select x from kept") == 7


async def test_a_killed_server_is_started_again_with_its_rows(data_dir: Path, installation: Installation) -> None:
    server = EmbeddedServer(data_dir, installation)
    async with server.running() as dsn:
        async with session(dsn) as connection:
            await connection.execute("create table kept (x int); insert into kept values (7)")
        keeper = asyncio.ensure_future(server.keep())
        assert server.pid is not None
        killed = server.pid
        os.kill(killed, signal.SIGKILL)
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                try:
                    async with session(server.dsn) as connection:
                        assert await connection.fetchval("select x from kept") == 7
                        break
                except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    await asyncio.sleep(0.02)
        assert server.pid != killed
        assert server.dsn == dsn
        keeper.cancel()
        with pytest.raises(asyncio.CancelledError):
            await keeper


async def test_a_server_killed_without_a_keeper_recovers_at_the_next_start(
    data_dir: Path, installation: Installation
) -> None:
    server = EmbeddedServer(data_dir, installation)
    async with server.running() as dsn:
        async with session(dsn) as connection:
            await connection.execute("create table kept (x int); insert into kept values (7)")
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
    assert (server.cluster.data / "postmaster.pid").exists()
    async with server.running() as dsn, session(dsn) as connection:
        assert await connection.fetchval("select x from kept") == 7


async def test_a_process_id_that_now_belongs_to_another_program_is_no_obstacle(
    data_dir: Path, installation: Installation
) -> None:
    with subprocess.Popen(["sleep", "600"]) as other:  # noqa: ASYNC220  started in no time
        try:
            pid_file = data_dir / "postgres/data/postmaster.pid"
            pid_file.write_text(f"{other.pid}\n{pid_file.parent}\n1700000000\n15432\n\n127.0.0.1\n\nready   \n")
            async with EmbeddedServer(data_dir, installation).running() as dsn, session(dsn) as connection:
                assert await connection.fetchval("select 1") == 1
        finally:
            other.kill()


async def test_a_second_collector_on_the_same_folder_is_refused(data_dir: Path, installation: Installation) -> None:
    async with EmbeddedServer(data_dir, installation).running() as dsn:
        with pytest.raises(ServerBusyError, match="another collector runs its database"):
            await EmbeddedServer(data_dir, installation).start()
        with child(data_dir, installation) as process:
            assert "another collector runs its database" in process.communicate(timeout=WAIT_SECONDS)[1]
        async with session(dsn) as connection:
            assert await connection.fetchval("select 1") == 1


async def test_a_server_that_somebody_started_by_hand_is_left_alone(data_dir: Path, installation: Installation) -> None:
    async with EmbeddedServer(data_dir, installation).running() as dsn:
        with pytest.raises(ServerBusyError, match=r"did not start it; end it with `pg_ctl"):
            await clear(data_dir / "postgres/data", timeout_seconds=0.1)
        async with session(dsn) as connection:
            assert await connection.fetchval("select 1") == 1


# -- a path too long for a socket --------------------------------------------------------------------------------------


@pytest.fixture
def far_dir(used_once: Path) -> Iterator[Path]:
    """A data_dir whose path is too long for a socket's address, with a server's files in it."""
    folder = open_folder()
    far = folder / ("long " * 20) / "data"
    far.mkdir(0o755, parents=True)
    subprocess.run(["cp", "-a", f"{used_once}/.", str(far)], check=True)
    yield far
    shutil.rmtree(folder)


async def test_a_path_too_long_for_a_socket_means_loopback_and_proof(far_dir: Path, installation: Installation) -> None:
    server = EmbeddedServer(far_dir, installation)
    async with server.running() as dsn:
        assert "require_auth=scram-sha-256" in dsn
        for address in (dsn, server.known_dsn, server.reader_dsn):
            connection = await connect(address)
            assert await connection.fetchval("select inet_server_addr()::text") == "127.0.0.1/32"
            await connection.close()
        hint = EmbeddedServer(far_dir).describe()
    assert hint is not None
    assert hint.host == "127.0.0.1"
    assert "PGREQUIREAUTH=scram-sha-256" in hint.command


async def test_a_port_that_was_taken_meanwhile_is_left_to_its_owner(far_dir: Path, installation: Installation) -> None:
    async with EmbeddedServer(far_dir, installation).running():
        taken = EmbeddedServer(far_dir).cluster.port
    assert taken is not None
    with ExitStack() as stack:
        with suppress(OSError):  # where a server of another test has it, it is taken as well
            stack.enter_context(socket.create_server(("127.0.0.1", taken)))
        async with EmbeddedServer(far_dir, installation).running() as dsn:
            connection = await connect(dsn)
            moved = await connection.fetchval("select inet_server_port()")
            await connection.close()
            hint = EmbeddedServer(far_dir).describe()
    assert moved != taken
    assert hint is not None
    assert hint.port == moved


@pytest.mark.parametrize("answer", [IN_CLEAR, MD5, ACCEPTED])
async def test_who_took_the_port_is_told_no_password_and_trusted_with_nothing(
    far_dir: Path, installation: Installation, answer: bytes
) -> None:
    impostor = Impostor(answer)
    async with impostor.listening() as place:
        (far_dir / "postgres/port").write_text(f"{urlsplit(place).port}\n")
        server = EmbeddedServer(far_dir, installation)
        for dsn in (server.known_dsn, server.reader_dsn):
            with pytest.raises(DatabaseRefusedError, match="is not trusted"):
                await connect(dsn)
    assert impostor.heard == b""


# -- for people --------------------------------------------------------------------------------------------------------


async def test_the_hint_for_people_is_a_command_that_works_even_where_there_is_no_psql(
    data_dir: Path, installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    (data_dir / "o'clock: new").mkdir(0o755)
    data_dir = (data_dir / "postgres").rename(data_dir / "o'clock: new" / "postgres").parent
    async with EmbeddedServer(data_dir, installation).running():
        hint = EmbeddedServer(data_dir).describe()
        assert hint is not None
        done = await asyncio.to_thread(
            subprocess.run,
            [*shlex.split(f"env {hint.command}"), "-XAtc", "select current_user"],
            check=False,
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS,
        )
    assert (done.stdout.strip(), done.stderr) == ("analyst", "")


async def test_something_else_by_the_port_s_name_keeps_nobody_from_the_database(
    data_dir: Path, installation: Installation
) -> None:
    (data_dir / "postgres/port").unlink()
    (data_dir / "postgres/port").mkdir()
    server = EmbeddedServer(data_dir, installation)
    async with server.running() as dsn, session(dsn) as connection:
        assert await connection.fetchval("select 1") == 1
        assert server.describe() is None


async def test_passwords_of_before_are_kept_when_their_file_is_written_anew(
    data_dir: Path, installation: Installation
) -> None:
    known: dict[str, str] = {}
    for login, logins in (("collector", ("postgres", "collector")), ("analyst", ("analyst",))):
        file = data_dir / f"postgres/{login}.pgpass"
        known |= dict(line.rsplit(":", 2)[1:] for line in file.read_text().splitlines())
        # As a version of before wrote them.
        file.write_text("".join(f"127.0.0.1:*:*:{name}:{known[name]}\n" for name in logins))
    async with EmbeddedServer(data_dir, installation).running() as dsn, session(dsn) as connection:
        assert await connection.fetchval("select 1") == 1
    for login in ("collector", "analyst"):
        line = f"{data_dir}/postgres/socket:*:*:{login}:{known[login]}"
        assert line in (data_dir / f"postgres/{login}.pgpass").read_text().splitlines()


def test_there_is_no_hint_where_no_server_ever_ran(empty_dir: Path) -> None:
    assert EmbeddedServer(empty_dir).describe() is None


async def test_an_interrupted_first_start_is_made_good_by_the_next(empty_dir: Path, installation: Installation) -> None:
    half_made = empty_dir / "postgres/data.new"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("1\n")
    async with EmbeddedServer(empty_dir, installation).running() as dsn, session(dsn) as connection:
        assert await connection.fetchval("select 1") == 1
    assert not half_made.exists()


async def test_passwords_that_were_written_by_halves_are_completed(empty_dir: Path, installation: Installation) -> None:
    (empty_dir / "postgres").mkdir()
    (empty_dir / "postgres/collector.pgpass").write_text("127.0.0.1:*:*:postgres:one\n127.0.0.1:*:*:collector:two\n")
    async with EmbeddedServer(empty_dir, installation).running() as dsn, session(dsn) as connection:
        assert ":two@" in dsn
        assert await connection.fetchval("select rolcanlogin from pg_roles where rolname = 'analyst'")
    assert (empty_dir / "postgres/analyst.pgpass").exists()


async def test_stopping_does_not_wait_for_clients(data_dir: Path, installation: Installation) -> None:
    server = EmbeddedServer(data_dir, installation)
    connection = await asyncpg.connect(await server.start())
    busy = asyncio.ensure_future(connection.execute("select pg_sleep(600)"))
    async with asyncio.timeout(server_module.STOP_TIMEOUT_SECONDS):
        await server.stop()
    with pytest.raises((asyncpg.PostgresError, OSError)):
        await busy
    await server.stop()


async def test_a_cancelled_start_leaves_neither_server_nor_claim(data_dir: Path, installation: Installation) -> None:
    server = EmbeddedServer(data_dir, installation)
    starting = asyncio.ensure_future(server.start())
    async with asyncio.timeout(WAIT_SECONDS):
        while server.pid is None:  # noqa: ASYNC110  the earliest moment is what the test is about
            await asyncio.sleep(0)
    pid = server.pid
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    wait_for_end(pid)
    async with EmbeddedServer(data_dir, installation).running() as dsn, session(dsn) as connection:
        assert await connection.fetchval("select 1") == 1


async def test_a_server_that_gives_up_is_quoted(data_dir: Path, installation: Installation) -> None:
    with (data_dir / "postgres/data/postgresql.conf").open("a") as configuration:
        configuration.write("shared_bufers = '1GB'\n")
    with pytest.raises(ServerStartError, match='unrecognized configuration parameter "shared_bufers"'):
        await EmbeddedServer(data_dir, installation).start()


async def test_settings_of_the_operator_win(data_dir: Path, installation: Installation) -> None:
    with (data_dir / "postgres/data/postgresql.conf").open("a") as configuration:
        configuration.write("max_wal_size = '3GB'\n")
    async with EmbeddedServer(data_dir, installation).running() as dsn, session(dsn) as connection:
        assert await connection.fetchval("show max_wal_size") == "3GB"


async def test_an_operator_may_let_it_listen_on_loopback_as_well(data_dir: Path, installation: Installation) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with (data_dir / "postgres/data/postgresql.conf").open("a") as configuration:
        configuration.write("listen_addresses = '127.0.0.1'\n")
    server = EmbeddedServer(data_dir, installation)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server_module, "SOCKET_PORT", port)  # other tests may have the usual one
        async with server.running() as dsn, session(dsn) as connection:
            assert await connection.fetchval("select inet_server_addr()") is None
            reader = urlsplit(server.reader_dsn)
            there = reader._replace(netloc=f"{reader.netloc}127.0.0.1:{port}", query="sslmode=disable").geturl()
            async with session(there) as over_tcp:
                assert await over_tcp.fetchval("select current_user") == "analyst"


async def test_files_of_another_major_version_are_refused(data_dir: Path, installation: Installation) -> None:
    (data_dir / "postgres/data/PG_VERSION").write_text("14\n")
    with pytest.raises(ServerMissingError, match=r"belongs to PostgreSQL 14, and this is PostgreSQL \d+"):
        await EmbeddedServer(data_dir, installation).start()
    with pytest.raises(ServerMissingError, match=r"PostgreSQL 14, which is not on this machine"):
        await EmbeddedServer(data_dir).start()


async def test_without_any_postgresql_the_error_says_how_to_get_one(
    empty_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "find", lambda **_wanted: None)
    with pytest.raises(ServerMissingError, match="run `collector database install`"):
        await EmbeddedServer(empty_dir).start()


async def test_lost_passwords_are_named(data_dir: Path, installation: Installation) -> None:
    lost = data_dir / "postgres/collector.pgpass"
    lost.unlink()
    with pytest.raises(ServerStartError, match=str(lost)):
        await EmbeddedServer(data_dir, installation).start()


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user can enter his own folders")
async def test_a_folder_that_only_root_can_enter_is_named(empty_dir: Path, installation: Installation) -> None:
    closed = empty_dir / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(ServerStartError, match=rf"{closed} cannot be entered by the account .*chmod o\+x {closed}"):
        await EmbeddedServer(closed / "data", installation).start()


async def test_old_logs_are_deleted_and_the_newest_kept(data_dir: Path, installation: Installation) -> None:
    log = data_dir / "postgres/log"
    for day in range(10, 30):
        (log / f"server-202001{day}-000000.log").write_text("old")
    server = EmbeddedServer(data_dir, installation)
    async with server.running():
        kept = sorted(path.name for path in log.glob("server-*"))
    assert "server-20200110-000000.log" not in kept
    assert len(kept) <= 6
    assert kept[-1] > "server-2026"
