"""The parts by themselves, in this process: where a row's time goes."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import orjson

from benchmarks.database import server
from benchmarks.venue import texts
from collector import simulator, venues
from collector.journal import Journal, JournalOptions, Kind
from collector.model import Position, Records
from collector.normalise.normaliser import Normaliser
from collector.store.batch import Batch
from collector.store.migrate import migrate
from collector.store.writer import Writer

CAPTURE_SECONDS = 3.0
CAPTURE_EVENTS = 1000.0
PASSES = 3
JOURNAL_FRAMES = 200_000
JOURNAL_GROUP = 500
INSERT_ROWS = 200_000
BATCH_ROWS = 5000
CHANNELS = ("trades", "candles/M1", "orderbook/full", "orderbook/top/100ms", "ticker/1s")
_HEADER = {"venue": "fmfw", "adapter": "fmfw", "worker": "bench", "url": "", "symbols": None}


@dataclass(frozen=True, slots=True)
class Micro:
    """Microseconds of wall time by kind of frame; the journal's by record; insertion in rows a second and our CPU."""

    parse_us: dict[str, float]
    journal_us: float
    journal_mb_per_second: float
    insert_rows_per_second: int
    insert_cpu_us: float


async def measure(folder: Path) -> Micro:
    """Measure all of them; takes about ten seconds."""
    captured = await _capture()
    captured["trades, ten in a frame"] = texts(5000, 20, trades=10)
    parse = {channel: round(min(_parse(frames) for _ in range(PASSES)), 2) for channel, frames in captured.items()}
    journal_us, journal_mb = await _journal(folder / "journal")
    rows, cpu_us = await _insert(folder)
    return Micro(parse, journal_us, journal_mb, rows, cpu_us)


async def _capture() -> dict[str, list[bytes]]:
    """Frames of every channel, as the simulator sends them."""
    frames: dict[str, list[bytes]] = defaultdict(list)
    async with (
        simulator.serve(venues=("fmfw",), rate=CAPTURE_EVENTS, symbols=20) as running,
        aiohttp.ClientSession() as http,
        http.get(running.addresses["fmfw"]["rest_url"] + "/public/symbol") as listing,
        http.ws_connect(running.addresses["fmfw"]["ws_url"], max_msg_size=0) as socket,
    ):
        symbols = list(await listing.json())
        for number, channel in enumerate(CHANNELS):
            await socket.send_json({"method": "subscribe", "ch": channel, "params": {"symbols": symbols}, "id": number})
        until = time.monotonic() + CAPTURE_SECONDS
        while time.monotonic() < until:
            message = (await socket.receive(timeout=10)).data
            content = orjson.loads(message)
            if "ch" in content:
                kind = ", snapshot" if "snapshot" in content else ""
                frames[content["ch"] + kind].append(message.encode())
    return frames


def _parse(frames: list[bytes]) -> float:
    session = Normaliser(venues.find).open(1, _HEADER, 0, Records())
    received_ns = time.time_ns()
    began = time.perf_counter()
    for frame in frames:
        session.frame(frame, received_ns, Records())
    return (time.perf_counter() - began) / len(frames) * 1e6


async def _journal(folder: Path) -> tuple[float, float]:
    frames = texts(JOURNAL_FRAMES, 20)
    journal = await Journal.open(folder, JournalOptions(), now_ns=time.time_ns)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(journal.run())
        spent, began = 0.0, time.perf_counter()
        for start in range(0, JOURNAL_FRAMES, JOURNAL_GROUP):
            group_began = time.perf_counter()
            for frame in frames[start : start + JOURNAL_GROUP]:
                journal.append(1, Kind.FRAME, 1, frame)
            spent += time.perf_counter() - group_began
            await journal.room()
            await asyncio.sleep(0)
        await journal.sync(journal.end)
        seconds = time.perf_counter() - began
        running.cancel()
    await journal.close()
    return round(spent / JOURNAL_FRAMES * 1e6, 2), round(sum(map(len, frames)) / seconds / (1 << 20), 1)


async def _insert(folder: Path) -> tuple[int, float]:
    session = Normaliser(venues.find).open(1, _HEADER, 0, Records())
    batches = []
    frames = texts(INSERT_ROWS, 20)
    for number, start in enumerate(range(0, INSERT_ROWS, BATCH_ROWS), 1):
        out = Records()
        for frame in frames[start : start + BATCH_ROWS]:
            session.frame(frame, time.time_ns(), out)
        batches.append(Batch(out, Position(1, number), time.time_ns()))
    data = folder / "insert"
    data.mkdir(mode=0o755)
    async with server(data) as embedded:
        await migrate(embedded.dsn)
        writer = Writer(lambda: embedded.dsn, "bench")
        try:
            await writer.position()
            began, cpu = time.perf_counter(), time.process_time()
            for batch in batches:
                await writer.commit(batch)
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        finally:
            await writer.close()
    return round(INSERT_ROWS / seconds), round(cpu / INSERT_ROWS * 1e6, 2)
