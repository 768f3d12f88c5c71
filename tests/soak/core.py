"""The heart of a daemon without venues: journal, intake, recorder and writer, fed by hand, killed without a word."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import Any

import orjson

from collector import venues
from collector.clock import SystemClock
from collector.feed.intake import LiveSession
from collector.journal import Journal, JournalOptions, Kind, Position
from collector.journal.identity import JournalIdentity
from collector.normalise.entries import Started, encode_note
from collector.normalise.normaliser import Normaliser
from collector.recording.changes import TableChanges
from collector.recording.intake import JournalledIntake
from collector.recording.recorder import Recorder
from collector.recording.statistics import Statistics
from collector.store.writer import Writer
from tests.kit.headers import session_header

OPTIONS = JournalOptions(segment_bytes=64 << 10, compress=False, write_interval_s=0.005, sync_interval_s=0.02)
# Small, so that the intake falls behind again and again.
QUEUE_BYTES = 64 << 10
SYMBOLS = ("BTCUSDT", "ETHUSDT", "LTCUSDT")
VENUE = "fmfw"


class Core:
    """One run after another on one folder."""

    def __init__(self, folder: Path, dsn: str, random: Random) -> None:
        self._folder = folder
        self._dsn = dsn
        self._random = random
        self._clock = SystemClock()
        self._tasks: list[asyncio.Task[None]] = []
        self._sessions: list[LiveSession] = []
        self._sent: list[tuple[Position, int]] = []
        self.durable: set[int] = set()
        """Trade ids whose frames were forced to the disk: whatever happens later, they have to be in the tables."""
        self._next_id = 1
        self.journal: Journal
        self.intake: JournalledIntake
        self.recorder: Recorder
        self.writer: Writer

    @staticmethod
    def new_normaliser() -> Normaliser:
        return Normaliser(venues.find)

    async def start(self) -> None:
        """Begin a run."""
        self.journal = await Journal.open(self._folder, OPTIONS, now_ns=self._clock.now_ns)
        self.journal.append(self.journal.last_session, Kind.NOTE, self._clock.now_ns(), encode_note(Started([VENUE])))
        identity = JournalIdentity(self._folder)
        self.writer = Writer(lambda: self._dsn, identity, longest_wait_seconds=0.05)
        self.intake = JournalledIntake(
            self.journal, self.new_normaliser(), self._clock, batch_rows=200, queue_bytes=QUEUE_BYTES
        )
        self.recorder = Recorder(
            self.journal,
            self.intake,
            self.writer,
            self.new_normaliser,
            Statistics(),
            TableChanges(),
            self._clock,
            batch_rows=200,
            flush_seconds=0.01,
            rename=identity.rename,
        )
        self._tasks = [asyncio.ensure_future(self.journal.run()), asyncio.ensure_future(self.recorder.run())]
        since_ns = self._clock.now_ns()
        self.intake.wanted(VENUE, [(since_ns, stream, SYMBOLS) for stream in ("trades", "ticks")], whole=True)

    def healthy(self) -> None:
        """Fail where a part has ended."""
        for task in self._tasks:
            if task.done():
                task.result()
                raise AssertionError("a part has ended")

    async def kill(self) -> None:
        """End a run as the kernel does: what was not written is gone, what is half done stays so."""
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        self.healthy_end()
        self.writer.database.drop()
        self.journal._archive.stop()
        await self.journal._release()
        self._sessions.clear()
        self._sent.clear()

    def healthy_end(self) -> None:
        for task in self._tasks:
            if not task.cancelled() and task.exception() is not None:
                raise AssertionError("a part had failed") from task.exception()

    # -- what venues do ------------------------------------------------------------------------------------------------

    def do_something(self) -> None:
        """Let a line come or go, or bring frames."""
        dice = self._random.random()
        if not self._sessions or (dice < 0.05 and len(self._sessions) < 3):
            self._open()
        elif dice < 0.1:
            session = self._sessions.pop(self._random.randrange(len(self._sessions)))
            session.close(self._random.choice(["the line was cut", "stopped"]))
        elif dice < 0.2:
            self._random.choice(self._sessions).beat(self._clock.now_ns())
        elif dice < 0.25:
            self._receive(b"}{ this is not JSON %d" % self._next_id)
        else:
            for _ in range(self._random.randrange(1, 200)):
                self._trade()

    def _open(self) -> None:
        told = {
            "venue": VENUE,
            "adapter": "fmfw",
            "worker": "fmfw-1",
            "url": "ws://made/ws",
            "symbols": list(SYMBOLS),
            "subscriptions": [["trades", "trades", list(SYMBOLS)]],
        }
        self._sessions.append(self.intake.open(session_header(told)))
        if self._random.random() < 0.7:
            answer = {"result": {"ch": "trades", "subscriptions": list(SYMBOLS)}, "id": 1}
            self._receive(orjson.dumps(answer), self._sessions[-1])

    def _trade(self) -> None:
        now_ms = self._clock.now_ns() // 1_000_000
        number, self._next_id = self._next_id, self._next_id + 1
        # Some that say the same and have no id of their own: which of them is which, only their order tells.
        twin = self._random.random() < 0.2
        item: dict[str, Any] = {"t": now_ms, "p": "100.5", "q": "2", "s": "buy"}
        item |= {"i": now_ms} if twin else {"i": number, "q": f"{number}"}
        symbol = self._random.choice(SYMBOLS)
        self._receive(orjson.dumps({"ch": "trades", "update": {symbol: [item]}}))
        if not twin:
            self._sent.append((self.journal.end, number))

    def _receive(self, payload: bytes, session: LiveSession | None = None) -> None:
        (session or self._random.choice(self._sessions)).frame(payload, self._clock.now_ns())

    def note_durable(self) -> None:
        """Remember what has been forced to the disk by now."""
        durable = self.journal.durable
        self.durable.update(number for position, number in self._sent if position <= durable)
        self._sent = [entry for entry in self._sent if entry[0] > durable]

    async def caught_up(self, seconds: float = 300.0) -> None:
        """Wait until all that was received is in the tables."""
        try:
            async with asyncio.timeout(seconds):
                await self.journal.sync(self.journal.end)
                while not self.intake.settled:
                    self.healthy()
                    await asyncio.sleep(0.01)
        except TimeoutError:
            waiting = f"{self.intake}, {self.journal}, {self.writer}, committed {self.recorder.committed}"
            raise AssertionError(f"not settled: {waiting}") from None
        self.note_durable()
