"""What a configuration may write for symbols: names, and patterns of names."""

from __future__ import annotations

from collections.abc import Sequence


def is_pattern(wish: str) -> bool:
    """Tell whether it is a pattern and not the name of one symbol."""
    return any(character in wish for character in "*?[")


def did_you_mean(names: Sequence[str], otherwise: str = "") -> str:
    """Return how an error goes on that names a symbol which is not there: with those like it, or else with this."""
    return f"; did you mean {' or '.join(names)}?" if names else otherwise
