"""Who may read what is nobody else's: secrets in files, and the data folder."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from collector.check.findings import Finding, Verdict
from collector.config import Config

_READ_OR_WRITE = stat.S_IROTH | stat.S_IWOTH
_GROUP_TOO = _READ_OR_WRITE | stat.S_IRGRP | stat.S_IWGRP


def readable_secrets(config: Config) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Yield each file with a secret that every account of this machine may read or write, and its keys."""
    for path, keys in config.secret_files.items():
        if _open_to(path, _READ_OR_WRITE):
            yield path, keys


def secrets(config: Config) -> Iterator[Finding]:
    """Judge the files that secrets were read from, where there are any."""
    exposed = list(readable_secrets(config))
    for path, keys in exposed:
        yield Finding(
            "secrets",
            Verdict.WARNING,
            f"every user of this machine can read {path}, which holds {', '.join(keys)}",
            f"chmod 600 {shlex.quote(str(path))}, or 640 with the group of the collector's account",
        )
    if config.secret_files and not exposed:
        yield Finding("secrets", Verdict.OK, "no file with a secret can be read by every user")


def data_folder(config: Config) -> Iterator[Finding]:
    """Judge who may look into a data folder that is there already."""
    path = config.data_dir
    if _open_to(path, _GROUP_TOO):
        # Root's database server runs as another account, which has to pass through.
        mode = "711" if os.geteuid() == 0 and config.database.dsn is None else "700"
        yield Finding(
            "data_dir access",
            Verdict.WARNING,
            f"other users of this machine can read the folder {path} (mode {stat.S_IMODE(path.stat().st_mode):04o})",
            f"chmod {mode} {shlex.quote(str(path))}",
        )


def _open_to(path: Path, rights: int) -> bool:
    """Whether others have one of these rights to a path, and get there."""
    try:
        return bool(path.stat().st_mode & rights) and all(
            folder.stat().st_mode & stat.S_IXOTH for folder in path.absolute().parents
        )
    except OSError:  # not there, or not for us: then it is told by others
        return False
