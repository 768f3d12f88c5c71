"""From the queue, or from the journal, into the database; and the position that says how far.

While the writer can follow, it commits the batches that the intake cuts. When it could not (the database was away, or
slow) or does not know yet where it stands (after a start), it reads the journal from where the tables end until it
has reached the journal's very end, and hands over to live batches at that point, without a hole and without a doubt.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING

import orjson
import structlog

from collector.clock import Clock
from collector.journal import DamagedJournal, Journal, JournalUnwritable, Position, Record
from collector.journal.segments import numbers
from collector.model import Records
from collector.normalise.gaps import KILLED, Coverage, Gaps
from collector.normalise.normaliser import Normaliser
from collector.service.journalled import apply, tell_orphans
from collector.service.statistics import Statistics
from collector.store.batch import Batch
from collector.store.errors import DatabaseWentBackError
from collector.store.writer import Writer

if TYPE_CHECKING:
    from collector.service.intake import JournalledIntake

log = structlog.get_logger()

HAND_OVER_BYTES = 256 * 1024
"""A rest of the journal that is parsed in one go, without letting live frames in between."""
CHUNK_BYTES = 1024 * 1024
CHASES = 8
"""So often the journal's growing end is parsed after, without waiting for commits, before it is tried anew,"""
CHASED_BYTES = 4 * 1024 * 1024
"""and no more than this of it: what is parsed and not committed is held in memory."""
ABANDONED_SECONDS = 10.0
"""A daemon at work commits more often: sessions of a database that was quiet for so long are nobody's."""
UNCOMMITTED_US = 60_000_000
"""What was received so long before the last commit is taken to have been in it."""
JOURNAL_LOST = "the journal that held its end is gone"
YIELD_EVERY = 200
"""Records between two chances for other tasks to run,"""
YIELD_BYTES = 32 * 1024
"""or so many bytes: a snapshot holds a thousand items."""


