"""Reading packets in tests: messages in, records and events out, and the invariant checked each time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from collector.model import Instrument, Records
from collector.venues.events import Event
from collector.venues.metaapi.parser import MetaapiParser
from collector.venues.metaapi.strip import strip
from collector.venues.metaapi.values import iso
from tests.kit.headers import session_header

ACCOUNT = "8f6c4a3e"
EURUSD = Instrument("metaapi", "EURUSD")
# 2024-05-06 07:08:00 UTC in milliseconds.
T = 1_714_979_280_000
OFFSET = 10_800_000

DEMO = {
    "name": "demo",
    "prefix": "",
    "symbols": ["EURUSD", "SBER"],
    "streams": ["trades", "ticks", "books", "candles"],
    "kinds": ["quotes", "ticks", "marketDepth", "candles/1m", "candles/1mn"],
    "tick_rows": True,
}
HEADER: dict[str, Any] = {
    "venue": "metaapi",
    "adapter": "metaapi",
    "instance": 0,
    "accounts": {ACCOUNT: DEMO},
    "candle_grace_us": 5_000_000,
    "reorder_us": 2_000_000,
    "candle_series": "bid",
    "intervals": {},
    "refresh_seconds": 600.0,
    "status_seconds": 60.0,
}


def times(at_ms: int) -> str:
    broker = iso((at_ms + OFFSET) * 1000).replace("T", " ").rstrip("Z")
    return f'"time":"{iso(at_ms * 1000)}","brokerTime":"{broker}"'


def price(bid: str = "1.0712", ask: str = "1.0713", at_ms: int = T, symbol: str = "EURUSD") -> str:
    return f'{{"symbol":"{symbol}","bid":{bid},"ask":{ask},{times(at_ms)}}}'


def tick(at_ms: int = T, more: str = '"bid":1,"ask":2', symbol: str = "EURUSD") -> str:
    return f'{{"symbol":"{symbol}",{times(at_ms)},{more}}}'


def candle(at_ms: int = T, close: str = "1.5", timeframe: str = "1m") -> str:
    return (
        f'{{"symbol":"EURUSD","timeframe":"{timeframe}",{times(at_ms)},"open":1,"high":2,"low":0.5,"close":{close},'
        '"tickVolume":12,"spread":10,"volume":0}'
    )


class Reading:
    """A session whose packets have numbers and come a millisecond apart, unless told otherwise."""

    def __init__(self, *, stripped: bool = True, **header: Any) -> None:
        self.parser = MetaapiParser(session_header({**HEADER, **header}))
        self.out = Records()
        self.events: list[Event] = []
        self.now_ms = T
        self.number = -1
        self.stamp = T
        self.stripped = stripped

    def raw(self, payload: bytes, at_ms: int | None = None) -> Sequence[Event]:
        self.now_ms = self.now_ms + 1 if at_ms is None else at_ms
        kept = strip(payload) if self.stripped else payload
        if kept is None:
            return ()
        events = self.parser.frame(kept, self.now_ms * 1_000_000, self.out)
        self.events += events
        self._balanced()
        return events

    def packet(
        self,
        kind: str,
        body: str = "",
        *,
        number: int | None = None,
        stamp: int | None = None,
        at_ms: int | None = None,
        instance: int = 0,
        account: str = ACCOUNT,
        host: str = "h",
    ) -> Sequence[Event]:
        if number is None:
            self.number += 1
            number = self.number
        if stamp is None:
            self.stamp += 2
            stamp = self.stamp
        head = f'"type":"{kind}","accountId":"{account}","instanceIndex":{instance},"host":"{host}"'
        numbers = f'"sequenceNumber":{number},"sequenceTimestamp":{stamp}'
        text = f'42["synchronization",{{{head},{numbers}{body}}}]'
        return self.raw(text.encode(), at_ms)

    def news(self, kind: str, body: str = "", at_ms: int | None = None) -> Sequence[Event]:
        """A packet without a number."""
        text = f'42["synchronization",{{"type":"{kind}","accountId":"{ACCOUNT}","instanceIndex":0,"host":"h"{body}}}]'
        return self.raw(text.encode(), at_ms)

    def prices(self, **named: Any) -> Sequence[Event]:
        """A packet of prices: `prices`, `ticks`, `candles`, `books` as JSON texts."""
        lists = {name: named.pop(name) for name in ("prices", "ticks", "candles", "books") if name in named}
        body = "".join(f',"{name}":[{",".join(items)}]' for name, items in lists.items())
        return self.packet("prices", body, **named)

    def start(self, **named: Any) -> Sequence[Event]:
        self.number = -1
        return self.packet("synchronizationStarted", ',"synchronizationId":"s"', **named)

    def beat(self, at_ms: int) -> None:
        self.now_ms = at_ms
        self.parser.beat(at_ms * 1_000_000, self.out)
        self._balanced()

    @property
    def errors(self) -> list[str]:
        return [bad.error for bad in self.out.quarantine]

    def _balanced(self) -> None:
        assert self.out.items == self.out.rows + sum(bad.items for bad in self.out.quarantine)
