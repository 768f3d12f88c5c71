"""Drives MetaAPI's own SDK as a recorder that keeps nothing: it only counts what its listener is given.

Run in an environment of its own: `metaapi_recorder.py PORT TOKEN ACCOUNT SUBSCRIPTIONS SYMBOL..`, SUBSCRIPTIONS being
JSON. Prints a line of JSON once everything is subscribed. The SDK makes its addresses out of a domain; here all names
below `localhost` lead to loopback, which not every resolver knows. Nothing of the SDK is touched.
"""

import asyncio
import json
import os
import socket
import sys

answers = os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the SDK logs on stdout

_resolve = socket.getaddrinfo


def _resolve_locally(host, *arguments, **named):
    name = host.decode() if isinstance(host, bytes) else host
    return _resolve("127.0.0.1" if name and name.endswith(".localhost") else host, *arguments, **named)


socket.getaddrinfo = _resolve_locally

from importlib.metadata import version  # noqa: E402  the resolver must be there first

from metaapi_cloud_sdk import MetaApi, SynchronizationListener  # noqa: E402  as above


class Listener(SynchronizationListener):
    """Counts."""

    def __init__(self):
        super().__init__()
        self.items = 0

    async def on_symbol_prices_updated(self, instance_index, prices, *numbers):
        self.items += len(prices)

    async def on_ticks_updated(self, instance_index, ticks, *numbers):
        self.items += len(ticks)

    async def on_candles_updated(self, instance_index, candles, *numbers):
        self.items += len(candles)

    async def on_books_updated(self, instance_index, books, *numbers):
        self.items += len(books)


async def main(port, token, account_id, subscriptions, *symbols):
    api = MetaApi(token, {"domain": f"localhost:{port}", "requestTimeout": 10})
    account = await api.metatrader_account_api.get_account(account_id)
    await account.wait_connected()
    connection = account.get_streaming_connection()
    listener = Listener()
    connection.add_synchronization_listener(listener)
    await connection.connect()
    await connection.wait_synchronized({"timeoutInSeconds": 30})
    for symbol in symbols:
        await connection.subscribe_to_market_data(symbol, json.loads(subscriptions))
    answers.write(json.dumps({"version": version("metaapi-cloud-sdk")}) + "\n")
    answers.flush()
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
