"""What is polled: one task for each symbol of a method, and the method's queue, which paces the calls.

A queue hands out one call per slot, to the task that has waited longest in proportion to its period. So where the tasks
need more calls than the quota allows, all wait longer in proportion, and half the period means twice the share.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from collector.backoff import retry_seconds
from collector.venues.events import SubscriptionState, SubscriptionStatus
from collector.venues.finam.candles import Reached

# The longest pause of a method after answers 429 that name no time; it begins with 1 s and doubles. The venue's quotas
# are for a minute, so that a longer pause would gain nothing.
QUOTA_HOLD_MAX_SECONDS = 30.0

# Each such pause is multiplied by a random number between these, so that methods do not go on together.
HOLD_SPREAD = (1.0, 1.25)

# The longest pause of a method while the venue does not answer. The first answer of any method makes all due again.
AWAY_RETRY_MAX_SECONDS = 15.0

# The pauses after a symbol's first, second and later answer 404: the venue has been seen to call valid symbols unknown
# for a while.
UNKNOWN_SYMBOL_RETRY_SECONDS = (600.0, 3600.0, 86_400.0)

# The period of calls whose answers change once a day, and the pause after refusals that do not pass by themselves.
DAILY_SECONDS = 86_400.0

# Within this time, at random, failed calls become due after the venue is back: all at once would be refused.
RESUME_SPREAD_SECONDS = 3.0

# A symbol's shortened period grows back by this factor with each answer that its trades fill to less than half. Slower
# would keep calls from other symbols for long, faster would lose trades when they surge again.
PERIOD_GROWTH_FACTOR = 1.05

# The share of a full list of trades that is aimed to be new: with half, twice as many trades come without a loss.
FRESH_SHARE_TARGET = 0.5

# The wait of a lane whose queue has no task that can become due, and the shortest wait of any.
IDLE_WAIT_SECONDS = 1.0
WAIT_MIN_SECONDS = 0.05


@dataclass(slots=True, eq=False)
class Task:
    """One symbol of one method (and frame). Times are monotonic seconds.

    `period`: seconds between two calls at present; `base`: the same without the shortening for many trades. `due`: when
    the next call may be made; `last`: when the last one was. `busy`: a call is in flight. `unauthorised`, `failures`
    and `refusals` count answers of their kind in a row.
    """

    method: str
    symbol: str
    period: float
    base: float
    status: SubscriptionStatus | None = None
    frame: str = ""
    due: float = 0.0
    last: float = float("-inf")
    busy: bool = False
    empties: int = 0
    """Empty answers in a row that were asked for again."""
    unauthorised: int = 0
    failures: int = 0
    refusals: int = 0
    reached: Reached | None = None
    """How far its bars are known; None before the first."""

    def set_state(self, state: SubscriptionState, now: float, reason: str = "") -> None:
        """Change the status that is shown of the task."""
        status = self.status
        if status is not None and (status.state, status.reason) != (state, reason):
            status.state, status.reason, status.since = state, reason, now

    @property
    def asked(self) -> bool:
        """Whether a call for it was ever made."""
        return self.last > float("-inf")

    @property
    def refused(self) -> bool:
        return self.status is not None and self.status.state is SubscriptionState.REFUSED

    def halve(self, shortest: float) -> None:
        """Trades were lost: poll twice as often, but no more often than every `shortest` seconds."""
        self.period = max(shortest, self.period / 2)

    def adapt(self, share: float, shortest: float) -> None:
        """Change the period so that about half of a full list of trades is new.

        `share`: how much of the last list was new, 0 where the list was not full. `shortest`: the least period.
        """
        if share > FRESH_SHARE_TARGET:
            self.period = max(shortest, self.period * FRESH_SHARE_TARGET / share)
        else:
            self.period = min(self.base, self.period * PERIOD_GROWTH_FACTOR)


@dataclass(slots=True, eq=False)
class Queue:
    """The calls of one method, at least half a slot apart. Times are monotonic seconds.

    `held_until`: no call is made before. `failures`, `limited`: failures, and answers 429, in a row.
    """

    method: str
    slot: float
    """Seconds between two calls, from the quota."""
    random: Random
    tasks: list[Task] = field(default_factory=list)
    next_slot: float = 0.0
    held_until: float = 0.0
    failures: int = 0
    limited: int = 0

    def take(self, now: float) -> Task | float:
        """Return the task whose turn it is, marked as busy, or the seconds to wait before asking again."""
        free_at = max(self.next_slot, self.held_until)
        if now < free_at:
            return free_at - now
        chosen: Task | None = None
        longest = float("-inf")
        soonest = float("inf")
        for task in self.tasks:
            if task.busy:
                continue
            if task.due > now:
                soonest = min(soonest, task.due)
                continue
            waited = (now - task.due) / task.period
            if waited > longest:
                chosen, longest = task, waited
        if chosen is None:
            return max(WAIT_MIN_SECONDS, soonest - now) if soonest < float("inf") else IDLE_WAIT_SECONDS
        # A lateness of up to half a slot is made up for; otherwise a busy machine would never reach the quota's pace.
        self.next_slot = max(now - self.slot / 2, self.next_slot) + self.slot
        chosen.busy = True
        chosen.last = now
        return chosen

    def reset_failures(self) -> None:
        """A call has succeeded."""
        self.failures = self.limited = 0

    def hold_for_quota(self, now: float, retry_after: float | None) -> None:
        """A 429: pause this method alone, for `retry_after` seconds, or 1, 2, 4 .. 30 s where the venue names none."""
        self.limited += 1
        if retry_after is None:
            self._hold(now, self.limited, QUOTA_HOLD_MAX_SECONDS)
        else:
            self._hold(now, 1, retry_after, first=retry_after)

    def hold_after_failure(self, now: float) -> None:
        """The venue did not answer or has a fault: pause longer with each failure, but not after the first."""
        self.failures += 1
        if self.failures > 1:
            self._hold(now, self.failures - 1, AWAY_RETRY_MAX_SECONDS)

    def _hold(self, now: float, attempt: int, longest: float, *, first: float = 1.0) -> None:
        pause = retry_seconds(attempt, self.random, first=first, longest=longest, spread=HOLD_SPREAD)
        self.held_until = max(self.held_until, now + pause)

    def resume(self, now: float) -> None:
        """The venue is back: make all tasks that failed due again soon."""
        if not self.limited:
            self.held_until = min(self.held_until, now)
        for task in self.tasks:
            if task.failures:
                task.due = min(task.due, now + self.random.uniform(0.0, RESUME_SPREAD_SECONDS))
