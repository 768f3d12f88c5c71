"""A trade of a simulated market."""

from typing import NamedTuple


class Trade(NamedTuple):
    """One trade; price and size in the instrument's units, `buy` when the taker bought."""

    id: int
    time_ms: int
    price: int
    size: int
    buy: bool
