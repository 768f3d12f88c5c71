"""Market depth. Each book arrives whole, as one flat list of typed entries; it is stored as two sorted sides.

The venue does not number books, so `seq` is made of the packet's `sequenceTimestamp`, which always grows, times
`BOOKS_PER_PACKET_MAX`, plus the book's place in the packet. Market orders have no price and are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from collector.model import Book, Instrument
from collector.venues.kit.values import shorten
from collector.venues.metaapi.values import BIGINT_MAX, decimal, time_us

# The types of entries: whether it is an ask, and orders at market, which have no price.
_SIDES = {"BOOK_TYPE_SELL": True, "BOOK_TYPE_BUY": False}
_AT_MARKET = frozenset({"BOOK_TYPE_SELL_MARKET", "BOOK_TYPE_BUY_MARKET"})

# The number of places for books of one packet in `seq`. Books beyond it would share the last place. A packet holds at
# most a few; `sequenceTimestamp` is in milliseconds, so that the product stays far below the limit of a bigint. It is
# part of the key of stored rows and must not change.
BOOKS_PER_PACKET_MAX = 1000

_Level = tuple[Decimal, str, str]


def read_book(instrument: Instrument, item: Mapping[str, Any], seq: int, received_us: int) -> Book | str:
    """Return the row of a book, or a text that says what is wrong with the item."""
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
        min(seq, BIGINT_MAX),
        True,
        ",".join([level[1] for level in bids]),
        ",".join([level[2] for level in bids]),
        ",".join([level[1] for level in asks]),
        ",".join([level[2] for level in asks]),
        received_us,
    )


def _price(level: _Level) -> Decimal:
    return level[0]
