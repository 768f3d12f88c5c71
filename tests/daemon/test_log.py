"""A daemon whose log cannot be written records all the same, and ends as it should."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.kit.stage import stage

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)


@contextmanager
def stuck() -> Iterator[int]:
    """A pipe that is full, and whose reader does not read."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writer, True)
    yield writer
    os.close(reader)
    os.close(writer)


@contextmanager
def gone() -> Iterator[int]:
    """A pipe whose reader has ended."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@contextmanager
def full() -> Iterator[int]:
    """A disk without room."""
    with Path("/dev/full").open("wb") as file:
        yield file.fileno()


@pytest.mark.parametrize("log", [stuck, gone, full])
async def test_a_log_that_takes_nothing_costs_no_row(
    log: Callable[[], AbstractContextManager[int]], database: str, tmp_path: Path
) -> None:
    async with stage(database, tmp_path, rate=500) as on:
        with log() as stderr:
            async with on.process(stderr=stderr) as process:
                while await on.rows("trades") < 200:
                    assert process.returncode is None
                    await asyncio.sleep(0.1)
                process.send_signal(signal.SIGTERM)
                assert await process.wait() == 0
        await on.counts_add_up()
