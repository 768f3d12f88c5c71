"""Ticks: the top of the book, the ticker and the mini ticker, as rows of one kind.

A tick has no id, so its key is made of its values: the same state told twice (socket and replay, two tickers in one
millisecond) is one row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, Self

from collector.model import Instrument, Records, Tick, content_key
from collector.venues.events import Event
from collector.venues.fmfw.context import Context
from collector.venues.fmfw.values import (
    FIRST_MS,
    LAST_MS,
    MILLIS,
    MOMENT,
    UNSIGNED_TEXT,
    Rule,
    fault,
    joined,
    moment_us,
    optional,
)

STREAM = "ticks"


class Shape(NamedTuple):
    """Which field of a message is which column. None: the channel does not tell it."""

    time: str
    bid: str | None = None
    bid_size: str | None = None
    ask: str | None = None
    ask_size: str | None = None
    last: str | None = None
    volume: str | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(name for name in self[1:] if name is not None)

    def rules(self, time_rule: Rule) -> Mapping[str, Rule]:
        return {self.time: time_rule} | dict.fromkeys(self.fields, optional(UNSIGNED_TEXT))


TOP = Shape("t", bid="b", bid_size="B", ask="a", ask_size="A")
TICKER = Shape("t", bid="b", bid_size="B", ask="a", ask_size="A", last="c", volume="v")
MINI = Shape("t", last="c", volume="v")
REST_TICKER = Shape("timestamp", bid="bid", ask="ask", last="last", volume="volume")
REST_PRICE = Shape("timestamp", last="price")


def make_tick(instrument: Instrument, time_us: int, columns: tuple[str | None, ...], received_us: int) -> Tick:
    """Make the row; `columns` are bid, its size, ask, its size, last price and volume."""
    bid, bid_size, ask, ask_size, last, volume = columns
    key = content_key(f"{bid}|{bid_size}|{ask}|{ask_size}|{last}|{volume}")
    return Tick(instrument, time_us, key, bid, bid_size, ask, ask_size, last, None, volume, received_us)


class TickReader:
    """The socket channels `orderbook/top`, `ticker` and `ticker/price`, with and without `/batch`."""

    __slots__ = ("_after", "_before", "_channel", "_context", "_match", "_rules", "_seen", "_shape", "_values")

    def __init__(self, context: Context, channel: str, shape: Shape) -> None:
        self._context = context
        self._channel = channel
        self._shape = shape
        self._rules = shape.rules(MILLIS)
        self._seen = context.seen(channel)
        told = [name is not None for name in shape[1:]]
        self._values = itemgetter(*shape.fields)
        self._match = joined(len(shape.fields))
        self._before = (None,) * told.index(True)
        self._after = (None,) * told[::-1].index(True)

    def fork(self, context: Context) -> Self:
        return type(self)(context, self._channel, self._shape)

    def read(self, message: dict[str, Any], payload: bytes, received_ns: int, out: Records) -> Sequence[Event] | None:
        content = message.get("data")
        if type(content) is not dict:
            return None
        context = self._context
        received_us = received_ns // 1000
        for symbol, item in content.items():
            instrument = context.instruments.get(symbol) or context.admit(symbol)
            if instrument is None:
                context.reject_symbol(out, STREAM, symbol, payload, received_us, item)
                continue
            tick = self._read(instrument, item, received_us)
            if isinstance(tick, str):
                context.reject(out, STREAM, tick, payload, received_us)
                continue
            out.ticks.append(tick)
            out.items += 1
            self._seen[symbol] = received_ns
        return ()

    def _read(self, instrument: Instrument, item: Any, received_us: int) -> Tick | str:
        # The usual message has every value; any other one goes the careful way.
        try:
            t = item["t"]
            values = self._values(item)
            usual = type(t) is int and FIRST_MS <= t <= LAST_MS and self._match("|".join(values))
        except (KeyError, TypeError):
            usual = None
        if not usual:
            return read_tick(instrument, item, self._shape, self._rules, received_us)
        return make_tick(instrument, t * 1000, self._before + values + self._after, received_us)


def read_tick(
    instrument: Instrument, item: Any, shape: Shape, rules: Mapping[str, Rule], received_us: int
) -> Tick | str:
    """Make a tick of any shape, or say what is wrong with it."""
    reason = fault(item, rules)
    if reason is not None:
        return reason
    time_us = moment_us(item[shape.time])
    assert time_us is not None
    columns = tuple(None if name is None else item.get(name) for name in shape[1:])
    return make_tick(instrument, time_us, columns, received_us)


def rest_rules(shape: Shape) -> Mapping[str, Rule]:
    """Return the rules of a REST shape."""
    return shape.rules(MOMENT)
