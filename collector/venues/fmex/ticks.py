"""Ticks from the ticker, eleven numbers in a row.

Places 0 to 5 are the last price and its amount, the best bid and its, the best ask and its; 9 is the volume of 24 hours
in contracts, which is what `ticks.volume` holds. The places 6 to 8 (price of a day ago, high, low) and 10 (volume in
BTC) can be had from the bars and are not stored.

The documentation shows no time in a ticker, though clients have read a `ts` from it. Where there is none the tick
gets the venue's time as far as the session knows it: our receipt, corrected by the difference of the two clocks that
the venue's greeting and its answers to pings tell. Nothing else tells when a ticker was true.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from collector.model import Instrument, Records, Tick, content_key, plain
from collector.venues.events import Event
from collector.venues.fmex.context import Context
from collector.venues.fmex.numbers import unsigned, whole
from collector.venues.fmex.topics import TICKER
from collector.venues.fmex.values import millis_us
from collector.venues.kit.values import shorten

STREAM = "ticks"
PLACES = 11

_LAST, _LAST_SIZE, _BID, _BID_SIZE, _ASK, _ASK_SIZE = range(6)
_VOLUME = 9
_KEPT = (_BID, _BID_SIZE, _ASK, _ASK_SIZE, _LAST, _LAST_SIZE, _VOLUME)


class TickReader:
    """The topics `ticker.*`."""

    __slots__ = ("_context", "_seen")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._seen = context.seen(TICKER)

    def fork(self, context: Context) -> TickReader:
        return TickReader(context)

    def read(
        self, instrument: Instrument, message: dict[str, Any], payload: bytes, received_ns: int, out: Records
    ) -> Sequence[Event]:
        received_us = received_ns // 1000
        tick = read_tick(instrument, message, message.get("ts"), self._context, received_us)
        if isinstance(tick, str):
            self._context.reject(out, STREAM, tick, payload, received_us)
            return ()
        out.ticks.append(tick)
        out.items += 1
        self._seen[instrument.symbol] = received_ns
        return ()


def read_tick(instrument: Instrument, item: Any, ts: Any, context: Context, received_us: int) -> Tick | str:
    """Make a tick of a ticker, or say what is wrong with it. A place may be null where there is nothing to tell."""
    numbers = item.get("ticker") if type(item) is dict else None
    if type(numbers) is not list or len(numbers) < PLACES:
        return f"ticker: {shorten(numbers)} is not a list of {PLACES} numbers"
    time_us = context.venue_us(received_us) if ts is None else millis_us(ts)
    if time_us is None:
        return f"ts: {shorten(ts)} is not a time in milliseconds between the years 2000 and 2100"
    values: list[str | None] = []
    for place in _KEPT:
        value = None if numbers[place] is None else unsigned(numbers[place])
        if value is None and numbers[place] is not None:
            return f"ticker: {shorten(numbers[place])} at place {place} is not a number, zero or more"
        values.append(value)
    # The sequence number tells two equal states apart, so that each is a row; the digits may differ between sources.
    said = "|".join("" if value is None else plain(value) for value in values)
    key = content_key(f"{whole(item.get('seq'))}|{said}")
    bid, bid_size, ask, ask_size, last, last_size, volume = values
    return Tick(instrument, time_us, key, bid, bid_size, ask, ask_size, last, last_size, volume, received_us)
