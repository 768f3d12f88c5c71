"""Venues of a few lists: each keeps a past of trades that its own history can page through, and tells trades live.

What happened is the same for all of them: deals of two symbols in the order of their execution, some of them equal
within a millisecond. How much of it a venue can tell yet is told by `now`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple
from unittest.mock import patch

import orjson

from collector.model import Instrument
from collector.venues import finam, fmex, fmfw, metaapi
from collector.venues.adapter import Adapter
from collector.venues.fmfw.values import moment_us
from collector.venues.metaapi.values import iso, time_us
from collector.venues.rest import History, RestCall
from collector.venues.roles import Parser
from tests.kit.headers import session_header
from tests.venues.metaapi.reading import Reading as MetaapiReading

BEGIN_MS = 1_714_979_280_000


class Deal(NamedTuple):
    """One true trade; `number` counts all that ever happened at the venue."""

    number: int
    symbol: str
    time_ms: int
    price: str
    size: str
    buy: bool

    @property
    def side(self) -> str:
        return "buy" if self.buy else "sell"


class Past:
    """A venue with a past; `page` is how many trades an answer holds at the most."""

    venue: ClassVar[str]
    symbols: ClassVar[tuple[str, str]]
    streams: ClassVar[tuple[str, ...]] = ("trades",)
    mixes: ClassVar[bool] = True
    """A session of history may read live messages, too."""
    repeats: ClassVar[bool] = True
    """A live message that comes twice can be told from an equal one."""
    adapter: ClassVar[Adapter[Any]]

    def __init__(self, deals: Sequence[Deal], page: int) -> None:
        self.deals = deals
        self.page = page
        self.now = len(deals)
        self.spoken = self.adapter.begin(self.venue, self.settings())

    @contextmanager
    def paging(self) -> Iterator[None]:
        """Let the venue's history ask for pages of this size."""
        yield

    def history(self, symbol: str, stream: str, from_us: int, to_us: int) -> History:
        return self.spoken.history(Instrument(self.venue, symbol), stream, from_us, to_us)

    def settings(self) -> Any:
        raise NotImplementedError

    def known(self, symbol: str) -> list[Deal]:
        return [deal for deal in self.deals[: self.now] if deal.symbol == symbol]

    def answer(self, call: RestCall) -> bytes:
        raise NotImplementedError

    def reader(self) -> Parser:
        """The parser of a session that reads history."""
        header = {"venue": self.venue, "adapter": self.adapter.name, "symbols": None}
        return self.adapter.parser(session_header({**header, **self.spoken.history_header()}))

    def listener(self) -> Parser:
        """The parser of a live session."""
        return self.adapter.parser(
            session_header({"venue": self.venue, "adapter": self.adapter.name, "symbols": self.symbols})
        )

    def told(self, deal: Deal) -> bytes:
        """The live message of a trade."""
        raise NotImplementedError

    def listed(self, deals: Sequence[Deal]) -> bytes:
        """The live message that holds a list of past trades of a symbol, oldest first."""
        raise NotImplementedError


