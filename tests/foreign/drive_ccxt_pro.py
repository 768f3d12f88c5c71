"""Watches trades, book, candles and ticker with ccxt.pro's `hitbtc` until it is told to stop on stdin.

Runs in an environment of its own: `python drive_ccxt_pro.py REST_URL WS_URL SYMBOL`.  Prints "ready" when every kind of
data has come, and, after the word on stdin and half a second of silence, what it holds as one JSON object.
"""
# ruff: noqa: ASYNC110, T201  stdout is how it answers; the client has no event to wait for

import asyncio
import json
import sys
import time

import ccxt.pro


async def watch(held: dict, name: str, ask) -> None:
    while True:
        held[name] = await ask()
        held["heard"] = time.monotonic()
        if name == "trades":
            for trade in held["trades"]:
                held["all_trades"][trade["id"]] = trade["info"]
        elif name == "candles":
            for candle in held["candles"]:
                held["all_candles"][candle[0]] = candle


async def main(rest_url: str, ws_url: str, symbol: str) -> None:
    exchange = ccxt.pro.hitbtc({"newUpdates": True})
    exchange.urls["api"]["public"] = rest_url
    exchange.urls["api"]["ws"]["public"] = ws_url
    held: dict = {"all_trades": {}, "all_candles": {}}
    try:
        await exchange.load_markets()
        tasks = [
            asyncio.create_task(watch(held, "trades", lambda: exchange.watch_trades(symbol))),
            asyncio.create_task(watch(held, "candles", lambda: exchange.watch_ohlcv(symbol, "1m"))),
            asyncio.create_task(watch(held, "book", lambda: exchange.watch_order_book(symbol))),
            asyncio.create_task(watch(held, "ticker", lambda: exchange.watch_ticker(symbol))),
        ]
        while not {"trades", "candles", "book", "ticker"} <= set(held) or len(held["all_trades"]) < 30:
            for task in tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.02)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        while time.monotonic() - held["heard"] < 0.5:
            await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
    finally:
        await exchange.close()
    book = held["book"]
    print(
        json.dumps(
            {
                "version": ccxt.__version__,
                "trades": list(held["all_trades"].values()),
                "candles": sorted(held["all_candles"].values()),
                "ticker": held["ticker"],
                "book": {"s": book["nonce"], "a": book["asks"], "b": book["bids"]},
            }
        )
    )


asyncio.run(main(*sys.argv[1:]))
