"""Trades, and the key that makes a trade one row whichever way it came.

The page warns that the id of a fresh trade can differ when the trade is read again, so ids are kept as they came but
are never the key: that is made of time, price, size, side and an ordinal (see `collector.venues.kit.ordinals`).

* Within a connection an id is good: a notification that comes twice is one trade.
* A list (`req`, REST) counts its equal trades from 0 and trusts no id, since it may read a trade again that was pushed
  with another one. Notifications count on from the list; one whose id the list has had already is that trade.
* So does each page of the venue's history, which holds its last millisecond whole or is told of it (see `history`).
* A list that begins within a millisecond, after some of its equal trades, gives the rest the ordinals from 0, keys that
  the earlier ones have had; the next list that holds the millisecond whole adds what is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from collector.model import Instrument, Records, plain
from collector.venues.events import Event
from collector.venues.fmex.context import Context
from collector.venues.fmex.numbers import all_unsigned, unsigned, whole
from collector.venues.fmex.topics import TRADE
from collector.venues.fmex.values import millis_us
from collector.venues.kit.ordinals import Counts, Ordinals
from collector.venues.kit.trades import ReadTrade
from collector.venues.kit.values import shorten

STREAM = "trades"
# Pages that may still be gone on from, where they are not numbered each by itself.
EDGES_REMEMBERED = 1024

_SIDES = {"buy": 1, "sell": -1}


def _read(item: Any) -> ReadTrade | str:
    """Read one trade, or say what is wrong with it."""
    if type(item) is not dict:
        return f"{shorten(item)} is not a trade"
    time_us = millis_us(item.get("ts"))
    numbers = all_unsigned((item.get("price"), item.get("amount")))
    word = item.get("side")
    side = _SIDES.get(word.lower()) if type(word) is str else None
    identity = whole(item.get("id"))
    if time_us is None or numbers is None or side is None or (identity is None and item.get("id") is not None):
        return _fault(item, time_us, side)
    price, size = numbers
    return ReadTrade(time_us, identity, price, size, side, f"{time_us}|{plain(price)}|{plain(size)}|{side}")


def contents(items: Iterable[Any]) -> list[str]:
    """Return what the good trades of a list say, as they are counted by."""
    return [told.content for told in map(_read, items) if isinstance(told, ReadTrade)]


def _fault(item: Mapping[str, Any], time_us: int | None, side: int | None) -> str:
    if time_us is None:
        return f"ts: {shorten(item.get('ts'))} is not a time in milliseconds between the years 2000 and 2100"
    for name in ("price", "amount"):
        if unsigned(item.get(name)) is None:
            return f"{name}: {shorten(item.get(name))} is not a number, zero or more"
    if side is None:
        return f"side: {shorten(item.get('side'))} is not buy or sell"
    return f"id: {shorten(item.get('id'))} is not a whole number"


class TradeReader:
    """The topics `trade.*`, and what `req trade.*` answers."""

    __slots__ = ("_context", "_ordinals", "_seen")

    def __init__(self, context: Context, ordinals: dict[Instrument, Ordinals] | None = None) -> None:
        self._context = context
        self._seen = context.seen(TRADE)
        self._ordinals = {} if ordinals is None else ordinals

    def fork(self, context: Context) -> TradeReader:
        return TradeReader(context, {instrument: known.fork() for instrument, known in self._ordinals.items()})

    def read(
        self, instrument: Instrument, message: dict[str, Any], payload: bytes, received_ns: int, out: Records
    ) -> Sequence[Event]:
        """Read a notification."""
        told = _read(message)
        if isinstance(told, str):
            self._context.reject(out, STREAM, told, payload, received_ns // 1000)
            return ()
        ordinal = self._of(instrument).number(told.content, told.number, told.time_us)
        out.trades.append(told.row(instrument, ordinal, received_ns // 1000))
        out.items += 1
        self._seen[instrument.symbol] = received_ns
        return ()

    def read_list(self, instrument: Instrument, items: Any, payload: bytes, received_ns: int, out: Records) -> None:
        """Read the answer to a `req`."""
        counts = Counts()
        _read_list(self._context, instrument, items, counts, payload, received_ns // 1000, out)
        counts.teach(self._of(instrument))

    def _of(self, instrument: Instrument) -> Ordinals:
        ordinals = self._ordinals.get(instrument)
        if ordinals is None:
            ordinals = self._ordinals[instrument] = Ordinals()
        return ordinals


class TradePages:
    """REST lists of trades, newest first.

    A page of history is numbered by itself (`collector.venues.kit.ordinals`). Lists of which nothing is told, such as
    the pages in older journals, go on counting from the one whose smallest id they are `before`.
    """

    __slots__ = ("_context", "_edges")

    def __init__(self, context: Context, edges: dict[tuple[Instrument, str], Counts] | None = None) -> None:
        self._context = context
        self._edges = {} if edges is None else edges
        """The counts at a page's end, by the instrument and the `before` that goes on from there."""

    def fork(self, context: Context) -> TradePages:
        return TradePages(context, {key: counts.fork() for key, counts in self._edges.items()})

    def read(
        self, instrument: Instrument, told: Mapping[str, str], items: Any, body: bytes, received_us: int, out: Records
    ) -> None:
        """Read one page; `told` is what is known of the request."""
        counts = Counts.of_page(told)
        if counts is None:
            self._count_on(instrument, told.get("before"), items, body, received_us, out)
        else:
            _read_list(self._context, instrument, items, counts, body, received_us, out)

    def _count_on(
        self, instrument: Instrument, before: str | None, items: Any, body: bytes, received_us: int, out: Records
    ) -> None:
        counts = self._edges.pop((instrument, before), None) if before else None
        if counts is None:
            counts = Counts()
        told = _read_list(self._context, instrument, items, counts, body, received_us, out)
        ids = [one.number for one in told if one.number is not None]
        if ids:
            counts.forget_after(min(one.time_us for one in told))
            self._edges[instrument, str(min(ids))] = counts
            if len(self._edges) > EDGES_REMEMBERED:
                del self._edges[next(iter(self._edges))]


def _read_list(
    context: Context,
    instrument: Instrument,
    items: Any,
    counts: Counts,
    payload: bytes,
    received_us: int,
    out: Records,
) -> list[ReadTrade]:
    if type(items) is not list:
        context.reject(out, STREAM, f"{shorten(items)} is not a list of trades", payload, received_us)
        return []
    good: list[ReadTrade] = []
    for item in items:
        told = _read(item)
        if isinstance(told, str):
            context.reject(out, STREAM, told, payload, received_us)
        else:
            good.append(told)
    good.sort(key=lambda told: (told.time_us, told.number or 0))
    for told in good:
        ordinal = counts.number(told.content, told.number, told.time_us)
        out.trades.append(told.row(instrument, ordinal, received_us))
    out.items += len(good)
    return good