class FmfwPast(Past):
    """Its socket tells real ids."""

    venue = "fmfw"
    symbols = ("BTCUSDT", "ETHBTC")
    adapter = fmfw.ADAPTER

    def settings(self) -> Any:
        return fmfw.FmfwSettings(symbols=("*",))

    @contextmanager
    def paging(self) -> Iterator[None]:
        with patch("collector.venues.fmfw.history.PAGE", self.page):
            yield

    def answer(self, call: RestCall) -> bytes:
        params = call.params
        symbol, found = params["symbols"], self.known(params["symbols"])
        if params["by"] == "id":
            found = [deal for deal in found if 1000 + deal.number >= int(params["from"])]
        else:
            first, last = ((moment_us(params[name]) or 0) // 1000 for name in ("from", "till"))
            found = [deal for deal in found if first <= deal.time_ms <= last]
        items = [
            {
                "id": 1000 + deal.number,
                "price": deal.price,
                "qty": deal.size,
                "side": deal.side,
                "timestamp": iso(deal.time_ms * 1000),
            }
            for deal in found[: int(params["limit"])]
        ]
        return orjson.dumps({symbol: items})

    def told(self, deal: Deal) -> bytes:
        return orjson.dumps({"ch": "trades", "update": {deal.symbol: [self._item(deal)]}})

    def listed(self, deals: Sequence[Deal]) -> bytes:
        return orjson.dumps({"ch": "trades", "snapshot": {deals[0].symbol: [self._item(deal) for deal in deals]}})

    def _item(self, deal: Deal) -> dict[str, Any]:
        return {"t": deal.time_ms, "i": self._identity(deal), "p": deal.price, "q": deal.size, "s": deal.side}

    def _identity(self, deal: Deal) -> int:
        return 1000 + deal.number


class FmfwTimesPast(FmfwPast):
    """Its socket sends the time in the place of the id."""

    repeats = False

    def _identity(self, deal: Deal) -> int:
        return deal.time_ms


class FmexPast(Past):
    venue = "fmex"
    symbols = ("btcusd_p", "ethusd_p")
    adapter = fmex.ADAPTER

    def settings(self) -> Any:
        return fmex.FmexSettings(symbols=("*",), history_page=min(self.page, 1000))

    def answer(self, call: RestCall) -> bytes:
        symbol = call.channel.rpartition("/")[2]
        before = int(call.params.get("before", 10**18))
        found = [deal for deal in self.known(symbol) if 1000 * deal.number < before][::-1]
        return self._data(found[: min(self.page, int(call.params["limit"]))])

    def _data(self, deals: Sequence[Deal], head: str = '"status":0') -> bytes:
        items = ",".join("{" + self._fields(deal) + "}" for deal in deals)
        return f'{{{head},"data":[{items}]}}'.encode()

    def told(self, deal: Deal) -> bytes:
        return f'{{"type":"trade.{deal.symbol}",{self._fields(deal)}}}'.encode()

    def listed(self, deals: Sequence[Deal]) -> bytes:
        return self._data(deals[::-1], f'"id":"trade.{deals[0].symbol}#1","ts":{BEGIN_MS}')

    @staticmethod
    def _fields(deal: Deal) -> str:
        return (
            f'"id":{1000 * deal.number},"ts":{deal.time_ms},"side":"{deal.side}","price":{deal.price},'
            f'"amount":{deal.size}'
        )


class MetaapiPast(Past):
    """Each deal is a tick that carries it."""

    venue = "metaapi"
    symbols = ("EURUSD", "SBER")
    streams = ("trades", "ticks")
    mixes = False
    adapter = metaapi.ADAPTER

    def __init__(self, deals: Sequence[Deal], page: int) -> None:
        super().__init__(deals, page)
        self._number = 0

    def settings(self) -> Any:
        account = {"id": "A1", "symbols": ["*"]}
        return metaapi.MetaapiSettings.model_validate({"token": "a.b.c", "accounts": {"demo": account}})

    @contextmanager
    def paging(self) -> Iterator[None]:
        with patch("collector.venues.metaapi.history.PAGE_MAX_ITEMS", self.page):
            yield

    def answer(self, call: RestCall) -> bytes:
        if call.url.endswith("/accounts/A1"):
            described = {"_id": "A1", "state": "DEPLOYED", "region": "london", "version": 5}
            return orjson.dumps({**described, "connectionStatus": "CONNECTED"})
        if call.url.endswith("mt-client-api"):
            return orjson.dumps({"hostname": "h", "domain": "agiliumtrade.ai"})
        found = self.known(call.channel.rpartition("/")[2])
        start_ms = (time_us(call.params["startTime"]) or 0) // 1000
        first = sum(deal.time_ms < start_ms for deal in found) + int(call.params["offset"])
        return f"[{','.join(map(self._tick, found[first : first + int(call.params['limit'])]))}]".encode()

    def listener(self) -> Parser:
        live = MetaapiReading()
        live.start()
        self._number = 0
        return live.parser

    def told(self, deal: Deal) -> bytes:
        live = MetaapiReading()
        live.number, live.stamp = self._number, BEGIN_MS + 2 * self._number
        sent: list[bytes] = []
        with patch.object(live, "raw", lambda payload, at_ms=None: sent.append(payload)):
            live.prices(ticks=[self._tick(deal)])
        self._number += 1
        return sent[0]

    @staticmethod
    def _tick(deal: Deal) -> str:
        at = iso(deal.time_ms * 1000)
        return (
            f'{{"symbol":"{deal.symbol}","time":"{at}","brokerTime":"{at.replace("T", " ").rstrip("Z")}","bid":1,'
            f'"ask":{deal.price},"last":{deal.price},"volume":{deal.size},"side":"{deal.side}"}}'
        )


class FinamPast(Past):
    """Keeps no more than a list of the latest trades."""

    venue = "finam"
    symbols = ("SBER@MISX", "GAZP@MISX")
    adapter = finam.ADAPTER

    def settings(self) -> Any:
        return finam.FinamSettings.model_validate({"secret": "tapi_sk_nobody", "symbols": self.symbols})

    def lists(self, symbol: str) -> bytes:
        items = [self._item(deal) for deal in self.known(symbol)[-self.page :][::-1]]
        return orjson.dumps({"symbol": symbol, "trades": items})

    def told(self, deal: Deal) -> bytes:
        payload = json.dumps({"symbol": deal.symbol, "trades": [self._item(deal)]})
        message = {"type": "DATA", "subscription_type": "INSTRUMENT_TRADES", "subscription_key": deal.symbol}
        return orjson.dumps({**message, "timestamp": 1, "payload": payload})

    def _item(self, deal: Deal) -> dict[str, Any]:
        return {
            "trade_id": self._identity(deal),
            "timestamp": iso(deal.time_ms * 1000),
            "price": {"value": deal.price},
            "size": {"value": deal.size},
            "side": f"SIDE_{deal.side.upper()}",
            "is_data_snapshot": False,
        }

    def _identity(self, deal: Deal) -> str:
        return str(10**10 + deal.number)


class FinamNamelessPast(FinamPast):
    """Its trades have no ids."""

    def _identity(self, deal: Deal) -> str:
        return ""
