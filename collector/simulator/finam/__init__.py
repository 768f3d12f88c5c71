"""Finam Trade API v1 as a local server: REST, JSON socket, ledger and faults."""

from collector.simulator.finam.server import serve
from collector.simulator.finam.venue import FinamVenue, Settings

__all__ = ["FinamVenue", "Settings", "serve"]
