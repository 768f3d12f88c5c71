"""The names of topics, and what they mean to the venue: any case is understood."""

from typing import Final, NamedTuple

from collector.simulator.fmex.bars import SECONDS

LEVELS: Final = {"l20": 20, "l150": 150}
_PERIODS: Final = {name.lower(): name for name in SECONDS}
_PLAIN: Final = ("ticker", "trade", "index")


class Topic(NamedTuple):
    """A topic in lower case; `variant` is a level (`l20`), a period (`M1`), or empty."""

    kind: str
    variant: str
    symbol: str

    @property
    def text(self) -> str:
        return ".".join(part for part in (self.kind, self.variant.lower(), self.symbol) if part)


def parse(text: str) -> Topic | None:
    """Take a topic apart; None where it is none."""
    kind, _, rest = text.lower().partition(".")
    if kind in _PLAIN:
        return Topic(kind, "", rest) if rest else None
    variant, _, symbol = rest.partition(".")
    if not symbol:
        return None
    if kind in ("depth", "depth-delta") and variant in LEVELS:
        return Topic(kind, variant, symbol)
    if kind == "candle" and variant in _PERIODS:
        return Topic(kind, _PERIODS[variant], symbol)
    return None
