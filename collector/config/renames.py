"""Keys that had another name in an earlier release, and lengths of time that are written with a unit.

Both are settled in each place by itself, before the places are put together: afterwards there are only today's keys,
and numbers in the unit that a key's name says.
"""

from __future__ import annotations

__all__ = ["RenamedKey", "settle"]

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from collector.config.layers import Layer, Tree
from collector.config.shape import Path as Keys
from collector.config.shape import Shape, is_number
from collector.durations import parse_duration
from collector.errors import Fault

# What a plain number means under a key with this ending.
UNITS_BY_ENDING: Mapping[str, timedelta] = {
    "_ms": timedelta(milliseconds=1),
    "_seconds": timedelta(seconds=1),
    "_minutes": timedelta(minutes=1),
    "_hours": timedelta(hours=1),
    "_days": timedelta(days=1),
}


class RenamedKey(NamedTuple):
    """A key that was set by its old name; `origin` is the file or variable that did."""

    old: str
    new: str
    origin: str

    def __str__(self) -> str:
        return f"{self.old} is now called {self.new}; the old name works for this release only ({self.origin})"


def settle(layer: Layer, shape: Shape, faults: list[Fault]) -> dict[Keys, RenamedKey]:
    """Put today's keys and plain numbers into a layer; return the keys that were renamed, by their new path."""
    renamed: dict[Keys, RenamedKey] = {}
    _settle_table(layer, layer.tree, (), shape, renamed, faults)
    return renamed


def _settle_table(
    layer: Layer, table: Tree, path: Keys, shape: Shape, renamed: dict[Keys, RenamedKey], faults: list[Fault]
) -> None:
    for old, new in shape.old_keys(path).items():
        if old not in table:
            continue
        old_name, new_name = ".".join((*path, old)), ".".join((*path, new))
        if new in table:
            problem = f"is the old name of {new_name}, which is set as well"
            faults.append(Fault(old_name, problem, f"keep {new_name}, and delete {old_name}"))
            del table[old]
            continue
        origin = layer.rename((*path, old), (*path, new))
        table[new] = table.pop(old)
        renamed[(*path, new)] = RenamedKey(old_name, new_name, origin)
    for key, value in table.items():
        here = (*path, key)
        if isinstance(value, dict):
            _settle_table(layer, value, here, shape, renamed, faults)
        else:
            table[key] = _as_number(value, here, shape)


def _as_number(value: Any, path: Keys, shape: Shape) -> Any:
    """Return a length of time in its key's unit; everything else, and what is no length of time, as it is."""
    unit = next((unit for ending, unit in UNITS_BY_ENDING.items() if path[-1].endswith(ending)), None)
    if unit is None or not isinstance(value, str) or not is_number(shape.at(path)):
        return value
    try:
        count = parse_duration(value) / unit
    except ValueError:
        return value
    return int(count) if count.is_integer() else count
