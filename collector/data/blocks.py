"""A question's answer as blocks of whole rows, streamed: what is in memory does not grow with the answer.

Blocks end where the rows say it, not where the network does: the same answer always has the same blocks.
"""

from __future__ import annotations

__all__ = ["BLOCK_BYTES", "Cutter", "stream"]

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg

# Small enough for memory, large enough for speed and for good compression.
BLOCK_BYTES = 2 << 20


class Cutter:
    """Cuts a stream of CSV into blocks of `size` bytes or a little less, always at the end of a row."""

    def __init__(self, size: int = BLOCK_BYTES) -> None:
        self._size = size
        self._text = bytearray()

    def add(self, text: bytes) -> list[bytes]:
        """Take more of the stream, and return the blocks that are whole now."""
        self._text += text
        whole = []
        while len(self._text) >= self._size and (end := self._end()):
            whole.append(bytes(self._text[:end]))
            del self._text[:end]
        return whole

    def rest(self) -> bytes:
        """Return what is left at the end of the stream."""
        return bytes(self._text)

    def _end(self) -> int:
        """The end of the last row within the size, or of the first one where that alone is larger; 0 for none yet."""
        text = self._text
        end = text.rfind(b"\n", 0, self._size) + 1
        while end and text.count(b'"', 0, end) % 2:  # this line ends inside a quoted value
            end = text.rfind(b"\n", 0, end - 1) + 1
        start = self._size
        while not end:
            start = text.find(b"\n", start) + 1
            if not start:
                return 0
            end = start if text.count(b'"', 0, start) % 2 == 0 else 0
        return end


async def stream(
    connection: asyncpg.Connection, query: str, arguments: tuple[Any, ...], take: Callable[[bytes], None]
) -> int:
    """Give each block of an answer to `take`, in a thread and one after another; returns the number of rows.

    While one block is taken the next is received, and no more: the server waits.
    """
    cutter = Cutter()
    taking: asyncio.Task[None] | None = None

    async def hand_over(block: bytes) -> None:
        nonlocal taking
        if taking is not None:
            await taking
        taking = asyncio.create_task(asyncio.to_thread(take, block))

    async def receive(text: bytes) -> None:
        for block in cutter.add(text):
            await hand_over(block)

    try:
        told = await connection.copy_from_query(query, *arguments, output=receive, format="csv")
        if rest := cutter.rest():
            await hand_over(rest)
    finally:
        if taking is not None:
            await taking
    return int(told.rpartition(" ")[2])
