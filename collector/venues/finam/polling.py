"""The client's side of polling: which call comes next, and what its answer means for the calls that follow.

It has no socket and no clock: times come in, calls go out. The feed runs several lanes at once, each with one call at a
time: one lane keeps the session's token, one reads what describes the instruments, and each method of market data has
lanes of its own, which share the method's queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import orjson

from collector.errors import VenueError
from collector.venues.events import Event, SubscriptionState, SubscriptionStatus
from collector.venues.finam import requests
from collector.venues.finam.failures import is_unauthorised, status_of
from collector.venues.finam.happenings import AnswerRead
from collector.venues.finam.hours import Hours, Maintenance
from collector.venues.finam.periods import EMPTY_ANSWER_RETRIES_MAX, length_seconds, span_seconds
from collector.venues.finam.shared import SharedState
from collector.venues.finam.tasks import AWAY_RETRY_MAX_SECONDS, DAILY_SECONDS, UNKNOWN_SYMBOL_RETRY_SECONDS, Task
from collector.venues.finam.values import time_us
from collector.venues.finam.worklist import CLOCK_PERIOD_SECONDS, REFERENCE, SESSIONS, make_queues
from collector.venues.kit.losses import backoff
from collector.venues.plan import PollPlan
from collector.venues.rest import RestAnswer, RestCall

# The shortest pause after a login with a wrong secret: only a person can correct it, and the venue may block who
# insists.
WRONG_SECRET_RETRY_SECONDS = 300.0

# How often a lane looks whether there is a token again, and the lane of sessions whether it is to be replaced. There is
# no event for it, since `next` is asked by the feed.
TOKEN_CHECK_SECONDS = 0.2
TOKEN_RENEWAL_CHECK_SECONDS = 1.0

# After this many calls in a row without an answer, of whatever method, the venue itself counts as away; its first
# answer then makes all failed calls due again at once. Fewer would take a few failures of one method for an outage.
UNANSWERED_CALLS_MAX = 4

# How long a call waits that was refused with a new token as well. The next one is sent with a newer token again.
UNAUTHORISED_RETRY_SECONDS = 30.0

# How often the sockets are told which markets are closed. It may be late by this much after an opening, which only
# delays the check for silent sockets.
CLOSED_UPDATE_SECONDS = 10.0

# The random pause before an empty list of bars is asked for a second time; the first retry comes at once.
EMPTY_ANSWER_RETRY_SECONDS = (0.3, 1.0)

# The first call for bars reaches back this many bars, so that a short stop needs no repair. Later calls read the newest
# known bar and this many before it again, since the venue may still correct them.
FIRST_CALL_BARS = 120
REREAD_BARS = 2

# How long after a bar became final the call for it is made, so that the venue has it.
BAR_READY_DELAY_SECONDS = 1.0

_WAITING, _REQUESTED, _ACKNOWLEDGED, _FLOWING, _REFUSED = SubscriptionState


class FinamPolling:
    """Meets `collector.venues.roles.Polling`. Times are monotonic seconds, but for `now_ns`, our wall clock.

    A plan whose header has `audits` only checks a socket and fetches what it missed; any other polls all market data.
    """

    def __init__(self, plan: PollPlan, shared: SharedState, random: Random) -> None:
        self._plan = plan
        self._shared = shared
        self._settings = shared.settings
        self._random = random
        self._audits: bool = bool(plan.header.own.get("audits"))
        self._delays = plan.header.own.get("delays") or {}
        self._maintenance = Maintenance(self._settings.maintenance_minutes)
        self._in_maintenance = False
        self._now_ns = 0
        self._ahead_us = 0
        """How far the venue's clock is ahead of ours; negative where it is behind."""
        self._hours = {symbol: Hours() for symbol in plan.header.symbols or ()}
        self._in_flight: dict[str, Task] = {}
        self._queues = make_queues(plan, self._settings, random)
        self._schedules = {
            task.symbol: task for task in self._queues[REFERENCE].tasks if task.method == requests.SCHEDULE
        }
        self._login_at = float("-inf")
        self._login_failures = 0
        self._unanswered = 0
        """Calls in a row, of all lanes, that the venue did not answer."""
        self._token_to_describe: str | None = None
        """A new token whose details are still to be asked for."""
        self._closed_published_at = float("-inf")

    def __repr__(self) -> str:
        counts = ", ".join(f"{queue.method}={len(queue.tasks)}" for queue in self._queues.values())
        return f"<FinamPolling {self._plan.name} {counts}>"

    # -- what the feed calls -----------------------------------------------------------------------------------------

    def next(self, lane: str, now: float, now_ns: int) -> RestCall | float:
        """Return the lane's next call, or how many seconds to wait before asking again."""
        self._now_ns = now_ns
        left = self._maintenance.seconds_left(now_ns // 1000)
        if left:
            self._enter_maintenance(now)
            return left
        if self._in_maintenance:
            self._leave_maintenance(now)
        if lane == SESSIONS:
            if now - self._closed_published_at > CLOSED_UPDATE_SECONDS:
                self._publish_closed(now)
            return self._session_call(now, now_ns)
        if self._shared.token is None:
            return TOKEN_CHECK_SECONDS
        if self._shared.urgent:
            self._expedite_urgent(now)
        task = self._queues[lane.partition("/")[0]].take(now)
        if not isinstance(task, Task):
            return task  # seconds to wait
        self._in_flight[lane] = task
        if task.status is not None and task.status.state is _WAITING:
            task.set_state(_REQUESTED, now)
        return self._call(task, self._shared.token)

    def answered(self, lane: str, call: RestCall, answer: RestAnswer, events: Sequence[Event], now: float) -> None:
        """Take over the answer to a lane's call; `events` are what the parser made of it."""
        self._note_answered(now)
        if lane == SESSIONS:
            self._session_answered(call, answer, now)
            return
        task = self._in_flight.pop(lane)
        task.busy = False
        task.unauthorised = 0
        self._queues[lane.partition("/")[0]].reset_failures()
        if lane == REFERENCE:
            self._reference_answered(task, answer, now)
            return
        answer_read = next((event for event in events if isinstance(event, AnswerRead)), None)
        if answer_read is None:
            self._delay(task, now, "the answer could not be read")
            return
        task.failures = task.refusals = 0
        self._schedule_next(task, answer_read, now)
        task.set_state(_FLOWING, now, self._status_remark(task))

    def failed(self, lane: str, call: RestCall, error: VenueError, now: float) -> None:
        """A lane's call had no answer, or one that is a failure."""
        if (status_of(error) or 500) < 500:  # the venue is there, whatever it says
            self._note_answered(now)
        else:
            self._unanswered += 1
        if lane == SESSIONS:
            self._login_failed(error, now)
            return
        task = self._in_flight.pop(lane)
        task.busy = False
        queue = self._queues[lane.partition("/")[0]]
        status = status_of(error)
        if is_unauthorised(error, token_is_old=self._shared.is_old(self._now_ns)):
            self._shared.reject(call.headers)
            task.unauthorised += 1
            task.due = now if task.unauthorised == 1 else now + UNAUTHORISED_RETRY_SECONDS
        elif status == 429:
            queue.hold_for_quota(now, error.retry_after)
            task.due = now
        elif status in (400, 403, 404):
            pause = DAILY_SECONDS
            if status == 404:
                pause = UNKNOWN_SYMBOL_RETRY_SECONDS[min(task.refusals, len(UNKNOWN_SYMBOL_RETRY_SECONDS) - 1)]
            task.refusals += 1
            task.due = now + pause
            task.set_state(_REFUSED, now, f"{error.reason} (code {error.code}); tried again in {pause / 3600:.2g} h")
        else:
            queue.hold_after_failure(now)
            self._delay(task, now, error.reason)

    @property
    def proved(self) -> bool:
        """Whether every subscription was answered or refused."""
        return all(status.state in (_FLOWING, _REFUSED) for status in self.statuses())

    def statuses(self) -> Sequence[SubscriptionStatus]:
        return [task.status for queue in self._queues.values() for task in queue.tasks if task.status is not None]

    def period(self, method: str, symbol: str) -> float:
        """Return the present seconds between two calls of a method for a symbol."""
        return next(task.period for task in self._queues[method].tasks if task.symbol == symbol)

    # -- the session -------------------------------------------------------------------------------------------------

    def _session_call(self, now: float, now_ns: int) -> RestCall | float:
        if self._token_to_describe is not None:
            return requests.details(self._settings, self._token_to_describe)
        if not self._shared.due(now_ns):
            return TOKEN_RENEWAL_CHECK_SECONDS
        return requests.login(self._settings) if now >= self._login_at else self._login_at - now

    def _session_answered(self, call: RestCall, answer: RestAnswer, now: float) -> None:
        try:
            if call.channel == requests.AUTH:
                self._token_to_describe = self._shared.log_in(answer)
                self._login_failures = 0
            else:
                self._token_to_describe = None
                self._shared.learn(answer)
        except VenueError as error:
            self._login_failed(error, now)

    def _login_failed(self, error: VenueError, now: float) -> None:
        # Where the login succeeded and only the details failed, the token is used all the same, with the default life.
        self._token_to_describe = None
        self._login_failures += 1
        pause = backoff(self._login_failures, self._random)
        wrong_secret = error.permanent and status_of(error) in (400, 401, 403)
        pause = max(pause, WRONG_SECRET_RETRY_SECONDS) if wrong_secret else min(pause, AWAY_RETRY_MAX_SECONDS)
        self._login_at = now + max(pause, error.retry_after or 0.0)

    def _note_answered(self, now: float) -> None:
        """The venue has answered: if it was away before, make all failed calls due again soon."""
        was_away, self._unanswered = self._unanswered >= UNANSWERED_CALLS_MAX, 0
        if was_away:
            for queue in self._queues.values():
                queue.resume(now)

    def _enter_maintenance(self, now: float) -> None:
        if not self._in_maintenance:
            self._in_maintenance = True
            for queue in self._queues.values():
                for task in queue.tasks:
                    if task.status is not None and task.status.state is _FLOWING:
                        task.set_state(_FLOWING, now, f"the venue's maintenance, {self._settings.maintenance} UTC")

    def _leave_maintenance(self, now: float) -> None:
        self._in_maintenance = False
        # Tokens and schedules from before the maintenance may no longer hold.
        self._shared.renew_ns = 0
        for task in self._schedules.values():
            task.due = now

    # -- the calls ---------------------------------------------------------------------------------------------------

    def _call(self, task: Task, token: str) -> RestCall:
        settings, shared = self._settings, self._shared
        if task.method in (requests.CLOCK, requests.EXCHANGES):
            call = requests.plain(settings, task.method, token)
            return call if task.method == requests.CLOCK else requests.recorded(call)
        if task.method in (requests.ASSET, requests.PARAMS, requests.SCHEDULE):
            return requests.of_asset(settings, task.method, task.symbol, token, shared.account)
        if task.method == requests.BARS:
            to_us = self._venue_now_us()
            return requests.bars(settings, task.symbol, task.frame, token, self._bars_from(task, to_us), to_us)
        reading = requests.HISTORY if self._audits and task.method == requests.TRADES else ""
        return requests.of_instrument(settings, task.method, task.symbol, token, reading=reading)

    def _bars_from(self, task: Task, to_us: int) -> int:
        length_us = length_seconds(task.frame) * 1_000_000
        reached = task.reached
        if reached is None:
            from_us = to_us - FIRST_CALL_BARS * length_us
        else:
            from_us = reached.newest_us - REREAD_BARS * length_us
            if reached.open_us is not None:
                from_us = min(from_us, reached.open_us)
        return max(from_us, to_us - span_seconds(task.frame) * 1_000_000)

    def _venue_now_us(self) -> int:
        return self._now_ns // 1000 + self._ahead_us

    # -- what an answer means for the next call ----------------------------------------------------------------------

    def _schedule_next(self, task: Task, answer_read: AnswerRead, now: float) -> None:
        task.reached = answer_read.reached
        now_us = self._venue_now_us()
        hours = self._hours[task.symbol]
        no_bars = task.method == requests.BARS and not answer_read.total
        if no_bars and hours.is_open(now_us) and task.empties < EMPTY_ANSWER_RETRIES_MAX:
            # The venue sometimes answers with an empty list where there are bars.
            task.empties += 1
            task.due = now if task.empties == 1 else now + self._random.uniform(*EMPTY_ANSWER_RETRY_SECONDS)
            return
        task.empties = 0
        if answer_read.fresh and task.method != requests.BARS and not self._audits and not hours.is_open(now_us):
            self._note_activity(task, hours, now_us, now)
        listing = answer_read.listing
        if listing is not None and not self._audits:
            if listing.lost:
                task.halve(self._settings.shortest_seconds)
            elif listing.total and not listing.first:
                full = listing.total >= listing.longest
                task.adapt(listing.fresh / listing.total if full else 0.0, self._settings.shortest_seconds)
        task.due = self._due(task, hours, now_us, now)

    def _note_activity(self, task: Task, hours: Hours, now_us: int, now: float) -> None:
        # The first answer after a start is always new, so only later ones show that the market is active.
        if task.status is not None and task.status.state is _FLOWING:
            hours.note_activity(now_us)
            schedule = self._schedules.get(task.symbol)
            if schedule is not None and now - schedule.last > CLOCK_PERIOD_SECONDS:
                schedule.due = now

    def _due(self, task: Task, hours: Hours, now_us: int, now: float) -> float:
        due = task.last + task.period
        if not hours.is_open(now_us):
            due = task.last + max(task.period, self._settings.closed_seconds)
            opens_us = hours.next_opening_us(now_us)
            if opens_us is not None:
                due = min(due, now + (opens_us - now_us) / 1e6)
            return due
        if task.method != requests.BARS:
            return due
        # The call for bars is moved forward to just after the last bar that becomes final before its turn, so that
        # final bars are stored soon; but never to less than a second from now.
        ready_us = int((self._settings.grace_seconds + BAR_READY_DELAY_SECONDS) * 1e6)
        length_us = length_seconds(task.frame) * 1_000_000
        turn_us = now_us + int((due - now) * 1e6) - ready_us
        aligned = now + (turn_us - turn_us % length_us + ready_us - now_us) / 1e6
        return aligned if aligned > now + 1.0 and due - aligned < length_us / 1e6 else due

    def _status_remark(self, task: Task) -> str:
        remarks = []
        delay = (self._delays.get(task.symbol.rpartition("@")[2]) or {}).get("delay_minutes")
        if delay:
            remarks.append(f"delayed by {delay} min")
        now_us = self._venue_now_us()
        if not self._hours[task.symbol].is_open(now_us):
            remarks.append(f"market closed, polled every {max(task.period, self._settings.closed_seconds):.0f} s")
        elif task.period < task.base * 0.99:
            remarks.append(f"polled every {task.period:.1f} s, since it has many trades")
        return "; ".join(remarks)

    def _delay(self, task: Task, now: float, reason: str) -> None:
        task.failures += 1
        task.due = now + backoff(task.failures, self._random)
        if task.status is not None and task.status.state is not _FLOWING:
            task.set_state(_REQUESTED, now, reason)

    def _reference_answered(self, task: Task, answer: RestAnswer, now: float) -> None:
        task.failures = task.refusals = 0
        task.due = now + task.period
        if task.method not in (requests.CLOCK, requests.SCHEDULE):
            return
        try:
            content = orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            self._delay(task, now, "the answer could not be read")
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
            task.due = now + CLOCK_PERIOD_SECONDS
        self._publish_closed(now)
        for queue in self._queues.values():
            for market_task in queue.tasks:
                same_symbol = market_task.symbol == task.symbol and market_task is not task
                if same_symbol and market_task.asked and not market_task.refused:
                    market_task.due = min(market_task.due, self._due(market_task, hours, now_us, now))

    def _publish_closed(self, now: float) -> None:
        """Tell the sockets which markets are closed, so that they do not take their silence for a fault."""
        now_us = self._venue_now_us()
        self._shared.closed = frozenset(symbol for symbol, hours in self._hours.items() if not hours.is_open(now_us))
        self._closed_published_at = now

    def _expedite_urgent(self, now: float) -> None:
        for queue in self._queues.values():
            for task in queue.tasks:
                if task.symbol in self._shared.urgent and task.method in requests.MARKET_DATA:
                    task.due = now
        self._shared.urgent.clear()
