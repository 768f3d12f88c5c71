"""Market depth: one flat list of typed entries a packet, which becomes a whole book, each side sorted.

Books have no number of their own. `seq` is the packet's `sequenceTimestamp`, which grows and never starts again, times
1000, plus the book's place in the packet. Entries at market have no price and are no part of a book.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from collector.model import Book, Instrument
from collector.venues.kit.values import shorten
from collector.venues.metaapi.values import LARGEST_BIGINT, decimal, time_us

_SIDES = {"BOOK_TYPE_SELL": True, "BOOK_TYPE_BUY": False}
_AT_MARKET = frozenset({"BOOK_TYPE_SELL_MARKET", "BOOK_TYPE_BUY_MARKET"})

BOOKS_IN_A_PACKET = 1000

_Level = tuple[Decimal, str, str]


def read_book(instrument: Instrument, item: Mapping[str, Any], seq: int, received_us: int) -> Book | str:
    """Read a book, or say what is wrong with it."""
    at_us = time_us(item.get("time"))
    if at_us is None:
        return f"time: {shorten(item.get('time'))} is not a time between the years 2000 and 2100"
    entries = item.get("book")
    if type(entries) is not list:
        return f"book: {shorten(entries)} is not a list"
    asks: list[_Level] = []
    bids: list[_Level] = []
    for entry in entries:
        if type(entry) is not dict:
            return f"book: {shorten(entry)} is not an entry"
        kind = entry.get("type")
        if type(kind) is str and kind in _AT_MARKET:
            continue
        ask = _SIDES.get(kind) if type(kind) is str else None
        price, size = decimal(entry.get("price")), decimal(entry.get("volume"))
        if ask is None or price is None or size is None:
            return f"book: {shorten(entry)} is not an entry"
        (asks if ask else bids).append((Decimal(price), price, size))
    asks.sort(key=_price)
    bids.sort(key=_price, reverse=True)
    return Book(
        instrument,
        at_us,
        min(seq, LARGEST_BIGINT),
        True,
        ",".join([level[1] for level in bids]),
        ",".join([level[2] for level in bids]),
        ",".join([level[1] for level in asks]),
        ",".join([level[2] for level in asks]),
        received_us,
    )


def _price(level: _Level) -> Decimal:
    return level[0]
