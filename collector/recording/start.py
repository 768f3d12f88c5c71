"""Finds out, at a start and after a restore, how far the tables are, and which frames are neither there nor in the
journal.

The database holds the journal's position. Three things may be wrong with it. The journal may have lost its end, or be
an older copy: then the position is after its end. The journal may be gone: then sessions are open in the tables that it
does not know. And the database may have been restored to so old a state that the journal does not hold the following
frames any more. In each case gaps are opened for what is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import NamedTuple

import orjson
import structlog

from collector.clock import Clock
from collector.journal import BEGINNING, Journal, Kind, Position, Record
from collector.journal.segments import SegmentSource, numbers
from collector.model import Records
from collector.normalise.apply import apply
from collector.normalise.gaps import KILLED, RESTORED, Coverage, Gaps
from collector.normalise.normaliser import Normaliser
from collector.normalise.wanted import Key, WantedStreams
from collector.recording.intake import JournalledIntake
from collector.store.place import StoredPlace
from collector.store.writer import OpenSession, Writer
from collector.venues.header import Covered

log = structlog.get_logger()

# A running collector gives a sign of life every five seconds: after this long without one, its sessions are taken over.
ABANDONED_MIN_SECONDS = 10.0
# Where it is not known up to when received frames are in the tables, those received this long before the last commit
# are taken to be in them: frames are committed within a minute, except while the database is away.
COMMIT_DELAY_MAX_US = 60_000_000
JOURNAL_LOST = "the journal that held its end is gone"
JOURNAL_BEGINS_LATER = "the journal no longer holds what the database lacks"
# Records that are read before other tasks get their turn.
RECORDS_PER_TURN_MAX = 200


class Start(NamedTuple):
    """Where writing goes on."""

    position: Position
    normaliser: Normaliser
    """Parsers in the state that they had there."""
    records: Records | None
    """Records to be committed first, at that position; None where the database has the position already."""
    newest_ns: int = 0
    """All received until then (nanoseconds) is in the tables or in gaps; 0: unchanged."""
    skipped: bool = False
    """Whether frames before it are in neither the tables nor the journal."""


class Starting:
    """Finds the start. `read` reads a part of the journal, `turn` is called while that takes its time."""

    def __init__(
        self,
        journal: Journal,
        intake: JournalledIntake,
        writer: Writer,
        new_normaliser: Callable[[], Normaliser],
        clock: Clock,
        *,
        read: Callable[[Position, Position], Iterator[Record]],
        turn: Callable[[], None],
    ) -> None:
        self._journal = journal
        self._intake = intake
        self._writer = writer
        self._new_normaliser = new_normaliser
        self._clock = clock
        self._read = read
        self._turn = turn

    async def find(self, reach: Callable[[Position], None], *, first: bool) -> Start:
        """Find how far the tables are, and bring parsers into the state that they had there.

        `reach` is called with the position as soon as it is known. `first`: this run has committed nothing yet.
        """
        held = await self._writer.stored_place()
        if first and not self._journal.last_session:
            # A new journal does not know the sessions in the tables, and our clock may have been set back since.
            # Sessions opened meanwhile are not affected: their numbers are the clock's microseconds.
            self._intake.number_after(await self._writer.last_session())
        saved = held.position if held else BEGINNING
        # Frames of this run's own segments are in the tables only if this run has committed them.
        end_lost = saved > (self._journal.begin if first else self._journal.end)
        start = await self._at_the_end(saved) if end_lost else saved
        oldest = await self._oldest()
        begins_later = start.segment < oldest
        if begins_later and held:
            log.error(
                "journal_begins_after_position",
                position=start,
                oldest_segment=oldest,
                remedy="what was received in between is recorded as gaps, and fetched from the venues' "
                "history where they have one",
            )
        start = max(start, Position(oldest, 0))
        reach(start)
        normaliser = await self._warmed_up(start, oldest)
        asked = await self._writer.wanted_streams()
        ours = [wanted for wanted, silent_seconds in asked if silent_seconds is None]
        normaliser.gaps = Gaps(await self._writer.open_gaps(), ours)
        if held is not None and not end_lost and not begins_later:
            return Start(start, normaliser, None)
        out, carried_to_us = Records(), 0
        if begins_later:
            start = self._carry(start, normaliser)
            carried_to_us = self._began_us(oldest)
            await self._tell_lost(held, normaliser, carried_to_us, out)
        await self._close_abandoned(normaliser, carried_to_us, out)
        await self._take_over(normaliser, out)
        if out:
            log.error(
                "journal_lost",
                sessions=len(out.sessions),
                gaps=len(out.gaps),
                remedy="what was received after the last commit is recorded as gaps, and fetched from the "
                "venues' history where they have one",
            )
        return Start(start, normaliser, out, carried_to_us * 1000, begins_later)

    async def _oldest(self) -> int:
        """Return the oldest segment's number; waits for the disk where this run's first segment is the oldest."""
        journal = self._journal
        present = numbers(journal.directory)
        if journal.written <= journal.begin and (not present or present[0] >= journal.begin.segment):
            await journal.sync(journal.end)
            present = numbers(journal.directory)
        return present[0]

    async def _at_the_end(self, saved: Position) -> Position:
        begin = self._journal.begin
        log.error(
            "position_past_journal",
            position=saved,
            began_at=begin,
            remedy="the journal has lost its end, or is an older copy; everything that is received from "
            "now on is stored",
        )
        # This run reuses the numbers of segments that are gone, and their counts must not be mixed.
        await self._writer.set_aside(begin.segment, f"lost before {begin.segment}")
        return begin

    async def _warmed_up(self, start: Position, oldest: int) -> Normaliser:
        """Return parsers that have read the segment before: they tell equal trades apart by counting them."""
        normaliser, scratch = self._new_normaliser(), Records()
        for number, record in enumerate(self._read(Position(max(oldest, start.segment - 1), 0), start)):
            apply(record, normaliser, scratch)
            if not number % RECORDS_PER_TURN_MAX:
                scratch = Records()
                self._turn()
                await asyncio.sleep(0)
        return normaliser

    # -- what the journal no longer holds ------------------------------------------------------------------------------

    def _carry(self, start: Position, normaliser: Normaliser) -> Position:
        """Let the sessions begin that are carried into the oldest segment; return the place behind them."""
        for record in self._read(start, self._journal.end):
            if record.kind is not Kind.CARRY:
                break
            apply(record, normaliser, Records())
            start = record.end
        return start

    def _began_us(self, segment: int) -> int:
        with SegmentSource.find(self._journal.directory, segment) as source:
            return source.info().created_ns // 1000

    async def _tell_lost(self, held: StoredPlace | None, normaliser: Normaliser, to_us: int, out: Records) -> None:
        """Open gaps for what carried sessions received before the oldest segment, into which they are carried."""
        known = await self._writer.known_sessions(normaliser.sessions.keys())
        since_us = 0 if held is None else _certain_us(held)
        for number, session in normaliser.sessions.items():
            if number not in known:
                out.sessions.append(session.describe())
            elif held is None:
                continue  # its rows were written under another name of the journal
            from_us = max(session.opened_ns // 1000, since_us)
            if from_us < to_us:
                normaliser.gaps.lost(session.coverage.keys(), RESTORED, from_us, to_us, out, JOURNAL_BEGINS_LATER)

    async def _close_abandoned(self, normaliser: Normaliser, carried_to_us: int, out: Records) -> None:
        """Close sessions that are open in the tables and whose end is in no journal.

        What they covered is missing from shortly before their last commit: until `carried_to_us` where a session that
        the journal carries covers it too, else until a later session does.
        """
        held = set().union(*(session.coverage.keys() for session in normaliser.sessions.values()))
        for abandoned in await self._abandoned(normaliser):
            session, last_us = abandoned.session, abandoned.last_us
            out.sessions.append(session._replace(closed_us=max(last_us, session.opened_us), reason=JOURNAL_LOST))
            from_us = max(session.opened_us, last_us - (0 if abandoned.exact else COMMIT_DELAY_MAX_US))
            keys = _covered(abandoned)
            if from_us < carried_to_us:
                both = [key for key in keys if key in held]
                normaliser.gaps.lost(both, RESTORED, from_us, carried_to_us, out, JOURNAL_BEGINS_LATER)
            normaliser.gaps.begin([key for key in keys if key not in held], KILLED, JOURNAL_LOST, from_us, out)

    async def _take_over(self, normaliser: Normaliser, out: Records) -> None:
        """Take over the wanted streams of a collector that is gone: its journal was lost or renamed."""
        own, taken = [], []
        for wanted, silent_seconds in await self._writer.wanted_streams():
            if silent_seconds is None:
                own.append(wanted)
            elif silent_seconds >= ABANDONED_MIN_SECONDS:
                taken.append(wanted)
        out.wanted += taken
        normaliser.gaps.wanted = WantedStreams([*own, *taken])

    async def _abandoned(self, normaliser: Normaliser) -> list[OpenSession]:
        """Return the open sessions that no running collector owns; waits where signs of life have to be awaited."""
        ours = normaliser.sessions.keys() | self._intake.normaliser.sessions.keys()

        async def others() -> list[OpenSession]:
            return [one for one in await self._writer.open_sessions() if one.session.session_id not in ours]

        found = await others()
        silent = [one.silent_seconds for one in found if one.silent_seconds is not None]
        if silent and min(silent) < ABANDONED_MIN_SECONDS:
            await self._clock.sleep(ABANDONED_MIN_SECONDS - min(silent))
            found = await others()
        return [one for one in found if one.silent_seconds is None or one.silent_seconds >= ABANDONED_MIN_SECONDS]


def _certain_us(held: StoredPlace) -> int:
    """Return the time up to which all received frames are certainly in the tables."""
    return held.updated_us - COMMIT_DELAY_MAX_US if held.received_us is None else held.received_us


def _covered(abandoned: OpenSession) -> list[Key]:
    subscriptions = orjson.loads(abandoned.session.details).get("subscriptions", [])
    covered = [Covered(channel, stream, tuple(symbols)) for channel, stream, symbols in subscriptions]
    return Coverage(abandoned.session.venue, covered).keys()
