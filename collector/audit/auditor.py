"""Audits every minute soon after it is over, in the running daemon, behind live work.

How far it has come is in the table `audits`, so a restart goes on there. Nothing is judged before everything received
by then is in the tables: a daemon that is behind waits. A minute that nothing explains becomes a gap with the cause
`silent loss`, which the venue's repairer fills like any other; then the minute is judged again. The last minutes are
judged a few times over anyway, since trades and candles can be late.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import asyncpg
import structlog

from collector.audit.fetching import CandleFetcher, Lack
from collector.audit.losses import Alarm, Alarms, record
from collector.audit.minutes import MINUTE, MinuteAudit, Span
from collector.audit.subjects import Piece, Subject, Terms, subjects
from collector.audit.unjudged import UnjudgedGroup, grouped, unjudged
from collector.clock import Clock
from collector.model import Instrument
from collector.store.connection import connected
from collector.store.dsn import DRIVER_ERRORS
from collector.store.errors import DatabaseError, DatabaseUnreachableError
from collector.store.named import queries

log = structlog.get_logger()

# The newest minutes are judged again in each round: the candle of an open minute is awaited for five.
REJUDGED_SPAN = timedelta(minutes=6)
# The longest span that one statement judges when there is much to catch up with.
PIECE_MAX = timedelta(minutes=30)
# Between two such statements, so that other queries get their turn, and at least this much between two rounds.
PIECE_PAUSE_SECONDS = 0.5
# A round begins when the next minute is due, at the latest after this.
ROUND_INTERVAL_MAX_SECONDS = 60.0
# How old the knowledge may be of what is recorded since when, once the daemon has run longer than that.
RECORDED_SPANS_MAX_AGE = timedelta(minutes=10)
# What was recorded this short a time ago counts as still being recorded.
STILL_RECORDED_SPAN = timedelta(minutes=3)
# An instrument that traded in each of this many minutes, and in the next one not at all, is looked up at the venue.
ACTIVE_MINUTES_MIN = 5
# Bounds of these calls in one round: more would delay the audit of the other instruments.
LOOK_UPS_PER_ROUND_MAX = 20
LOOK_UPS_TIMEOUT_SECONDS = 20.0
# Older minutes without an explanation that are judged again in one round.
OLD_MINUTES_PER_ROUND_MAX = 30
# After a round that failed, mostly because the database was away.
RETRY_DELAY_SECONDS = 5.0
# Where trades are polled, a market that seems closed is polled no more often than this.
CLOSED_MARKET_POLL_SECONDS = 60.0
# Instruments are polled in turn, some more often than others: a quiet one may wait for two full turns.
TURNS_MAX = 2.0
# Shorter than `REJUDGED_SPAN`, so that each minute is still judged again after its poll.
TURN_MAX_SECONDS = 240.0
# Stands for the end of what is still being recorded.
_STILL_RECORDED_UNTIL = datetime(2100, 1, 1, tzinfo=UTC)

_SQL = queries("audit")


class AuditOptions(NamedTuple):
    """Settings of an `Auditor`; see `collector.config.models.Audit`."""

    delay_seconds: float
    catch_up_hours: float


class Auditor:
    """Runs beside the feeds. `committed` returns when all that was received until now is in the tables; `wake` is told
    the venue for which a gap was recorded, `look_up` fetches the candle of a venue's symbol and minute. `fetchers`, by
    venue, fetch candles where none are recorded."""

    def __init__(
        self,
        terms: Mapping[str, Terms],
        options: AuditOptions,
        *,
        dsn: Callable[[], str],
        committed: Callable[[], Awaitable[None]],
        wake: Callable[[str], object],
        look_up: Callable[[str, str, datetime], Awaitable[None]],
        fetchers: Mapping[str, CandleFetcher],
        clock: Clock,
    ) -> None:
        self._terms = terms
        self._options = options
        self._dsn = dsn
        self._committed = committed
        self._wake = wake
        self._look_up = look_up
        self._fetchers = fetchers
        self._clock = clock
        self._woken = asyncio.Event()
        self._subjects: list[Subject] = []
        self._began = self._refreshed = self._now()
        self._reached: dict[int, datetime] = {}
        self._restored = False
        self._last_round: datetime | None = None
        self._looked_again: set[tuple[int, datetime]] = set()
        """Minutes without a gap of candles to repair, whose candles were fetched once more."""
        self.unjudged: list[UnjudgedGroup] = []
        """What is recorded and cannot be judged, as things are configured."""
        self.last_minute: datetime | None = None
        """The newest minute that was judged; None before the first."""
        self.counts: Counter[tuple[str, str]] = Counter()
        """Verdicts reached since the start, by venue and verdict; a minute whose verdict changes counts again."""
        self.alarms = Alarms()
        self.trouble = ""
        """Why the last round failed; empty once one succeeds."""

    def __repr__(self) -> str:
        return f"<Auditor {self.last_minute} {self.alarms}>"

    def start_over(self) -> None:
        """Forget how far the audit has come, and what is recorded since when: the database tells it anew."""
        self._restored = True
        self._woken.set()

    def reconfigure(self, terms: Mapping[str, Terms]) -> None:
        """Go by other terms; what is recorded may change with them, and is looked at in each round for a while."""
        self._terms = terms
        self._began = self._now()
        self._woken.set()

    def wake(self) -> None:
        """A gap was repaired: judge again what is unexplained, if anything is."""
        if self.alarms.open:
            self._woken.set()

    def candles_fetched(self) -> None:
        """More minutes can be judged."""
        self._woken.set()

    async def run(self) -> None:
        """Audit until cancelled."""
        while True:
            try:
                await self._connected()
            except DatabaseError as error:
                if str(error) != self.trouble:
                    self.trouble = str(error)
                    log.warning("audit_waits_for_database", reason=self.trouble)
            except Exception as error:
                # A bug of ours: loud, and the end of neither the recording nor the daemon.
                self.trouble = f"{type(error).__name__}: {error}"
                log.exception("audit_failed", reason=self.trouble)
            await self._clock.sleep(RETRY_DELAY_SECONDS)

    async def _connected(self) -> None:
        try:
            async with connected(self._dsn()) as connection:
                while True:
                    await self._round(connection)
                    self.trouble = ""
                    await self._rest()
        except DRIVER_ERRORS as error:
            raise DatabaseUnreachableError(f"the audit cannot read or write: {error}") from error

    async def _rest(self) -> None:
        """Wait until another minute can be judged, or a repair is done."""
        await self._clock.sleep(PIECE_PAUSE_SECONDS)
        next_due = (self._last_round or self._due()) + 2 * MINUTE + timedelta(seconds=self._options.delay_seconds)
        seconds = min(max(0.0, (next_due - self._now()).total_seconds()), ROUND_INTERVAL_MAX_SECONDS)
        async with asyncio.TaskGroup() as group:
            alarm_clock = group.create_task(self._wake_after(seconds))
            await self._woken.wait()
            alarm_clock.cancel()
        self._woken.clear()

    async def _wake_after(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._woken.set()

    # -- one round -----------------------------------------------------------------------------------------------------

    async def _round(self, connection: asyncpg.Connection) -> None:
        last = self._due()
        await self._committed()
        if self._restored:
            self._restored = False
            self._reached, self._subjects = {}, []
            self._refreshed = self._began = self._now()
            for fetcher in self._fetchers.values():
                fetcher.start_over()
        earliest = last - timedelta(hours=self._options.catch_up_hours)
        await self._refresh(connection, earliest, last)
        audit = MinuteAudit(connection)
        await self._judge_what_is_due(audit, earliest, last)
        if self._restored:
            return
        if last != self._last_round:
            await self._ask_about_silence(connection, audit, last)
        self._last_round = last
        await self._look_after_losses(connection, audit, earliest, last)

    async def _judge_what_is_due(self, audit: MinuteAudit, earliest: datetime, last: datetime) -> None:
        asked = self._asked()
        due = {
            subject.instrument_id: piece
            for subject in self._subjects
            if (piece := self._due_of(subject, earliest, last, asked))[0] < piece[1]
        }
        start = min((since for since, _ in due.values()), default=last)
        while start <= last and due:
            until = min(start + PIECE_MAX, last + MINUTE)
            spans = []
            for subject in self._subjects:
                since, end = due.get(subject.instrument_id, (until, until))
                spans += subject.spans(max(start, since), min(until, end), self._fetched(subject))
            await self._judge(audit, spans)
            if spans:
                newest = max(span.until for span in spans) - MINUTE
                self.last_minute = max(newest, self.last_minute or newest)
            start = until
            if start <= last:
                await self._clock.sleep(PIECE_PAUSE_SECONDS)
                await self._committed()
            if self._restored:
                return
        for number, (_, end) in due.items():
            self._reached[number] = max(end - MINUTE, self._reached.get(number, earliest))

    def _due_of(self, subject: Subject, earliest: datetime, last: datetime, asked: Mapping[str, datetime]) -> Piece:
        """Return the minutes of an instrument to judge now: those of which all is known that has to be."""
        since = self._next(subject, earliest, last)
        end = min(last + MINUTE, asked.get(subject.venue, last + MINUTE))
        [(known_since, known_until)] = self._fetched(subject) or [(since, since)]
        for start, until in subject.lacking:
            awaited = max(start, since, known_since, min(known_until, until))
            if awaited < min(until, end):
                return since, awaited
        return since, end

    def _fetched(self, subject: Subject) -> list[Piece]:
        fetcher = self._fetchers.get(subject.venue)
        piece = None if fetcher is None else fetcher.fetched(subject.instrument_id)
        return [] if piece is None else [piece]

    def _next(self, subject: Subject, earliest: datetime, last: datetime) -> datetime:
        reached = self._reached.get(subject.instrument_id)
        if reached is None:
            return max(earliest, min((piece[0] for piece in (*subject.pieces, *subject.lacking)), default=earliest))
        return max(earliest, min(reached + MINUTE, last - REJUDGED_SPAN))

    async def _refresh(self, connection: asyncpg.Connection, earliest: datetime, last: datetime) -> None:
        now = self._now()
        if now - self._refreshed < RECORDED_SPANS_MAX_AGE < now - self._began:
            return
        if not self._reached:
            self._reached = {row[0]: row[1] for row in await connection.fetch(_SQL["reached"])}
        found = await subjects(connection, self._terms, now=now)
        self.unjudged = grouped(
            await unjudged(connection, found, self._terms, now - STILL_RECORDED_SPAN, rebuilt=False)
        )
        self._subjects = [_still_open(subject, now) for subject in found if subject.pieces or subject.lacking]
        self._refreshed = now
        for venue, fetcher in self._fetchers.items():
            fetcher.want(
                Lack(one.instrument_id, Instrument(venue, one.symbol), since, one.lacking[-1][1])
                for one in self._subjects
                if one.venue == venue and one.lacking
                if (since := max(self._next(one, earliest, last), one.lacking[0][0])) < one.lacking[-1][1]
            )

    async def _judge(self, audit: MinuteAudit, spans: Sequence[Span]) -> None:
        venues = {subject.instrument_id: subject.venue for subject in self._subjects}
        for count in await audit.judge(spans, self._now()):
            if count.fresh:
                self.counts[venues[count.instrument_id], count.verdict] += count.fresh

    async def _ask_about_silence(self, connection: asyncpg.Connection, audit: MinuteAudit, minute: datetime) -> None:
        """Let the venue say whether what has fallen silent is a quiet market: trades and candles come down one line."""
        found = await connection.fetch(_SQL["suddenly_quiet"], minute, ACTIVE_MINUTES_MIN)
        asked = self._asked()  # where both are asked for by themselves, and later
        asked_for = {subject.instrument_id for subject in self._subjects if subject.lacks(minute)}
        silent = [row for row in found if row[1] not in asked and row[0] not in asked_for][:LOOK_UPS_PER_ROUND_MAX]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_UPS_TIMEOUT_SECONDS):
                for _, venue, symbol in silent:
                    await self._look_up(venue, symbol, minute)
        ids = {row[0] for row in silent}
        await self._judge(
            audit,
            [span for one in self._subjects if one.instrument_id in ids for span in one.spans(minute, minute + MINUTE)],
        )

    # -- what nothing explains -----------------------------------------------------------------------------------------

    async def _look_after_losses(
        self, connection: asyncpg.Connection, audit: MinuteAudit, earliest: datetime, last: datetime
    ) -> None:
        old = [alarm for alarm in await self._unexplained(connection, earliest) if alarm.time < last - REJUDGED_SPAN]
        await self._again(audit, old)
        found = await self._unexplained(connection, earliest)
        of_fetched = self._look_again(found)
        for venue in await record(connection, found, of_fetched):
            self._wake(venue)
        await self.alarms.update(connection, await self._unexplained(connection, earliest))

    def _look_again(self, alarms: Sequence[Alarm]) -> set[tuple[int, datetime]]:
        """Return the minutes whose candles were fetched: no gap of candles stands for them. Where it is the candle that
        may be wrong, it is fetched once more."""
        known = {subject.instrument_id: subject for subject in self._subjects}
        of_fetched = {
            alarm.key
            for alarm in alarms
            if alarm.instrument_id in known and known[alarm.instrument_id].lacks(alarm.time)
        }
        for alarm in alarms:
            if (
                alarm.key in of_fetched - self._looked_again
                and "candles" in alarm.streams
                and alarm.venue in self._fetchers
            ):
                self._fetchers[alarm.venue].look_again(*alarm.key)
                self._looked_again.add(alarm.key)
        self._looked_again &= {alarm.key for alarm in alarms}
        return of_fetched

    async def _unexplained(self, connection: asyncpg.Connection, earliest: datetime) -> list[Alarm]:
        rows = await connection.fetch(_SQL["unexplained"], earliest, Alarms.MOST)
        return [Alarm.of(row) for row in rows]

    async def _again(self, audit: MinuteAudit, alarms: Iterable[Alarm]) -> None:
        by_minute: dict[datetime, list[int]] = {}
        for alarm in alarms:
            by_minute.setdefault(alarm.time, []).append(alarm.instrument_id)
        known = {subject.instrument_id: subject for subject in self._subjects}
        for minute in sorted(by_minute, reverse=True)[:OLD_MINUTES_PER_ROUND_MAX]:
            of_minute = (minute, minute + MINUTE)
            ids = (number for number in by_minute[minute] if number in known)
            spans = [span for number in ids for span in known[number].spans(*of_minute, [of_minute])]
            await self._judge(audit, spans)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now_ns() / 1e9, UTC)

    def _asked(self) -> dict[str, datetime]:
        """Return up to when the trades of all instruments of a venue that is polled are known."""
        count = Counter(subject.venue for subject in self._subjects)
        known = {}
        for venue, terms in self._terms.items():
            if terms.polled_per_minute:
                turn = max(CLOSED_MARKET_POLL_SECONDS, TURNS_MAX * 60.0 * count[venue] / terms.polled_per_minute)
                turn = min(turn, TURN_MAX_SECONDS)
                over = self._now() - timedelta(seconds=self._options.delay_seconds + turn)
                known[venue] = over.replace(second=0, microsecond=0)
        return known

    def _due(self) -> datetime:
        """Return the newest minute that is over for long enough."""
        over = self._now() - timedelta(seconds=self._options.delay_seconds)
        return over.replace(second=0, microsecond=0) - MINUTE


def _still_open(subject: Subject, now: datetime) -> Subject:
    """Let the last piece of what is being recorded go on."""
    if not subject.lacking or (subject.pieces and subject.pieces[-1][1] > subject.lacking[-1][1]):
        return subject._replace(pieces=_lasting(subject.pieces, now))
    return subject._replace(lacking=_lasting(subject.lacking, now))


def _lasting(pieces: Sequence[Piece], now: datetime) -> tuple[Piece, ...]:
    *before, (since, until) = pieces
    return *before, (since, _STILL_RECORDED_UNTIL if until > now - STILL_RECORDED_SPAN else until)
