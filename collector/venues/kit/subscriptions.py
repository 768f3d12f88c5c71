"""Subscriptions until their data is proved to flow: what every conversation over a socket keeps and does alike.

Knows no socket and no clock: events and times come in, messages go out. A subscription is asked for, acknowledged, and
flows once the parser has seen data of it. One that stays silent is made anew a few times; then either its whole channel
is silent and the connection is at fault, or it is a market without data. A book that lost messages is subscribed anew,
it alone. How to ask, and what an answer says, is the venue's own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from collector.venues.events import (
    Acknowledged,
    Action,
    Event,
    Reconnect,
    Refused,
    SequenceLost,
    SnapshotTaken,
    SubscriptionState,
    SubscriptionStatus,
    VenueEvent,
)
from collector.venues.kit.losses import LOSSES_ALLOWED, Losses, backoff
from collector.venues.plan import ConnectionPlan, Subscription
from collector.venues.roles import Parser

# A request that is not answered for so long is made again.
ACK_SECONDS: Final = 15.0
# A prompt subscription that has brought nothing for so long is silent.
FIRST_DATA_SECONDS: Final = 30.0
# So often a silent subscription is made anew before it, or its connection, is given up.
SILENT_SUBSCRIPTIONS: Final = 3
# How often a symbol that stays silent while its neighbours speak is asked for again.
QUIET_SECONDS: Final = 300.0

# The symbol of a subscription to all that a channel has.
ALL: Final = "*"
DEAD_MARKET: Final = "no data though others of the channel have some: a dead market?"

WAITING, REQUESTED, ACKNOWLEDGED, FLOWING, REFUSED = SubscriptionState


@dataclass(slots=True, eq=False)
class Entry:
    """One symbol of one subscription.

    `due` is when it is asked for, and `before` the parser's last sight of it at that moment. `attempt` counts requests
    that came to nothing, `silent` those that were acknowledged and brought no data. `alone`: others must not share its
    request. `whole`: its book is. `renewing`: it is to be given up first, and subscribed anew.
    """

    status: SubscriptionStatus
    subscription: Subscription
    index: int
    due: float = 0.0
    before: int = 0
    attempt: int = 0
    silent: int = 0
    alone: bool = False
    whole: bool = False
    renewing: bool = False

    @property
    def symbol(self) -> str:
        return self.status.symbol

    def turn(self, state: SubscriptionState, now: float, reason: str = "") -> None:
        """Go over to another state."""
        self.status.state, self.status.since, self.status.reason = state, now, reason

    def wait(self, due: float, now: float, reason: str) -> None:
        """Wait until it is asked for."""
        self.turn(WAITING, now, reason)
        self.due = due


class Subscriptions(ABC):
    """The base of a conversation; meets `collector.venues.roles.Conversation` but for `opened`."""

    def __init__(self, plan: ConnectionPlan, parser: Parser, random: Random) -> None:
        self._plan = plan
        self._parser = parser
        self._random = random
        self._entries: list[dict[str, Entry]] = [
            {
                symbol: Entry(SubscriptionStatus(one.channel, one.stream, symbol, WAITING, 0.0), one, index)
                for symbol in one.symbols
            }
            for index, one in enumerate(plan.subscriptions)
        ]
        self._losses = Losses()
        self._given_up: str | None = None

    def __repr__(self) -> str:
        states = [entry.status.state for entry in self._all()]
        counts = ", ".join(f"{state}={states.count(state)}" for state in SubscriptionState if state in states)
        return f"<{type(self).__name__} {self._plan.name} {counts}>"

    # -- what a venue adds ---------------------------------------------------------------------------------------------

    @abstractmethod
    def _acknowledged(self, event: Acknowledged, now: float) -> None:
        """Take an acknowledgement."""

    @abstractmethod
    def _refused(self, event: Refused, now: float) -> None:
        """Take a refusal."""

    @abstractmethod
    def _renew(self, entry: Entry, due: float, now: float, reason: str) -> None:
        """Give an entry up and subscribe it anew at that time."""

    @abstractmethod
    def _due(self, now: float) -> Sequence[Action]:
        """Return what is to be sent now."""

    @abstractmethod
    def _look_after_requests(self, now: float) -> None:
        """Ask again for what was not answered."""

    def _needs_whole_book(self, entry: Entry) -> bool:
        """Whether its data flows once its book is whole, and not once anything came."""
        return False

    def _happened(self, event: VenueEvent, now: float) -> None:  # noqa: B027  few venues have any
        """Act on an event that only this venue has."""

    def _name(self, entry: Entry) -> str:
        return f"{entry.status.channel} {entry.symbol}"

    # -- the conversation ----------------------------------------------------------------------------------------------

    def handle(self, events: Sequence[Event], now: float) -> Sequence[Action]:
        for event in events:
            if isinstance(event, Acknowledged):
                self._acknowledged(event, now)
            elif isinstance(event, Refused):
                self._refused(event, now)
            elif isinstance(event, SequenceLost):
                self._lost(event, now)
            elif isinstance(event, SnapshotTaken):
                self._whole(event, now)
            else:
                self._happened(event, now)
        return self._actions(now)

    def tick(self, now: float) -> Sequence[Action]:
        self._look_after_requests(now)
        for entries in self._entries:
            self._look_for_data(entries, now)
        return self._actions(now)

    def _actions(self, now: float) -> Sequence[Action]:
        return self._due(now) if self._given_up is None else [Reconnect(self._given_up)]

    @property
    def proved(self) -> bool:
        return all(
            entry.status.state in (FLOWING, REFUSED)
            or (entry.status.state is ACKNOWLEDGED and not entry.subscription.prompt)
            or entry.silent > SILENT_SUBSCRIPTIONS
            for entry in self._all()
        )

    def statuses(self) -> Sequence[SubscriptionStatus]:
        return [entry.status for entry in self._all()]

    def _all(self) -> Iterator[Entry]:
        return (entry for entries in self._entries for entry in entries.values())

    def _give_up(self, reason: str) -> None:
        if self._given_up is None:
            self._given_up = reason

    # -- books ---------------------------------------------------------------------------------------------------------

    def _lost(self, event: SequenceLost, now: float) -> None:
        for entry in self._of(event.channel, event.symbol):
            entry.whole = False
            if entry.renewing or entry.status.state is REFUSED:
                continue
            losses = self._losses.note(event.channel, event.symbol, now)
            if losses > LOSSES_ALLOWED:
                self._give_up(f"{self._name(entry)}: {losses} losses in five minutes")
                continue
            delay = 0.0 if losses == 1 else backoff(losses - 1, self._random)
            self._renew(entry, now + delay, now, f"expected {event.expected}, got {event.got}")

    def _whole(self, event: SnapshotTaken, now: float) -> None:
        for entry in self._of(event.channel, event.symbol):
            entry.whole = True
            if entry.status.state is ACKNOWLEDGED:
                self._flowing(entry, now)

    def _of(self, channel: str, symbol: str) -> list[Entry]:
        return [
            entry
            for entries in self._entries
            if (entry := entries.get(symbol)) is not None and entry.subscription.channel == channel
        ]

    # -- proof by data -------------------------------------------------------------------------------------------------

    def _take_acknowledged(self, entry: Entry, now: float) -> None:
        """An entry is acknowledged; its data may have come before."""
        entry.turn(ACKNOWLEDGED, now, DEAD_MARKET if entry.silent > SILENT_SUBSCRIPTIONS else "")
        entry.attempt = 0

    def _look_for_data(self, entries: dict[str, Entry], now: float) -> None:
        silent = []
        for entry in entries.values():
            if entry.status.state is not ACKNOWLEDGED:
                continue
            if self._has_data(entry):
                self._flowing(entry, now)
            elif entry.subscription.prompt and now - entry.status.since >= _patience(entry):
                silent.append(entry)
        if silent:
            nobody = all(entry.status.state is not FLOWING for entry in entries.values())
            for entry in silent:
                self._silent(entry, now, nobody=nobody)

    def _has_data(self, entry: Entry) -> bool:
        return entry.whole if self._needs_whole_book(entry) else self._last_seen(entry) > entry.before

    def _last_seen(self, entry: Entry) -> int:
        seen = self._parser.last_seen.get(entry.status.channel, {})
        return max(seen.values(), default=0) if entry.symbol == ALL else seen.get(entry.symbol, 0)

    def _flowing(self, entry: Entry, now: float) -> None:
        entry.turn(FLOWING, now)
        entry.silent = 0
        entry.renewing = False

    def _silent(self, entry: Entry, now: float, *, nobody: bool) -> None:
        reason = f"no data within {FIRST_DATA_SECONDS:.0f} s of the acknowledgement"
        entry.silent += 1
        if entry.silent > SILENT_SUBSCRIPTIONS:
            # A market without orders never sends: the line is at fault only when the whole channel is silent.
            if nobody:
                self._give_up(f"{self._name(entry)}: {reason}, {SILENT_SUBSCRIPTIONS} times")
                return
            if entry.silent == SILENT_SUBSCRIPTIONS + 1:
                entry.turn(ACKNOWLEDGED, now, DEAD_MARKET)
                return
        self._renew(entry, now, now, reason)


def _patience(entry: Entry) -> float:
    return FIRST_DATA_SECONDS if entry.silent <= SILENT_SUBSCRIPTIONS else QUIET_SECONDS
