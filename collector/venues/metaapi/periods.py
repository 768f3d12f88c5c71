"""MetaTrader's candle periods: our names, the venue's names, and when a bar is over."""

from __future__ import annotations

from collector.model import PERIODS

# Our names, and their numbers in the tables: seconds, except for months (see `collector.model.PERIODS`).
MT5_PERIODS = {name: number for name, number in PERIODS.items() if name != "1q"}

# Our names of the periods that MetaTrader 4 has.
MT4_PERIODS = frozenset({"1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w", "1mo"})

_LONGEST_MONTH_SECONDS = 31 * 86_400


def venue_name(period: str) -> str:
    """Return the venue's name of a period, from ours."""
    return "1mn" if period == "1mo" else period


# The numbers in the tables by the venue's names.
VENUE_PERIODS = {venue_name(name): seconds for name, seconds in MT5_PERIODS.items()}


def end_us(start_us: int, period: int) -> int:
    """Return when a bar is over at the latest; `period` is the number in the tables.

    Every month counts as the longest one: bars open at the broker's midnight, and its time zone is not known.
    """
    return start_us + (_LONGEST_MONTH_SECONDS if period == PERIODS["1mo"] else period) * 1_000_000
