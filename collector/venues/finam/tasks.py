"""What is asked for again and again: one task for each symbol of a method, and the paced queue of the method.

A queue hands out at most one call a slot, to the task that has waited longest in relation to its period; so when more
is wanted than the quota allows, everybody waits longer in proportion, and a period halved is a share doubled.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from collector.backoff import retry_seconds
from collector.venues.events import SubscriptionState, SubscriptionStatus
from collector.venues.finam.candles import Reached

LONGEST_HOLD_SECONDS = 30.0
HOLD_SPREAD = (1.0, 1.25)
# How seldom a method is tried while the venue is away. The first answer has all the others asked again.
LONGEST_AWAY_SECONDS = 15.0
RECHECK_SECONDS = (600.0, 3600.0, 86_400.0)
DAILY_SECONDS = 86_400.0
RESUMED_WITHIN_SECONDS = 3.0
GROWTH = 1.05


@dataclass(slots=True, eq=False)
class Task:
    """One symbol of one method (and frame). Times are the polling's monotonic seconds."""

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
    """Empty answers in a row that were not believed."""
    unauthorised: int = 0
    failures: int = 0
    refusals: int = 0
    reached: Reached | None = None
    """How far its bars are known; None before the first."""

    def turn(self, state: SubscriptionState, now: float, reason: str = "") -> None:
        """Change what is shown of the task."""
        shown = self.status
        if shown is not None and (shown.state, shown.reason) != (state, reason):
            shown.state, shown.reason, shown.since = state, reason, now

    @property
    def asked(self) -> bool:
        """Whether it was ever asked for."""
        return self.last > float("-inf")

    @property
    def refused(self) -> bool:
        return self.status is not None and self.status.state is SubscriptionState.REFUSED

    def halve(self, shortest: float) -> None:
        """Trades were lost: ask twice as often."""
        self.period = max(shortest, self.period / 2)

    def adapt(self, share: float, shortest: float) -> None:
        """Keep new trades at half a list: `share` is how much of the last one was new."""
        if share > 0.5:
            self.period = max(shortest, self.period * 0.5 / share)
        else:
            self.period = min(self.base, self.period * GROWTH)


@dataclass(slots=True, eq=False)
class Queue:
    """The calls of one method, half a slot apart at the least."""

    method: str
    slot: float
    """Seconds between two calls."""
    random: Random
    tasks: list[Task] = field(default_factory=list)
    next_slot: float = 0.0
    held_until: float = 0.0
    failures: int = 0
    limited: int = 0

    def take(self, now: float) -> Task | float:
        """Return the task whose turn it is, or how long to wait."""
        free = max(self.next_slot, self.held_until)
        if now < free:
            return free - now
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
            return max(0.05, soonest - now) if soonest < float("inf") else 1.0
        # Half a slot of lateness is made up for, or a busy machine would never reach the pace.
        self.next_slot = max(now - self.slot / 2, self.next_slot) + self.slot
        chosen.busy = True
        chosen.last = now
        return chosen

    def went_well(self) -> None:
        self.failures = self.limited = 0

    def hold_for_quota(self, now: float, asked: float | None) -> None:
        """A 429: this method alone waits, as long as the venue says, else 1, 2, 4 .. 30 s."""
        self.limited += 1
        if asked is None:
            self._hold(now, self.limited, LONGEST_HOLD_SECONDS)
        else:
            self._hold(now, 1, asked, first=asked)

    def hold_after_failure(self, now: float) -> None:
        """The venue or the way to it is out of order: ask less until something works again."""
        self.failures += 1
        if self.failures > 1:
            self._hold(now, self.failures - 1, LONGEST_AWAY_SECONDS)

    def _hold(self, now: float, attempt: int, longest: float, *, first: float = 1.0) -> None:
        pause = retry_seconds(attempt, self.random, first=first, longest=longest, spread=HOLD_SPREAD)
        self.held_until = max(self.held_until, now + pause)

    def resume(self, now: float) -> None:
        """The venue is back: ask again soon for all that failed."""
        if not self.limited:
            self.held_until = min(self.held_until, now)
        for task in self.tasks:
            if task.failures:
                task.due = min(task.due, now + self.random.uniform(0.0, RESUMED_WITHIN_SECONDS))
