"""What a poll plan asks for: a queue of tasks for each method of market data, and one for what instruments are."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from collector.venues.events import SubscriptionState, SubscriptionStatus
from collector.venues.finam import requests
from collector.venues.finam.planner import STREAM_OF, bar_periods, periods, weights
from collector.venues.finam.settings import FinamSettings
from collector.venues.finam.tasks import DAILY_SECONDS, Queue, Task
from collector.venues.plan import PollPlan

SESSIONS, REFERENCE = "sessions", "reference"

CLOCK_SECONDS = 3600.0


def lanes(streams: Sequence[str], settings: FinamSettings) -> tuple[str, ...]:
    """Name the lanes of a plan: those of one method share its queue."""
    methods = [method for method, stream in STREAM_OF.items() if stream in streams]
    return (SESSIONS, REFERENCE, *(f"{method}/{n}" for method in methods for n in range(1, settings.in_flight + 1)))


def make_queues(plan: PollPlan, settings: FinamSettings, random: Random) -> dict[str, Queue]:
    """Return the queues by method. A plan with `audits` looks after a socket; another one polls."""
    slot = 60.0 / settings.rest_per_minute
    queues = {REFERENCE: Queue(REFERENCE, slot, random, _reference_tasks(plan.header.symbols or ()))}
    for method, stream in STREAM_OF.items():
        if plan.header.own.get("audits"):
            tasks = _audit_tasks(plan, settings, method)
        else:
            tasks = _poll_tasks(plan, settings, method, stream)
        if tasks:
            queues[method] = Queue(method, slot, random, tasks)
    return queues


def _reference_tasks(symbols: Sequence[str]) -> list[Task]:
    venue = [
        Task(requests.CLOCK, "", CLOCK_SECONDS, CLOCK_SECONDS),
        Task(requests.EXCHANGES, "", DAILY_SECONDS, DAILY_SECONDS),
    ]
    return venue + [
        Task(method, symbol, DAILY_SECONDS, DAILY_SECONDS)
        for method in (requests.SCHEDULE, requests.ASSET, requests.PARAMS)
        for symbol in symbols
    ]


def _poll_tasks(plan: PollPlan, settings: FinamSettings, method: str, stream: str) -> list[Task]:
    tasks = []
    for one in plan.subscriptions:
        if one.stream != stream:
            continue
        frame = one.channel.partition("/")[2]
        if frame:
            every = dict.fromkeys(one.symbols, bar_periods(one.symbols, settings)[frame])
        else:
            every = periods(weights(one.symbols, settings.priorities), settings)
        for symbol in one.symbols:
            status = SubscriptionStatus(one.channel, stream, symbol, SubscriptionState.WAITING, 0.0)
            tasks.append(Task(method, symbol, every[symbol], every[symbol], status, frame))
    return tasks


def _audit_tasks(plan: PollPlan, settings: FinamSettings, method: str) -> list[Task]:
    # The socket tells every change; REST fills in what it missed, from time to time and after each reconnection.
    return [
        Task(method, symbol, settings.rest_check_seconds, settings.rest_check_seconds, frame=channel.partition("/")[2])
        for channel, symbols in plan.header.own["audits"]
        if channel.partition("/")[0] == method
        for symbol in symbols
    ]
