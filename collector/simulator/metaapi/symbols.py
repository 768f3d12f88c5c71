"""What the simulated brokers trade: forex and metals without deals, exchange symbols with deals and market depth."""

from dataclasses import dataclass
from typing import Final

import orjson

from collector.simulator.metaapi.text import number


@dataclass(frozen=True, slots=True)
class Symbol:
    """One symbol. Prices are integers of 10**-digits, volumes of deals integers of 10**-volume_digits."""

    name: str
    digits: int
    start: int
    spread: int
    base: str
    profit: str
    weight: int = 1
    exchange: bool = False
    volume_digits: int = 0
    mode: str = "SYMBOL_CALC_MODE_FOREX"

    def price(self, units: int) -> str:
        return number(units, self.digits)

    def specification(self) -> str:
        """Write the specification as the venue does, with the fields that a terminal tells."""
        quotes = {
            day: [{"from": "00.00.00.000", "to": "24.00.00.000"}]
            for day in ("SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY")
        }
        described = {
            "symbol": self.name,
            "description": f"{self.base} in {self.profit}",
            "path": ("Exchange" if self.exchange else "Forex") + f"\\{self.name}",
            "digits": self.digits,
            "contractSize": 1 if self.exchange else 100000,
            "fillingModes": ["SYMBOL_FILLING_FOK"],
            "executionMode": "SYMBOL_TRADE_EXECUTION_MARKET",
            "tradeMode": "SYMBOL_TRADE_MODE_FULL",
            "priceCalculationMode": self.mode,
            "baseCurrency": self.base,
            "profitCurrency": self.profit,
            "marginCurrency": self.base,
            "quoteSessions": quotes,
            "tradeSessions": quotes,
        }
        point = number(1, self.digits)
        step = number(1, self.volume_digits) if self.exchange else "0.01"
        numbers = (
            f'"point":{point},"tickSize":{point},"minVolume":{step},"maxVolume":500,"volumeStep":{step},'
            f'"initialMargin":0,"pipSize":{point}'
        )
        return orjson.dumps(described).decode()[:-1] + "," + numbers + "}"


FULL: Final = (
    Symbol("EURUSD", 5, 107_120, 9, "EUR", "USD", 5),
    Symbol("#SBER/RUB", 2, 28_140, 3, "SBER", "RUB", 3, True, 0, "SYMBOL_CALC_MODE_EXCH_STOCKS_MOEX"),
    Symbol("GBPUSD", 5, 126_410, 12, "GBP", "USD", 3),
    Symbol("Si-12.26", 0, 91_250, 4, "USD", "RUB", 2, True, 0, "SYMBOL_CALC_MODE_EXCH_FUTURES_FORTS"),
    Symbol("USDJPY", 3, 151_230, 11, "USD", "JPY", 3),
    Symbol("XAUUSD", 2, 265_040, 25, "XAU", "USD", 3, mode="SYMBOL_CALC_MODE_CFDLEVERAGE"),
    Symbol("BTCUSD", 2, 9_714_212, 1500, "BTC", "USD", 2, True, 4, "SYMBOL_CALC_MODE_CFD"),
)
PLAIN: Final = (
    Symbol("EURUSD", 5, 107_130, 15, "EUR", "USD", 2),
    Symbol("XAUUSD.m", 2, 265_010, 40, "XAU", "USD", 1, mode="SYMBOL_CALC_MODE_CFD"),
)
