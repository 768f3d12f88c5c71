"""Each file that this account cannot use is named, with what to do."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from collector.check import Finding, Verdict, check
from collector.check import obstacles as obstacles_module
from collector.check.obstacles import Obstacle, obstacles, strangers
from collector.cli import main
from collector.config import load
from collector.journal import Kind
from collector.journal.segments import segment_path
from collector.journal.tail import Tail
from tests.soak.servers import small_disk

ROOT = os.geteuid() == 0
NOBODY = 65534
NAME = obstacles_module._account(NOBODY)
JOURNAL_FILES = ("lock", "name", "runs", "committed")

only_root = pytest.mark.skipif(not ROOT, reason="only root can give a file to another account")


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data folder as a daemon leaves it; an ordinary account's."""
    path = Path(tempfile.mkdtemp(prefix="collector-data-"))
    path.chmod(0o755)
    filled(path)
    yield path
    for found in (path, *path.rglob("*")):
        subprocess.run(["chattr", "-i", str(found)], capture_output=True, check=False)
    shutil.rmtree(path)


def filled(path: Path) -> None:
    journal, postgres = path / "journal", path / "postgres"
    for folder in (journal, path / "backfill", postgres, postgres / "data", postgres / "log", postgres / "socket"):
        folder.mkdir()
    for number in (1, 2, 3):
        tail = Tail(number, segment_bytes=1000, now_ns=lambda: 1)
        tail.append(1, Kind.FRAME, 1, b"x")
        tail.seal()
        segment_path(journal, number).write_bytes(tail.sealed[0].data)
    (path / "daemon.json").write_text("{}")
    for name in JOURNAL_FILES:
        (journal / name).write_text("1 0")
    for name in ("lock", "port", "collector.pgpass", "analyst.pgpass", "log/start.log"):
        (postgres / name).touch()
    if ROOT:
        for found in (path, *path.rglob("*")):
            os.chown(found, NOBODY, NOBODY)


@contextlib.contextmanager
def ordinary() -> Iterator[None]:
    """Be an ordinary account."""
    if not ROOT:
        yield
        return
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def found(data_dir: Path) -> list[Obstacle]:
    with ordinary():
        return list(obstacles(data_dir, embedded=True))


def test_a_folder_as_a_daemon_leaves_it_is_in_nobodys_way(data_dir: Path) -> None:
    assert found(data_dir) == []
    shutil.rmtree(data_dir / "journal")
    assert found(data_dir) == []
    assert found(data_dir / "gone") == []


@only_root
@pytest.mark.parametrize(
    "name",
    [
        *(f"journal/{name}" for name in JOURNAL_FILES),
        "journal/000000000001.seg",
        "journal/000000000003.seg",
        "postgres/lock",
        "postgres/port",
        "postgres/collector.pgpass",
    ],
)
def test_a_file_of_another_account_is_named(data_dir: Path, name: str) -> None:
    os.chown(data_dir / name, 0, 0)
    (data_dir / name).chmod(0o600)

    assert found(data_dir) == [
        Obstacle(data_dir / name, f"belongs to root and cannot be read by {NAME}", f"chown -R {NAME} {data_dir}")
    ]


@only_root
@pytest.mark.parametrize("name", ["journal/000000000003.seg", "journal/lock", "postgres/log/start.log"])
def test_a_file_that_has_to_be_written_is_named_though_it_can_be_read(data_dir: Path, name: str) -> None:
    os.chown(data_dir / name, 0, 0)
    (data_dir / name).chmod(0o644)

    [obstacle] = found(data_dir)
    assert str(obstacle) == f"{data_dir / name} belongs to root and cannot be written by {NAME}"


@only_root
def test_a_segment_that_is_only_read_and_deleted_need_not_be_writable(data_dir: Path) -> None:
    os.chown(data_dir / "journal/000000000001.seg", 0, 0)
    (data_dir / "journal/000000000001.seg").chmod(0o644)

    assert found(data_dir) == []


@only_root
@pytest.mark.parametrize("name", ["", "journal", "backfill", "postgres", "postgres/log", "postgres/socket"])
def test_a_folder_of_another_account_is_named(data_dir: Path, name: str) -> None:
    os.chown(data_dir / name, 0, 0)
    (data_dir / name).chmod(0o755)

    assert found(data_dir) == [
        Obstacle(data_dir / name, f"belongs to root and cannot be written by {NAME}", f"chown -R {NAME} {data_dir}")
    ]


@only_root
def test_a_database_of_another_account_is_named(data_dir: Path) -> None:
    os.chown(data_dir / "postgres/data", 0, 0)

    [obstacle] = found(data_dir)
    assert str(obstacle) == f"{data_dir / 'postgres/data'} belongs to root: its server runs as nobody else"
    with ordinary():
        assert list(obstacles(data_dir, embedded=False)) == []


@pytest.mark.parametrize("name", ["journal/lock", "journal/000000000001.seg", "journal", "postgres"])
def test_a_mode_that_keeps_its_owner_out_is_named(data_dir: Path, name: str) -> None:
    (data_dir / name).chmod(0)

    [obstacle] = found(data_dir)

    (data_dir / name).chmod(0o700)
    assert str(obstacle) == f"{data_dir / name} has the mode 0000, which keeps its own account out"
    assert obstacle.remedy == f"chmod -R u+rwX {data_dir}"


@pytest.mark.parametrize(
    "name",
    [
        *(f"journal/{name}" for name in JOURNAL_FILES),
        "journal/000000000001.seg",
        "journal/000000000003.seg",
        "daemon.json",
        "postgres/port",
    ],
)
def test_a_folder_in_the_place_of_a_file_is_named(data_dir: Path, name: str) -> None:
    (data_dir / name).unlink()
    (data_dir / name).mkdir()

    assert found(data_dir) == [Obstacle(data_dir / name, "is a folder in the place of a file", "move it away")]


