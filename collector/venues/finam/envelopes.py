"""Reads socket messages: envelopes of data, errors and events. A payload is a string of JSON, or an object.

Members' names are snake_case in the documentation; camelCase was seen as well, so both are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from collector.model import Records
from collector.venues.events import Acknowledged, Event, Refused
from collector.venues.finam import books, candles, ticks, trades
from collector.venues.finam.books import BookReader
from collector.venues.finam.candles import CandleReader
from collector.venues.finam.context import Context
from collector.venues.finam.periods import PERIOD_OF
from collector.venues.finam.ticks import QuoteReader
from collector.venues.finam.trades import TradeReader
from collector.venues.finam.values import BadValueError, mapping, objects, text
from collector.venues.kit.values import shorten

# The venue's subscription types, events and error types.
QUOTES, ORDER_BOOK, INSTRUMENT_TRADES, BARS = "QUOTES", "ORDER_BOOK", "INSTRUMENT_TRADES", "BARS"
HANDSHAKE = "HANDSHAKE_SUCCESS"
UNAUTHENTICATED = "UNAUTHENTICATED"
CLOSED = "CONNECTION_CLOSED"

_STREAMS = {QUOTES: ticks.STREAM, ORDER_BOOK: books.STREAM, INSTRUMENT_TRADES: trades.STREAM, BARS: candles.STREAM}
# gRPC's status codes: UNAUTHENTICATED; and INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED, after which the same request
# would be refused again.
_CODE_UNAUTHENTICATED = 16
_PERMANENT_CODES = frozenset({3, 5, 7})
# What of an error's text is shown. The venue's texts are a sentence; more would fill the log.
_REASON_MAX_CHARACTERS = 500


class SocketReader:
    """Reads the messages of one connection. The first data of a symbol acknowledges its subscription."""

    __slots__ = ("_books", "_candles", "_context", "_quotes", "_trades")

    def __init__(
        self, context: Context, quotes: QuoteReader, books: BookReader, trades: TradeReader, candles: CandleReader
    ) -> None:
        self._context = context
        self._quotes = quotes
        self._books = books
        self._trades = trades
        self._candles = candles

    def read(self, message: bytes, received_us: int, out: Records) -> Sequence[Event]:
        """Read one message: add rows to `out`, return events for the conversation. Never raises."""
        stream: str | None = None
        try:
            envelope = mapping(orjson.loads(message), "message")
            kind = envelope.get("type")
            if kind == "DATA":
                channel = text(envelope, "subscription_type") or text(envelope, "subscriptionType")
                stream = _STREAMS.get(channel)
                return self._data(channel, envelope, message, received_us, out)
            if kind == "ERROR":
                return _error(envelope.get("error_info") or envelope.get("errorInfo"))
            if kind == "EVENT":
                return _event(envelope.get("event_info") or envelope.get("eventInfo"))
            raise BadValueError(f"type: {shorten(kind)} is not a known type")  # noqa: TRY301  quarantined below
        except (orjson.JSONDecodeError, BadValueError) as error:
            self._context.reject(out, stream, str(error), message, received_us)
            return ()

    def _data(
        self, channel: str, envelope: dict[str, Any], message: bytes, received_us: int, out: Records
    ) -> Sequence[Event]:
        payload = envelope.get("payload")
        content = mapping(orjson.loads(payload) if type(payload) is str else payload, "payload")
        if channel == QUOTES:
            return self._read_quotes(content, message, received_us, out)
        if channel == ORDER_BOOK:
            return self._read_books(content, message, received_us, out)
        symbol = content.get("symbol")
        instrument = self._context.admit(symbol)
        if instrument is None:
            raise BadValueError(f"symbol: {shorten(symbol)} is not one of this session")
        if channel == INSTRUMENT_TRADES:
            self._trades.follow(instrument, objects(content.get("trades"), "trades"), message, received_us, out)
        elif channel == BARS:
            key = text(envelope, "subscription_key") or text(envelope, "subscriptionKey")
            frame = key.rpartition(":")[2]
            if frame not in PERIOD_OF:
                raise BadValueError(f"subscription_key: {shorten(key)} names no known frame")
            channel = f"{BARS}/{frame}"
            self._candles.follow(instrument, frame, objects(content.get("bars"), "bars"), message, received_us, out)
        else:
            raise BadValueError(f"subscription_type: {shorten(channel)} is not a known type")
        return self._note_seen(channel, instrument.symbol, received_us)

    def _read_quotes(self, content: dict[str, Any], message: bytes, received_us: int, out: Records) -> Sequence[Event]:
        events: list[Event] = []
        for item in objects(content.get("quote"), "quote"):
            try:
                quote = mapping(item, "quote")
                symbol = quote.get("symbol")
                instrument = self._context.admit(symbol)
                if instrument is None:
                    raise BadValueError(f"symbol: {shorten(symbol)} is not one of this session")  # noqa: TRY301  quarantined below
                whole = quote.get("is_data_snapshot") is True or quote.get("isDataSnapshot") is True
                self._quotes.read(instrument, quote, received_us, out, whole=whole)
                events += self._note_seen(QUOTES, instrument.symbol, received_us)
            except BadValueError as error:
                self._context.reject(out, ticks.STREAM, str(error), message, received_us)
        refused = content.get("error")
        if type(refused) is dict and refused.get("code"):
            events.append(_refusal(refused, "description"))
        return events

    def _read_books(self, content: dict[str, Any], message: bytes, received_us: int, out: Records) -> Sequence[Event]:
        events: list[Event] = []
        for item in objects(content.get("order_book", content.get("orderBook")), "order_book"):
            try:
                book = mapping(item, "order_book")
                symbol = book.get("symbol")
                instrument = self._context.admit(symbol)
                if instrument is None:
                    raise BadValueError(f"symbol: {shorten(symbol)} is not one of this session")  # noqa: TRY301  quarantined below
                snapshot = book.get("is_data_snapshot") is True or book.get("isDataSnapshot") is True
                rows = objects(book.get("rows"), "rows")
                event = self._books.follow(ORDER_BOOK, instrument, rows, received_us, out, snapshot=snapshot)
                events += self._note_seen(ORDER_BOOK, instrument.symbol, received_us)
                if event is not None:
                    events.append(event)
            except BadValueError as error:
                self._context.reject(out, books.STREAM, str(error), message, received_us)
        return events

    def _note_seen(self, channel: str, symbol: str, received_us: int) -> Sequence[Event]:
        first = symbol not in self._context.last_seen.get(channel, ())
        self._context.note_seen(channel, symbol, received_us)
        return (Acknowledged(None, channel, frozenset({symbol})),) if first else ()


def _error(info: Any) -> Sequence[Event]:
    return (_refusal(info if type(info) is dict else {}, "message"),)


def _refusal(info: dict[str, Any], text_member: str) -> Refused:
    code, kind = info.get("code"), text(info, "type")
    if code == _CODE_UNAUTHENTICATED:
        kind = UNAUTHENTICATED
    reason = text(info, text_member) or kind or "no reason given"
    return Refused(None, kind or str(code), reason[:_REASON_MAX_CHARACTERS], permanent=code in _PERMANENT_CODES)


def _event(info: Any) -> Sequence[Event]:
    members = info if type(info) is dict else {}
    name = text(members, "event")
    if name == HANDSHAKE:
        return (Acknowledged(None, HANDSHAKE, frozenset()),)
    if name == CLOSED:
        return (Refused(None, CLOSED, text(members, "reason") or CLOSED, permanent=False),)
    return ()
