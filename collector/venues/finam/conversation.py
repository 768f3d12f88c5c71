"""The client's side of a socket: asking for what is wanted until each symbol's data is seen to flow.

The venue acknowledges nothing: the first data of a subscription proves it, and the first data after a reconnection is
when REST is asked to look after the symbol, for what was told in between. The token stands in every request; a socket
outlives it until the venue says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

import orjson

from collector.venues.events import (
    Acknowledged,
    Action,
    Event,
    Reconnect,
    Refused,
    Send,
    SequenceLost,
    SnapshotTaken,
    SubscriptionState,
    SubscriptionStatus,
)
from collector.venues.finam.desk import Desk
from collector.venues.finam.envelopes import BARS, CLOSED, HANDSHAKE, QUOTES, UNAUTHENTICATED
from collector.venues.kit.losses import LOSSES_ALLOWED, Losses, backoff
from collector.venues.plan import ConnectionPlan, Subscription
from collector.venues.roles import Parser

HANDSHAKE_SECONDS = 20.0
FIRST_DATA_SECONDS = 10.0
QUIET_SECONDS = 300.0
# So often a silent subscription is made again soon; then only every `QUIET_SECONDS`, for it may be a quiet market.
ASKED_AT_ONCE = 3
SILENT_SECONDS = 60.0
# The venue ends streams after a day.
OLDEST_SECONDS = 23 * 3600.0

_WAITING, _REQUESTED, _ACKNOWLEDGED, _FLOWING, _REFUSED = SubscriptionState


@dataclass(slots=True, eq=False)
class Entry:
    """One symbol on one channel; `due` is when it is asked for (again)."""

    status: SubscriptionStatus
    due: float
    asked: int = 0
    renewing: bool = False

    def turn(self, state: SubscriptionState, now: float, reason: str = "") -> None:
        self.status.state, self.status.since, self.status.reason = state, now, reason


class FinamConversation:
    """Meets `collector.venues.adapter.Conversation`."""

    def __init__(self, plan: ConnectionPlan, desk: Desk, parser: Parser, random: Random) -> None:
        self._plan = plan
        self._desk = desk
        self._parser = parser
        self._random = random
        self._entries: dict[tuple[str, str], Entry] = {
            (one.channel, symbol): Entry(
                SubscriptionStatus(one.channel, one.stream, symbol, _WAITING, 0.0), float("-inf")
            )
            for one in plan.subscriptions
            for symbol in one.symbols
        }
        self._losses = Losses()
        self._opened_at = 0.0
        self._greeted = False
        self._heard_at = 0.0
        self._heard_ns = 0
        self._free_at = float("-inf")

    def __repr__(self) -> str:
        states = [entry.status.state for entry in self._entries.values()]
        counts = ", ".join(f"{state}={states.count(state)}" for state in SubscriptionState if state in states)
        return f"<FinamConversation {self._plan.name} {counts}>"

    def opened(self, now: float) -> Sequence[Action]:
        """Wait for the venue's greeting."""
        self._opened_at = self._heard_at = now
        return ()

    def handle(self, events: Sequence[Event], now: float) -> Sequence[Action]:
        for event in events:
            if isinstance(event, Acknowledged):
                self._acknowledged(event, now)
            elif isinstance(event, SequenceLost):
                self._lost(event, now)
            elif isinstance(event, SnapshotTaken):
                self._flows(event.channel, event.symbol, now)
            elif isinstance(event, Refused):
                ended = self._refused(event, now)
                if ended is not None:
                    return [ended]
        return self._ask(now)

    def tick(self, now: float) -> Sequence[Action]:
        if not self._greeted:
            if now - self._opened_at > HANDSHAKE_SECONDS:
                return [Reconnect(f"the venue did not greet within {HANDSHAKE_SECONDS:.0f} s")]
            return ()
        if now - self._opened_at > OLDEST_SECONDS:
            return [Reconnect("made anew before the venue ends it after a day")]
        newest = max((at for seen in self._parser.last_seen.values() for at in seen.values()), default=0)
        if newest != self._heard_ns:
            self._heard_ns, self._heard_at = newest, now
        if now - self._heard_at > SILENT_SECONDS and self._market_is_open():
            return [Reconnect(f"no data for {SILENT_SECONDS:.0f} s though markets are open")]
        for entry in self._entries.values():
            if entry.status.state is _REQUESTED and now >= entry.due:
                self._silent(entry, now)
        return self._ask(now)

    @property
    def proved(self) -> bool:
        return all(entry.status.state in (_FLOWING, _REFUSED, _ACKNOWLEDGED) for entry in self._entries.values())

    def statuses(self) -> Sequence[SubscriptionStatus]:
        return [entry.status for entry in self._entries.values()]

    # -- what the venue said -----------------------------------------------------------------------------------------

    def _acknowledged(self, event: Acknowledged, now: float) -> None:
        if event.channel == HANDSHAKE:
            self._greeted = True
            self._heard_at = now
        for symbol in event.symbols:
            self._flows(event.channel, symbol, now)

    def _flows(self, channel: str, symbol: str, now: float) -> None:
        entry = self._entries.get((channel, symbol))
        if entry is not None and entry.status.state is not _FLOWING:
            entry.turn(_FLOWING, now, self._delay_of(symbol))
            entry.asked = 0
            self._desk.urgent.add(symbol)

    def _delay_of(self, symbol: str) -> str:
        right = self._desk.permission(symbol)
        return f"delayed by {right.delay_minutes} min" if right is not None and right.delay_minutes else ""

    def _lost(self, event: SequenceLost, now: float) -> None:
        entry = self._entries.get((event.channel, event.symbol))
        if entry is None or entry.renewing:
            return
        losses = self._losses.note(event.channel, event.symbol, now)
        entry.renewing = True
        # A book that crosses again and again does so at the venue, as in an auction: it is left at that for a while.
        wait = 0.0 if losses == 1 else backoff(losses - 1, self._random) if losses <= LOSSES_ALLOWED else QUIET_SECONDS
        entry.due = now + wait
        entry.turn(_WAITING, now, "its book crossed")

    def _refused(self, event: Refused, now: float) -> Action | None:
        if event.code == UNAUTHENTICATED:
            if self._desk.token is not None:
                self._desk.reject({"Authorization": self._desk.token})
            return Reconnect(f"the session's token is not accepted any more: {event.message}")
        if event.code == CLOSED:
            return Reconnect(f"the venue closes the connection: {event.message}")
        # An error names no subscription; its text may name the symbol.
        for (_, symbol), entry in self._entries.items():
            if entry.status.state is _REQUESTED and symbol in event.message:
                entry.turn(_REFUSED if event.permanent else _REQUESTED, now, f"{event.message} ({event.code})")
        return None

    def _market_is_open(self) -> bool:
        return any(
            entry.status.state is _FLOWING and symbol not in self._desk.closed
            for (_, symbol), entry in self._entries.items()
        )

    def _silent(self, entry: Entry, now: float) -> None:
        if entry.asked < ASKED_AT_ONCE:
            entry.turn(_WAITING, now, f"no data within {FIRST_DATA_SECONDS:.0f} s")
        else:
            entry.turn(_ACKNOWLEDGED, now, "no data yet: a quiet market?")
            entry.due = now + QUIET_SECONDS

    # -- asking ------------------------------------------------------------------------------------------------------

    def _ask(self, now: float) -> Sequence[Action]:
        token = self._desk.token
        if not self._greeted or token is None:
            return ()
        actions: list[Action] = []
        for subscription in self._plan.subscriptions:
            wanted = [
                symbol
                for symbol in subscription.symbols
                if (entry := self._entries[subscription.channel, symbol]).due <= now
                and entry.status.state in (_WAITING, _ACKNOWLEDGED)
            ]
            for symbols in [wanted] if subscription.channel == QUOTES and wanted else [[one] for one in wanted]:
                actions += self._subscribe(subscription, symbols, token, now)
        return actions

    def _subscribe(
        self, subscription: Subscription, symbols: Sequence[str], token: str, now: float
    ) -> Iterator[Action]:
        # The feed paces what is sent: the wait for first data begins when the request has left.
        spacing = 1.0 / self._desk.settings.messages_per_second
        for symbol in symbols:
            entry = self._entries[subscription.channel, symbol]
            if entry.asked or entry.renewing:
                self._free_at = max(now, self._free_at) + spacing
                yield Send(request("UNSUBSCRIBE", subscription.channel, [symbol], token))
            entry.renewing = False
            entry.asked += 1
            entry.turn(_REQUESTED, now, entry.status.reason)
        self._free_at = max(now, self._free_at) + spacing
        for symbol in symbols:
            self._entries[subscription.channel, symbol].due = self._free_at + FIRST_DATA_SECONDS
        yield Send(request("SUBSCRIBE", subscription.channel, symbols, token))


def request(action: str, channel: str, symbols: Sequence[str], token: str) -> bytes:
    """Make a request; of all channels only quotes take several symbols."""
    kind, _, frame = channel.partition("/")
    data: dict[str, object] = {"symbols": list(symbols)} if kind == QUOTES else {"symbol": symbols[0]}
    if kind == BARS:
        data["timeframe"] = frame
    return orjson.dumps({"action": action, "type": kind, "data": data, "token": token})
