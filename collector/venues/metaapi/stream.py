"""Reads the packets of one account: their sequence, the gaps that follow from it, and whether the terminal is there.

The parser has one `Stream` per account and hands it every packet of that account; market data go on to `Prices`.
"""

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
from collector.venues.metaapi.requests import STREAM_OF_KIND
from collector.venues.metaapi.sequence import Hole, Sequence, Verdict
from collector.venues.metaapi.values import iso, whole

# Causes of gaps.
LOST_PACKET = "lost packet"
STREAM_RESTARTED = "stream restarted"
TERMINAL_AWAY = "terminal away"
BROKER_AWAY = "broker away"
DOWNGRADED = "downgraded"

# Packets of a synchronisation: each of them shows that it makes progress.
_SYNCHRONISATION_PARTS = frozenset(
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
# The host of packets that name none.
_DEFAULT_HOST = "0"
# How many hosts' sequences are remembered per account; beyond it the oldest is forgotten. An account runs on one host,
# on another after the venue has moved it; the bound is for a server that names a new host each time.
_HOSTS_REMEMBERED_MAX = 8


class Stream:
    """The state of one account in a session's parser."""

    __slots__ = ("_away", "_quarantine", "_reorder_us", "_sequences", "account", "prices")

    def __init__(
        self, account: Account, quarantine: Quarantine, *, series: str, grace_us: int, reorder_us: int
    ) -> None:
        self.account = account
        self.prices = Prices(account, quarantine, series, grace_us)
        self._quarantine = quarantine
        self._reorder_us = reorder_us
        self._sequences: dict[str, Sequence] = {}
        """By host: each host numbers its packets by itself."""
        self._away: tuple[int, str] | None = None
        """While terminal or broker is away: since when, in microseconds, and the gap's cause."""

    def fork_into(self, copy: Stream) -> None:
        """Give a copy the same state."""
        self.account.copy_into(copy.account)
        self.prices.fork_into(copy.prices)
        copy._sequences = {host: sequence.fork() for host, sequence in self._sequences.items()}
        copy._away = self._away

    def read(self, packet: dict[str, Any], payload: bytes, received_ns: int, out: Records) -> list[Event]:
        """Read one packet of this account: add rows and gaps to `out`, return events for the conversation."""
        kind = packet.get("type")
        received_us = received_ns // 1000
        events = self.report_losses(received_us, out)
        if kind in ("authenticated", "status", "disconnected", "keepalive"):  # these have no sequence number
            return events + self._read_terminal_packet(kind, packet, received_us, out)
        number, stamp = whole(packet.get("sequenceNumber")), whole(packet.get("sequenceTimestamp")) or 0
        late = False
        if number is not None:
            verdict = self._judge(kind, number, stamp, packet, received_us, out, events)
            if verdict is Verdict.OLD:
                return events
            late = verdict is Verdict.LATE
        match kind:
            case "prices":
                self._note_back(TERMINAL_AWAY, received_us, out)
                self.prices.read(packet, stamp, payload, received_ns, out, late=late)
            case "specifications":
                self.prices.specifications(packet, payload, received_ns, out)
            case "downgradeSubscription":
                events.append(self._downgraded(packet, received_us, out))
        if kind == "synchronizationStarted":
            events.append(SynchronisationStarted(self.account.name))
        elif kind == "dealSynchronizationFinished":
            events.append(SynchronisationFinished(self.account.name))
        elif kind in _SYNCHRONISATION_PARTS and packet.get("synchronizationId") is not None:
            events.append(SynchronisationAdvanced(self.account.name))
        return events

    def report_losses(self, received_us: int, out: Records) -> list[Event]:
        """Record gaps for packets that have been missing for too long at this time."""
        events: list[Event] = []
        for sequence in self._sequences.values():
            hole = sequence.take_lost(received_us)
            if hole is not None:
                events.append(self._lost(hole, out))
        return events

    def beat(self, received_us: int, out: Records) -> None:
        """The line was alive at this time: close bars that are over, unless the terminal or its broker is away."""
        self.report_losses(received_us, out)
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
            if len(self._sequences) >= _HOSTS_REMEMBERED_MAX:
                del self._sequences[next(iter(self._sequences))]
            sequence = self._sequences[host] = Sequence(self._reorder_us)
        if kind != "synchronizationStarted":
            return sequence.take(number, stamp, received_us)
        if sequence.last is not None and stamp <= sequence.stamp:
            return Verdict.OLD
        if sequence.last is not None and self._away is None:
            # Packets may have been sent between the last number of one run and the first of the next: nobody can know.
            # Where terminal or broker is away, that gap is open already.
            self.account.add_gaps(out, sequence.last_us, received_us, STREAM_RESTARTED, "the numbers began again")
        hole = sequence.start(number, stamp, received_us)
        if hole is not None:
            events.append(self._lost(hole, out))
        self._note_back(TERMINAL_AWAY, received_us, out)
        self.prices.restart()
        return Verdict.NEXT

    def _lost(self, hole: Hole, out: Records) -> SequenceLost:
        reason = f"packet {hole.from_number + 1} and others up to {hole.to_number - 1} never came"
        if hole.to_number == hole.from_number + 2:
            reason = f"packet {hole.from_number + 1} never came"
        self.account.add_gaps(out, hole.from_us, hole.to_us, LOST_PACKET, reason, (hole.from_number, hole.to_number))
        self.prices.bars.forget()
        return SequenceLost(self.account.name, "", hole.from_number + 1, hole.to_number)

    def _read_terminal_packet(
        self, kind: Any, packet: Mapping[str, Any], received_us: int, out: Records
    ) -> list[Event]:
        name = self.account.name
        if kind == "authenticated":
            return [TerminalAttached(name, _host(packet), packet.get("sessionId"), iso(received_us))]
        if kind == "status":
            connected = packet.get("connected") is not False
            if connected:
                self._note_back(BROKER_AWAY, received_us, out)
            else:
                self._note_away(BROKER_AWAY, "the terminal is not connected to its broker", received_us, out)
            return [BrokerStatus(name, connected)]
        if kind == "disconnected":
            self._note_away(TERMINAL_AWAY, "the terminal was detached", received_us, out)
            return [TerminalDetached(name)]
        return []

    def _note_away(self, cause: str, reason: str, received_us: int, out: Records) -> None:
        if self._away is not None:
            return
        # The gap begins with the last packet, since it is not known when after it the terminal or broker was lost.
        since_us = max((sequence.last_us for sequence in self._sequences.values()), default=0) or received_us
        self._away = (since_us, cause)
        self.prices.bars.forget()
        self.account.add_gaps(out, since_us, None, cause, reason)

    def _note_back(self, cause: str, received_us: int, out: Records) -> None:
        # Any packet shows that the terminal is there, but only its status says that it is connected to its broker.
        if self._away is None or (cause == TERMINAL_AWAY and self._away[1] == BROKER_AWAY):
            return
        since_us, cause_away = self._away
        self._away = None
        self.account.add_gaps(out, since_us, received_us, cause_away, "")

    def _downgraded(self, packet: Mapping[str, Any], received_us: int, out: Records) -> Downgraded:
        event = downgraded(self.account.name, packet)
        instrument = self.account.instruments.get(event.symbol)
        if instrument is None:
            return event
        reasons: dict[str, str] = {}
        for kind, interval in event.interval_ms.items():
            frequency = "less often" if interval is None else f"only every {interval} ms"
            self._note_downgrade(reasons, kind, f"{kind} now come {frequency}")
        for kind in event.removed:
            self._note_downgrade(reasons, kind, f"{kind} no longer come")
        for stream, reason in reasons.items():
            self.account.add_gap(out, instrument, stream, received_us, DOWNGRADED, reason)
        return event

    def _note_downgrade(self, reasons: dict[str, str], kind: str, reason: str) -> None:
        name = kind.partition("/")[0]
        streams = [STREAM_OF_KIND[name]] if name in STREAM_OF_KIND else []
        if name == "ticks":
            streams.append("trades")  # these are the deals among the ticks
        for stream in streams:
            if stream in self.account.streams:
                reasons[stream] = f"{reasons[stream]}, {reason}" if stream in reasons else reason


def _host(packet: Mapping[str, Any]) -> str:
    host = packet.get("host", _DEFAULT_HOST)
    return host if type(host) is str else _DEFAULT_HOST
