"""Asks everything public of ccxt's `fmfwio` and prints the answers as one JSON object.

Runs in an environment of its own: `python drive_ccxt_rest.py REST_URL SYMBOL..` (unified symbols).
"""
# ruff: noqa: T201  stdout is how it answers

import json
import sys

import ccxt


def main(rest_url: str, symbols: list[str]) -> None:
    exchange = ccxt.fmfwio()
    exchange.urls["api"]["public"] = rest_url
    markets = exchange.load_markets()
    answers = {
        "version": ccxt.__version__,
        "markets": {symbol: market["id"] for symbol, market in markets.items()},
        "currencies": sorted(exchange.currencies),
        "tickers": exchange.fetch_tickers(),
        "symbols": {
            symbol: {
                "ticker": exchange.fetch_ticker(symbol),
                "trades": exchange.fetch_trades(symbol, limit=1000),
                "candles": exchange.fetch_ohlcv(symbol, "1m", limit=1000),
                "hours": exchange.fetch_ohlcv(symbol, "1h", limit=1000),
                "book": exchange.fetch_order_book(symbol, 0),
            }
            for symbol in symbols
        },
        "fundings": exchange.fetch_funding_rate_history("BTC/USDT:USDT", limit=10),
        "errors": [],
    }
    try:
        exchange.publicGetPublicTradesSymbol({"symbol": "NOSUCH"})
    except ccxt.BaseError as error:
        answers["errors"].append(type(error).__name__)
    print(json.dumps(answers))


main(sys.argv[1], sys.argv[2:])
