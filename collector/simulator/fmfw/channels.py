"""The names of the socket's channels and what they mean."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, cast

Family = Literal["trades", "candles", "converted", "rate", "mini", "ticker", "book", "partial", "top", "futures"]

_PATTERN: Final = re.compile(
    r"(?P<trades>trades)"
    r"|(?P<book>orderbook/full)"
    r"|(?P<futures>futures/info)"
    r"|(?P<candles>candles/(M1|M3|M5|M15|M30|H1|H4|D1|D7|1M))"
    r"|(?P<converted>converted/candles/(M1|M3|M5|M15|M30|H1|H4|D1|D7|1M))"
    r"|((?P<rate>price/rate/[13]s)|(?P<mini>ticker/price/[13]s)|(?P<ticker>ticker/[13]s)"
    r"|(?P<partial>orderbook/D(5|10|20)/(100|500|1000)ms)|(?P<top>orderbook/top/(100|500|1000)ms))(?P<batch>/batch)?"
)
_STARRED: Final = frozenset({"ticker", "mini", "rate", "top", "partial", "futures"})
SPEEDS_MS: Final = (100, 500, 1000, 3000)
FUTURES_SPEED_MS: Final = 1000


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel.  `speed_ms` is 0 for what is sent at once; `depth` 0 for what has none."""

    name: str
    family: Family
    period: str = ""
    speed_ms: int = 0
    depth: int = 0
    batch: bool = False

    @property
    def takes_star(self) -> bool:
        """Whether `*` may stand for all symbols."""
        return self.family in _STARRED

    @property
    def takes_limit(self) -> bool:
        return self.family in ("trades", "candles", "converted")

    @property
    def takes_target(self) -> bool:
        """Whether subscriptions name a `target_currency`."""
        return self.family in ("converted", "rate")

    @property
    def at_once(self) -> bool:
        """Whether events are sent when they happen, and not as the state of each period."""
        return self.family in ("trades", "candles", "converted", "book")


@lru_cache(maxsize=256)
def channel(name: str) -> Channel | None:
    """Give the channel of this name, None where the venue has no such channel."""
    match = _PATTERN.fullmatch(name)
    if match is None:
        return None
    family = cast("Family", next(key for key, value in match.groupdict().items() if value and key != "batch"))
    plain = name.removesuffix("/batch")
    last = plain.rsplit("/", 1)[-1]
    period = last if family in ("candles", "converted") else ""
    speed_ms = 0
    if last.endswith("ms"):
        speed_ms = int(last[:-2])
    elif family in ("ticker", "mini", "rate"):
        speed_ms = int(last[:-1]) * 1000
    elif family == "futures":
        speed_ms = FUTURES_SPEED_MS
    depth = int(plain.split("/")[1][1:]) if family == "partial" else 0
    return Channel(name, family, period, speed_ms, depth, name.endswith("/batch"))
