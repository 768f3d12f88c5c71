"""The doors that the real venue does not have, below `/_sim`: what was answered, faults, state, rate, pause.

They are outside of all quotas and faults, so that a test can always ask what happened.
"""

from typing import Any

import orjson
from aiohttp import web

from collector.simulator.finam.faults import KINDS, FaultError
from collector.simulator.finam.ledger import COLUMNS
from collector.simulator.finam.venue import FinamVenue


def add_routes(router: web.UrlDispatcher, venue: FinamVenue) -> None:
    """Add the control paths."""
    doors = Control(venue)
    router.add_get("/_sim/expected", doors.expected)
    router.add_get("/_sim/state", doors.state)
    router.add_post("/_sim/market", doors.market)
    router.add_post("/_sim/rate", doors.rate)
    router.add_get("/_sim/faults", doors.faults)
    router.add_post("/_sim/faults", doors.ask)
    router.add_delete("/_sim/faults", doors.clear)


class Control:
    """The request handlers."""

    def __init__(self, venue: FinamVenue) -> None:
        self._venue = venue

    async def expected(self, request: web.Request) -> web.Response:
        """Give the rows of one symbol, or which symbols and columns there are."""
        symbol = request.query.get("symbol")
        markets = self._venue.exchange.markets
        if symbol is None:
            own = [""] if self._venue.settings.news else []
            return _json({"venue": "finam", "columns": COLUMNS, "symbols": [*markets, *own]})
        if symbol and symbol not in markets:
            return _refused(f"there is no symbol {symbol!r}")
        return _json(self._venue.ledger.rows(symbol))

    async def state(self, _request: web.Request) -> web.Response:
        return _json(self._venue.state())

    async def market(self, request: web.Request) -> web.Response:
        """Let the market run or stop; a stopped one is over for the day, so that no answer follows what was asked."""
        body = await _body(request)
        if not isinstance(body.get("running"), bool):
            return _refused('say {"running": true} or {"running": false}')
        if body["running"]:
            self._venue.resume()
        else:
            self._venue.pause(hold=body.get("hold", True) is True)
        return _json(self._venue.state())

    async def rate(self, request: web.Request) -> web.Response:
        rate = (await _body(request)).get("rate")
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < float("inf"):
            return _refused("rate must be zero or more events a second")
        self._venue.rate = float(rate)
        return _json(self._venue.state())

    async def faults(self, _request: web.Request) -> web.Response:
        known = {name: {"when": kind.when, "meaning": kind.meaning} for name, kind in KINDS.items()}
        return _json({"armed": [fault.as_json() for fault in self._venue.faults.armed], "known": known})

    async def ask(self, request: web.Request) -> web.Response:
        body = await _body(request)
        name = body.pop("fault", None)
        if not isinstance(name, str):
            return _refused('say which: {"fault": name}')
        try:
            return _json(self._venue.fault(name, **body))
        except (FaultError, TypeError) as error:
            return _refused(str(error))

    async def clear(self, _request: web.Request) -> web.Response:
        return _json({"cleared": self._venue.faults.clear()})


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _json(answer: object) -> web.Response:
    return web.Response(body=orjson.dumps(answer), content_type="application/json")


def _refused(why: str) -> web.Response:
    return web.Response(status=400, body=orjson.dumps({"error": why}), content_type="application/json")
