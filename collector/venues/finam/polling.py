"""The client's side of the polled venue: who is asked for what, when, and what an answer means for the next question.

Knows no socket and no clock: times come in, calls go out. One lane keeps the session's token, one reads what describes
the instruments, and each method of market data has lanes of its own that share the method's queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import orjson

from collector.errors import VenueError
from collector.venues.events import Event, SubscriptionState, SubscriptionStatus
from collector.venues.finam import requests
from collector.venues.finam.desk import Desk
from collector.venues.finam.failures import is_unauthorised, status_of
from collector.venues.finam.happenings import AnswerRead
from collector.venues.finam.hours import Hours, Maintenance
from collector.venues.finam.periods import length_seconds, span_seconds
from collector.venues.finam.tasks import DAILY_SECONDS, LONGEST_AWAY_SECONDS, RECHECK_SECONDS, Task
from collector.venues.finam.values import time_us
from collector.venues.finam.worklist import CLOCK_SECONDS, REFERENCE, SESSIONS, make_queues
from collector.venues.kit.losses import backoff
from collector.venues.plan import PollPlan
from collector.venues.rest import RestAnswer, RestCall

WRONG_SECRET_SECONDS = 300.0
TOKEN_WAIT_SECONDS = 0.2
# So many calls in a row without an answer, and it is the venue that is away and not one method or symbol.
AWAY_AFTER = 4
# How long a call waits that is refused with a fresh token as well.
STUBBORN_SECONDS = 30.0
CLOSED_TOLD_SECONDS = 10.0
EMPTY_RETRIES = 2
# So many bars back the first question reaches, and the last three are read again each time.
FIRST_BARS = 120
REREAD_BARS = 2

_WAITING, _REQUESTED, _ACKNOWLEDGED, _FLOWING, _REFUSED = SubscriptionState


class FinamPolling:
    """Meets `collector.venues.adapter.Polling`."""

    def __init__(self, plan: PollPlan, desk: Desk, random: Random) -> None:
        self._plan = plan
        self._desk = desk
        self._settings = desk.settings
        self._random = random
        self._audits: bool = bool(plan.header.own.get("audits"))
        self._delays = plan.header.own.get("delays") or {}
        self._maintenance = Maintenance(self._settings.maintenance_minutes)
        self._away = False
        self._now_ns = 0
        self._ahead_us = 0
        """How far the venue's clock is ahead of ours."""
        self._hours = {symbol: Hours() for symbol in plan.header.symbols or ()}
        self._flying: dict[str, Task] = {}
        self._queues = make_queues(plan, self._settings, random)
        self._schedules = {
            task.symbol: task for task in self._queues[REFERENCE].tasks if task.method == requests.SCHEDULE
        }
        self._login_at = float("-inf")
        self._login_failures = 0
        self._unanswered = 0
        """Calls in a row, of whatever lane, that the venue was not there for."""
        self._undescribed: str | None = None
        self._closed_at = float("-inf")

    def __repr__(self) -> str:
        held = ", ".join(f"{queue.method}={len(queue.tasks)}" for queue in self._queues.values())
        return f"<FinamPolling {self._plan.name} {held}>"

    # -- the seam ----------------------------------------------------------------------------------------------------

    def next(self, lane: str, now: float, now_ns: int) -> RestCall | float:
        """Return the lane's next call, or how many seconds to wait before asking again."""
        self._now_ns = now_ns
        left = self._maintenance.seconds_left(now_ns // 1000)
        if left:
            self._leave_alone(now)
            return left
        if self._away:
            self._come_back(now)
        if lane == SESSIONS:
            if now - self._closed_at > CLOSED_TOLD_SECONDS:
                self._tell_closed(now)
            return self._session_call(now, now_ns)
        if self._desk.token is None:
            return TOKEN_WAIT_SECONDS
        if self._desk.urgent:
            self._hurry(now)
        found = self._queues[lane.partition("/")[0]].take(now)
        if not isinstance(found, Task):
            return found
        self._flying[lane] = found
        if found.status is not None and found.status.state is _WAITING:
            found.turn(_REQUESTED, now)
        return self._call(found, self._desk.token)

    def answered(self, lane: str, call: RestCall, answer: RestAnswer, events: Sequence[Event], now: float) -> None:
        """Take what came back for a lane's call."""
        self._there(now)
        if lane == SESSIONS:
            self._session_answered(call, answer, now)
            return
        task = self._flying.pop(lane)
        task.busy = False
        task.unauthorised = 0
        self._queues[lane.partition("/")[0]].went_well()
        if lane == REFERENCE:
            self._described(task, answer, now)
            return
        worth = next((event for event in events if isinstance(event, AnswerRead)), None)
        if worth is None:
            self._delay(task, now, "the answer was not understood")
            return
        task.failures = task.refusals = 0
        self._weigh(task, worth, now)
        task.turn(_FLOWING, now, self._remark(task))

    def failed(self, lane: str, call: RestCall, error: VenueError, now: float) -> None:
        """A lane's call had no answer, or one that means failure."""
        if (status_of(error) or 500) < 500:
            self._there(now)
        else:
            self._unanswered += 1
        if lane == SESSIONS:
            self._login_failed(error, now)
            return
        task = self._flying.pop(lane)
        task.busy = False
        queue = self._queues[lane.partition("/")[0]]
        status = status_of(error)
        if is_unauthorised(error, token_is_old=self._desk.is_old(self._now_ns)):
            self._desk.reject(call.headers)
            task.unauthorised += 1
            task.due = now if task.unauthorised == 1 else now + STUBBORN_SECONDS
        elif status == 429:
            queue.hold_for_quota(now, error.retry_after)
            task.due = now
        elif status in (400, 403, 404):
            rest = RECHECK_SECONDS[min(task.refusals, len(RECHECK_SECONDS) - 1)] if status == 404 else DAILY_SECONDS
            task.refusals += 1
            task.due = now + rest
            task.turn(_REFUSED, now, f"{error.reason} (code {error.code}); asked again in {rest / 3600:.2g} h")
        else:
            queue.hold_after_failure(now)
            self._delay(task, now, error.reason)

    @property
    def proved(self) -> bool:
        """Every subscription was answered, or is refused."""
        return all(status.state in (_FLOWING, _REFUSED) for status in self.statuses())

    def statuses(self) -> Sequence[SubscriptionStatus]:
        return [task.status for queue in self._queues.values() for task in queue.tasks if task.status is not None]

    def period(self, method: str, symbol: str) -> float:
        """Return how many seconds there are between two calls for a symbol now."""
        return next(task.period for task in self._queues[method].tasks if task.symbol == symbol)

    # -- the session -------------------------------------------------------------------------------------------------

    def _session_call(self, now: float, now_ns: int) -> RestCall | float:
        if self._undescribed is not None:
            return requests.details(self._settings, self._undescribed)
        if not self._desk.due(now_ns):
            return 1.0
        return requests.login(self._settings) if now >= self._login_at else self._login_at - now

    def _session_answered(self, call: RestCall, answer: RestAnswer, now: float) -> None:
        try:
            if call.channel == requests.AUTH:
                self._undescribed = self._desk.log_in(answer)
                self._login_failures = 0
            else:
                self._undescribed = None
                self._desk.learn(answer)
        except VenueError as error:
            self._login_failed(error, now)

    def _login_failed(self, error: VenueError, now: float) -> None:
        # A token that nobody could describe serves as well; its life is then taken for the usual one.
        self._undescribed = None
        self._login_failures += 1
        pause = backoff(self._login_failures, self._random)
        wrong = error.permanent and status_of(error) in (400, 401, 403)
        pause = max(pause, WRONG_SECRET_SECONDS) if wrong else min(pause, LONGEST_AWAY_SECONDS)
        self._login_at = now + max(pause, error.retry_after or 0.0)

    def _there(self, now: float) -> None:
        """The venue answers: what failed while it was away is asked for again soon."""
        away, self._unanswered = self._unanswered >= AWAY_AFTER, 0
        if away:
            for queue in self._queues.values():
                queue.resume(now)

    def _leave_alone(self, now: float) -> None:
        if not self._away:
            self._away = True
            for queue in self._queues.values():
                for task in queue.tasks:
                    if task.status is not None and task.status.state is _FLOWING:
                        task.turn(_FLOWING, now, f"the venue's maintenance, {self._settings.maintenance} UTC")

    def _come_back(self, now: float) -> None:
        self._away = False
        self._desk.renew_ns = 0
        for task in self._schedules.values():
            task.due = now

    # -- the calls ---------------------------------------------------------------------------------------------------

    def _call(self, task: Task, token: str) -> RestCall:
        settings, desk = self._settings, self._desk
        if task.method in (requests.CLOCK, requests.EXCHANGES):
            call = requests.plain(settings, task.method, token)
            return call if task.method == requests.CLOCK else requests.recorded(call)
        if task.method in (requests.ASSET, requests.PARAMS, requests.SCHEDULE):
            return requests.of_asset(settings, task.method, task.symbol, token, desk.account)
        if task.method == requests.BARS:
            to_us = self._venue_now_us()
            return requests.bars(settings, task.symbol, task.frame, token, self._bars_from(task, to_us), to_us)
        reading = requests.PAST if self._audits and task.method == requests.TRADES else ""
        return requests.of_instrument(settings, task.method, task.symbol, token, reading=reading)

    def _bars_from(self, task: Task, to_us: int) -> int:
        length_us = length_seconds(task.frame) * 1_000_000
        reached = task.reached
        if reached is None:
            from_us = to_us - FIRST_BARS * length_us
        else:
            from_us = reached.newest_us - REREAD_BARS * length_us
            if reached.open_us is not None:
                from_us = min(from_us, reached.open_us)
        return max(from_us, to_us - span_seconds(task.frame) * 1_000_000)

    def _venue_now_us(self) -> int:
        return self._now_ns // 1000 + self._ahead_us

    # -- what an answer means ----------------------------------------------------------------------------------------

    def _weigh(self, task: Task, worth: AnswerRead, now: float) -> None:
        task.reached = worth.reached
        now_us = self._venue_now_us()
        hours = self._hours[task.symbol]
        if task.method == requests.BARS and not worth.total and hours.open(now_us) and task.empties < EMPTY_RETRIES:
            # The venue answers with nothing now and then where there is something.
            task.empties += 1
            task.due = now if task.empties == 1 else now + self._random.uniform(0.3, 1.0)
            return
        task.empties = 0
        if worth.fresh and task.method != requests.BARS and not self._audits and not hours.open(now_us):
            self._stirred(task, hours, now_us, now)
        listing = worth.listing
        if listing is not None and not self._audits:
            if listing.lost:
                task.halve(self._settings.shortest_seconds)
            elif listing.total and not listing.first:
                full = listing.total >= listing.longest
                task.adapt(listing.fresh / listing.total if full else 0.0, self._settings.shortest_seconds)
        task.due = self._due(task, hours, now_us, now)

    def _stirred(self, task: Task, hours: Hours, now_us: int, now: float) -> None:
        # The first answer after a start is always new; only what follows tells of a market that moves.
        if task.status is not None and task.status.state is _FLOWING:
            hours.stir(now_us)
            schedule = self._schedules.get(task.symbol)
            if schedule is not None and now - schedule.last > CLOCK_SECONDS:
                schedule.due = now

    def _due(self, task: Task, hours: Hours, now_us: int, now: float) -> float:
        due = task.last + task.period
        if not hours.open(now_us):
            due = task.last + max(task.period, self._settings.closed_seconds)
            opens_us = hours.opens_us(now_us)
            if opens_us is not None:
                due = min(due, now + (opens_us - now_us) / 1e6)
            return due
        if task.method != requests.BARS:
            return due
        # Just after a bar has become final, where that is not long before its turn.
        settled_us = int((self._settings.grace_seconds + 1.0) * 1e6)
        length_us = length_seconds(task.frame) * 1_000_000
        turn_us = now_us + int((due - now) * 1e6) - settled_us
        aligned = now + (turn_us - turn_us % length_us + settled_us - now_us) / 1e6
        return aligned if aligned > now + 1.0 and due - aligned < length_us / 1e6 else due

    def _remark(self, task: Task) -> str:
        told = []
        delay = (self._delays.get(task.symbol.rpartition("@")[2]) or {}).get("delay_minutes")
        if delay:
            told.append(f"delayed by {delay} min")
        now_us = self._venue_now_us()
        if not self._hours[task.symbol].open(now_us):
            told.append(f"market closed, asked every {max(task.period, self._settings.closed_seconds):.0f} s")
        elif task.period < task.base * 0.99:
            told.append(f"asked every {task.period:.1f} s, since its trades need it")
        return "; ".join(told)

    def _delay(self, task: Task, now: float, reason: str) -> None:
        task.failures += 1
        task.due = now + backoff(task.failures, self._random)
        if task.status is not None and task.status.state is not _FLOWING:
            task.turn(_REQUESTED, now, reason)

    def _described(self, task: Task, answer: RestAnswer, now: float) -> None:
        task.failures = task.refusals = 0
        task.due = now + task.period
        if task.method not in (requests.CLOCK, requests.SCHEDULE):
            return
        try:
            content = orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            self._delay(task, now, "the answer was not understood")
            return
        if type(content) is not dict:
            return
        if task.method == requests.CLOCK:
            venue_us = time_us(content.get("timestamp"))
            if venue_us is not None:
                self._ahead_us = venue_us - answer.received_ns // 1000
            return
        hours = self._hours[task.symbol]
        hours.learn(content)
        now_us = self._venue_now_us()
        if hours.outdated(now_us):
            task.due = now + CLOCK_SECONDS
        self._tell_closed(now)
        for queue in self._queues.values():
            for other in queue.tasks:
                if other.symbol == task.symbol and other.asked and not other.refused and other is not task:
                    other.due = min(other.due, self._due(other, hours, now_us, now))

    def _tell_closed(self, now: float) -> None:
        """Let the sockets know whose silence means nothing."""
        now_us = self._venue_now_us()
        self._desk.closed = frozenset(symbol for symbol, hours in self._hours.items() if not hours.open(now_us))
        self._closed_at = now

    def _hurry(self, now: float) -> None:
        for queue in self._queues.values():
            for task in queue.tasks:
                if task.symbol in self._desk.urgent and task.method in requests.MARKET_DATA:
                    task.due = now
        self._desk.urgent.clear()
