"""Where the log is written to: by a thread of its own, so that nobody who tells something waits for it.

A log's disk fills up, its reader goes away or stands still, its service is restarted. None of this may hold up or end
what is being recorded. What cannot be written waits in a bounded buffer; beyond that, lines are left out and counted,
and how many is told in their place once the log takes lines again.
"""

from __future__ import annotations

__all__ = ["Sink", "drain", "lines_lost", "of"]

import atexit
import contextlib
import io
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, TextIO, cast

# Lines that wait for a slow reader of the log: some thousand.
BUFFER_MAX_BYTES: Final = 1 << 20
# Bytes that one write takes: as many as a pipe holds.
WRITE_MAX_BYTES: Final = 1 << 16
# After a write that failed, such as on a full disk.
RETRY_DELAY_SECONDS: Final = 1.0
# For the lines that still wait when the process ends.
DRAIN_TIMEOUT_SECONDS = 2.0

_SINKS: dict[int, Sink] = {}


class Sink(io.TextIOBase):
    """A text stream that never blocks and never fails; `descriptor` None takes everything and writes nothing.

    Each text is written whole or not at all. `mark` gives the text that stands where so many lines are missing.
    """

    def __init__(
        self,
        descriptor: int | None,
        *,
        mark: Callable[[int], str] | None = None,
        buffer_bytes: int = BUFFER_MAX_BYTES,
        retry_seconds: float = RETRY_DELAY_SECONDS,
        write: Callable[[int, bytes], int] = os.write,
    ) -> None:
        super().__init__()
        self.mark = mark
        self.lost = 0
        """Lines left out since the start."""
        self._descriptor = descriptor
        self._most_bytes = buffer_bytes
        self._retry_seconds = retry_seconds
        self._write = write
        self._changed = threading.Condition()
        self._texts: deque[bytes] = deque()
        self._bytes = 0
        self._untold = 0
        self._ended = False
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"<Sink {self._descriptor} waiting={self._bytes} lost={self.lost}>"

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        if self._descriptor is None:
            raise io.UnsupportedOperation("fileno")
        return self._descriptor

    def isatty(self) -> bool:
        return self._descriptor is not None and os.isatty(self._descriptor)

    def write(self, text: str) -> int:
        """Take a text to be written soon; of one that finds no room its lines are counted."""
        if self._descriptor is None or not text:
            return len(text)
        data = text.encode("utf-8", "backslashreplace")
        with self._changed:
            # Once a line is missing none comes before the mark that tells it.
            if self._untold or self._bytes + len(data) > self._most_bytes:
                lines = text.count("\n") or 1
                self._untold += lines
                self.lost += lines
            else:
                self._put(data)
            if self._thread is None:
                self._start()
        return len(text)

    def flush(self) -> None:
        """Return at once: who tells something does not wait for it. See `drain`."""

    def drain(self, seconds: float) -> bool:
        """Wait until all is written, at most so long; whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._bytes and not self._untold, seconds)

    def end(self, seconds: float) -> None:
        """Write what waits within so many seconds, and nothing more. The descriptor stays open."""
        self.drain(seconds)
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    # -- the thread ----------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="log", daemon=True)
        with contextlib.suppress(RuntimeError):  # too many threads for now, or Python itself is ending
            thread.start()
            self._thread = thread

    def _run(self) -> None:
        while data := self._next():
            self._write_all(data)
            with self._changed:
                self._bytes -= len(data)
                count = self._untold if self._bytes <= self._most_bytes // 2 else 0
                self._changed.notify_all()
            if count:
                self._tell(count)

    def _next(self) -> bytes:
        """Wait for something to write; nothing once the sink has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._texts or self._ended)
            if self._ended:
                return b""
            data = self._texts.popleft()
            while self._texts and len(data) + len(self._texts[0]) <= WRITE_MAX_BYTES:
                data += self._texts.popleft()
            return data

    def _write_all(self, data: bytes) -> None:
        assert self._descriptor is not None
        while data and not self._ended:
            try:
                data = data[self._write(self._descriptor, data) :]
            except BlockingIOError:
                ready = select.poll()
                ready.register(self._descriptor, select.POLLOUT)
                ready.poll(self._retry_seconds * 1000)
            except OSError:
                # A full disk has room again one day, and the log's service comes back on the same line.
                with self._changed:
                    self._changed.wait_for(lambda: self._ended, self._retry_seconds)

    def _tell(self, count: int) -> None:
        """Put the mark of the lines that are missing here; what is lost meanwhile is told by the next one."""
        # Made without the lock: who makes it may hold others.
        text = self.mark(count) if self.mark is not None else ""
        with self._changed:
            self._untold -= count
            self._put(text.encode("utf-8", "backslashreplace"))

    def _put(self, data: bytes) -> None:
        if data:
            self._texts.append(data)
            self._bytes += len(data)
        self._changed.notify_all()


def of(stream: TextIO | io.TextIOBase | None) -> TextIO:
    """Return what writes to a stream's descriptor without ever waiting, one and the same for one descriptor.

    A stream that has none, such as one in memory, is returned as it is.
    """
    if isinstance(stream, Sink):
        return cast("TextIO", stream)
    if stream is None:
        return cast("TextIO", Sink(None))
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):
        return cast("TextIO", stream)
    if descriptor not in _SINKS:
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
        _SINKS[descriptor] = Sink(descriptor)
    return cast("TextIO", _SINKS[descriptor])


def lines_lost() -> int:
    """Return how many lines this process could not write since its start."""
    return sum(sink.lost for sink in _SINKS.values())


def drain(seconds: float | None = None) -> None:
    """Write what waits everywhere, within so many seconds together."""
    end = time.monotonic() + (DRAIN_TIMEOUT_SECONDS if seconds is None else seconds)
    for sink in _SINKS.values():
        sink.drain(max(0.0, end - time.monotonic()))


atexit.register(drain)
