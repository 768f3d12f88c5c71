"""Which ordinary account the server runs as; PostgreSQL refuses to run as root.

An ordinary user runs it as himself. Root steps down to the owner of the files, else to `postgres`, else to `nobody`.
"""

from __future__ import annotations

__all__ = ["Account", "account_for", "command_as"]

import os
import pwd
import stat
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from collector.store.errors import ServerStartError

_LAUNCHER = str(Path(__file__).with_name("launch.py"))


class Account(NamedTuple):
    """An account by its numbers; `switch` says whether we have to become it."""

    uid: int
    gid: int
    name: str
    switch: bool

    def require(self, folder: Path, program: Path) -> None:
        """Check that the account can enter the folder and start the program.

        Raises:
            ServerStartError: it cannot; the text names the folder in the way and the remedy.

        """
        if not self.switch:
            return
        probe = ["/bin/sh", "-c", 'cd "$1" && test -x "$2"', "sh", str(folder), str(program)]
        done = subprocess.run(command_as(self, probe), check=False, capture_output=True, timeout=20)  # noqa: S603
        if done.returncode == 0:
            return
        for path in (folder, program):
            for step in [*reversed(path.parents), path]:
                if not self._may_enter(step):
                    raise ServerStartError(
                        f"{step} cannot be entered by the account {self.name!r}, which the database server runs as "
                        f"(PostgreSQL refuses to run as root): `chmod o+x {step}`, or choose another place "
                        f"({'data_dir' if path is folder else 'COLLECTOR_SERVER_DIR'}), or run as an ordinary user"
                    )
        raise ServerStartError(
            f"the account {self.name!r}, which the database server runs as, cannot use {folder} and {program}: "
            f"{done.stderr.decode(errors='replace').strip() or 'no reason was given'}"
        )

    def _may_enter(self, path: Path) -> bool:
        about = path.stat()
        if about.st_uid == self.uid:
            return bool(about.st_mode & stat.S_IXUSR)
        if about.st_gid == self.gid:
            return bool(about.st_mode & stat.S_IXGRP)
        return bool(about.st_mode & stat.S_IXOTH)


def account_for(*owned: Path) -> Account:
    """Return the account to run the server as: our own, or for root the owner of the first of these paths that has
    an ordinary one, else `postgres`, else `nobody`.
    """
    if os.geteuid() != 0:
        name, gid = _entry(os.geteuid(), os.getegid())
        return Account(os.geteuid(), gid, name, switch=False)
    for path in owned:
        if path.exists() and (uid := path.stat().st_uid) != 0:
            name, gid = _entry(uid, path.stat().st_gid)
            return Account(uid, gid, name, switch=True)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid, name, switch=True)
    raise ServerStartError("there is no account 'postgres' or 'nobody' to run the server as; run as an ordinary user")


def command_as(account: Account, command: list[str], *, death_signal: int = 0) -> list[str]:
    """Return a command line that becomes the account and then `command`, which gets `death_signal` when the calling
    thread's process ends, however it ends.
    """
    uid, gid = (account.uid, account.gid) if account.switch else (-1, -1)
    return [
        sys.executable,
        "-I",
        "-S",
        _LAUNCHER,
        str(os.getpid()),
        str(uid),
        str(gid),
        str(death_signal),
        *command,
    ]


def _entry(uid: int, gid: int) -> tuple[str, int]:
    """Name and group of an account; containers run as numbers that no account has."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return str(uid), gid
    return entry.pw_name, entry.pw_gid
