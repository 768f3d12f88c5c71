"""One account's packets within a session: what follows what, what is missing, whether the terminal is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collector.model import Records
from collector.venues.events import Event, SequenceLost
from collector.venues.metaapi.account import Account, Quarantine
from collector.venues.metaapi.control import downgraded
from collector.venues.metaapi.happenings import (
    BrokerStatus,
    Downgraded,
    SynchronisationAdvanced,
    SynchronisationFinished,
    SynchronisationStarted,
    TerminalAttached,
    TerminalDetached,
)
from collector.venues.metaapi.prices import Prices
from collector.venues.metaapi.sequence import Hole, Sequence, Verdict
from collector.venues.metaapi.values import iso, whole

LOST = "lost packet"
RESTARTED = "stream restarted"
TERMINAL = "terminal away"
BROKER = "broker away"
DOWNGRADED = "downgraded"

_STREAM_OF_KIND = {"quotes": "ticks", "ticks": "ticks", "candles": "candles", "marketDepth": "books"}
_PROGRESS = frozenset(
    {
        "accountInformation",
        "specifications",
        "positions",
        "orders",
        "historyOrders",
        "deals",
        "orderSynchronizationFinished",
    }
)
_TEXT_HOST = "0"


class Stream:
    """Everything that a session's parser holds of one account."""

    __slots__ = ("_away", "_patience_us", "_quarantine", "_sequences", "account", "prices")

    def __init__(
        self, account: Account, quarantine: Quarantine, *, series: str, grace_us: int, patience_us: int
    ) -> None:
        self.account = account
        self.prices = Prices(account, quarantine, series, grace_us)
        self._quarantine = quarantine
        self._patience_us = patience_us
        self._sequences: dict[str, Sequence] = {}  # by host: a stream's second name
        self._away: tuple[int, str] | None = None

    def fork_into(self, copy: Stream) -> None:
        """Give another one the same state."""
        self.account.copy_into(copy.account)
        self.prices.fork_into(copy.prices)
        copy._sequences = {host: one.fork() for host, one in self._sequences.items()}
        copy._away = self._away

    def read(self, packet: dict[str, Any], payload: bytes, received_ns: int, out: Records) -> list[Event]:
        """Read one packet of this account."""
        kind = packet.get("type")
        received_us = received_ns // 1000
        events = self.settle(received_us, out)
        if kind in ("authenticated", "status", "disconnected", "keepalive"):
            return events + self._news(kind, packet, received_us, out)
        number, stamp = whole(packet.get("sequenceNumber")), whole(packet.get("sequenceTimestamp")) or 0
        late = False
        if number is not None:
            verdict = self._judge(kind, number, stamp, packet, received_us, out, events)
            if verdict is Verdict.OLD:
                return events
            late = verdict is Verdict.LATE
        match kind:
            case "prices":
                self._back(TERMINAL, received_us, out)
                self.prices.read(packet, stamp, payload, received_ns, out, late=late)
            case "specifications":
                self.prices.specifications(packet, payload, received_ns, out)
            case "downgradeSubscription":
                events.append(self._downgraded(packet, received_us, out))
        if kind == "synchronizationStarted":
            events.append(SynchronisationStarted(self.account.name))
        elif kind == "dealSynchronizationFinished":
            events.append(SynchronisationFinished(self.account.name))
        elif kind in _PROGRESS and packet.get("synchronizationId") is not None:
            events.append(SynchronisationAdvanced(self.account.name))
        return events

    def settle(self, received_us: int, out: Records) -> list[Event]:
        """Let time pass: what was missing for too long is lost."""
        events: list[Event] = []
        for sequence in self._sequences.values():
            hole = sequence.lost(received_us)
            if hole is not None:
                events.append(self._lost(hole, out))
        return events

    def beat(self, received_us: int, out: Records) -> None:
        """The line was alive: close bars that are over, unless the terminal may have missed their end."""
        self.settle(received_us, out)
        if self._away is None:
            self.prices.bars.close_due(received_us, out)

    def _judge(
        self,
        kind: Any,
        number: int,
        stamp: int,
        packet: Mapping[str, Any],
        received_us: int,
        out: Records,
        events: list[Event],
    ) -> Verdict:
        host = _host(packet)
        sequence = self._sequences.get(host)
        if sequence is None:
            if len(self._sequences) >= 8:
                del self._sequences[next(iter(self._sequences))]
            sequence = self._sequences[host] = Sequence(self._patience_us)
        if kind != "synchronizationStarted":
            return sequence.take(number, stamp, received_us)
        if sequence.last is not None and stamp <= sequence.stamp:
            return Verdict.OLD
        if sequence.last is not None and self._away is None:
            # Whether something was sent between the last number of one run and the first of the next cannot be known.
            self.account.missed(out, sequence.last_us, received_us, RESTARTED, "the numbers began again")
        hole = sequence.start(number, stamp, received_us)
        if hole is not None:
            events.append(self._lost(hole, out))
        self._back(TERMINAL, received_us, out)
        self.prices.begin_again()
        return Verdict.NEXT

    def _lost(self, hole: Hole, out: Records) -> SequenceLost:
        reason = f"packet {hole.from_number + 1} and some after it up to {hole.to_number - 1} never came"
        if hole.to_number == hole.from_number + 2:
            reason = f"packet {hole.from_number + 1} never came"
        self.account.missed(out, hole.from_us, hole.to_us, LOST, reason, (hole.from_number, hole.to_number))
        self.prices.bars.forget()
        return SequenceLost(self.account.name, "", hole.from_number + 1, hole.to_number)

    def _news(self, kind: Any, packet: Mapping[str, Any], received_us: int, out: Records) -> list[Event]:
        name = self.account.name
        if kind == "authenticated":
            return [TerminalAttached(name, _host(packet), packet.get("sessionId"), iso(received_us))]
        if kind == "status":
            connected = packet.get("connected") is not False
            if connected:
                self._back(BROKER, received_us, out)
            else:
                self._gone(BROKER, "the terminal has lost its broker", received_us, out)
            return [BrokerStatus(name, connected)]
        if kind == "disconnected":
            self._gone(TERMINAL, "the terminal was detached", received_us, out)
            return [TerminalDetached(name)]
        return []

    def _gone(self, cause: str, reason: str, received_us: int, out: Records) -> None:
        if self._away is not None:
            return
        since_us = max((one.last_us for one in self._sequences.values()), default=0) or received_us
        self._away = (since_us, cause)
        self.prices.bars.forget()
        self.account.missed(out, since_us, None, cause, reason)

    def _back(self, cause: str, received_us: int, out: Records) -> None:
        # A terminal that is heard of is there; only its own word says that it has a broker.
        if self._away is None or (cause == TERMINAL and self._away[1] == BROKER):
            return
        since_us, was = self._away
        self._away = None
        self.account.missed(out, since_us, received_us, was, "")

    def _downgraded(self, packet: Mapping[str, Any], received_us: int, out: Records) -> Downgraded:
        event = downgraded(self.account.name, packet)
        instrument = self.account.instruments.get(event.symbol)
        if instrument is None:
            return event
        reasons: dict[str, str] = {}
        for kind, interval in event.interval_ms.items():
            every = "more seldom" if interval is None else f"only every {interval} ms"
            self._note_downgrade(reasons, kind, f"{kind} come {every} now")
        for kind in event.removed:
            self._note_downgrade(reasons, kind, f"{kind} come no more")
        for stream, reason in reasons.items():
            self.account.missed_one(out, instrument, stream, received_us, DOWNGRADED, reason)
        return event

    def _note_downgrade(self, reasons: dict[str, str], kind: str, reason: str) -> None:
        name = kind.partition("/")[0]
        streams = [_STREAM_OF_KIND[name]] if name in _STREAM_OF_KIND else []
        if name == "ticks":
            streams.append("trades")
        for stream in streams:
            if stream in self.account.streams:
                reasons[stream] = f"{reasons[stream]}, {reason}" if stream in reasons else reason


def _host(packet: Mapping[str, Any]) -> str:
    host = packet.get("host", _TEXT_HOST)
    return host if type(host) is str else _TEXT_HOST
