"""Lives of a journal on a machine that fails at random, and the book of what must have survived them."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random

from collector.journal import (
    CorruptRecord,
    DamagedJournal,
    Disk,
    Journal,
    JournalOptions,
    Kind,
    Position,
    Record,
)
from collector.journal.layout import HEADER_BYTES
from collector.journal.opening import take

from .machine import Death, Faults, Machine

SMALL = JournalOptions(segment_bytes=1500, write_interval_s=0.001, sync_interval_s=0.002, buffer_bytes=4000)
# Of a record, all included.
LARGEST_BYTES = 400
START_NS = 1_700_000_000_000_000_000
# A disk that fails now and then takes what it is given in so many attempts, or is put right by then.
ATTEMPTS = 30


def no_delays() -> Iterator[float]:
    """Try again almost at once."""
    return itertools.repeat(0.0005)


class Book:
    """What was put into the journal, and how much of it must still be there."""

    def __init__(self) -> None:
        self.records: dict[Position, bytes] = {}
        self.committed = Position(0, 0)
        self.last_session = 0
        """The highest number of a session whose beginning was read last."""
        self._made = 0

    def add(self, journal: Journal, random: Random) -> None:
        """Record something."""
        self._made += 1
        payload = b"%08d:" % self._made + random.randbytes(
            random.choice([0, 20, random.randint(0, LARGEST_BYTES - 34)])
        )
        kind = Kind.FRAME if random.random() < 0.9 else Kind.OPEN
        journal.append(self._made, kind, START_NS + self._made, payload)
        end = journal.end
        self.records[Position(end.segment, end.offset - 25 - len(payload))] = payload

    def compare(self, found: Iterable[Record], required: Position, first: int) -> set[Position]:
        """Hold what was read against what was written; returns the places of what was read."""
        end = Position(0, 0)
        seen = set()
        self.last_session = 0
        for record in found:
            assert record.position >= end, "nothing is delivered twice, and everything in order"
            end = record.end
            if record.kind in (Kind.FRAME, Kind.OPEN):
                assert self.records.get(record.position) == record.payload, f"{record.position}: never written there"
                seen.add(record.position)
            if record.kind is Kind.OPEN:
                self.last_session = max(self.last_session, record.session)
        missing = [place for place in self.records if place.segment >= first and place < required and place not in seen]
        assert not missing, f"lost: {missing[:3]}, required up to {required}, read up to {end}"
        return seen

    def forget(self, gone: Callable[[Position], bool]) -> None:
        """What is gone must never be seen again."""
        self.records = {place: payload for place, payload in self.records.items() if not gone(place)}


class Lives:
    """One journal after another in the same folder."""

    def __init__(self, folder: Path, seed: int, options: JournalOptions = SMALL) -> None:
        self.random = Random(seed)
        self.machine = Machine(folder, self.random)
        self.book = Book()
        self.options = options
        self.synced = Position(0, 0)
        """Up to here everything survives a power cut,"""
        self.written = Position(0, 0)
        """and up to here a kill."""
        self.counts: Counter[str] = Counter()
        self.now_ns = START_NS
        self.slow_seconds = 0.0
        """How long a call takes at the most on a disk that is slow."""
        self._torn: list[tuple[Position, Position]] = []
        """Spans that a death has left unfinished: there may be holes in them."""

    def trouble(self) -> Faults:
        """Choose what goes wrong for a while."""
        random = self.random
        if random.random() < 0.3:
            return Faults()
        return Faults(
            slow_seconds=self.slow_seconds if random.random() < 0.3 else 0.0,
            refused=random.choice([0.0, 0.02, 0.2, 0.6]),
            short=random.choice([0.0, 0.3]),
            lost=random.choice([0.0, 0.1, 0.5]),
        )

    def open(self) -> Journal:
        """Begin a process, on a disk that is put right after some attempts in vain."""
        for attempt in range(ATTEMPTS):
            if attempt == ATTEMPTS - 1:
                self.machine.faults, self.machine.capacity = Faults(), None
            disk = self.machine.boot()
            self._lost_with_memory()
            self.now_ns += 10**9
            with contextlib.suppress(OSError):
                return begin(self.machine.folder, self.options, lambda: self.now_ns, disk)
            self.counts["refused opening"] += 1
        raise AssertionError("a disk without a fault refuses the journal")

    async def open_journal(self) -> Journal:
        """Do what `open` does, as the daemon does."""
        for attempt in range(ATTEMPTS):
            if attempt == ATTEMPTS - 1:
                self.machine.faults, self.machine.capacity = Faults(), None
            disk = self.machine.boot()
            self._lost_with_memory()
            self.now_ns += 10**9
            with contextlib.suppress(OSError):
                return await Journal.open(
                    self.machine.folder, self.options, now_ns=lambda: self.now_ns, disk=disk, delays=no_delays
                )
            self.counts["refused opening"] += 1
        raise AssertionError("a disk without a fault refuses the journal")

    def died(self, *, power: bool) -> None:
        """End the process."""
        if power:
            self.machine.cut_power()
            self.written = self.synced
        else:
            self.machine.kill()
        self._lost_with_memory()

    def _lost_with_memory(self) -> None:
        if self.machine.spoilt:
            self.written = self.synced
            self.machine.spoilt = False

    def opened(self, journal: Journal) -> None:
        """A process begins: what the one before had not made sure of may have holes."""
        assert not [place for place in self.book.records if journal.begin <= place < self.written]
        self.synced, self.written = min(self.synced, journal.begin), min(self.written, journal.begin)
        self._torn.append((self.synced, journal.begin))
        self.book.forget(lambda place: place >= journal.begin)

    def survived(self, journal: Journal) -> bool:
        """Hold what the folder has against the book, once the journal has seen to it; tell whether it has."""
        first = self.book.committed.segment  # what lies before it may be deleted any time
        start = Position(first, 0)
        if not journal._writer.begun:
            self.book.compare(self.read(journal, journal.begin, start), min(self.written, journal.written), first)
            return False
        seen = self.book.compare(self.read(journal, journal.begin, start), self.written, first)
        assert journal.last_session >= self.book.last_session, "numbers of sessions rise whatever happens"
        # What was deleted may be seen again: a power cut may bring it back.
        self.book.forget(lambda place: first <= place.segment and place < journal.begin and place not in seen)
        self.synced = self.written = journal.begin
        return True

    def read(self, journal: Journal, end: Position | None = None, start: Position | None = None) -> Iterator[Record]:
        """Read all there is; damage is where a death has left it, and nowhere else."""
        return journal.read(start, end, on_corrupt=self._damaged)

    def _damaged(self, damage: DamagedJournal) -> None:
        place = Position(damage.segment, max(damage.offset, HEADER_BYTES))
        assert any(start <= place < end for start, end in self._torn), damage
        assert isinstance(damage, CorruptRecord)
        assert damage.resumes_at is not None, f"an end that was not cut: {damage}"


def begin(folder: Path, options: JournalOptions, now_ns: Callable[[], int], disk: Disk) -> Journal:
    """Do what `Journal.open` does, without an event loop."""
    return Journal(folder, options, take(folder, options, now_ns, disk), no_delays)


class Steps:
    """A life without threads and clocks, which is the same again for the same seed."""

    def __init__(self, lives: Lives, journal: Journal) -> None:
        self.lives = lives
        self.journal = journal
        self.random = lives.random
        lives.book.committed = journal.committed = min(lives.book.committed, journal.begin)
        lives.opened(journal)
        self.survived = lives.survived(journal)

    def take(self, count: int) -> None:
        steps = [self.append, self.append, self.write, self.sync, self.sync, self.tidy, self.read, self.weather]
        for _ in range(count):
            self.random.choice(steps)()
            if not self.survived and self.journal._writer.begun:
                self.survived = self.lives.survived(self.journal)

    def append(self) -> None:
        for _ in range(self.random.randint(1, 8)):
            if self.journal.full:
                return
            self.lives.book.add(self.journal, self.random)

    def write(self) -> None:
        self.journal._tail.seal()
        with contextlib.suppress(OSError):
            self.journal._writer.write()
            assert self.journal.written == self.journal.end
        self._note()

    def sync(self) -> None:
        self.journal._tail.seal()
        try:
            self.journal._writer.write_and_sync()
        except OSError as error:
            self.journal._flusher._refused(error)
            self.lives.counts["refused"] += 1
        else:
            self.journal._room.disk_took()
            assert self.journal.durable == self.journal.end
            if self.random.random() < 0.5:
                self.journal.committed = self.lives.book.committed = self.journal.end
        self._note()

    def _note(self) -> None:
        if self.journal._writer.begun and self.survived:
            self.lives.synced, self.lives.written = self.journal.durable, self.journal.written

    def tidy(self) -> None:
        self.journal._archive.tidy(self.journal.written.segment, self.journal.committed)

    def read(self) -> None:
        if self.survived:
            self.lives.book.compare(self.lives.read(self.journal), self.journal.written, self.journal.committed.segment)

    def weather(self) -> None:
        self.lives.machine.faults = self.lives.trouble()
        capacity = self.random.choice([None, None, 4000, 12_000])
        self.lives.machine.capacity = capacity

    def end(self) -> None:
        """Close in order, on a disk that has been put right."""
        self.lives.machine.faults, self.lives.machine.capacity = Faults(), None
        self.sync()
        assert self.journal.durable == self.journal.end
        assert self.survived or self.lives.survived(self.journal)


def live(folder: Path, seed: int, count: int) -> Counter[str]:
    """Let a journal live so many lives, each ended by a kill, a power cut or in order; return what went wrong."""
    lives = Lives(folder, seed)
    machine, random = lives.machine, lives.random
    for _ in range(count):
        machine.faults = lives.trouble()
        journal: Journal | None = None
        with contextlib.suppress(Death):
            try:
                journal = lives.open()
                steps = Steps(lives, journal)
                if random.random() < 0.7:
                    machine.fuse = random.randint(1, 300)
                steps.take(random.randint(5, 60))
                if random.random() < 0.2:
                    machine.fuse = None
                    steps.end()
            finally:
                if journal is not None:
                    journal._lock.release()
        lives.died(power=random.random() < 0.5)
    return machine.injected + lives.counts
