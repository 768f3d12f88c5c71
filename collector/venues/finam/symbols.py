"""What an instrument is: the venue's answers about it as one specification, and which ones a configuration means."""

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
_MOST_DECIMALS = 30
_MOSCOW_US = 3 * 3_600_000_000
_DAY_US = 86_400_000_000

# What the trading parameters say of the account and not of the instrument: never stored.
_OF_AN_ACCOUNT = frozenset({"account_id"})


def kind_of(asset: Mapping[str, Any]) -> str:
    """Return our word for the venue's type."""
    kind = text(asset, "type")
    return _KINDS.get(kind, kind.lower() or "unknown")


def price_step(asset: Mapping[str, Any]) -> str | None:
    """Return min_step / 10^decimals exactly; None where the venue does not say. Raises `BadValueError`."""
    step, places = asset.get("min_step"), asset.get("decimals")
    if step is None or places is None:
        return None
    digits = str(step)
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 20 or type(places) is not int:
        raise BadValueError(f"min_step: {shorten(step)} with decimals {shorten(places)} is no price step")
    if not 0 <= places <= _MOST_DECIMALS:
        raise BadValueError(f"decimals: {shorten(places)} is not between 0 and {_MOST_DECIMALS}")
    if not int(digits):
        return None
    whole = digits.rjust(places + 1, "0")
    fraction = whole[len(whole) - places :].rstrip("0")
    return f"{int(whole[: len(whole) - places])}" + (f".{fraction}" if fraction else "")


def make_spec(
    instrument: Instrument, asset: Mapping[str, Any], more: Mapping[str, Any], received_us: int
) -> InstrumentSpec:
    """Make the specification; `more` are the other answers about the instrument. Raises `BadValueError`."""
    params = more.get("params", {})
    tradable = params.get("is_tradable")
    if asset.get("is_archived") is True:
        status = "archived"
    elif tradable is None:
        status = "listed"
    else:
        status = "tradable" if tradable is True else "not tradable"
    lot = decimal(asset, "lot_size")
    shown = {
        "asset": asset,
        **{name: _without_account(value) if name == "params" else value for name, value in more.items()},
    }
    return InstrumentSpec(
        instrument,
        text(asset, "ticker") or None,
        text(asset, "quote_currency") or None,
        kind_of(asset),
        price_step(asset),
        lot,
        status,
        orjson.dumps(shown).decode(),
        received_us,
        _expiry_us(asset),
        text(asset, "name") or None,
    )


def _expiry_us(asset: Mapping[str, Any]) -> int | None:
    """Return the start of the day of expiry. The venue stamps it with midnight in Moscow, the evening before in UTC."""
    stamped = [
        time_us(about.get("expiration_date"))
        for about in (asset.get("future_details"), asset.get("option_details"))
        if type(about) is dict
    ]
    for found_us in stamped:
        if found_us is not None:
            return (found_us + _MOSCOW_US) // _DAY_US * _DAY_US
    return None


def _without_account(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if name not in _OF_AN_ACCOUNT}


def choose(wanted: Iterable[str], listed: Sequence[str]) -> tuple[list[str], list[Problem]]:
    """Return the symbols that names and patterns mean, each once, and which patterns mean nothing.

    A name is taken as it is: whether the venue has it shows when it is asked for, again and again.
    """
    chosen: dict[str, None] = {}
    problems = []
    for wish in wanted:
        matching = [symbol for symbol in sorted(listed) if fnmatchcase(symbol, wish)] if is_pattern(wish) else [wish]
        chosen |= dict.fromkeys(matching)
        if not matching:
            close = get_close_matches(wish.replace("*", ""), listed, n=3)
            hint = f"; close to it: {', '.join(close)}" if close else ""
            problems.append(Problem(wish, f"matches no active symbol of the venue{hint}"))
    return list(chosen), problems
