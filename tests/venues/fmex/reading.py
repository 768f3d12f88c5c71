"""Reading frames in tests: messages in, records and events out, and the invariant checked each time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from collector.model import Instrument, Records
from collector.venues.events import Event
from collector.venues.fmex.parser import FmexParser
from tests.kit.headers import session_header

BTC = Instrument("fmex", "btcusd_p")
ETH = Instrument("fmex", "ethusd_p")

# A full minute, in milliseconds: 30 November 2019, when the venue was alive.
T = 1_575_100_020_000


class Reading:
    """A session whose frames come a millisecond apart, unless told when. Messages are texts: their digits count."""

    def __init__(self, symbols: Sequence[str] | None = ("btcusd_p", "ethusd_p"), **own: Any) -> None:
        told = {"venue": "fmex", "adapter": "fmex", "symbols": symbols, "delta_level": "L20", **own}
        self.parser = FmexParser.begin(session_header(told))
        self.out = Records()
        self.events: list[Event] = []
        self.now_ms = T

    def frame(self, text: str, at_ms: int | None = None) -> Sequence[Event]:
        return self.raw(text.encode(), at_ms)

    def raw(self, payload: bytes, at_ms: int | None = None) -> Sequence[Event]:
        self.now_ms = self.now_ms + 1 if at_ms is None else at_ms
        events = self.parser.frame(payload, self.now_ms * 1_000_000, self.out)
        self.events += events
        self._balanced()
        return events

    def rest(
        self, path: str, data: str, params: Mapping[str, str] | None = None, at_ms: int | None = None
    ) -> Sequence[Event]:
        """Read an answer whose `data` is this text."""
        return self.rest_raw(path, f'{{"status":0,"data":{data}}}'.encode(), params, at_ms)

    def rest_raw(
        self, path: str, body: bytes, params: Mapping[str, str] | None = None, at_ms: int | None = None
    ) -> Sequence[Event]:
        self.now_ms = self.now_ms + 1 if at_ms is None else at_ms
        events = self.parser.rest(f"rest:{path}", params or {}, body, self.now_ms * 1_000_000, self.out)
        self._balanced()
        return events

    def beat(self, at_ms: int) -> None:
        self.now_ms = at_ms
        self.parser.beat(at_ms * 1_000_000, self.out)
        self._balanced()

    @property
    def errors(self) -> list[str]:
        return [bad.error for bad in self.out.quarantine]

    def _balanced(self) -> None:
        assert self.out.items == self.out.rows + sum(bad.items for bad in self.out.quarantine)


def trade(
    number: int = 1, ts: int = T, price: str = "7140.5", amount: str = "10", side: str = "buy", kind: str = ""
) -> str:
    """A trade as text; a notification where `kind` is its symbol, an item of a list where it is empty."""
    head = f'"type":"trade.{kind}",' if kind else ""
    return f'{{{head}"id":{number},"ts":{ts},"side":"{side}","price":{price},"amount":{amount}}}'


def whole(seq: int, bids: str = "7140,5,7139.5,6", asks: str = "7140.5,7", level: str = "l20", ts: int = T) -> str:
    return f'{{"type":"depth.{level}.btcusd_p","ts":{ts},"seq":{seq},"bids":[{bids}],"asks":[{asks}]}}'


def change(seq: int, before: int | str, bids: str = "", asks: str = "", level: str = "l20", ts: int = T) -> str:
    return (
        f'{{"type":"depth-delta.{level}.btcusd_p","ts":{ts},"seq":{seq},"pre_seq":{before},'
        f'"bids":[{bids}],"asks":[{asks}]}}'
    )


def bar(start_s: int = T // 1000, seq: int = 1, close: str = "7", count: int = 1, kind: str = "") -> str:
    """A bar as text; a state of the running one where `kind` is its topic."""
    head = f'"type":"{kind}",' if kind else ""
    return (
        f'{{{head}"id":{start_s},"seq":{seq},"open":5,"close":{close},"high":9.0,"low":5E0,"count":{count},'
        f'"base_vol":1.5E+3,"quote_vol":0.123456789012345678}}'
    )


def ticker(seq: int = 3, last: str = "7140.5", ts: str = "") -> str:
    return (
        f'{{"ticker":[{last},12.0,7140,5,7140.5,6.0,7000,7200,6900,68239.0,9.556],"seq":{seq}{ts},'
        f'"type":"ticker.btcusd_p"}}'
    )
