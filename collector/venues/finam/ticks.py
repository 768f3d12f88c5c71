"""Reads quotes, which become rows of `ticks`.

A quote has one time, that of its last change, and no id, so its key is made of its content. The venue gives an empty
side as 0, which is stored as null. On the socket, a quote that is not a snapshot has only the members that changed, and
is merged with the last known ones. A quote equal to the last one is not an item.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from collector.model import Instrument, Records, Tick, content_key
from collector.venues.finam.context import Context
from collector.venues.finam.values import decimal, is_zero, moment_us, unsigned

STREAM = "ticks"

# The members of a quote that become a row's columns; only these are remembered.
_FIELDS = ("timestamp", "bid", "bid_size", "ask", "ask_size", "last", "last_size", "volume")


class QuoteReader:
    """Reads the quotes of a session."""

    __slots__ = ("_context", "_known", "_last")

    def __init__(
        self, context: Context, known: dict[str, dict[str, Any]] | None = None, last: dict[str, Tick] | None = None
    ) -> None:
        self._context = context
        self._known = {} if known is None else known
        self._last = {} if last is None else last

    def fork(self, context: Context) -> Self:
        return type(self)(context, {symbol: quote.copy() for symbol, quote in self._known.items()}, self._last.copy())

    def read(
        self, instrument: Instrument, item: Mapping[str, Any], received_us: int, out: Records, *, whole: bool
    ) -> int:
        """Read one quote. Returns 1 where it became a row, 0 where it says nothing new. Raises `BadValueError`.

        `whole`: it has all members; otherwise it is merged with those of the quotes before.
        """
        symbol = instrument.symbol
        known = {} if whole else self._known.get(symbol, {})
        merged = known | {name: item[name] for name in _FIELDS if name in item}
        if "timestamp" not in merged and not any(decimal(merged, name) for name in ("bid", "ask", "last")):
            return 0  # it has never been traded or quoted
        tick = _tick(instrument, merged, received_us)
        if not whole or item.get("is_data_snapshot") is True:
            self._known[symbol] = merged
        last = self._last.get(symbol)
        # The first three members are instrument, time and key, and the key is made of the content.
        if last is not None and last[:3] == tick[:3]:
            return 0
        self._last[symbol] = tick
        out.ticks.append(tick)
        out.items += 1
        return 1


def _tick(instrument: Instrument, quote: Mapping[str, Any], received_us: int) -> Tick:
    bid, bid_size = _side(quote, "bid")
    ask, ask_size = _side(quote, "ask")
    last = decimal(quote, "last")
    last_size, volume = unsigned(quote, "last_size"), unsigned(quote, "volume")
    key = content_key(f"{bid}|{bid_size}|{ask}|{ask_size}|{last}|{last_size}|{volume}")
    return Tick(instrument, moment_us(quote), key, bid, bid_size, ask, ask_size, last, last_size, volume, received_us)


def _side(quote: Mapping[str, Any], name: str) -> tuple[str | None, str | None]:
    price = decimal(quote, name)
    size = unsigned(quote, f"{name}_size")
    if price is None or is_zero(price):
        return None, None
    return price, size
