"""The doors that the real venue does not have, below `/_sim`: what was sent, faults, state, rate, pause."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from collector.simulator.metaapi.faults import KINDS, FaultError
from collector.simulator.metaapi.venue import MetaapiVenue

COLUMNS: Final = {
    "trades": ["time_us", "price", "size", "side"],
    "ticks": ["time_us", "bid", "bid_size", "ask", "ask_size", "last", "volume"],
    "books": ["time_us", "seq", "snapshot", "checksum"],
    "candles": ["time_us", "period", "series", "open", "high", "low", "close", "volume", "quote_volume"],
    "rates": ["time_us", "name", "value"],
}


def add_routes(router: web.UrlDispatcher, venue: MetaapiVenue) -> None:
    """Add the control paths."""
    doors = Control(venue)
    router.add_get("/_sim/expected", doors.expected)
    router.add_get("/_sim/state", doors.state)
    router.add_post("/_sim/rate", doors.rate)
    router.add_post("/_sim/market", doors.market)
    router.add_get("/_sim/faults", doors.faults)
    router.add_post("/_sim/faults", doors.ask)
    router.add_delete("/_sim/faults", doors.clear)


def expected(venue: MetaapiVenue, symbol: str | None) -> dict[str, Any]:
    """Tell what a recorder of everything that was sent holds; KeyError where there is no such instrument.

    The words are the same for every simulated venue: see the path `/_sim/expected` of any of them.
    """
    names = [
        venue.name_of(venue.accounts[name], one)
        for name in venue.settings.accounts
        for one in venue.accounts[name].broker.quoted
    ]
    if symbol is None:
        return {"venue": "metaapi", "columns": COLUMNS, "symbols": ["", *names]}
    if not symbol:
        return {"rates": list(venue.ledger.rates.values())}
    if symbol not in names:
        raise KeyError(symbol)
    ledger = venue.ledger
    sent = {table: list(rows.values()) for table, rows in ledger.tables.get(symbol, {}).items()}
    return {**sent, "given": {table: list(rows.values()) for table, rows in ledger.given.get(symbol, {}).items()}}


class Control:
    """The request handlers."""

    def __init__(self, venue: MetaapiVenue) -> None:
        self._venue = venue

    async def expected(self, request: web.Request) -> web.Response:
        try:
            return _json(expected(self._venue, request.query.get("symbol")))
        except KeyError as error:
            return _refused(f"there is no symbol {error}")

    async def state(self, _request: web.Request) -> web.Response:
        venue = self._venue
        return _json(
            {
                "running": venue.running,
                "rate": venue.rate,
                "events": venue.events,
                "stalled_events": venue.stalled_events,
                "sessions": len(venue.sessions),
                "opened": venue.opened,
                "streams": [repr(stream) for stream in venue.streams.values()],
                "requests": venue.requested,
                "items": dict(venue.ledger.items),
                "struck": venue.faults.struck,
            }
        )

    async def rate(self, request: web.Request) -> web.Response:
        return await self._change(request, self._set_rate)

    async def market(self, request: web.Request) -> web.Response:
        return await self._change(request, self._set_running)

    async def faults(self, _request: web.Request) -> web.Response:
        armed = [fault.name for faults in self._venue.faults.armed.values() for fault in faults]
        return _json({"armed": armed, "known": KINDS})

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
        return await self.state(request)

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
