"""Reads pages of history. The journal keeps no address, so the channel's name says what an answer holds.

Channels: `history/ticks/SYMBOL`, `history/trades/SYMBOL`, `history/candles/SERIES/GRACE_US/SYMBOL`. The symbol comes
last because it may contain slashes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collector.model import Instrument, Records
from collector.venues.kit.ordinals import Counts, Ordinals
from collector.venues.kit.parser import Reply
from collector.venues.kit.values import shorten
from collector.venues.metaapi.account import Quarantine
from collector.venues.metaapi.candles import read_candle
from collector.venues.metaapi.periods import end_us
from collector.venues.metaapi.ticks import add_tick, read_tick
from collector.venues.metaapi.values import loads

CHANNEL_PREFIX = "history/"
# The `offset` in a call for ticks that begins a new page at a new millisecond.
FIRST_OFFSET = "0"
# The longest grace period, in digits of microseconds, that is read from a channel: 10^15 us are 31 years.
_GRACE_MAX_DIGITS = 15


def ticks_channel(stream: str, symbol: str) -> str:
    """Name the channel of a page of ticks. `stream` is `ticks` or `trades`: which rows are made of them."""
    return f"{CHANNEL_PREFIX}{stream}/{symbol}"


def candles_channel(series: str, grace_us: int, symbol: str) -> str:
    """Name the channel of a page of candles; `grace_us` decides which of them are final."""
    return f"{CHANNEL_PREFIX}candles/{series}/{grace_us}/{symbol}"


class RestReader:
    """Reads the pages of history of one session."""

    __slots__ = ("_ordinals", "_quarantine", "_venue")

    def __init__(self, venue: str, quarantine: Quarantine) -> None:
        self._venue = venue
        self._quarantine = quarantine
        self._ordinals: dict[str, Ordinals] = {}

    def fork_into(self, copy: RestReader) -> None:
        """Give a copy the same state."""
        copy._ordinals = {channel: ordinals.fork() for channel, ordinals in self._ordinals.items()}

    def read(self, reply: Reply, out: Records) -> None:
        """Read one page, and add its rows to `out`."""
        channel, body, received_us = reply.channel, reply.body, reply.received_us
        kind, _, rest = channel.removeprefix(CHANNEL_PREFIX).partition("/")
        if not channel.startswith(CHANNEL_PREFIX) or kind not in ("ticks", "trades", "candles") or not rest:
            self._quarantine.reject(out, None, f"{shorten(channel)} is not a known channel", body, received_us)
            return
        try:
            items = loads(body.decode()) if body.strip() else []
        except (ValueError, RecursionError) as error:
            self._quarantine.reject(out, kind, f"not JSON: {type(error).__name__}", body, received_us)
            return
        if items is None:
            return
        if type(items) is not list:
            self._quarantine.reject(out, kind, f"{shorten(items)} is not a list", body, received_us)
            return
        if kind == "candles":
            series, _, rest = rest.partition("/")
            grace, _, symbol = rest.partition("/")
            grace_us = int(grace) if grace.isascii() and grace.isdigit() and len(grace) <= _GRACE_MAX_DIGITS else 0
            self._candles(Instrument(self._venue, symbol), series, grace_us, items, reply, out)
        else:
            self._ticks(kind, Instrument(self._venue, rest), items, reply, out)

    def _ticks(self, kind: str, instrument: Instrument, items: list[Any], reply: Reply, out: Records) -> None:
        received_us = reply.received_us
        counts = Counts.of_page(reply.params) or self._continued_counts(reply.channel, reply.params)
        for item in items:
            quote = read_tick(item) if type(item) is dict else f"{shorten(item)} is not a tick"
            if isinstance(quote, str):
                self._quarantine.reject(out, kind, quote, reply.body, received_us)
            else:
                add_tick(instrument, quote, counts, received_us, out, rows=kind == "ticks", trades=kind == "trades")

    def _continued_counts(self, channel: str, params: Mapping[str, str]) -> Ordinals:
        """Return the counts of equal ticks for a page that has no notes of its own, as in older journals.

        There the counts go on from page to page, until a call begins again at the first offset.
        """
        ordinals = self._ordinals.get(channel)
        if ordinals is None or params.get("offset", FIRST_OFFSET) == FIRST_OFFSET:
            ordinals = self._ordinals[channel] = Ordinals()
        return ordinals

    def _candles(
        self,
        instrument: Instrument,
        series: str,
        grace_us: int,
        items: list[Any],
        reply: Reply,
        out: Records,
    ) -> None:
        received_us = reply.received_us
        for item in items:
            candle = (
                read_candle(instrument, item, series, received_us)
                if type(item) is dict
                else f"{shorten(item)} is not a candle"
            )
            if isinstance(candle, str):
                self._quarantine.reject(out, "candles", candle, reply.body, received_us)
                continue
            over = end_us(candle.time_us, candle.period) + grace_us <= received_us
            out.candles.append(candle._replace(closed=True) if over else candle)
            out.items += 1
