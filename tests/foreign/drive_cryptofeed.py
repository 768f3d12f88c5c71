"""Records trades, book, candles and ticker with cryptofeed's `FMFW` until it is told to stop on stdin.

Runs in an environment of its own: `python drive_cryptofeed.py REST_URL WS_URL SYMBOL..` (cryptofeed's symbols).  Prints
"ready" when every kind of data has come, and, after the word on stdin and half a second of silence, what it has
recorded as one JSON object.
"""
# ruff: noqa: ASYNC110, T201  stdout is how it answers; the client has no event to wait for

import asyncio
import json
import sys
import time
from collections import defaultdict
from importlib.metadata import version

from cryptofeed import FeedHandler
from cryptofeed.connection import RestEndpoint, Routes, WebsocketEndpoint
from cryptofeed.defines import CANDLES, L2_BOOK, TICKER, TRADES
from cryptofeed.exchanges import FMFW


def main(rest_url: str, ws_url: str, symbols: list[str]) -> None:
    FMFW.websocket_endpoints = [WebsocketEndpoint(ws_url)]
    FMFW.rest_endpoints = [RestEndpoint(rest_url.removesuffix("/api/3"), routes=Routes("/api/3/public/symbol"))]
    held = {"trades": defaultdict(list), "candles": defaultdict(dict), "tickers": defaultdict(list), "books": {}}
    sequences = defaultdict(list)
    heard = [time.monotonic()]

    async def trade(one, _received: float) -> None:
        heard[0] = time.monotonic()
        held["trades"][one.symbol].append(
            [one.id, round(one.timestamp * 1000), str(one.price), str(one.amount), one.side]
        )

    async def candle(one, _received: float) -> None:
        values = [str(one.open), str(one.close), str(one.high), str(one.low), str(one.volume)]
        held["candles"][one.symbol][round(one.start * 1000)] = values

    async def ticker(one, _received: float) -> None:
        held["tickers"][one.symbol].append([round(one.timestamp * 1000), str(one.bid), str(one.ask)])

    async def book(one, _received: float) -> None:
        heard[0] = time.monotonic()
        sequences[one.symbol].append(one.sequence_number)
        sides = one.book.to_dict()
        held["books"][one.symbol] = {
            key: [[str(price), str(size)] for price, size in sides[side].items()]
            for key, side in (("a", "ask"), ("b", "bid"))
        }

    handler = FeedHandler(config={"log": {"disabled": True}, "uvloop": False})
    handler.add_feed(
        FMFW(
            symbols=symbols,
            channels=[TRADES, L2_BOOK, CANDLES, TICKER],
            callbacks={TRADES: trade, L2_BOOK: book, CANDLES: candle, TICKER: ticker},
            retries=0,
        )
    )
    handler.run(start_loop=False, install_signal_handlers=False)

    async def record() -> None:
        while not (held["tickers"] and held["candles"] and len(held["books"]) == len(symbols)) or (
            sum(map(len, held["trades"].values())) < 30
        ):
            await asyncio.sleep(0.02)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        while time.monotonic() - heard[0] < 0.5:
            await asyncio.sleep(0.05)

    asyncio.get_event_loop().run_until_complete(record())
    print(json.dumps({"version": version("cryptofeed"), "sequences": sequences, **held}), flush=True)


main(sys.argv[1], sys.argv[2], sys.argv[3:])
