"""A virtual environment for cryptofeed: its dependencies must never touch ours."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.processes import ProgramError

REQUIREMENTS = Path(__file__).parent / "requirements-cryptofeed.txt"
FOLDER = Path(__file__).parents[1] / ".cache" / "benchmarks" / "cryptofeed"
INSTALL_SECONDS = 900


def cryptofeed_python() -> Path:
    """Return its interpreter; makes the environment unless it is there as the requirements want it.

    Raises:
        ProgramError: it cannot be installed here.

    """
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    stamp, python = FOLDER / "installed", FOLDER / "bin" / "python"
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    shutil.rmtree(FOLDER, ignore_errors=True)
    # cryptofeed alone comes as sources only, and needs a C compiler.
    pip = ["install", "--quiet", "--require-hashes", "--only-binary", ":all:", "--no-binary", "cryptofeed", "-r"]
    for command in ([sys.executable, "-m", "venv", FOLDER], [FOLDER / "bin" / "pip", *pip, REQUIREMENTS]):
        done = subprocess.run(
            list(map(str, command)), capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
        if done.returncode:
            raise ProgramError(f"cryptofeed cannot be installed here: {done.stderr.strip()[-500:]}")
    stamp.write_text(wanted)
    return python
