"""Reads quotes and ticks. Both become rows of `ticks`, and ticks that carry a deal also become `trades`.

Neither has an id. A quote is a state, so its key is its content, and a repeated quote is the same row. A tick is an
event: several may have the same millisecond and content, so its key also holds its ordinal among the equal ticks of
that millisecond. A tick carries a deal only if it has a last price and a volume; MetaTrader writes 0 for both where the
market has no deals.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from collector.model import Instrument, Records, Tick, Trade, content_key, plain
from collector.venues.kit.ordinals import Counts, Ordinals
from collector.venues.kit.values import shorten
from collector.venues.metaapi.values import decimal, time_us

# The aggressor's side of a deal.
_SIDES = {"buy": 1, "sell": -1}


def _canonical(text: str | None) -> str:
    # 9.00 and 9 are the same price: the socket and the history may write it differently, and the key must be the same.
    if text is None:
        return ""
    return plain(text) if text.endswith("0") else text


def _key(bid: str | None, ask: str | None, last: str | None, size: str | None) -> str:
    return f"{_canonical(bid)}|{_canonical(ask)}|{_canonical(last)}|{_canonical(size)}"


class Quote(NamedTuple):
    """The values of a quote or a tick; `side` is 1 where the buyer is the aggressor, -1 where the seller is."""

    time_us: int
    bid: str | None
    ask: str | None
    last: str | None
    size: str | None
    side: int | None


def read_quote(item: Mapping[str, Any]) -> Quote | str:
    """Return the values of a quote, or a text that says what is wrong with the item."""
    at_us = time_us(item.get("time"))
    if at_us is None:
        return f"time: {shorten(item.get('time'))} is not a time between the years 2000 and 2100"
    bid, ask = decimal(item.get("bid")), decimal(item.get("ask"))
    if bid is None or ask is None:
        name = "bid" if bid is None else "ask"
        return f"{name}: {shorten(item.get(name))} is not a number"
    return Quote(at_us, bid, ask, None, None, None)


def read_tick(item: Mapping[str, Any]) -> Quote | str:
    """Return the values of a tick, or a text that says what is wrong with the item."""
    at_us = time_us(item.get("time"))
    if at_us is None:
        return f"time: {shorten(item.get('time'))} is not a time between the years 2000 and 2100"
    bid = ask = last = size = None
    if (raw := item.get("bid")) is not None and (bid := decimal(raw)) is None:
        return f"bid: {shorten(raw)} is not a number"
    if (raw := item.get("ask")) is not None and (ask := decimal(raw)) is None:
        return f"ask: {shorten(raw)} is not a number"
    if (raw := item.get("last")) is not None and (last := decimal(raw)) is None:
        return f"last: {shorten(raw)} is not a number"
    if (raw := item.get("volume")) is not None and (size := decimal(raw)) is None:
        return f"volume: {shorten(raw)} is not a number"
    if last is not None and not last.strip("-0."):
        last = None
    if size is not None and (last is None or not size.strip("-0.")):
        size = None
    if bid is None and ask is None and last is None:
        return f"{shorten(item)} has no price"
    side = item.get("side")
    if side is not None and (type(side) is not str or side not in _SIDES):
        return f"side: {shorten(side)} is neither buy nor sell"
    return Quote(at_us, bid, ask, last, size, _SIDES.get(side) if side else None)


def contents(items: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the content of each well-formed tick of a list, by which equal ticks are counted (see `add_tick`)."""
    ticks = [tick for tick in map(read_tick, items) if isinstance(tick, Quote)]
    return [f"{tick.time_us}|{_key(tick.bid, tick.ask, tick.last, tick.size)}" for tick in ticks]


def quote_row(instrument: Instrument, quote: Quote, received_us: int) -> Tick:
    """Return the row of a quote."""
    time_us, bid, ask, *_ = quote
    key = content_key(f"{_canonical(bid)}|{_canonical(ask)}|||0")
    return Tick(instrument, time_us, key, bid, None, ask, None, None, None, None, received_us)


def add_tick(
    instrument: Instrument,
    quote: Quote,
    counts: Ordinals | Counts,
    received_us: int,
    out: Records,
    *,
    rows: bool,
    trades: bool,
) -> bool:
    """Store a tick, and the deal in it as a trade. Returns whether there was a deal.

    `rows` and `trades` say which of the two are stored; the tick is counted in any case.
    """
    time_us, bid, ask, last, size, side = quote
    content = _key(bid, ask, last, size)
    ordinal = counts.number(f"{time_us}|{content}", None, time_us)
    if rows:
        key = content_key(f"{content}|{ordinal}")
        out.ticks.append(Tick(instrument, time_us, key, bid, None, ask, None, last, size, None, received_us))
        out.items += 1
    if last is None or size is None:
        return False
    if trades:
        key = content_key(f"{content}|{side}|{ordinal}")
        out.trades.append(Trade(instrument, time_us, key, None, last, size, side, received_us))
        out.items += 1
    return True
