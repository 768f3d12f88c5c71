"""Makes a row of `instruments` of a symbol's specification."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from collector.model import Instrument, InstrumentSpec
from collector.venues.metaapi.values import decimal, time_us

# Our word for a symbol's kind, by MetaTrader's price calculation mode: a specification names no kind, and this mode is
# the nearest to it.
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

# The kind of a symbol whose calculation mode is missing or unknown, and of one that is only listed.
UNKNOWN_KIND = "symbol"
ACTIVE = "active"
_TRADE_MODES = {"SYMBOL_TRADE_MODE_DISABLED": "disabled", "SYMBOL_TRADE_MODE_CLOSEONLY": "close only"}
# Escapes that PostgreSQL's jsonb refuses: halves of surrogate pairs, and NUL.
_REFUSED_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]|\\u0000")
# How much of a currency's name and of a description is stored. Real ones are far shorter; this keeps garbage out.
_CURRENCY_MAX_CHARACTERS = 40
_TITLE_MAX_CHARACTERS = 200


def read_spec(instrument: Instrument, item: Mapping[str, Any], text: str, received_us: int) -> InstrumentSpec:
    """Return the row of a specification. `text` is the specification as it came, and is stored with the row.

    A value that is missing or malformed is left out.
    """
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
        details="{}" if _REFUSED_ESCAPE.search(text) else text,
        received_us=received_us,
        expiry_us=time_us(item.get("expirationTime")),
        name=_title(item.get("description")),
    )


def _name(value: Any) -> str | None:
    if type(value) is not str or not value or not value.isascii() or not value.isprintable():
        return None
    return value[:_CURRENCY_MAX_CHARACTERS]


def _title(value: Any) -> str | None:
    return value[:_TITLE_MAX_CHARACTERS] if type(value) is str and value.isprintable() and value else None


def _step(value: Any) -> str | None:
    step = decimal(value)
    return step if step is not None and step.strip("-0.") and not step.startswith("-") else None
