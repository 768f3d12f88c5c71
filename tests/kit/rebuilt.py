"""Order books made again from the `books` table, the way an analyst would: the last snapshot and what followed it."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, NamedTuple

from .stage import Stage

Side = dict[Decimal, Decimal]

BOOKS = """
select seq, snapshot, ask_prices, ask_sizes, bid_prices, bid_sizes from v_books
where venue = $1 and symbol = $2
  and received_at >= (select max(received_at) from v_books where venue = $1 and symbol = $2 and snapshot)
order by received_at, seq, snapshot desc
"""


class Rebuilt(NamedTuple):
    """A book and the sequence number that it has reached."""

    seq: int
    asks: Side
    bids: Side


async def rebuilt(on: Stage, symbol: str, venue: str = "fmfw") -> Rebuilt:
    """Make the book; fails where a number is missing since its last snapshot."""
    rows = await on.query(BOOKS, venue, symbol)
    asks: Side = {}
    bids: Side = {}
    reached: int | None = None
    for seq, snapshot, ask_prices, ask_sizes, bid_prices, bid_sizes in rows:
        if snapshot:
            asks, bids = {}, {}
        elif reached is not None and seq <= reached:
            continue
        else:
            assert reached is None or seq == reached + 1, f"{symbol}: {seq} after {reached}"
        change(asks, zip(ask_prices, ask_sizes, strict=True))
        change(bids, zip(bid_prices, bid_sizes, strict=True))
        reached = seq
    assert reached is not None
    return Rebuilt(reached, asks, bids)


def change(side: Side, levels: Iterable[tuple[Any, Any]]) -> None:
    """Set each level to its size; zero takes it away."""
    for price, size in levels:
        if Decimal(size):
            side[Decimal(price)] = Decimal(size)
        else:
            side.pop(Decimal(price), None)


async def current(on: Stage, symbol: str) -> Rebuilt:
    """The simulated venue's own book, now."""
    book = (await on.ledger.ask("ledger", stream="books", symbol=symbol))["current"]
    asks: Side = {}
    bids: Side = {}
    change(asks, book["a"])
    change(bids, book["b"])
    return Rebuilt(book["s"], asks, bids)
