"""Reads the packets that become rows: `prices`, with its four lists, and `specifications`."""

from __future__ import annotations

import json
from typing import Any

from collector.model import Instrument, Records
from collector.venues.kit.ordinals import Ordinals
from collector.venues.kit.values import shorten
from collector.venues.metaapi.account import Account, Quarantine
from collector.venues.metaapi.books import BOOKS_PER_PACKET_MAX, read_book
from collector.venues.metaapi.candles import Bars, read_candle
from collector.venues.metaapi.periods import end_us
from collector.venues.metaapi.symbols import read_spec
from collector.venues.metaapi.ticks import add_tick, quote_row, read_quote, read_tick

# The lists of a packet of prices, each with the stream in which its rows are stored.
LISTS = {"prices": "ticks", "ticks": "ticks", "candles": "candles", "books": "books"}

_item_at = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str).raw_decode


class Prices:
    """Reads the market data of one account, and keeps its open bars and the counts of its equal ticks.

    `series` is the name under which candles are stored; `grace_us` is how long after its end a bar is kept open.
    """

    __slots__ = ("_account", "_quarantine", "_series", "bars", "ordinals")

    def __init__(self, account: Account, quarantine: Quarantine, series: str, grace_us: int) -> None:
        self._account = account
        self._quarantine = quarantine
        self._series = series
        self.bars = Bars(end_us, grace_us)
        self.ordinals: dict[str, Ordinals] = {}

    def fork_into(self, copy: Prices) -> None:
        """Give a copy the same state."""
        copy.bars = self.bars.fork()
        copy.ordinals = {symbol: ordinals.fork() for symbol, ordinals in self.ordinals.items()}

    def restart(self) -> None:
        """Forget open bars and counts: the venue sends its whole state anew, and something may have been missed."""
        self.ordinals.clear()
        self.bars.forget()

    def read(
        self, packet: dict[str, Any], stamp: int, payload: bytes, received_ns: int, out: Records, *, late: bool
    ) -> None:
        """Read a packet of prices. Items of symbols that were not asked for are ignored, and not counted.

        `stamp`: the packet's `sequenceTimestamp`. `late`: it came after packets with higher numbers.
        """
        received_us = received_ns // 1000
        for name, stream in LISTS.items():
            items = packet.get(name)
            if items is None:
                continue
            if type(items) is not list:
                self._quarantine.reject(out, stream, f"{name}: {shorten(items)} is not a list", payload, received_us)
                continue
            for place, item in enumerate(items):
                symbol = item.get("symbol") if type(item) is dict else None
                if type(symbol) is not str:
                    nameless = f"{name}: {shorten(item)} has no symbol"
                    self._quarantine.reject(out, stream, nameless, payload, received_us)
                    continue
                instrument = self._account.instruments.get(symbol)
                if instrument is None:
                    continue
                reason: str | None
                match name:
                    case "prices":
                        reason = self._quote(instrument, item, received_ns, out)
                    case "ticks":
                        reason = self._tick(instrument, item, received_ns, out)
                    case "candles":
                        reason = self._candle(instrument, item, received_ns, out, late=late)
                    case _:
                        seq = stamp * BOOKS_PER_PACKET_MAX + min(place, BOOKS_PER_PACKET_MAX - 1)
                        reason = self._book(instrument, item, seq, received_ns, out)
                if reason is not None:
                    self._quarantine.reject(out, stream, f"{name}: {reason}", payload, received_us)

    def _quote(self, instrument: Instrument, item: dict[str, Any], received_ns: int, out: Records) -> str | None:
        if not self._account.want_quotes:
            return None
        quote = read_quote(item)
        if isinstance(quote, str):
            return quote
        received_us = received_ns // 1000
        out.ticks.append(quote_row(instrument, quote, received_us))
        out.items += 1
        self._account.last_seen_of_kind["quotes"][instrument.symbol] = received_ns
        self._account.follow_clock(item, quote.time_us, received_us, out)
        return None

    def _tick(self, instrument: Instrument, item: dict[str, Any], received_ns: int, out: Records) -> str | None:
        account = self._account
        seen = account.last_seen_of_kind.get("ticks")
        if seen is None:
            return None
        quote = read_tick(item)
        if isinstance(quote, str):
            return quote
        ordinals = self.ordinals.get(instrument.symbol)
        if ordinals is None:
            ordinals = self.ordinals[instrument.symbol] = Ordinals()
        received_us = received_ns // 1000
        deal = add_tick(
            instrument, quote, ordinals, received_us, out, rows=account.want_ticks, trades=account.want_trades
        )
        seen[instrument.symbol] = received_ns
        if deal and account.want_trades:
            account.last_seen_of_kind["trades"][instrument.symbol] = received_ns
        account.follow_clock(item, quote.time_us, received_us, out)
        return None

    def _candle(
        self, instrument: Instrument, item: dict[str, Any], received_ns: int, out: Records, *, late: bool
    ) -> str | None:
        timeframe = item.get("timeframe")
        if type(timeframe) is not str:
            return f"{shorten(item)} has no timeframe"
        seen = self._account.last_seen_of_timeframe.get(timeframe)
        if seen is None:
            return None
        candle = read_candle(instrument, item, self._series, received_ns // 1000)
        if isinstance(candle, str):
            return candle
        self.bars.store(candle, out, late=late)
        seen[instrument.symbol] = received_ns
        return None

    def _book(
        self, instrument: Instrument, item: dict[str, Any], seq: int, received_ns: int, out: Records
    ) -> str | None:
        seen = self._account.last_seen_of_kind.get("marketDepth")
        if seen is None:
            return None
        book = read_book(instrument, item, seq, received_ns // 1000)
        if isinstance(book, str):
            return book
        out.books.append(book)
        out.items += 1
        seen[instrument.symbol] = received_ns
        return None

    def specifications(self, packet: dict[str, Any], payload: bytes, received_ns: int, out: Records) -> None:
        """Store the specifications of the symbols that are recorded, each with its text exactly as it came."""
        items = packet.get("specifications")
        if type(items) is not list or not items:
            return
        texts = _texts(payload.decode())
        for item, text in zip(items, texts, strict=False):
            symbol = item.get("symbol") if type(item) is dict else None
            instrument = self._account.instruments.get(symbol) if type(symbol) is str else None
            if instrument is not None:
                out.instruments.append(read_spec(instrument, item, text, received_ns // 1000))


def _texts(text: str) -> list[str]:
    """Cut the list of specifications into the texts of its items."""
    start = text.find("[", text.find('"specifications":'))
    items: list[str] = []
    position = _skip_whitespace(text, start + 1)
    while position < len(text) and text[position] == "{":
        _, end = _item_at(text, position)
        items.append(text[position:end])
        position = _skip_whitespace(text, end)
        if text[position : position + 1] != ",":
            break
        position = _skip_whitespace(text, position + 1)
    return items


def _skip_whitespace(text: str, position: int) -> int:
    while text[position : position + 1].isspace():
        position += 1
    return position
