"""The toy with a mistake that is easily made: a trade's key depends on how the trade came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from collector.model import Records
from collector.venues.events import Event
from collector.venues.header import SessionHeader
from collector.venues.roles import Parser
from collector_toy import ToyAdapter, ToyParser


class WrongParser(ToyParser):
    """Makes a trade's key of its receipt."""

    def read(self, message: dict[str, Any], received_ns: int, out: Records) -> Sequence[Event]:
        known = len(out.trades)
        events = super().read(message, received_ns, out)
        out.trades[known:] = [trade._replace(trade_key=received_ns) for trade in out.trades[known:]]
        return events


class WrongAdapter(ToyAdapter):
    """The protocol, with that parser."""

    name: ClassVar[str] = "toy_wrong"

    def parser(self, header: SessionHeader) -> Parser:
        return WrongParser(header)


ADAPTER = WrongAdapter()
