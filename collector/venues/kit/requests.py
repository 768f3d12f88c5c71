"""Subscriptions that are asked for by numbered requests of several symbols each.

A request is matched by its number and channel, for a venue answers late and in any order. One bad symbol may refuse a
whole request, so a refused request is halved until the bad symbol is alone.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from collector.venues.events import Acknowledged, Action, Refused, Send
from collector.venues.kit.losses import backoff
from collector.venues.kit.subscriptions import ACK_SECONDS, ALL, REFUSED, REQUESTED, WAITING, Entry, Subscriptions
from collector.venues.plan import ConnectionPlan, Subscription
from collector.venues.roles import Parser

# Symbols that need a new subscription within this time share one.
RENEWAL_SPACING_SECONDS: Final = 0.5
REQUESTS_REMEMBERED: Final = 1000
# Nothing is asked for so long after the venue found our requests too many.
HOLD_SECONDS: Final = 1.0


@dataclass(slots=True)
class Wish:
    """Symbols to ask for at a time. A renewal unsubscribes first, and can share its request with others."""

    due: float
    subscription: int
    symbols: tuple[str, ...]
    attempt: int = 0
    renewal: bool = False


@dataclass(slots=True)
class Request:
    """A wish that was sent. `expired`: nobody answered in time, and it has been made anew."""

    wish: Wish
    sent: float
    expired: bool = False


class RequestedSubscriptions(Subscriptions):
    """A conversation by numbered requests; a venue adds `_subscribe`, `_unsubscribe` and what is other with it."""

    symbols_per_request: int = 100
    too_many: str = "429"
    """The code with which the venue refuses what came too fast."""

    def __init__(self, plan: ConnectionPlan, parser: Parser, random: Random) -> None:
        super().__init__(plan, parser, random)
        self._wishes: list[Wish] = []
        self._requests: dict[int, Request] = {}
        self._last_id = 0
        self._hold_until = float("-inf")
        self._renewed_at = float("-inf")

    @abstractmethod
    def _subscribe(self, subscription: Subscription, symbols: Sequence[str], request_id: int) -> bytes:
        """Return the message that asks for symbols of a subscription."""

    @abstractmethod
    def _unsubscribe(self, subscription: Subscription, symbols: Sequence[str], request_id: int) -> bytes:
        """Return the message that gives symbols of a subscription up."""

    def opened(self, now: float) -> Sequence[Action]:
        """Ask for everything."""
        for index, subscription in enumerate(self._plan.subscriptions):
            for symbols in _chunks(subscription.symbols, self.symbols_per_request):
                self._wishes.append(Wish(now, index, symbols))
            for entry in self._entries[index].values():
                entry.turn(WAITING, now)
        return self._actions(now)

    # -- what the venue said -------------------------------------------------------------------------------------------

    def _acknowledged(self, event: Acknowledged, now: float) -> None:
        request = self._requests.get(event.request_id) if isinstance(event.request_id, int) else None
        if request is None or self._plan.subscriptions[request.wish.subscription].channel != event.channel:
            return
        del self._requests[event.request_id]  # type: ignore[arg-type]
        missing = []
        for symbol in request.wish.symbols:
            entry = self._entries[request.wish.subscription][symbol]
            state = entry.status.state
            if state not in (REQUESTED, WAITING) or (state is WAITING and entry.renewing):
                continue  # known already, or about to be unsubscribed so that this answer is worth nothing
            if symbol in event.symbols or symbol == ALL:
                self._take_acknowledged(entry, now)
                if self._has_data(entry):
                    self._flowing(entry, now)
            else:
                missing.append(symbol)
        if missing and not request.expired:
            wish = request.wish
            left = Wish(now, wish.subscription, tuple(missing), wish.attempt, wish.renewal)
            self._ask_again(left, now, "left out of the acknowledgement")

    def _refused(self, event: Refused, now: float) -> None:
        if event.code == self.too_many:
            self._hold_until = max(self._hold_until, now + HOLD_SECONDS)
        request = self._requests.pop(event.request_id, None) if isinstance(event.request_id, int) else None
        if request is None or request.expired:
            return
        wish = request.wish
        reason = f"{event.message} (code {event.code})"
        if not event.permanent:
            self._ask_again(wish, now, reason)
        elif len(wish.symbols) == 1:
            self._entries[wish.subscription][wish.symbols[0]].turn(REFUSED, now, reason)
        else:
            for part in parts(wish.symbols, event.message):
                self._wishes.append(Wish(now, wish.subscription, part, wish.attempt))
                for symbol in part:
                    self._entries[wish.subscription][symbol].turn(WAITING, now, reason)

    def _look_after_requests(self, now: float) -> None:
        for request in self._requests.values():
            if not request.expired and now - request.sent >= ACK_SECONDS:
                request.expired = True
                self._ask_again(request.wish, now, "no acknowledgement")

    # -- asking --------------------------------------------------------------------------------------------------------

    def _renew(self, entry: Entry, due: float, now: float, reason: str) -> None:
        entry.renewing = True
        entry.turn(WAITING, now, reason)
        self._wishes.append(Wish(due, entry.index, (entry.symbol,), renewal=True))

    def _ask_again(self, wish: Wish, now: float, reason: str) -> None:
        attempt = wish.attempt + 1
        for symbol in wish.symbols:
            entry = self._entries[wish.subscription][symbol]
            if entry.status.state in (REQUESTED, WAITING):
                entry.turn(WAITING, now, reason)
        due = now + backoff(attempt, self._random)
        self._wishes.append(Wish(due, wish.subscription, wish.symbols, attempt, wish.renewal))

    def _due(self, now: float) -> Sequence[Action]:
        if now < self._hold_until or not self._wishes:
            return ()
        renewals_wait = now - self._renewed_at < RENEWAL_SPACING_SECONDS
        due: list[Wish] = []
        later: list[Wish] = []
        for wish in self._wishes:
            (later if wish.due > now or (wish.renewal and renewals_wait) else due).append(wish)
        self._wishes = later
        actions: list[Action] = []
        for wish in joined(due, self.symbols_per_request):
            symbols = tuple(s for s in wish.symbols if self._entries[wish.subscription][s].status.state is WAITING)
            if symbols:
                wish.symbols = symbols
                actions += self._ask(wish, now)
        return actions

    def _ask(self, wish: Wish, now: float) -> list[Action]:
        subscription = self._plan.subscriptions[wish.subscription]
        actions: list[Action] = []
        if wish.renewal:
            self._renewed_at = now
            actions.append(Send(self._unsubscribe(subscription, wish.symbols, self._next_id())))
        for symbol in wish.symbols:
            entry = self._entries[wish.subscription][symbol]
            entry.turn(REQUESTED, now, entry.status.reason)
            entry.before = self._last_seen(entry)
        request_id = self._next_id()
        self._requests[request_id] = Request(wish, now)
        if len(self._requests) > REQUESTS_REMEMBERED:
            del self._requests[next(iter(self._requests))]
        actions.append(Send(self._subscribe(subscription, wish.symbols, request_id)))
        return actions

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id


def joined(wishes: list[Wish], most_symbols: int) -> list[Wish]:
    """Let renewals of one subscription share their requests; what was halved on purpose stays apart."""
    apart = [wish for wish in wishes if not wish.renewal]
    renewals: dict[tuple[int, int], list[str]] = {}
    for wish in wishes:
        if wish.renewal:
            renewals.setdefault((wish.subscription, wish.attempt), []).extend(wish.symbols)
    for (index, attempt), symbols in renewals.items():
        once = tuple(dict.fromkeys(symbols))
        apart += [Wish(0.0, index, part, attempt, renewal=True) for part in _chunks(once, most_symbols)]
    return apart


def parts(symbols: tuple[str, ...], message: str) -> Iterable[tuple[str, ...]]:
    """Split a refused request: the symbols that the message names from the rest, else in halves."""
    words = set(re.findall(r"[\w-]+", message))
    named = tuple(symbol for symbol in symbols if symbol in words)
    if named and len(named) < len(symbols):
        return named, tuple(symbol for symbol in symbols if symbol not in words)
    middle = len(symbols) // 2
    return symbols[:middle], symbols[middle:]


def _chunks(symbols: tuple[str, ...], size: int) -> list[tuple[str, ...]]:
    return [symbols[start : start + size] for start in range(0, len(symbols), size)]