def test_a_file_in_the_place_of_a_folder_and_a_link_to_nowhere_are_named(data_dir: Path) -> None:
    shutil.rmtree(data_dir / "journal")
    (data_dir / "journal").touch()
    (data_dir / "postgres/port").unlink()
    (data_dir / "postgres/port").symlink_to("nowhere")

    assert [str(one) for one in found(data_dir)] == [
        f"{data_dir / 'journal'} is a file in the place of a folder",
        f"{data_dir / 'postgres/port'} is a link that leads nowhere",
    ]


@pytest.mark.parametrize("name", ["journal/000000000001.seg", "journal/000000000003.seg", "journal/lock"])
def test_an_immutable_file_is_named(data_dir: Path, name: str) -> None:
    if subprocess.run(["chattr", "+i", str(data_dir / name)], capture_output=True, check=False).returncode:
        pytest.skip("not on every file system, and for root only")

    expected = [Obstacle(data_dir / name, "is immutable", f"chattr -i {data_dir / name}")]
    assert found(data_dir) == expected
    assert list(obstacles(data_dir, embedded=True)) == expected  # root may not either


def test_a_file_system_for_reading_only_is_named(tmp_path: Path) -> None:
    with small_disk(8) as disk:
        filled(disk)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        [obstacle] = obstacles(disk, embedded=True)
        assert str(obstacle) == f"{disk} is on a file system that is mounted for reading only"
        assert "mount it for writing" in obstacle.remedy


@only_root
def test_root_is_told_what_the_services_account_may_not_use(data_dir: Path) -> None:
    assert list(strangers(data_dir)) == []
    os.chown(data_dir / "journal/lock", 0, 0)

    [obstacle] = strangers(data_dir)
    assert str(obstacle).startswith(f"{data_dir / 'journal/lock'} belongs to root, and {data_dir} to {NAME}")
    assert obstacle.remedy == f"chown -R {NAME} {data_dir}"


# -- the commands ------------------------------------------------------------------------------------------------------


@pytest.fixture
def own_log() -> Iterator[None]:
    """A command sets the log up on a stream that ends with its test, and makes its files nobody else's."""
    umask = os.umask(0o022)
    yield
    os.umask(umask)
    structlog.reset_defaults()
    logging.getLogger().handlers.clear()


def written(folder: Path, data_dir: Path) -> Path:
    path = folder / "collector.toml"
    path.write_text(
        f"""
        data_dir = "{data_dir}"
        [database]
        dsn = "postgresql://nobody@127.0.0.1:1/none"
        [http]
        listen = "127.0.0.1:0"
        [venues.fmfw]
        symbols = ["A"]
        rest_url = "http://127.0.0.1:1"
        ws_url = "ws://127.0.0.1:1"
        """
    )
    path.chmod(0o644)
    return path


@pytest.mark.usefixtures("own_log")
@pytest.mark.parametrize("name", ["lock", "name", "runs", "000000000001.seg", "000000000003.seg"])
def test_run_names_the_file_in_one_line(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (data_dir / "journal" / name).unlink()
    (data_dir / "journal" / name).mkdir()

    assert main(["run", "--config", str(written(tmp_path, data_dir))]) == 1

    told = [line for line in capsys.readouterr().err.splitlines() if "cannot be used" in line]
    path = data_dir / "journal" / name
    assert len(told) == 1
    assert f"the journal cannot be used: {path} is a folder in the place of a file: move it away" in told[0]


@only_root
@pytest.mark.usefixtures("own_log")
@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("journal/lock", 0o600),
        ("journal/000000000002.seg", 0o600),
        ("journal/000000000003.seg", 0o444),
        ("journal", 0o555),
    ],
)
def test_run_names_what_belongs_to_another_account(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, mode: int
) -> None:
    os.chown(data_dir / name, 0, 0)
    (data_dir / name).chmod(mode)
    config = data_dir / "collector.toml"
    written(tmp_path, data_dir).rename(config)

    with ordinary():
        assert main(["run", "--config", str(config)]) == 1

    output = capsys.readouterr().err
    assert "Traceback" not in output
    [told] = [line for line in output.splitlines() if "cannot be used" in line]
    assert f"{data_dir / name} belongs to root and cannot be" in told
    assert f"chown -R {NAME} {data_dir}" in told


async def checked(config: Path) -> list[Finding]:
    with ordinary():
        return [one async for one in check(load(config, {}), offline=True) if one.subject in ("files", "data_dir")]


async def test_check_names_every_file_and_ends_a_long_list(data_dir: Path, tmp_path: Path) -> None:
    config = data_dir / "collector.toml"
    shutil.copy(written(tmp_path, data_dir), config)
    _, fine = await checked(config)
    assert (fine.subject, fine.verdict) == ("files", Verdict.OK)

    for number in range(4, 34):
        segment_path(data_dir / "journal", number).mkdir()
    _, *files = await checked(config)

    assert {one.verdict for one in files} == {Verdict.FAILURE}
    assert files[0].text == f"{segment_path(data_dir / 'journal', 4)} is a folder in the place of a file"
    assert files[-1].text == "and 10 more like these"
    assert len(files) == 21


@only_root
async def test_check_tells_what_is_wrong_with_the_folder_itself(data_dir: Path, tmp_path: Path) -> None:
    config = data_dir / "collector.toml"
    shutil.copy(written(tmp_path, data_dir), config)
    os.chown(data_dir, 0, 0)

    [folder] = await checked(config)

    assert folder.verdict is Verdict.FAILURE
    assert f"({data_dir} belongs to root and cannot be written by {NAME})" in folder.text
