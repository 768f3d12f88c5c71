"""The REST services, all at one address: provisioning, the client service's few reads, and history."""

from collections.abc import Awaitable, Callable
from typing import Final

import orjson
from aiohttp import web

from collector.simulator.metaapi.accounts import Account
from collector.simulator.metaapi.bars import MT4, MT5
from collector.simulator.metaapi.ledger import Moments
from collector.simulator.metaapi.market import Quoted
from collector.simulator.metaapi.text import read_time, utc
from collector.simulator.metaapi.venue import MetaapiVenue

# What the venue gives in one answer.
_ROWS_MAX: Final = 1000
_ACCOUNTS: Final = "/users/current/accounts"
_HISTORY: Final = _ACCOUNTS + "/{account}/historical-market-data/symbols/{symbol:.+}"
_IGNORED: Final[dict[str, list[str]]] = {"specification": [], "position": [], "order": []}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def add_routes(router: web.UrlDispatcher, venue: MetaapiVenue) -> None:
    """Add the services' paths."""
    doors = Rest(venue)
    for path, handler in {
        f"{_ACCOUNTS}": doors.accounts,
        f"{_ACCOUNTS}/{{account}}": doors.account,
        f"{_ACCOUNTS}/{{account}}/replicas": doors.replicas,
        f"{_ACCOUNTS}/{{account}}/symbols": doors.symbols,
        f"{_ACCOUNTS}/{{account}}/symbols/{{symbol}}/specification": doors.specification,
        f"{_ACCOUNTS}/{{account}}/symbols/{{symbol}}/current-price": doors.price,
        f"{_HISTORY}/timeframes/{{timeframe}}/candles": doors.candles,
        f"{_HISTORY}/ticks": doors.ticks,
        "/users/current/servers/mt-client-api": doors.servers,
        "/users/current/regions": doors.regions,
        "/hashing-ignored-field-lists": doors.ignored,
    }.items():
        router.add_get(path, doors.guarded(handler))
    for action, state in (("deploy", "DEPLOYED"), ("undeploy", "UNDEPLOYED"), ("redeploy", "DEPLOYED")):
        router.add_post(f"{_ACCOUNTS}/{{account}}/{action}", doors.guarded(doors.changing(state)))


