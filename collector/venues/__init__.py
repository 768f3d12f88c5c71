"""The venues: each folder in here but `kit` is one adapter (see `collector.venues.adapter`), found by its name."""

from __future__ import annotations

from collector.venues.registry import UnusableAdapterError, find, names

__all__ = ["UnusableAdapterError", "find", "names"]
