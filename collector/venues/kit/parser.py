"""What parsers do alike around their readers: what an answer was asked, and when a bar is over by the clock."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import orjson

from collector.model import Quarantined, Records
from collector.venues.events import Event
from collector.venues.kit.session import NEVER_US, SessionState
from collector.venues.kit.values import shorten


class Reply(NamedTuple):
    """A REST answer as the journal keeps it, with what tells what was asked."""

    channel: str
    params: Mapping[str, str]
    body: bytes
    received_ns: int

    @property
    def received_us(self) -> int:
        return self.received_ns // 1000


def name_request(held: list[Quarantined], first: int, reply: Reply) -> None:
    """Let what an answer has sent to quarantine begin with a line of JSON that tells the request; the body follows.

    Only so can it be parsed again: a body alone does not tell what it is of. `first` is the first entry of the answer.
    """
    if len(held) > first:
        request = orjson.dumps({"channel": reply.channel, "params": dict(reply.params)})
        named = request + b"\n" + reply.body
        held[first:] = [bad._replace(payload=named) if bad.payload is reply.body else bad for bad in held[first:]]


class AnswerParser(ABC):
    """The base of a parser whose session brings REST answers."""

    __slots__ = ()

    def rest(
        self, channel: str, params: Mapping[str, str], body: bytes, received_ns: int, out: Records
    ) -> Sequence[Event]:
        """Read a REST answer; a bad one's quarantined payload is a line of JSON with the request, then the body."""
        before = len(out.quarantine)
        reply = Reply(channel, params, body, received_ns)
        events = self._answered(reply, out)
        name_request(out.quarantine, before, reply)
        return events

    @abstractmethod
    def _answered(self, reply: Reply, out: Records) -> Sequence[Event]:
        """Read a REST answer; what is not understood goes to quarantine with the body."""


class ClosesBars(Protocol):
    """A reader of candles."""

    def close_due(self, received_us: int, out: Records) -> int:
        """Close every bar that is over by the clock; return when the next one will be."""


class BarParser(AnswerParser):
    """The base of a parser that closes bars by the clock.

    Its `frame` compares each receipt with `_context.due_ns`, so that a bar is closed before what comes after its end.
    """

    __slots__ = ("_context", "last_seen")

    def __init__(self, context: SessionState) -> None:
        self._context = context
        self.last_seen = context.last_seen

    @abstractmethod
    def _candle_readers(self) -> Iterable[ClosesBars]:
        """Return the readers of candles that there are."""

    def rest(
        self, channel: str, params: Mapping[str, str], body: bytes, received_ns: int, out: Records
    ) -> Sequence[Event]:
        events = super().rest(channel, params, body, received_ns, out)
        if received_ns >= self._context.due_ns:
            self.beat(received_ns, out)
        return events

    def beat(self, received_ns: int, out: Records) -> None:
        """Close the bars that are over by the clock."""
        if received_ns >= self._context.due_ns:
            received_us = received_ns // 1000
            due_us = min((reader.close_due(received_us, out) for reader in self._candle_readers()), default=NEVER_US)
            self._context.due_ns = due_us * 1000

    def _object(
        self, loads: Callable[[bytes], Any], payload: bytes, received_us: int, out: Records
    ) -> dict[str, Any] | None:
        """Return the object that a message is; None where it is none, which is in quarantine then."""
        try:
            message = loads(payload)
        except ValueError as error:
            self._context.reject(out, None, f"not JSON: {error}", payload, received_us)
            return None
        if type(message) is not dict:
            self._context.reject(out, None, f"{shorten(message)} is not an object", payload, received_us)
            return None
        return message
