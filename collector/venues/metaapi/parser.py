"""The parser of a session: turns socket messages and pages of history into rows and events.

It sees no account data: `strip` leaves only the envelope of such packets, whose sequence number is needed. Ignored
without being counted as items are packets of accounts and instances that this session did not ask for, and prices of
symbols that it did not ask for, which terminals send where the account has open positions. No input makes it raise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from collector.model import Records
from collector.venues.events import Acknowledged, Event
from collector.venues.header import SessionHeader
from collector.venues.kit.parser import AnswerParser, Reply
from collector.venues.kit.values import shorten
from collector.venues.metaapi import control
from collector.venues.metaapi.account import Account, Quarantine
from collector.venues.metaapi.happenings import RequestAnswered
from collector.venues.metaapi.requests import target_of, targets
from collector.venues.metaapi.rest import RestReader
from collector.venues.metaapi.stream import Stream
from collector.venues.metaapi.strip import UNREADABLE, StrippedPacket
from collector.venues.metaapi.values import loads

# How a Socket.IO event begins: Engine.IO's type 4 (message), Socket.IO's type 2 (event).
_EVENT = b"42"
# The candles' grace period, and how long a missing packet may still come, for sessions whose header names neither. It
# must not change, or a replay of such a session would give other rows.
_DEFAULT_WAIT_US = 2_000_000


class MetaapiParser(AnswerParser):
    """Meets `collector.venues.roles.Parser`."""

    __slots__ = ("_header", "_instance", "_quarantine", "_rest", "_streams", "_targets", "last_seen")

    def __init__(self, header: SessionHeader) -> None:
        self._header = header
        venue = header.venue
        accounts: Mapping[str, Any] = header.own.get("accounts") or {}
        self.last_seen: dict[str, dict[str, int]] = {}
        self._instance = str(header.own.get("instance", 0))
        self._quarantine = Quarantine(venue)
        self._rest = RestReader(venue, self._quarantine)
        self._targets = targets(accounts)
        self._streams = {
            account_id: Stream(
                Account(venue, description, self.last_seen),
                self._quarantine,
                series=header.own.get("candle_series", "bid"),
                grace_us=header.own.get("candle_grace_us", _DEFAULT_WAIT_US),
                reorder_us=header.own.get("reorder_us", _DEFAULT_WAIT_US),
            )
            for account_id, description in accounts.items()
        }

    def fork(self) -> MetaapiParser:
        copy = MetaapiParser(self._header)
        self._rest.fork_into(copy._rest)
        for account_id, stream in self._streams.items():
            stream.fork_into(copy._streams[account_id])
        for channel, symbols in self.last_seen.items():
            copy.last_seen[channel].update(symbols)
        return copy

    def frame(self, payload: bytes, received_ns: int, out: Records) -> Sequence[Event]:
        """Read a socket message. Adds rows to `out` and returns events for the conversation."""
        if type(payload) is StrippedPacket and (packet := payload.take()) is not None:
            return self._packet(packet, payload, received_ns, out)
        if payload[:2] != _EVENT:
            event = control.transport(payload, received_ns)
            if event is None:
                self._reject(out, "not a packet of Engine.IO or Socket.IO", payload, received_ns)
                return ()
            return (event,)
        try:
            message = loads(payload[2:].lstrip(b"0123456789").decode())
            name, content = message
            if type(content) is str:
                content = loads(content)
        except (ValueError, TypeError, RecursionError) as error:
            self._reject(out, f"not an event: {type(error).__name__}", payload, received_ns)
            return ()
        if type(content) is not dict:
            self._reject(out, f"{shorten(name)}: {shorten(content)} is not an object", payload, received_ns)
            return ()
        if name == "synchronization":
            return self._packet(content, payload, received_ns, out)
        if name == "response":
            return self._response(content)
        if name == "processingError":
            return control.error(content, received_ns // 1000)
        if name == UNREADABLE:
            self._reject(
                out, f"could not be read and may have held account data: {shorten(content)}", payload, received_ns
            )
        else:
            self._reject(out, f"{shorten(name)} is not a known event", payload, received_ns)
        return ()

    def _answered(self, reply: Reply, out: Records) -> Sequence[Event]:
        self._rest.read(reply, out)
        return ()

    def beat(self, received_ns: int, out: Records) -> None:
        """The line was alive at this time: close the bars that are over, and give up packets that are missing."""
        for stream in self._streams.values():
            stream.beat(received_ns // 1000, out)

    def _packet(self, packet: dict[str, Any], payload: bytes, received_ns: int, out: Records) -> Sequence[Event]:
        account_id = packet.get("accountId")
        stream = self._streams.get(account_id) if type(account_id) is str else None
        if stream is None or str(packet.get("instanceIndex") or 0) != self._instance:
            return ()
        if type(packet.get("type")) is not str:
            self._reject(out, f"type: {shorten(packet.get('type'))} is not a packet's type", payload, received_ns)
            return ()
        return stream.read(packet, payload, received_ns, out)

    def _response(self, content: Mapping[str, Any]) -> Sequence[Event]:
        identity = content.get("requestId")
        if type(identity) is not str:
            return ()
        events: list[Event] = [RequestAnswered(identity)]
        # Only a request for all kinds of a symbol carries a target, so its answer acknowledges them all.
        target = target_of(identity)
        if target is not None and target < len(self._targets):
            account_id, symbol = self._targets[target]
            account = self._streams[account_id].account
            subscribed = frozenset({account.instruments[symbol].symbol})
            events += [
                Acknowledged(identity, f"{account.name}/{kind}", subscribed) for kind in account.last_seen_of_kind
            ]
        return events

    def _reject(self, out: Records, reason: str, payload: bytes, received_ns: int) -> None:
        self._quarantine.reject(out, None, reason, payload, received_ns // 1000)
