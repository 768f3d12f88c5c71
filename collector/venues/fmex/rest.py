"""REST answers: the same records as the socket's.

The channel of a call is `rest:` and what the path says, for example `rest:trades/btcusd_p`; see `_READERS` for all. An
answer is `{"status": 0, "data": ..}`; open interest, which is on another host, comes bare.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from collector.model import PERIODS, Instrument, Records
from collector.venues.fmex.books import STREAM as BOOKS
from collector.venues.fmex.books import read_book
from collector.venues.fmex.candles import read_rest_candles
from collector.venues.fmex.context import Context
from collector.venues.fmex.derivatives import StateReader
from collector.venues.fmex.numbers import loads
from collector.venues.fmex.symbols import read_specs
from collector.venues.fmex.ticks import STREAM as TICKS
from collector.venues.fmex.ticks import read_tick
from collector.venues.fmex.topics import LEVELS, VENUE_PERIODS
from collector.venues.fmex.trades import TradePages
from collector.venues.fmex.values import millis_us
from collector.venues.kit.parser import Reply
from collector.venues.kit.values import shorten

PREFIX = "rest:"
SYMBOLS = "symbols"
INDEXES = "indexes"
EXCHANGE = "fex"
INTEREST = "statistics"


class Answer:
    """One answer on its way into records; `parts` are what follows the kind in the channel."""

    __slots__ = ("body", "content", "out", "params", "parts", "received_ns")

    def __init__(self, parts: list[str], reply: Reply, content: Any, out: Records) -> None:
        self.parts = parts
        self.params = reply.params
        self.content = content
        self.body = reply.body
        self.received_ns = reply.received_ns
        self.out = out

    @property
    def received_us(self) -> int:
        return self.received_ns // 1000


class RestReader:
    """Reads the answers of every public path."""

    __slots__ = ("_context", "_states", "_trades")

    def __init__(self, context: Context, states: StateReader, trades: TradePages | None = None) -> None:
        self._context = context
        self._states = states
        self._trades = TradePages(context) if trades is None else trades

    def fork(self, context: Context, states: StateReader) -> RestReader:
        return RestReader(context, states, self._trades.fork(context))

    def read(self, reply: Reply, out: Records) -> None:
        """Read one answer."""
        channel, body, received_us = reply.channel, reply.body, reply.received_us
        kind, *parts = channel.removeprefix(PREFIX).split("/")
        reader = _READERS.get(kind)
        if reader is None:
            self._context.reject(out, None, f"channel: {shorten(channel)} is not known", body, received_us)
            return
        try:
            content = loads(body)
        except ValueError as error:
            self._context.reject(out, None, f"{kind}: not JSON: {error}", body, received_us)
            return
        if kind != INTEREST:
            if type(content) is not dict or "data" not in content:
                reason = f"{kind}: {shorten(content)} is not an answer with data"
                self._context.reject(out, None, reason, body, received_us)
                return
            content = content["data"]
        answer = Answer(parts, reply, content, out)
        if len(parts) == _PARTS.get(kind, len(parts)):
            reader(self, answer)
        else:
            self._reject(answer, None, f"channel: {shorten(channel)} does not name what it is of")

    def _reject(self, answer: Answer, stream: str | None, reason: str) -> None:
        self._context.reject(answer.out, stream, reason, answer.body, answer.received_us)

    def _instrument(self, answer: Answer, symbol: Any) -> Instrument | None:
        instrument = self._context.admit(symbol.lower()) if type(symbol) is str else None
        if instrument is None:
            self._reject(answer, None, f"symbol: {shorten(symbol)} is not one of this session")
        return instrument

    def _specs(self, answer: Answer) -> None:
        try:
            specs, problems = read_specs(self._context.venue, answer.body, answer.received_us)
        except ValueError as error:
            self._reject(answer, None, str(error))
            return
        answer.out.instruments += specs
        for problem in problems:
            self._reject(answer, None, f"{problem.subject}: {problem.reason}")

    def _trade_page(self, answer: Answer) -> None:
        instrument = self._instrument(answer, answer.parts[-1])
        if instrument is not None:
            self._trades.read(instrument, answer.params, answer.content, answer.body, answer.received_us, answer.out)

    def _candles(self, answer: Answer) -> None:
        instrument = self._instrument(answer, answer.parts[-1])
        period = VENUE_PERIODS.get(answer.parts[0])
        if period is None:
            self._reject(answer, "candles", f"period: {shorten(answer.parts[0])} is not one of the venue's")
        elif instrument is not None:
            read_rest_candles(
                self._context, instrument, answer.content, PERIODS[period], answer.body, answer.received_us, answer.out
            )

    def _depth(self, answer: Answer) -> None:
        instrument = self._instrument(answer, answer.parts[-1])
        if instrument is None:
            return
        book = read_book(instrument, answer.content, answer.received_us, snapshot=True)
        if isinstance(book, str) or answer.parts[0] not in LEVELS:
            self._reject(answer, BOOKS, book if isinstance(book, str) else f"{answer.parts[0]} is not a depth")
            return
        answer.out.books.append(book)
        answer.out.items += 1

    def _ticker(self, answer: Answer) -> None:
        item = answer.content
        self._tick(answer, answer.parts[-1], item, item.get("ts") if type(item) is dict else None)

    def _all_tickers(self, answer: Answer) -> None:
        content = answer.content
        items = content.get("tickers") if type(content) is dict else None
        if type(items) is not list or millis_us(content.get("ts")) is None:
            self._reject(answer, TICKS, f"{shorten(content)} is not a list of tickers with its time")
            return
        for item in items:
            self._tick(answer, item.get("symbol") if type(item) is dict else None, item, content["ts"])

    def _tick(self, answer: Answer, symbol: Any, item: Any, ts: Any) -> None:
        instrument = self._instrument(answer, symbol)
        if instrument is None:
            return
        tick = read_tick(instrument, item, ts, self._context, answer.received_us)
        if isinstance(tick, str):
            self._reject(answer, TICKS, tick)
            return
        answer.out.ticks.append(tick)
        answer.out.items += 1

    def _indexes(self, answer: Answer) -> None:
        if answer.parts:
            name = answer.parts[-1].lower()
            self._states.read_one_index(name, answer.content, answer.body, answer.received_ns, answer.out)
        else:
            self._states.read_indexes(answer.content, answer.body, answer.received_ns, answer.out)

    def _exchange(self, answer: Answer) -> None:
        self._states.read_exchange(answer.content, answer.body, answer.received_ns, answer.out)

    def _interest(self, answer: Answer) -> None:
        self._states.read_interest(answer.content, answer.body, answer.received_ns, answer.out)

    def _names(self, answer: Answer) -> None:
        # Names of currencies and indexes are for discovery; nothing of them is stored.
        if type(answer.content) is not list:
            self._reject(answer, None, f"{shorten(answer.content)} is not a list of names")

    def _clock(self, answer: Answer) -> None:
        time_us = millis_us(answer.content)
        if time_us is None:
            self._reject(answer, None, f"{shorten(answer.content)} is not a time in milliseconds")
        else:
            self._context.set_clock(time_us, answer.received_us)


# How many parts the channel has after the kind, where it must have some.
_PARTS = {"trades": 1, "ticker": 1, "candles": 2, "depth": 2}

_READERS: dict[str, Callable[[RestReader, Answer], None]] = {
    "trades": RestReader._trade_page,  # noqa: SLF001  the table is part of the class
    "candles": RestReader._candles,  # noqa: SLF001
    "depth": RestReader._depth,  # noqa: SLF001
    "ticker": RestReader._ticker,  # noqa: SLF001
    "all-tickers": RestReader._all_tickers,  # noqa: SLF001
    INDEXES: RestReader._indexes,  # noqa: SLF001
    EXCHANGE: RestReader._exchange,  # noqa: SLF001
    INTEREST: RestReader._interest,  # noqa: SLF001
    SYMBOLS: RestReader._specs,  # noqa: SLF001
    "currencies": RestReader._names,  # noqa: SLF001
    "index-symbols": RestReader._names,  # noqa: SLF001
    "server-time": RestReader._clock,  # noqa: SLF001
}
