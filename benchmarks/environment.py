"""Virtual environments for programs that others wrote: their dependencies must never touch ours."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.processes import ProgramError

_ROOT = Path(__file__).parents[1]
_CACHE = _ROOT / ".cache" / "benchmarks"
INSTALL_SECONDS = 900


def cryptofeed_python() -> Path:
    """Return cryptofeed's interpreter; it comes as sources only, and needs a C compiler. Raises as `_python`."""
    return _python("cryptofeed", Path(__file__).parent / "requirements-cryptofeed.txt", "cryptofeed")


def metaapi_python() -> Path:
    """Return the interpreter of MetaAPI's own SDK, pinned as the tests against it have it. Raises as `_python`."""
    requirements = _ROOT / "tests" / "foreign" / "requirements-metaapi.txt"
    return _python("metaapi", requirements, "metaapi-cloud-sdk,python-socketio")


def _python(name: str, requirements: Path, sources: str) -> Path:
    """Return an environment's interpreter; makes it unless it is there as the requirements want it.

    Raises:
        ProgramError: it cannot be installed here.

    """
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    folder = _CACHE / name
    stamp, python = folder / "installed", folder / "bin" / "python"
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    pip = ["install", "--quiet", "--require-hashes", "--only-binary", ":all:", "--no-binary", sources, "-r"]
    for command in ([sys.executable, "-m", "venv", folder], [folder / "bin" / "pip", *pip, requirements]):
        done = subprocess.run(
            list(map(str, command)), capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
        if done.returncode:
            raise ProgramError(f"{name} cannot be installed here: {done.stderr.strip()[-500:]}")
    stamp.write_text(wanted)
    return python
