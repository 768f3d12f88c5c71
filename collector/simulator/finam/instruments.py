"""The instruments of the simulated venue: a few of each kind, and as many more as are asked for."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

EXCHANGES: Final = {
    "MISX": "MOSCOW EXCHANGE - ALL MARKETS",
    "RTSX": "MOSCOW EXCHANGE - DERIVATIVES MARKET",
    "XNGS": "NASDAQ/NGS (GLOBAL SELECT MARKET)",
    "_SP": "INDICES",
}


@dataclass(frozen=True, slots=True)
class Instrument:
    """One instrument. Prices are counted in 10^-`decimals`; `step` is the smallest change in that unit."""

    ticker: str
    mic: str
    id: str
    kind: str
    name: str
    start: int
    decimals: int = 2
    step: int = 1
    lot: int = 1
    currency: str = "RUB"
    weight: int = 10

    @property
    def symbol(self) -> str:
        return f"{self.ticker}@{self.mic}"

    @property
    def quoted(self) -> bool:
        """Whether anybody bids: indexes have a last value only."""
        return self.kind != "INDICES"


_KNOWN: Final = (
    Instrument("SBER", "MISX", "1", "EQUITIES", "Sberbank", 28_531, lot=1, weight=30),
    Instrument("GAZP", "MISX", "2", "EQUITIES", "Gazprom", 12_874, lot=10, weight=20),
    Instrument("SiZ6", "RTSX", "3", "FUTURES", "USD/RUB 12.26", 91_250, decimals=0, weight=30),
    Instrument("VTBR", "MISX", "4", "EQUITIES", "VTB", 7_215, decimals=2, lot=1, weight=10),
    Instrument("BRZ6", "RTSX", "5", "FUTURES", "Brent 12.26", 6_412, weight=10),
    Instrument("AAPL", "XNGS", "6", "EQUITIES", "Apple Inc.", 23_120, currency="USD", weight=10),
    Instrument("UNAC", "MISX", "7", "EQUITIES", "UAC", 654_700, decimals=6, step=100, lot=1000, weight=3),
    Instrument("RGBI", "_SP", "8", "INDICES", "Government bonds", 11_530, weight=3),
)


def instruments(count: int | None) -> list[Instrument]:
    """List the known instruments, `count` of them, filled up with made-up shares."""
    if count is None or count <= len(_KNOWN):
        return list(_KNOWN[:count])
    more = (
        Instrument(f"SIM{number:03d}", "MISX", str(number), "EQUITIES", f"Simulated {number}", 5_000 + 37 * number)
        for number in range(len(_KNOWN) + 1, count + 1)
    )
    return [*_KNOWN, *more]


def asset(one: Instrument) -> dict[str, Any]:
    """Make a row of the list of assets."""
    return {
        "symbol": one.symbol,
        "id": one.id,
        "ticker": one.ticker,
        "mic": one.mic,
        "isin": _isin(one),
        "type": one.kind,
        "name": one.name,
        "is_archived": False,
    }


def full_asset(one: Instrument, now_us: int) -> dict[str, Any]:
    """Make the answer that describes one instrument."""
    answer: dict[str, Any] = {
        "board": "TQBR" if one.mic == "MISX" else one.mic,
        "id": one.id,
        "ticker": one.ticker,
        "mic": one.mic,
        "isin": _isin(one),
        "type": one.kind,
        "name": one.name,
        "decimals": one.decimals,
        "min_step": str(one.step),
        "lot_size": {"value": f"{one.lot}.0"},
        "quote_currency": one.currency,
    }
    if one.kind == "FUTURES":
        # Midnight in Moscow, which is nine in the evening of the day before in UTC.
        expiry = datetime.fromtimestamp(now_us // 1_000_000, UTC).date() + timedelta(days=26)
        answer["expiration_date"] = {"year": expiry.year, "month": expiry.month, "day": expiry.day}
        day = expiry - timedelta(days=1)
        answer["future_details"] = {"expiration_date": f"{day}T21:00:00Z", "contract_size": {"value": "1000.0"}}
    return answer


def parameters(one: Instrument, account_id: str) -> dict[str, Any]:
    """Make the answer with an account's trading parameters."""
    margin = {"currency_code": one.currency, "units": str(one.start // 100), "nanos": 250_000_000}
    return {
        "symbol": one.symbol,
        "account_id": account_id,
        "tradeable": True,
        "is_tradable": True,
        "longable": {"value": "AVAILABLE", "halted_days": 0},
        "shortable": {"value": "NOT_AVAILABLE", "halted_days": 0},
        "long_risk_rate": {"value": "25.0"},
        "short_risk_rate": {"value": "33.5"},
        "long_initial_margin": margin,
        "short_initial_margin": margin,
        "long_collateral": margin,
        "short_collateral": margin,
        "price_type": "POSITIVE" if one.quoted else "ANY",
        "trade_lot_size": str(one.lot),
    }


def _isin(one: Instrument) -> str:
    return f"RU{int(one.id):010d}" if one.kind == "EQUITIES" else ""
