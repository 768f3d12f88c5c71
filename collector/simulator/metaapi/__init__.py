"""MetaAPI as a local server: its REST services and the streaming socket at one address, with a ledger and faults."""

from collector.simulator.metaapi.server import serve
from collector.simulator.metaapi.venue import MetaapiVenue, Settings

__all__ = ["MetaapiVenue", "Settings", "serve"]
