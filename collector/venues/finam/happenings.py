"""Events from the parser to the polling, besides those that all venues share."""

from __future__ import annotations

from dataclasses import dataclass

from collector.venues.events import VenueEvent
from collector.venues.finam.candles import Reached
from collector.venues.finam.trades import Listing


@dataclass(frozen=True, slots=True)
class AnswerRead(VenueEvent):
    """An answer with market data was read: `total` items were in it, of which `fresh` became rows.

    `listing`: for trades, how far the list reached back. `reached`: for bars, how far they are known.
    """

    total: int
    fresh: int
    listing: Listing | None = None
    reached: Reached | None = None
