"""Extracts of the ledger and of the market's truth as JSON, for tests in another process.

Trades, candles and books come as rows with named columns and an index that never changes, so that long lists can be
read in parts; numbers are the very texts that were sent.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from collector.simulator.fmfw import payloads
from collector.simulator.fmfw.ledger import BookLog, PayloadLog, Ranges
from collector.simulator.fmfw.trading.candles import PERIODS, period_end
from collector.simulator.fmfw.trading.exchange import Exchange
from collector.simulator.fmfw.trading.market import Market
from collector.simulator.fmfw.venue import FmfwVenue

Extract = dict[str, Any]
Asked = Mapping[str, str]

_DEFAULT_CHANNELS: Final = {
    "ticks": "ticker/1s",
    "derivatives": "futures/info",
    "rates": "price/rate/1s@USDT",
}
# Rows that one extract may ask for.
_ROWS_MAX: Final = 1_000_000


class ExtractError(ValueError):
    """The ledger was asked for something that it does not hold."""


def state(venue: FmfwVenue) -> Extract:
    """Tell who is connected and what the venue is doing."""
    return {
        "running": venue.running,
        "rate": venue.rate,
        "ids": "time" if venue.hub.time_ids else "real",
        "events": venue.exchange.events,
        "trades": venue.exchange.trades,
        "stalled_events": venue.slices.stalled_events,
        "opened": venue.opened,
        "closed": venue.closed,
        "refused": {"rest": venue.rest_window.refused, "socket": venue.socket_window.refused},
        "connections": [
            {
                "address": connection.address,
                "frozen": connection.frozen,
                "subscriptions": {topic.key: symbols for topic, symbols in venue.hub.subscriptions(connection).items()},
            }
            for connection in venue.connections
        ],
    }


def summary(venue: FmfwVenue) -> Extract:
    """Count everything: the market's truth by symbol, and what was sent by channel and symbol."""
    ledger = venue.ledger
    sent: dict[str, dict[str, object]] = {}
    for (channel, symbol), tally in ledger.tallies.items():
        counts: dict[str, int] = {
            "frames": tally.frames,
            "items": tally.items,
            "distinct": _distinct(venue, channel, symbol),
            "injected_frames": tally.injected_frames,
            "injected_items": tally.injected_items,
        }
        sent.setdefault(channel, {})[symbol] = counts
    return {
        "venue": "fmfw",
        "running": venue.running,
        "market": {symbol: _truth(venue, market) for symbol, market in venue.exchange.markets.items()},
        "sent": sent,
        "totals": ledger.totals(),
    }


def extract(venue: FmfwVenue, asked: Asked) -> Extract:
    """Answer `GET /_sim/ledger`.  Raises `ExtractError`, which says what could be asked for."""
    stream = asked.get("stream")
    if stream is None or asked.get("summary") == "1":
        return summary(venue)
    if stream == "injected":
        return injected(venue, asked)
    give = _STREAMS.get(stream)
    if give is None:
        raise ExtractError(f"no stream is called {stream!r}; there are {', '.join(_STREAMS)}, injected")
    return give(venue, asked)


def trades(venue: FmfwVenue, asked: Asked) -> Extract:
    """List all trades of a symbol that happened; `sent` are the index ranges that went out on `trades`."""
    market = _market(venue.exchange, asked)
    log = market.trades
    low, high = _rows(asked, log.dropped, log.end)
    price, size = market.instrument.price_text, market.instrument.size_text
    return {
        "stream": "trades",
        "symbol": market.symbol,
        "total": log.end,
        "dropped": log.dropped,
        "live_from_index": venue.live_from[market.symbol],
        "from_index": low,
        "next_index": high,
        "sent": venue.ledger.trades.get(market.symbol, Ranges()).spans,
        "columns": ["id", "t", "price", "qty", "side"],
        "rows": [
            [trade.id, trade.time_ms, price(trade.price), size(trade.size), "buy" if trade.buy else "sell"]
            for trade in (log[index] for index in range(low, high))
        ],
    }


def candles(venue: FmfwVenue, asked: Asked) -> Extract:
    """List all bars of a symbol as they are now; `sent` holds the last word that went out on each bar.

    With `target` they are the converted ones.  `closed` says whether the bar's time is over.
    """
    market = _market(venue.exchange, asked)
    period = asked.get("period", "M1")
    if period not in PERIODS:
        raise ExtractError(f"no period is called {period!r}; there are {', '.join(PERIODS)}")
    target = asked.get("target", "")
    channel = f"converted/candles/{period}@{target}" if target else f"candles/{period}"
    instrument, now_ms = market.instrument, venue.now_ms()
    rows: list[list[object]] = []
    for bar in market.series.bars(period):
        if target:
            converted = payloads.converted_values(venue.rates, market, bar, target)
            if converted is None:
                continue
            texts = list(converted)
        else:
            texts = [*map(instrument.price_text, (bar.open, bar.close, bar.high, bar.low))]
            texts += [instrument.size_text(bar.volume), instrument.value_text(bar.value)]
        rows.append([bar.start, *texts, bar.count, period_end(period, bar.start) <= now_ms])
    sent = venue.ledger.bars.get((channel, market.symbol), {})
    return {
        "stream": "candles",
        "symbol": market.symbol,
        "channel": channel,
        "columns": ["t", "o", "c", "h", "l", "v", "q", "trades", "closed"],
        "rows": rows,
        "sent": {str(start): payload for start, payload in sent.items()},
    }


