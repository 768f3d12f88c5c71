"""The client's side of a connection: asking for what is wanted until each symbol's data is proved to flow.

Knows no socket and no clock: events and times come in, messages go out. A request is matched by its id and channel,
for the venue answers late and in any order. One bad symbol refuses a whole request, so a refused request is halved
until the bad symbol is alone. A book that lost messages is subscribed anew, it alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random

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
from collector.venues.fmfw.channels import FULL_BOOK
from collector.venues.fmfw.requests import SYMBOLS_PER_REQUEST, subscribe, unsubscribe
from collector.venues.fmfw.wishes import Entry, Request, Wish, joined, parts
from collector.venues.pace import LOSSES_ALLOWED, Losses, backoff
from collector.venues.plan import ConnectionPlan
from collector.venues.roles import Parser

ACK_SECONDS = 15.0
FIRST_DATA_SECONDS = 30.0
SILENT_SUBSCRIPTIONS = 3
QUIET_SECONDS = 300.0
"""How often a symbol that stays silent while its neighbours speak is asked for again."""
RENEWAL_SPACING_SECONDS = 0.5
"""Symbols that need a new subscription within this time share one."""
REQUESTS_REMEMBERED = 1000
HOLD_SECONDS = 1.0
"""What the venue's sliding window wants after a 429."""

ALL = "*"
DEAD_MARKET = "no data though others of the channel have some: a dead market?"

_WAITING, _REQUESTED, _ACKNOWLEDGED, _FLOWING, _REFUSED = SubscriptionState


