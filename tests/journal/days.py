"""Lives of a journal as it is: with its own tasks and threads, and others that append, wait and read beside them."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from collector.journal import Journal, JournalUnwritable, Position

from .lives import LARGEST_BYTES, Lives
from .machine import Death, Faults

PATIENCE_SECONDS = 60.0


class Days:
    """A life as it is: a task that writes, one that tidies, and others that append, wait and read beside them."""

    def __init__(self, lives: Lives, journal: Journal) -> None:
        self.lives = lives
        self.journal = journal
        self.random = lives.random
        self.survived = False

    async def pass_by(self, seconds: float) -> None:
        """Live for so long, or until death."""
        lives, journal = self.lives, self.journal
        lives.book.committed = journal.committed = min(lives.book.committed, journal.begin)
        lives.opened(journal)
        self._look()
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(work()) for work in (journal.run, self._feed, self._wait, self._read, self._rain)
            ]
            await asyncio.sleep(seconds)
            for task in tasks[1:]:
                task.cancel()
            await asyncio.wait(tasks[1:])
            if self.random.random() < 0.4:
                await self._end_well()
            tasks[0].cancel()
        if self.random.random() < 0.3:
            await self._close()

    async def _close(self) -> None:
        try:
            await self.journal.close()
        except JournalUnwritable:
            self.lives.counts["closed in vain"] += 1
            return
        self.lives.counts["closed"] += 1
        if self.survived:
            self.lives.synced = self.lives.written = self.journal.end

    async def _end_well(self) -> None:
        """The disk is put right: then everything is on it soon."""
        lives, journal = self.lives, self.journal
        lives.machine.faults, lives.machine.capacity, lives.machine.fuse = Faults(), None, None
        async with asyncio.timeout(PATIENCE_SECONDS):
            await journal.room()
            await journal.sync(journal.end)
        self._look()
        lives.synced = lives.written = journal.end
        lives.counts["recovered"] += 1

    def _look(self) -> None:
        if not self.survived and self.journal._writer.begun:
            self.survived = self.lives.survived(self.journal)

    async def _feed(self) -> None:
        while True:
            for _ in range(self.random.randint(1, 8)):
                if self.journal.full:
                    break
                self.lives.book.add(self.journal, self.random)
            unsynced = self.journal._tail.total_bytes - self.journal._writer.durable_bytes
            assert unsynced < self.lives.options.buffer_bytes + LARGEST_BYTES + self._head_bytes(), "bounded memory"
            self._look()
            await asyncio.sleep(0)

    def _head_bytes(self) -> int:
        """A record may be the first of a segment, which begins with the sessions that are open."""
        return 100 + sum(50 + len(payload) for _, payload in self.journal._tail._open.values())

    async def _wait(self) -> None:
        while True:
            upto = self.journal.end
            await self.journal.sync(upto)
            if self.survived:
                self.lives.synced = max(self.lives.synced, upto)
                self.lives.written = max(self.lives.written, upto)
                if self.random.random() < 0.5:
                    self.journal.committed = self.lives.book.committed = upto
            await asyncio.sleep(0)

    async def _read(self) -> None:
        while True:
            upto = self.journal.end
            at_once = self.random.random() < 0.5
            try:
                if at_once:
                    self.journal.flush_now()
                else:
                    await self.journal.flush()
            except JournalUnwritable:
                self.lives.counts["refused"] += 1
            else:
                if self.survived:
                    self.lives.written = max(self.lives.written, upto)
                    readable = upto if at_once else min(upto, self.journal.written)  # a sync may have failed since
                    committed = self.journal.committed.segment  # what lies before it may be deleted any time
                    found = self.lives.read(self.journal, upto, Position(committed, 0))
                    self.lives.book.compare(found, readable, committed)
            await asyncio.sleep(self.random.random() * 0.005)

    async def _rain(self) -> None:
        while True:
            self.lives.machine.faults = self.lives.trouble()
            self.lives.machine.faults.hidden = False  # a reader beside a sync that fails may see what was lost
            self.lives.machine.capacity = self.random.choice([None, None, 4000, 12_000])
            await asyncio.sleep(self.random.random() * 0.01)


def bury(journal: Journal) -> None:
    """Do what the end of a process does."""
    journal._flusher.end(wait=True)
    journal._archive_thread.shutdown()
    journal._lock.release()


async def live_on(folder: Path, seed: int, count: int) -> Counter[str]:
    """Do what `live` does with the journal's own tasks and threads."""
    lives = Lives(folder, seed)
    lives.slow_seconds = 0.003
    machine, random = lives.machine, lives.random
    for _ in range(count):
        machine.faults = lives.trouble()
        machine.faults.hidden = False
        journal: Journal | None = None
        try:
            journal = await lives.open_journal()
            if random.random() < 0.5:
                machine.fuse = random.randint(1, 300)
            await Days(lives, journal).pass_by(random.random() * 0.05)
        except* Death:
            pass
        finally:
            power = random.random() < 0.5
            lives.died(power=power)
            if journal is not None:
                await asyncio.to_thread(bury, journal)
    return machine.injected + lives.counts
