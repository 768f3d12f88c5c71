"""What the parsers are fed with: frames that simulated venues sent to a daemon, and what becomes of them by mutation.

The frames are recorded when the tests begin, by a daemon without a database: its journal is the corpus.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import orjson

from collector import simulator
from collector.config import load
from collector.journal import Kind, Record, read
from tests.kit.running import running as started
from tests.kit.stage import until

VENUES = ("fmfw", "fmex", "metaapi", "finam")
NO_DATABASE = "postgresql://nobody@127.0.0.1:1/none"
FRAMES = 1500
FOREIGN: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1e308,
    2**63,
    2**64,
    -0.0,
    "",
    "0",
    "-1",
    "NaN",
    "Infinity",
    "1,2",
    "1_000",
    "0x10",
    "9" * 60,
    "\0",
    "\ud800",
    "2026-02-30T00:00:00Z",
    "9999-12-31T23:59:59.999Z",
    "1970-01-01T00:00:00Z",
    [],
    {},
    [[]],
    [None],
    {"": None},
)
DEEP = b"[" * 5000


class Corpus(NamedTuple):
    """One venue's journal, in order."""

    venue: str
    records: list[Record]

    @property
    def headers(self) -> dict[int, dict[str, Any]]:
        """What each session was opened with."""
        return {one.session: orjson.loads(one.payload) for one in self.records if one.kind is Kind.OPEN}

    def frames(self, session: int) -> list[Record]:
        """What a session received."""
        return [one for one in self.records if one.session == session and one.kind in (Kind.FRAME, Kind.REST)]


def recorded(venue: str, folder: Path) -> Corpus:
    """Let a daemon record a simulated venue for a moment."""
    return asyncio.run(_recorded(venue, folder))


async def _recorded(venue: str, folder: Path) -> Corpus:
    async with simulator.serve([venue], seed=11, rate=800, settings={"finam": {"quota": 100_000}}) as running:
        config = folder / "collector.toml"
        config.write_text(
            f'data_dir = "{folder / "data"}"\n[database]\ndsn = "{NO_DATABASE}"\n[http]\nlisten = "127.0.0.1:0"\n'
            + running.config()
            + ("rest_per_minute = 3000\nshortest_seconds = 0.05\n" if venue == "finam" else "")
        )
        async with started(load(config, {})) as daemon:
            await until(
                lambda: (
                    sum(feed.frames for one in daemon.workers.values() for feed in one.worker.connections.values())
                    >= FRAMES
                ),
                "frames enough",
                90,
            )
    return Corpus(venue, list(read(folder / "data" / "journal")))


def mutated(payload: bytes, random: Random, others: list[bytes]) -> bytes:
    """Spoil a frame in one way or another."""
    way = random.randrange(8)
    if way == 0:
        return payload[: random.randrange(len(payload) + 1)]
    if way == 1:
        data = bytearray(payload)
        for _ in range(random.randrange(1, 6)):
            if data:
                data[random.randrange(len(data))] ^= 1 << random.randrange(8)
        return bytes(data)
    if way == 2:
        at = random.randrange(len(payload) + 1)
        return payload[:at] + random.randbytes(random.randrange(1, 9)) + payload[at:]
    if way == 3:
        other = random.choice(others)
        return payload[: random.randrange(len(payload) + 1)] + other[random.randrange(len(other) + 1) :]
    if way == 4 and random.random() < 0.1:
        at = random.randrange(len(payload) + 1)
        return payload[:at] + DEEP + payload[at:]
    return _with_foreign_values(payload, random)


def _with_foreign_values(payload: bytes, random: Random) -> bytes:
    """Change values, drop and add keys, repeat items: still JSON, where it was."""
    begin = min((at for at in (payload.find(b"{"), payload.find(b"[")) if at >= 0), default=0)
    try:
        document = orjson.loads(payload[begin:])
    except orjson.JSONDecodeError:
        return payload[::-1]
    for _ in range(random.randrange(1, 4)):
        places = list(_places(document))
        if not places:
            break
        holder, key = random.choice(places)
        way = random.randrange(4)
        if way == 0:
            del holder[key]
        elif way == 1 and isinstance(holder, list):
            holder.insert(key, holder[key])
        elif way == 2 and isinstance(holder, dict):
            holder[random.choice([key + "x", "", "s", "update", "payload", "type"])] = holder[key]
        else:
            holder[key] = deepcopy(random.choice(FOREIGN))
    return payload[:begin] + json.dumps(document).encode()


def _places(value: Any, depth: int = 0) -> Iterator[tuple[Any, Any]]:
    if depth > 12:
        return
    keys: Any = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key], depth + 1)


def captured_fmfw() -> list[bytes]:
    """Frames of the real venue, where the captures are at hand (`FMFW_CAPTURES`); none elsewhere."""
    folder = Path(os.environ.get("FMFW_CAPTURES") or Path(__file__).parents[3] / "shared" / "captures")
    path = folder / "fmfw-2021-10-09-socket.ndjson"
    if not path.exists():
        return []
    lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    return [one["text"].encode() for one in lines if one["dir"] == "in"]
