"""The way from the journal to the writer, at the places where it could miss something."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from collector.clock import SystemClock
from collector.journal import Journal, JournalOptions, Kind, Position, RealDisk, Record
from collector.model import Gap, Instrument, Records, Trade
from collector.normalise.apply import apply, tell_orphans
from collector.normalise.normaliser import Normaliser
from collector.recording.changes import TableChanges
from collector.recording.intake import JournalledIntake
from collector.recording.recorder import CHASED_MAX_BYTES, HAND_OVER_MAX_BYTES, Recorder
from collector.recording.session import JournalledSession
from collector.recording.statistics import Statistics
from collector.store.batch import Batch, Committed, TableCount
from collector.store.place import StoredPlace
from collector.store.writer import OpenSession, WantedStream, Writer
from collector.venues.adapter import Adapter
from collector.venues.events import Event
from collector.venues.rest import RestAnswer, RestCall
from tests.kit.headers import session_header
from tests.kit.stage import until

BTC = Instrument("v", "BTC")
HEADER = {"venue": "v", "adapter": "v"}


class NumberParser:
    """Makes a trade of each frame, which is a number."""

    def __init__(self) -> None:
        self.last_seen: dict[str, dict[str, int]] = {}

    def frame(self, payload: bytes, received_ns: int, out: Records) -> Sequence[Event]:
        out.trades.append(Trade(BTC, received_ns // 1000, int(payload[:10]), None, "1", "1", 1, received_ns // 1000))
        out.items += 1
        return ()

    def rest(
        self, channel: str, params: Mapping[str, str], body: bytes, received_ns: int, out: Records
    ) -> Sequence[Event]:
        return self.frame(body, received_ns, out)

    def beat(self, received_ns: int, out: Records) -> None: ...

    def fork(self) -> NumberParser:
        return NumberParser()


class NumberAdapter:
    @staticmethod
    def parser(_: Mapping[str, Any]) -> NumberParser:
        return NumberParser()


class HeldWriter:
    """Remembers what it is given, as fast as it is let to."""

    def __init__(self, position: Position | None = None) -> None:
        self.saved = position
        self.keys: list[int] = []
        self.greatest_session = 0
        self.open = asyncio.Event()
        self.open.set()

    async def stored_place(self) -> StoredPlace | None:
        await self.open.wait()
        return None if self.saved is None else StoredPlace(self.saved, None, 0, None, None, 0.0, None)

    async def open_gaps(self) -> list[Gap]:
        return []

    async def open_sessions(self) -> list[OpenSession]:
        return []

    async def wanted_streams(self) -> list[WantedStream]:
        return []

    async def known_sessions(self, numbers: Collection[int]) -> set[int]:
        return set(numbers)

    async def last_session(self) -> int:
        return self.greatest_session

    async def set_aside(self, segment: int, why: str) -> None: ...

    async def give_sign_of_life(self, received_ns: int) -> None: ...

    async def commit(self, batch: Batch) -> Committed:
        await self.open.wait()
        self.keys += [trade.trade_key for trade in batch.records.trades]
        self.saved = batch.position
        count = len(batch.records.trades)
        return Committed({"trades": TableCount(count, count, 0, 0)})


class RefusingDisk(RealDisk):
    """A disk that is full while `full` is set."""

    def __init__(self) -> None:
        self.full = threading.Event()
        self.refused = threading.Event()

    def create(self, path: Path) -> int:
        self._obey()
        return super().create(path)

    def write_at(self, fd: int, data: memoryview, offset: int) -> int:
        self._obey()
        return super().write_at(fd, data, offset)

    def _obey(self) -> None:
        if self.full.is_set():
            self.refused.set()
            raise OSError(errno.ENOSPC, "No space left on device")


class Line:
    """A recorder with all its parts, and one session that is fed by hand."""

    def __init__(self, journal: Journal, writer: HeldWriter) -> None:
        def new() -> Normaliser:
            return Normaliser(lambda _: cast(Adapter[Any], NumberAdapter))

        clock = SystemClock()
        self.journal = journal
        self.intake = JournalledIntake(journal, new(), clock, batch_rows=1000, queue_bytes=1 << 20)
        self.recorder = Recorder(
            journal,
            self.intake,
            cast(Writer, writer),
            new,
            Statistics(),
            TableChanges(),
            clock,
            batch_rows=1000,
            flush_seconds=0.01,
            rename=lambda: None,
        )
        self.session: JournalledSession = self.intake.open(session_header(HEADER))
        self._sent = 0

    def receive(self, count: int, *, bytes_each: int = 100) -> None:
        for _ in range(count):
            self.session.frame(b"%010d" % self._sent + b" " * (bytes_each - 10), SystemClock.now_ns())
            self._sent += 1

    @property
    def sent(self) -> list[int]:
        return list(range(self._sent))

    async def drained(self) -> None:
        """End as the daemon does."""
        self.session.close("stopped")
        self.recorder.drain()

    async def live(self) -> None:
        await until(lambda: self.intake.live, "live batches")


@asynccontextmanager
async def line(folder: Path, writer: HeldWriter, *, disk: RealDisk | None = None) -> AsyncIterator[Line]:
    """All parts running; when the block ends, everything that was received has to be written within a few seconds."""
    options = JournalOptions(segment_bytes=1 << 20, sync_interval_s=0.01, compress=False)
    journal = await Journal.open(
        folder, options, now_ns=SystemClock.now_ns, disk=disk, delays=lambda: iter([0.01] * 999)
    )
    try:
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            keeping = group.create_task(journal.run())
            made = Line(journal, writer)
            recording = group.create_task(made.recorder.run())
            yield made
            await made.drained()
            await recording
            keeping.cancel()
    finally:
        await journal.close()


async def test_everything_received_is_written_once_whether_behind_or_live(tmp_path: Path) -> None:
    writer = HeldWriter()
    async with line(tmp_path, writer) as on:
        on.receive(5000)
        await on.live()
        on.receive(5000)
        writer.open.clear()
        on.receive(40_000)  # four segments, and more than the queue takes
        assert not on.intake.live
        writer.open.set()
        await on.live()
        on.receive(10)
    assert writer.keys == on.sent


@pytest.mark.parametrize("ahead", [0, 1, 5])
async def test_position_beyond_the_journal_skips_nothing_of_this_run(tmp_path: Path, ahead: int) -> None:
    first = HeldWriter()
    async with line(tmp_path, first) as on:
        on.receive(10)
    assert first.saved is not None
    # The database remembers more than the journal holds: an older copy of it was put back.
    writer = HeldWriter(Position(first.saved.segment + 1 + ahead, 300))
    writer.open.clear()
    async with line(tmp_path, writer) as on:
        on.receive(5000)  # before the database tells where it stands
        await on.journal.sync(on.journal.end)
        writer.open.set()
        await on.live()
        on.receive(5)
    assert writer.keys == on.sent


async def test_disk_that_is_full_while_catching_up_holds_the_recorder_and_does_not_end_it(tmp_path: Path) -> None:
    disk, writer = RefusingDisk(), HeldWriter()
    writer.open.clear()
    async with line(tmp_path, writer, disk=disk) as on:
        on.receive(1000)
        await on.journal.sync(on.journal.end)
        disk.full.set()
        on.receive(1000)
        writer.open.set()
        assert await asyncio.to_thread(disk.refused.wait, 5)
        await asyncio.sleep(0.05)
        disk.full.clear()
        await on.live()
    assert writer.keys == on.sent


async def test_what_a_full_disk_holds_is_committed_so_that_it_can_give_way(tmp_path: Path) -> None:
    disk, writer = RefusingDisk(), HeldWriter()
    writer.open.clear()
    async with line(tmp_path, writer, disk=disk) as on:
        on.receive(30_000)  # three segments
        await on.journal.sync(on.journal.end)
        on_disk = on.journal.end
        disk.full.set()
        on.receive(1000)
        writer.open.set()
        await until(lambda: on.journal.committed == on_disk, "what is on the disk in the tables")
        assert disk.full.is_set()
        assert writer.keys == list(range(30_000))
        disk.full.clear()
        await on.live()
    assert writer.keys == on.sent


async def test_a_disk_that_is_full_at_the_very_first_start_is_waited_for(tmp_path: Path) -> None:
    disk, writer = RefusingDisk(), HeldWriter()
    disk.full.set()
    async with line(tmp_path, writer, disk=disk) as on:
        assert on.journal.refusal is not None
        on.receive(10)
        await asyncio.sleep(0.05)
        disk.full.clear()
        await on.live()
    assert writer.keys == on.sent


async def test_sessions_of_a_new_journal_are_numbered_after_those_in_the_tables(tmp_path: Path) -> None:
    writer = HeldWriter()
    writer.greatest_session = 2 * SystemClock.now_ns() // 1000  # our clock was ahead when that was opened
    async with line(tmp_path, writer) as on:
        await on.live()
        sessions = [on.intake.open(session_header(HEADER))._session.session_id for _ in range(3)]
        on.receive(1)
    assert sessions == [writer.greatest_session + 1, writer.greatest_session + 2, writer.greatest_session + 3]

    writer.greatest_session *= 2  # of another collector, while the journal knows its own
    async with line(tmp_path, writer) as on:
        await on.live()
        assert on.intake.open(session_header(HEADER))._session.session_id < writer.greatest_session


async def test_catching_up_comes_to_an_end_while_more_arrives_than_a_hand_over_takes(tmp_path: Path) -> None:
    writer = HeldWriter()
    async with line(tmp_path, writer) as on:
        commit = writer.commit

        async def slow(batch: Batch) -> Committed:
            # While this batch is written, more arrives than may be left for a hand-over.
            if not on.intake.live:
                on.receive(200, bytes_each=HAND_OVER_MAX_BYTES // 100)
            return await commit(batch)

        writer.commit = slow  # type: ignore[method-assign]
        on.receive(1000)
        async with asyncio.timeout(5):
            await on.live()
    assert writer.keys == on.sent


async def test_what_arrives_while_a_long_backlog_is_worked_off_is_not_gathered_in_memory(tmp_path: Path) -> None:
    writer = HeldWriter()
    async with line(tmp_path, writer) as on:
        commit, parsed, most = writer.commit, 0, 0
        batches = on.recorder._batches

        def counted(*given: Any) -> Iterator[Batch | None]:
            nonlocal parsed, most
            for batch in batches(*given):
                parsed += 0 if batch is None else batch.size
                most = max(most, parsed)
                yield batch

        async def slow(batch: Batch) -> Committed:
            nonlocal parsed
            parsed = max(0, parsed - batch.size)
            if on.journal.distance(batch.position) < 10 << 20 and len(writer.keys) < 20_000:
                on.receive(1000, bytes_each=1000)  # as much as is written
            return await commit(batch)

        on.recorder._batches = counted  # type: ignore[method-assign, assignment]
        writer.commit = slow  # type: ignore[method-assign]
        on.receive(10_000, bytes_each=1000)
        await on.live()
        assert most < 2 * CHASED_MAX_BYTES
    assert writer.keys == on.sent


async def test_answers_are_cut_into_batches_while_nobody_writes(tmp_path: Path) -> None:
    writer = HeldWriter()
    writer.open.clear()
    async with line(tmp_path, writer) as on:
        for number in range(3000):
            answer = RestAnswer(200, {}, b"%010d" % number, SystemClock.now_ns())
            on.session.rest(RestCall("trades", "http://v"), answer)
            assert on.intake.out.items <= 1000
        writer.open.set()
    assert writer.keys == list(range(3000))


async def test_frames_of_a_session_are_all_counted_by_a_reader_that_begins_segments_later(tmp_path: Path) -> None:
    writer = HeldWriter()
    async with line(tmp_path, writer) as on:
        await on.live()
        on.receive(60_000)  # six segments
        await on.journal.sync(on.journal.end)
        last = on.journal.end.segment
        normaliser, out = Normaliser(lambda _: cast(Adapter[Any], NumberAdapter)), Records()
        for record in on.journal.read(Position(last - 1, 0)):
            apply(record, normaliser, out)
        [session] = normaliser.sessions.values()
        assert session.frames == 60_000
        assert len(out.trades) < 30_000
        assert "frames" not in session.header.own


async def test_frames_without_a_session_are_told_once_for_a_segment(tmp_path: Path) -> None:
    normaliser, out = Normaliser(lambda _: cast(Adapter[Any], NumberAdapter)), Records()

    def frame(segment: int, session: int) -> Record:
        return Record(Position(segment, 32), Position(segment, 64), 1, session, Kind.FRAME, b"1")

    with capture_logs() as logs:
        for segment, session in [(1, 7)] * 100 + [(1, 8)] * 50 + [(2, 7)] * 10:
            apply(frame(segment, session), normaliser, out)
        tell_orphans(normaliser)
        tell_orphans(normaliser)
    told = [(log["segment"], log["sessions"], log["frames"]) for log in logs]
    assert told == [(1, [7, 8], 150), (2, [7], 10)]
    assert len(out.quarantine) == out.items == 160


async def test_journal_that_cannot_be_read_for_a_while_is_read_again_from_the_last_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.recording.recorder.UNREADABLE_RETRY_SECONDS", 0.01)
    writer = HeldWriter()
    async with line(tmp_path, writer) as on:
        await on.live()
        refused = 0
        read = on.journal.read

        def fails_in_the_middle(*span: Any, **how: Any) -> Iterator[Record]:
            nonlocal refused
            for number, record in enumerate(read(*span, **how)):
                if number == 2500 and refused < 3:
                    refused += 1
                    raise OSError(errno.EMFILE, "Too many open files")
                yield record

        monkeypatch.setattr(on.journal, "read", fails_in_the_middle)
        writer.open.clear()
        on.receive(40_000)  # more than the queue takes
        assert not on.intake.live
        with capture_logs() as logs:
            writer.open.set()
            await on.live()
            on.receive(10)
    assert refused == 3
    assert [entry["event"] for entry in logs].count("journal_unreadable") == 3
    assert sorted(set(writer.keys)) == on.sent
