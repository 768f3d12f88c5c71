"""The server runs as an ordinary account, and dies with who started it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from collector.store.embedded import EmbeddedServer, Installation, Kind, launch
from collector.store.embedded.account import account_for, command_as
from tests.databases import open_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture
def folder() -> Iterator[Path]:
    made = open_folder()
    yield made
    subprocess.run(["rm", "-rf", str(made)], check=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root steps down")
def test_an_ordinary_user_is_himself(folder: Path) -> None:
    account = account_for(folder)
    assert (account.uid, account.switch) == (os.geteuid(), False)


@only_root
def test_a_folder_that_the_server_could_not_enter_is_told_before_it_is_made(folder: Path) -> None:
    programs = Installation(Kind.SYSTEM, folder, "17.1", timescaledb=False)
    (folder / "postgres").write_text("")
    (folder / "postgres").chmod(0o755)
    server = EmbeddedServer(folder / "locked" / "data")
    assert server.obstacle(programs) is None
    (folder / "locked").mkdir(0o700)
    assert f"{folder / 'locked'} cannot be entered" in str(server.obstacle(programs))
    assert not (folder / "locked" / "data").exists()


@only_root
def test_root_becomes_the_owner_of_the_files_or_else_an_account_for_such_things(folder: Path) -> None:
    assert account_for(folder / "missing", folder).name in {"postgres", "nobody"}
    os.chown(folder, 12345, 54321)
    account = account_for(folder / "missing", folder)
    assert (account.uid, account.gid, account.name, account.switch) == (12345, 54321, "12345", True)


@only_root
def test_a_command_runs_with_the_account_s_rights_alone(folder: Path) -> None:
    os.chown(folder, 12345, 54321)
    account = account_for(folder)
    done = subprocess.run(
        command_as(account, ["/bin/sh", "-c", "id -u; id -G; umask"]), check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["12345", "54321", "0077"]


def test_what_was_started_for_a_parent_that_is_gone_does_not_begin(folder: Path) -> None:
    command = command_as(account_for(folder), ["/bin/echo", "alive"], death_signal=signal.SIGINT)
    command[command.index(str(os.getpid()))] = "1"  # not its parent
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (launch.ORPHANED_EXIT_STATUS, "")


def test_a_command_is_signalled_when_its_parent_is_killed(folder: Path) -> None:
    command = command_as(account_for(folder), ["/bin/sh", "-c", "echo $$; exec sleep 600"], death_signal=signal.SIGTERM)
    parent = (
        "import os, subprocess, sys\n"
        "command = sys.argv[2:]\n"
        "command[command.index(sys.argv[1])] = str(os.getpid())\n"
        "child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)\n"
        "print(child.stdout.readline().strip(), flush=True)\n"
        "child.wait()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent, str(os.getpid()), *command], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        descriptor = os.pidfd_open(int(process.stdout.readline()))
        process.kill()
    try:
        assert select.select([descriptor], [], [], 20)[0]
    finally:
        os.close(descriptor)
