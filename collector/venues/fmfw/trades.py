"""Trades, and the key that makes a trade one row whichever way it came.

The venue's socket was seen to send the trade's time as its id (`i == t`), while REST has real ids, so no id can be the
key. The key is made of what the trade says: time, price, size, side, and its ordinal, the how-manieth equal trade of
its millisecond it is (0, 1, ..). Socket, snapshot, REST and replay each count equal trades from 0, so n equal trades
get the ordinals 0 to n-1 everywhere, in whatever order a source tells them: the same set of keys.

What cannot be known, and how it is decided:

* A repeated update message with `i == t` cannot be told from a second equal trade; it is counted as one. (The venue
  has not been seen to repeat updates. With real ids a repeated one keeps its ordinal.)
* A list that begins within a millisecond, after some of its equal trades, gives the rest the ordinals from 0: keys that
  the earlier ones have had. None of them is counted twice; a list that holds the millisecond whole (the venue's
  history, read by time) adds what is missing. Pages of history that follow each other in one session go on counting.
* The first live trades after a snapshot count on from the snapshot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from collector.model import Instrument, Records, Trade, content_key, plain
from collector.venues.adapter import Event
from collector.venues.fmfw.checks import (
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
from collector.venues.fmfw.context import Context
from collector.venues.ordinals import Counts, Ordinals, trade_key

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
                context.reject_symbol(out, STREAM, symbol, items, payload, received_us)
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
                    ordinal = counts.number(content_text, time_us)
                else:
                    ordinal = tape.ordinals.number(content_text, identity, time_us)
                out.trades.append(
                    _make(
                        Trade,
                        (
                            tape.instrument, time_us,
                            trade_key(content_text, ordinal) if ordinal else content_key(content_text + "|0"),
                            None if identity is None else str(identity), price, size, side, received_us,
                        ),
                    )
                )  # fmt: skip
                good += 1
            out.items += good
            if good or not items:
                self._seen[symbol] = received_ns
            if counts is not None:
                counts.teach(tape.ordinals)
        return ()


class TradeListReader:
    """REST lists of trades, in whatever order; pages that overlap or follow each other keep their numbers."""

    __slots__ = ("_context", "_tapes")

    def __init__(self, context: Context, tapes: _Tapes | None = None) -> None:
        self._context = context
        self._tapes = _Tapes() if tapes is None else tapes

    def fork(self, context: Context) -> Self:
        return type(self)(context, self._tapes.fork())

    def read(self, symbol: str, items: Any, body: bytes, received_us: int, out: Records) -> None:
        """Read one symbol's list."""
        context = self._context
        tape = self._tapes.of(symbol, context)
        if tape is None:
            context.reject_symbol(out, STREAM, symbol, items, body, received_us)
            return
        if type(items) is not list:
            context.reject(out, STREAM, f"{symbol}: not a list of trades", body, received_us)
            return
        good: list[tuple[int, int | None, dict[str, Any]]] = []
        for item in items:
            reason = fault(item, _REST_RULES)
            time_us = None if reason else moment_us(item["timestamp"])
            if time_us is None:
                context.reject(out, STREAM, reason or "not a trade", body, received_us)
            else:
                good.append((time_us, trade_number(item.get("id")), item))
        good.sort(key=lambda entry: (entry[0], -1 if entry[1] is None else entry[1]))
        counts = Counts()
        for time_us, number, item in good:
            side = _SIDES[item["side"]]
            content = f"{time_us}|{plain(item['price'])}|{plain(item['qty'])}|{side}"
            if number is None:
                ordinal, trade_id = counts.number(content, time_us), None
            else:
                ordinal, trade_id = tape.ordinals.number(content, number, time_us), str(number)
            out.trades.append(
                Trade(
                    tape.instrument, time_us, trade_key(content, ordinal), trade_id,
                    item["price"], item["qty"], side, received_us,
                )
            )  # fmt: skip
        out.items += len(good)


def _identity(value: Any) -> int | None:
    # An id written as text; ValueError for what is no id at all.
    if value is None:
        return None
    number = trade_number(value)
    if number is None:
        raise ValueError
    return number
