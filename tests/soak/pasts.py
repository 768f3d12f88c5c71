"""Simulated venues with a long past of trades, and the same trades as a line would have told them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple
from unittest.mock import patch

import orjson

from collector.model import Records
from collector.simulator.finam import payloads as finam_payloads
from collector.simulator.fmex import payloads as fmex_payloads
from collector.simulator.fmfw import payloads as fmfw_payloads
from collector.venues import find
from collector.venues.header import SessionHeader
from collector.venues.roles import Parser
from tests.venues.metaapi.reading import Reading as MetaapiReading

HOUR_MS = 3_600_000
TICKS_A_PACKET = 100


class Deal(NamedTuple):
    """One true trade, by what tells it from all others but its equals; `origin` is the simulator's own."""

    time_us: int
    price: Decimal
    size: Decimal
    side: int
    origin: Any


class LongPast:
    """A running simulated venue whose market stands still."""

    venue: ClassVar[str]
    symbol: ClassVar[str]
    streams: ClassVar[tuple[str, ...]] = ("trades",)
    settings: ClassVar[dict[str, Any]] = {}
    """Of the collector, where its own bounds are for venues that somebody else pays for."""
    symbols: ClassVar[int] = 1
    """How many of the simulator's it takes until this one is among them."""
    pages_in: ClassVar[str] = ""
    """The constant that bounds a page, with its module, where that is no setting."""

    def __init__(self, simulated: Any) -> None:
        self.simulated = simulated

    @staticmethod
    def switches(trades: int, hours: float) -> dict[str, Any]:
        """The simulator's switches for at least so many trades in so many hours."""
        raise NotImplementedError

    def fill(self, trades: int, hours: float) -> None:
        """Let the market live where its switches did not."""

    def deals(self) -> list[Deal]:
        """All of them, in the order of their execution."""
        raise NotImplementedError

    def listen(self, deals: Sequence[Deal]) -> Iterator[Records]:
        """What one connection makes of these, told one after the other."""
        parser, out = self.listener(), Records()
        for number, payload in enumerate(self.told(deals)):
            parser.frame(payload, deals[-1].time_us * 1000 + number, out)
            if out.items >= 5000:
                yield out
                out = Records()
        yield out

    def listener(self) -> Parser:
        return find(self.venue).parser(SessionHeader(self.venue, self.venue, (self.symbol,)))

    def told(self, deals: Sequence[Deal]) -> Iterator[bytes]:
        raise NotImplementedError


class FmfwLongPast(LongPast):
    venue, symbol = "fmfw", "BTCUSDT"
    settings: ClassVar = {"rest_per_second": 10_000.0}
    pages_in = "collector.venues.fmfw.history.PAGE"

    @staticmethod
    def switches(trades: int, hours: float) -> dict[str, Any]:
        return {"history_hours": hours, "history_events": trades, "rest_limit": 10**9, "ids": "time"}

    def deals(self) -> list[Deal]:
        market = self.simulated.exchange.markets[self.symbol]
        price, size = market.instrument.price_text, market.instrument.size_text
        kept = (market.trades[place] for place in range(market.trades.dropped, market.trades.end))
        return [
            Deal(one.time_ms * 1000, Decimal(price(one.price)), Decimal(size(one.size)), 1 if one.buy else -1, one)
            for one in kept
        ]

    def told(self, deals: Sequence[Deal]) -> Iterator[bytes]:
        instrument = self.simulated.exchange.markets[self.symbol].instrument
        for deal in deals:
            items = fmfw_payloads.trades(instrument, [deal.origin], time_ids=True)
            yield f'{{"ch":"trades","update":{{"{self.symbol}":{items}}}}}'.encode()


