"""The parser of a session: frames to readers by their channel, once decoded.

It refuses to build anything from what it reads (books, bars, totals): a frame's facts go out as they came. No input
makes it raise; what no reader understands goes to quarantine with its frame.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Self

import orjson

from collector.model import PERIODS, Records
from collector.venues.events import Event
from collector.venues.fmfw.books import FullBookReader, PartialBookReader
from collector.venues.fmfw.candles import VENUE_PERIODS, CandleReader
from collector.venues.fmfw.context import Context, Reader
from collector.venues.fmfw.control import control_event, is_control
from collector.venues.fmfw.derivatives import FuturesReader, RateReader
from collector.venues.fmfw.rest import RestReader
from collector.venues.fmfw.ticks import MINI, TICKER, TOP, TickReader
from collector.venues.fmfw.trades import TradeReader
from collector.venues.header import SessionHeader
from collector.venues.kit.bars import grace_us
from collector.venues.kit.parser import BarParser, Reply
from collector.venues.kit.values import shorten

_BATCH = r"(?:/batch)?"
_CANDLES = re.compile(r"(converted/)?candles/(\w+)")
_PARTIAL_BOOK = re.compile(rf"orderbook/D(?:5|10|20)/(?:100|500|1000)ms{_BATCH}")
_TOP = re.compile(rf"orderbook/top/(?:100|500|1000)ms{_BATCH}")
_TICKER = re.compile(rf"ticker/[13]s{_BATCH}")
_MINI_TICKER = re.compile(rf"ticker/price/[13]s{_BATCH}")
_RATE = re.compile(rf"price/rate/[13]s{_BATCH}")

_loads = orjson.loads


def make_reader(channel: str, context: Context) -> Reader | None:
    """Return the reader of a channel, None when the venue has no such channel."""
    if channel == "trades":
        return TradeReader(context, channel)
    if channel == "orderbook/full":
        return FullBookReader(context, channel)
    if channel == "futures/info":
        return FuturesReader(context, channel)
    if _PARTIAL_BOOK.fullmatch(channel):
        return PartialBookReader(context, channel)
    if _RATE.fullmatch(channel):
        return RateReader(context, channel)
    for pattern, shape in ((_TOP, TOP), (_TICKER, TICKER), (_MINI_TICKER, MINI)):
        if pattern.fullmatch(channel):
            return TickReader(context, channel, shape)
    candles = _CANDLES.fullmatch(channel)
    if candles is not None and candles[2] in VENUE_PERIODS:
        period = PERIODS[VENUE_PERIODS[candles[2]]]
        return CandleReader(context, channel, period, converted=candles[1] is not None)
    return None


class FmfwParser(BarParser):
    """Meets `collector.venues.adapter.Parser`."""

    __slots__ = ("_readers", "_rest")

    _context: Context

    def __init__(self, context: Context, readers: dict[str, Reader], rest: RestReader) -> None:
        super().__init__(context)
        self._readers = readers
        self._rest = rest

    @classmethod
    def begin(cls, header: SessionHeader) -> Self:
        """Return the parser of a new session."""
        context = Context(header.venue, header.symbols, grace_us(header))
        return cls(context, {}, RestReader(context))

    def fork(self) -> Self:
        context = self._context.fork()
        readers = {channel: reader.fork(context) for channel, reader in self._readers.items()}
        return type(self)(context, readers, self._rest.fork(context))

    def frame(self, payload: bytes, received_ns: int, out: Records) -> Sequence[Event]:
        """Read a socket message."""
        try:
            message = _loads(payload)
            reader = self._readers[message["ch"]]
        except (ValueError, KeyError, TypeError):
            events = self._other(payload, received_ns, out)
        else:
            found = reader.read(message, payload, received_ns, out)
            events = self._misshapen(message, payload, received_ns, out) if found is None else found
        if received_ns >= self._context.due_ns:
            self.beat(received_ns, out)
        return events

    def _answered(self, reply: Reply, out: Records) -> Sequence[Event]:
        try:
            content = _loads(reply.body)
        except ValueError as error:
            self._context.reject(out, None, f"not JSON: {error}", reply.body, reply.received_us)
            return ()
        event = control_event(content) if type(content) is dict and type(content.get("error")) is dict else None
        if event is not None:
            return (event,)
        self._rest.read(reply, content, out)
        return ()

    def _candle_readers(self) -> Iterable[CandleReader]:
        return (reader for reader in self._readers.values() if isinstance(reader, CandleReader))

    def _other(self, payload: bytes, received_ns: int, out: Records) -> Sequence[Event]:
        # The first message of a channel, an answer to a request, or nothing that we know.
        message = self._object(_loads, payload, received_ns // 1000, out)
        if message is None:
            return ()
        channel = message.get("ch")
        reader = make_reader(channel, self._context) if type(channel) is str else None
        if reader is None:
            return self._misshapen(message, payload, received_ns, out)
        self._readers[message["ch"]] = reader
        found = reader.read(message, payload, received_ns, out)
        return self._misshapen(message, payload, received_ns, out) if found is None else found

    def _misshapen(self, message: dict[str, Any], payload: bytes, received_ns: int, out: Records) -> Sequence[Event]:
        if is_control(message):
            event = control_event(message)
            return () if event is None else (event,)
        channel = message.get("ch")
        if channel in self._readers if type(channel) is str else False:
            reason = f"{channel}: neither snapshot, update nor data as the channel has them: {shorten(message)}"
        else:
            reason = f"ch: {shorten(channel)} is no channel that we know"
        self._context.reject(out, None, reason, payload, received_ns // 1000)
        return ()
