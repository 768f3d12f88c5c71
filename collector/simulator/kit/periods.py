"""Lengths of candle periods, by the names that FMFW and FMex share."""

from typing import Final

SHORT_PERIODS_SECONDS: Final = {
    "M1": 60,
    "M3": 180,
    "M5": 300,
    "M15": 900,
    "M30": 1800,
    "H1": 3600,
    "H4": 14400,
}
