"""What a conversation remembers: how each symbol's subscriptions stand, and what has been asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from collector.venues.events import SubscriptionState, SubscriptionStatus
from collector.venues.metaapi.requests import subscription

REMOVED = "the venue sends it no more, to save bandwidth (downgraded)"

_ACKNOWLEDGED, _FLOWING = SubscriptionState.ACKNOWLEDGED, SubscriptionState.FLOWING
_REFUSED, _WAITING = SubscriptionState.REFUSED, SubscriptionState.WAITING


@dataclass(slots=True)
class Entry:
    """One kind of data of one symbol. `statuses`: one, or two where ticks are also the source of trades."""

    kind: str
    symbol: str
    target: int
    statuses: list[SubscriptionStatus]
    intervals: Mapping[str, int | None]
    reduced: int | None = None
    """Milliseconds between two packets, where the venue has made it more than was asked for."""
    since_ns: int = 0
    """The newest data that was seen when it was asked for."""

    @property
    def state(self) -> SubscriptionState:
        return self.statuses[0].state

    @property
    def wanted(self) -> bool:
        """Whether it belongs to what the venue is asked to send."""
        return self.state is not _REFUSED

    def turn(self, state: SubscriptionState, now: float, reason: str = "") -> None:
        """Change how it stands; what stays the same keeps its time."""
        for status in self.statuses:
            if status.state is not state:
                status.state, status.since = state, now
            status.reason = reason

    def as_subscription(self) -> dict[str, Any]:
        """Return it as the venue wants it, in the reduced form where there is one."""
        if self.reduced is None:
            return subscription(self.kind, self.intervals)
        return subscription(self.kind, {self.kind.partition("/")[0]: self.reduced})

    def look(self, last_seen: Mapping[str, Mapping[str, int]], now: float) -> None:
        """Let data that came since prove it."""
        for status in self.statuses:
            if status.state is _ACKNOWLEDGED and (
                last_seen.get(status.channel, {}).get(status.symbol, 0) > self.since_ns
            ):
                status.state, status.since, status.reason = _FLOWING, now, self.note

    @property
    def note(self) -> str:
        """What a person should know of it although it flows."""
        return "" if self.reduced is None else f"downgraded by the venue to one in {self.reduced} ms"


@dataclass(slots=True)
class Wish:
    """Kinds of one symbol to ask for at a time."""

    due: float
    symbol: str
    kinds: tuple[str, ...]
    attempt: int = 0


@dataclass(slots=True)
class Request:
    """A request that was sent and not answered yet."""

    type: str
    account_id: str
    sent: float
    wish: Wish | None = None


@dataclass(slots=True)
class Entries:
    """All entries of one account by symbol and kind."""

    by_symbol: dict[str, dict[str, Entry]] = field(default_factory=dict)

    @classmethod
    def of(cls, described: Mapping[str, Any], first_target: int, intervals: Mapping[str, int | None]) -> Entries:
        """Make the entries of an account as its plan describes it."""
        name, prefix = described["name"], described["prefix"]
        made = cls()
        for place, symbol in enumerate(described["symbols"]):
            of_symbol = made.by_symbol[symbol] = {}
            for kind in described["kinds"]:
                streams = {"quotes": ["ticks"], "ticks": [], "marketDepth": ["books"]}.get(kind, ["candles"])
                if kind == "ticks":
                    streams = ["ticks"] * described["tick_rows"] + ["trades"] * ("trades" in described["streams"])
                statuses = [
                    SubscriptionStatus(
                        f"{name}/{'trades' if stream == 'trades' else kind}", stream, prefix + symbol, _WAITING, 0.0
                    )
                    for stream in streams
                ]
                of_symbol[kind] = Entry(kind, symbol, first_target + place, statuses, intervals)
        return made

    def all(self) -> Iterable[Entry]:
        return (entry for of_symbol in self.by_symbol.values() for entry in of_symbol.values())

    def turn_all(self, state: SubscriptionState, now: float, reason: str = "") -> None:
        """Change all that were not refused."""
        for entry in self.all():
            if entry.wanted:
                entry.turn(state, now, reason)

    def full_list(self) -> list[dict[str, Any]]:
        """Return everything that is wanted, as `refreshMarketDataSubscriptions` has it."""
        found = []
        for symbol, of_symbol in self.by_symbol.items():
            subscriptions = [entry.as_subscription() for entry in of_symbol.values() if entry.wanted]
            if subscriptions:
                found.append({"symbol": symbol, "subscriptions": subscriptions})
        return found
