"""The prices of a depth book, kept only to notice when the book cannot be right.

Sizes are of no interest here: a book that crosses is wrong, whatever its sizes. Levels are known by their value, since
`7865` and `7865.0` are one level.
"""

from __future__ import annotations

from bisect import bisect_left
from decimal import Decimal


class Ladder:
    """The best prices of both sides, ascending; at most `depth` a side, for what lies beyond cannot be trusted."""

    __slots__ = ("_asks", "_bids", "_depth")

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._bids: list[Decimal] = []
        self._asks: list[Decimal] = []

    def fork(self) -> Ladder:
        copy = Ladder(self._depth)
        copy._bids, copy._asks = self._bids.copy(), self._asks.copy()
        return copy

    def begin(self, bid_prices: str, ask_prices: str) -> None:
        """Take a whole book; the arguments are comma-joined decimals."""
        self._bids = sorted(set(map(Decimal, bid_prices.split(",")))) if bid_prices else []
        self._asks = sorted(set(map(Decimal, ask_prices.split(",")))) if ask_prices else []
        self._trim()

    def change(self, bid_prices: str, bid_sizes: str, ask_prices: str, ask_sizes: str) -> bool:
        """Apply a change, where size 0 removes; tell whether the book is still one (best bid below best ask)."""
        _change(self._bids, bid_prices, bid_sizes)
        _change(self._asks, ask_prices, ask_sizes)
        self._trim()
        return not (self._bids and self._asks) or self._bids[-1] < self._asks[0]

    def _trim(self) -> None:
        del self._bids[: -self._depth]
        del self._asks[self._depth :]


def _change(side: list[Decimal], prices: str, sizes: str) -> None:
    if not prices:
        return
    for text, size in zip(prices.split(","), sizes.split(","), strict=True):
        price = Decimal(text)
        place = bisect_left(side, price)
        there = place < len(side) and side[place] == price
        if is_zero(size):
            if there:
                del side[place]
        elif not there:
            side.insert(place, price)


def is_zero(size: str) -> bool:
    """Tell whether a plain decimal is zero: `0`, `0.0`, .."""
    return not size.strip("0.")