class FmfwConversation:
    """Meets `collector.venues.adapter.Conversation`."""

    def __init__(self, plan: ConnectionPlan, parser: Parser, random: Random) -> None:
        self._plan = plan
        self._parser = parser
        self._random = random
        self._entries: list[dict[str, Entry]] = [
            {
                symbol: Entry(
                    SubscriptionStatus(subscription.channel, subscription.stream, symbol, _WAITING, 0.0), subscription
                )
                for symbol in subscription.symbols
            }
            for subscription in plan.subscriptions
        ]
        self._wishes: list[Wish] = []
        self._requests: dict[int, Request] = {}
        self._last_id = 0
        self._losses = Losses()
        self._hold_until = float("-inf")
        self._renewed_at = float("-inf")
        self._given_up: str | None = None

    def __repr__(self) -> str:
        states = [entry.status.state for entry in self._all()]
        counts = ", ".join(f"{state}={states.count(state)}" for state in SubscriptionState if state in states)
        return f"<FmfwConversation {self._plan.name} {counts}>"

    def opened(self, now: float) -> Sequence[Action]:
        """Ask for everything."""
        for index, subscription in enumerate(self._plan.subscriptions):
            for start in range(0, len(subscription.symbols), SYMBOLS_PER_REQUEST):
                self._wishes.append(Wish(now, index, subscription.symbols[start : start + SYMBOLS_PER_REQUEST]))
            for entry in self._entries[index].values():
                entry.turn(_WAITING, now)
        return self._send_due(now)

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
        return self._send_due(now)

    def tick(self, now: float) -> Sequence[Action]:
        for request in self._requests.values():
            if not request.expired and now - request.sent >= ACK_SECONDS:
                request.expired = True
                self._ask_again(request.wish, now, "no acknowledgement")
        for index, entries in enumerate(self._entries):
            silent = []
            for symbol, entry in entries.items():
                if entry.status.state is not _ACKNOWLEDGED:
                    continue
                if self._has_data(entry):
                    self._flowing(entry, now)
                elif entry.subscription.prompt and now - entry.status.since >= self._patience(entry):
                    silent.append(symbol)
            if silent:
                self._silent(index, silent, now)
        return self._send_due(now)

    @property
    def proved(self) -> bool:
        return all(
            entry.status.state in (_FLOWING, _REFUSED)
            or (entry.status.state is _ACKNOWLEDGED and not entry.subscription.prompt)
            or entry.silent > SILENT_SUBSCRIPTIONS
            for entry in self._all()
        )

    def statuses(self) -> Sequence[SubscriptionStatus]:
        return [entry.status for entry in self._all()]

    def _all(self) -> Iterable[Entry]:
        return (entry for entries in self._entries for entry in entries.values())

    # What the venue said

    def _acknowledged(self, event: Acknowledged, now: float) -> None:
        request = self._requests.get(event.request_id) if isinstance(event.request_id, int) else None
        if request is None or self._plan.subscriptions[request.wish.subscription].channel != event.channel:
            return
        del self._requests[event.request_id]  # type: ignore[arg-type]
        missing = []
        for symbol in request.wish.symbols:
            entry = self._entries[request.wish.subscription][symbol]
            state = entry.status.state
            if state not in (_REQUESTED, _WAITING) or (state is _WAITING and entry.renewing):
                continue  # known already, or about to be unsubscribed so that this answer is worth nothing
            if symbol in event.symbols or symbol == ALL:
                entry.turn(_ACKNOWLEDGED, now, DEAD_MARKET if entry.silent > SILENT_SUBSCRIPTIONS else "")
                if self._has_data(entry):
                    self._flowing(entry, now)
            else:
                missing.append(symbol)
        if missing and not request.expired:
            wish = request.wish
            left = Wish(now, wish.subscription, tuple(missing), wish.attempt, wish.renewal)
            self._ask_again(left, now, "left out of the acknowledgement")

    def _refused(self, event: Refused, now: float) -> None:
        if event.code == "429":
            self._hold_until = max(self._hold_until, now + HOLD_SECONDS)
        request = self._requests.pop(event.request_id, None) if isinstance(event.request_id, int) else None
        if request is None or request.expired:
            return
        wish = request.wish
        reason = f"{event.message} (code {event.code})"
        if not event.permanent:
            self._ask_again(wish, now, reason)
        elif len(wish.symbols) == 1:
            self._entries[wish.subscription][wish.symbols[0]].turn(_REFUSED, now, reason)
        else:
            for part in parts(wish.symbols, event.message):
                self._wishes.append(Wish(now, wish.subscription, part, wish.attempt))
                for symbol in part:
                    self._entries[wish.subscription][symbol].turn(_WAITING, now, reason)

    def _lost(self, event: SequenceLost, now: float) -> None:
        for index, entry in self._of(event.channel, event.symbol):
            entry.whole = False
            if entry.renewing or entry.status.state is _REFUSED:
                continue
            losses = self._losses.note(event.channel, event.symbol, now)
            if losses > LOSSES_ALLOWED:
                self._give_up(f"{event.channel} {event.symbol}: {losses} losses in five minutes")
                continue
            delay = 0.0 if losses == 1 else backoff(losses - 1, self._random)
            self._renew(index, event.symbol, now + delay, now, f"expected {event.expected}, got {event.got}")

    def _whole(self, event: SnapshotTaken, now: float) -> None:
        for _, entry in self._of(event.channel, event.symbol):
            entry.whole = True
            if entry.status.state is _ACKNOWLEDGED:
                self._flowing(entry, now)

    def _of(self, channel: str, symbol: str) -> list[tuple[int, Entry]]:
        return [
            (index, entries[symbol])
            for index, entries in enumerate(self._entries)
            if symbol in entries and entries[symbol].subscription.channel == channel
        ]

    # Proof by data

    def _has_data(self, entry: Entry) -> bool:
        if entry.subscription.channel == FULL_BOOK:
            return entry.whole
        return self._last_seen(entry) > entry.before

    def _last_seen(self, entry: Entry) -> int:
        seen = self._parser.last_seen.get(entry.status.channel, {})
        return max(seen.values(), default=0) if entry.status.symbol == ALL else seen.get(entry.status.symbol, 0)

    def _flowing(self, entry: Entry, now: float) -> None:
        entry.turn(_FLOWING, now)
        entry.silent = 0
        entry.renewing = False

    def _patience(self, entry: Entry) -> float:
        return FIRST_DATA_SECONDS if entry.silent <= SILENT_SUBSCRIPTIONS else QUIET_SECONDS

    def _silent(self, index: int, symbols: list[str], now: float) -> None:
        entries = self._entries[index]
        reason = f"no data within {FIRST_DATA_SECONDS:.0f} s of the acknowledgement"
        nobody = all(entry.status.state is not _FLOWING for entry in entries.values())
        for symbol in symbols:
            entry = entries[symbol]
            entry.silent += 1
            if entry.silent > SILENT_SUBSCRIPTIONS:
                # A market without any quote never sends: the line is at fault only when the whole channel is silent.
                if nobody:
                    self._give_up(f"{entry.status.channel} {symbol}: {reason}, {SILENT_SUBSCRIPTIONS} times")
                    return
                if entry.silent == SILENT_SUBSCRIPTIONS + 1:
                    entry.turn(_ACKNOWLEDGED, now, DEAD_MARKET)
                    continue
            self._renew(index, symbol, now, now, reason)

    # Asking

    def _renew(self, index: int, symbol: str, due: float, now: float, reason: str) -> None:
        entry = self._entries[index][symbol]
        entry.renewing = True
        entry.turn(_WAITING, now, reason)
        self._wishes.append(Wish(due, index, (symbol,), renewal=True))

    def _ask_again(self, wish: Wish, now: float, reason: str) -> None:
        attempt = wish.attempt + 1
        for symbol in wish.symbols:
            entry = self._entries[wish.subscription][symbol]
            if entry.status.state in (_REQUESTED, _WAITING):
                entry.turn(_WAITING, now, reason)
        due = now + backoff(attempt, self._random)
        self._wishes.append(Wish(due, wish.subscription, wish.symbols, attempt, wish.renewal))

    def _give_up(self, reason: str) -> None:
        if self._given_up is None:
            self._given_up = reason

    def _send_due(self, now: float) -> Sequence[Action]:
        if self._given_up is not None:
            return [Reconnect(self._given_up)]
        if now < self._hold_until or not self._wishes:
            return ()
        renewals_wait = now - self._renewed_at < RENEWAL_SPACING_SECONDS
        due: list[Wish] = []
        later: list[Wish] = []
        for wish in self._wishes:
            (later if wish.due > now or (wish.renewal and renewals_wait) else due).append(wish)
        self._wishes = later
        actions: list[Action] = []
        for wish in joined(due):
            symbols = tuple(s for s in wish.symbols if self._entries[wish.subscription][s].status.state is _WAITING)
            if symbols:
                wish.symbols = symbols
                actions += self._ask(wish, now)
        return actions

    def _ask(self, wish: Wish, now: float) -> list[Action]:
        subscription = self._plan.subscriptions[wish.subscription]
        actions: list[Action] = []
        if wish.renewal:
            self._renewed_at = now
            actions.append(Send(unsubscribe(subscription, wish.symbols, self._next_id())))
        for symbol in wish.symbols:
            entry = self._entries[wish.subscription][symbol]
            entry.turn(_REQUESTED, now, entry.status.reason)
            entry.before = self._last_seen(entry)
        request_id = self._next_id()
        self._requests[request_id] = Request(wish, now)
        if len(self._requests) > REQUESTS_REMEMBERED:
            del self._requests[next(iter(self._requests))]
        actions.append(Send(subscribe(subscription, wish.symbols, request_id)))
        return actions

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id
