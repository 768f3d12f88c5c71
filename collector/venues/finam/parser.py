"""The parser of a session: REST answers and socket messages to records.

A REST answer's channel names the method, the symbol and how to read it: `Bars/SBER@MISX/TIME_FRAME_M1`, or with
`/history` behind it for what is told whole, whatever this session knows of it. No input makes it raise; what is not
understood goes to quarantine with its frame.
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
from collector.venues.finam.requests import ASSET, BARS, BOOK, EXCHANGES, NEWS, PARAMS, PAST, QUOTE, SCHEDULE, TRADES
from collector.venues.finam.symbols import make_spec
from collector.venues.finam.ticks import QuoteReader
from collector.venues.finam.trades import TradeReader
from collector.venues.finam.values import BadValueError, mapping, objects, time_us
from collector.venues.finam.watch import Watch
from collector.venues.header import SessionHeader
from collector.venues.kit.parser import AnswerParser, Reply
from collector.venues.kit.values import shorten

DEFAULT_FINAL_US = 5_000_000

_STREAMS = {QUOTE: ticks.STREAM, BOOK: books.STREAM, TRADES: trades.STREAM, BARS: candles.STREAM}
_PARTS = {ASSET: "asset", PARAMS: "params", SCHEDULE: "schedule"}


class FinamParser(AnswerParser):
    """Meets `collector.venues.adapter.Parser`."""

    __slots__ = (
        "_about",
        "_context",
        "_extra",
        "_greeted",
        "_hours",
        "_socket",
        "_watch",
        "books",
        "candles",
        "last_seen",
        "quotes",
        "trades",
    )

    def __init__(
        self, context: Context, extra: Mapping[str, Any], watch: Watch, other: FinamParser | None = None
    ) -> None:
        self._context = context
        self._extra = extra
        self._watch = watch
        self.last_seen = context.last_seen
        self._about: dict[str, dict[str, Any]] = {}
        self._greeted: set[str] = set()
        self._hours: dict[str, Hours] = {}
        if other is None:
            self.quotes, self.books = QuoteReader(context), BookReader(context)
            self.trades, self.candles = TradeReader(context), CandleReader(context)
        else:
            self._about = {symbol: parts.copy() for symbol, parts in other._about.items()}  # noqa: SLF001  of this class
            self._greeted = other._greeted.copy()  # noqa: SLF001  of this class
            self._hours = {symbol: hours.fork() for symbol, hours in other._hours.items()}  # noqa: SLF001  of this class
            self.quotes, self.books = other.quotes.fork(context), other.books.fork(context)
            self.trades, self.candles = other.trades.fork(context), other.candles.fork(context)
        self._socket = SocketReader(context, self.quotes, self.books, self.trades, self.candles)

    @classmethod
    def begin(cls, header: SessionHeader) -> Self:
        """Return the parser of a new session."""
        final_us = int(header.own.get("final_us", DEFAULT_FINAL_US))
        context = Context(header.venue, header.symbols, final_us)
        watch = Watch(header.own.get("patience_us") or {}, Maintenance(header.own.get("maintenance")))
        return cls(context, header.own.get("delays") or {}, watch)

    def fork(self) -> Self:
        return type(self)(self._context.fork(), self._extra, self._watch.fork(), self)

    def frame(self, payload: bytes, received_ns: int, out: Records) -> Sequence[Event]:
        """Read a socket message."""
        return self._socket.read(payload, received_ns // 1000, out)

    def beat(self, received_ns: int, out: Records) -> None:
        """Nothing is closed by time: a bar's end is told by the next answer or bar."""

    def _answered(self, reply: Reply, out: Records) -> Sequence[Event]:
        is_news = reply.channel.startswith(NEWS)
        try:
            return self._news(reply, out) if is_news else self._read(reply, out)
        except (orjson.JSONDecodeError, BadValueError) as error:
            stream = news.STREAM if is_news else _STREAMS.get(reply.channel.partition("/")[0])
            self._context.reject(out, stream, f"{reply.channel[:100]}: {error}", reply.body, reply.received_us)
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
        said = content.get("symbol")
        if said not in (None, "", symbol):
            raise BadValueError(f"symbol: the answer is for {shorten(said)}")
        frame, _, mode = reading.partition("/")
        channel = f"{method}/{frame}" if method == BARS else method
        since_us = None
        if method == QUOTE:
            quote = mapping(content.get("quote", {}), "quote")
            fresh = self.quotes.read(instrument, quote, received_us, out, whole=True)
            worth = AnswerRead(int(len(quote) > 1), fresh)
        elif method == BOOK:
            rows = objects(mapping(content.get("orderbook", {}), "orderbook").get("rows"), "rows")
            worth = AnswerRead(len(rows), self.books.read(instrument, rows, received_us, out))
        elif method == TRADES:
            items = objects(content.get("trades"), "trades")
            read = self.trades.read_past if reading == PAST else self.trades.read
            listing = read(instrument, items, body, received_us, out)
            worth = AnswerRead(listing.total, listing.fresh, listing)
            if reading != PAST:
                since_us = received_us if listing.oldest_us is None else listing.oldest_us + self._delay_us(symbol)
        elif method == BARS and frame in PERIOD_OF:
            items = objects(content.get("bars"), "bars")
            asked_us = time_us(reply.params.get("interval.end_time"))
            read_bars = self.candles.read_past if mode == PAST else self.candles.read
            fresh = read_bars(instrument, frame, items, asked_us, body, received_us, out)
            worth = AnswerRead(len(items), fresh, reached=self.candles.reached(symbol, frame))
        else:
            raise BadValueError("no method that we know")
        self._watch.note(instrument, _STREAMS[method], self._hours.get(symbol), received_us, out)
        return (worth, *self._covered(channel, symbol, worth.fresh, received_us, since_us))

    def _news(self, reply: Reply, out: Records) -> Sequence[Event]:
        source = reply.channel.removeprefix(NEWS)
        items = news.read_feed(self._context, source, reply.body, reply.received_us, out)
        return self._covered(reply.channel, source, items, reply.received_us)

    def _covered(
        self, channel: str, symbol: str, fresh: int, received_us: int, since_us: int | None = None
    ) -> Sequence[Event]:
        # An answer covers its stream even with nothing in it, as a quiet subscription does once it is acknowledged.
        if fresh:
            self._context.saw(channel, symbol, received_us)
        name = f"{channel}/{symbol}"
        if name in self._greeted and since_us is None:
            return ()
        self._greeted.add(name)
        return (Acknowledged(None, channel, frozenset({symbol}), since_us),)

    def _delay_us(self, symbol: str) -> int:
        """How much later than others we may see what happens, in microseconds."""
        delay = (self._extra.get(symbol.rpartition("@")[2]) or {}).get("delay_minutes")
        return delay * 60_000_000 if type(delay) is int else 0

    def _exchanges(self, content: Mapping[str, Any]) -> Sequence[Event]:
        for item in objects(content.get("exchanges"), "exchanges"):
            exchange = mapping(item, "exchange")
            self._about.setdefault(f"@{exchange.get('mic')}", {})["exchange"] = exchange
        return ()

    def _describe(
        self, instrument: Instrument, part: str, content: dict[str, Any], received_us: int, out: Records
    ) -> Sequence[Event]:
        about = {**self._about.get(instrument.symbol, {}), part: content}
        if part == "schedule":
            self._hours.setdefault(instrument.symbol, Hours()).learn(content)
        if "asset" in about:
            mic = instrument.symbol.rpartition("@")[2]
            more = {name: value for name, value in about.items() if name != "asset"}
            more |= self._about.get(f"@{mic}", {}) | self._extra.get(mic, {})
            out.instruments.append(make_spec(instrument, about["asset"], more, received_us))
        # Only what was understood: the good answers that follow are put together with it.
        self._about[instrument.symbol] = about
        return ()
