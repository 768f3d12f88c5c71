"""REST answers: the same records as the socket's, under the names of fields that REST uses.

The channel of a REST call is `rest:` and the path below `/public/`, for example `rest:trades`. Where the symbol stood
in the path, it is in the params as `symbol`, or follows the path (`rest:trades/ETHBTC`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from collector.model import PERIODS, Book, Derivative, Instrument, Rate, Records, Tick
from collector.venues.fmfw.books import STREAM as BOOKS
from collector.venues.fmfw.books import read_rest_book
from collector.venues.fmfw.candles import STREAM as CANDLES
from collector.venues.fmfw.candles import VENUE_PERIODS, RestCandles, rest_candles
from collector.venues.fmfw.context import Context
from collector.venues.fmfw.derivatives import DERIVATIVES, RATES, names_fault, read_rest_derivative
from collector.venues.fmfw.symbols import read_spec
from collector.venues.fmfw.ticks import REST_PRICE, REST_TICKER, Shape, read_tick, rest_rules
from collector.venues.fmfw.ticks import STREAM as TICKS
from collector.venues.fmfw.trades import STREAM as TRADES
from collector.venues.fmfw.trades import TradeListReader
from collector.venues.fmfw.values import MOMENT, UNSIGNED_TEXT, fault, moment_us
from collector.venues.kit.parser import Reply
from collector.venues.kit.values import is_name, shorten

PREFIX = "rest:"

_FUTURES_CANDLES = {
    "futures/candles/mark_price": rest_candles("mark"),
    "futures/candles/index_price": rest_candles("index"),
    "futures/candles/premium_index": rest_candles("premium", signed=True),
    "futures/candles/open_interest": rest_candles("open_interest"),
}
_TRADE_CANDLES = rest_candles("trade")
_TICK_SHAPES = {"ticker": REST_TICKER, "price/ticker": REST_PRICE}
_TICK_RULES = {path: rest_rules(shape) for path, shape in _TICK_SHAPES.items()}
_PRICE_RULES = {"price": UNSIGNED_TEXT, "timestamp": MOMENT}
_HISTORY_RULES = {"close": UNSIGNED_TEXT, "timestamp": MOMENT}

_DEFAULT_PERIOD = "M30"


class Answer:
    """One answer on its way into records."""

    __slots__ = ("body", "content", "context", "out", "params", "received_us", "symbol")

    def __init__(self, context: Context, reply: Reply, symbol: str | None, content: Any, out: Records) -> None:
        self.context = context
        self.params = reply.params
        self.symbol = symbol
        self.content = content
        self.body = reply.body
        self.received_us = reply.received_us
        self.out = out

    def reject(self, stream: str | None, reason: str, items: int = 1) -> None:
        self.context.reject(self.out, stream, reason, self.body, self.received_us, items)

    def by_symbol(self, content: Any, stream: str) -> Iterable[tuple[str, Any]]:
        """Pair the content with its symbols. Where the path named one, some answers are keyed by it nevertheless."""
        symbol = self.symbol
        if symbol is not None:
            return content.items() if type(content) is dict and content.keys() == {symbol} else [(symbol, content)]
        if type(content) is dict:
            return content.items()
        self.reject(stream, f"{shorten(content)} is not keyed by symbol, and the request named none")
        return ()

    def by_instrument(self, content: Any, stream: str) -> Iterable[tuple[Instrument, Any]]:
        """Pair the content with its instruments; what belongs to none of the session goes to quarantine."""
        for symbol, item in self.by_symbol(content, stream):
            instrument = self.context.admit(symbol)
            if instrument is None:
                self.context.reject_symbol(self.out, stream, symbol, self.body, self.received_us, item)
            else:
                yield instrument, item

    def store(self, stream: str, record: Tick | Book | Derivative | str) -> None:
        """Keep a record, or put what is wrong with it into quarantine."""
        if isinstance(record, str):
            self.reject(stream, record)
            return
        self.out.items += 1
        if isinstance(record, Tick):
            self.out.ticks.append(record)
        elif isinstance(record, Book):
            self.out.books.append(record)
        else:
            self.out.derivatives.append(record)


class RestReader:
    """Reads the answers of every public path."""

    __slots__ = ("_context", "_trades")

    def __init__(self, context: Context, trades: TradeListReader | None = None) -> None:
        self._context = context
        self._trades = TradeListReader(context) if trades is None else trades

    def fork(self, context: Context) -> RestReader:
        return RestReader(context, self._trades.fork(context))

    def read(self, reply: Reply, content: Any, out: Records) -> None:
        """Read one decoded answer."""
        params = reply.params
        path, symbol = _split(reply.channel)
        if symbol is None:
            symbol = params.get("symbol")
        if symbol is None and type(content) is list and is_name(params.get("symbols")):
            symbol = params["symbols"]
        answer = Answer(self._context, reply, symbol, content, out)
        reader = _READERS.get(path)
        if path == "trades":
            for code, items in answer.by_symbol(content, TRADES):
                self._trades.read(code, items, params, reply.body, reply.received_us, out)
        elif reader is None:
            answer.reject(None, f"channel: {shorten(reply.channel)} is not known")
        else:
            reader(answer, path)


def _split(channel: str) -> tuple[str, str | None]:
    path = channel.removeprefix(PREFIX)
    if path in _READERS or path == "trades":
        return path, None
    path, _, symbol = path.rpartition("/")
    return path, symbol or None


def _books(answer: Answer, path: str) -> None:
    for instrument, item in answer.by_instrument(answer.content, BOOKS):
        answer.store(BOOKS, read_rest_book(instrument, item, answer.received_us))


def _ticks(answer: Answer, path: str) -> None:
    shape: Shape = _TICK_SHAPES[path]
    for instrument, item in answer.by_instrument(answer.content, TICKS):
        answer.store(TICKS, read_tick(instrument, item, shape, _TICK_RULES[path], answer.received_us))


def _derivatives(answer: Answer, path: str) -> None:
    for instrument, content in answer.by_instrument(answer.content, DERIVATIVES):
        for item in content if type(content) is list else (content,):
            answer.store(DERIVATIVES, read_rest_derivative(instrument, item, answer.received_us))


def _candles(answer: Answer, path: str) -> None:
    _read_candles(answer, answer.content, _FUTURES_CANDLES.get(path, _TRADE_CANDLES))


def _converted_candles(answer: Answer, path: str) -> None:
    content = answer.content if type(answer.content) is dict else {}
    target = content.get("target_currency", answer.params.get("target_currency"))
    if not is_name(target) or "data" not in content:
        answer.reject(CANDLES, f"{shorten(answer.content)} is not an answer with target_currency and data")
        return
    _read_candles(answer, content["data"], _TRADE_CANDLES._replace(series=f"converted:{target}"))


def _read_candles(answer: Answer, content: Any, reader: RestCandles) -> None:
    period = VENUE_PERIODS.get(answer.params.get("period", _DEFAULT_PERIOD))
    if period is None:
        answer.reject(CANDLES, f"period: {shorten(answer.params.get('period'))} is not one of the venue's")
        return
    for instrument, items in answer.by_instrument(content, CANDLES):
        reader.read(instrument, items, PERIODS[period], answer.context, answer.body, answer.received_us, answer.out)


def _rates(answer: Answer, path: str) -> None:
    for source, item in answer.by_symbol(answer.content, RATES):
        target = item.get("currency") if type(item) is dict else None
        reason = names_fault(source, target)
        if reason is not None:
            answer.reject(RATES, reason)
        elif path == "price/rate":
            _store_rate(answer, f"{source}/{target}", item, _PRICE_RULES, "price")
        elif type(item.get("history")) is not list:
            answer.reject(RATES, f"history: {shorten(item.get('history'))} is not a list")
        else:
            for bar in item["history"]:
                _store_rate(answer, f"{source}/{target}", bar, _HISTORY_RULES, "close")


def _store_rate(answer: Answer, name: str, item: Any, rules: Mapping[str, Any], field: str) -> None:
    reason = fault(item, rules)
    time_us = None if reason else moment_us(item["timestamp"])
    if time_us is None:
        answer.reject(RATES, reason or "not a rate")
        return
    answer.out.rates.append(Rate(answer.context.venue, time_us, name, item[field], answer.received_us))
    answer.out.items += 1


def _symbols(answer: Answer, path: str) -> None:
    for code, item in answer.by_symbol(answer.content, "instruments"):
        spec = read_spec(answer.context.venue, code, item, answer.received_us)
        if isinstance(spec, str):
            answer.reject(None, spec)
        else:
            answer.out.instruments.append(spec)


def _currencies(answer: Answer, path: str) -> None:
    # Nothing of a currency is stored: its networks and fees are not market data.
    if type(answer.content) is not dict:
        answer.reject(None, f"{shorten(answer.content)} is not an object of currencies")


_READERS: dict[str, Callable[[Answer, str], None]] = {
    "orderbook": _books,
    "ticker": _ticks,
    "price/ticker": _ticks,
    "price/rate": _rates,
    "price/history": _rates,
    "candles": _candles,
    "converted/candles": _converted_candles,
    "futures/info": _derivatives,
    "futures/history/funding": _derivatives,
    "symbol": _symbols,
    "currency": _currencies,
    **dict.fromkeys(_FUTURES_CANDLES, _candles),
}