class Recorder:
    """Owns the writer and the journal's position."""

    def __init__(
        self,
        journal: Journal,
        intake: JournalledIntake,
        writer: Writer,
        new_normaliser: Callable[[], Normaliser],
        statistics: Statistics,
        clock: Clock,
        *,
        batch_rows: int,
        flush_seconds: float,
    ) -> None:
        self._journal = journal
        self._intake = intake
        self._writer = writer
        self._new_normaliser = new_normaliser
        self._statistics = statistics
        self._clock = clock
        self._batch_rows = batch_rows
        self._flush_seconds = flush_seconds
        self.committed: Position | None = None
        """How far the journal is in the tables; None until that is known."""
        self._moved = asyncio.Event()
        self._working_ns: int | None = None
        self.busy = False
        """Whether it waits for the disk or the database, and not for work."""
        self.turns = 0
        """Grows while the journal is read."""
        self.when_gaps_change: list[Callable[[], object]] = []
        """Called after each commit that opened or closed gaps."""
        self.damages = 0
        """Places in the journal that could not be read."""
        self._damaged = False

    @property
    def backlog_bytes(self) -> int | None:
        """Bytes of frames that are in the journal and not yet in the tables; None until that is known."""
        if self.committed is None:
            return None
        return self._journal.distance(self.committed)

    @property
    def oldest_ns(self) -> int | None:
        """When the oldest frame was received that is not in the tables yet; None when there is none, or before a start
        has found its place."""
        if self._intake.live:
            return self._intake.oldest_waiting_ns
        return self._working_ns

    async def run(self) -> None:
        """Write until cancelled; after `drain` return as soon as everything is committed."""
        await self._find_place()
        async with asyncio.TaskGroup() as group:
            cutter = group.create_task(self._cut_regularly())
            while True:
                try:
                    await self._write_on()
                except DatabaseWentBackError as error:
                    log.warning("database_went_back", reason=str(error),
                              remedy="what the journal still holds since then is written again")  # fmt: skip
                    self._intake.forget()
                    await self._find_place()
                else:
                    break
            cutter.cancel()

    async def _write_on(self) -> None:
        while True:
            if self._intake.empty and self._intake.behind_since is not None:
                await self._catch_up(self._intake.behind_since, self._intake.behind_with or self._new_normaliser())
                continue
            batch = await self._intake.next_batch()
            if batch is None:
                return
            await self._commit(batch)
            self._intake.done(batch)

    def drain(self) -> None:
        """Nothing more will be received: commit what there is and end."""
        self._intake.end()

    async def _cut_regularly(self) -> None:
        while True:
            await self._clock.sleep(self._flush_seconds)
            self._intake.cut()

    async def _commit(self, batch: Batch) -> None:
        position = Position(batch.segment, batch.byte_offset)
        self._working_ns = batch.oldest_ns
        self.busy = True
        try:
            await self._journal.sync(position)
            committed = await self._writer.commit(batch)
        finally:
            self.busy = False
        self._reach(position)
        self._statistics.committed(batch, committed, self._clock.now_ns())
        if batch.records.gaps:
            for tell in self.when_gaps_change:
                tell()

    def _reach(self, position: Position) -> None:
        self.committed = self._journal.committed = position
        self._moved.set()
        self._moved = asyncio.Event()

    async def reached(self, position: Position) -> None:
        """Return once everything before this place in the journal is in the tables, however long that takes."""
        while self.committed is None or self.committed < position:
            await self._moved.wait()

    # -- from the journal --------------------------------------------------------------------------------------------

    async def _find_place(self) -> None:
        """Learn where the tables end and bring parsers into the state that they had there."""
        saved = await self._writer.position()
        start = Position(*saved) if saved else Position(0, 0)
        if start > self._journal.begin:
            log.error(
                "position_past_journal",
                position=start,
                began_at=self._journal.begin,
                remedy="the journal lost its end, or is an older copy; all that this run receives is written",
            )
            start = self._journal.begin
        oldest = min(numbers(self._journal.directory))
        if saved and start.segment < oldest:
            log.error(
                "journal_begins_after_position",
                position=start,
                oldest_segment=oldest,
                remedy="segments were deleted before their rows were committed; reading goes on after them",
            )
        start = max(start, Position(oldest, 0))
        self._reach(start)
        normaliser, scratch = self._new_normaliser(), Records()
        # Equal trades are told apart by counting, so parsers need to have seen what came shortly before.
        warm_up = self._read(Position(max(oldest, start.segment - 1), 0), start)
        for number, record in enumerate(warm_up):
            apply(record, normaliser, scratch)
            if not number % YIELD_EVERY:
                scratch = Records()
                self.turns += 1
                await asyncio.sleep(0)
        self._damaged = False  # its rows are in the tables
        if saved is None or start == self._journal.begin:
            await self._close_abandoned(normaliser, start)
        normaliser.gaps = Gaps(await self._writer.open_gaps())
        self._intake.fall_behind(start, normaliser)

    async def _close_abandoned(self, normaliser: Normaliser, start: Position) -> None:
        """The journal that held the end of the former run's sessions is gone: what they covered has been missing since
        shortly before the last commit."""
        gaps, out = Gaps(await self._writer.open_gaps()), Records()
        for session, last_us in await self._writer.abandoned(ABANDONED_SECONDS):
            if session.session_id in normaliser.sessions:
                continue
            subscriptions = orjson.loads(session.details).get("subscriptions", [])
            coverage = Coverage({"venue": session.venue, "subscriptions": subscriptions})
            out.sessions.append(session._replace(closed_us=last_us, reason=JOURNAL_LOST))
            from_us = max(session.opened_us, last_us - UNCOMMITTED_US)
            gaps.begin(coverage.keys(), KILLED, JOURNAL_LOST, from_us, out)
        if out:
            log.error("journal_lost", sessions=len(out.sessions), gaps=len(out.gaps),
                      remedy="what followed the last commit is fetched from the venues' history")  # fmt: skip
            await self._commit(Batch(out, start.segment, start.offset, self._clock.now_ns(), 0))

    def _read(self, start: Position, end: Position | None = None) -> Iterator[Record]:
        return self._journal.read(start, end, on_corrupt=self._report_damage)

    def _report_damage(self, damage: DamagedJournal) -> None:
        self.damages += 1
        self._damaged = True
        log.error("journal_damaged", reason=str(damage), remedy="reading goes on at the next good record")

    async def _catch_up(self, position: Position, normaliser: Normaliser) -> None:
        log.info("catching_up", backlog_bytes=self._journal.distance(position))
        while True:
            async for batch in self._read_on(position, normaliser):
                await self._commit(batch)
                position = Position(batch.segment, batch.byte_offset)
            # A commit waits for disks, and meanwhile the journal grows: the last stretch is only parsed.
            ahead: list[Batch] = []
            for _ in range(CHASES):
                if sum(batch.size for batch in ahead) + self._journal.distance(position) > CHASED_BYTES:
                    break
                async for batch in self._read_on(position, normaliser):
                    ahead.append(batch)
                    position = Position(batch.segment, batch.byte_offset)
                if self._journal.distance(position) <= HAND_OVER_BYTES and self._hand_over(position, normaliser, ahead):
                    tell_orphans(normaliser)
                    log.info("caught_up")
                    return
            for batch in ahead:
                await self._commit(batch)

    def _hand_over(self, position: Position, normaliser: Normaliser, ahead: list[Batch]) -> bool:
        """Let live batches flow again behind `ahead` and the rest of the journal; False while the disk refuses."""
        # No await in here: what is received next finds the intake live again.
        try:
            self._journal.flush_now()
        except JournalUnwritable:
            return False
        ahead += [batch for batch in self._batches(self._read(position), normaliser) if batch is not None]
        self._intake.catch_up(normaliser)
        for batch in ahead:
            self._intake.offer(batch)
        return True

    async def _read_on(self, position: Position, normaliser: Normaliser) -> AsyncIterator[Batch]:
        """Parse what the journal holds by now."""
        try:
            await self._journal.flush()
        except JournalUnwritable:  # told by the journal, which tries again until it can
            await self._journal.sync(self._journal.end)
        for batch in self._batches(self._read(position), normaliser, CHUNK_BYTES):
            if batch is None:
                self.turns += 1
                await asyncio.sleep(0)
            else:
                yield batch

    def _batches(
        self, records: Iterator[Record], normaliser: Normaliser, most_bytes: int = HAND_OVER_BYTES * 4
    ) -> Iterator[Batch | None]:
        """Parse journal records into batches that end where a segment ends, at the latest.

        A None in between is a chance for other tasks to run.
        """
        out, oldest_ns, size, last = Records(), 0, 0, None
        work = 0
        for record in records:
            work += len(record.payload) + YIELD_BYTES // YIELD_EVERY
            if work > YIELD_BYTES:
                work = 0
                yield None
            if last is not None and (
                record.position.segment != last.segment or size >= most_bytes or out.items >= self._batch_rows
            ):
                yield Batch(out, last.segment, last.offset, oldest_ns, size)
                out, oldest_ns, size = Records(), 0, 0
            if self._damaged:
                self._damaged = False
                normaliser.damaged(record.received_ns, out)
            apply(record, normaliser, out)
            oldest_ns = oldest_ns or record.received_ns
            size += len(record.payload)
            last = record.end
        if last is not None:
            yield Batch(out, last.segment, last.offset, oldest_ns, size)
