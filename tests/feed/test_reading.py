"""Whether everything was read: with readers that a test moves, and with real sockets that bring more than is read."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable

import pytest
import uvloop

from collector.clock import SystemClock
from collector.feed.network import AiohttpNetwork
from collector.feed.reading import UNREAD_MAX_BYTES, Reading

from .doors import handshake
from .fakes import FakeClock


class Held:
    """What the system holds."""

    def __init__(self) -> None:
        self.bytes = 0

    def __call__(self) -> int:
        return self.bytes


async def turns(number: int = 20) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_everything_is_read_while_the_reader_waits() -> None:
    clock = FakeClock()
    reading = Reading(clock, Held())
    for _ in range(5):
        clock.now += 1
        assert reading.lag == 1
        reading.look()
        await turns()
        assert reading.read_to == clock.now


async def test_what_came_since_the_look_began_is_not_taken_for_read() -> None:
    clock = FakeClock()
    reading = Reading(clock, Held())
    clock.now += 1
    reading.look()
    clock.now += 1
    await turns()
    assert reading.lag == 1


async def test_reader_that_has_more_to_read_is_waited_for() -> None:
    clock = FakeClock()
    reading = Reading(clock, Held())
    clock.now += 1
    reading.turning = True
    reading.look()
    clock.now += 10
    await turns()
    assert reading.lag == 11
    assert reading.behind
    reading.turning = False
    async with asyncio.timeout(30):
        while reading.lag != 10:  # noqa: ASYNC110  it looks by itself
            await asyncio.sleep(0)


async def test_message_that_is_on_its_way_to_the_reader_is_waited_for() -> None:
    clock = FakeClock()
    reading = Reading(clock, Held())
    clock.now += 1
    reading.look()
    await turns(2)
    reading.turning = True
    await turns()
    assert reading.lag == 1


async def test_reader_that_is_away_has_read_nothing() -> None:
    clock = FakeClock()
    reading = Reading(clock, Held())
    clock.now += 1
    reading.look()
    reading.away = True
    await turns()
    assert reading.lag == 1
    reading.look()
    clock.now += 1
    reading.away = False
    await turns()
    assert reading.lag == 2


async def test_what_the_system_holds_is_not_read_and_is_looked_at_again_soon() -> None:
    clock, held = FakeClock(), Held()
    reading = Reading(clock, held)
    clock.now += 3
    held.bytes = UNREAD_MAX_BYTES + 1
    reading.look()
    await turns()
    assert reading.behind
    held.bytes = UNREAD_MAX_BYTES
    async with asyncio.timeout(30):
        while reading.behind:  # noqa: ASYNC110  it looks by itself
            await asyncio.sleep(0)


class Flood:
    """A peer that sends as fast as it can from a thread of its own, and knows what it had sent by when."""

    def __init__(self, size: int, pause: float = 0.0) -> None:
        self._pause = pause
        self._frame = b"\x82\x7e" + size.to_bytes(2) + bytes(size)
        self.size = size
        self.sent: list[float] = []
        self.stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Flood:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += connection.recv(4096)
            connection.sendall(handshake(head))
            connection.settimeout(0.1)
            with contextlib.suppress(ConnectionError):  # the reader has had enough
                while not self.stop.is_set():
                    self._send(connection)

    def _send(self, connection: socket.socket) -> None:
        left = memoryview(self._frame)
        while left and not self.stop.is_set():
            try:
                left = left[connection.send(left) :]
            except TimeoutError:
                continue
        self.sent.append(time.monotonic())
        time.sleep(self._pause)


async def read_slowly(flood: Flood, enough: Callable[[], bool], marks: Callable[[float, int], None]) -> int:
    """Read 5 MB a second at the most; every new mark is told with how many frames were read by then."""
    async with AiohttpNetwork.open() as network:
        line = await network.connect(flood.url, headers={}, max_message_bytes=1 << 20)
        reading, frames = Reading(SystemClock(), line.unread), 0
        marked = reading.read_to
        while not enough():
            for _ in range(64):
                await line.receive()
                frames += 1
                reading.look()
                time.sleep(flood.size / 5e6)  # noqa: ASYNC251  nobody else has a turn meanwhile
                if reading.read_to > marked:
                    marked = reading.read_to
                    marks(marked, frames)
            reading.turning = True
            await asyncio.sleep(0)
            reading.turning = False
        return frames


@pytest.mark.parametrize("size", [500, 20_000, 60_000])
@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_line_that_brings_more_than_is_read_is_never_taken_for_read(
    size: int, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """Whatever it was said that everything had been read until then: nearly all of it had been."""
    unread: list[int] = []

    def mark(read_to: float, frames: int) -> None:
        unread.append(sum(at < read_to for at in flood.sent) - frames)

    with Flood(size) as flood, asyncio.Runner(loop_factory=loop) as runner:
        end = time.monotonic() + 1.0
        frames = runner.run(read_slowly(flood, lambda: time.monotonic() > end, mark))
        assert (len(flood.sent) - frames) * size > 500_000, "so much was under way"
    assert max(unread, default=0) * size < 100_000


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_line_that_is_read_as_it_comes_is_known_to_be(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    marks: list[float] = []

    def enough() -> bool:
        return len(marks) >= 30

    # Half of what could be read, so that the reader hardly ever waits for long.
    with Flood(5_000, 0.002) as flood, asyncio.Runner(loop_factory=loop) as runner:
        runner.run(read_slowly(flood, enough, lambda read_to, _: marks.append(read_to)))
    assert marks == sorted(marks)
