"""The doors of this venue; see `collector.simulator.kit.control`."""

from collections.abc import Mapping
from typing import Any, Final

from collector.simulator.fmfw import extracts
from collector.simulator.fmfw.expected import expected
from collector.simulator.fmfw.venue import FmfwVenue
from collector.simulator.kit.control import Control

_NULLED: Final = ("ask", "bid", "last", "open")


def with_nulls(answer: Any, path: str, venue: FmfwVenue) -> Any:
    """Take the prices out of the REST tickers that a `null_fields` fault of channel "rest" is for."""
    _, _, symbol = path.partition("/")
    if symbol:
        return answer | dict.fromkeys(_NULLED) if venue.faults.take("null_fields", symbol, "rest") else answer
    return {
        one: ticker | dict.fromkeys(_NULLED) if venue.faults.take("null_fields", one, "rest") else ticker
        for one, ticker in answer.items()
    }


class FmfwControl(Control):
    """Ledger, faults, state, rate, pause, and the ids of trades."""

    def __init__(self, venue: FmfwVenue) -> None:
        super().__init__(venue)
        self._venue = venue
        self.switches["ids"] = self._set_ids

    def ledger(self, query: Mapping[str, str]) -> dict[str, Any]:
        return extracts.extract(self._venue, query)

    def expected(self, symbol: str | None) -> dict[str, Any]:
        return expected(self._venue, symbol)

    def state(self) -> dict[str, Any]:
        return extracts.state(self._venue)

    def known_faults(self) -> dict[str, Any]:
        return self._venue.faults.listed()

    def _set_ids(self, body: Mapping[str, Any]) -> None:
        if body["ids"] not in ("real", "time"):
            raise ValueError('ids must be "real" or "time"')
        self._venue.hub.time_ids = body["ids"] == "time"
