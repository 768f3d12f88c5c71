"""Spreads the calls that a method's quota allows over the symbols: how often each symbol is polled.

Every method has its own quota, so each is planned by itself: of n symbols of equal weight, each gets every n-th call. A
symbol of weight three is polled three times as often as one of weight one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from collector.venues.finam.periods import FRAMES, PERIOD_OF
from collector.venues.finam.requests import BARS, BOOK, QUOTE, TRADES
from collector.venues.finam.settings import FinamSettings

# The method that polls each stream, and the other way round.
METHOD_OF = {"ticks": QUOTE, "books": BOOK, "trades": TRADES, "candles": BARS}
STREAM_OF = {method: stream for stream, method in METHOD_OF.items()}

# Bars of a frame are polled four times while one lasts, but no more often than the first and no less often than the
# second of these: one-minute bars once as they end, bars of hours and days every quarter of an hour as they grow.
BAR_POLL_MIN_SECONDS = 60.0
BAR_POLL_MAX_SECONDS = 900.0

# How many symbols a line of the plan's notes names, so that it stays readable on a screen.
SYMBOLS_SHOWN_MAX = 12


def weights(symbols: Sequence[str], priorities: Mapping[str, float]) -> dict[str, float]:
    """Return each symbol's weight: the one under its name, else that of the first pattern that matches it, else 1."""
    return {
        symbol: priorities.get(
            symbol, next((weight for pattern, weight in priorities.items() if fnmatchcase(symbol, pattern)), 1.0)
        )
        for symbol in symbols
    }


def periods(weight_of: Mapping[str, float], settings: FinamSettings) -> dict[str, float]:
    """Return the seconds between two calls for each symbol, from the symbols' weights."""
    slot_seconds = 60.0 / settings.rest_per_minute
    total = sum(weight_of.values())
    return {
        symbol: max(settings.shortest_seconds, slot_seconds * total / weight) for symbol, weight in weight_of.items()
    }


def bar_period(frame: str) -> float:
    """Return the seconds between two calls for the bars of a frame, where the quota allows as many."""
    return min(BAR_POLL_MAX_SECONDS, max(BAR_POLL_MIN_SECONDS, PERIOD_OF[frame] / 4))


def bar_periods(symbols: Sequence[str], settings: FinamSettings) -> dict[str, float]:
    """Return the seconds between two calls by frame: `bar_period`, or longer where the quota does not suffice."""
    frames = [FRAMES[name] for name in settings.candles]
    load = sum(len(symbols) / bar_period(frame) for frame in frames)
    stretch = max(1.0, load * 60.0 / settings.rest_per_minute)
    return {frame: bar_period(frame) * stretch for frame in frames}


def notes(by_stream: Mapping[str, Sequence[str]], settings: FinamSettings) -> tuple[str, ...]:
    """Say in words how often each symbol is polled; symbols with the same period share a line."""
    lines = [f"{settings.rest_per_minute} calls a minute of each method"]
    for stream, symbols in by_stream.items():
        if not symbols:
            continue
        if stream == "candles":
            period_of_frame = bar_periods(symbols, settings)
            names = {frame: name for name, frame in FRAMES.items()}
            lines.append(
                f"candles of each of {len(symbols)} symbols: "
                + ", ".join(f"{names[frame]} every {seconds:.1f} s" for frame, seconds in period_of_frame.items())
            )
            continue
        groups: dict[float, list[str]] = {}
        for symbol, seconds in periods(weights(symbols, settings.priorities), settings).items():
            groups.setdefault(round(seconds, 2), []).append(symbol)
        for seconds, members in sorted(groups.items()):
            shown = ", ".join(members[:SYMBOLS_SHOWN_MAX])
            more = f" and {len(members) - SYMBOLS_SHOWN_MAX} more" if len(members) > SYMBOLS_SHOWN_MAX else ""
            lines.append(f"{stream} every {seconds:g} s: {shown}{more}")
    return tuple(lines)
