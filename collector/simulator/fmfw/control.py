"""The doors that the real venue does not have, below `/_sim`: ledger, faults, state, rate, pause.

They are outside of all limits and faults, so that a test can always ask what happened.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from collector.simulator.faults import FaultError
from collector.simulator.fmfw import extracts
from collector.simulator.fmfw.expected import expected
from collector.simulator.fmfw.faults import KINDS
from collector.simulator.fmfw.venue import FmfwVenue

_NULLED: Final = ("ask", "bid", "last", "open")


def add_routes(router: web.UrlDispatcher, venue: FmfwVenue) -> None:
    """Add the control paths."""
    doors = Control(venue)
    router.add_get("/_sim/ledger", doors.ledger)
    router.add_get("/_sim/expected", doors.expected)
    router.add_get("/_sim/state", doors.state)
    router.add_post("/_sim/rate", doors.rate)
    router.add_post("/_sim/market", doors.market)
    router.add_post("/_sim/ids", doors.ids)
    router.add_get("/_sim/faults", doors.faults)
    router.add_post("/_sim/faults", doors.ask)
    router.add_delete("/_sim/faults", doors.clear)


def with_nulls(answer: Any, path: str, venue: FmfwVenue) -> Any:
    """Take the prices out of the REST tickers that a `null_fields` fault of channel "rest" is for."""
    _, _, symbol = path.partition("/")
    if symbol:
        return answer | dict.fromkeys(_NULLED) if venue.faults.take("null_fields", symbol, "rest") else answer
    return {
        one: ticker | dict.fromkeys(_NULLED) if venue.faults.take("null_fields", one, "rest") else ticker
        for one, ticker in answer.items()
    }


class Control:
    """The request handlers."""

    def __init__(self, venue: FmfwVenue) -> None:
        self._venue = venue

    async def ledger(self, request: web.Request) -> web.Response:
        try:
            return _json(extracts.extract(self._venue, request.query))
        except extracts.ExtractError as error:
            return _refused(str(error))

    async def expected(self, request: web.Request) -> web.Response:
        try:
            return _json(expected(self._venue, request.query.get("symbol")))
        except KeyError as error:
            return _refused(f"there is no symbol {error}")

    async def state(self, _request: web.Request) -> web.Response:
        return _json(extracts.state(self._venue))

    async def rate(self, request: web.Request) -> web.Response:
        return await self._change(request, self._set_rate)

    async def market(self, request: web.Request) -> web.Response:
        return await self._change(request, self._set_running)

    async def ids(self, request: web.Request) -> web.Response:
        return await self._change(request, self._set_ids)

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
        return _json(extracts.state(self._venue))

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

    def _set_ids(self, body: Mapping[str, Any]) -> None:
        if body["ids"] not in ("real", "time"):
            raise ValueError('ids must be "real" or "time"')
        self._venue.hub.time_ids = body["ids"] == "time"


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
