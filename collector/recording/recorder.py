"""Commits batches from the queue, or from the journal, and moves the journal's position in the database.

While the database keeps up, the recorder commits the batches that the intake queues. If it did not keep up (it was
away, or slow), or if it is not known yet how far the tables are (after a start), the recorder reads the journal from
there to its end. At that point it hands over to live batches, so that no frame is left out and none is committed twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING

import structlog

from collector.clock import Clock
from collector.journal import BEGINNING, DamagedJournal, Journal, JournalUnwritable, Position, Record
from collector.model import Records
from collector.normalise.apply import apply, tell_orphans
from collector.normalise.normaliser import Normaliser
from collector.recording.changes import TableChanges
from collector.recording.mode import Behind, Live
from collector.recording.start import RECORDS_PER_TURN_MAX, Starting
from collector.recording.statistics import Statistics
from collector.store.batch import Batch
from collector.store.errors import DatabaseWentBackError, JournalNameGoneError
from collector.store.place import SIGN_OF_LIFE_SECONDS
from collector.store.writer import Writer

if TYPE_CHECKING:
    from collector.recording.intake import JournalledIntake

log = structlog.get_logger()

# A remainder of the journal up to this size is parsed in one go, before any live frame: some milliseconds.
HAND_OVER_MAX_BYTES = 256 * 1024
# Journal bytes that make one batch while catching up.
CATCH_UP_CHUNK_BYTES = 1024 * 1024
# Between two tries to read the journal where its files cannot be opened or read.
UNREADABLE_RETRY_SECONDS = 1.0
# How often the growing end of the journal is parsed without waiting for commits in between, before catching up starts
# over. Each time the remainder is shorter, unless frames arrive faster than they can be parsed.
CHASES_MAX = 8
# Bytes of frames that are parsed in that way at most: until they are committed they are in memory.
CHASED_MAX_BYTES = 4 * 1024 * 1024
# Bytes that are parsed before other tasks get their turn. Bytes, not records: a snapshot holds a thousand items.
BYTES_PER_TURN_MAX = 32 * 1024


class Recorder:
    """Owns the writer and the journal's position."""

    def __init__(
        self,
        journal: Journal,
        intake: JournalledIntake,
        writer: Writer,
        new_normaliser: Callable[[], Normaliser],
        statistics: Statistics,
        changes: TableChanges,
        clock: Clock,
        *,
        batch_rows: int,
        flush_seconds: float,
        rename: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._intake = intake
        self._queue, self._accounts = intake.queue, intake.accounts
        self._writer = writer
        self._new_normaliser = new_normaliser
        self._statistics = statistics
        self._changes = changes
        self._clock = clock
        self._batch_rows = batch_rows
        self._flush_seconds = flush_seconds
        self._rename = rename
        self._starting = Starting(
            journal, intake, writer, new_normaliser, clock, read=self._read_until, turn=self._turn
        )
        self._placed = False
        """Whether this run knows where the tables end."""
        self.committed: Position | None = None
        """How far the journal is in the tables; None until that is known."""
        self._moved = asyncio.Event()
        self._working_ns: int | None = None
        self.busy = False
        """Whether it waits for the disk or the database, and not for new batches."""
        self.turns = 0
        """Grows while the journal is read."""
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
        if isinstance(self._intake.mode, Live):
            return self._intake.oldest_waiting_ns
        return self._working_ns

    async def run(self) -> None:
        """Write until cancelled; after `drain` return as soon as everything is committed."""
        async with asyncio.TaskGroup() as group:
            cutter = group.create_task(self._cut_regularly())
            while True:
                try:
                    await self._start()
                    await self._write_on()
                except DatabaseWentBackError as error:
                    log.warning(
                        "database_went_back",
                        reason=str(error),
                        remedy="everything since then that is still in the journal is written again",
                    )
                    self._fall_back(error.position)
                    self._changes.went_back.tell()
                except OSError as error:  # raised by the journal's files: the writer itself waits for the database
                    log.error(  # noqa: TRY400  the text says it all
                        "journal_unreadable",
                        reason=str(error),
                        remedy="recording continues; reading is tried again from the last commit on",
                    )
                    self._fall_back(self.committed)
                    await self._clock.sleep(UNREADABLE_RETRY_SECONDS)
                except JournalNameGoneError as error:
                    log.warning(
                        "journal_name_lost",
                        reason=str(error),
                        remedy="the journal gets a new name, and its rows are written once more; rows that "
                        "are there stay as they are",
                    )
                    self._rename()
                    self._writer.begin_anew()
                    self._fall_back(None)
                    self._changes.went_back.tell()
                else:
                    break
            cutter.cancel()

    def _fall_back(self, held: Position | None) -> None:
        """Begin again where the tables end: let nothing that is in memory be written, and nothing be deleted."""
        # No await in here: a live batch committed in between would move the position past frames that are not in the
        # tables.
        position = held or BEGINNING
        self._queue.forget()
        self._intake.fall_behind(position, None)
        self._accounts.read_again_from(position)
        self._reach(position)

    async def _start(self) -> None:
        start = await self._starting.find(self._reach, first=not self._placed)
        self._damaged = False  # all rows of frames read so far are in the tables
        if start.records is not None:
            now_ns = self._clock.now_ns()
            await self._commit(Batch(start.records, start.position, now_ns, newest_ns=start.newest_ns))
        if start.skipped:
            self._accounts.lost_before(start.position)
        self._placed = True
        self._intake.fall_behind(start.position, start.normaliser)

    async def _write_on(self) -> None:
        while True:
            mode = self._intake.mode
            if not self._queue and isinstance(mode, Behind):
                await self._catch_up(mode.position, mode.parsers or self._new_normaliser())
                continue
            try:
                async with asyncio.timeout(SIGN_OF_LIFE_SECONDS):
                    batch = await self._queue.next()
            except TimeoutError:
                await self._writer.give_sign_of_life(
                    self._clock.now_ns()
                )  # the queue is empty: all received until now is in the tables
                continue
            if batch is None:
                return
            await self._commit(batch)
            self._queue.done(batch)

    def drain(self) -> None:
        """Commit all that is left and end: nothing more will be received."""
        self._intake.cut()
        self._queue.end()

    async def _cut_regularly(self) -> None:
        while True:
            await self._clock.sleep(self._flush_seconds)
            self._intake.cut()

    async def _commit(self, batch: Batch) -> None:
        position = batch.position
        self._working_ns = batch.oldest_ns
        self.busy = True
        try:
            await self._journal.sync(position)
            committed = await self._writer.commit(batch)
        finally:
            self.busy = False
        self._reach(position)
        self._statistics.committed(batch, committed, self._clock.now_ns())
        self._accounts.committed(batch, committed)
        if batch.records.gaps:
            self._changes.gaps.tell()

    def _reach(self, position: Position) -> None:
        self.committed = self._journal.committed = position
        self._moved.set()
        self._moved = asyncio.Event()

    async def reached(self, position: Position) -> None:
        """Return once everything before this place in the journal is in the tables, however long that takes."""
        while self.committed is None or self.committed < position:
            await self._moved.wait()

    # -- from the journal --------------------------------------------------------------------------------------------

    def _read(self, start: Position, end: Position | None = None) -> Iterator[Record]:
        return self._journal.read(start, end, on_corrupt=self._report_damage)

    def _read_until(self, start: Position, end: Position) -> Iterator[Record]:
        return self._read(start, end)

    def _turn(self) -> None:
        self.turns += 1

    def _report_damage(self, damage: DamagedJournal) -> None:
        self.damages += 1
        self._damaged = True
        log.error("journal_damaged", reason=str(damage), remedy="reading continues at the next record that is intact")

    async def _catch_up(self, position: Position, normaliser: Normaliser) -> None:
        log.info("catching_up", backlog_bytes=self._journal.distance(position))
        while True:
            async for batch in self._read_on(position, normaliser):
                await self._commit(batch)
                position = batch.position
            # The journal grows while a commit waits for the disk, so its last part is parsed without committing in
            # between.
            ahead: list[Batch] = []
            for _ in range(CHASES_MAX):
                if sum(batch.size for batch in ahead) + self._journal.distance(position) > CHASED_MAX_BYTES:
                    break
                async for batch in self._read_on(position, normaliser):
                    ahead.append(batch)
                    position = batch.position
                if self._journal.distance(position) <= HAND_OVER_MAX_BYTES and self._hand_over(
                    position, normaliser, ahead
                ):
                    tell_orphans(normaliser)
                    log.info("caught_up")
                    return
            for batch in ahead:
                await self._commit(batch)

    def _hand_over(self, position: Position, normaliser: Normaliser, ahead: list[Batch]) -> bool:
        """Let live batches flow again behind `ahead` and the rest of the journal; False while the disk refuses."""
        # No await in here: the next frame must find the intake live.
        try:
            self._journal.flush_now()
        except JournalUnwritable:
            return False
        ahead += [batch for batch in self._batches(self._read(position), normaliser) if batch is not None]
        self._intake.catch_up(normaliser)
        for batch in ahead:
            self._queue.offer(batch)
        return True

    async def _read_on(self, position: Position, normaliser: Normaliser) -> AsyncIterator[Batch]:
        """Parse what the journal holds by now."""
        try:
            await self._journal.flush()
        except JournalUnwritable:  # logged by the journal, which tries again until it succeeds
            # What is on the disk can be committed all the same. On a full disk it may then be deleted to make room.
            if position >= self._journal.written:
                await self._journal.sync(self._journal.end)
        for batch in self._batches(self._read(position), normaliser, CATCH_UP_CHUNK_BYTES):
            if batch is None:
                self.turns += 1
                await asyncio.sleep(0)
            else:
                yield batch

    def _batches(
        self, records: Iterator[Record], normaliser: Normaliser, most_bytes: int = HAND_OVER_MAX_BYTES * 4
    ) -> Iterator[Batch | None]:
        """Parse journal records into batches that end where a segment ends, at the latest.

        A None in between is a chance for other tasks to run.
        """
        out, oldest_ns, newest_ns, size, last = Records(), 0, 0, 0, None
        work = 0
        for record in records:
            work += len(record.payload) + BYTES_PER_TURN_MAX // RECORDS_PER_TURN_MAX
            if work > BYTES_PER_TURN_MAX:
                work = 0
                yield None
            if last is not None and (
                record.position.segment != last.segment or size >= most_bytes or out.items >= self._batch_rows
            ):
                yield Batch(out, last, oldest_ns, size, newest_ns)
                out, oldest_ns, size = Records(), 0, 0
            if self._damaged:
                self._damaged = False
                normaliser.damaged(record.received_ns, out)
            apply(record, normaliser, out)
            oldest_ns, newest_ns = oldest_ns or record.received_ns, record.received_ns
            size += len(record.payload)
            last = record.end
        if last is not None:
            yield Batch(out, last, oldest_ns, size, newest_ns)
