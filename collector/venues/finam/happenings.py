"""What the parser tells the polling beyond the events that all venues share."""

from __future__ import annotations

from dataclasses import dataclass

from collector.venues.events import VenueEvent
from collector.venues.finam.candles import Reached
from collector.venues.finam.trades import Listing


@dataclass(frozen=True, slots=True)
class AnswerRead(VenueEvent):
    """An answer with market data was understood: `total` items were in it, `fresh` rows came of it.

    Of trades, `listing` tells whether the list reached back far enough; of bars, `reached` how far they are known.
    """

    total: int
    fresh: int
    listing: Listing | None = None
    reached: Reached | None = None
