"""What an audit may compare of a venue's rows."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class CandleSums(NamedTuple):
    """What of a closed one-minute candle (series `trade`) has to equal the trades of its minute."""

    volume: bool = False
    """Its volume is the sum of their sizes, in the same unit."""
    trades: bool = False
    """Its number of trades, where it has one, is how many there are."""
    prices: bool = False
    """Open, high, low and close are prices of theirs."""
    reason: str = ""
    """Why nothing of it can be compared, where nothing can."""

    @property
    def comparable(self) -> bool:
        """Whether there is anything to compare."""
        return self.volume or self.trades or self.prices


class MinuteCalls(NamedTuple):
    """How much `Adapter.minutes` gets with one call: bars of so many instruments, and so many bars in all."""

    instruments: int = 0
    """None where a venue has no bars to give, or wants money for them."""
    bars: int = 0
    quota: str = ""
    """What the calls are counted under, where they have a limit of their own; see `Limits.quotas`."""

    def at_once(self, minutes: int) -> int:
        """Return of how many instruments one call can tell so many minutes; of one, where that takes several."""
        return max(1, min(self.instruments, self.bars // max(1, minutes)))


class BookRows(StrEnum):
    """What rows of books have to do with each other."""

    WHOLE = "whole"  # each is a whole book, or cannot be laid over another
    NUMBERED = "numbered"  # changes are numbered without a hole
    LINKED = "linked"  # only changes that follow the last one are rows, whatever their numbers; best levels only
