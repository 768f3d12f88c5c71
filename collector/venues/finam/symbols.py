"""Makes the specification of an instrument, and finds the symbols that configured names and patterns match."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import orjson

from collector.model import Instrument, InstrumentSpec
from collector.venues.finam.values import BadValueError, decimal, text, time_us
from collector.venues.kit.choose import is_pattern
from collector.venues.kit.values import shorten
from collector.venues.plan import Problem

_KINDS = {
    "EQUITIES": "equity",
    "FUTURES": "future",
    "BONDS": "bond",
    "FUNDS": "fund",
    "SPREADS": "spread",
    "CURRENCIES": "currency",
    "OPTIONS": "option",
    "SWAPS": "swap",
    "INDICES": "index",
    "OTHER": "other",
}
# The most decimals of a price step that are believed. Real ones are below 10; more would only make a long text.
_DECIMALS_MAX = 30
_PRICE_STEP_MAX_DIGITS = 20
# Moscow is ahead of UTC by this much, all year.
_MOSCOW_US = 3 * 3_600_000_000
_DAY_US = 86_400_000_000
# How many similar symbols are suggested for a pattern that matches none.
_SUGGESTIONS_MAX = 3

# What the trading parameters say about the account and not the instrument: never stored.
_ACCOUNT_PARAMS = frozenset({"account_id"})


def kind_of(asset: Mapping[str, Any]) -> str:
    """Return our word for the venue's type of asset."""
    kind = text(asset, "type")
    return _KINDS.get(kind, kind.lower() or "unknown")


def price_step(asset: Mapping[str, Any]) -> str | None:
    """Return min_step / 10^decimals, exactly; None where the venue does not give it. Raises `BadValueError`."""
    step, places = asset.get("min_step"), asset.get("decimals")
    if step is None or places is None:
        return None
    digits = str(step)
    too_long = len(digits) > _PRICE_STEP_MAX_DIGITS
    if not (digits.isascii() and digits.isdigit()) or too_long or type(places) is not int:
        raise BadValueError(f"min_step: {shorten(step)} with decimals {shorten(places)} is not a price step")
    if not 0 <= places <= _DECIMALS_MAX:
        raise BadValueError(f"decimals: {shorten(places)} is not between 0 and {_DECIMALS_MAX}")
    if not int(digits):
        return None
    whole = digits.rjust(places + 1, "0")
    fraction = whole[len(whole) - places :].rstrip("0")
    return f"{int(whole[: len(whole) - places])}" + (f".{fraction}" if fraction else "")


def make_spec(
    instrument: Instrument, asset: Mapping[str, Any], other_parts: Mapping[str, Any], received_us: int
) -> InstrumentSpec:
    """Make the specification of an instrument. Raises `BadValueError`.

    `asset` is the answer of `GetAsset`; `other_parts` are the other answers about it, which are stored with it.
    """
    params = other_parts.get("params", {})
    tradable = params.get("is_tradable")
    if asset.get("is_archived") is True:
        status = "archived"
    elif tradable is None:
        status = "listed"
    else:
        status = "tradable" if tradable is True else "not tradable"
    lot = decimal(asset, "lot_size")
    details = {
        "asset": asset,
        **{name: _without_account(value) if name == "params" else value for name, value in other_parts.items()},
    }
    return InstrumentSpec(
        instrument,
        text(asset, "ticker") or None,
        text(asset, "quote_currency") or None,
        kind_of(asset),
        price_step(asset),
        lot,
        status,
        orjson.dumps(details).decode(),
        received_us,
        _expiry_us(asset),
        text(asset, "name") or None,
    )


def _expiry_us(asset: Mapping[str, Any]) -> int | None:
    """Return the start of the day of expiry. The venue stamps it with midnight in Moscow, the evening before in UTC."""
    for details in (asset.get("future_details"), asset.get("option_details")):
        expiry_us = time_us(details.get("expiration_date")) if type(details) is dict else None
        if expiry_us is not None:
            return (expiry_us + _MOSCOW_US) // _DAY_US * _DAY_US
    return None


def _without_account(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if name not in _ACCOUNT_PARAMS}


def choose(configured: Iterable[str], listed: Sequence[str]) -> tuple[list[str], list[Problem]]:
    """Return the symbols that configured names and patterns match, each once, and the patterns that match none.

    `listed` are the venue's active symbols. A name is taken without a check: whether the venue has it shows when it is
    polled, and may change.
    """
    chosen: dict[str, None] = {}
    problems = []
    for name in configured:
        matching = [symbol for symbol in sorted(listed) if fnmatchcase(symbol, name)] if is_pattern(name) else [name]
        chosen |= dict.fromkeys(matching)
        if not matching:
            similar = get_close_matches(name.replace("*", ""), listed, n=_SUGGESTIONS_MAX)
            hint = f"; similar: {', '.join(similar)}" if similar else ""
            problems.append(Problem(name, f"matches no active symbol of the venue{hint}"))
    return list(chosen), problems
