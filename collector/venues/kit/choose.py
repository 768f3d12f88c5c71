"""What a configuration may write for symbols: names, and patterns of names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from collector.model import InstrumentSpec
from collector.venues.plan import Problem

Choose = Callable[[str, dict[str, InstrumentSpec]], Iterable[Problem]]


def chosen_by(choose: Choose, wishes: Iterable[str]) -> tuple[list[InstrumentSpec], list[Problem]]:
    """Return the instruments that wishes mean, each once, and what is wrong with the wishes.

    `choose` adds the instruments of one wish by their symbols, and returns what is wrong with it.
    """
    chosen: dict[str, InstrumentSpec] = {}
    problems = [problem for wish in wishes for problem in choose(wish, chosen)]
    return list(chosen.values()), problems


def is_pattern(wish: str) -> bool:
    """Tell whether it is a pattern and not the name of one symbol."""
    return any(character in wish for character in "*?[")


def did_you_mean(names: Sequence[str], otherwise: str = "") -> str:
    """Return how an error goes on that names a symbol which is not there: with those like it, or else with this."""
    return f"; did you mean {' or '.join(names)}?" if names else otherwise
