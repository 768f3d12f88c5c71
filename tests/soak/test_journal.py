"""The journal's disk is full, its end is torn, a byte in it is flipped, and a second daemon wants it."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from collector.journal import Kind, Position, Record, read
from tests.kit.stage import Stage, stage
from tests.repair.truth import now_us

from .conftest import Measured
from .proof import Span, proved
from .recording import Recording, Status, recording
from .servers import filled, own_server, small_disk

timescaledb = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

FULL_SECONDS = 3.0


def faulty(status: Status) -> bool:
    return status["journal"]["fault"] is not None


def newest_segment(folder: Path) -> Path:
    return max((folder / "journal").glob("*.seg"))


@contextmanager
def no_file_longer_than(process: asyncio.subprocess.Process, size: int) -> Iterator[None]:
    """Let the kernel refuse a process what would make a file longer."""
    before = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, before)


async def refused_for_a_while(on: Stage, daemon: Recording) -> None:
    """Wait until the disk refuses, and a while longer."""
    status = await daemon.until(faulty, "a disk that refuses")
    assert status["health"]["ready"] is False
    await asyncio.sleep(FULL_SECONDS)
    assert faulty(await daemon.until(faulty, "a disk that still refuses"))


@timescaledb
async def test_disk_of_the_journal_is_full(database: str, tmp_path: Path, measured: Measured, rate: float) -> None:
    with small_disk(64) as disk:
        async with stage(database, tmp_path, rate=rate, extra="[journal]\nmin_free_gb = 0") as on:
            on.config.write_text(on.config.read_text().replace(str(tmp_path / "data"), str(disk / "data")))
            async with recording(on) as daemon:
                await daemon.flows(1000)
                since_us = full_us = now_us()
                await daemon.flows(500)
                with filled(disk, 1 << 20):
                    await refused_for_a_while(on, daemon)
                await daemon.until(lambda status: not faulty(status), "a disk that takes everything again")
                lost = await proved(on, daemon, since_us, [Span(full_us, now_us())])
                assert daemon.log("journal_disk_fault")
                measured(quotes_and_books_in_gaps=lost, memory_mb=daemon.memory_mb("VmHWM"))


@timescaledb
async def test_segment_may_not_grow(database: str, tmp_path: Path, measured: Measured, rate: float) -> None:
    async with stage(database, tmp_path, rate=rate) as on, recording(on) as daemon:
        await daemon.flows(1000)
        since_us = full_us = now_us()
        await daemon.flows(500)
        with no_file_longer_than(daemon.process, newest_segment(tmp_path / "data").stat().st_size):
            await refused_for_a_while(on, daemon)
        await daemon.until(lambda status: not faulty(status), "a disk that takes everything again")
        lost = await proved(on, daemon, since_us, [Span(full_us, now_us())])
        measured(quotes_and_books_in_gaps=lost, memory_mb=daemon.memory_mb("VmHWM"))


async def killed(on: Stage) -> tuple[int, Span]:
    """Record for a while and be killed; returns since when everything has to be there, and when that was."""
    async with recording(on) as daemon:
        await daemon.flows(1000)
        since_us = now_us()
        await daemon.flows(1000)
        daemon.process.kill()
        await daemon.process.wait()
    return since_us, Span(now_us(), now_us())


@timescaledb
@pytest.mark.parametrize("times", [2, pytest.param(20, marks=pytest.mark.soak)])
async def test_torn_tail(database: str, tmp_path: Path, times: int, rate: float) -> None:
    random = Random(times)
    async with stage(database, tmp_path, rate=rate, extra="snapshot = 0") as on:
        since_us, first = await killed(on)
        troubles = [first]
        for _ in range(times):
            [(number, committed)] = await on.query("select segment, byte_offset from journal_position")
            path = newest_segment(tmp_path / "data")
            low = committed if path.name == f"{number:012d}.seg" else 32
            size = path.stat().st_size
            # A power cut takes what was not synced, which is never before what was committed, and may leave anything.
            os.truncate(path, random.randrange(low, size + 1))
            with path.open("ab") as file:
                file.write(random.choice([b"", b"\0" * 4096, random.randbytes(random.randrange(1, 3000))]))
            async with recording(on) as daemon:
                await daemon.flows(500)
                daemon.process.kill()
                await daemon.process.wait()
            troubles.append(Span(first.from_us, now_us()))
        async with recording(on) as daemon:
            await proved(on, daemon, since_us, troubles)


def frames_not_committed(folder: Path, committed: Position) -> list[Record]:
    return [one for one in read(folder / "journal", committed) if one.kind is Kind.FRAME]


async def test_flipped_byte_costs_its_record_alone_and_is_told(tmp_path: Path, rate: float) -> None:
    async with own_server() as server, stage(server.dsn, tmp_path, rate=rate, extra="snapshot = 0") as on:
        async with recording(on) as daemon:
            await daemon.flows(1000)
            since_us = now_us()
            await daemon.flows(500)
            await server.stop()
            before = frames_not_committed(tmp_path / "data", Position(0, 0))[-1].position
            await daemon.until(lambda status: status["journal"]["backlog_bytes"] > 1 << 20, "a backlog")
            daemon.process.kill()
            await daemon.process.wait()
        killed_us = now_us()
        frames = frames_not_committed(tmp_path / "data", before)
        hit = next(one for one in frames[len(frames) // 2 :] if one.payload.startswith(b'{"ch":"trades"'))
        path = tmp_path / "data" / "journal" / f"{hit.position.segment:012d}.seg"
        with path.open("r+b") as file:
            file.seek(hit.end.offset - 20)
            byte = file.read(1)[0]
            file.seek(hit.end.offset - 20)
            file.write(bytes([byte ^ 0x10]))
        await server.start()
        async with recording(on) as daemon:
            hit_us = hit.received_ns // 1000
            await proved(on, daemon, since_us, [Span(killed_us, now_us()), Span(hit_us, hit_us)])
            [damage] = daemon.log("journal_damaged")
            assert str(hit.position.offset) in damage["reason"]
        [(causes,)] = await on.query(
            "select array_agg(distinct cause order by cause) from gaps where cause <> 'starting'"
        )
        assert causes == ["journal damaged", "killed"]


@timescaledb
async def test_second_daemon_is_refused_and_the_first_goes_on(database: str, tmp_path: Path, rate: float) -> None:
    async with stage(database, tmp_path, rate=rate) as on, recording(on) as daemon:
        await daemon.flows(1000)
        since_us = now_us()
        for _ in range(3):
            async with on.process() as second:
                assert await second.wait() in (1, 2)
        await daemon.flows(500)
        assert await proved(on, daemon, since_us) == 0
