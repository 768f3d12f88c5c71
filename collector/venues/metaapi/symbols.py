"""What the venue says of a symbol, as a row of `instruments`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from collector.model import Instrument, InstrumentSpec
from collector.venues.metaapi.values import decimal, time_us

# MetaTrader's ways to calculate a symbol's value, which are the nearest to its kind.
KINDS = {
    "SYMBOL_CALC_MODE_FOREX": "forex",
    "SYMBOL_CALC_MODE_FOREX_NO_LEVERAGE": "forex",
    "SYMBOL_CALC_MODE_FUTURES": "future",
    "SYMBOL_CALC_MODE_EXCH_FUTURES": "future",
    "SYMBOL_CALC_MODE_EXCH_FUTURES_FORTS": "future",
    "SYMBOL_CALC_MODE_CFD": "cfd",
    "SYMBOL_CALC_MODE_CFDINDEX": "index",
    "SYMBOL_CALC_MODE_CFDLEVERAGE": "cfd",
    "SYMBOL_CALC_MODE_EXCH_STOCKS": "stock",
    "SYMBOL_CALC_MODE_EXCH_STOCKS_MOEX": "stock",
    "SYMBOL_CALC_MODE_EXCH_BONDS": "bond",
    "SYMBOL_CALC_MODE_EXCH_BONDS_MOEX": "bond",
    "SYMBOL_CALC_MODE_EXCH_OPTIONS": "option",
}

UNKNOWN_KIND = "symbol"
ACTIVE = "active"
_TRADE_MODES = {"SYMBOL_TRADE_MODE_DISABLED": "disabled", "SYMBOL_TRADE_MODE_CLOSEONLY": "close only"}
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]|\\u0000")


def read_spec(instrument: Instrument, item: Mapping[str, Any], text: str, received_us: int) -> InstrumentSpec:
    """Make the row of a specification; `text` is it as it came. What is missing or odd in it is left out."""
    mode = item.get("priceCalculationMode")
    trade_mode = item.get("tradeMode")
    return InstrumentSpec(
        instrument,
        base=_name(item.get("baseCurrency")),
        quote=_name(item.get("profitCurrency")),
        kind=KINDS.get(mode, UNKNOWN_KIND) if type(mode) is str else UNKNOWN_KIND,
        price_step=_step(item.get("tickSize")) or _step(item.get("point")),
        size_step=_step(item.get("volumeStep")),
        status=_TRADE_MODES.get(trade_mode, ACTIVE) if type(trade_mode) is str else ACTIVE,
        # The database's JSON takes neither halves of characters nor NUL.
        details="{}" if _SURROGATE.search(text) else text,
        received_us=received_us,
        expiry_us=time_us(item.get("expirationTime")),
        name=_title(item.get("description")),
    )


def _name(value: Any) -> str | None:
    return value[:40] if type(value) is str and value.isascii() and value.isprintable() and value else None


def _title(value: Any) -> str | None:
    return value[:200] if type(value) is str and value.isprintable() and value else None


def _step(value: Any) -> str | None:
    step = decimal(value)
    return step if step is not None and step.strip("-0.") and not step.startswith("-") else None
