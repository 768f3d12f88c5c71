"""FMex, closed since 2020, as a local server: REST, public socket, ledger and faults."""

from collector.simulator.fmex.server import serve
from collector.simulator.fmex.venue import FmexVenue, Settings

__all__ = ["FmexVenue", "Settings", "serve"]
