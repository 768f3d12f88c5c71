"""The adapters that there are: our own folders, and those of other distributions, found by their entry points.

An adapter is looked at when it is first asked for. One that cannot be used is refused there, by name and with the
reason, whatever else would have become of it later.
"""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from collector.errors import CollectorError
from collector.venues.adapter import Adapter, Venue, VenueSettings

# The group of entry points; each one names an object that is an `Adapter`.
GROUP: Final = "collector.venues"

_NO_VENUES: Final = frozenset({"kit", "conformance"})


class UnusableAdapterError(CollectorError):
    """An adapter that is there and cannot be used; the text says what is missing."""

    def __init__(self, name: str, origin: str, reasons: list[str]) -> None:
        self.name = name
        super().__init__(f"the adapter {name!r} ({origin}) cannot be used: {'; '.join(reasons)}")


@cache
def names() -> tuple[str, ...]:
    """Every adapter's name."""
    return tuple(sorted({*_own(), *_others()}))


@cache
def find(name: str) -> Adapter[Any]:
    """Return the adapter of that name; KeyError when there is none.

    Raises:
        UnusableAdapterError: it does not keep to `collector.venues.adapter`.

    """
    if name in _own():
        return checked(import_module(f"collector.venues.{name}").ADAPTER, name, "of collector")
    entry = _others()[name]
    origin = f"of {entry.dist.name} {entry.dist.version}" if entry.dist else "of an unknown distribution"
    try:
        found = entry.load()
    except Exception as error:  # whatever another's package does at its import
        raise UnusableAdapterError(name, origin, [f"{type(error).__name__}: {error}"]) from error
    return checked(found, name, origin)


@cache
def _own() -> tuple[str, ...]:
    package = import_module("collector.venues")
    return tuple(
        module.name
        for module in pkgutil.iter_modules(package.__path__)
        if module.ispkg and module.name not in _NO_VENUES
    )


@cache
def _others() -> dict[str, EntryPoint]:
    # Ours come first: nobody takes a name over by being installed beside it.
    return {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in _own()}


def checked(adapter: object, name: str, origin: str) -> Adapter[Any]:
    """Return it as an adapter where it keeps to the protocol, as far as that can be seen without using it.

    Raises:
        UnusableAdapterError: it does not; every reason is told.

    """
    if not isinstance(adapter, Adapter):
        raise UnusableAdapterError(name, origin, [f"{adapter!r} is no collector.venues.adapter.Adapter"])
    if reasons := _wrong(adapter, name):
        raise UnusableAdapterError(name, origin, reasons)
    return adapter


def _wrong(adapter: Adapter[Any], name: str) -> list[str]:
    kind = type(adapter)
    reasons = [
        f"{kind.__name__} lacks {member}" for member in ("name", "settings", "venue") if not hasattr(kind, member)
    ]
    if reasons:
        return reasons
    if kind.name != name:
        reasons.append(f"{kind.__name__}.name is {kind.name!r}, and it is found as {name!r}")
    settings: object = kind.settings
    if not (isinstance(settings, type) and issubclass(settings, VenueSettings)):
        reasons.append(f"{kind.__name__}.settings is no VenueSettings")
    venue: object = kind.venue
    if not (isinstance(venue, type) and issubclass(venue, Venue)):
        return [*reasons, f"{kind.__name__}.venue is no Venue"]
    reasons += [f"{venue.__name__} lacks {member}" for member in sorted(venue.__abstractmethods__)]
    promised = {
        "history": bool(kind.historic | kind.partly_historic),
        "minutes": bool(kind.minute_calls.instruments),
    }
    for member, needed in promised.items():
        if needed and getattr(venue, member) is getattr(Venue, member):
            reasons.append(f"{venue.__name__} lacks {member}, which {kind.__name__} promises")
    if venue.conversation is Venue.conversation and venue.polling is Venue.polling:
        reasons.append(f"{venue.__name__} has neither conversation nor polling")
    return reasons
