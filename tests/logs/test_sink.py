"""A log never stops what it tells of, whatever becomes of the place that it is written to."""

from __future__ import annotations

import errno
import io
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from collector.logs.sink import Sink, of

PATIENCE_SECONDS = 30.0

# Tells four megabytes of what it does: more than any pipe and the buffer hold.
RECORDER = """
import sys, structlog
from collector.logs import configure, lines_lost, sink

sink.DRAIN_TIMEOUT_SECONDS = 0.2
configure("debug", "json")
log = structlog.get_logger()
for number in range(4000):
    log.info("segment_deleted", segment=number, reason="x" * 1000)
print("recorded, lost", "some" if lines_lost() else "none", flush=True)
"""


# -- processes ---------------------------------------------------------------------------------------------------------


def stuck_pipe(stack: ExitStack, _: Path) -> int:
    """A pipe whose reader lives and never reads."""
    reader, writer = os.pipe()
    stack.callback(os.close, reader)
    stack.callback(os.close, writer)
    return writer


def broken_pipe(stack: ExitStack, _: Path) -> int:
    reader, writer = os.pipe()
    os.close(reader)
    stack.callback(os.close, writer)
    return writer


def stuck_socket(stack: ExitStack, _: Path) -> int:
    """As the service manager gives one, whose log daemon stands still."""
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    stack.enter_context(reader)
    return stack.enter_context(writer).fileno()


def pipe_that_never_waits(stack: ExitStack, folder: Path) -> int:
    """Somebody who shares the pipe has set it so: writing to it when it is full is an error."""
    writer = stuck_pipe(stack, folder)
    os.set_blocking(writer, False)
    return writer


def full_disk(stack: ExitStack, _: Path) -> int:
    return stack.enter_context(Path("/dev/full").open("wb")).fileno()


@pytest.mark.slow
@pytest.mark.parametrize("place", [stuck_pipe, broken_pipe, stuck_socket, pipe_that_never_waits, full_disk])
def test_a_place_that_takes_nothing_neither_ends_nor_holds_up_the_work(
    place: Callable[[ExitStack, Path], int], tmp_path: Path
) -> None:
    with ExitStack() as stack:
        done = subprocess.run(
            [sys.executable, "-c", RECORDER],
            stdout=subprocess.PIPE,
            stderr=place(stack, tmp_path),
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    assert (done.stdout, done.returncode) == ("recorded, lost some\n", 0)


def test_a_descriptor_that_is_closed_is_no_reason_either() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", '"$0" -c "$1" 2>&-', sys.executable, RECORDER],
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("recorded, lost none\n", 0)


def test_a_file_and_a_pipe_that_is_read_get_every_line_in_order(tmp_path: Path) -> None:
    program = RECORDER.replace("range(4000)", "range(500)").replace("DRAIN_SECONDS = 0.2", "DRAIN_SECONDS = 30")
    with (tmp_path / "log").open("wb") as file:
        done = subprocess.run(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            stderr=file,
            timeout=PATIENCE_SECONDS,
            check=True,
        )
    assert done.stdout == b"recorded, lost none\n"
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["segment"] for line in lines] == list(range(500))


def test_a_crash_is_told_before_the_process_ends() -> None:
    program = "import sys\nfrom collector.logs import sink\nsys.stderr = sink.of(sys.stderr)\n1 / 0"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")
    assert done.returncode == 1


# -- one sink ----------------------------------------------------------------------------------------------------------


class Pipe:
    """A pipe of which nothing is read before a test asks for it."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def lines(self, last: str) -> list[str]:
        """Read until this line has come."""
        told = b""
        while not told.endswith(f"{last}\n".encode()):
            told += os.read(self.reader, 1 << 16)
        return told.decode().splitlines()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    os.close(made.reader)
    os.close(made.writer)


@pytest.fixture
def sinks() -> Iterator[Callable[..., Sink]]:
    made: list[Sink] = []

    def make(descriptor: int | None, **options: object) -> Sink:
        made.append(Sink(descriptor, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.end(0)


def test_lines_that_found_no_room_are_counted_and_told_where_they_are_missing(
    pipe: Pipe, sinks: Callable[..., Sink]
) -> None:
    open_again = threading.Event()

    def write(descriptor: int, data: bytes) -> int:
        assert open_again.wait(PATIENCE_SECONDS)
        return os.write(descriptor, data)

    sink = sinks(pipe.writer, buffer_bytes=50_000, mark=lambda count: f"{count} lost\n", write=write)
    for number in range(1000):
        sink.write(f"{number:>99}\n")
    assert sink.lost == 500
    open_again.set()
    assert [int(line) for line in pipe.lines("500 lost")[:-1]] == list(range(500))
    sink.write("after\n")
    assert pipe.lines("after") == ["after"]
    assert sink.lost == 500


def test_a_place_that_works_again_gets_what_waited_in_order_and_whole(pipe: Pipe, sinks: Callable[..., Sink]) -> None:
    failing = [OSError(errno.ENOSPC, "full"), OSError(errno.EIO, "broken"), OSError(errno.EPIPE, "gone")]

    def write(descriptor: int, data: bytes) -> int:
        if failing:
            raise failing.pop()
        return os.write(descriptor, data[:7])  # never a whole line at once

    sink = sinks(pipe.writer, retry_seconds=0.01, write=write)
    for number in range(100):
        sink.write(f"line {number}\n")
    assert pipe.lines("line 99") == [f"line {number}" for number in range(100)]
    assert sink.lost == 0


def test_lines_of_many_threads_stay_whole(pipe: Pipe, sinks: Callable[..., Sink]) -> None:
    sink = sinks(pipe.writer)

    def tell(name: str) -> None:
        for number in range(200):
            sink.write(f"{name} {number}\n")

    threads = [threading.Thread(target=tell, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sink.write("end\n")
    told = [line.split() for line in pipe.lines("end")[:-1]]
    assert len(told) == 800
    for name in "abcd":
        assert [int(number) for one, number in told if one == name] == list(range(200))


def test_draining_waits_for_a_place_that_takes_and_not_for_one_that_does_not(
    pipe: Pipe, sinks: Callable[..., Sink]
) -> None:
    sink = sinks(pipe.writer)
    sink.write("short\n")
    assert sink.drain(PATIENCE_SECONDS)
    sink.write("x" * 200_000 + "\n")
    assert not sink.drain(0.05)


def test_nothing_is_told_to_a_place_that_is_none(sinks: Callable[..., Sink]) -> None:
    sink = sinks(None)
    assert sink.write("gone\n") == 5
    assert sink.drain(0)
    assert sink.lost == 0
    assert not sink.isatty()


def test_a_stream_without_a_descriptor_is_written_to_as_it_is() -> None:
    stream = io.StringIO()
    assert of(stream) is stream


def test_one_descriptor_has_one_sink(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        sink = of(file)
        assert isinstance(sink, Sink)
        assert of(file) is sink
        assert of(sink) is sink
        sink.end(PATIENCE_SECONDS)
