# mypy: ignore-errors
"""Record trades with cryptofeed and its PostgreSQL backend until killed. Runs in an environment of its own.

    BENCH_DSN=postgresql://.. python cryptofeed_recorder.py REST_URL WS_URL SYMBOL..

Everything is cryptofeed's own but the addresses. The first line on stdout is a JSON object with its version.
"""

import asyncio
import json
import os
import sys
from importlib.metadata import version
from urllib.parse import parse_qsl, urlsplit

from cryptofeed import FeedHandler
from cryptofeed.backends.postgres import TradePostgres
from cryptofeed.connection import RestEndpoint, Routes, WebsocketEndpoint
from cryptofeed.defines import TRADES
from cryptofeed.exchanges import FMFW


class LocalFMFW(FMFW):
    """Connects without TLS, which it does not offer itself, so that both recorders do the same work."""

    def connect(self):
        connections = super().connect()
        for connection, *_ in connections:
            connection.address = connection.address.replace("wss://", "ws://", 1)
        return connections


def main(rest_url: str, ws_url: str, symbols: list[str]) -> None:
    """Build the feed and run it."""
    LocalFMFW.websocket_endpoints = [WebsocketEndpoint(ws_url.replace("ws://", "wss://", 1))]
    LocalFMFW.rest_endpoints = [RestEndpoint(rest_url.removesuffix("/api/3"), routes=Routes("/api/3/public/symbol"))]
    place = urlsplit(os.environ["BENCH_DSN"])
    options = dict(parse_qsl(place.query))  # the server listens on a socket in this folder
    # Without the setting the driver looks for certificates in the home of whoever runs this.
    os.environ["PGSSLMODE"] = "disable"
    backend = TradePostgres(
        host=options["host"],
        port=int(options["port"]),
        user=place.username,
        pw=place.password,
        db=place.path.lstrip("/"),
    )
    handler = FeedHandler(config={"log": {"disabled": True}, "uvloop": True})
    handler.add_feed(LocalFMFW(symbols=symbols, channels=[TRADES], callbacks={TRADES: backend}))
    print(json.dumps({"version": f"cryptofeed {version('cryptofeed')}"}), flush=True)
    asyncio.set_event_loop(asyncio.new_event_loop())  # it expects one to be there, which newer loops do not make
    handler.run()


main(sys.argv[1], sys.argv[2], sys.argv[3:])
