"""The doors of this venue; see `collector.simulator.kit.control`."""

from collections.abc import Mapping
from typing import Any

from collector.simulator.finam.ledger import COLUMNS
from collector.simulator.finam.venue import FinamVenue
from collector.simulator.kit.control import Control


class FinamControl(Control):
    """What was answered, faults, state, rate, pause."""

    def __init__(self, venue: FinamVenue) -> None:
        super().__init__(venue)
        self._venue = venue

    def expected(self, symbol: str | None) -> dict[str, Any]:
        markets = self._venue.exchange.markets
        if symbol is None:
            own = [""] if self._venue.settings.news else []
            return {"venue": "finam", "columns": COLUMNS, "symbols": [*markets, *own]}
        if symbol and symbol not in markets:
            raise KeyError(symbol)
        return self._venue.ledger.rows(symbol)

    def state(self) -> dict[str, Any]:
        return self._venue.state()

    def pause(self, body: Mapping[str, Any]) -> None:
        """Let the market stand still; it is over for the day, so that no answer follows what was asked."""
        self._venue.pause(hold=body.get("hold", True) is True)

    def known_faults(self) -> dict[str, Any]:
        return self._venue.faults.listed()
