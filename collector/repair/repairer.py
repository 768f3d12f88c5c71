"""Repairs one venue's gaps from the venue's history, beside its live recording.

Gaps and their outcomes are in the table `gaps`, so that a restart loses nothing. Answers go through the journal and the
parsers like all frames, and a gap counts as repaired only when they are in the tables. A long gap is filled by the hour
and queued again after each, so that a short gap never waits for more than an hour's trades. Gaps that follow each other
closely are fetched together.

A venue that is down is asked again for ever. A gap is closed without a repair only if the venue says that it does not
have the data.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from enum import StrEnum
from random import Random
from typing import Any, NamedTuple

import structlog
from aiolimiter import AsyncLimiter

from collector.backoff import BACKOFF_MAX_SECONDS, Backoff
from collector.clock import Clock
from collector.errors import CollectorError, VenueError
from collector.feed.failures import AdapterFailures, Place
from collector.feed.intake import Intake, LiveSession
from collector.feed.rest import RestClient
from collector.model import Instrument
from collector.repair.ledger import Ledger
from collector.repair.line import LANES, Line
from collector.repair.stretches import Stretch, stretches
from collector.store.errors import DatabaseError
from collector.venues.adapter import Venue
from collector.venues.header import SessionHeader

log = structlog.get_logger()

# How often the table of gaps is read without a signal that it changed: another process may have changed it.
LOOK_SECONDS = 60.0
# A venue's history may be this much behind its live stream: a call that is made sooner may miss the end of a gap.
HISTORY_DELAY_SECONDS = 1.0
# A gap up to this length waits for `HISTORY_DELAY_SECONDS`. Of a longer one the beginning is fetched meanwhile, and its
# end again where that came too soon.
SHORT_GAP_MAX_US = 20_000_000
# Fetched in addition on either side of a gap: its ends are by our clock, and the venue's history is by its own.
MARGIN_US = 5_000_000
# A longer gap is fetched in pieces of an hour, each of which is committed before the next.
PIECE_MAX_US = 3_600_000_000

# The longest delay between two tries of a gap that the venue refuses until somebody has corrected something.
PERMANENT_FAILURE_PAUSE_MAX_SECONDS = 3600.0

# A wrong token or address will be corrected some day: such a refusal does not make a gap unrecoverable.
CORRECTABLE_STATUSES = frozenset({"401", "403", "404", "405"})


class RepairOptions(NamedTuple):
    """Settings of a `Repairer`; see `collector.config.models.Repair`."""

    max_age_seconds: float | None
    calls_per_second: float


class RepairState(StrEnum):
    IDLE = "idle"
    REPAIRING = "repairing"
    WAITING = "waiting"  # the last try failed; it will be tried again


class Repairer:
    """Repairs the gaps of one venue beside its worker.

    `rest` returns the worker's client. `committed` returns when everything received until now is in the tables.
    `settled` is called when gaps were closed, as repaired or as unrecoverable.
    """

    def __init__(
        self,
        venue: Venue[Any],
        options: RepairOptions,
        *,
        rest: Callable[[], RestClient | None],
        intake: Intake,
        committed: Callable[[], Awaitable[None]],
        settled: Callable[[], object],
        ledger: Ledger,
        clock: Clock,
        random: Random,
    ) -> None:
        self.venue = venue
        self._options = options
        self._rest = rest
        self._intake = intake
        self._committed = committed
        self._tell_settled = settled
        self._ledger = ledger
        self._clock = clock
        self._random = random
        self._limiter = bucket(options.calls_per_second)
        self._streams = venue.adapter.historic | venue.adapter.partly_historic
        self._backoff = Backoff(random)
        self._woken = asyncio.Event()
        self._over = asyncio.Event()
        self._session: LiveSession | None = None
        self._line = Line()
        self._held: set[int] = set()
        self._again: dict[int, tuple[float, Backoff]] = {}
        self.repaired = 0
        """Gaps closed as repaired since the start."""
        self.lost = 0
        """Gaps closed as unrecoverable since the start."""
        self.rows = 0
        """Rows that repairs have found since the start."""
        self.trouble = ""
        """Why the last try failed; empty after one that succeeded."""

    def __repr__(self) -> str:
        return f"<Repairer {self.venue.name} waiting={self.waiting} repaired={self.repaired} lost={self.lost}>"

    @property
    def waiting(self) -> int:
        """Gaps that are being repaired or wait for it."""
        return len(self._held) + len(self._again)

    @property
    def state(self) -> RepairState:
        """What it does now."""
        if self.trouble:
            return RepairState.WAITING
        return RepairState.REPAIRING if self.waiting else RepairState.IDLE

    def wake(self) -> None:
        """Read the table of gaps now, since it has changed."""
        self._woken.set()

    def start_over(self) -> None:
        """Forget what was read from the table, since another state of the database was restored."""
        self._over.set()

    async def run(self) -> None:
        """Repair until cancelled."""
        while True:
            self._over.clear()
            try:
                async with asyncio.TaskGroup() as group:
                    self._forget()
                    group.create_task(self._end_when_over(), name=f"{self.venue.name} start over")
                    for trades, lanes in LANES.items():
                        for number in range(lanes):
                            lane = f"{self.venue.name} {'trades' if trades else 'others'} {number + 1}"
                            group.create_task(self._work(group, trades=trades), name=lane)
                    await self._look_on()
            except* _StartOver:
                pass  # the gaps are read from the table again
            except* DatabaseError as errors:
                self._trouble("repair_waits_for_database", errors.exceptions[0])
            except* Exception as errors:
                # A bug of ours: it is logged as such, and ends neither the recording of the venue nor the daemon.
                log.exception("repair_failed", venue=self.venue.name, reason=str(errors.exceptions[0]))
            finally:
                self._end_session()
                await self._ledger.close()
            await self._clock.sleep(self._backoff.next())

    async def _end_when_over(self) -> None:
        await self._over.wait()
        raise _StartOver

    def _forget(self) -> None:
        self._line = Line()
        self._held.clear()
        self._again.clear()

    def _trouble(self, event: str, error: BaseException, **facts: object) -> None:
        if str(error) != self.trouble:
            self.trouble = str(error)
            log.warning(event, venue=self.venue.name, reason=self.trouble, **facts)

    # -- what there is to do -------------------------------------------------------------------------------------------

    async def _look_on(self) -> None:
        await self._committed()
        while True:
            self._woken.clear()
            await self._look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._woken.wait()

    async def _look(self) -> None:
        lost = await self._ledger.hopeless(self.venue.name, self._streams)
        if lost:
            self._intake.gaps_closed(lost)
            await self._committed()
            self.lost += len(lost)
            log.info("gaps_without_history", venue=self.venue.name, gaps=len(lost))
            self._tell_settled()
        age = self._options.max_age_seconds
        earliest_us = 0 if age is None else self._clock.now_ns() // 1000 - int(age * 1e6)
        found = await self._ledger.missing(self.venue.name, self._streams, earliest_us)
        present = {gap.gap_id for gap in found}
        self._again = {number: value for number, value in self._again.items() if number in present}
        now = self._clock.monotonic()
        due = [
            gap for gap in found if gap.gap_id not in self._held and self._again.get(gap.gap_id, (now, None))[0] <= now
        ]
        self._held.update(gap.gap_id for gap in due)
        for stretch in stretches(due, apart_us=2 * MARGIN_US, longest_us=PIECE_MAX_US):
            self._line.put(stretch)
        self._backoff.reset()

    # -- doing it ------------------------------------------------------------------------------------------------------

    async def _work(self, group: asyncio.TaskGroup, *, trades: bool) -> None:
        while True:
            stretch = await self._line.take(trades=trades)
            try:
                if not trades:
                    await self._line.trades_are_through()
                await self._advance(stretch, group)
            finally:
                self._line.done(stretch)
                if self._line.idle:
                    self._end_session()

    async def _advance(self, stretch: Stretch, group: asyncio.TaskGroup) -> None:
        """Fill a stretch, or the next piece of a gap that is longer than one."""
        short = stretch.to_us - stretch.done_us <= SHORT_GAP_MAX_US
        if short:
            await self._settled(stretch)
        for gap in stretch.gaps:
            if gap.done_us == gap.from_us:
                await self._ledger.begin(gap, self._clock.now_ns() // 1000)
        until_us = min(stretch.done_us + PIECE_MAX_US, stretch.to_us)
        too_soon = until_us == stretch.to_us and not short and self._unsettled(stretch) > 0
        try:
            await self._fetch(stretch.instrument, stretch.stream, stretch.done_us - MARGIN_US, until_us + MARGIN_US)
            if too_soon:
                await self._settled(stretch)
                end_us = stretch.to_us - round(HISTORY_DELAY_SECONDS * 1e6)
                await self._fetch(stretch.instrument, stretch.stream, end_us - MARGIN_US, until_us + MARGIN_US)
            with self._calling():
                whole = self.venue.whole_past(stretch.instrument, stretch.stream)
        except VenueError as error:
            if not error.permanent or error.code in CORRECTABLE_STATUSES:
                await self._put_off(stretch, error, group)
            elif len(stretch.gaps) > 1:
                # The refusal may concern only one of them: try each alone.
                for gap in stretch.gaps:
                    self._line.put(Stretch((gap,)))
            else:
                await self._committed()
                await self._settle(stretch, error.reason)
            return
        await self._committed()
        self.trouble = ""
        if until_us < stretch.to_us:
            (gap,) = stretch.gaps
            await self._ledger.progress(gap, until_us)
            self._line.put(Stretch((gap._replace(done_us=until_us),)))
        elif not whole:
            await self._settle(stretch, f"of {stretch.stream} the venue keeps only a part, which was fetched")
        else:
            await self._settle(stretch)

    def _unsettled(self, stretch: Stretch) -> float:
        """Return for how many seconds the venue's history may lack the end of a gap."""
        return stretch.to_us / 1e6 + HISTORY_DELAY_SECONDS - self._clock.now_ns() / 1e9

    async def _settled(self, stretch: Stretch) -> None:
        early = self._unsettled(stretch)
        if early > 0:
            await self._clock.sleep(min(early, HISTORY_DELAY_SECONDS))

    async def _fetch(self, instrument: Instrument, stream: str, from_us: int, to_us: int) -> None:
        rest = self._rest()
        if rest is None:
            raise VenueError(self.venue.name, "its worker does not run yet")
        with self._calling():
            history = self.venue.history(instrument, stream, from_us, to_us)
            session = self._open_session()
        await rest.of(session).drive(history, before=self._politely)

    def _calling(self) -> AbstractContextManager[None]:
        rest = self._rest()
        failures = AdapterFailures(self.venue.name) if rest is None else rest.failures
        return failures.calling(Place.HISTORY, CollectorError)

    async def look_up(self, instrument: Instrument, stream: str, from_us: int, to_us: int) -> None:
        """Fetch and store a span that no gap asks for, within the same limits. Raises `VenueError`."""
        line = self._line
        try:
            with line.busy():
                await self._fetch(instrument, stream, from_us, to_us)
                await self._committed()
        finally:
            if line is self._line and line.idle:
                self._end_session()

    async def idle(self, longest_seconds: float) -> None:
        """Return when nothing is being repaired, at the latest after these seconds."""
        await self._line.is_idle(longest_seconds)

    async def _politely(self) -> None:
        if self._intake.full:
            await self._intake.room()
        await self._limiter.acquire()

    async def _put_off(self, stretch: Stretch, error: VenueError, group: asyncio.TaskGroup) -> None:
        # If only a person can correct it, a call each minute is of no use, and may cost money.
        longest = PERMANENT_FAILURE_PAUSE_MAX_SECONDS if error.permanent else BACKOFF_MAX_SECONDS
        _, backoff = self._again.get(stretch.gaps[0].gap_id, (0.0, Backoff(self._random)))
        backoff.longest = longest
        pause = backoff.next()
        self._trouble("repair_put_off", error, stream=stretch.stream, next_try_s=round(pause, 1))
        for gap in stretch.gaps:
            await self._ledger.put_off(gap, str(error))
        due = self._clock.monotonic() + pause
        for gap in stretch.gaps:
            self._held.discard(gap.gap_id)
            self._again[gap.gap_id] = (due, backoff)
        group.create_task(self._wake_after(pause))

    async def _wake_after(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self.wake()

    async def _settle(self, stretch: Stretch, lost_because: str | None = None) -> None:
        lost = lost_because is not None
        now_us = self._clock.now_ns() // 1000
        outcomes = [await self._ledger.outcome(gap, now_us, lost=lost, note=lost_because) for gap in stretch.gaps]
        closed = [outcome for outcome in outcomes if outcome is not None]
        if closed:
            self._intake.gaps_closed(closed)
            await self._committed()
        for gap, outcome in zip(stretch.gaps, outcomes, strict=True):
            self._held.discard(gap.gap_id)
            self._again.pop(gap.gap_id, None)
            if outcome is None:  # it was closed by another process meanwhile
                continue
            rows = outcome.rows
            self.rows += rows or 0
            if lost:
                self.lost += 1
            else:
                self.repaired += 1
            log.info(
                "gap_unrecoverable" if lost else "gap_repaired",
                venue=self.venue.name,
                symbol=gap.instrument.symbol,
                stream=gap.stream,
                rows=rows,
                reason=lost_because,
                seconds=round((gap.to_us - gap.from_us) / 1e6, 1),
            )
        self._tell_settled()

    # -- the session that the answers belong to --------------------------------------------------------------------

    def _open_session(self) -> LiveSession:
        if self._session is None:
            self._session = self._intake.open(history_header(self.venue, "repair"))
        return self._session

    def _end_session(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            session.close("nothing left to repair")


class _StartOver(Exception):  # noqa: N818  no error: a way out of all lanes at once
    """What was read from the table is not true any more."""


def history_header(venue: Venue[Any], purpose: str) -> SessionHeader:
    """Return the header of a session that fetches history. It covers no stream, so that its end begins no gap."""
    return SessionHeader(venue.name, venue.adapter.name, own=venue.history_header(), worker=f"{venue.name}-{purpose}")


def bucket(per_second: float) -> AsyncLimiter:
    """Return a limiter that holds the calls of one second, or one call where the rate is lower."""
    return AsyncLimiter(per_second, 1.0) if per_second >= 1 else AsyncLimiter(1.0, 1.0 / per_second)
