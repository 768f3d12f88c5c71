"""The market as the venue's JSON, and the same facts as the rows that a recorder must make of them.

Both come from one place so that they cannot disagree, yet by the words of the specification and not by the
collector's code: exponents are written out, an empty side is a null, a book's rows are sorted by side.
"""

import zlib
from collections.abc import Iterable
from typing import Any

import orjson

from collector.simulator.finam.bars import Bar
from collector.simulator.finam.instruments import Instrument
from collector.simulator.finam.market import Level, Market, Trade
from collector.simulator.finam.text import boxed, decimal, large, plain, timestamp

Row = list[Any]


def quote(market: Market, *, crossed: bool = False) -> dict[str, Any]:
    """Make the whole quote."""
    one = market.instrument
    bid, ask = market.best_bid, market.best_ask
    if crossed and bid is not None:
        ask, bid = bid, ask

    def price(value: int | None) -> dict[str, str]:
        return boxed("0" if value is None else decimal(value, one.decimals))

    def size(side: dict[int, int], value: int | None) -> dict[str, str]:
        return boxed(decimal(side.get(value, 0)) if value is not None else "0")

    return {
        "symbol": one.symbol,
        "timestamp": timestamp(market.changed_us),
        "ask": price(ask),
        "ask_size": size(market.asks, market.best_ask),
        "bid": price(bid),
        "bid_size": size(market.bids, market.best_bid),
        "last": price(market.last),
        "last_size": boxed(decimal(market.last_size)),
        "volume": boxed(large(market.volume)),
        "turnover": boxed(large(market.turnover, one.decimals)),
        "open": price(market.open),
        "high": price(market.high),
        "low": price(market.low),
        "close": price(market.close),
        "change": price(market.last - market.close),
        "open_interest": boxed(large(market.open_interest)),
        "is_data_snapshot": False,
    }


def quote_row(full: dict[str, Any], time_us: int) -> Row:
    """Give the tick that the quote tells: time, bid, its size, ask, its size, last, volume."""
    value = {name: plain(full[name]["value"]) for name in ("bid", "bid_size", "ask", "ask_size", "last", "volume")}
    for side in ("bid", "ask"):
        if not value[side].strip("0."):
            value[side] = value[f"{side}_size"] = None  # type: ignore[assignment]
    return [time_us, *value.values()]


def trade(one: Instrument, what: Trade, *, snapshot: bool = False) -> dict[str, Any]:
    """Make one trade."""
    return {
        "trade_id": str(what.id),
        "mpid": "",
        "timestamp": timestamp(what.time_us),
        "price": boxed(decimal(what.price, one.decimals)),
        "size": boxed(decimal(what.size)),
        "side": "SIDE_BUY" if what.buy else "SIDE_SELL",
        "is_data_snapshot": snapshot,
    }


def trade_row(one: Instrument, what: Trade) -> Row:
    return [what.time_us, decimal(what.price, one.decimals), decimal(what.size), 1 if what.buy else -1]


def book(market: Market, *, crossed: bool = False) -> list[dict[str, Any]]:
    """Make all rows: asks first, prices falling."""
    asks, bids = sorted(market.asks.items(), reverse=True), sorted(market.bids.items(), reverse=True)
    if crossed and asks and bids:
        asks[-1], bids[0] = (bids[0][0], asks[-1][1]), (asks[-1][0], bids[0][1])
    stamp, places = timestamp(market.changed_us), market.instrument.decimals
    return [
        {
            "price": boxed(decimal(price, places)),
            side: boxed(decimal(size)),
            "action": "ACTION_ADD",
            "mpid": "",
            "timestamp": stamp,
        }
        for side, rows in (("sell_size", asks), ("buy_size", bids))
        for price, size in rows
    ]


def changes(market: Market, levels: Iterable[Level]) -> list[dict[str, Any]]:
    """Make the rows of what changed. Some that go have no size, so that nobody knows their side."""
    before: dict[tuple[bool, int], bool] = {}
    after: dict[tuple[bool, int], int] = {}
    for level in levels:
        before.setdefault((level.bid, level.price), level.known)
        after[level.bid, level.price] = level.size
    stamp, places = timestamp(market.changed_us), market.instrument.decimals
    rows = []
    for (bid, price), size in after.items():
        if not size and not before[bid, price]:
            continue
        action = "ACTION_REMOVE" if not size else "ACTION_UPDATE" if before[bid, price] else "ACTION_ADD"
        row = {"price": boxed(decimal(price, places)), "action": action, "mpid": "", "timestamp": stamp}
        if size or price % 5:
            row["buy_size" if bid else "sell_size"] = boxed(decimal(size))
        rows.append(row)
    return rows


def book_row(rows: list[dict[str, Any]], time_us: int, *, snapshot: bool) -> Row:
    """Give the row of `books`: time, the content's checksum as `seq`, snapshot or not, checksum of the levels."""
    sides: dict[str, dict[str, str]] = {"buy_size": {}, "sell_size": {}}
    for row in rows:
        named = [side for side in sides if side in row] or list(sides)
        for side in named:
            size = row.get(side, {"value": "0"})["value"]
            sides[side][row["price"]["value"]] = "0" if row["action"] == "ACTION_REMOVE" else size
    bids = sorted(sides["buy_size"].items(), key=lambda level: -float(level[0]))
    asks = sorted(sides["sell_size"].items(), key=lambda level: float(level[0]))
    text = "|".join(",".join(_short(level[part]) for level in side) for side in (bids, asks) for part in (0, 1))
    levels = zlib.crc32(orjson.dumps(asks) + orjson.dumps(bids))
    return [time_us, zlib.crc32(text.encode()), snapshot, levels]


def _short(decimal_text: str) -> str:
    return decimal_text.rstrip("0").rstrip(".") if "." in decimal_text else decimal_text


def bar(one: Instrument, what: Bar, *, snapshot: bool = False) -> dict[str, Any]:
    """Make one bar."""
    return {
        "timestamp": timestamp(what.start_us),
        "open": boxed(decimal(what.open, one.decimals)),
        "high": boxed(decimal(what.high, one.decimals)),
        "low": boxed(decimal(what.low, one.decimals)),
        "close": boxed(decimal(what.close, one.decimals)),
        "volume": boxed(large(what.volume)),
        "is_data_snapshot": snapshot,
    }


def bar_row(one: Instrument, what: Bar, period: int) -> Row:
    """Give the row of `candles`."""
    prices = (decimal(price, one.decimals) for price in (what.open, what.high, what.low, what.close))
    return [what.start_us, period, "trade", *prices, plain(large(what.volume)), None]
