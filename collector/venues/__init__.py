"""The venues. Each folder in here is one adapter (see `collector.venues.adapter`) and is found by its name."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from typing import cast

from collector.venues.adapter import Adapter


@cache
def names() -> tuple[str, ...]:
    """Every adapter's name."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg))


@cache
def find(name: str) -> Adapter:
    """Return the adapter of that name; KeyError when there is none."""
    if name not in names():
        raise KeyError(name)
    return cast(Adapter, import_module(f"{__name__}.{name}").ADAPTER)