class Rest:
    """The request handlers."""

    def __init__(self, venue: MetaapiVenue) -> None:
        self._venue = venue

    def guarded(self, handler: Handler) -> Handler:
        """Ask for the token, and let the faults of all calls strike, before a handler is asked."""
        venue = self._venue

        async def guard(request: web.Request) -> web.StreamResponse:
            given = request.headers.get("auth-token")
            if given != venue.settings.token or venue.faults.take("401") is not None:
                return error(401, "UnauthorizedError", "Authorization token invalid")
            if (limit := venue.faults.take("rest_429")) is not None:
                again = utc(venue.now_ms() + int(limit.number("seconds", 1) * 1000))
                return error(
                    429,
                    "TooManyRequestsError",
                    "Too many requests",
                    metadata={"type": "LIMIT_REQUEST_RATE_PER_USER", "recommendedRetryTime": again},
                )
            if venue.faults.take("5xx") is not None:
                return error(503, "InternalError", "Unexpected error. Please try again later.")
            return await handler(request)

        return guard

    def _account(self, request: web.Request) -> Account:
        found = self._venue.account_by_id(request.match_info["account"])
        if found is None:
            raise _missing(f"Account {request.match_info['account']} not found")
        return found

    def _quoted(self, request: web.Request) -> Quoted:
        found = self._account(request).broker.quoted.get(request.match_info["symbol"])
        if found is None:
            raise _missing("Symbol not found")
        return found

    async def accounts(self, request: web.Request) -> web.Response:
        found = [one.described() for one in self._venue.accounts.values()]
        if request.headers.get("api-version") == "2":
            return answer(orjson.dumps({"count": len(found), "items": found}))
        return answer(orjson.dumps(found))

    async def account(self, request: web.Request) -> web.Response:
        return answer(orjson.dumps(self._account(request).described()))

    async def replicas(self, request: web.Request) -> web.Response:
        self._account(request)
        return answer(b"[]")

    def changing(self, state: str) -> Handler:
        async def change(request: web.Request) -> web.Response:
            self._account(request).state = state
            return web.Response(status=204)

        return change

    async def symbols(self, request: web.Request) -> web.Response:
        return answer(orjson.dumps(list(self._account(request).broker.quoted)))

    async def specification(self, request: web.Request) -> web.Response:
        return answer(self._quoted(request).symbol.specification().encode())

    async def price(self, request: web.Request) -> web.Response:
        quoted = self._quoted(request)
        return answer(quoted.price_json(quoted.ticks[-1]).encode())

    async def servers(self, request: web.Request) -> web.Response:
        # Who came by a name is told names of the same domain; who came by an address will use that.
        _, dot, domain = request.host.partition(".")
        named = dot and not request.host[0].isdigit()
        hosts = {"hostname": "mt-client-api-v1", "domain": domain if named else "agiliumtrade.ai"}
        return answer(orjson.dumps(hosts))

    async def regions(self, _request: web.Request) -> web.Response:
        return answer(orjson.dumps(sorted({one.region for one in self._venue.accounts.values()})))

    async def ignored(self, _request: web.Request) -> web.Response:
        return answer(orjson.dumps({"g1": _IGNORED, "g2": _IGNORED}))

    async def candles(self, request: web.Request) -> web.Response:
        quoted, timeframe = self._quoted(request), request.match_info["timeframe"]
        if timeframe not in (MT5 if self._account(request).version == 5 else MT4):
            return error(400, "ValidationError", f"{timeframe} is not a timeframe")
        if (late := self._late()) is not None:
            return late
        start_ms, limit = self._start(request), self._limit(request)
        bars = quoted.series.until(timeframe, self._venue.now_ms() if start_ms is None else start_ms, limit)
        texts = [bar.json(quoted.symbol, timeframe, quoted.offset_ms) for bar in bars]
        for bar in bars:
            self._venue.ledger.candle(self._name(request), quoted, timeframe, bar)
        return answer(f"[{','.join(texts)}]".encode())

    async def ticks(self, request: web.Request) -> web.Response:
        quoted = self._quoted(request)
        if self._account(request).version == 4:
            return error(400, "ValidationError", "Historical ticks are not available for MetaTrader 4")
        if (late := self._late()) is not None:
            return late
        start_ms, limit = self._start(request), self._limit(request)
        offset = int(request.query.get("offset", "0"))
        found = quoted.ticks[-limit:] if start_ms is None else quoted.since(start_ms, offset, limit)
        moments, name = Moments(), self._name(request)
        if offset and found:
            for before in quoted.since(start_ms or 0, 0, offset):
                moments.note(name, quoted, before)
        for tick in found:
            self._venue.ledger.gave_tick(name, quoted, tick, moments)
        return answer(f"[{','.join([quoted.tick_json(tick) for tick in found])}]".encode())

    def _name(self, request: web.Request) -> str:
        return self._venue.name_of(self._account(request), request.match_info["symbol"])

    def _late(self) -> web.Response | None:
        fault = self._venue.faults.take("history_202")
        if fault is None:
            return None
        return web.Response(status=202, headers={"Retry-After": str(int(fault.number("seconds", 1)))})

    @staticmethod
    def _start(request: web.Request) -> int | None:
        text = request.query.get("startTime")
        return None if text is None else read_time(text)

    @staticmethod
    def _limit(request: web.Request) -> int:
        return max(1, min(_ROWS_MAX, int(request.query.get("limit", str(_ROWS_MAX)))))


def answer(body: bytes) -> web.Response:
    """Answer with JSON."""
    return web.Response(body=body, content_type="application/json")


def error(status: int, name: str, message: str, **more: object) -> web.Response:
    """Answer as the venue does when it refuses."""
    body = {"id": 7, "error": name, "message": message, **more}
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")


def _missing(message: str) -> web.HTTPNotFound:
    text = orjson.dumps({"id": 3, "error": "NotFoundError", "message": message}).decode()
    return web.HTTPNotFound(text=text, content_type="application/json")
