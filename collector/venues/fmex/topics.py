"""Topics: the venue's names of what can be subscribed, and how they are matched.

We send `depth.L20.btcusd_p`, as the documentation writes it; the venue answers `depth.l20.btcusd_p`, or with the case
of the request. So everything received is compared in lower case. A *channel* is a topic without its symbol, in the
documentation's case. At most two dots are split: what follows is the name, and an index's name begins with a dot.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from collector.venues.kit.bars import SHORT_PERIODS

TICKER = "ticker"
TRADE = "trade"
DEPTH = "depth"
DELTA = "depth-delta"
CANDLE = "candle"
INDEX = "index"

# The depths that exist, and how many levels a side that is.
LEVELS = {"L20": 20, "L150": 150}

# The venue's names of periods and ours. Minutes and months stay apart in lower case, too: `m1` and `mn`.
VENUE_PERIODS = SHORT_PERIODS | {"H6": "6h", "D1": "1d", "W1": "1w", "MN": "1mo"}

_PERIOD_CODES = {ours: theirs for theirs, ours in VENUE_PERIODS.items()}
_VARIANTS: dict[str, Mapping[str, object]] = {DEPTH: LEVELS, DELTA: LEVELS, CANDLE: VENUE_PERIODS}
_SIMPLE = (TICKER, TRADE, INDEX)


class Topic(NamedTuple):
    """A topic taken apart. `variant` is a depth's level or a candle's period, empty for the others."""

    kind: str
    variant: str
    name: str

    @property
    def channel(self) -> str:
        return f"{self.kind}.{self.variant}" if self.variant else self.kind


def split(text: str) -> Topic | None:
    """Take a topic in any case apart; None for what the venue does not have."""
    kind, _, rest = text.lower().partition(".")
    if kind in _SIMPLE:
        return Topic(kind, "", rest) if rest else None
    variants = _VARIANTS.get(kind)
    if variants is None:
        return None
    variant, _, name = rest.partition(".")
    variant = variant.upper()
    return Topic(kind, variant, name) if variant in variants and name else None


def period_code(period: str) -> str:
    """Return the venue's name of one of our periods."""
    return _PERIOD_CODES[period]
