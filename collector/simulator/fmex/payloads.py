"""The texts of market data: what a trade, a ticker, a book and a bar look like on the wire."""

import zlib
from typing import Final, NamedTuple

import orjson

from collector.simulator.fmex.bars import Bar
from collector.simulator.fmex.contracts import PRICE_DECIMALS, PRICE_UNITS
from collector.simulator.fmex.market import Levels, Market
from collector.simulator.fmex.text import DECIMALS, Number, number
from collector.simulator.kit.trade import Trade

_SIDES: Final = {True: "buy", False: "sell"}


def price(ticks: int) -> Number:
    """Write a price."""
    return number(ticks * PRICE_UNITS, PRICE_DECIMALS)


def amount(contracts: int) -> Number:
    """Write an amount of contracts."""
    return number(contracts, 0)


def trade(one: Trade, trade_id: int | None = None) -> str:
    """Write the fields of a trade, without the braces."""
    return (
        f'"id":{one.id if trade_id is None else trade_id},"ts":{one.time_ms},"side":"{_SIDES[one.buy]}",'
        f'"price":{price(one.price).sent},"amount":{amount(one.size).sent}'
    )


class Ticker(NamedTuple):
    """Eleven numbers."""

    numbers: tuple[Number, ...]

    @property
    def sent(self) -> str:
        return "[" + ",".join(one.sent for one in self.numbers) + "]"


def ticker(market: Market, day: Bar) -> Ticker:
    """Tell the state of a market in the venue's eleven places."""
    (bid, bid_size), (ask, ask_size) = market.bids.top(1)[0], market.asks.top(1)[0]
    last = market.trades[-1] if market.trades else Trade(0, 0, day.close, 0, True)
    return Ticker(
        (
            price(last.price),
            amount(last.size),
            price(bid),
            amount(bid_size),
            price(ask),
            amount(ask_size),
            price(day.open),
            price(day.high),
            price(day.low),
            amount(day.volume),
            number(day.value, DECIMALS),
        )
    )


class Sides(NamedTuple):
    """The levels of one message: as sent, and the checksum by which the ledger knows them."""

    bids: str
    asks: str
    checksum: int


def sides(bids: Levels, asks: Levels) -> Sides:
    """Write both sides, each as a flat list of prices and amounts."""
    texts = []
    plain = b""
    for levels in (asks, bids):
        pairs = [(price(one), amount(size)) for one, size in levels]
        texts.append("[" + ",".join(f"{one.sent},{size.sent}" for one, size in pairs) + "]")
        plain += orjson.dumps([(one.plain, size.plain) for one, size in pairs])
    return Sides(texts[1], texts[0], zlib.crc32(plain))


class BarText(NamedTuple):
    """The fields of a bar as sent, and its numbers in the tables' order: o, h, l, c, volume, quote volume."""

    sent: str
    numbers: tuple[str, ...]


def bar(one: Bar) -> BarText:
    """Write a bar, without the braces. `base_vol` is in contracts, `quote_vol` in BTC."""
    o, h, l, c = price(one.open), price(one.high), price(one.low), price(one.close)  # noqa: E741
    base, quote = amount(one.volume), number(one.value, DECIMALS)
    sent = (
        f'"id":{one.start // 1000},"seq":{one.seq},"open":{o.sent},"close":{c.sent},"high":{h.sent},"low":{l.sent},'
        f'"count":{one.count},"base_vol":{base.sent},"quote_vol":{quote.sent}'
    )
    return BarText(sent, tuple(number.plain for number in (o, h, l, c, base, quote)))
