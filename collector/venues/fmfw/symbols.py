"""The venue's list of symbols: what each one is, and which of them a configuration means."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import orjson

from collector.model import Instrument, InstrumentSpec
from collector.venues.fmfw.settings import FmfwSettings
from collector.venues.fmfw.values import UNSIGNED_TEXT, Rule, fault, moment_us, optional
from collector.venues.kit.choose import chosen_by, did_you_mean, is_pattern
from collector.venues.kit.values import is_name, shorten
from collector.venues.plan import Problem

WORKING = "working"

# Duplicates that the sister venues list but refuse (2001) when asked for.
INTERNAL_SUFFIX = "_BQX"

_TEXT = optional(Rule("a text", lambda value: type(value) is str))
_RULES = {
    "type": _TEXT,
    "contract_type": _TEXT,
    "base_currency": _TEXT,
    "underlying": _TEXT,
    "quote_currency": _TEXT,
    "status": _TEXT,
    "tick_size": optional(UNSIGNED_TEXT),
    "quantity_increment": optional(UNSIGNED_TEXT),
}


def read_spec(venue: str, code: Any, item: Any, received_us: int) -> InstrumentSpec | str:
    """Make the specification of a symbol, or say what is wrong with it.

    The currencies come from the answer, never from the code: `MATICUSD` is quoted in USDT. A future has no base
    currency but an underlying. A missing status means that the symbol works.
    """
    if not is_name(code):
        return f"symbol: {shorten(code)} is not a symbol"
    reason = fault(item, _RULES)
    if reason is not None:
        return reason
    if item.get("type") == "futures":
        kind = "perpetual" if item.get("contract_type") == "perpetual" or code.endswith("_PERP") else "future"
    else:
        kind = item.get("type") or "spot"
    return InstrumentSpec(
        Instrument(venue, code),
        base=item.get("base_currency") or item.get("underlying"),
        quote=item.get("quote_currency"),
        kind=kind,
        price_step=item.get("tick_size"),
        size_step=item.get("quantity_increment"),
        status=item.get("status") or WORKING,
        details=orjson.dumps(item).decode(),
        received_us=received_us,
        expiry_us=moment_us(item.get("expiry")),
    )


def is_future(spec: InstrumentSpec) -> bool:
    """Tell whether the symbol is a future of any kind."""
    return spec.kind in ("perpetual", "future")


def named(settings: FmfwSettings) -> dict[str, list[str]]:
    """Return the symbols that are named, by stream. Which of them are futures is not known before the list is."""
    names = [wish for wish in settings.symbols if not is_pattern(wish) and not wish.endswith(INTERNAL_SUFFIX)]
    return {stream: names for stream in settings.streams if stream != "derivatives"}


def choose(wanted: Iterable[str], listed: Sequence[InstrumentSpec]) -> tuple[list[InstrumentSpec], list[Problem]]:
    """Return the symbols that names and patterns mean, each once, and what is wrong with the wishes."""
    by_code = {spec.instrument.symbol: spec for spec in listed}

    def choose_one(wish: str, chosen: dict[str, InstrumentSpec]) -> Iterator[Problem]:
        problem = (_choose_pattern if is_pattern(wish) else _choose_name)(wish, by_code, chosen)
        if problem is not None:
            yield problem

    return chosen_by(choose_one, wanted)


def _choose_name(name: str, by_code: Mapping[str, InstrumentSpec], chosen: dict[str, InstrumentSpec]) -> Problem | None:
    spec = by_code.get(name)
    if spec is None:
        meant = did_you_mean(_close(name, by_code), "; `collector instruments` lists those it has")
        return Problem(name, f"the venue has no such symbol{meant}")
    if name.endswith(INTERNAL_SUFFIX):
        real = name.removesuffix(INTERNAL_SUFFIX)
        return Problem(name, f"an internal duplicate, which the venue refuses; use {real}")
    if spec.status != WORKING:
        return Problem(name, f"not traded now: the venue says that it is {shorten(spec.status)}")
    chosen[name] = spec
    return None


def _choose_pattern(
    pattern: str, by_code: Mapping[str, InstrumentSpec], chosen: dict[str, InstrumentSpec]
) -> Problem | None:
    matching = sorted(code for code in by_code if fnmatchcase(code, pattern) and not code.endswith(INTERNAL_SUFFIX))
    if not matching:
        close = _close("".join(character for character in pattern if character not in "*?[]"), by_code)
        hint = f"; close to it: {', '.join(close)}" if close else ""
        return Problem(pattern, f"matches no symbol of the venue{hint}")
    idle = [code for code in matching if by_code[code].status != WORKING]
    for code in matching:
        if by_code[code].status == WORKING:
            chosen.setdefault(code, by_code[code])
    if idle:
        shown = ", ".join(idle[:10]) + (f" and {len(idle) - 10} more" if len(idle) > 10 else "")
        return Problem(pattern, f"left out, since not traded now: {shown}")
    return None


def _close(name: str, by_code: Mapping[str, InstrumentSpec]) -> list[str]:
    return get_close_matches(name.upper(), [code for code in by_code if not code.endswith(INTERNAL_SUFFIX)], n=3)
