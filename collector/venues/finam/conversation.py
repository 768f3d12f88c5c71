"""The client's side of a socket: subscribes to each symbol until its data arrive.

The venue does not acknowledge subscriptions, so the first data prove one. REST polling is then asked to fetch what was
missed of the symbol before. Each request carries the token; the socket itself outlives the token until the venue says
otherwise.
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
from collector.venues.finam.envelopes import BARS, CLOSED, HANDSHAKE, QUOTES, UNAUTHENTICATED
from collector.venues.finam.shared import SharedState
from collector.venues.kit.losses import LOSSES_ALLOWED, Losses, backoff
from collector.venues.plan import ConnectionPlan, Subscription
from collector.venues.roles import Parser

# A connection without the venue's `HANDSHAKE_SUCCESS` by then is made anew; the venue's own client waits as long.
HANDSHAKE_TIMEOUT_SECONDS = 20.0

# A subscription without data for this long is made again. In an open market the first message, a snapshot, comes at
# once; sooner would repeat requests that are still being served, later would lose more where a request got lost.
FIRST_DATA_TIMEOUT_SECONDS = 10.0

# After this many attempts without data the market is assumed to be quiet, and the subscription is made again only every
# `QUIET_RETRY_SECONDS`. A book that crosses too often is renewed at that pace as well.
QUICK_SUBSCRIBE_ATTEMPTS_MAX = 3
QUIET_RETRY_SECONDS = 300.0

# A connection on which no data of any symbol came for this long is made anew while one of its markets is open: sockets
# of this venue have been seen to go silent without an error.
NO_DATA_TIMEOUT_SECONDS = 60.0

# The venue ends streams 24 hours after subscribing (vendor's documentation); a connection is made anew before that.
CONNECTION_AGE_MAX_SECONDS = 23 * 3600.0

_WAITING, _REQUESTED, _ACKNOWLEDGED, _FLOWING, _REFUSED = SubscriptionState


@dataclass(slots=True, eq=False)
class Entry:
    """The subscription of one symbol on one channel. Times are monotonic seconds.

    `due`: when it is (again) subscribed to. `attempts`: how often that was done since data last flowed. `renewing`: its
    book crossed, and a new snapshot is to be requested.
    """

    status: SubscriptionStatus
    due: float
    attempts: int = 0
    renewing: bool = False

    def set_state(self, state: SubscriptionState, now: float, reason: str = "") -> None:
        self.status.state, self.status.since, self.status.reason = state, now, reason


class FinamConversation:
    """Meets `collector.venues.roles.Conversation`. Times are monotonic seconds."""

    def __init__(self, plan: ConnectionPlan, shared: SharedState, parser: Parser, random: Random) -> None:
        self._plan = plan
        self._shared = shared
        self._parser = parser
        self._random = random
        self._entries: dict[tuple[str, str], Entry] = {
            (planned.channel, symbol): Entry(
                SubscriptionStatus(planned.channel, planned.stream, symbol, _WAITING, 0.0), float("-inf")
            )
            for planned in plan.subscriptions
            for symbol in planned.symbols
        }
        self._losses = Losses()
        self._opened_at = 0.0
        self._greeted = False
        self._data_at = 0.0
        """When data of any symbol last came, by `now`."""
        self._newest_ns = 0
        """The same by the receipts in `last_seen`."""
        self._free_at = float("-inf")
        """When all requests that were handed over will have been sent, at the pace of `messages_per_second`."""

    def __repr__(self) -> str:
        states = [entry.status.state for entry in self._entries.values()]
        counts = ", ".join(f"{state}={states.count(state)}" for state in SubscriptionState if state in states)
        return f"<FinamConversation {self._plan.name} {counts}>"

    def opened(self, now: float) -> Sequence[Action]:
        """Wait for the venue's greeting."""
        self._opened_at = self._data_at = now
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
                reconnect = self._refused(event, now)
                if reconnect is not None:
                    return [reconnect]
        return self._send_due(now)

    def tick(self, now: float) -> Sequence[Action]:
        if not self._greeted:
            if now - self._opened_at > HANDSHAKE_TIMEOUT_SECONDS:
                return [Reconnect(f"the venue did not greet within {HANDSHAKE_TIMEOUT_SECONDS:.0f} s")]
            return ()
        if now - self._opened_at > CONNECTION_AGE_MAX_SECONDS:
            return [Reconnect("made anew before the venue ends it after a day")]
        last_seen = self._parser.last_seen
        newest_ns = max((seen_ns for by_symbol in last_seen.values() for seen_ns in by_symbol.values()), default=0)
        if newest_ns != self._newest_ns:
            self._newest_ns, self._data_at = newest_ns, now
        if now - self._data_at > NO_DATA_TIMEOUT_SECONDS and self._market_is_open():
            return [Reconnect(f"no data for {NO_DATA_TIMEOUT_SECONDS:.0f} s though markets are open")]
        for entry in self._entries.values():
            if entry.status.state is _REQUESTED and now >= entry.due:
                self._no_first_data(entry, now)
        return self._send_due(now)

    @property
    def proved(self) -> bool:
        return all(entry.status.state in (_FLOWING, _REFUSED, _ACKNOWLEDGED) for entry in self._entries.values())

    def statuses(self) -> Sequence[SubscriptionStatus]:
        return [entry.status for entry in self._entries.values()]

    # -- events ------------------------------------------------------------------------------------------------------

    def _acknowledged(self, event: Acknowledged, now: float) -> None:
        if event.channel == HANDSHAKE:
            self._greeted = True
            self._data_at = now
        for symbol in event.symbols:
            self._flows(event.channel, symbol, now)

    def _flows(self, channel: str, symbol: str, now: float) -> None:
        entry = self._entries.get((channel, symbol))
        if entry is not None and entry.status.state is not _FLOWING:
            entry.set_state(_FLOWING, now, self._delay_text(symbol))
            entry.attempts = 0
            self._shared.urgent.add(symbol)

    def _delay_text(self, symbol: str) -> str:
        permission = self._shared.permission(symbol)
        if permission is None or not permission.delay_minutes:
            return ""
        return f"delayed by {permission.delay_minutes} min"

    def _lost(self, event: SequenceLost, now: float) -> None:
        entry = self._entries.get((event.channel, event.symbol))
        if entry is None or entry.renewing:
            return
        losses = self._losses.note(event.channel, event.symbol, now)
        entry.renewing = True
        # A book that crosses again and again is crossed at the venue, as in an auction: new snapshots would not help.
        wait = (
            0.0
            if losses == 1
            else backoff(losses - 1, self._random)
            if losses <= LOSSES_ALLOWED
            else QUIET_RETRY_SECONDS
        )
        entry.due = now + wait
        entry.set_state(_WAITING, now, "its book crossed")

    def _refused(self, event: Refused, now: float) -> Action | None:
        if event.code == UNAUTHENTICATED:
            if self._shared.token is not None:
                self._shared.reject({"Authorization": self._shared.token})
            return Reconnect(f"the session's token is no longer accepted: {event.message}")
        if event.code == CLOSED:
            return Reconnect(f"the venue closes the connection: {event.message}")
        # The venue's errors do not say which subscription they are about, but their text may contain the symbol.
        for (_, symbol), entry in self._entries.items():
            if entry.status.state is _REQUESTED and symbol in event.message:
                entry.set_state(_REFUSED if event.permanent else _REQUESTED, now, f"{event.message} ({event.code})")
        return None

    def _market_is_open(self) -> bool:
        return any(
            entry.status.state is _FLOWING and symbol not in self._shared.closed
            for (_, symbol), entry in self._entries.items()
        )

    def _no_first_data(self, entry: Entry, now: float) -> None:
        if entry.attempts < QUICK_SUBSCRIBE_ATTEMPTS_MAX:
            entry.set_state(_WAITING, now, f"no data within {FIRST_DATA_TIMEOUT_SECONDS:.0f} s")
        else:
            entry.set_state(_ACKNOWLEDGED, now, "no data yet; perhaps a quiet market")
            entry.due = now + QUIET_RETRY_SECONDS

    # -- sending -----------------------------------------------------------------------------------------------------

    def _send_due(self, now: float) -> Sequence[Action]:
        token = self._shared.token
        if not self._greeted or token is None:
            return ()
        actions: list[Action] = []
        for subscription in self._plan.subscriptions:
            due_symbols = [
                symbol
                for symbol in subscription.symbols
                if (entry := self._entries[subscription.channel, symbol]).due <= now
                and entry.status.state in (_WAITING, _ACKNOWLEDGED)
            ]
            # Only quotes take several symbols in a request.
            single = subscription.channel == QUOTES and due_symbols
            for symbols in [due_symbols] if single else [[symbol] for symbol in due_symbols]:
                actions += self._subscribe(subscription, symbols, token, now)
        return actions

    def _subscribe(
        self, subscription: Subscription, symbols: Sequence[str], token: str, now: float
    ) -> Iterator[Action]:
        # The feed sends at a bounded pace, so the wait for first data begins when the request will have been sent.
        spacing = 1.0 / self._shared.settings.messages_per_second
        for symbol in symbols:
            entry = self._entries[subscription.channel, symbol]
            if entry.attempts or entry.renewing:
                self._free_at = max(now, self._free_at) + spacing
                yield Send(request("UNSUBSCRIBE", subscription.channel, [symbol], token))
            entry.renewing = False
            entry.attempts += 1
            entry.set_state(_REQUESTED, now, entry.status.reason)
        self._free_at = max(now, self._free_at) + spacing
        for symbol in symbols:
            self._entries[subscription.channel, symbol].due = self._free_at + FIRST_DATA_TIMEOUT_SECONDS
        yield Send(request("SUBSCRIBE", subscription.channel, symbols, token))


def request(action: str, channel: str, symbols: Sequence[str], token: str) -> bytes:
    """Return the message of a request. Only `QUOTES` takes several symbols, other channels exactly one."""
    kind, _, frame = channel.partition("/")
    data: dict[str, object] = {"symbols": list(symbols)} if kind == QUOTES else {"symbol": symbols[0]}
    if kind == BARS:
        data["timeframe"] = frame
    return orjson.dumps({"action": action, "type": kind, "data": data, "token": token})