def books(venue: FmfwVenue, asked: Asked) -> Extract:
    """List the book messages that went out, and give the whole book of this moment.

    `crc` is `text.levels_checksum` of the lists as sent.
    """
    market = _market(venue.exchange, asked)
    channel = asked.get("channel", "orderbook/full")
    log = venue.ledger.books.get((channel, market.symbol), BookLog())
    low, high = _rows(asked, log.dropped, log.dropped + len(log))
    instrument = market.instrument

    def side(levels: list[tuple[int, int]]) -> list[list[str]]:
        return [[instrument.price_text(price), instrument.size_text(size)] for price, size in levels]

    return {
        "stream": "books",
        "symbol": market.symbol,
        "channel": channel,
        "total": log.dropped + len(log),
        "dropped": log.dropped,
        "from_index": low,
        "next_index": high,
        "columns": ["s", "t", "snapshot", "crc"],
        "rows": log.rows(low, high - low),
        "current": {
            "t": market.changed_ms,
            "s": market.sequence,
            "a": side(market.asks.top()),
            "b": side(market.bids.top()),
        },
    }


def sent_payloads(venue: FmfwVenue, asked: Asked) -> Extract:
    """List the distinct payloads of one data channel and symbol, as sent."""
    channel = asked.get("channel") or _DEFAULT_CHANNELS[asked["stream"]]
    symbol = asked.get("symbol", "")
    log = venue.ledger.payloads.get((channel, symbol), PayloadLog())
    low, high = _rows(asked, log.dropped, log.dropped + len(log))
    return {
        "stream": asked["stream"],
        "symbol": symbol,
        "channel": channel,
        "total": log.dropped + len(log),
        "dropped": log.dropped,
        "from_index": low,
        "next_index": high,
        "rows": log.rows(low, high - low),
    }


def injected(venue: FmfwVenue, asked: Asked) -> Extract:
    """List the bad frames that were sent on purpose."""
    entries = list(venue.ledger.injected)
    low, high = _rows(asked, 0, len(entries))
    columns = ["fault", "channel", "symbol", "frames", "items", "text"]
    return {
        "stream": "injected",
        "total": len(entries),
        "from_index": low,
        "next_index": high,
        "columns": columns,
        "rows": [[getattr(entry, column) for column in columns] for entry in entries[low:high]],
    }


_STREAMS: Final[Mapping[str, Callable[[FmfwVenue, Asked], Extract]]] = {
    "trades": trades,
    "candles": candles,
    "books": books,
    "ticks": sent_payloads,
    "derivatives": sent_payloads,
    "rates": sent_payloads,
}


def _market(exchange: Exchange, asked: Asked) -> Market:
    market = exchange.markets.get(asked.get("symbol", ""))
    if market is None:
        raise ExtractError(f"name a symbol, one of {', '.join(exchange.markets)}")
    return market


def _rows(asked: Asked, low: int, high: int) -> tuple[int, int]:
    """Read from_index and limit and fit them into what is there."""
    try:
        first, limit = int(asked.get("from_index", 0)), int(asked.get("limit", _ROWS_MAX))
    except ValueError as error:
        raise ExtractError("from_index and limit must be whole numbers") from error
    first = min(max(first, low), high)
    return first, min(high, first + max(0, min(limit, _ROWS_MAX)))


def _distinct(venue: FmfwVenue, channel: str, symbol: str) -> int:
    ledger, key = venue.ledger, (channel, symbol)
    if channel == "trades":
        return len(ledger.trades.get(symbol, ()))
    if key in ledger.bars:
        return len(ledger.bars[key])
    if key in ledger.books:
        return ledger.books[key].dropped + len(ledger.books[key])
    if key in ledger.payloads:
        return ledger.payloads[key].dropped + len(ledger.payloads[key])
    return 0


def _truth(venue: FmfwVenue, market: Market) -> Extract:
    last = market.last_trade
    return {
        "trades": market.trades.end,
        "live_trades": market.trades.end - venue.live_from[market.symbol],
        "kept_from_index": market.trades.dropped,
        "last_trade_id": last.id if last is not None else None,
        "sequence": market.sequence,
        "changed_ms": market.changed_ms,
    }
