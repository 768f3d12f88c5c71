"""Colours of charts, on paper and on a dark screen.

Rising and falling differ in lightness too, for those who do not tell the hues apart.
"""

from __future__ import annotations

__all__ = ["STYLES", "Palette"]

from typing import NamedTuple


class Palette(NamedTuple):
    """What is drawn in which colour."""

    ground: str
    ink: str
    faint: str
    grid: str
    rising: str
    falling: str
    spread: str
    lost: str
    missing: str
    repaired: str


STYLES = {
    "light": Palette(
        ground="#ffffff",
        ink="#1f2933",
        faint="#6b7785",
        grid="#e6e9ed",
        rising="#2a9d8f",
        falling="#c8463c",
        spread="#3d5a99",
        lost="#d64545",
        missing="#e9a23b",
        repaired="#7aa6d6",
    ),
    "dark": Palette(
        ground="#12161c",
        ink="#e4e8ee",
        faint="#8e99a8",
        grid="#252c36",
        rising="#3fbfae",
        falling="#e2604f",
        spread="#8fb0f0",
        lost="#e2604f",
        missing="#e9b04b",
        repaired="#5f8fc4",
    ),
}
