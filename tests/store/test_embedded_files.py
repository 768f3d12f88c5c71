"""What root writes for the database's account lands nowhere else, whatever that account has put in its place."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.store.dsn import connect
from collector.store.embedded import EmbeddedServer, files
from collector.store.embedded.account import Account, account_for
from collector.store.errors import ServerStartError
from tests.databases import POSTGRES, installation_for, open_folder

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
KEPT = "what only root may write\n"


@pytest.fixture
def folder() -> Iterator[Path]:
    made = open_folder()
    yield made
    shutil.rmtree(made)


@pytest.fixture
def victim(folder: Path) -> Path:
    """A file of root's beside the data folder, which the server's account may not write."""
    file = folder / "victim"
    file.write_text(KEPT)
    file.chmod(0o600)
    return file


def start(folder: Path) -> None:
    """Start a server on the folder, ask it something and stop it."""

    async def ask() -> None:
        async with EmbeddedServer(folder, installation_for(POSTGRES)).running() as dsn:
            connection = await connect(dsn)
            assert await connection.fetchval("select 1") == 1
            await connection.close()

    asyncio.run(ask())


@pytest.fixture(scope="module")
def used_once() -> Iterator[Path]:
    """A data folder whose server ran once; copying it is quicker than making it."""
    made = open_folder()
    start(made)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def postgres(folder: Path, used_once: Path) -> Path:
    """The folder of a server that ran, all of it the account's."""
    subprocess.run(["cp", "-a", f"{used_once}/postgres", str(folder)], check=True)
    return folder / "postgres"


FILES = [
    "log/start.log",
    "port",
    "port.new",
    "collector.pgpass.new",
    "analyst.pgpass.new",
    "data/collector.conf.new",
    "log/server-29990101-000000.log",
    "socket/.s.PGSQL.15432.lock",
]


@only_root
@pytest.mark.parametrize("name", FILES)
def test_a_link_in_a_file_s_place_leads_root_nowhere(folder: Path, postgres: Path, victim: Path, name: str) -> None:
    place = postgres / name
    place.unlink(missing_ok=True)
    place.symlink_to(victim)
    if "pgpass" in name:
        (postgres / name.removesuffix(".new")).write_text(
            (postgres / name.removesuffix(".new")).read_text().replace("*:*", "x:*")
        )
    start(folder)
    assert (victim.read_text(), victim.owner(), stat.S_IMODE(victim.stat().st_mode)) == (KEPT, "root", 0o600)


@only_root
@pytest.mark.parametrize(
    "name", ["collector.pgpass", "lock", "data/PG_VERSION", "data/postmaster.pid", "data/collector.conf"]
)
def test_a_link_that_would_be_read_is_refused(folder: Path, postgres: Path, victim: Path, name: str) -> None:
    (postgres / name).unlink(missing_ok=True)
    (postgres / name).symlink_to(victim)
    with pytest.raises(ServerStartError) as failure:
        start(folder)
    assert KEPT.strip() not in str(failure.value)
    assert (victim.read_text(), victim.owner()) == (KEPT, "root")


@only_root
@pytest.mark.parametrize("name", ["log", "data", "socket"])
def test_a_link_in_a_folder_s_place_leads_root_nowhere(folder: Path, postgres: Path, name: str) -> None:
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir(0o755)
    shutil.rmtree(postgres / name)
    (postgres / name).symlink_to(elsewhere)
    with pytest.raises(ServerStartError):
        start(folder)
    assert list(elsewhere.iterdir()) == []
    assert (elsewhere.owner(), stat.S_IMODE(elsewhere.stat().st_mode)) == ("root", 0o755)


@only_root
def test_a_link_that_root_made_is_followed(folder: Path, postgres: Path) -> None:
    disk = folder / "disk"
    disk.mkdir(0o711)
    postgres.rename(disk / "postgres")
    postgres.symlink_to(disk / "postgres")
    start(folder)


# -- one by one --------------------------------------------------------------------------------------------------------


@pytest.fixture
def account(folder: Path) -> Account:
    return account_for(folder)


def test_a_pipe_or_a_folder_is_not_read(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    with files.held(folder) as here:
        for name in ("pipe", "folder"):
            with pytest.raises(OSError, match="is no plain file"):
                files.read(here, name)


def test_of_a_long_file_the_end_is_read(folder: Path) -> None:
    (folder / "log").write_text("x" * 100_000 + "the end")
    with files.held(folder) as here:
        assert files.read(here, "log", last_bytes=10) == "xxxthe end"


def test_a_file_is_put_in_place_whole_and_for_its_account_alone(folder: Path, account: Account) -> None:
    with files.held(folder) as here:
        files.write(here, "x", "one", account)
        files.write(here, "x", "two", account)
        assert files.names(here) == ["x"]
    about = (folder / "x").stat()
    assert ((folder / "x").read_text(), stat.S_IMODE(about.st_mode), about.st_uid) == ("two\n", 0o600, account.uid)


@only_root
def test_a_file_with_another_name_elsewhere_is_not_added_to(folder: Path, victim: Path, account: Account) -> None:
    os.link(victim, folder / "linked")
    with files.held(folder) as here, pytest.raises(OSError, match="own file"):
        files.append(here, "linked", "more", account)
    assert victim.read_text() == KEPT
