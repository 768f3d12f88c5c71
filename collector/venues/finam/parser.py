"""The parser of a session: turns REST answers and socket messages into rows and events.

A REST answer's channel names the method, the symbol and how to read it, such as `Bars/SBER@MISX/TIME_FRAME_M1`. With
`/history` at the end every item becomes a row, whatever this session knows already. No input makes it raise; what
cannot be read goes to quarantine with its frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import orjson

from collector.model import Instrument, Records
from collector.venues.events import Acknowledged, Event
from collector.venues.finam import books, candles, news, ticks, trades
from collector.venues.finam.books import BookReader
from collector.venues.finam.candles import CandleReader
from collector.venues.finam.context import Context
from collector.venues.finam.envelopes import SocketReader
from collector.venues.finam.happenings import AnswerRead
from collector.venues.finam.hours import Hours, Maintenance
from collector.venues.finam.periods import PERIOD_OF
from collector.venues.finam.requests import ASSET, BARS, BOOK, EXCHANGES, HISTORY, NEWS, PARAMS, QUOTE, SCHEDULE, TRADES
from collector.venues.finam.symbols import make_spec
from collector.venues.finam.ticks import QuoteReader
from collector.venues.finam.trades import TradeReader
from collector.venues.finam.values import BadValueError, mapping, objects, time_us
from collector.venues.finam.watch import Watch
from collector.venues.header import SessionHeader
from collector.venues.kit.parser import AnswerParser, Reply
from collector.venues.kit.values import shorten

# The bars' grace period for sessions whose header does not have one. It must not change, or a replay of such a session
# would give other rows.
DEFAULT_GRACE_US = 5_000_000
# What of a channel's name is shown in a reason; it holds a symbol, which a journal may have in any length.
_CHANNEL_MAX_CHARACTERS = 100

_STREAMS = {QUOTE: ticks.STREAM, BOOK: books.STREAM, TRADES: trades.STREAM, BARS: candles.STREAM}
_PARTS = {ASSET: "asset", PARAMS: "params", SCHEDULE: "schedule"}


class FinamParser(AnswerParser):
    """Meets `collector.venues.roles.Parser`. `parent`: the parser whose state is copied, None for a new session.

    `delays`: of each exchange, how delayed its data are, as the session's header has it.
    """

    __slots__ = (
        "_acknowledged",
        "_context",
        "_delays",
        "_hours",
        "_reference",
        "_socket",
        "_watch",
        "books",
        "candles",
        "last_seen",
        "quotes",
        "trades",
    )

    def __init__(
        self, context: Context, delays: Mapping[str, Any], watch: Watch, parent: FinamParser | None = None
    ) -> None:
        self._context = context
        self._delays = delays
        self._watch = watch
        self.last_seen = context.last_seen
        self._reference: dict[str, dict[str, Any]] = {}
        """The answers that describe each symbol, and each exchange under `@MIC`, by their part."""
        self._acknowledged: set[str] = set()
        """Channel and symbol of what was answered at least once."""
        self._hours: dict[str, Hours] = {}
        if parent is None:
            self.quotes, self.books = QuoteReader(context), BookReader(context)
            self.trades, self.candles = TradeReader(context), CandleReader(context)
        else:
            self._reference = {symbol: parts.copy() for symbol, parts in parent._reference.items()}  # noqa: SLF001
            self._acknowledged = parent._acknowledged.copy()  # noqa: SLF001
            self._hours = {symbol: hours.fork() for symbol, hours in parent._hours.items()}  # noqa: SLF001
            self.quotes, self.books = parent.quotes.fork(context), parent.books.fork(context)
            self.trades, self.candles = parent.trades.fork(context), parent.candles.fork(context)
        self._socket = SocketReader(context, self.quotes, self.books, self.trades, self.candles)

    @classmethod
    def begin(cls, header: SessionHeader) -> Self:
        """Return the parser of a new session."""
        grace_us = int(header.own.get("final_us", DEFAULT_GRACE_US))
        context = Context(header.venue, header.symbols, grace_us)
        watch = Watch(header.own.get("patience_us") or {}, Maintenance(header.own.get("maintenance")))
        return cls(context, header.own.get("delays") or {}, watch)

    def fork(self) -> Self:
        return type(self)(self._context.fork(), self._delays, self._watch.fork(), self)

    def frame(self, payload: bytes, received_ns: int, out: Records) -> Sequence[Event]:
        """Read a socket message."""
        return self._socket.read(payload, received_ns // 1000, out)

    def beat(self, received_ns: int, out: Records) -> None:
        """Do nothing: bars are closed by the next answer or bar, not by the clock."""

    def _answered(self, reply: Reply, out: Records) -> Sequence[Event]:
        is_news = reply.channel.startswith(NEWS)
        try:
            return self._news(reply, out) if is_news else self._read(reply, out)
        except (orjson.JSONDecodeError, BadValueError) as error:
            stream = news.STREAM if is_news else _STREAMS.get(reply.channel.partition("/")[0])
            channel = reply.channel[:_CHANNEL_MAX_CHARACTERS]
            self._context.reject(out, stream, f"{channel}: {error}", reply.body, reply.received_us)
            return ()

    def _read(self, reply: Reply, out: Records) -> Sequence[Event]:
        body, received_us = reply.body, reply.received_us
        method, _, rest = reply.channel.partition("/")
        symbol, _, reading = rest.partition("/")
        content = mapping(orjson.loads(body), "answer")
        if method == EXCHANGES:
            return self._exchanges(content)
        instrument = self._context.admit(symbol)
        if instrument is None:
            raise BadValueError(f"{shorten(symbol)} is not a symbol of this session")
        if method in _PARTS:
            return self._describe(instrument, _PARTS[method], content, received_us, out)
        answered_symbol = content.get("symbol")
        if answered_symbol not in (None, "", symbol):
            raise BadValueError(f"symbol: the answer is for {shorten(answered_symbol)}")
        frame, _, mode = reading.partition("/")
        channel = f"{method}/{frame}" if method == BARS else method
        since_us = None
        if method == QUOTE:
            quote = mapping(content.get("quote", {}), "quote")
            fresh = self.quotes.read(instrument, quote, received_us, out, whole=True)
            answer_read = AnswerRead(int(len(quote) > 1), fresh)
        elif method == BOOK:
            rows = objects(mapping(content.get("orderbook", {}), "orderbook").get("rows"), "rows")
            answer_read = AnswerRead(len(rows), self.books.read(instrument, rows, received_us, out))
        elif method == TRADES:
            items = objects(content.get("trades"), "trades")
            read_trades = self.trades.read_history if reading == HISTORY else self.trades.read
            listing = read_trades(instrument, items, body, received_us, out)
            answer_read = AnswerRead(listing.total, listing.fresh, listing)
            if reading != HISTORY:
                since_us = received_us if listing.oldest_us is None else listing.oldest_us + self._delay_us(symbol)
        elif method == BARS and frame in PERIOD_OF:
            items = objects(content.get("bars"), "bars")
            asked_us = time_us(reply.params.get("interval.end_time"))
            read_bars = self.candles.read_history if mode == HISTORY else self.candles.read
            fresh = read_bars(instrument, frame, items, asked_us, body, received_us, out)
            answer_read = AnswerRead(len(items), fresh, reached=self.candles.reached(symbol, frame))
        else:
            raise BadValueError("not a known method")
        self._watch.note_answer(instrument, _STREAMS[method], self._hours.get(symbol), received_us, out)
        return (answer_read, *self._covered(channel, symbol, answer_read.fresh, received_us, since_us))

    def _news(self, reply: Reply, out: Records) -> Sequence[Event]:
        source = reply.channel.removeprefix(NEWS)
        items = news.read_feed(self._context, source, reply.body, reply.received_us, out)
        return self._covered(reply.channel, source, items, reply.received_us)

    def _covered(
        self, channel: str, symbol: str, fresh: int, received_us: int, since_us: int | None = None
    ) -> Sequence[Event]:
        # An answer proves its stream even with nothing in it: the market is quiet. `since_us`: for trades, the time
        # from which on the list is complete; it is reported with every answer, others only with the first.
        if fresh:
            self._context.note_seen(channel, symbol, received_us)
        name = f"{channel}/{symbol}"
        if name in self._acknowledged and since_us is None:
            return ()
        self._acknowledged.add(name)
        return (Acknowledged(None, channel, frozenset({symbol}), since_us),)

    def _delay_us(self, symbol: str) -> int:
        """Return how delayed the data of a symbol are, in microseconds; 0 where they are live."""
        delay = (self._delays.get(symbol.rpartition("@")[2]) or {}).get("delay_minutes")
        return delay * 60_000_000 if type(delay) is int else 0

    def _exchanges(self, content: Mapping[str, Any]) -> Sequence[Event]:
        for item in objects(content.get("exchanges"), "exchanges"):
            exchange = mapping(item, "exchange")
            self._reference.setdefault(f"@{exchange.get('mic')}", {})["exchange"] = exchange
        return ()

    def _describe(
        self, instrument: Instrument, part: str, content: dict[str, Any], received_us: int, out: Records
    ) -> Sequence[Event]:
        parts = {**self._reference.get(instrument.symbol, {}), part: content}
        if part == "schedule":
            self._hours.setdefault(instrument.symbol, Hours()).learn(content)
        if "asset" in parts:
            mic = instrument.symbol.rpartition("@")[2]
            other_parts = {name: value for name, value in parts.items() if name != "asset"}
            other_parts |= self._reference.get(f"@{mic}", {}) | self._delays.get(mic, {})
            out.instruments.append(make_spec(instrument, parts["asset"], other_parts, received_us))
        # Kept only now, so that an answer that `make_spec` refuses does not spoil the ones that follow.
        self._reference[instrument.symbol] = parts
        return ()
