"""Trades, and the key that makes a trade one row whichever way it came.

The venue's socket was seen to send the trade's time as its id (`i == t`), while REST has real ids, so no id can be the
key. The key is made of what the trade says: time, price, size, side, and its ordinal, the how-manieth equal trade of
its millisecond it is (0, 1, ..). Socket, snapshot, REST and replay each count equal trades from 0, so n equal trades
get the ordinals 0 to n-1 everywhere, in whatever order a source tells them: the same set of keys.

What cannot be known, and how it is decided:

* A repeated update message with `i == t` cannot be told from a second equal trade; it is counted as one. (The venue
  has not been seen to repeat updates. With real ids a repeated one keeps its ordinal.)
* A list that begins within a millisecond, after some of its equal trades, gives the rest the ordinals from 0: keys that
  the earlier ones have had. None of them is counted twice; a list that holds the millisecond whole adds what is
  missing, and each page of the venue's history does (see `history`).
* The first live trades after a snapshot count on from the snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from collector.model import Instrument, Records, Trade, content_key, plain
from collector.venues.events import Event
from collector.venues.fmfw.context import Context
from collector.venues.fmfw.values import (
    FIRST_MS,
    LAST_MS,
    MILLIS,
    MOMENT,
    SIDE,
    TRADE_ID,
    UNSIGNED_TEXT,
    fault,
    joined,
    moment_us,
    trade_number,
)
from collector.venues.kit.ordinals import Counts, Ordinals, trade_key
from collector.venues.kit.trades import ReadTrade

STREAM = "trades"

_SIDES = {"buy": 1, "sell": -1}
_make = tuple.__new__  # half the price of calling the class; the order of fields is checked by a test
_price_and_size = joined(2)
_UPDATE_RULES = {"t": MILLIS, "p": UNSIGNED_TEXT, "q": UNSIGNED_TEXT, "s": SIDE, "i": TRADE_ID}
_REST_RULES = {"timestamp": MOMENT, "price": UNSIGNED_TEXT, "qty": UNSIGNED_TEXT, "side": SIDE, "id": TRADE_ID}


class _Tape:
    """An instrument and the memory of its trades."""

    __slots__ = ("instrument", "ordinals")

    def __init__(self, instrument: Instrument, ordinals: Ordinals) -> None:
        self.instrument = instrument
        self.ordinals = ordinals


class _Tapes(dict[str, _Tape]):
    def of(self, symbol: str, context: Context) -> _Tape | None:
        tape = self.get(symbol)
        if tape is None:
            instrument = context.admit(symbol)
            if instrument is not None:
                tape = self[symbol] = _Tape(instrument, Ordinals())
        return tape

    def fork(self) -> _Tapes:
        return _Tapes((symbol, _Tape(tape.instrument, tape.ordinals.fork())) for symbol, tape in self.items())


class TradeReader:
    """The socket channel `trades`."""

    __slots__ = ("_channel", "_context", "_seen", "_tapes")

    def __init__(self, context: Context, channel: str, tapes: _Tapes | None = None) -> None:
        self._context = context
        self._channel = channel
        self._seen = context.seen(channel)
        self._tapes = _Tapes() if tapes is None else tapes

    def fork(self, context: Context) -> Self:
        return type(self)(context, self._channel, self._tapes.fork())

    def read(self, message: dict[str, Any], payload: bytes, received_ns: int, out: Records) -> Sequence[Event] | None:
        content = message.get("update")
        snapshot = content is None
        if snapshot:
            content = message.get("snapshot")
        if type(content) is not dict:
            return None
        context = self._context
        received_us = received_ns // 1000
        for symbol, items in content.items():
            tape = self._tapes.get(symbol) or self._tapes.of(symbol, context)
            if tape is None:
                context.reject_symbol(out, STREAM, symbol, payload, received_us, items)
                continue
            if type(items) is not list:
                context.reject(out, STREAM, f"{symbol}: not a list of trades", payload, received_us)
                continue
            counts = Counts() if snapshot else None
            good = 0
            for item in items:
                try:
                    t = item["t"]
                    price = item["p"]
                    size = item["q"]
                    side = _SIDES[item["s"]]
                    identity = item.get("i")
                    if not (type(t) is int and FIRST_MS <= t <= LAST_MS and _price_and_size("|".join((price, size)))):
                        raise ValueError  # noqa: TRY301  the field at fault is looked for below
                    if identity == t:
                        identity = None
                    elif type(identity) is not int:
                        identity = _identity(identity)
                except (KeyError, TypeError, ValueError, AttributeError):
                    reason = fault(item, _UPDATE_RULES) or "not a trade"
                    context.reject(out, STREAM, reason, payload, received_us)
                    continue
                time_us = t * 1000
                # `plain` is worth its call only where there may be a zero to strip.
                content_text = (
                    f"{time_us}|{plain(price) if price[-1] == '0' else price}"
                    f"|{plain(size) if size[-1] == '0' else size}|{side}"
                )
                if counts is not None and identity is None:
                    ordinal = counts.number(content_text, None, time_us)
                else:
                    ordinal = tape.ordinals.number(content_text, identity, time_us)
                out.trades.append(
                    _make(
                        Trade,
                        (
                            tape.instrument,
                            time_us,
                            trade_key(content_text, ordinal) if ordinal else content_key(content_text + "|0"),
                            None if identity is None else str(identity),
                            price,
                            size,
                            side,
                            received_us,
                        ),
                    )
                )
                good += 1
            out.items += good
            if good or not items:
                self._seen[symbol] = received_ns
            if counts is not None:
                counts.teach(tape.ordinals)
        return ()


def _listed(item: Any) -> ReadTrade | str:
    """Read one trade of a REST list, or say what is wrong with it."""
    reason = fault(item, _REST_RULES)
    time_us = None if reason else moment_us(item["timestamp"])
    if time_us is None:
        return reason or "not a trade"
    price, size, side = item["price"], item["qty"], _SIDES[item["side"]]
    content = f"{time_us}|{plain(price)}|{plain(size)}|{side}"
    return ReadTrade(time_us, trade_number(item.get("id")), price, size, side, content)


def contents(items: Iterable[Any]) -> list[str]:
    """Return what the good trades of a REST list say, as they are counted by."""
    return [listed.content for listed in map(_listed, items) if isinstance(listed, ReadTrade)]


class TradeListReader:
    """REST lists of trades, whose ids are trusted: equal trades are numbered in their order.

    A page of history is numbered by itself (`collector.venues.kit.ordinals`). Lists of which nothing is told, such as
    the pages in older journals, go on counting from each other.
    """

    __slots__ = ("_context", "_ordinals")

    def __init__(self, context: Context, ordinals: dict[str, Ordinals] | None = None) -> None:
        self._context = context
        self._ordinals = {} if ordinals is None else ordinals

    def fork(self, context: Context) -> Self:
        return type(self)(context, {symbol: known.fork() for symbol, known in self._ordinals.items()})

    def read(
        self, symbol: str, items: Any, told: Mapping[str, str], body: bytes, received_us: int, out: Records
    ) -> None:
        """Read one symbol's list; `told` is what is known of the request."""
        context = self._context
        instrument = context.admit(symbol)
        if instrument is None:
            context.reject_symbol(out, STREAM, symbol, body, received_us, items)
            return
        if type(items) is not list:
            context.reject(out, STREAM, f"{symbol}: not a list of trades", body, received_us)
            return
        good: list[ReadTrade] = []
        for item in items:
            listed = _listed(item)
            if isinstance(listed, str):
                context.reject(out, STREAM, listed, body, received_us)
            else:
                good.append(listed)
        good.sort(key=lambda listed: (listed.time_us, -1 if listed.number is None else listed.number))
        counts = Counts.of_page(told)
        ordinals = self._counted_on(symbol, good) if counts is None else _counted_alone(good, counts)
        out.trades += [
            listed.row(instrument, ordinal, received_us) for listed, ordinal in zip(good, ordinals, strict=True)
        ]
        out.items += len(good)

    def _counted_on(self, symbol: str, trades: Sequence[ReadTrade]) -> Iterator[int]:
        known, counts = self._ordinals.setdefault(symbol, Ordinals()), Counts()
        for time_us, number, *_, content in trades:
            yield (counts if number is None else known).number(content, number, time_us)


def _counted_alone(trades: Sequence[ReadTrade], counts: Counts) -> Iterator[int]:
    before: tuple[int, str] | None = None
    ordinal = 0
    for time_us, number, *_, content in trades:
        if number is None or (number, content) != before:  # one that is listed twice is one
            ordinal = counts.number(content, number, time_us)
        yield ordinal
        before = None if number is None else (number, content)


def _identity(value: Any) -> int | None:
    # An id written as text; ValueError for what is no id at all.
    if value is None:
        return None
    number = trade_number(value)
    if number is None:
        raise ValueError
    return number
