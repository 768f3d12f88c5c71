"""The client's side of a connection: commands in this venue's words, see `collector.venues.kit.subscriptions`.

Nothing is sent before the venue's greeting. A command holds twenty topics of one channel at the most; one wrong topic
may refuse all of them, so what is refused is asked for again one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random

from collector.venues.events import Acknowledged, Action, Refused, Send, VenueEvent
from collector.venues.fmex.control import HELLO, PING, REQ, TOPICS
from collector.venues.fmex.happenings import BarBegan
from collector.venues.fmex.past import Past
from collector.venues.fmex.pulse import Pulse
from collector.venues.fmex.requests import TOPICS_PER_COMMAND, sub, unsub
from collector.venues.fmex.topics import DELTA
from collector.venues.kit.losses import backoff
from collector.venues.kit.subscriptions import ACK_SECONDS, REFUSED, REQUESTED, WAITING, Entry, Subscriptions
from collector.venues.plan import ConnectionPlan
from collector.venues.roles import Parser


@dataclass(slots=True)
class _Command:
    entries: list[Entry]
    sent: float


class FmexConversation(Subscriptions):
    """Meets `collector.venues.roles.Conversation`."""

    def __init__(self, plan: ConnectionPlan, parser: Parser, random: Random) -> None:
        super().__init__(plan, parser, random)
        self._commands: dict[str, _Command] = {}
        self._number = 0
        self._pulse = Pulse(plan.header.own["ping_seconds"], plan.header.own["pong_seconds"])
        self._past = Past()

    def opened(self, now: float) -> Sequence[Action]:
        """Wait for the venue to speak first."""
        self._pulse.opened(now)
        for entry in self._all():
            entry.wait(now, now, "")
        return ()

    def tick(self, now: float) -> Sequence[Action]:
        actions = super().tick(now)
        pulse = self._pulse.tick(now)
        return [*pulse, *actions] if self._pulse.greeted else pulse

    def _needs_whole_book(self, entry: Entry) -> bool:
        return entry.subscription.channel.startswith(DELTA)

    def _name(self, entry: Entry) -> str:
        return topic_of(entry)

    # -- what the venue said -------------------------------------------------------------------------------------------

    def _acknowledged(self, event: Acknowledged, now: float) -> None:
        if event.channel == HELLO:
            self._pulse.hello(now, self._parser.last_seen[HELLO][""])
        elif event.channel == PING:
            self._pulse.pong()
        elif event.channel == REQ:
            self._past.answered(str(event.request_id))
        elif event.channel == TOPICS:
            self._subscribed(event, now)

    def _subscribed(self, event: Acknowledged, now: float) -> None:
        command = self._answered(event.request_id, lambda topic: topic.lower() in event.symbols)
        if command is None:
            return
        missing = []
        for entry in command.entries:
            if entry.status.state is not REQUESTED:
                continue
            if topic_of(entry).lower() not in event.symbols:
                missing.append(entry)
                continue
            self._take_acknowledged(entry, now)
            self._past.want(topic_of(entry), entry.subscription.params.get("limit", 0), now)
        self._ask_again(missing, now, "left out of the acknowledgement")

    def _answered(self, request_id: object, named: Callable[[str], bool]) -> _Command | None:
        """Take the command that an answer is for: by its id, or, where the answer has none, by its topics."""
        if isinstance(request_id, str):
            return self._commands.pop(request_id, None)
        for known, command in self._commands.items():
            if all(named(topic_of(entry)) for entry in command.entries):
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
                entry.turn(REFUSED, now, reason)
            else:
                entry.alone = True
                entry.wait(now, now, reason)

    def _look_after_requests(self, now: float) -> None:
        for request_id, command in list(self._commands.items()):
            if now - command.sent >= ACK_SECONDS:
                del self._commands[request_id]
                self._ask_again(command.entries, now, "no acknowledgement")

    def _happened(self, event: VenueEvent, now: float) -> None:
        match event:
            case BarBegan(channel, symbol):
                for entry in self._of(channel, symbol):
                    if entry.subscription.params.get("limit"):
                        self._past.bar_over(topic_of(entry), now)

    # -- asking --------------------------------------------------------------------------------------------------------

    def _renew(self, entry: Entry, due: float, now: float, reason: str) -> None:
        entry.renewing = True
        entry.wait(due, now, reason)

    def _ask_again(self, entries: Iterable[Entry], now: float, reason: str) -> None:
        for entry in entries:
            if entry.status.state is REQUESTED:
                entry.attempt += 1
                entry.wait(now + backoff(entry.attempt, self._random), now, reason)

    def _due(self, now: float) -> Sequence[Action]:
        if not self._pulse.greeted:
            return ()
        actions: list[Action] = []
        for entries in self._entries:
            due = [entry for entry in entries.values() if entry.status.state is WAITING and entry.due <= now]
            together = [entry for entry in due if not entry.alone]
            for start in range(0, len(together), TOPICS_PER_COMMAND):
                actions += self._ask(together[start : start + TOPICS_PER_COMMAND], now)
            for entry in due:
                if entry.alone:
                    actions += self._ask([entry], now)
        return [*actions, *self._past.tick(now)]

    def _ask(self, entries: list[Entry], now: float) -> Iterable[Action]:
        renewed = [topic_of(entry) for entry in entries if entry.renewing]
        if renewed:
            yield Send(unsub(renewed, self._next_id()))
        for entry in entries:
            entry.turn(REQUESTED, now, entry.status.reason)
            entry.before = self._last_seen(entry)
        request_id = self._next_id()
        self._commands[request_id] = _Command(entries, now)
        yield Send(sub([topic_of(entry) for entry in entries], request_id))

    def _next_id(self) -> str:
        self._number += 1
        return f"c{self._number}"


def topic_of(entry: Entry) -> str:
    """Return what the venue calls an entry."""
    return f"{entry.status.channel}.{entry.symbol}"
