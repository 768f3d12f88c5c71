"""The doors of this venue; see `collector.simulator.kit.control`."""

from typing import Any, Final

from collector.simulator.kit import columns as kit
from collector.simulator.kit.control import Control
from collector.simulator.metaapi.faults import KINDS
from collector.simulator.metaapi.venue import MetaapiVenue

COLUMNS: Final = {name: columns for name, columns in kit.COLUMNS.items() if name != "derivatives"}


def expected(venue: MetaapiVenue, symbol: str | None) -> dict[str, Any]:
    """Tell what a recorder of everything that was sent holds; KeyError where there is no such instrument.

    The words are the same for every simulated venue: see the path `/_sim/expected` of any of them.
    """
    names = [
        venue.name_of(venue.accounts[name], one)
        for name in venue.settings.accounts
        for one in venue.accounts[name].broker.quoted
    ]
    if symbol is None:
        return {"venue": "metaapi", "columns": COLUMNS, "symbols": ["", *names]}
    if not symbol:
        return {"rates": list(venue.ledger.rates.values())}
    if symbol not in names:
        raise KeyError(symbol)
    ledger = venue.ledger
    sent = {table: list(rows.values()) for table, rows in ledger.tables.get(symbol, {}).items()}
    return {**sent, "given": {table: list(rows.values()) for table, rows in ledger.given.get(symbol, {}).items()}}


class MetaapiControl(Control):
    """Faults, state, rate, pause."""

    def __init__(self, venue: MetaapiVenue) -> None:
        super().__init__(venue)
        self._venue = venue

    def expected(self, symbol: str | None) -> dict[str, Any]:
        return expected(self._venue, symbol)

    def state(self) -> dict[str, Any]:
        venue = self._venue
        return {
            "running": venue.running,
            "rate": venue.rate,
            "events": venue.events,
            "stalled_events": venue.slices.stalled_events,
            "sessions": len(venue.sessions),
            "opened": venue.opened,
            "streams": [repr(stream) for stream in venue.streams.values()],
            "requests": venue.requested,
            "items": dict(venue.ledger.items),
            "struck": venue.faults.struck,
        }

    def known_faults(self) -> dict[str, Any]:
        armed = [fault.name for faults in self._venue.faults.armed.values() for fault in faults]
        return {"armed": armed, "known": KINDS}
