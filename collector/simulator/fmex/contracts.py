"""The contracts that are listed, and how the venue describes them."""

from dataclasses import dataclass
from typing import Any, Final

import orjson

# Prices live as whole ticks of half a dollar.
TICKS_PER_USD: Final = 2
PRICE_DECIMALS: Final = 1
PRICE_UNITS: Final = 10**PRICE_DECIMALS // TICKS_PER_USD

_NEVER_MS: Final = 5_000_000_000_000
_STARTED_MS: Final = 1_569_888_000_000


@dataclass(frozen=True, slots=True)
class Contract:
    """One perpetual; `start_price` in ticks, `weight` its share of the events, `mean_size` in contracts."""

    symbol: str
    start_price: int
    weight: int
    mean_size: int
    interest: int

    @property
    def prefix(self) -> str:
        """What the names of its indexes begin with."""
        return "." + self.symbol.removesuffix("_p")

    def listing(self) -> dict[str, Any]:
        """Give one item of the list of symbols."""
        return {
            "name": self.symbol,
            "start_at_epoch": _STARTED_MS,
            "end_at_epoch": _NEVER_MS,
            "type": "perpetual",
            "inverse": True,
            "margin_currency": self.symbol[:3],
            "liquidate_by": "index_price",
            "multiplier": 1,
            "minimum_price_increment": 0.5,
            "price_step": orjson.Fragment("5.0E-1"),
            "price_scale": 1,
            "settlement_fee_rate": orjson.Fragment("0E-18"),
            "risk_limit": {
                "id": "1000000000001",
                "initial_margin_rate": orjson.Fragment("0.010000000000000000"),
                "maintenance_margin_rate_step": orjson.Fragment("5.0E-3"),
                "max_leverage": 100,
                "risk_limit_base": 200,
                "risk_limit_step": 100,
                "max_risk_limit_steps": 10,
                "max_order_quantity": 10_000_000,
            },
        }


_KNOWN: Final = (
    Contract("btcusd_p", 15_502, 8, 2_000, 9_088_265),
    Contract("ethusd_p", 302, 2, 300, 1_204_411),
)


def contracts(count: int | None) -> tuple[Contract, ...]:
    """List so many contracts; beyond those that existed they have made-up names."""
    if count is None:
        return _KNOWN
    made_up = (Contract(f"t{number:02d}usd_p", 400 + 10 * number, 1, 100, 50_000) for number in range(count))
    return (*_KNOWN, *made_up)[: max(1, count)]
