"""What a configuration may write for symbols: names, and patterns of names."""

from __future__ import annotations


def is_pattern(wish: str) -> bool:
    """Tell whether it is a pattern and not the name of one symbol."""
    return any(character in wish for character in "*?[")
