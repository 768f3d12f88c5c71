"""Takes live frames from the feed into the journal, the parsers and the writer's queue.

A frame is first appended to the journal's buffer and then parsed into the current batch. A batch ends after some time,
at some size, and with each segment; then it waits in the writer's queue, which is bounded in bytes of frames. When the
queue is full,

* reading is held back while the queue's oldest batch is young: a short burst waits in the kernel's buffers while the
  database works at full speed;
* but venues do not wait for a database that is away, or slow for longer. Then batches are not kept in memory at all.
  Parsing goes on, because the feed needs the events, but the records are dropped. They are made again from the journal
  (`collector.recording.recorder`), by parsers that start in exactly the state that these had at that point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import orjson

from collector.clock import Clock
from collector.journal import Journal, Kind, Position
from collector.model import GapOutcome, Records
from collector.normalise.entries import (
    Asked,
    Carried,
    ClockSet,
    GapsClosed,
    encode_header,
    encode_note,
)
from collector.normalise.normaliser import Normaliser
from collector.normalise.shown import CLOCK_STEP_MIN_NS
from collector.normalise.wanted import Span
from collector.recording.accounts import Accounts
from collector.recording.mode import Behind, Live, Mode
from collector.recording.queue import BatchQueue
from collector.recording.session import JournalledSession, StrippedSession
from collector.store.batch import Batch
from collector.venues.header import SessionHeader

# Reading is held back on a full queue only while the queue's oldest batch is younger than this: short bursts are
# smoothed, but a database that is away must not stop the reading. Then the queue is given up and the journal read again
# later.
HELD_LAG_MAX_NS = 2_000_000_000
# Reading is held back for at most this much of each window: venues cut off clients that read too slowly.
HELD_PER_WINDOW_MAX_SECONDS = 10.0
HELD_WINDOW_SECONDS = 60.0
# How often the conditions above are checked while reading is held back.
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
        self._last_session = journal.last_session
        self.queue = BatchQueue(queue_bytes)
        self._held_since = 0.0
        self._held_seconds = 0.0
        self.out = Records()
        self.oldest_ns = 0
        self.accounts = Accounts(journal.begin)
        """Counts of received and committed items."""
        self._cut_at = journal.end
        # A batch never spans two segments, so that items can be counted by segment.
        journal.call_when_full(self._cut)
        journal.call_to_carry(self._carried)
        # Records go to the writer directly only once it is known how far the tables are.
        self.mode: Mode = Behind(journal.end, None)

    def __repr__(self) -> str:
        return f"<JournalledIntake {self.mode} {self.queue}>"

    # -- what the feed uses ------------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        return self.queue.full or self.journal.full

    async def room(self) -> None:
        await self.journal.room()
        while self.queue.full and self.live:
            began = self._clock.monotonic()
            if began - self._held_since > HELD_WINDOW_SECONDS:
                self._held_since, self._held_seconds = began, 0.0
            too_old = self._clock.now_ns() - (self.queue.oldest_ns or 0) > HELD_LAG_MAX_NS
            if too_old or self._held_seconds > HELD_PER_WINDOW_MAX_SECONDS:
                self._cut(self.journal.end)
                self.fall_behind(self.journal.end, self.normaliser.fork())
                return
            await self.queue.drained(HELD_POLL_SECONDS)
            self._held_seconds += self._clock.monotonic() - began

    def gaps_closed(self, outcomes: Sequence[GapOutcome]) -> None:
        self.append(0, Kind.NOTE, self._clock.now_ns(), encode_note(GapsClosed(outcomes)))
        self.out.outcomes += outcomes

    def wanted(self, venue: str, spans: Sequence[Span], *, whole: bool) -> None:
        now_ns = self._clock.now_ns()
        self.append(0, Kind.NOTE, now_ns, encode_note(Asked(venue, spans, whole)))
        self.normaliser.ask(venue, spans, now_ns, self.out, whole=whole)

    def clock_was_set(self, by_ns: int) -> None:
        """Note that our clock was set forward or back by this much a moment ago."""
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
        # Fails before the journal has the header, which no reader could make a parser for.
        parsed = self.normaliser.prepare(number, header, received_ns)
        self.append(number, Kind.OPEN, received_ns, payload)
        self._last_session = number
        self.normaliser.begin(parsed, self.out)
        return JournalledSession(self, parsed) if strip is None else StrippedSession(self, parsed, strip)

    def number_after(self, session: int) -> None:
        """Give later sessions higher numbers than this."""
        self._last_session = max(self._last_session, session)

    def _carried(self, session_id: int, description: bytes) -> bytes:
        # So that a reader that begins in this segment goes on counting frames.
        session = self.normaliser.sessions.get(session_id)
        if session is None:
            return description
        latest_ns = session.shown.latest_ns
        set_back = latest_ns > self._clock.now_ns() + CLOCK_STEP_MIN_NS
        return Carried(orjson.loads(description), session.frames, latest_ns if set_back else 0).encode()

    # -- what the sessions use ---------------------------------------------------------------------------------------

    def append(self, session_id: int, kind: Kind, received_ns: int, payload: bytes) -> None:
        self.journal.append(session_id, kind, received_ns, payload)
        if not self.oldest_ns:
            self.oldest_ns = received_ns

    def now_ns(self) -> int:
        """Return the wall clock's time."""
        return self._clock.now_ns()

    def closed(self, session_id: int, reason: str, received_ns: int, cause: str | None) -> None:
        """A session has ended."""
        self.normaliser.close(session_id, reason, received_ns, self.out, cause)

    # -- batches -----------------------------------------------------------------------------------------------------

    def cut_if_large(self) -> None:
        """End the current batch if it has enough rows."""
        if self.out.items >= self._batch_rows:
            self.cut()

    def cut(self) -> None:
        """End the current batch."""
        self._cut(self.journal.end)

    def _cut(self, end: Position) -> None:
        records, self.out = self.out, Records()
        oldest_ns, self.oldest_ns = self.oldest_ns, 0
        start, self._cut_at = self._cut_at, end
        self.accounts.received(end.segment, records.items)
        if not self.live or (not records and start == end):
            return
        size = end.offset - start.offset if end.segment == start.segment else end.offset
        now_ns = self._clock.now_ns()
        batch = Batch(records, end, oldest_ns or now_ns, size, now_ns)
        self.queue.offer(batch)
        if self.queue.overfull:
            self.fall_behind(end, self.normaliser.fork())

    def fall_behind(self, position: Position, parsers: Normaliser | None) -> None:
        """Keep records from here on only in the journal; batches in the queue are still written.

        `parsers` are in the state that they had at this position; None where the position is not known yet.
        """
        self.mode = Behind(position, parsers)

    def catch_up(self, reader: Normaliser) -> None:
        """Queue live batches again, starting here: the reader has reached the end of the journal.

        Its knowledge of gaps and of our clock replaces ours, since it has also seen the end of the run before this one.
        """
        self.normaliser.gaps, self.normaliser.shown = reader.gaps, reader.shown
        self.accounts.received(self.journal.end.segment, self.out.items)
        self.accounts.caught_up(self.journal.end)
        self.out, self.oldest_ns = Records(), 0
        self._cut_at = self.journal.end
        self.mode = Live()

    @property
    def unaccounted(self) -> int:
        """Items that were received in this run, and dropped without being a row, a duplicate or in quarantine."""
        queued = self.queue.items_by_segment() if self.live else None
        return self.accounts.unaccounted(self.journal.committed, queued)

    @property
    def oldest_waiting_ns(self) -> int | None:
        """When the oldest frame whose records wait for the writer was received; None where none waits."""
        return self.queue.oldest_ns or self.oldest_ns or None

    @property
    def settled(self) -> bool:
        """Whether everything that was received is committed, or was found to be nothing."""
        return self.live and not self.queue and not self.out

    @property
    def live(self) -> bool:
        """Whether records go to the writer directly, and not by way of the journal."""
        return isinstance(self.mode, Live)
