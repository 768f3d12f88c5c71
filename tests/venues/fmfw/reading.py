"""Reading frames in tests: messages in, records and events out, and the invariant checked each time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from collector.model import Instrument, Records
from collector.venues.events import Event
from collector.venues.fmfw.parser import FmfwParser
from tests.kit.headers import session_header

BTC = Instrument("fmfw", "BTCUSDT")
ETH = Instrument("fmfw", "ETHBTC")
PERP = Instrument("fmfw", "BTCUSDT_PERP")

# A full minute, in milliseconds.
T = 1_633_806_840_000


class Reading:
    """A session whose frames come a millisecond apart, unless told when."""

    def __init__(self, symbols: Sequence[str] | None = ("BTCUSDT", "ETHBTC", "BTCUSDT_PERP"), **header: Any) -> None:
        self.parser = FmfwParser.begin(
            session_header({"venue": "fmfw", "adapter": "fmfw", "symbols": symbols, **header})
        )
        self.out = Records()
        self.events: list[Event] = []
        self.now_ms = T

    def raw(self, payload: bytes, at_ms: int | None = None) -> Sequence[Event]:
        self.now_ms = self.now_ms + 1 if at_ms is None else at_ms
        events = self.parser.frame(payload, self.now_ms * 1_000_000, self.out)
        self.events += events
        self._balanced()
        return events

    def message(self, message: Any, at_ms: int | None = None) -> Sequence[Event]:
        return self.raw(orjson.dumps(message), at_ms)

    def send(self, channel: str, kind: str, content: Any, at_ms: int | None = None, **more: Any) -> Sequence[Event]:
        return self.message({"ch": channel, kind: content, **more}, at_ms)

    def rest(
        self, path: str, content: Any, params: Mapping[str, str] | None = None, at_ms: int | None = None
    ) -> Sequence[Event]:
        self.now_ms = self.now_ms + 1 if at_ms is None else at_ms
        events = self.parser.rest(
            f"rest:{path}", params or {}, orjson.dumps(content), self.now_ms * 1_000_000, self.out
        )
        self._balanced()
        return events

    def beat(self, at_ms: int) -> None:
        self.now_ms = at_ms
        self.parser.beat(at_ms * 1_000_000, self.out)
        self._balanced()

    def fork(self) -> Reading:
        copy = Reading()
        copy.parser = self.parser.fork()
        copy.now_ms = self.now_ms
        return copy

    @property
    def errors(self) -> list[str]:
        return [bad.error for bad in self.out.quarantine]

    def _balanced(self) -> None:
        assert self.out.items == self.out.rows + sum(bad.items for bad in self.out.quarantine)
