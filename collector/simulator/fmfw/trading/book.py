"""One symbol's order book in integers, cheap at the touch whatever its depth."""

from collector.simulator.kit.book import Side


def asks() -> Side:
    """Give an empty ask side."""
    return Side(-1)


def bids() -> Side:
    """Give an empty bid side."""
    return Side(1)
