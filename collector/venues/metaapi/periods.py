"""MetaTrader's candle periods: our names, the venue's, and when a bar is over."""

from __future__ import annotations

from collector.model import PERIODS

# Our names and their number in the tables: seconds, but for months (see `collector.model.PERIODS`).
MT5_PERIODS = {name: number for name, number in PERIODS.items() if name != "1q"}

MT4_PERIODS = frozenset({"1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w", "1mo"})

_LONGEST_MONTH_SECONDS = 31 * 86_400


def venue_name(period: str) -> str:
    """Return the venue's name of a period."""
    return "1mn" if period == "1mo" else period


# The venue's names.
VENUE_PERIODS = {venue_name(name): seconds for name, seconds in MT5_PERIODS.items()}


def end_us(start_us: int, period: int) -> int:
    """Return when a bar is over at the latest: months are taken as long as the longest, since bars open at the
    broker's midnight and its calendar is not known."""
    return start_us + (_LONGEST_MONTH_SECONDS if period == PERIODS["1mo"] else period) * 1_000_000
