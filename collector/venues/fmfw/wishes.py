"""What a conversation remembers: the standing of each symbol, what is to be asked for, and what has been asked."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from collector.venues.events import SubscriptionState, SubscriptionStatus
from collector.venues.fmfw.requests import SYMBOLS_PER_REQUEST
from collector.venues.plan import Subscription


@dataclass(slots=True)
class Entry:
    """One symbol of one subscription. `before`: the parser's last sight of it when it was asked for."""

    status: SubscriptionStatus
    subscription: Subscription
    before: int = 0
    whole: bool = False
    silent: int = 0
    renewing: bool = False

    def turn(self, state: SubscriptionState, now: float, reason: str = "") -> None:
        self.status.state = state
        self.status.since = now
        self.status.reason = reason


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


def joined(wishes: list[Wish]) -> list[Wish]:
    """Let renewals of one subscription share their requests; what was halved on purpose stays apart."""
    apart = [wish for wish in wishes if not wish.renewal]
    renewals: dict[tuple[int, int], list[str]] = {}
    for wish in wishes:
        if wish.renewal:
            renewals.setdefault((wish.subscription, wish.attempt), []).extend(wish.symbols)
    for (index, attempt), symbols in renewals.items():
        once = tuple(dict.fromkeys(symbols))
        for start in range(0, len(once), SYMBOLS_PER_REQUEST):
            part = once[start : start + SYMBOLS_PER_REQUEST]
            apart.append(Wish(0.0, index, part, attempt, renewal=True))
    return apart


def parts(symbols: tuple[str, ...], message: str) -> Iterable[tuple[str, ...]]:
    """Split a refused request: the symbols that the message names from the rest, else in halves."""
    words = set(re.findall(r"[\w-]+", message))
    named = tuple(symbol for symbol in symbols if symbol in words)
    if named and len(named) < len(symbols):
        return named, tuple(symbol for symbol in symbols if symbol not in words)
    middle = len(symbols) // 2
    return symbols[:middle], symbols[middle:]
