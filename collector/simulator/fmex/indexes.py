"""Index values, exchange rates and open interest, as the venue gives them: [time, value] by name, in steps of time."""

from typing import Final

from collector.simulator.fmex.market import Market
from collector.simulator.fmex.text import Number, number

_FUNDING_MS: Final = 8 * 3_600_000
_FUNDING_OFFSET_MS: Final = 4 * 3_600_000  # 04, 12, 20 UTC
_MINUTE_MS: Final = 60_000

Values = dict[str, tuple[int, Number]]


def values(market: Market, now_ms: int, step_ms: int) -> Values:
    """Give the indexes of one contract as of now."""
    prefix = market.contract.prefix
    time_ms, minute_ms = now_ms - now_ms % step_ms, now_ms - now_ms % _MINUTE_MS
    funding_ms = now_ms - (now_ms - _FUNDING_OFFSET_MS) % _FUNDING_MS + _FUNDING_MS
    middle = (market.asks.best + market.bids.best) * 25  # cents
    wobble = (time_ms // step_ms * 7919) % 97 - 48
    premium = (minute_ms // _MINUTE_MS * 104_729) % 2001 - 1000  # 10**-7
    return {
        f"{prefix}_spot": (time_ms, number((middle + wobble) * 10**14 + wobble + 1, 16)),
        f"{prefix}fair": (time_ms, number(middle, 2)),
        f"{prefix}fr": (minute_ms, number(premium + 550, 7)),
        f"{prefix}fr8h": (funding_ms, number(3, 4)),
        f"{prefix}pi": (minute_ms, number(premium, 7)),
        f"{prefix}pi8h": (funding_ms - _FUNDING_MS, number(-55, 6)),
        f"{prefix}pimax": (funding_ms - _FUNDING_MS, number(5, 3)),
        f"{prefix}lr1d": (funding_ms - _FUNDING_MS, number(6, 4)),
    }


def exchange_rates(now_ms: int, step_ms: int) -> Values:
    """Give what currencies cost; the shape of the venue's answer is not known, so it is that of the indexes."""
    time_ms = now_ms - now_ms % (60 * step_ms)
    return {
        "usdcny": (time_ms, number(70_312, 4)),
        "usdjpy": (time_ms, number(10_945, 2)),
        "usdkrw": (time_ms, number(1_181_015, 3)),
    }


def as_json(found: Values) -> str:
    """Write [time, value] by name."""
    return "{" + ",".join(f'"{name}":[{time_ms},{value.sent}]' for name, (time_ms, value) in found.items()) + "}"
