"""The JSON texts of the socket's items, one function for each kind.

Written by hand: they are made thousands of times a second, always from the same few fields.
"""

import re
from collections.abc import Iterable
from typing import Final

from collector.simulator.fmfw.text import decimal_text, plain_text, ratio_text
from collector.simulator.fmfw.trading.candles import Bar
from collector.simulator.fmfw.trading.instruments import Instrument
from collector.simulator.fmfw.trading.market import Market
from collector.simulator.fmfw.trading.rates import Rates
from collector.simulator.kit.trade import Trade

_SIDES: Final = ("sell", "buy")


def trades(instrument: Instrument, items: Iterable[Trade], *, time_ids: bool) -> str:
    """Write a list of trades; with `time_ids` the id is the time, as in the real capture."""
    price, size, sides = instrument.price_text, instrument.size_text, _SIDES
    parts = [
        f'{{"t":{t},"i":{t if time_ids else number},"p":"{price(p)}","q":"{size(q)}","s":"{sides[buy]}"}}'
        for number, t, p, q, buy in items
    ]
    return f"[{','.join(parts)}]"


def bar(instrument: Instrument, one: Bar) -> str:
    """Write one candle."""
    price = instrument.price_text
    return (
        f'{{"t":{one.start},"o":"{price(one.open)}","c":"{price(one.close)}","h":"{price(one.high)}",'
        f'"l":"{price(one.low)}","v":"{instrument.size_text(one.volume)}","q":"{instrument.value_text(one.value)}"}}'
    )


def converted_values(rates: Rates, market: Market, one: Bar, target: str) -> tuple[str, str, str, str, str, str] | None:
    """Give open, close, high, low, volume and quote volume of a candle in another currency."""
    rate = rates.bar_rate(market, one, target)
    if rate is None:
        return None
    instrument = market.instrument

    def price(units: int) -> str:
        return plain_text(units * rate.scaleb(-instrument.price_decimals))

    return (
        price(one.open),
        price(one.close),
        price(one.high),
        price(one.low),
        instrument.size_text(one.volume),
        plain_text(one.value * rate.scaleb(-instrument.value_decimals)),
    )


def converted_bar(rates: Rates, market: Market, one: Bar, target: str) -> str | None:
    """Write one candle in another currency, None where there is no rate."""
    values = converted_values(rates, market, one, target)
    if values is None:
        return None
    o, c, h, low, v, q = values
    return f'{{"t":{one.start},"o":"{o}","c":"{c}","h":"{h}","l":"{low}","v":"{v}","q":"{q}"}}'


def levels(instrument: Instrument, items: Iterable[tuple[int, int]]) -> str:
    """Write one side of a book message: `[["0.1","2"],..]`."""
    price, size = instrument.price_text, instrument.size_text
    parts = [f'["{price(p)}","{size(q)}"]' for p, q in items]
    return f"[{','.join(parts)}]"


def book(time_ms: int, sequence: int, asks_json: str, bids_json: str) -> str:
    """Write one book message."""
    return f'{{"t":{time_ms},"s":{sequence},"a":{asks_json},"b":{bids_json}}}'


def top(market: Market) -> str:
    """Write the best of both sides."""
    instrument = market.instrument
    ask, bid = market.asks.best, market.bids.best
    return (
        f'"a":"{instrument.price_text(ask)}","A":"{instrument.size_text(market.asks.sizes[-ask])}",'
        f'"b":"{instrument.price_text(bid)}","B":"{instrument.size_text(market.bids.sizes[bid])}"'
    )


def mini_ticker(market: Market, now_ms: int) -> str | None:
    """Write o c h l v q, None for a market that never traded."""
    day = market.day(now_ms)
    last = market.last_trade
    if last is None:
        return None
    price = market.instrument.price_text
    first = day.open if day.open is not None else last.price
    high = day.high if day.high is not None else last.price
    low = day.low if day.low is not None else last.price
    return (
        f'"o":"{price(first)}","c":"{price(last.price)}","h":"{price(high)}","l":"{price(low)}",'
        f'"v":"{market.instrument.size_text(day.volume)}","q":"{market.instrument.value_text(day.value)}"'
    )


def ticker(market: Market, now_ms: int) -> str:
    """Write the whole ticker but its time; a market that never traded has nulls."""
    mini = mini_ticker(market, now_ms)
    last = market.last_trade
    if mini is None or last is None:
        return f'{top(market)},"o":null,"c":null,"h":null,"l":null,"v":"0","q":"0","p":null,"P":null,"L":null'
    first = market.day(now_ms).open
    first = first if first is not None else last.price
    change = last.price - first
    return (
        f'{top(market)},{mini},"p":"{decimal_text(change, market.instrument.price_decimals)}",'
        f'"P":"{ratio_text(change * 100, first)}","L":{last.id}'
    )


def with_nulls(text: str) -> str:
    """Take the prices of a ticker away, as in a market without data."""
    return re.sub(r'"([aAbBocpP])":"[^"]*"', r'"\1":null', text)


def with_unknown_fields(text: str) -> str:
    """Add a key that nobody knows to every object of a message."""
    return text.replace("}", ',"zz_unknown":[1,"2",null]}')
