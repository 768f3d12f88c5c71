"""Makes the queues of a poll plan: one for each method of market data, and one for what describes instruments."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from collector.venues.events import SubscriptionState, SubscriptionStatus
from collector.venues.finam import requests
from collector.venues.finam.planner import STREAM_OF, bar_periods, periods, weights
from collector.venues.finam.settings import FinamSettings
from collector.venues.finam.tasks import DAILY_SECONDS, Queue, Task
from collector.venues.plan import PollPlan

# The lanes of logins, and of what describes instruments.
SESSIONS, REFERENCE = "sessions", "reference"

# How often the venue's clock is compared with ours. A schedule that is out of date is asked for again as often.
CLOCK_PERIOD_SECONDS = 3600.0


def lanes(streams: Sequence[str], settings: FinamSettings) -> tuple[str, ...]:
    """Name the lanes of a plan: `in_flight` for each method of market data, which share its queue."""
    methods = [method for method, stream in STREAM_OF.items() if stream in streams]
    numbers = range(1, settings.in_flight + 1)
    return (SESSIONS, REFERENCE, *(f"{method}/{number}" for method in methods for number in numbers))


def make_queues(plan: PollPlan, settings: FinamSettings, random: Random) -> dict[str, Queue]:
    """Return the queues by method. A plan whose header has `audits` checks a socket; any other polls market data."""
    slot_seconds = 60.0 / settings.rest_per_minute
    queues = {REFERENCE: Queue(REFERENCE, slot_seconds, random, _reference_tasks(plan.header.symbols or ()))}
    for method, stream in STREAM_OF.items():
        if plan.header.own.get("audits"):
            tasks = _audit_tasks(plan, settings, method)
        else:
            tasks = _poll_tasks(plan, settings, method, stream)
        if tasks:
            queues[method] = Queue(method, slot_seconds, random, tasks)
    return queues


def _reference_tasks(symbols: Sequence[str]) -> list[Task]:
    venue_tasks = [
        Task(requests.CLOCK, "", CLOCK_PERIOD_SECONDS, CLOCK_PERIOD_SECONDS),
        Task(requests.EXCHANGES, "", DAILY_SECONDS, DAILY_SECONDS),
    ]
    return venue_tasks + [
        Task(method, symbol, DAILY_SECONDS, DAILY_SECONDS)
        for method in (requests.SCHEDULE, requests.ASSET, requests.PARAMS)
        for symbol in symbols
    ]


def _poll_tasks(plan: PollPlan, settings: FinamSettings, method: str, stream: str) -> list[Task]:
    tasks = []
    for planned in plan.subscriptions:
        if planned.stream != stream:
            continue
        frame = planned.channel.partition("/")[2]
        if frame:
            period_of = dict.fromkeys(planned.symbols, bar_periods(planned.symbols, settings)[frame])
        else:
            period_of = periods(weights(planned.symbols, settings.priorities), settings)
        for symbol in planned.symbols:
            status = SubscriptionStatus(planned.channel, stream, symbol, SubscriptionState.WAITING, 0.0)
            tasks.append(Task(method, symbol, period_of[symbol], period_of[symbol], status, frame))
    return tasks


def _audit_tasks(plan: PollPlan, settings: FinamSettings, method: str) -> list[Task]:
    # The socket sends every change; REST fetches what it missed, from time to time and after each reconnection.
    return [
        Task(method, symbol, settings.rest_check_seconds, settings.rest_check_seconds, frame=channel.partition("/")[2])
        for channel, symbols in plan.header.own["audits"]
        if channel.partition("/")[0] == method
        for symbol in symbols
    ]
