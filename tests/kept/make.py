"""Makes a journal to be kept: `python -m tests.kept.make FOLDER` records every simulated venue with this program.

What later versions make of it is compared with what the version made that wrote it. Two lives: one is killed, lines are
cut in the other, and what was missed is fetched from the venues' history.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

SYMBOLS = 2
EVENTS_PER_SECOND = 8
LIFE_SECONDS = 7.0
READY_SECONDS = 60.0
# The database's account has to enter the folder.
ACCOUNT_FOLDER_MODE = 0o755


def main() -> None:
    target = Path(sys.argv[1])
    folder = Path(tempfile.mkdtemp(prefix="collector-kept-"))
    folder.chmod(ACCOUNT_FOLDER_MODE)
    venues = folder / "venues.toml"
    simulator = subprocess.Popen(
        [
            *PROGRAM,
            "simulate",
            "--symbols",
            str(SYMBOLS),
            "--rate",
            str(EVENTS_PER_SECOND),
            "--write-config",
            str(venues),
        ],
        stdout=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    try:
        assert simulator.stdout is not None
        addresses = json.loads(simulator.stdout.readline())
        config = folder / "collector.toml"
        config.write_text(f'data_dir = "{folder / "data"}"\n[http]\nlisten = "127.0.0.1:0"\n{venues.read_text()}')
        live(config, LIFE_SECONDS, signal.SIGKILL)
        with_cuts(config, addresses)
        live(config, 1.0, signal.SIGTERM)  # which packs what the last one left
    finally:
        simulator.kill()
        simulator.wait()
    target.mkdir(parents=True)
    for path in sorted((folder / "data" / "journal").glob("*.seg.zst")):
        shutil.copy(path, target)
    shutil.rmtree(folder)


PROGRAM = (sys.executable, "-m", "collector.cli")
ENVIRONMENT = {**os.environ, "COLLECTOR_LOG__FORMAT": "json"}


def live(config: Path, seconds: float, end: signal.Signals) -> None:
    daemon = start(config)
    time.sleep(seconds)
    daemon.send_signal(end)
    daemon.wait()


def with_cuts(config: Path, addresses: dict[str, dict[str, str]]) -> None:
    daemon = start(config)
    time.sleep(LIFE_SECONDS / 2)
    for address in addresses.values():
        base = next(value for name, value in address.items() if name.endswith("url") and value.startswith("http"))
        origin = "/".join(base.split("/")[:3])
        request = urllib.request.Request(f"{origin}/_sim/faults", data=b'{"fault": "cut"}', method="POST")
        with urllib.request.urlopen(request, timeout=READY_SECONDS):
            pass
    time.sleep(LIFE_SECONDS)
    daemon.send_signal(signal.SIGTERM)
    daemon.wait()


def start(config: Path) -> subprocess.Popen[bytes]:
    daemon = subprocess.Popen([*PROGRAM, "run", "--config", str(config)], stderr=subprocess.PIPE, env=ENVIRONMENT)
    assert daemon.stderr is not None
    end = time.monotonic() + READY_SECONDS
    while b'"connection_live"' not in (line := daemon.stderr.readline()):
        assert line, "the daemon ended"
        assert time.monotonic() < end, "no line is live"
    os.set_blocking(daemon.stderr.fileno(), False)
    return daemon


if __name__ == "__main__":
    main()
