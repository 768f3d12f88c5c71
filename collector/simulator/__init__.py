"""The venues as local servers, so that a collector can be tried and tested without any of them.

Every folder below this one is a venue; nothing here knows their names.  The simulator imports nothing from the rest of
`collector`: it must not share a mistake with the program that it tests.

    async with simulator.serve(venues=("fmfw",), seed=1, rate=50) as running:
        running.addresses["fmfw"]["ws_url"]
"""

import importlib
import pkgutil
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

from collector.simulator.options import Options, Venue, VenuePackage

__all__ = ["Options", "Running", "UnknownVenueError", "Venue", "serve", "venue_names"]


class UnknownVenueError(ValueError):
    """A venue was asked for that has no folder here."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name = name
        self.known = tuple(known)
        super().__init__(f"there is no simulated venue {name!r}; choose from {', '.join(known)}")


class Running:
    """The venues that `serve` has started, by name."""

    def __init__(self, venues: dict[str, Venue]) -> None:
        self._venues = venues

    def __getitem__(self, name: str) -> Any:
        return self._venues[name]

    def __repr__(self) -> str:
        return f"<Running {' '.join(map(repr, self._venues.values()))}>"

    @property
    def addresses(self) -> dict[str, dict[str, str]]:
        """What a client needs to connect, by venue: the first line that `collector simulate` prints."""
        return {name: venue.address for name, venue in self._venues.items()}

    def config(self) -> str:
        """Give the text of a configuration that points the collector at these venues."""
        return "\n".join(venue.config for venue in self._venues.values())


def venue_names() -> tuple[str, ...]:
    """Name the venues that can be simulated: the folders beside this file."""
    return tuple(
        sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg and module.name != "kit")
    )


@asynccontextmanager
async def serve(
    venues: Sequence[str] | None = None,
    *,
    seed: int = 1,
    rate: float = 50.0,
    host: str = "127.0.0.1",
    port: int = 0,
    symbols: int | None = None,
    tls: ssl.SSLContext | None = None,
    clock_ns: Callable[[], int] = time.time_ns,
    settings: Mapping[str, Mapping[str, object]] | None = None,
) -> AsyncIterator[Running]:
    """Serve the named venues (all when none are named) until the context ends.

    `port` is the first venue's, the next ones follow it; 0 lets the system choose.  With `tls` they speak https and
    wss.  `clock_ns` is their wall clock.  `settings` holds each venue's own switches by venue name.  Raises
    `UnknownVenueError` before anything starts.
    """
    known = venue_names()
    names = tuple(venues) if venues is not None else known
    for name in names:
        if name not in known:
            raise UnknownVenueError(name, known)
    started: dict[str, Venue] = {}
    async with AsyncExitStack() as stack:
        for position, name in enumerate(names):
            package = cast("VenuePackage", importlib.import_module(f"{__name__}.{name}"))
            options = Options(
                seed=seed,
                rate=rate,
                host=host,
                port=port + position if port else 0,
                symbols=symbols,
                tls=tls,
                clock_ns=clock_ns,
                settings=(settings or {}).get(name, {}),
            )
            started[name] = await stack.enter_async_context(package.serve(options))
        yield Running(started)
