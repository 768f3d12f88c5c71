"""From the feed's hands into the journal, the parsers and the writer's queue: where live frames are decoded, once.

A frame goes to the journal's buffer first and is then parsed into the current batch. Batches are cut by time, by size
and where a segment ends, and queue up for the writer. The queue is bounded in bytes of frames. When it is full,

* reading is held for as long as the queue's oldest batch is young: a short burst waits in the kernel's buffers while
  the database works at its full speed;
* but no venue waits for a database that is away or slow for longer. Then what does not fit is not kept in memory at
  all: parsing goes on, because the feed needs the events, and its records are thrown away. They are made again from
  the journal (`collector.recording.recorder`), by parsers that start in exactly the state that they had at that point.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Callable, Sequence

import orjson

from collector.clock import Clock
from collector.feed.intake import NotStrippedError
from collector.journal import Journal, Kind, Position
from collector.model import GapOutcome, Records
from collector.normalise.entries import (
    Answer,
    Asked,
    Carried,
    ClockSet,
    Closing,
    GapsClosed,
    NotKept,
    ReadSlowly,
    encode_header,
    encode_note,
)
from collector.normalise.normaliser import Normaliser, SessionParser
from collector.normalise.shown import STEP_NS
from collector.normalise.wanted import Span
from collector.recording.accounts import Accounts
from collector.store.batch import Batch
from collector.venues.events import Event
from collector.venues.header import SessionHeader
from collector.venues.rest import RestAnswer, RestCall
from collector.venues.roles import Parser

HELD_LAG_NS = 2_000_000_000
"""While the oldest batch waits for less than this, a full queue holds the reading back."""
HELD_SHARE_SECONDS = 10.0
HELD_WINDOW_SECONDS = 60.0
"""In any such window reading is held for so long at the most: a venue drops those who read too slowly."""
HELD_POLL_SECONDS = 0.05


class JournalledIntake:
    """Implements `collector.feed.intake.Intake`."""

    def __init__(
        self, journal: Journal, normaliser: Normaliser, clock: Clock, *, batch_rows: int, queue_bytes: int
    ) -> None:
        self.journal = journal
        self.normaliser = normaliser
        self._clock = clock
        self._batch_rows = batch_rows
        self._queue_bytes = queue_bytes
        self._last_session = journal.last_session
        self._queue: deque[Batch] = deque()
        self._queued = 0
        self._arrived = asyncio.Event()
        self._drained = asyncio.Event()
        self._ended = False
        self._held_since = 0.0
        self._held_seconds = 0.0
        self.out = Records()
        self.oldest_ns = 0
        self.accounts = Accounts(journal.begin)
        """What was received and what became of it."""
        self._cut_at = journal.end
        # A batch never spans segments, so that each segment's counts are its own.
        journal.call_when_full(self._cut)
        journal.call_to_carry(self._carried)
        self.behind_since: Position | None = None
        """Where the journal has to be read again from; None while live batches flow."""
        self.behind_with: Normaliser | None = None
        """The parsers as they were at `behind_since`."""

    def __repr__(self) -> str:
        state = f"behind since {self.behind_since}" if self.behind_since else "live"
        return f"<JournalledIntake {state} queued={len(self._queue)} bytes={self._queued}>"

    # -- what the feed uses ------------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        return self._queued > self._queue_bytes or self.journal.full

    async def room(self) -> None:
        await self.journal.room()
        while self._queued > self._queue_bytes and self.behind_since is None:
            began = self._clock.monotonic()
            if began - self._held_since > HELD_WINDOW_SECONDS:
                self._held_since, self._held_seconds = began, 0.0
            too_old = self._clock.now_ns() - self._queue[0].oldest_ns > HELD_LAG_NS
            if too_old or self._held_seconds > HELD_SHARE_SECONDS:
                self._cut(self.journal.end)
                self.fall_behind(self.journal.end, self.normaliser.fork())
                return
            self._drained.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HELD_POLL_SECONDS):
                    await self._drained.wait()
            self._held_seconds += self._clock.monotonic() - began

    def gaps_closed(self, outcomes: Sequence[GapOutcome]) -> None:
        self.append(0, Kind.NOTE, self._clock.now_ns(), encode_note(GapsClosed(outcomes)))
        self.out.outcomes += outcomes

    def wanted(self, venue: str, spans: Sequence[Span], *, whole: bool) -> None:
        now_ns = self._clock.now_ns()
        self.append(0, Kind.NOTE, now_ns, encode_note(Asked(venue, spans, whole)))
        self.normaliser.ask(venue, spans, now_ns, self.out, whole=whole)

    def clock_was_set(self, by_ns: int) -> None:
        """Our clock was set forward, or back, by so much a moment ago."""
        now_ns = self._clock.now_ns()
        self.append(0, Kind.NOTE, now_ns, encode_note(ClockSet(by_ns)))
        self.normaliser.clock_was_set(by_ns, now_ns, self.out)

    async def refused(self) -> tuple[str, str]:
        return await self.journal.refused()

    def open(self, header: SessionHeader, *, strip: Callable[[bytes], bytes | None] | None = None) -> JournalledSession:
        """Begin a session; its number is the time of its opening in microseconds, made unique."""
        received_ns = self._clock.now_ns()
        number = max(received_ns // 1000, self._last_session + 1)
        payload = encode_header(header)
        # What no parser can be made for must not be in the journal.
        parsed = self.normaliser.prepare(number, header, received_ns)
        self.append(number, Kind.OPEN, received_ns, payload)
        self._last_session = number
        self.normaliser.begin(parsed, self.out)
        return JournalledSession(self, parsed) if strip is None else StrippedSession(self, parsed, strip)

    def number_after(self, session: int) -> None:
        """Give sessions from now on higher numbers than that."""
        self._last_session = max(self._last_session, session)

    def _carried(self, session_id: int, description: bytes) -> bytes:
        # So that a reader that begins here counts on.
        session = self.normaliser.sessions.get(session_id)
        if session is None:
            return description
        latest_ns = session.shown.latest_ns
        set_back = latest_ns > self._clock.now_ns() + STEP_NS
        return Carried(orjson.loads(description), session.frames, latest_ns if set_back else 0).encode()

    # -- what the sessions use ---------------------------------------------------------------------------------------

    def append(self, session_id: int, kind: Kind, received_ns: int, payload: bytes) -> None:
        self.journal.append(session_id, kind, received_ns, payload)
        if not self.oldest_ns:
            self.oldest_ns = received_ns

    # -- batches -----------------------------------------------------------------------------------------------------

    @property
    def queued_bytes(self) -> int:
        """Bytes of the frames whose records wait for the writer."""
        return self._queued

    def cut_if_large(self) -> None:
        """Close the current batch when it has enough rows."""
        if self.out.items >= self._batch_rows:
            self.cut()

    def cut(self) -> None:
        """Close the current batch, whatever is in it."""
        self._cut(self.journal.end)

    def _cut(self, end: Position) -> None:
        records, self.out = self.out, Records()
        oldest_ns, self.oldest_ns = self.oldest_ns, 0
        start, self._cut_at = self._cut_at, end
        self.accounts.received(end.segment, records.items)
        if self.behind_since is not None or (not records and start == end):
            return
        size = end.offset - start.offset if end.segment == start.segment else end.offset
        now_ns = self._clock.now_ns()
        batch = Batch(records, end.segment, end.offset, oldest_ns or now_ns, size, now_ns)
        self.offer(batch)
        if self._queued > 2 * self._queue_bytes:
            self.fall_behind(end, self.normaliser.fork())

    def fall_behind(self, position: Position, normaliser: Normaliser | None) -> None:
        """From here on the journal alone remembers; what is queued already is still written.

        `normaliser` holds the parsers as they were there; None where that is still to be found out.
        """
        self.behind_since, self.behind_with = position, normaliser

    def catch_up(self, reader: Normaliser) -> None:
        """The reader of the journal has reached its very end: live batches flow again, starting here.

        What the reader knows of gaps and of our clock is the truth: it has seen the end of the former run, too.
        """
        self.normaliser.gaps, self.normaliser.shown = reader.gaps, reader.shown
        self.accounts.received(self.journal.end.segment, self.out.items)
        self.accounts.caught_up(self.journal.end)
        self.out, self.oldest_ns = Records(), 0
        self._cut_at = self.journal.end
        self.behind_since = self.behind_with = None

    def offer(self, batch: Batch) -> None:
        """Queue a batch for the writer."""
        self._queue.append(batch)
        self._queued += batch.size
        self._arrived.set()

    async def next_batch(self) -> Batch | None:
        """Return the oldest batch, waiting for one; None once `end` was called and none is left."""
        while not self._queue:
            if self._ended:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        return self._queue[0]

    def end(self) -> None:
        """Nothing more will be received."""
        self.cut()
        self._ended = True
        self._arrived.set()

    def done(self, batch: Batch) -> None:
        """The batch is committed."""
        self._queue.popleft()
        self._queued -= batch.size
        self._drained.set()

    def forget(self) -> None:
        """Drop what is queued: it will be read from the journal again."""
        self._queue.clear()
        self._queued = 0
        self._drained.set()

    @property
    def unaccounted(self) -> int:
        """Items that were received in this run, and dropped without being a row, a duplicate or in quarantine."""
        queued: Counter[int] | None = None
        if self.live:
            queued = Counter()
            for batch in self._queue:
                queued[batch.segment] += batch.records.items
        return self.accounts.unaccounted(self.journal.committed, queued)

    @property
    def oldest_waiting_ns(self) -> int | None:
        """When the oldest frame was received whose records wait for the writer; None when none waits."""
        return self._queue[0].oldest_ns if self._queue else self.oldest_ns or None

    @property
    def empty(self) -> bool:
        """Whether no batch waits for the writer."""
        return not self._queue

    @property
    def settled(self) -> bool:
        """Whether everything that was received is committed, or was found to be nothing."""
        return self.live and not self._queue and not self.out

    @property
    def live(self) -> bool:
        """Whether what is received goes to the writer directly, and not by way of the journal."""
        return self.behind_since is None


class JournalledSession:
    """Implements `collector.feed.intake.LiveSession`."""

    __slots__ = ("_append", "_intake", "_parse", "_session")

    def __init__(self, intake: JournalledIntake, session: SessionParser) -> None:
        self._intake = intake
        self._session = session
        self._parse = session.frame
        self._append = intake.append

    @property
    def parser(self) -> Parser:
        return self._session.parser

    def frame(self, payload: bytes, received_ns: int) -> Sequence[Event]:
        intake = self._intake
        self._append(self._session.session_id, Kind.FRAME, received_ns, payload)
        events = self._parse(payload, received_ns, intake.out)
        if not self._session.frames & 127:
            intake.cut_if_large()
        return events

    def rest(self, call: RestCall, answer: RestAnswer) -> Sequence[Event]:
        request = {"channel": call.channel, "params": call.told, "status": answer.status}
        self._append(self._session.session_id, Kind.REST, answer.received_ns, Answer(request, answer.body).encode())
        events = self._session.rest(request, answer.body, answer.received_ns, self._intake.out)
        self._intake.cut_if_large()
        return events

    def beat(self, received_ns: int) -> None:
        self._append(self._session.session_id, Kind.BEAT, received_ns, b"")
        self._session.beat(received_ns, self._intake.out)

    def behind(self, read_to_ns: int | None) -> None:
        note = encode_note(ReadSlowly(read_to_ns))
        self._append(self._session.session_id, Kind.NOTE, self._intake._clock.now_ns(), note)  # noqa: SLF001  as below
        self._session.behind_ns = read_to_ns

    def close(self, reason: str, cause: str | None = None) -> None:
        received_ns = self._intake._clock.now_ns()  # noqa: SLF001  the two classes are one thing
        self._append(self._session.session_id, Kind.CLOSE, received_ns, Closing(reason, cause).encode())
        self._intake.normaliser.close(self._session.session_id, reason, received_ns, self._intake.out, cause)


class StrippedSession(JournalledSession):
    """A session whose messages also carry what must not be kept; that is taken out before the journal sees them."""

    __slots__ = ("_strip",)

    def __init__(
        self, intake: JournalledIntake, session: SessionParser, strip: Callable[[bytes], bytes | None]
    ) -> None:
        super().__init__(intake, session)
        self._strip = strip

    def frame(self, payload: bytes, received_ns: int) -> Sequence[Event]:
        try:
            kept = self._strip(payload)
        except Exception as error:
            self._not_kept(len(payload), type(error).__name__, received_ns)
            raise NotStrippedError from error
        return () if kept is None else super().frame(kept, received_ns)

    def _not_kept(self, size: int, error: str, received_ns: int) -> None:
        # Not the error's text, which may quote what must not be kept.
        note = encode_note(NotKept(size, error))
        self._append(self._session.session_id, Kind.NOTE, received_ns, note)
        self._session.not_kept(size, error, received_ns, self._intake.out)
