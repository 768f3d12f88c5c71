"""Kill -9 in the middle of recording."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from collector.journal import Journal, JournalOptions, read

CHILD = """
import asyncio, os, sys, time
from pathlib import Path
import structlog
from collector.journal import Journal, JournalOptions, Kind

structlog.configure(logger_factory=structlog.ReturnLoggerFactory())

async def main():
    options = JournalOptions(segment_bytes=200_000, write_interval_s=0.001, sync_interval_s=0.005)
    journal = await Journal.open(Path(sys.argv[1]), options, now_ns=time.time_ns)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(journal.run())
        number = 0
        while True:
            for _ in range(50):
                journal.append(1, Kind.FRAME, number, b"%d:" % number + b"x" * (number % 300))
                number += 1
            reported = number
            await journal.sync(journal.end)
            os.write(1, b"%d\\n" % reported)
            await journal.room()

asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("lines", [1, 30, 120])
async def test_what_was_reported_durable_is_there_after_a_kill(tmp_path: Path, lines: int) -> None:
    child = subprocess.Popen(  # noqa: ASYNC220  nothing else runs in this loop
        [sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert child.stdout is not None
    reported = [child.stdout.readline() for _ in range(lines)]
    os.kill(child.pid, signal.SIGKILL)
    reported += child.stdout.read().splitlines()
    child.stdout.close()
    child.wait(30)

    journal = await Journal.open(tmp_path, JournalOptions(), now_ns=time.time_ns)
    await journal.close()

    records = list(read(tmp_path))
    assert len(records) >= int(reported[-1]) >= 50 * lines
    assert [record.received_ns for record in records] == list(range(len(records)))
    assert all(record.payload.startswith(b"%d:" % number) for number, record in enumerate(records))
