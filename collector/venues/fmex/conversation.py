"""The client's side of a connection: asking for what is wanted until each symbol's data is proved to flow.

Knows no socket and no clock: events and times come in, messages go out. Nothing is sent before the venue's greeting. A
command holds twenty topics of one channel at the most; one wrong topic may refuse all of them, so what is refused is
asked for again one by one. A book that lost messages is given up and subscribed anew, it alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
from collector.venues.fmex.control import HELLO, PING, REQ, TOPICS
from collector.venues.fmex.parser import FmexParser
from collector.venues.fmex.past import Past
from collector.venues.fmex.pulse import Pulse
from collector.venues.fmex.requests import TOPICS_PER_COMMAND, sub, unsub
from collector.venues.fmex.topics import CANDLE, DELTA, split
from collector.venues.pace import LOSSES_ALLOWED, Losses, backoff
from collector.venues.plan import ConnectionPlan, Subscription

ACK_SECONDS = 15.0
FIRST_DATA_SECONDS = 30.0
SILENT_SUBSCRIPTIONS = 3
QUIET_SECONDS = 300.0
"""How often a symbol that stays silent while its neighbours speak is asked for again."""

DEAD_MARKET = "no data though others of the channel have some: a dead market?"

_WAITING, _REQUESTED, _ACKNOWLEDGED, _FLOWING, _REFUSED = SubscriptionState


@dataclass(slots=True)
class _Entry:
    """One topic. `before`: the parser's last sight of it when it was asked for; `due`: when to ask for it."""

    status: SubscriptionStatus
    subscription: Subscription
    topic: str
    due: float = 0.0
    before: int = 0
    attempt: int = 0
    silent: int = 0
    alone: bool = False
    whole: bool = False
    renewing: bool = False

    def turn(self, state: SubscriptionState, now: float, reason: str = "") -> None:
        self.status.state, self.status.since, self.status.reason = state, now, reason

    def wait(self, due: float, now: float, reason: str) -> None:
        self.turn(_WAITING, now, reason)
        self.due = due


@dataclass(slots=True)
class _Command:
    entries: list[_Entry]
    sent: float


