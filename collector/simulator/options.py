"""What every simulated venue is started with, and what it gives back.

This module only names the contract between `simulator.serve` and a venue's folder.  It knows no venue: a venue's own
switches travel through `settings` and are understood in its folder alone.
"""

import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Options:
    """Start a venue with these: the same seed gives the same sequence of market events.

    `rate` is market events a second over all symbols, `port` 0 lets the system choose, `clock_ns` is the venue's wall
    clock in nanoseconds.  With `tls` it serves https and wss, which some clients insist on.  `settings` are the venue's
    own switches by name.
    """

    seed: int = 1
    rate: float = 50.0
    host: str = "127.0.0.1"
    port: int = 0
    symbols: int | None = None
    clock_ns: Callable[[], int] = time.time_ns
    tls: ssl.SSLContext | None = None
    settings: Mapping[str, object] = field(default_factory=dict)


class Venue(Protocol):
    """One running venue."""

    @property
    def address(self) -> dict[str, str]:
        """What a client needs to connect, by name (`rest_url`, `ws_url`, ..)."""

    @property
    def config(self) -> str:
        """Give the TOML tables that point the collector at this venue."""


class VenuePackage(Protocol):
    """What a folder below `collector.simulator` must offer to be a venue."""

    def serve(self, options: Options) -> AbstractAsyncContextManager[Venue]:
        """Serve the venue until the context ends."""
