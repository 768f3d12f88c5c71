"""The venue's list of contracts: what each one is, and which of them a configuration means."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import orjson

from collector.model import Instrument, InstrumentSpec
from collector.venues.fmex.derivatives import CONTRACT_SUFFIX
from collector.venues.fmex.numbers import loads, unsigned, whole
from collector.venues.fmex.values import millis_us
from collector.venues.kit.choose import chosen_by, did_you_mean
from collector.venues.kit.values import is_name, shorten
from collector.venues.plan import Problem

WORKING = "working"
QUOTE = "USD"
# Amounts are whole contracts, though they are written `68239.0`.
CONTRACT_STEP = "1"

_NEVER_MS = 4_102_444_800_000


def read_specs(venue: str, body: bytes, received_us: int) -> tuple[list[InstrumentSpec], list[Problem]]:
    """Read the list of contracts. ValueError when it is none at all; an entry that is not understood is a problem."""
    items = _listed(loads(body))
    # Once more with every number as it stands there, for the details.
    details = _listed(json.loads(body, parse_float=_verbatim, parse_int=_verbatim, parse_constant=str))
    specs: list[InstrumentSpec] = []
    problems: list[Problem] = []
    for item, own in zip(items, details, strict=True):
        spec = read_spec(venue, item, own, received_us)
        if isinstance(spec, str):
            name = item.get("name") if type(item) is dict else None
            problems.append(Problem(str(name), f"left out, its description is not understood: {spec}"))
        else:
            specs.append(spec)
    return specs, problems


def _listed(content: Any) -> list[Any]:
    data = content.get("data") if type(content) is dict else None
    if type(data) is not list:
        raise ValueError("the list of symbols is not an object with a list named data")
    return data


def _verbatim(digits: str) -> orjson.Fragment:
    return orjson.Fragment(digits)


def read_spec(venue: str, item: Any, own: Any, received_us: int) -> InstrumentSpec | str:
    """Make the specification of a contract, or say what is wrong with it. `own` is the item as the details keep it.

    The list has no currencies of its own. An inverse contract's base is what it is margined in, USD is what all are
    quoted in.
    """
    if type(item) is not dict:
        return f"{shorten(item)} is not an object"
    name = item.get("name")
    if not is_name(name):
        return f"name: {shorten(name)} is not a symbol"
    step = unsigned(item.get("minimum_price_increment"))
    if step is None and item.get("minimum_price_increment") is not None:
        return f"minimum_price_increment: {shorten(item['minimum_price_increment'])} is not a price step"
    margin, kind = item.get("margin_currency"), item.get("type")
    for key, value in (("margin_currency", margin), ("type", kind)):
        if value is not None and not is_name(value):
            return f"{key}: {shorten(value)} is not a name"
    try:
        details = orjson.dumps(own).decode()
    except TypeError as error:
        return f"it cannot be kept as JSON: {error}"
    if "\\u0000" in details:
        return "it holds a text with a character that no database takes"
    symbol = str(name).lower()
    inverse = item.get("inverse") is True and margin
    base = str(margin) if inverse else symbol.removesuffix(CONTRACT_SUFFIX).removesuffix(QUOTE.lower())
    return InstrumentSpec(
        Instrument(venue, symbol),
        base=base.upper() or None,
        quote=QUOTE,
        kind=kind or "perpetual",
        price_step=step,
        size_step=CONTRACT_STEP,
        status=_status(item, received_us),
        details=details,
        received_us=received_us,
        expiry_us=millis_us(item.get("end_at_epoch")),
    )


def _status(item: dict[str, Any], received_us: int) -> str:
    # 5000000000000 ms, the year 2128, stands for never; times like that are no times for `millis_us`.
    start_us, end = millis_us(item.get("start_at_epoch")), whole(item.get("end_at_epoch"))
    if start_us is not None and received_us < start_us:
        return "not started"
    if end is not None and end < _NEVER_MS and end * 1000 <= received_us:
        return "expired"
    return WORKING


def choose(wanted: Iterable[str], listed: Sequence[InstrumentSpec]) -> tuple[list[InstrumentSpec], list[Problem]]:
    """Return the contracts that names and patterns mean, in any case, each once, and what is wrong with the wishes."""
    by_name = {spec.instrument.symbol: spec for spec in listed}

    def choose_matching(wish: str, chosen: dict[str, InstrumentSpec]) -> Iterator[Problem]:
        matching = sorted(name for name in by_name if fnmatchcase(name, wish.lower()))
        if not matching:
            listing = f"; it has {', '.join(sorted(by_name)[:20])}"
            meant = did_you_mean(get_close_matches(wish.lower(), by_name, n=3), listing)
            yield Problem(wish, f"the venue has no such symbol{meant}")
        for name in matching:
            if by_name[name].status == WORKING:
                chosen.setdefault(name, by_name[name])
            else:
                yield Problem(name, f"not traded now: {by_name[name].status}")

    return chosen_by(choose_matching, wanted)
