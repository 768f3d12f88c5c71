"""Optional packages: imported when they are needed, with a text that says how to get them."""

from __future__ import annotations

__all__ = ["extra"]

from importlib import import_module
from typing import Any

from collector.data.errors import ExtraMissingError


def extra(module: str, name: str) -> Any:
    """Import a module of an optional package; `name` is the extra of ours that brings it.

    Raises `ExtraMissingError` where the package is not installed. One that is there and broken raises its own error.
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise ExtraMissingError(package, name) from None
