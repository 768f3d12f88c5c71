"""Drives the vendor's own SDK: connects, subscribes to everything, pages through history, and prints what it was given.

Run in an environment of its own: `drive_metaapi.py PORT TOKEN ACCOUNT TIMEFRAME SYMBOL..`. The SDK makes its addresses
out of a domain; here all names below `localhost` lead to loopback, which not every resolver knows. Nothing of the SDK
is touched.
"""

import asyncio
import json
import os
import socket
import sys
from datetime import datetime

answers = os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the SDK logs on stdout

_resolve = socket.getaddrinfo


def _resolve_locally(host, *arguments, **named):
    name = host.decode() if isinstance(host, bytes) else host
    return _resolve("127.0.0.1" if name and name.endswith(".localhost") else host, *arguments, **named)


socket.getaddrinfo = _resolve_locally

from metaapi_cloud_sdk import MetaApi, SynchronizationListener  # noqa: E402  the resolver must be there first


def plain(value):
    """Make what the SDK gives printable; it turns times into objects."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items() if key not in ("equity", "timestamps")}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value


class Listener(SynchronizationListener):
    """Writes down everything that a listener is called with."""

    def __init__(self):
        super().__init__()
        self.held = {"prices": [], "ticks": [], "candles": [], "books": [], "downgrades": []}
        self.disconnects = 0
        self.connects = 0
        self.specifications = 0

    async def on_connected(self, instance_index, replicas):
        self.connects += 1

    async def on_disconnected(self, instance_index):
        self.disconnects += 1

    async def on_symbol_specifications_updated(self, instance_index, specifications, removed_symbols):
        self.specifications += len(specifications)

    async def on_symbol_prices_updated(self, instance_index, prices, *numbers):
        self.held["prices"] += plain(prices)

    async def on_ticks_updated(self, instance_index, ticks, *numbers):
        self.held["ticks"] += plain(ticks)

    async def on_candles_updated(self, instance_index, candles, *numbers):
        self.held["candles"] += plain(candles)

    async def on_books_updated(self, instance_index, books, *numbers):
        self.held["books"] += plain(books)

    async def on_subscription_downgraded(self, instance_index, symbol, updates, unsubscriptions):
        self.held["downgrades"].append([symbol, plain(updates), plain(unsubscriptions)])


async def commands():
    """Give the lines that the test writes."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line.decode().split()


def say(value):
    answers.write(json.dumps(value) + "\n")
    answers.flush()


async def pages(account, symbol):
    """Page through all ticks as the vendor's example does."""
    found, start, offset = [], datetime.fromisoformat("2020-01-01T00:00:00+00:00"), 0
    while page := await account.get_historical_ticks(symbol, start, offset, 1000):
        found += page
        same = sum(tick["time"] == page[-1]["time"] for tick in page)
        offset = offset + same if page[-1]["time"] == start else same
        start = page[-1]["time"]
    return plain(found)


async def main(port, token, account_id, timeframe, *symbols):
    api = MetaApi(token, {"domain": f"localhost:{port}", "requestTimeout": 10})
    account = await api.metatrader_account_api.get_account(account_id)
    await account.wait_connected()
    connection = account.get_streaming_connection()
    listener = Listener()
    connection.add_synchronization_listener(listener)
    await connection.connect()
    await connection.wait_synchronized({"timeoutInSeconds": 30})
    wanted = [
        {"type": "quotes", "intervalInMilliseconds": 1},
        {"type": "ticks", "intervalInMilliseconds": 0},
        {"type": "candles", "timeframe": timeframe, "intervalInMilliseconds": 1},
        {"type": "marketDepth", "intervalInMilliseconds": 1},
    ]
    for symbol in symbols:
        await connection.subscribe_to_market_data(symbol, wanted)
    say("ready")
    async for command, *arguments in commands():
        if command == "stop":
            break
        if command == "held":
            # "held PRICES TICKS CANDLES BOOKS": once so many have come, or after ten seconds.
            counts = dict(zip(("prices", "ticks", "candles", "books"), map(int, arguments), strict=False))
            for _ in range(200):
                if all(len(listener.held[kind]) >= count for kind, count in counts.items()):
                    break
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.3)
            facts = {
                "connects": listener.connects,
                "disconnects": listener.disconnects,
                "specifications": listener.specifications,
                "synchronized": connection.synchronized,
                "price": plain(connection.terminal_state.price(symbols[0])),
            }
            say({**listener.held, **facts})
        elif command == "forget":
            for held in listener.held.values():
                held.clear()
            say("forgotten")
        elif command == "synchronized":
            await connection.wait_synchronized({"timeoutInSeconds": 30})
            say("synchronized")
        elif command == "history":
            candles = await account.get_historical_candles(symbols[0], timeframe, None, 1000)
            say({"candles": plain(candles), "ticks": await pages(account, symbols[0])})
    answers.close()
    os._exit(0)  # closing properly takes the SDK longer than anybody waits


asyncio.run(main(*sys.argv[1:]))
