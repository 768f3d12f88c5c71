"""Bars' frames: the venue's names and ours, how long one lasts, and how much may be asked for at once."""

from __future__ import annotations

from collector.model import PERIODS

# Our names of periods and the venue's frames.
FRAMES = {
    "1m": "TIME_FRAME_M1",
    "5m": "TIME_FRAME_M5",
    "15m": "TIME_FRAME_M15",
    "30m": "TIME_FRAME_M30",
    "1h": "TIME_FRAME_H1",
    "2h": "TIME_FRAME_H2",
    "4h": "TIME_FRAME_H4",
    "8h": "TIME_FRAME_H8",
    "1d": "TIME_FRAME_D",
    "1w": "TIME_FRAME_W",
    "1mo": "TIME_FRAME_MN",
    "1q": "TIME_FRAME_QR",
}

# Frames in the tables' numbers.
PERIOD_OF = {frame: PERIODS[name] for name, frame in FRAMES.items()}

_DAY_SECONDS = 86_400
_SECONDS = {"TIME_FRAME_MN": 31 * _DAY_SECONDS, "TIME_FRAME_QR": 92 * _DAY_SECONDS}
_SPAN_DAYS = {
    "TIME_FRAME_M1": 6,
    "TIME_FRAME_D": 300,
    "TIME_FRAME_W": 1800,
    "TIME_FRAME_MN": 1800,
    "TIME_FRAME_QR": 1800,
}


def length_seconds(frame: str) -> int:
    """Return how long a bar lasts at most: the longest month or quarter, so that no bar is called final too early."""
    return _SECONDS.get(frame) or PERIOD_OF[frame]


def span_seconds(frame: str) -> int:
    """Return how long a span one request may ask for: a margin below the venue's limit, beyond which it is silent."""
    return _SPAN_DAYS.get(frame, 25) * _DAY_SECONDS
