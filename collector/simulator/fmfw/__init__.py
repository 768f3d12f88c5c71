"""FMFW (and its sisters HitBTC, Bequant, Changelly PRO) as a local server: REST, public socket, ledger and faults."""

from collector.simulator.fmfw.server import serve
from collector.simulator.fmfw.venue import FmfwVenue, Settings

__all__ = ["FmfwVenue", "Settings", "serve"]