class FmexLongPast(LongPast):
    venue, symbol = "fmex", "btcusd_p"
    settings: ClassVar = {"rest_per_second": 10_000.0}

    @staticmethod
    def switches(trades: int, hours: float) -> dict[str, Any]:
        return {"history_hours": hours, "history_events": 2 * trades, "kept_trades": 2 * trades, "rest_limit": 10**9}

    def deals(self) -> list[Deal]:
        return [
            Deal(
                one.time_ms * 1000,
                Decimal(fmex_payloads.price(one.price).plain),
                Decimal(one.size),
                1 if one.buy else -1,
                one,
            )
            for one in self.simulated.markets[self.symbol].trades
        ]

    def told(self, deals: Sequence[Deal]) -> Iterator[bytes]:
        for deal in deals:
            yield f'{{"type":"trade.{self.symbol}",{fmex_payloads.trade(deal.origin)}}}'.encode()


class MetaapiLongPast(LongPast):
    """Its past is one of ticks, each of which has a deal here; both are recorded."""

    venue, symbol, symbols = "metaapi", "#SBER/RUB", 2
    streams = ("trades", "ticks")
    settings: ClassVar = {"rest_per_second": 10_000.0}
    pages_in = "collector.venues.metaapi.history.PAGE_MAX_ITEMS"

    @staticmethod
    def switches(trades: int, hours: float) -> dict[str, Any]:
        return {"history_hours": hours, "history_events": 1, "kept_ticks": 2 * trades, "accounts": ("demo",)}

    def fill(self, trades: int, hours: float) -> None:
        quoted, now_ms = self._quoted, self.simulated.now_ms()
        first_ms = quoted.ticks[-1].time_ms
        with patch("collector.simulator.metaapi.market._DEAL_SHARE", 1.0):
            for number in range(trades):
                quoted.step(first_ms + (now_ms - first_ms) * number // trades)

    @property
    def _quoted(self) -> Any:
        return self.simulated.accounts["demo"].broker.quoted[self.symbol]

    def deals(self) -> list[Deal]:
        price = self._quoted.symbol.price
        return [
            Deal(one.time_ms * 1000, Decimal(price(one.last)), Decimal(one.volume), 1 if one.side == "buy" else -1, one)
            for one in self._quoted.ticks
            if one.volume
        ]

    def told(self, deals: Sequence[Deal]) -> Iterator[bytes]:
        raise NotImplementedError

    def listen(self, deals: Sequence[Deal]) -> Iterator[Records]:
        described = {
            "name": "demo",
            "prefix": "",
            "symbols": [self.symbol],
            "streams": ["trades", "ticks"],
            "kinds": ["ticks"],
            "tick_rows": True,
        }
        live = MetaapiReading(stripped=False, accounts={"8f6c4a3e": described})
        live.start()
        for first in range(0, len(deals), TICKS_A_PACKET):
            live.prices(ticks=[self._quoted.tick_json(one.origin) for one in deals[first : first + TICKS_A_PACKET]])
            yield live.out
            live.out = Records()


class FinamLongPast(LongPast):
    """Its past is no more than a list of the latest trades, a thousand at the most."""

    venue, symbol = "finam", "SBER@MISX"
    settings: ClassVar = {"backfill_per_minute": 600_000.0}

    @staticmethod
    def switches(trades: int, hours: float) -> dict[str, Any]:
        return {"history_hours": hours, "history_events": 3000, "trades_kept": 1000, "quota": 10**9}

    def deals(self) -> list[Deal]:
        market = self.simulated.exchange.markets[self.symbol]
        rows = ((finam_payloads.trade_row(market.instrument, one), one) for one in market.trades[-1000:])
        return [Deal(row[0], Decimal(row[1]), Decimal(row[2]), row[3], one) for row, one in rows]

    def told(self, deals: Sequence[Deal]) -> Iterator[bytes]:
        instrument = self.simulated.exchange.markets[self.symbol].instrument
        for deal in deals:
            trades = [finam_payloads.trade(instrument, deal.origin)]
            yield orjson.dumps(
                {
                    "type": "DATA",
                    "subscription_type": "INSTRUMENT_TRADES",
                    "subscription_key": self.symbol,
                    "timestamp": 1,
                    "payload": {"symbol": self.symbol, "trades": trades},
                }
            )
