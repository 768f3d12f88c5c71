"""The doors that the real venue does not have, below `/_sim`: ledger, faults, state, rate, pause, case.

They are outside of all limits and faults, so that a test can always ask what happened.
"""

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from aiohttp import web

from collector.simulator.faults import FaultError
from collector.simulator.fmex import payloads
from collector.simulator.fmex.faults import KINDS
from collector.simulator.fmex.ledger import COLUMNS, Row
from collector.simulator.fmex.topics import LEVELS
from collector.simulator.fmex.venue import FmexVenue


def add_routes(router: web.UrlDispatcher, venue: FmexVenue) -> None:
    """Add the control paths."""
    doors = Control(venue)
    router.add_get("/_sim/ledger", doors.ledger)
    router.add_get("/_sim/expected", doors.expected)
    router.add_get("/_sim/state", doors.state)
    router.add_post("/_sim/rate", doors.rate)
    router.add_post("/_sim/market", doors.market)
    router.add_post("/_sim/case", doors.case)
    router.add_get("/_sim/faults", doors.faults)
    router.add_post("/_sim/faults", doors.ask)
    router.add_delete("/_sim/faults", doors.clear)


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


class Control:
    """The request handlers."""

    def __init__(self, venue: FmexVenue) -> None:
        self._venue = venue

    async def ledger(self, request: web.Request) -> web.Response:
        symbol = request.query.get("symbol")
        if symbol is None:
            return _json({"venue": "fmex", **self._venue.ledger.summary()})
        if symbol not in self._venue.markets:
            return _refused(f"there is no symbol {symbol!r}")
        return _json({"venue": "fmex", "symbol": symbol, "books": books(self._venue, symbol)})

    async def expected(self, request: web.Request) -> web.Response:
        try:
            return _json(expected(self._venue, request.query.get("symbol")))
        except KeyError as error:
            return _refused(f"there is no symbol {error}")

    async def state(self, _request: web.Request) -> web.Response:
        return _json(state(self._venue))

    async def rate(self, request: web.Request) -> web.Response:
        return await self._change(request, self._set_rate)

    async def market(self, request: web.Request) -> web.Response:
        return await self._change(request, self._set_running)

    async def case(self, request: web.Request) -> web.Response:
        return await self._change(request, self._set_case)

    async def faults(self, _request: web.Request) -> web.Response:
        known = {name: {"when": kind.when, "meaning": kind.meaning} for name, kind in KINDS.items()}
        return _json({"armed": self._venue.faults.listing(), "known": known})

    async def ask(self, request: web.Request) -> web.Response:
        try:
            asked = await _body(request)
            name = asked.pop("fault", None)
            if not isinstance(name, str):
                return _refused('say which: {"fault": name}')
            return _json(self._venue.fault(name, **asked))
        except (FaultError, TypeError) as error:
            return _refused(str(error))

    async def clear(self, _request: web.Request) -> web.Response:
        return _json({"cleared": self._venue.faults.clear()})

    async def _change(self, request: web.Request, change: Callable[[Mapping[str, Any]], None]) -> web.Response:
        try:
            change(await _body(request))
        except (FaultError, KeyError, TypeError, ValueError) as error:
            return _refused(f"{type(error).__name__}: {error}")
        return _json(state(self._venue))

    def _set_rate(self, body: Mapping[str, Any]) -> None:
        rate = float(body["rate"])
        if not 0 <= rate < float("inf"):
            raise ValueError("rate must be zero or more events a second")
        self._venue.rate = rate

    def _set_running(self, body: Mapping[str, Any]) -> None:
        if body["running"]:
            self._venue.resume()
        else:
            self._venue.pause()

    def _set_case(self, body: Mapping[str, Any]) -> None:
        if body["case"] not in ("lower", "echo"):
            raise ValueError('case must be "lower" or "echo"')
        self._venue.hub.echo = body["case"] == "echo"


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise FaultError(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise FaultError("the body must be a JSON object")
    return body


def _json(answer: object) -> web.Response:
    return web.Response(body=orjson.dumps(answer), content_type="application/json")


def _refused(why: str) -> web.Response:
    return web.Response(status=400, body=orjson.dumps({"error": why}), content_type="application/json")
