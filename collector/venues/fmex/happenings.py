"""What the parser tells the conversation beyond the events that all venues share."""

from __future__ import annotations

from dataclasses import dataclass

from collector.venues.events import VenueEvent


@dataclass(frozen=True, slots=True)
class BarBegan(VenueEvent):
    """A bar newer than all before it came on a candle topic: the one before it is over."""

    channel: str
    symbol: str
