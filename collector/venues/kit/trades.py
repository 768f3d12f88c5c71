"""A trade as it was read, before it has its number among equal ones."""

from __future__ import annotations

from typing import NamedTuple

from collector.model import Instrument, Trade
from collector.venues.kit.ordinals import trade_key


class ReadTrade(NamedTuple):
    """One trade as the venue tells it; `number` is its id and `content` what its key is made of."""

    time_us: int
    number: int | None
    price: str
    size: str
    side: int
    content: str

    def row(self, instrument: Instrument, ordinal: int, received_us: int) -> Trade:
        """Return the row; `ordinal` tells it from equal trades."""
        trade_id = None if self.number is None else str(self.number)
        key = trade_key(self.content, ordinal)
        return Trade(instrument, self.time_us, key, trade_id, self.price, self.size, self.side, received_us)
