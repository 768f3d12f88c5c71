"""The parser of a session: frames to readers by their type, once decoded.

It refuses to build anything from what it reads (books, bars, totals): a frame's facts go out as they came. No input
makes it raise; what no reader understands goes to quarantine with its frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Self

from collector.model import Instrument, Records
from collector.venues.events import Event
from collector.venues.fmex import control
from collector.venues.fmex.books import BookReader
from collector.venues.fmex.candles import CandleReader
from collector.venues.fmex.context import Context
from collector.venues.fmex.derivatives import StateReader
from collector.venues.fmex.numbers import loads
from collector.venues.fmex.requests import asked_topic
from collector.venues.fmex.rest import RestReader
from collector.venues.fmex.ticks import TickReader
from collector.venues.fmex.topics import CANDLE, DELTA, DEPTH, TICKER, TRADE, Topic, split
from collector.venues.fmex.trades import TradeReader
from collector.venues.fmex.values import millis_us
from collector.venues.header import SessionHeader
from collector.venues.kit.bars import grace_us
from collector.venues.kit.parser import BarParser, Reply
from collector.venues.kit.values import shorten

# Types in the case that they came in; a venue that varied it would not fill the memory.
ROUTES_REMEMBERED = 10_000

_Read = Callable[[Instrument, dict[str, Any], bytes, int, Records], Sequence[Event]]


class _Readers(NamedTuple):
    """The session's readers; those of books by level, those of candles by period."""

    states: StateReader
    rest: RestReader
    trades: TradeReader
    ticks: TickReader
    books: dict[str, BookReader]
    candles: dict[str, CandleReader]


class FmexParser(BarParser):
    """Meets `collector.venues.adapter.Parser`."""

    __slots__ = ("_books", "_candles", "_rest", "_routes", "_states", "_ticks", "_trades")

    _context: Context

    def __init__(self, context: Context, readers: _Readers) -> None:
        super().__init__(context)
        self._states, self._rest, self._trades, self._ticks, self._books, self._candles = readers
        self._routes: dict[str, tuple[_Read, Instrument]] = {}

    @classmethod
    def begin(cls, header: SessionHeader) -> Self:
        """Return the parser of a new session."""
        context = Context(header.venue, header.symbols, grace_us(header), header.own.get("delta_level", ""))
        streams = header.own.get("streams")
        # Only a session that says so wants states; any session may be told index values.
        states = StateReader(
            context,
            rates=streams is None or "rates" in streams,
            states=streams is not None and "derivatives" in streams,
        )
        return cls(
            context, _Readers(states, RestReader(context, states), TradeReader(context), TickReader(context), {}, {})
        )

    def fork(self) -> Self:
        context = self._context.fork()
        states = self._states.fork(context)
        readers = _Readers(
            states,
            self._rest.fork(context, states),
            self._trades.fork(context),
            self._ticks.fork(context),
            {level: reader.fork(context) for level, reader in self._books.items()},
            {variant: reader.fork(context) for variant, reader in self._candles.items()},
        )
        return type(self)(context, readers)

    def frame(self, payload: bytes, received_ns: int, out: Records) -> Sequence[Event]:
        """Read a socket message."""
        try:
            message = loads(payload)
            read, instrument = self._routes[message["type"]]
        except (ValueError, KeyError, TypeError):
            events = self._other(payload, received_ns, out)
        else:
            events = read(instrument, message, payload, received_ns, out)
        if received_ns >= self._context.due_ns:
            self.beat(received_ns, out)
        return events

    def _answered(self, reply: Reply, out: Records) -> Sequence[Event]:
        self._rest.read(reply, out)
        return ()

    def _candle_readers(self) -> Iterable[CandleReader]:
        return self._candles.values()

    def _other(self, payload: bytes, received_ns: int, out: Records) -> Sequence[Event]:
        # The first message of a topic, a word about the conversation, or nothing that we know.
        received_us = received_ns // 1000
        message = self._object(loads, payload, received_us, out)
        if message is None:
            return ()
        refused = control.refusal(message)
        if refused is not None:
            return (refused,)
        kind = message.get("type")
        events = self._words(kind, message, received_us) if type(kind) is str else None
        if events is not None:
            return events
        topic = split(kind) if type(kind) is str else None
        if topic is not None:
            return self._first(str(kind), topic, message, payload, received_ns, out)
        if kind is None and "data" in message:
            return self._answer(message, payload, received_ns, out)
        reason = f"type: {shorten(kind)} is none that we know: {shorten(message)}"
        self._context.reject(out, None, reason, payload, received_us)
        return ()

    def _words(self, kind: str, message: dict[str, Any], received_us: int) -> Sequence[Event] | None:
        word = kind.lower()
        if word in (control.HELLO, control.PING):
            venue_us = millis_us(message.get("ts"))
            if venue_us is not None:
                self._context.set_clock(venue_us, received_us)
            self._context.seen(word)[""] = received_us * 1000
            return (control.heard(message, word),)
        return control.subscribed(message) if word == control.TOPICS else None

    def _first(
        self, kind: str, topic: Topic, message: dict[str, Any], payload: bytes, received_ns: int, out: Records
    ) -> Sequence[Event]:
        instrument = self._context.admit(topic.name)
        if instrument is None:
            reason = f"type: {shorten(kind)} is of no symbol of this session"
            self._context.reject(out, None, reason, payload, received_ns // 1000)
            return ()
        read = self._reader(topic)
        if len(self._routes) < ROUTES_REMEMBERED:
            self._routes[kind] = (read, instrument)
        return read(instrument, message, payload, received_ns, out)

    def _reader(self, topic: Topic) -> _Read:
        if topic.kind == TRADE:
            return self._trades.read
        if topic.kind == TICKER:
            return self._ticks.read
        if topic.kind == CANDLE:
            return self._candle_reader(topic.variant).read
        if topic.kind in (DEPTH, DELTA):
            books = self._books.get(topic.variant)
            if books is None:
                books = self._books[topic.variant] = BookReader(self._context, topic.variant)
            return books.read_whole if topic.kind == DEPTH else books.read_change
        return self._states.read_push

    def _candle_reader(self, variant: str) -> CandleReader:
        reader = self._candles.get(variant)
        if reader is None:
            reader = self._candles[variant] = CandleReader(self._context, variant)
        return reader

    def _answer(self, message: dict[str, Any], payload: bytes, received_ns: int, out: Records) -> Sequence[Event]:
        """Read the answer to a `req`, which only its id tells apart."""
        topic = split(asked_topic(control.identity(message) or "") or "")
        instrument = self._context.admit(topic.name) if topic else None
        if topic is None or instrument is None or topic.kind not in (TRADE, CANDLE):
            reason = f"id: {shorten(message.get('id'))} is of no request of ours, so nobody knows whose data this is"
            self._context.reject(out, None, reason, payload, received_ns // 1000)
            return ()
        heard = control.heard(message, control.REQ)
        if topic.kind == TRADE:
            self._trades.read_list(instrument, message["data"], payload, received_ns, out)
            return (heard,)
        reader = self._candle_reader(topic.variant)
        return (heard, *reader.read_list(instrument, message["data"], payload, received_ns, out))
