"""Bars' frames: the venue's names and ours, how long a bar lasts, and how long a span one call may ask for."""

from __future__ import annotations

from collector.model import PERIODS

# The venue's frames by our names of periods.
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

# The numbers of periods in the tables, by the venue's frames.
PERIOD_OF = {frame: PERIODS[name] for name, frame in FRAMES.items()}

# How often an empty list of bars is asked for again before it is believed. The venue was seen to answer with an empty
# list for spans that have bars, every other time; two retries make that rare and cost little where it is really empty.
EMPTY_ANSWER_RETRIES_MAX = 2

_DAY_SECONDS = 86_400
# The longest month and the longest quarter.
_LONGEST_SECONDS = {"TIME_FRAME_MN": 31 * _DAY_SECONDS, "TIME_FRAME_QR": 92 * _DAY_SECONDS}
# The days that one call asks for. The venue allows 7 for M1, 365 for D, five years for W, MN and QR and 30 for all
# others (vendor's API description, `Bars`), and refuses longer spans or answers with nothing; so there is a margin.
_DEFAULT_SPAN_DAYS = 25
_SPAN_DAYS = {
    "TIME_FRAME_M1": 6,
    "TIME_FRAME_D": 300,
    "TIME_FRAME_W": 1800,
    "TIME_FRAME_MN": 1800,
    "TIME_FRAME_QR": 1800,
}


def length_seconds(frame: str) -> int:
    """Return how long a bar lasts at most, so that none is called final too early."""
    return _LONGEST_SECONDS.get(frame) or PERIOD_OF[frame]


def span_seconds(frame: str) -> int:
    """Return how long a span one call for bars of this frame asks for."""
    return _SPAN_DAYS.get(frame, _DEFAULT_SPAN_DAYS) * _DAY_SECONDS
