"""What a conversation remembers: the state of each subscription, and the requests that were sent or are still due."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from collector.venues.events import SubscriptionState, SubscriptionStatus
from collector.venues.metaapi.requests import subscription

# The reason shown for a subscription that the venue has ended.
REMOVED = "the venue no longer sends it, to save bandwidth (downgraded)"

_ACKNOWLEDGED, _FLOWING = SubscriptionState.ACKNOWLEDGED, SubscriptionState.FLOWING
_REFUSED, _WAITING = SubscriptionState.REFUSED, SubscriptionState.WAITING


@dataclass(slots=True)
class Entry:
    """The subscription of one symbol to one kind of data, such as `quotes` or `candles/1m`.

    `target` is the symbol's number in the session (see `requests`). `statuses` are what is shown: one, or two where
    the ticks are the source of both ticks and trades.
    """

    kind: str
    symbol: str
    target: int
    statuses: list[SubscriptionStatus]
    intervals: Mapping[str, int | None]
    reduced: int | None = None
    """The interval in milliseconds to which the venue has reduced it; None while it sends what was asked for."""
    newest_before_ns: int = 0
    """When its newest data had come at the time of the request; only later data prove the subscription."""

    @property
    def state(self) -> SubscriptionState:
        return self.statuses[0].state

    @property
    def active(self) -> bool:
        """Whether the venue is asked to send it: all but what it has refused."""
        return self.state is not _REFUSED

    def set_state(self, state: SubscriptionState, now: float, reason: str = "") -> None:
        """Change state and reason; the time since when changes only with the state."""
        for status in self.statuses:
            if status.state is not state:
                status.state, status.since = state, now
            status.reason = reason

    def as_subscription(self) -> dict[str, Any]:
        """Return it in the venue's form, with the reduced interval where there is one."""
        if self.reduced is None:
            return subscription(self.kind, self.intervals)
        return subscription(self.kind, {self.kind.partition("/")[0]: self.reduced})

    def mark_flowing(self, last_seen: Mapping[str, Mapping[str, int]], now: float) -> None:
        """Mark it as flowing once it is acknowledged and data have come since the request."""
        for status in self.statuses:
            if status.state is _ACKNOWLEDGED and (
                last_seen.get(status.channel, {}).get(status.symbol, 0) > self.newest_before_ns
            ):
                status.state, status.since, status.reason = _FLOWING, now, self.note

    @property
    def note(self) -> str:
        """The reason that is shown while it flows: empty, or that the venue sends less than was asked for."""
        return "" if self.reduced is None else f"downgraded by the venue to one every {self.reduced} ms"


@dataclass(slots=True)
class PendingSubscription:
    """A `subscribeToMarketData` that is to be sent at `due`: one symbol, and the kinds of data to ask for together."""

    due: float
    symbol: str
    kinds: tuple[str, ...]
    attempt: int = 0


@dataclass(slots=True)
class Request:
    """A request that was sent and is not answered yet. `pending`: the subscription that it asks for, if any."""

    type: str
    account_id: str
    sent: float
    pending: PendingSubscription | None = None


@dataclass(slots=True)
class Entries:
    """All entries of one account by symbol and kind."""

    by_symbol: dict[str, dict[str, Entry]] = field(default_factory=dict)

    @classmethod
    def from_description(
        cls, description: Mapping[str, Any], first_target: int, intervals: Mapping[str, int | None]
    ) -> Entries:
        """Make the entries of an account from its part of the session's header, see `discovery.describe`."""
        name, prefix = description["name"], description["prefix"]
        entries = cls()
        for place, symbol in enumerate(description["symbols"]):
            by_kind = entries.by_symbol[symbol] = {}
            for kind in description["kinds"]:
                streams = {"quotes": ["ticks"], "ticks": [], "marketDepth": ["books"]}.get(kind, ["candles"])
                if kind == "ticks":
                    streams = ["ticks"] * description["tick_rows"] + ["trades"] * ("trades" in description["streams"])
                statuses = [
                    SubscriptionStatus(
                        f"{name}/{'trades' if stream == 'trades' else kind}", stream, prefix + symbol, _WAITING, 0.0
                    )
                    for stream in streams
                ]
                by_kind[kind] = Entry(kind, symbol, first_target + place, statuses, intervals)
        return entries

    def all(self) -> Iterable[Entry]:
        return (entry for by_kind in self.by_symbol.values() for entry in by_kind.values())

    def set_all_states(self, state: SubscriptionState, now: float, reason: str = "") -> None:
        """Change the state of all entries that were not refused."""
        for entry in self.all():
            if entry.active:
                entry.set_state(state, now, reason)

    def full_list(self) -> list[dict[str, Any]]:
        """Return all active entries in the form that `refreshMarketDataSubscriptions` takes."""
        symbols = []
        for symbol, by_kind in self.by_symbol.items():
            subscriptions = [entry.as_subscription() for entry in by_kind.values() if entry.active]
            if subscriptions:
                symbols.append({"symbol": symbol, "subscriptions": subscriptions})
        return symbols
