"""The client's requests on the socket and their answers; every request is answered."""

from collections.abc import Mapping
from typing import Any, Final, Protocol

import orjson

from collector.simulator.metaapi.accounts import INFORMATION, ORDER, POSITION, Account
from collector.simulator.metaapi.bars import MT4, MT5
from collector.simulator.metaapi.engine import Session
from collector.simulator.metaapi.faults import Faults
from collector.simulator.metaapi.terminal import Stream, event
from collector.simulator.metaapi.text import broker, utc

# How long a terminal takes to attach after `subscribe`.
_ATTACH_DELAY_SECONDS: Final = 0.02


class RefusedError(Exception):
    """The venue's answer to a request that it does not carry out."""

    def __init__(self, name: str, message: str, **more: Any) -> None:
        self.body: dict[str, Any] = {"id": 1, "error": name, "message": message, **more}
        super().__init__(message)


class Served(Protocol):
    """What requests need of the venue; see there."""

    faults: Faults
    requested: dict[str, int]

    def now_ms(self) -> int: ...
    def account_by_id(self, identity: object) -> Account | None: ...
    def stream(self, session: Session, account: Account, instance: int) -> Stream | None: ...
    def open_stream(self, session: Session, account: Account, instance: int, session_id: str) -> Stream: ...
    def drop_stream(self, session: Session, account: Account, instance: int) -> None: ...
    def send_present(self, stream: Stream, symbol: str) -> None: ...


