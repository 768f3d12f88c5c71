"""One venue's one-minute candles, fetched for the audit where the configuration does not record them.

They are facts like everything that is received: they go through the journal and the parsers, in a session of their own,
into the table `candles`. Calls draw on the venue's budget behind its live work, wait for its repairs, and are no more
a minute than the settings allow. What cannot be fetched is not judged, and said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, NamedTuple

import structlog
from aiolimiter import AsyncLimiter

from collector.audit.minutes import MINUTE
from collector.audit.subjects import Piece
from collector.backoff import Backoff
from collector.clock import Clock
from collector.errors import VenueError
from collector.feed.intake import Intake, LiveSession
from collector.feed.rest import RestClient
from collector.model import Instrument
from collector.repair.repairer import CORRECTABLE_STATUSES, history_header
from collector.venues.adapter import Venue

log = structlog.get_logger()

# Before candles of an instrument are asked for again that the venue refused.
REFUSED_PAUSE_SECONDS = 3600.0
# Where the venue refuses the candles of a longer span than this, that past is given up and only newer candles are
# fetched.
REFUSED_SPAN_MIN = timedelta(minutes=10)
# How often it is checked what is due, at least.
LOOK_INTERVAL_MAX_SECONDS = 60.0
# How often the audit is told of new candles while there are many to fetch.
PROGRESS_INTERVAL_SECONDS = 10.0
# After a call that failed.
RETRY_DELAY_SECONDS = 5.0
# Before the first look: the venue's REST client is made by then.
START_DELAY_SECONDS = 1.0
# Some venues name all of a hundred symbols in a reason.
REASON_MAX_CHARACTERS = 200


class Lack(NamedTuple):
    """Minutes of an instrument of which candles are not recorded: from `since` on, and before `until`."""

    instrument_id: int
    instrument: Instrument
    since: datetime
    until: datetime


class FetchOptions(NamedTuple):
    """Settings of a `CandleFetcher`; see `collector.config.models.Audit`."""

    calls_per_minute: float
    delay_seconds: float


class _Batch(NamedTuple):
    """What is asked for at once: minutes of some instruments; `until` does not belong to them."""

    lacks: tuple[Lack, ...]
    since: datetime
    until: datetime
    again: bool = False
    """Whether all of it was fetched before."""


class CandleFetcher:
    """Runs beside a venue's worker.

    `rest` gives the worker's client, `committed` returns when everything received until now is in the tables, `behind`
    when nothing is being repaired, or after a while; `wake` is called when more was fetched.
    """

    def __init__(
        self,
        venue: Venue[Any],
        options: FetchOptions,
        *,
        rest: Callable[[], RestClient | None],
        intake: Intake,
        committed: Callable[[], Awaitable[None]],
        behind: Callable[[], Awaitable[None]],
        wake: Callable[[], object],
        clock: Clock,
        random: Random,
    ) -> None:
        self.venue = venue
        self._settings = venue.settings
        self._options = options
        self._rest = rest
        self._intake = intake
        self._committed = committed
        self._behind = behind
        self._wake = wake
        self._clock = clock
        self._limiter = AsyncLimiter(1.0, 60.0 / options.calls_per_minute)
        self._backoff = Backoff(random)
        self._woken = asyncio.Event()
        self._session: LiveSession | None = None
        self._lacks: dict[int, Lack] = {}
        self._fetched: dict[int, Piece] = {}
        self._refused: dict[int, tuple[float, str]] = {}
        """When an instrument is asked for again, and why not now."""
        self._again: dict[tuple[int, datetime], None] = {}
        """Minutes to fetch once more; in order."""
        self._failure = ""
        self._told_refusals: dict[int, str] = {}
        self._told_at = 0.0

    def __repr__(self) -> str:
        return f"<CandleFetcher {self.venue.name} lacking={len(self._lacks)} refused={len(self._refused)}>"

    @property
    def trouble(self) -> str:
        """Why the last call failed, or else what the venue refuses of an instrument; empty while all is well."""
        return self._failure or next((reason for _, reason in self._refused.values()), "")

    @property
    def instruments(self) -> int:
        """Those whose candles are fetched."""
        return len(self._lacks)

    @property
    def refused(self) -> int:
        """Those of which the venue refuses them."""
        return len(self._refused)

    @property
    def refusals(self) -> list[tuple[str, str]]:
        """The symbols of which the venue refuses them, and what it says."""
        return [(self._lacks[number].instrument.symbol, reason) for number, (_, reason) in self._refused.items()]

    @property
    def behind_minutes(self) -> int:
        """How many minutes that are due are not there yet, of the instrument that lags most."""
        late = self._late()
        return (self._end - late[0][0]) // MINUTE if late else 0

    def settings_changed(self) -> None:
        """Go by the venue's settings as they are now."""
        if self.venue.settings != self._settings:
            self._settings = self.venue.settings
            self._end_session()

    def want(self, lacks: Iterable[Lack]) -> None:
        """Fetch for these instruments and no others; what was fetched of them already stays known."""
        self._lacks = {lack.instrument_id: lack for lack in lacks}
        fetched = {}
        for number, lack in self._lacks.items():
            since, until = self._fetched.get(number, (lack.since, lack.since))
            fetched[number] = (lack.since, lack.since) if until < lack.since else (since, until)
        self._fetched = fetched
        self._refused = {number: refusal for number, refusal in self._refused.items() if number in fetched}
        self._again = {key: None for key in self._again if key[0] in fetched}
        self._woken.set()

    def fetched(self, instrument_id: int) -> Piece | None:
        """Return the minutes whose candles, and those of their neighbours, are in the tables: from when on, and before
        when. Nothing from before will come any more. None where none are fetched.

        The last one waits for the next: some venues count a trade at the edge in the minute that follows.
        """
        if (found := self._fetched.get(instrument_id)) is None:
            return None
        since, until = found
        return since, until if until >= self._lacks[instrument_id].until else max(since, until - MINUTE)

    def look_again(self, instrument_id: int, minute: datetime) -> None:
        """Fetch one minute once more: its candle may have been told too early."""
        if instrument_id in self._lacks:
            self._again[instrument_id, minute] = None
            self._woken.set()

    def start_over(self) -> None:
        """What was fetched may not be in the tables any more."""
        self._fetched = {number: (lack.since, lack.since) for number, lack in self._lacks.items()}

    async def run(self) -> None:
        """Fetch until cancelled."""
        try:
            while True:
                try:
                    await self._advance()
                except VenueError as error:
                    pause = self._backoff.next()
                    before, self._failure = self._failure, _shortened(error)
                    if self._failure != before:
                        log.warning(
                            "candles_not_fetched",
                            venue=self.venue.name,
                            reason=self._failure,
                            next_try_s=round(pause, 1),
                        )
                    await self._clock.sleep(pause)
                except Exception as error:
                    # A bug of ours: loud, and the end of neither the audit nor the recording.
                    self._failure = f"{type(error).__name__}: {error}"
                    log.exception("candle_fetch_failed", venue=self.venue.name, reason=self._failure)
                    await self._clock.sleep(RETRY_DELAY_SECONDS)
        finally:
            self._end_session()

    # -- what there is to do -------------------------------------------------------------------------------------------

    async def _advance(self) -> None:
        if (batch := self._next()) is None:
            await self._rest_a_while()
            return
        if self._rest() is None:  # its worker does not run yet
            await self._clock.sleep(START_DELAY_SECONDS)
            return
        await self._take(batch)
        self._backoff.reset()
        self._failure = ""
        if not self._late() or self._clock.monotonic() - self._told_at >= PROGRESS_INTERVAL_SECONDS:
            self._told_at = self._clock.monotonic()
            self._wake()

    @property
    def _end(self) -> datetime:
        """The end of the newest minute that is over for long enough."""
        now = datetime.fromtimestamp(self._clock.now_ns() / 1e9 - self._options.delay_seconds, UTC)
        return now.replace(second=0, microsecond=0)

    def _late(self) -> list[tuple[datetime, int]]:
        """Return up to when the candles are there and of what, where that is too little; the farthest behind first."""
        end = self._end
        return sorted(
            (self._fetched[number][1], number)
            for number, lack in self._lacks.items()
            if number not in self._refused and self._fetched[number][1] < min(lack.until, end)
        )

    def _next(self) -> _Batch | None:
        now = self._clock.monotonic()
        self._refused = {number: refusal for number, refusal in self._refused.items() if refusal[0] > now}
        calls = self.venue.adapter.minute_calls
        if late := self._late():
            since = late[0][0] - MINUTE  # once more: it may have been told too early
            count = calls.at_once((self._end - since) // MINUTE)
            lacks = tuple(self._lacks[number] for _, number in late[:count])
            return _Batch(lacks, since, min(self._end, since + calls.bars * MINUTE))
        for number, minute in self._again:
            return _Batch((self._lacks[number],), minute - MINUTE, minute + 2 * MINUTE, again=True)
        return None

    async def _rest_a_while(self) -> None:
        due = self._end + MINUTE + timedelta(seconds=self._options.delay_seconds)
        seconds = min(max(0.0, due.timestamp() - self._clock.now_ns() / 1e9), LOOK_INTERVAL_MAX_SECONDS)
        async with asyncio.TaskGroup() as group:
            alarm_clock = group.create_task(self._wake_after(seconds))
            await self._woken.wait()
            alarm_clock.cancel()
        self._woken.clear()

    async def _wake_after(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._woken.set()

    # -- doing it ------------------------------------------------------------------------------------------------------

    async def _take(self, batch: _Batch) -> None:
        """Fetch a batch; where one of several is refused, find out which."""
        try:
            await self._fetch(batch)
        except VenueError as error:
            if not error.permanent:
                raise
            if len(batch.lacks) == 1:
                self._refuse(batch, error)
                return
            if error.code in CORRECTABLE_STATUSES:  # refused to us, whatever is asked for
                raise
            half = len(batch.lacks) // 2
            for lacks in (batch.lacks[:half], batch.lacks[half:]):
                await self._take(batch._replace(lacks=lacks))
            return
        for number in (lack.instrument_id for lack in batch.lacks):
            if batch.again:
                self._again.pop((number, batch.since + MINUTE), None)
            elif number in self._fetched:
                since, until = self._fetched[number]
                self._fetched[number] = since, max(until, batch.until)

    async def _fetch(self, batch: _Batch) -> None:
        rest = self._rest()
        assert rest is not None
        from_us, to_us = (int(time.timestamp()) * 1_000_000 for time in (batch.since, batch.until - MINUTE))
        instruments: Sequence[Instrument] = [lack.instrument for lack in batch.lacks]
        calls = self.venue.minutes(instruments, from_us, to_us)
        await rest.of(self._open_session()).drive(calls, before=self._politely)
        await self._committed()

    async def _politely(self) -> None:
        await self._behind()
        if self._intake.full:
            await self._intake.room()
        await self._limiter.acquire()

    def _refuse(self, batch: _Batch, error: VenueError) -> None:
        """Leave one instrument alone for a while, or the part of its past that the venue does not have."""
        [lack] = batch.lacks
        number, reason = lack.instrument_id, _shortened(error)
        if batch.again:
            self._again.pop((number, batch.since + MINUTE), None)
        elif lack.until <= self._end:  # candles are recorded by now
            self._fetched[number] = lack.until, lack.until
        elif batch.until - batch.since > REFUSED_SPAN_MIN and error.code not in CORRECTABLE_STATUSES:
            self._fetched[number] = self._end - MINUTE, self._end - MINUTE
        else:
            self._refused[number] = self._clock.monotonic() + REFUSED_PAUSE_SECONDS, reason
        if self._told_refusals.get(number) != reason:
            self._told_refusals[number] = reason
            log.warning(
                "candles_refused",
                venue=self.venue.name,
                symbol=lack.instrument.symbol,
                since=batch.since.isoformat(),
                until=batch.until.isoformat(),
                reason=reason,
            )

    # -- the session that the answers belong to ------------------------------------------------------------------------

    def _open_session(self) -> LiveSession:
        if self._session is None:
            self._session = self._intake.open(history_header(self.venue, "audit"))
        return self._session

    def _end_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close("nothing more is fetched for the audit")


def _shortened(error: VenueError) -> str:
    reason = str(error)
    return reason if len(reason) <= REASON_MAX_CHARACTERS else f"{reason[:REASON_MAX_CHARACTERS]}.."