class FmexConversation:
    """Meets `collector.venues.adapter.Conversation`."""

    def __init__(self, plan: ConnectionPlan, parser: FmexParser, random: Random) -> None:
        self._plan = plan
        self._parser = parser
        self._random = random
        self._channels: dict[str, dict[str, _Entry]] = {
            one.channel: {
                symbol: _Entry(
                    SubscriptionStatus(one.channel, one.stream, symbol, _WAITING, 0.0), one, f"{one.channel}.{symbol}"
                )
                for symbol in one.symbols
            }
            for one in plan.subscriptions
        }
        self._commands: dict[str, _Command] = {}
        self._number = 0
        self._losses = Losses()
        self._given_up: str | None = None
        self._pulse = Pulse(plan.header.own["ping_seconds"], plan.header.own["pong_seconds"])
        self._past = Past()

    def __repr__(self) -> str:
        states = [entry.status.state for entry in self._all()]
        counts = ", ".join(f"{state}={states.count(state)}" for state in SubscriptionState if state in states)
        return f"<FmexConversation {self._plan.name} {counts}>"

    def opened(self, now: float) -> Sequence[Action]:
        """Wait for the venue to speak first."""
        self._pulse.opened(now)
        for entry in self._all():
            entry.wait(now, now, "")
        return ()

    def handle(self, events: Sequence[Event], now: float) -> Sequence[Action]:
        for event in events:
            if isinstance(event, Acknowledged):
                self._heard(event, now)
            elif isinstance(event, Refused):
                self._refused(event, now)
            elif isinstance(event, SequenceLost):
                self._lost(event, now)
            elif isinstance(event, SnapshotTaken):
                self._whole(event, now)
        return self._due(now)

    def tick(self, now: float) -> Sequence[Action]:
        for request_id, command in list(self._commands.items()):
            if now - command.sent >= ACK_SECONDS:
                del self._commands[request_id]
                self._ask_again(command.entries, now, "no acknowledgement")
        for entries in self._channels.values():
            self._look_for_data(entries, now)
        pulse = self._pulse.tick(now)
        return [*pulse, *self._due(now)] if self._pulse.greeted else pulse

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

    def _all(self) -> Iterable[_Entry]:
        return (entry for entries in self._channels.values() for entry in entries.values())

    # What the venue said

    def _heard(self, event: Acknowledged, now: float) -> None:
        if event.channel == HELLO:
            self._pulse.hello(now, self._parser.last_seen[HELLO][""])
        elif event.channel == PING:
            self._pulse.pong()
        elif event.channel == REQ:
            self._past.answered(str(event.request_id))
        elif event.channel == TOPICS:
            self._acknowledged(event, now)

    def _acknowledged(self, event: Acknowledged, now: float) -> None:
        command = self._answered(event.request_id, lambda topic: topic.lower() in event.symbols)
        if command is None:
            return
        missing = []
        for entry in command.entries:
            if entry.status.state is not _REQUESTED:
                continue
            if entry.topic.lower() not in event.symbols:
                missing.append(entry)
                continue
            entry.turn(_ACKNOWLEDGED, now, DEAD_MARKET if entry.silent > SILENT_SUBSCRIPTIONS else "")
            entry.attempt = 0
            self._past.want(entry.topic, entry.subscription.params.get("limit", 0), now)
        self._ask_again(missing, now, "left out of the acknowledgement")

    def _answered(self, request_id: object, named: object) -> _Command | None:
        """Take the command that an answer is for: by its id, or, where the answer has none, by its topics."""
        if isinstance(request_id, str):
            return self._commands.pop(request_id, None)
        for known, command in self._commands.items():
            if callable(named) and all(named(entry.topic) for entry in command.entries):
                return self._commands.pop(known)
        return None

    def _refused(self, event: Refused, now: float) -> None:
        self._past.answered(str(event.request_id))
        command = self._answered(event.request_id, lambda topic: topic.lower() in event.message.lower())
        if command is None:
            return
        reason = f"{event.message} (status {event.code})"
        if not event.permanent:
            self._ask_again(command.entries, now, reason)
            return
        for entry in command.entries:
            if len(command.entries) == 1:
                entry.turn(_REFUSED, now, reason)
            else:
                entry.alone = True
                entry.wait(now, now, reason)

    def _lost(self, event: SequenceLost, now: float) -> None:
        entry = self._channels.get(event.channel, {}).get(event.symbol)
        if entry is None:
            return
        entry.whole = False
        if entry.renewing or entry.status.state is _REFUSED:
            return
        losses = self._losses.note(event.channel, event.symbol, now)
        if losses > LOSSES_ALLOWED:
            self._give_up(f"{entry.topic}: {losses} losses in five minutes")
            return
        delay = 0.0 if losses == 1 else backoff(losses - 1, self._random)
        self._renew(entry, now + delay, now, f"expected {event.expected}, got {event.got}")

    def _whole(self, event: SnapshotTaken, now: float) -> None:
        entry = self._channels.get(event.channel, {}).get(event.symbol)
        if entry is not None:
            entry.whole = True
            if entry.status.state is _ACKNOWLEDGED:
                self._flowing(entry, now)

    # Proof by data

    def _look_for_data(self, entries: dict[str, _Entry], now: float) -> None:
        silent = []
        for entry in entries.values():
            if entry.subscription.channel.startswith(CANDLE) and entry.subscription.params.get("limit"):
                topic = split(entry.topic)
                self._past.watch(entry.topic, self._parser.newest_bar_us(topic) if topic else 0, now)
            if entry.status.state is not _ACKNOWLEDGED:
                continue
            if self._has_data(entry):
                self._flowing(entry, now)
            elif entry.subscription.prompt and now - entry.status.since >= _patience(entry):
                silent.append(entry)
        nobody = all(entry.status.state is not _FLOWING for entry in entries.values())
        for entry in silent:
            self._silent(entry, now, nobody=nobody)

    def _has_data(self, entry: _Entry) -> bool:
        return entry.whole if entry.subscription.channel.startswith(DELTA) else self._last_seen(entry) > entry.before

    def _last_seen(self, entry: _Entry) -> int:
        return self._parser.last_seen.get(entry.status.channel, {}).get(entry.status.symbol, 0)

    def _flowing(self, entry: _Entry, now: float) -> None:
        entry.turn(_FLOWING, now)
        entry.silent = 0
        entry.renewing = False

    def _silent(self, entry: _Entry, now: float, *, nobody: bool) -> None:
        reason = f"no data within {FIRST_DATA_SECONDS:.0f} s of the acknowledgement"
        entry.silent += 1
        if entry.silent > SILENT_SUBSCRIPTIONS:
            # A market without orders never sends: the line is at fault only when the whole channel is silent.
            if nobody:
                self._give_up(f"{entry.topic}: {reason}, {SILENT_SUBSCRIPTIONS} times")
                return
            if entry.silent == SILENT_SUBSCRIPTIONS + 1:
                entry.turn(_ACKNOWLEDGED, now, DEAD_MARKET)
                return
        self._renew(entry, now, now, reason)

    # Asking

    def _renew(self, entry: _Entry, due: float, now: float, reason: str) -> None:
        entry.renewing = True
        entry.wait(due, now, reason)

    def _ask_again(self, entries: Iterable[_Entry], now: float, reason: str) -> None:
        for entry in entries:
            if entry.status.state is _REQUESTED:
                entry.attempt += 1
                entry.wait(now + backoff(entry.attempt, self._random), now, reason)

    def _give_up(self, reason: str) -> None:
        if self._given_up is None:
            self._given_up = reason

    def _due(self, now: float) -> Sequence[Action]:
        if self._given_up is not None:
            return [Reconnect(self._given_up)]
        if not self._pulse.greeted:
            return ()
        actions: list[Action] = []
        for entries in self._channels.values():
            due = [entry for entry in entries.values() if entry.status.state is _WAITING and entry.due <= now]
            together = [entry for entry in due if not entry.alone]
            for start in range(0, len(together), TOPICS_PER_COMMAND):
                actions += self._ask(together[start : start + TOPICS_PER_COMMAND], now)
            for entry in due:
                if entry.alone:
                    actions += self._ask([entry], now)
        return [*actions, *self._past.tick(now)]

    def _ask(self, entries: list[_Entry], now: float) -> Iterable[Action]:
        renewed = [entry.topic for entry in entries if entry.renewing]
        if renewed:
            yield Send(unsub(renewed, self._next_id()))
        for entry in entries:
            entry.turn(_REQUESTED, now, entry.status.reason)
            entry.before = self._last_seen(entry)
        request_id = self._next_id()
        self._commands[request_id] = _Command(entries, now)
        yield Send(sub([entry.topic for entry in entries], request_id))

    def _next_id(self) -> str:
        self._number += 1
        return f"c{self._number}"


def _patience(entry: _Entry) -> float:
    return FIRST_DATA_SECONDS if entry.silent <= SILENT_SUBSCRIPTIONS else QUIET_SECONDS
