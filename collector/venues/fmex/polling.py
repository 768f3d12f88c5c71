"""What is asked for again and again: indexes, exchange rates, open interest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from collector.errors import VenueError
from collector.venues.events import Event, SubscriptionState, SubscriptionStatus
from collector.venues.fmex.derivatives import EXCHANGE_SEEN
from collector.venues.fmex.rest import EXCHANGE, INDEXES, INTEREST, PREFIX
from collector.venues.fmex.settings import FmexSettings
from collector.venues.kit.losses import backoff
from collector.venues.plan import PollPlan, Subscription
from collector.venues.rest import RestAnswer, RestCall
from collector.venues.roles import Parser

IDLE_SECONDS = 60.0
PERMANENT_SECONDS = 300.0


@dataclass(slots=True)
class _Errand:
    """A call that is made every so many seconds."""

    call: RestCall
    every: float
    due: float = 0.0
    failures: int = 0


class FmexPolling:
    """Meets `collector.venues.adapter.Polling`. A call that fails is made later and later; the others go on."""

    def __init__(self, plan: PollPlan, settings: FmexSettings, parser: Parser, random: Random) -> None:
        self._parser = parser
        self._random = random
        self._statuses = [
            (one, SubscriptionStatus(one.channel, one.stream, symbol, SubscriptionState.WAITING, 0.0))
            for one in plan.subscriptions
            for symbol in one.symbols
        ]
        streams = {one.stream for one in plan.subscriptions}
        market = f"{settings.rest_url}/v2/market"
        self._errands: list[_Errand] = []
        if "derivatives" in streams and settings.statistics_url:
            self._add(INTEREST, settings.statistics_url, settings.statistics_seconds)
        self._add(INDEXES, f"{market}/indexes", settings.indexes_seconds)
        if "rates" in streams:
            self._add(EXCHANGE, f"{market}/fex", settings.exchange_rates_seconds)

    def __repr__(self) -> str:
        return f"<FmexPolling {', '.join(errand.call.channel for errand in self._errands)}>"

    def _add(self, kind: str, url: str, every: float) -> None:
        self._errands.append(_Errand(RestCall(f"{PREFIX}{kind}", url), every))

    def next(self, lane: str, now: float, now_ns: int) -> RestCall | float:
        errand = min(self._errands, key=lambda errand: errand.due)
        if errand.due > now:
            return min(errand.due - now, IDLE_SECONDS)
        errand.due = now + errand.every
        for one, status in self._statuses:
            if status.state is SubscriptionState.WAITING and self._serves(errand.call, one):
                status.state, status.since = SubscriptionState.REQUESTED, now
        return errand.call

    def answered(self, lane: str, call: RestCall, answer: RestAnswer, events: Sequence[Event], now: float) -> None:
        errand = self._errand(call)
        errand.failures = 0
        for one, status in self._statuses:
            if not self._serves(call, one):
                continue
            # The venue may have no index for a contract, and no exchange rates at all: asked and answered, then.
            arrived = status.symbol in self._parser.last_seen.get(one.channel, {})
            state = SubscriptionState.FLOWING if arrived else SubscriptionState.ACKNOWLEDGED
            if status.state is not state:
                status.state, status.since = state, now
            status.reason = "" if arrived else "the venue's answer has nothing of it"

    def failed(self, lane: str, call: RestCall, error: VenueError, now: float) -> None:
        errand = self._errand(call)
        errand.failures += 1
        pause = PERMANENT_SECONDS if error.permanent else backoff(errand.failures, self._random)
        errand.due = now + max(pause, errand.every)
        state = SubscriptionState.REFUSED if error.permanent else SubscriptionState.WAITING
        for one, status in self._statuses:
            if self._serves(call, one):
                status.state, status.since, status.reason = state, now, error.reason

    @property
    def proved(self) -> bool:
        settled = (SubscriptionState.FLOWING, SubscriptionState.ACKNOWLEDGED, SubscriptionState.REFUSED)
        return all(status.state in settled for _, status in self._statuses)

    def statuses(self) -> Sequence[SubscriptionStatus]:
        return [status for _, status in self._statuses]

    def _errand(self, call: RestCall) -> _Errand:
        return next(errand for errand in self._errands if errand.call is call)

    @staticmethod
    def _serves(call: RestCall, subscription: Subscription) -> bool:
        """Whether the answer to the call is what the subscription waits for; open interest comes beside it."""
        wanted = EXCHANGE if subscription.channel == EXCHANGE_SEEN else INDEXES
        return call.channel == f"{PREFIX}{wanted}"
