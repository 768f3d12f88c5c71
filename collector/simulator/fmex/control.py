"""The doors of this venue; see `collector.simulator.kit.control`."""

from collections.abc import Mapping
from typing import Any

from collector.simulator.fmex import payloads
from collector.simulator.fmex.ledger import Row
from collector.simulator.fmex.topics import LEVELS
from collector.simulator.fmex.venue import FmexVenue
from collector.simulator.kit.columns import COLUMNS
from collector.simulator.kit.control import Control


def expected(venue: FmexVenue, symbol: str | None) -> dict[str, Any]:
    """List the symbols; with one, give its rows by table, and the venue's own for the empty one.

    KeyError where there is no such symbol. The rows are those of a recorder of everything that was sent: times are
    microseconds, numbers the very digits without exponent; a book's checksum is the CRC-32 of the compact JSON of its
    asks, as pairs of price and size, followed by that of its bids.
    """
    ledger = venue.ledger
    if symbol is None:
        return {"venue": "fmex", "columns": COLUMNS, "symbols": ["", *venue.markets]}
    if not symbol:
        return {"rates": list(ledger.rates.values())}
    rows: dict[str, list[Row]] = {"trades": _trades(venue, symbol)}
    for table in ("ticks", "books", "candles", "derivatives"):
        rows[table] = list(getattr(ledger, table).get(symbol, {}).values())
    return {table: found for table, found in rows.items() if found}


def _trades(venue: FmexVenue, symbol: str) -> list[Row]:
    market = venue.markets[symbol]
    rows: list[Row] = []
    for index in venue.ledger.trades.get(symbol, ()):
        if index >= market.dropped:
            one = market.trade(index)
            price, size = payloads.price(one.price).plain, payloads.amount(one.size).plain
            rows.append([one.time_ms * 1000, price, size, 1 if one.buy else -1])
    return rows


def state(venue: FmexVenue) -> dict[str, Any]:
    """Tell who is connected and what the venue is doing."""
    return {
        "running": venue.running,
        "rate": venue.rate,
        "case": "echo" if venue.hub.echo else "lower",
        "events": venue.events,
        "trades": sum(market.end for market in venue.markets.values()),
        "opened": venue.opened,
        "closed": venue.closed,
        "refused": venue.window.refused,
        "connections": [
            {"address": one.address, "frozen": one.frozen, "topics": list(one.topics)} for one in venue.connections
        ],
    }


def books(venue: FmexVenue, symbol: str) -> dict[str, Any]:
    """Give the last look at a book by level: its sequence number and its levels."""
    return {
        level: {
            "seq": venue.depth.views[level, symbol].seq,
            "bids": _levels(venue.depth.views[level, symbol].bids),
            "asks": _levels(venue.depth.views[level, symbol].asks),
        }
        for level in LEVELS
    }


def _levels(side: list[tuple[int, int]]) -> list[list[str]]:
    return [[payloads.price(price).plain, payloads.amount(size).plain] for price, size in side]


class FmexControl(Control):
    """Ledger, faults, state, rate, pause, and the case of topics."""

    def __init__(self, venue: FmexVenue) -> None:
        super().__init__(venue)
        self._venue = venue
        self.switches["case"] = self._set_case

    def ledger(self, query: Mapping[str, str]) -> dict[str, Any]:
        symbol = query.get("symbol")
        if symbol is None:
            return {"venue": "fmex", **self._venue.ledger.summary()}
        if symbol not in self._venue.markets:
            raise ValueError(f"there is no symbol {symbol!r}")
        return {"venue": "fmex", "symbol": symbol, "books": books(self._venue, symbol)}

    def expected(self, symbol: str | None) -> dict[str, Any]:
        return expected(self._venue, symbol)

    def state(self) -> dict[str, Any]:
        return state(self._venue)

    def known_faults(self) -> dict[str, Any]:
        return self._venue.faults.listed()

    def _set_case(self, body: Mapping[str, Any]) -> None:
        if body["case"] not in ("lower", "echo"):
            raise ValueError('case must be "lower" or "echo"')
        self._venue.hub.echo = body["case"] == "echo"
