"""The PostgreSQL programs that an embedded server can be started from, and which of them is taken.

In order of preference: TimescaleDB and then a plain PostgreSQL that `collector database install` has put into the
server folder, then one found on the machine. Looking never fetches anything: that is `install`, and only on request.
"""

from __future__ import annotations

__all__ = ["POSTGRES_MIN_MAJOR", "Installation", "Kind", "available", "find", "programs_in", "server_folder"]

import os
import re
import shutil
import subprocess
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import platformdirs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Older servers have no unique indexes in which nulls are equal (`nulls not distinct`).
POSTGRES_MIN_MAJOR = 15
# For `postgres -V`, which takes milliseconds once it is in the disk cache.
PROBE_TIMEOUT_SECONDS = 20.0


class Kind(StrEnum):
    """Where an installation comes from."""

    TIMESCALEDB = "timescaledb"
    WHEEL = "wheel"
    SYSTEM = "system"


class Installation(NamedTuple):
    """PostgreSQL programs in one folder: their origin, folder and version, and whether TimescaleDB is with them."""

    kind: Kind
    bin: Path
    version: str
    timescaledb: bool

    @property
    def major(self) -> int:
        """The major version; a cluster's files belong to one."""
        return int(re.split(r"\D", self.version, maxsplit=1)[0])

    def program(self, name: str) -> str:
        """The full path of a program; PostgreSQL finds its other files from the path it was started by."""
        return str(self.bin / name)

    def __str__(self) -> str:
        with_timescaledb = " with TimescaleDB" if self.timescaledb else ""
        return f"PostgreSQL {self.version}{with_timescaledb} ({self.kind}, {self.bin})"


def server_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where installations are put: `$COLLECTOR_SERVER_DIR`, else /opt/collector/server for root, else the user's cache.

    Root's home is closed to the ordinary account that the server runs as, hence /opt.
    """
    if chosen := environ.get("COLLECTOR_SERVER_DIR"):
        return Path(chosen).absolute()
    if os.geteuid() == 0:
        return Path("/opt/collector/server")
    return platformdirs.user_cache_path("collector") / "server"


def available(folder: Path | None = None) -> Iterator[Installation]:
    """Yield every usable installation, the preferred one first."""
    folder = folder or server_folder()
    for complete in sorted((folder / "timescaledb").glob("*/.complete"), reverse=True):
        for programs in (complete.parent / "usr/lib/postgresql").glob("*/bin"):
            yield from _probe(Kind.TIMESCALEDB, programs)
    for complete in sorted((folder / "wheel").glob("*/.complete"), reverse=True):
        for programs in complete.parent.glob("*/pginstall/bin"):
            yield from _probe(Kind.WHEEL, programs)
    for programs in dict.fromkeys(_on_this_machine()):
        yield from _probe(Kind.SYSTEM, programs)


def find(
    folder: Path | None = None, *, major: int | None = None, timescaledb: bool | None = None, kind: Kind | None = None
) -> Installation | None:
    """Return the preferred installation, or None.

    An existing cluster narrows the choice: its files can only be opened by the same `major`, and once it holds
    hypertables only with `timescaledb`.
    """
    for installation in available(folder):
        if (
            major in {None, installation.major}
            and timescaledb in {None, installation.timescaledb}
            and kind in {None, installation.kind}
        ):
            return installation
    return None


def programs_in(kind: Kind, programs: Path) -> Installation | None:
    """Describe the PostgreSQL in a folder, or None when it has none that runs and is new enough."""
    return next(_probe(kind, programs), None)


def _probe(kind: Kind, programs: Path) -> Iterator[Installation]:
    postgres = programs / "postgres"
    if not (os.access(postgres, os.X_OK) and os.access(programs / "initdb", os.X_OK)):
        return
    try:
        answer = subprocess.run(  # noqa: S603  a path that we or the operator chose
            [str(postgres), "-V"], capture_output=True, text=True, check=True, timeout=PROBE_TIMEOUT_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        return  # a tree that was moved, or belongs to another kind of machine, is as good as none
    version = re.search(r"\b(\d+)[\w.]*", answer.stdout)
    if version is None or int(version[1]) < POSTGRES_MIN_MAJOR:
        return
    yield Installation(kind, programs, version[0], timescaledb=kind is Kind.TIMESCALEDB or _has_timescaledb(programs))


def _has_timescaledb(programs: Path) -> bool:
    prefix = programs.parent
    return any((prefix / library).is_file() for library in ("lib/timescaledb.so", "lib/postgresql/timescaledb.so"))


def _on_this_machine() -> Iterator[Path]:
    packaged = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(packaged, key=lambda programs: _number(programs.parent.name), reverse=True)
    yield from Path("/usr").glob("pgsql-*/bin")
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0
