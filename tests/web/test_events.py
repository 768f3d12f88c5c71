"""The live line: one encoding for all, bounded, ended with the daemon, slow readers left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from collector.web import events
from tests.kit.stage import until
from tests.kit.watched import RunningClock, WatchedDaemon, serving, watched

PATIENCE_SECONDS = 30.0


@pytest.fixture
async def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WatchedDaemon]:
    monkeypatch.setattr(events, "STATE_INTERVAL_SECONDS", 0.1)
    async with watched(tmp_path, RunningClock()) as one:
        one.add_connection(one.add_venue(), "A", "B")
        yield one


async def next_event(answer: aiohttp.ClientResponse, wanted: str) -> Any:
    """Read until an event of this kind; returns its data."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        kind = ""
        while line := await answer.content.readline():
            if line.startswith(b"event: "):
                kind = line[7:].strip().decode()
            elif line.startswith(b"data: ") and kind == wanted:
                return line[6:].decode() if wanted == "end" else orjson.loads(line[6:])
    raise AssertionError(f"the line ended without {wanted}")


@pytest.fixture
async def client(daemon: WatchedDaemon) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    async with (
        serving(daemon) as address,
        aiohttp.ClientSession(address, connector=connector, timeout=timeout, read_bufsize=1 << 22) as session,
    ):
        yield session


async def test_who_connects_gets_the_state_at_once_and_each_new_one(
    daemon: WatchedDaemon, client: aiohttp.ClientSession
) -> None:
    async with client.get("/api/events") as answer:
        assert answer.content_type == "text/event-stream"
        assert answer.headers["Cache-Control"] == "no-store"
        first = await next_event(answer, "status")
        assert [one["symbol"] for one in first["venues"][0]["connections"][0]["subscriptions"]] == ["A", "B"]
        daemon.journal._room.fault = "No space left on device"
        while (await next_event(answer, "status"))["journal"]["fault"] is None:
            pass


async def test_day_is_told_away_with_its_reason_while_nobody_answers_for_the_database(
    client: aiohttp.ClientSession,
) -> None:
    async with client.get("/api/events") as answer:
        day = await next_event(answer, "day")
    assert day["state"] == "away"
    assert "nobody answers" in day["reason"]
    async with client.get("/api/day") as answer:
        assert (await answer.json())["state"] == "away"


async def test_state_is_encoded_once_for_all_who_watch_and_not_at_all_for_nobody(
    daemon: WatchedDaemon, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[object] = []

    def take(*_: object) -> dict[str, int]:
        taken.append(1)
        return {"number": len(taken)}

    monkeypatch.setattr("collector.web.server.snapshot", take)
    await asyncio.sleep(0.3)
    assert taken == []
    answers = [await client.get("/api/events") for _ in range(10)]
    seen = [[(await next_event(answer, "status"))["number"] for _ in range(3)] for answer in answers]
    assert len(taken) < 10 * 3
    assert all(numbers == sorted(set(numbers)) for numbers in seen)
    for answer in answers:
        answer.close()


async def test_more_than_allowed_are_sent_away_and_may_come_when_another_has_gone(
    client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "CLIENTS_MAX", 2)
    watching = [await client.get("/api/events") for _ in range(2)]
    async with client.get("/api/events") as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "5"
    watching.pop().close()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (answer := await client.get("/api/events")).status == 503:
            await answer.read()  # the server has yet to notice that the other has gone
    await next_event(answer, "status")
    answer.close()
    watching.pop().close()


async def test_slow_reader_costs_no_memory_and_gets_the_newest_state_when_it_reads_again(
    daemon: WatchedDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = iter(range(1_000_000))
    newest = 0

    def large(*_: object) -> dict[str, object]:
        nonlocal newest
        newest = next(numbers)
        return {"number": newest, "filling": "x" * 1_000_000}

    monkeypatch.setattr("collector.web.server.snapshot", large)
    async with serving(daemon) as address:
        port = int(address.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 16)
        writer.write(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await until(lambda: newest >= 40, "forty megabytes that nobody reads")
        async with asyncio.timeout(PATIENCE_SECONDS):
            stalled_at = newest
            told = b""
            while True:
                told = (told + await reader.read(1 << 20))[-4_000_000:]
                found = [int(part.partition(b",")[0]) for part in told.split(b'{"number":')[1:] if b"," in part[:12]]
                if found and found[-1] >= stalled_at:
                    break
        writer.close()
    # Every state that was sent while nobody read would be in the gap between two numbers.
    assert max(b - a for a, b in pairwise(found)) > 5


async def test_who_watches_is_told_that_the_daemon_stops(daemon: WatchedDaemon) -> None:
    async with aiohttp.ClientSession() as session:
        async with serving(daemon) as address:
            answer = await session.get(f"{address}/api/events")
            await next_event(answer, "status")
        # Leaving `serving` cancels the server, as the daemon does at its end.
        assert "stopping" in await next_event(answer, "end")


async def test_look_that_fails_ends_nothing(client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = 0

    def broken(*_: object) -> dict[str, int]:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise ZeroDivisionError("a bug")
        return {"tries": tries}

    monkeypatch.setattr("collector.web.server.snapshot", broken)
    async with client.get("/api/events") as answer:
        assert (await next_event(answer, "status"))["tries"] >= 4


async def test_head_gets_headers_and_no_stream(client: aiohttp.ClientSession) -> None:
    async with client.head("/api/events") as answer:
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        assert await answer.read() == b""
