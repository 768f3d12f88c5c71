"""How the calls that a method allows are spread over the symbols: who is asked how often.

Every method has a quota of its own, so each is planned by itself: with n symbols of equal weight each is asked every
n-th time. A symbol of weight three is asked three times as often as one of weight one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from collector.venues.finam.periods import FRAMES, PERIOD_OF
from collector.venues.finam.requests import BARS, BOOK, QUOTE, TRADES
from collector.venues.finam.settings import FinamSettings

METHOD_OF = {"ticks": QUOTE, "books": BOOK, "trades": TRADES, "candles": BARS}
STREAM_OF = {method: stream for stream, method in METHOD_OF.items()}

SHORTEST_BAR_SECONDS = 60.0
LONGEST_BAR_SECONDS = 900.0
GROUPS_SHOWN = 12


def weights(symbols: Sequence[str], priorities: Mapping[str, float]) -> dict[str, float]:
    """Return each symbol's weight: its own, else that of the first pattern that means it, else 1."""
    return {
        symbol: priorities.get(
            symbol, next((weight for wish, weight in priorities.items() if fnmatchcase(symbol, wish)), 1.0)
        )
        for symbol in symbols
    }


def periods(wanted: Mapping[str, float], settings: FinamSettings) -> dict[str, float]:
    """Return how many seconds lie between two calls for each symbol, out of the symbols' weights."""
    slot = 60.0 / settings.rest_per_minute
    total = sum(wanted.values())
    return {symbol: max(settings.shortest_seconds, slot * total / weight) for symbol, weight in wanted.items()}


def bar_period(frame: str) -> float:
    """Return how often one wants to look at the bars of a frame: short ones as they end, long ones as they grow."""
    return min(LONGEST_BAR_SECONDS, max(SHORTEST_BAR_SECONDS, PERIOD_OF[frame] / 4))


def bar_periods(symbols: Sequence[str], settings: FinamSettings) -> dict[str, float]:
    """Return how often each frame of every symbol is asked for: as wanted, or slower where the calls do not suffice."""
    frames = [FRAMES[name] for name in settings.candles]
    load = sum(len(symbols) / bar_period(frame) for frame in frames)
    stretch = max(1.0, load * 60.0 / settings.rest_per_minute)
    return {frame: bar_period(frame) * stretch for frame in frames}


def notes(by_stream: Mapping[str, Sequence[str]], settings: FinamSettings) -> tuple[str, ...]:
    """Tell in words what period each symbol gets; symbols with the same period share a line."""
    told = [f"{settings.rest_per_minute} calls a minute of each method"]
    for stream, symbols in by_stream.items():
        if not symbols:
            continue
        if stream == "candles":
            every = bar_periods(symbols, settings)
            names = {frame: name for name, frame in FRAMES.items()}
            told.append(
                f"candles of each of {len(symbols)} symbols: "
                + ", ".join(f"{names[frame]} every {seconds:.1f} s" for frame, seconds in every.items())
            )
            continue
        groups: dict[float, list[str]] = {}
        for symbol, seconds in periods(weights(symbols, settings.priorities), settings).items():
            groups.setdefault(round(seconds, 2), []).append(symbol)
        for seconds, members in sorted(groups.items()):
            shown = ", ".join(members[:GROUPS_SHOWN])
            more = f" and {len(members) - GROUPS_SHOWN} more" if len(members) > GROUPS_SHOWN else ""
            told.append(f"{stream} every {seconds:g} s: {shown}{more}")
    return tuple(told)
