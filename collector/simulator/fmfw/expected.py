"""What a recorder of all that was sent, or given by the history, holds, in words that all simulated venues share.

`GET /_sim/expected` lists the symbols; with `symbol=X` it gives that symbol's rows by table, with `symbol=` (empty) the
rows that belong to the venue itself. Times are microseconds, numbers the very texts that were sent. A book's checksum
is the CRC-32 of the compact JSON of its asks, as pairs of price and size, followed by that of its bids.

Every simulated venue answers this path, so that one comparison serves them all.
"""

from collections.abc import Iterator
from typing import Any, Final

import orjson

from collector.simulator.fmfw.ledger import Ranges
from collector.simulator.fmfw.trading.exchange import Exchange
from collector.simulator.fmfw.venue import FmfwVenue
from collector.simulator.kit.columns import COLUMNS
from collector.simulator.kit.periods import SHORT_PERIODS_SECONDS

_SECONDS: Final = SHORT_PERIODS_SECONDS | {"D1": 86400, "D7": 604800, "1M": 2_592_000}


Rows = list[list[Any]]


def expected(venue: FmfwVenue, symbol: str | None) -> dict[str, Any]:
    """Answer the request; KeyError where there is no such symbol."""
    if symbol is None:
        return {"venue": "fmfw", "columns": COLUMNS, "symbols": ["", *venue.exchange.markets]}
    if not symbol:
        return {"rates": list(_rates(venue))}
    if symbol not in venue.exchange.markets:
        raise KeyError(symbol)
    rows: dict[str, Rows] = {
        "trades": list(_trades(venue.exchange, venue, symbol)),
        "ticks": _payload_rows(venue, symbol, ("ticker/", "orderbook/top/"), _tick),
        "books": list(_books(venue, symbol)),
        "candles": list(_candles(venue, symbol)),
        "derivatives": _payload_rows(venue, symbol, ("futures/info",), _derivative),
    }
    return {table: found for table, found in rows.items() if found}


def _trades(exchange: Exchange, venue: FmfwVenue, symbol: str) -> Iterator[list[Any]]:
    market, ranges = exchange.markets[symbol], Ranges()
    for known in (venue.ledger.trades, venue.ledger.given_trades):
        for low, high in known.get(symbol, Ranges()).spans:
            ranges.add(low, high)
    price, size = market.instrument.price_text, market.instrument.size_text
    for low, high in ranges.spans:
        for index in range(max(low, market.trades.dropped), high):
            trade = market.trades[index]
            yield [trade.time_ms * 1000, price(trade.price), size(trade.size), 1 if trade.buy else -1]


def _books(venue: FmfwVenue, symbol: str) -> Iterator[list[Any]]:
    for (_, of), log in venue.ledger.books.items():
        if of == symbol:
            for seq, time_ms, kind, checksum in log.rows(log.dropped, len(log)):
                yield [time_ms * 1000, seq, bool(kind), checksum]


def _candles(venue: FmfwVenue, symbol: str) -> Iterator[list[Any]]:
    sent, given = venue.ledger.bars, venue.ledger.given_bars
    for channel, of in dict.fromkeys([*sent, *given]):
        if of != symbol:
            continue
        bars = {**sent.get((channel, of), {}), **given.get((channel, of), {})}
        name, _, target = channel.partition("@")
        period = _SECONDS[name.rpartition("/")[2]]
        series = f"converted:{target}" if target else "trade"
        for start_ms, payload in bars.items():
            bar = orjson.loads(payload)
            yield [start_ms * 1000, period, series, *(bar[key] for key in "ohlcvq")]


def _payload_rows(venue: FmfwVenue, symbol: str, channels: tuple[str, ...], row: Any) -> Rows:
    found: dict[str, list[Any]] = {}
    for (channel, of), log in venue.ledger.payloads.items():
        if of == symbol and channel.startswith(channels):
            for payload in log.payloads:
                one = row(orjson.loads(payload))
                found[repr(one)] = one
    return list(found.values())


def _tick(payload: dict[str, Any]) -> list[Any]:
    return [payload["t"] * 1000, *(payload.get(key) for key in "bBaAcv")]


def _derivative(payload: dict[str, Any]) -> list[Any]:
    return [payload["t"] * 1000, *(payload.get(key) for key in "miro")]


def _rates(venue: FmfwVenue) -> Iterator[list[Any]]:
    for (channel, currency), log in venue.ledger.payloads.items():
        if channel.startswith("price/rate/"):
            target = channel.partition("@")[2]
            for payload in dict.fromkeys(log.payloads):
                one = orjson.loads(payload)
                yield [one["t"] * 1000, f"{currency}/{target}", one["r"]]
