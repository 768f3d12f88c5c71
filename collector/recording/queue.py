"""The batches that wait for the writer, counted in bytes of the frames that they were made of."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque

from collector.store.batch import Batch


class BatchQueue:
    """A queue whose oldest batch stays in it until it is committed; full with more than `most_bytes`."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.bytes = 0
        self._batches: deque[Batch] = deque()
        self._arrived = asyncio.Event()
        self._drained = asyncio.Event()
        self._ended = False

    def __repr__(self) -> str:
        return f"<BatchQueue {len(self._batches)} bytes={self.bytes}>"

    def __len__(self) -> int:
        return len(self._batches)

    @property
    def full(self) -> bool:
        """Whether it holds more than `most_bytes`."""
        return self.bytes > self.most_bytes

    @property
    def overfull(self) -> bool:
        """Whether it holds more than twice `most_bytes`."""
        return self.bytes > 2 * self.most_bytes

    @property
    def oldest_ns(self) -> int | None:
        """When its oldest frame was received; None while it is empty."""
        return self._batches[0].oldest_ns if self._batches else None

    def offer(self, batch: Batch) -> None:
        """Add a batch, even to a full queue."""
        self._batches.append(batch)
        self.bytes += batch.size
        self._arrived.set()

    async def next(self) -> Batch | None:
        """Return the oldest batch, waiting for one; None once `end` was called and none is left."""
        while not self._batches:
            if self._ended:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        return self._batches[0]

    def done(self, batch: Batch) -> None:
        """Remove the oldest batch, which is this one and is committed."""
        self._batches.popleft()
        self.bytes -= batch.size
        self._drained.set()

    def forget(self) -> None:
        """Drop all batches: they will be read from the journal again."""
        self._batches.clear()
        self.bytes = 0
        self._drained.set()

    def end(self) -> None:
        """Nothing more will come."""
        self._ended = True
        self._arrived.set()

    async def drained(self, seconds: float) -> None:
        """Return when a batch was removed, at the latest after these seconds."""
        self._drained.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._drained.wait()

    def items_by_segment(self) -> Counter[int]:
        """Return how many items wait, by the journal's segment that their batches end in."""
        waiting: Counter[int] = Counter()
        for batch in self._batches:
            waiting[batch.position.segment] += batch.records.items
        return waiting
