"""What a session's parser knows of one account: its symbols, its streams, and its broker's offset from UTC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collector.model import Gap, Instrument, Rate, Records
from collector.venues.kit.session import reject
from collector.venues.metaapi.values import time_us

# The name in the table `rates`, before `:ACCOUNT`, under which a broker's offset from UTC is stored.
OFFSET_NAME = "broker_offset_seconds"


class Quarantine:
    """Puts what was not understood into quarantine, under one venue's name."""

    __slots__ = ("venue",)

    def __init__(self, venue: str) -> None:
        self.venue = venue

    def reject(
        self, out: Records, stream: str | None, reason: str, payload: bytes, received_us: int, items: int = 1
    ) -> None:
        """Count `items` that were not understood, and quarantine their frame with the reason."""
        reject(self.venue, out, stream, reason, payload, received_us, items)


class Account:
    """One account of a session.

    `description` is the account's part of the session's header, as `discovery.describe` makes it. `last_seen` is the
    parser's: each kind of data (`quotes`, `ticks`, `candles/1m`, `marketDepth`, `trades`) gets a channel in it.
    """

    __slots__ = (
        "_last_broker",
        "_last_time",
        "instruments",
        "last_seen_of_kind",
        "last_seen_of_timeframe",
        "name",
        "offset_ms",
        "streams",
        "venue",
        "want_quotes",
        "want_ticks",
        "want_trades",
    )

    def __init__(self, venue: str, description: Mapping[str, Any], last_seen: dict[str, dict[str, int]]) -> None:
        self.venue = venue
        self.name: str = description["name"]
        prefix: str = description["prefix"]
        self.instruments = {symbol: Instrument(venue, prefix + symbol) for symbol in description["symbols"]}
        self.streams: tuple[str, ...] = tuple(description["streams"])
        kinds = description["kinds"]
        self.want_quotes = "quotes" in kinds and "ticks" in self.streams
        self.want_ticks = "ticks" in kinds and description["tick_rows"]
        self.want_trades = "trades" in self.streams
        self.offset_ms: int | None = None
        self._last_time = self._last_broker = ""
        self.last_seen_of_kind = {
            kind: last_seen.setdefault(f"{self.name}/{kind}", {}) for kind in (*kinds, *["trades"] * self.want_trades)
        }
        self.last_seen_of_timeframe = {
            kind.removeprefix("candles/"): symbols
            for kind, symbols in self.last_seen_of_kind.items()
            if kind.startswith("candles/")
        }

    def follow_clock(self, item: Mapping[str, Any], at_us: int, received_us: int, out: Records) -> None:
        """Store how far the broker's clock is ahead of UTC as a rate, whenever that has changed."""
        time, broker = item["time"], item.get("brokerTime")
        if type(broker) is not str:
            return
        # Every quote and tick comes through here, so the usual case only compares texts: where both clocks show the
        # same hours as last time, and equal minutes and seconds, the offset is the same.
        if time[:13] == self._last_time and broker[:13] == self._last_broker and time[13:-1] == broker[13:]:
            return
        broker_us = time_us(broker)
        if broker_us is None:
            return
        if time[13:-1] == broker[13:]:
            self._last_time, self._last_broker = time[:13], broker[:13]
        offset_ms = (broker_us - at_us) // 1000
        if offset_ms == self.offset_ms:
            return
        self.offset_ms = offset_ms
        seconds, millis = divmod(abs(offset_ms), 1000)
        value = f"{'-' if offset_ms < 0 else ''}{seconds}{f'.{millis:03d}' if millis else ''}"
        out.rates.append(Rate(self.venue, at_us, f"{OFFSET_NAME}:{self.name}", value, received_us))
        out.items += 1

    def add_gaps(
        self,
        out: Records,
        from_us: int,
        to_us: int | None,
        cause: str,
        reason: str,
        numbers: tuple[int | None, int | None] = (None, None),
    ) -> None:
        """Record a gap in every stream of every instrument of the account.

        `to_us` is None while the gap is open. `numbers` are the sequence numbers before and after it, where known.
        """
        for instrument in self.instruments.values():
            for stream in self.streams:
                out.gaps.append(Gap(instrument, stream, from_us, to_us, *numbers, cause, reason))

    def add_gap(self, out: Records, instrument: Instrument, stream: str, from_us: int, cause: str, reason: str) -> None:
        """Record that one stream of one instrument is incomplete from `from_us` on, with no end yet."""
        out.gaps.append(Gap(instrument, stream, from_us, None, None, None, cause, reason))

    def copy_into(self, copy: Account) -> None:
        """Give a copy of the account the same state."""
        copy.offset_ms = self.offset_ms
        copy._last_time, copy._last_broker = self._last_time, self._last_broker
