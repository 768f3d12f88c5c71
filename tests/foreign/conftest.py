"""Virtual environments for clients that others wrote: their dependencies must never touch ours.

Each is made on demand under `.cache/foreign` from pinned, hashed requirements, and made again when those change.
"""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache" / "foreign"
INSTALL_SECONDS = 900
ANSWER_SECONDS = 60
MOST_OUTPUT_BYTES = 64 * 1024 * 1024


class Foreign:
    """One environment, and its driver script as a process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"

    def __repr__(self) -> str:
        return f"<Foreign {self.folder.name}>"

    @asynccontextmanager
    async def drive(
        self, script: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run a driver script; it ends with the context."""
        process = await asyncio.create_subprocess_exec(
            self.python,
            HERE / script,
            *arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            limit=MOST_OUTPUT_BYTES,
            cwd=self.folder,
            env={**os.environ, **(environment or {})},
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def result(self, process: asyncio.subprocess.Process) -> Any:
        """Tell the driver to stop, and give the JSON that it prints."""
        async with asyncio.timeout(ANSWER_SECONDS):
            out, err = await process.communicate(b"stop\n")
        assert process.returncode == 0, err.decode()
        return json.loads(out)

    async def ready(self, process: asyncio.subprocess.Process) -> None:
        """Wait until the driver says that every kind of data has come."""
        assert process.stdout is not None
        assert process.stderr is not None
        async with asyncio.timeout(ANSWER_SECONDS):
            line = await process.stdout.readline()
            assert line == b"ready\n", (await process.stderr.read()).decode()


def install(name: str, *options: str) -> Foreign:
    """Make the environment, unless it is there as the requirements want it; skip the test where it cannot be had."""
    requirements = HERE / f"requirements-{name}.txt"
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    folder = CACHE / name
    stamp = folder / "installed"
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = str(folder / "bin" / "pip")
        command = [pip, "install", "--quiet", "--require-hashes", *options, "-r", str(requirements)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
        if done.returncode:
            pytest.skip(f"{name} cannot be installed here: {done.stderr.strip()[-500:]}")
        stamp.write_text(wanted)
    return Foreign(folder)


@pytest.fixture(scope="session")
def ccxt() -> Foreign:
    return install("ccxt", "--only-binary", ":all:")


@pytest.fixture(scope="session")
def cryptofeed() -> Foreign:
    """Its releases with FMFW have no wheels: it alone is compiled, and needs a C compiler for that."""
    return install("cryptofeed", "--only-binary", ":all:", "--no-binary", "cryptofeed")


@pytest.fixture(scope="session")
def certificate(cryptofeed: Foreign, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A certificate for 127.0.0.1: give the path of "server.pem", "server.key" or "client.pem" (to trust it)."""
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        [cryptofeed.python, "-m", "trustme", "--quiet", "--dir", folder, "--identities", "127.0.0.1"], check=True
    )
    return lambda name: folder / name