class Requests:
    """Carries requests out."""

    def __init__(self, venue: Served) -> None:
        self._venue = venue

    def handle(self, session: Session, text: str, now: float) -> None:
        """Answer the data of one `request` event."""
        venue = self._venue
        try:
            content = orjson.loads(text)
            request = content[1] if content[0] == "request" else None
            if isinstance(request, str):
                request = orjson.loads(request)
        except (orjson.JSONDecodeError, IndexError, TypeError, KeyError):
            request = None
        if not isinstance(request, dict) or not isinstance(request.get("requestId"), str):
            return
        kind = str(request.get("type"))
        venue.requested[kind] = venue.requested.get(kind, 0) + 1
        identity: str = request["requestId"]
        after: list[Any] = []
        try:
            answer = self._carry_out(session, kind, request, now, after)
        except RefusedError as error:
            session.send(event("processingError", orjson.dumps({"requestId": identity, **error.body}).decode()))
            return
        stamp = utc(venue.now_ms())
        head = {
            "type": "response",
            "accountId": request.get("accountId"),
            "requestId": identity,
            "timestamps": {"serverProcessingStarted": stamp, "serverProcessingFinished": stamp},
        }
        body = orjson.dumps(head).decode()[:-1] + "".join(f',"{name}":{text}' for name, text in answer.items()) + "}"
        as_text = venue.faults.take("as_text") is not None
        session.send(event("response", body, as_text=as_text))
        for action in after:
            action()

    def _carry_out(
        self, session: Session, kind: str, request: Mapping[str, Any], now: float, after: list[Any]
    ) -> dict[str, str]:
        venue = self._venue
        account = venue.account_by_id(request.get("accountId"))
        if account is None or account.state != "DEPLOYED":
            raise RefusedError("NotFoundError", "Account not found or is not deployed on this server")
        if (limit := venue.faults.take("429")) is not None:
            raise self._too_many(limit.number("seconds", 2))
        instance = request.get("instanceIndex") or 0
        stream = venue.stream(session, account, instance)
        match kind:
            case "subscribe":
                self._subscribe(session, account, instance, str(request.get("sessionId") or ""), now)
            case "unsubscribe":
                venue.drop_stream(session, account, instance)
            case "synchronize":
                if stream is None or not stream.attached:
                    raise RefusedError("NotAuthenticatedError", "The terminal is not connected yet")
                slow = venue.faults.take("slow_synchronization")
                pause = slow.number("seconds", 1) if slow else 0.0
                after.append(lambda: stream.synchronize(request["requestId"], now, pause))
            case "refreshMarketDataSubscriptions":
                wanted = {one["symbol"]: one.get("subscriptions") for one in request.get("subscriptions") or ()}
                account.subscriptions = {
                    symbol: self._kinds(account, symbol, kinds) for symbol, kinds in wanted.items()
                }
                self._let_flow(stream)
            case "subscribeToMarketData":
                symbol = self._symbol(account, request)
                if venue.faults.take("refuse_symbol", symbol) is not None:
                    raise self._invalid("symbol", f"{symbol} cannot be subscribed to")
                account.subscriptions.setdefault(symbol, {}).update(
                    self._kinds(account, symbol, request.get("subscriptions"))
                )
                self._let_flow(stream)
                if stream is not None:
                    after.append(lambda: venue.send_present(stream, symbol))
            case "unsubscribeFromMarketData":
                self._unsubscribe(account, self._symbol(account, request), request.get("subscriptions"))
            case _:
                return self._read(kind, account, request)
        return {}

    def _subscribe(self, session: Session, account: Account, instance: int, session_id: str, now: float) -> None:
        venue = self._venue
        if venue.faults.take("refuse_subscribe") is not None:
            raise RefusedError(
                "TooManyRequestsError",
                "The server is full",
                metadata={
                    "type": "LIMIT_ACCOUNT_SUBSCRIPTIONS_PER_SERVER",
                    "changeClientIdHeader": True,
                    "recommendedRetryTime": utc(venue.now_ms() + 1000),
                },
            )
        if instance not in account.instances:
            return  # answered, but nothing runs there
        stream = venue.open_stream(session, account, instance, session_id)
        stream.attach_at = now + _ATTACH_DELAY_SECONDS

    def _too_many(self, seconds: float) -> RefusedError:
        return RefusedError(
            "TooManyRequestsError",
            "One user can send no more requests",
            numericCode=429,
            metadata={
                "periodInMinutes": 60,
                "maxRequestsForPeriod": 10000,
                "type": "LIMIT_REQUEST_RATE_PER_USER",
                "recommendedRetryTime": utc(self._venue.now_ms() + int(seconds * 1000)),
            },
        )

    @staticmethod
    def _let_flow(stream: Stream | None) -> None:
        if stream is not None and stream.attached:
            stream.flowing = True

    @staticmethod
    def _invalid(parameter: str, message: str) -> RefusedError:
        return RefusedError("ValidationError", message, details=[{"parameter": parameter, "message": message}])

    def _symbol(self, account: Account, request: Mapping[str, Any]) -> str:
        symbol = request.get("symbol")
        if symbol not in account.broker.quoted:
            raise self._invalid("symbol", f"Specified symbol {symbol} not found")
        return str(symbol)

    def _kinds(self, account: Account, symbol: str, wanted: Any) -> dict[str, int]:
        if symbol not in account.broker.quoted:
            raise self._invalid("symbol", f"Specified symbol {symbol} not found")
        found: dict[str, int] = {}
        for one in wanted or [{"type": "quotes"}]:
            kind = one.get("type")
            if kind == "candles":
                timeframe = one.get("timeframe")
                if timeframe not in (MT5 if account.version == 5 else MT4):
                    raise self._invalid("timeframe", f"{timeframe} is not a timeframe of MetaTrader {account.version}")
                kind = f"candles/{timeframe}"
            elif kind not in ("quotes", "ticks", "marketDepth"):
                raise self._invalid("subscriptions", f"{kind} is not a subscription type")
            elif account.version == 4 and kind == "marketDepth":
                raise self._invalid("subscriptions", "MetaTrader 4 has no market depth")
            found[kind] = int(one.get("intervalInMilliseconds", account.interval_ms))
        return found

    @staticmethod
    def _unsubscribe(account: Account, symbol: str, given_up: Any) -> None:
        kinds = account.subscriptions.get(symbol, {})
        for one in given_up or [{"type": kind} for kind in list(kinds)]:
            kind, timeframe = one.get("type", ""), one.get("timeframe")
            for known in [known for known in kinds if known == kind or known.startswith(f"{kind}/")]:
                if timeframe is None or known == f"candles/{timeframe}":
                    del kinds[known]
        if not kinds:
            account.subscriptions.pop(symbol, None)

    def _read(self, kind: str, account: Account, request: Mapping[str, Any]) -> dict[str, str]:
        venue, quoted = self._venue, account.broker.quoted
        if kind in ("getSymbolSpecification", "getSymbolPrice", "getCandle", "getTick", "getBook"):
            one = quoted[self._symbol(account, request)]
            tick = one.ticks[-1]
            match kind:
                case "getSymbolSpecification":
                    return {"specification": one.symbol.specification()}
                case "getSymbolPrice":
                    return {"price": one.price_json(tick)}
                case "getTick":
                    return {"tick": one.tick_json(tick)}
                case "getBook":
                    return {"book": one.book_json(tick, *one.book(tick))}
            timeframe = str(request.get("timeframe"))
            if timeframe not in MT5:
                raise self._invalid("timeframe", f"{timeframe} is not a timeframe")
            return {"candle": one.series.bars[timeframe][-1].json(one.symbol, timeframe, one.offset_ms)}
        match kind:
            case "getSymbols":
                return {"symbols": orjson.dumps(list(quoted)).decode()}
            case "getServerTime":
                now_ms = venue.now_ms()
                times = {"time": utc(now_ms), "brokerTime": broker(now_ms + account.broker.offset_ms)}
                return {"serverTime": orjson.dumps(times).decode()}
            case "getAccountInformation":
                return {"accountInformation": INFORMATION}
            case "getPositions":
                return {"positions": f"[{POSITION}]"}
            case "getOrders":
                return {"orders": f"[{ORDER}]"}
        return {}
