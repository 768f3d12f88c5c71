"""What a session's parser knows of one account: its symbols, its streams, and where its broker's clock stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collector.model import Gap, Instrument, Rate, Records
from collector.venues.kit.session import reject
from collector.venues.metaapi.values import time_us

OFFSET_NAME = "broker_offset_seconds"


class Quarantine:
    """Counts what was not understood, for one venue."""

    __slots__ = ("venue",)

    def __init__(self, venue: str) -> None:
        self.venue = venue

    def reject(
        self, out: Records, stream: str | None, reason: str, payload: bytes, received_us: int, items: int = 1
    ) -> None:
        reject(self.venue, out, stream, reason, payload, received_us, items)


class Account:
    """One account of a session."""

    __slots__ = (
        "_last_broker",
        "_last_time",
        "candles_seen",
        "instruments",
        "name",
        "offset_ms",
        "seen",
        "streams",
        "venue",
        "want_quotes",
        "want_ticks",
        "want_trades",
    )

    def __init__(self, venue: str, described: Mapping[str, Any], last_seen: dict[str, dict[str, int]]) -> None:
        self.venue = venue
        self.name: str = described["name"]
        prefix: str = described["prefix"]
        self.instruments = {symbol: Instrument(venue, prefix + symbol) for symbol in described["symbols"]}
        self.streams: tuple[str, ...] = tuple(described["streams"])
        kinds = described["kinds"]
        self.want_quotes = "quotes" in kinds and "ticks" in self.streams
        self.want_ticks = "ticks" in kinds and described["tick_rows"]
        self.want_trades = "trades" in self.streams
        self.offset_ms: int | None = None
        self._last_time = self._last_broker = ""
        self.seen = {
            kind: last_seen.setdefault(f"{self.name}/{kind}", {}) for kind in (*kinds, *["trades"] * self.want_trades)
        }
        self.candles_seen = {
            kind.removeprefix("candles/"): symbols for kind, symbols in self.seen.items() if kind.startswith("candles/")
        }

    def follow_clock(self, item: Mapping[str, Any], at_us: int, received_us: int, out: Records) -> None:
        """Keep the difference between the broker's clock and UTC, whenever it is a new one."""
        time, broker = item["time"], item.get("brokerTime")
        if type(broker) is not str:
            return
        # The same hour on both clocks and the same minutes and seconds behind it: nothing can have changed.
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
        seconds, rest = divmod(abs(offset_ms), 1000)
        value = f"{'-' if offset_ms < 0 else ''}{seconds}{f'.{rest:03d}' if rest else ''}"
        out.rates.append(Rate(self.venue, at_us, f"{OFFSET_NAME}:{self.name}", value, received_us))
        out.items += 1

    def missed(
        self,
        out: Records,
        from_us: int,
        to_us: int | None,
        cause: str,
        reason: str,
        numbers: tuple[int | None, int | None] = (None, None),
    ) -> None:
        """Record that nothing is known of any of the account's streams for a time."""
        for instrument in self.instruments.values():
            for stream in self.streams:
                out.gaps.append(Gap(instrument, stream, from_us, to_us, *numbers, cause, reason))

    def missed_one(
        self, out: Records, instrument: Instrument, stream: str, from_us: int, cause: str, reason: str
    ) -> None:
        """Record that one stream is not complete from now on."""
        out.gaps.append(Gap(instrument, stream, from_us, None, None, None, cause, reason))

    def copy_into(self, copy: Account) -> None:
        """Give another one the same state."""
        copy.offset_ms = self.offset_ms
        copy._last_time, copy._last_broker = self._last_time, self._last_broker
