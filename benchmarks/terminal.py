"""A MetaAPI terminal at a steady pace: so many packets of market data a second, of a shape that is told.

    python -m benchmarks.terminal --shape mix --pace 200

It is the simulated venue, whose market stands still but for what is done here: one packet is made of one tick each of a
few symbols, with all that is subscribed of them. The first line on stdout is a JSON object with its address. `GET
/bench/state` on `control_url` counts what it sent; `POST /bench/pace` sets the packets a second, 0 at first.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import ssl
import sys
import time
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from aiohttp import web

from collector import simulator
from collector.simulator.metaapi import MetaapiVenue
from collector.simulator.metaapi.engine import decode_payload


class Shape(StrEnum):
    """Kinds of packets, by how many symbols have moved."""

    ONE = "one"
    MIX = "mix"
    FOUR = "four"


# How many symbols have moved when a packet is sent, and how often it is so many.
#
# Nothing is published about that. At 200 packets a second a terminal sends them 5 ms apart, and mostly one symbol has
# moved in so short a time; `mix` lets several move together, as they do on news and at round minutes.
SHAPES: Mapping[str, tuple[tuple[int, float], ...]] = {
    Shape.ONE: ((1, 1.0),),
    Shape.MIX: ((1, 0.70), (2, 0.20), (4, 0.10)),
    Shape.FOUR: ((4, 1.0),),
}
# What is subscribed of every symbol, and how many milliseconds lie between two of a kind at the least.
KINDS = {"quotes": 0, "ticks": 0, "candles/1m": 0, "candles/1h": 0, "marketDepth": 500}
ACCOUNT = "demo"
# Packets sent at once after a delay of this process: what is later than that is left out.
LONGEST_BURST = 5


class Terminal:
    """Makes the packets."""

    def __init__(self, venue: MetaapiVenue, shape: str) -> None:
        self.venue = venue
        self.pace = 0.0
        self.packets = 0
        self._counts, self._weights = zip(*SHAPES[shape], strict=True)
        self._random = random.Random(1)

    async def run(self) -> None:
        """Send until cancelled."""
        due = time.monotonic()
        while True:
            if not self.pace:
                await asyncio.sleep(0.02)
                due = time.monotonic()
                continue
            due = max(due + 1 / self.pace, time.monotonic() - LONGEST_BURST / self.pace)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self.send()

    def send(self) -> None:
        """Send the next packet."""
        self.venue.step(self._random.choices(self._counts, self._weights)[0], ACCOUNT)
        self.packets += 1

    async def state(self, _: web.Request) -> web.Response:
        """What was sent so far, and how many terminals send."""
        venue = self.venue
        return web.json_response(
            {
                "packets": self.packets,
                "bytes": sum(session.sent_characters for session in venue.sessions.values()),
                "items": sum(venue.ledger.items.values()),
                "flowing": sum(stream.flowing for stream in venue.streams.values()),
            }
        )

    async def set_pace(self, request: web.Request) -> web.Response:
        """Go on at another pace."""
        self.pace = float((await request.json())["pace"])
        return await self.state(request)


async def serve(options: argparse.Namespace) -> None:
    """Serve until killed."""
    tls = None
    if options.certificate is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options.certificate, options.key)
    settings = {"accounts": (ACCOUNT,), "running": False, "history_events": 500}
    async with simulator.serve(("metaapi",), seed=1, tls=tls, settings={"metaapi": settings}) as running:
        venue: MetaapiVenue = running["metaapi"]
        terminal = Terminal(venue, options.shape)
        app = web.Application()
        app.router.add_get("/bench/state", terminal.state)
        app.router.add_post("/bench/pace", terminal.set_pace)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        control_url = f"http://127.0.0.1:{runner.addresses[0][1]}/bench"
        print(json.dumps({**running.addresses["metaapi"], "control_url": control_url}), flush=True)
        await terminal.run()


async def packets(shape: str, count: int) -> tuple[list[bytes], dict[str, Any]]:
    """Return so many packets as a socket brings them, and the account as a plan describes it to the parser."""
    settings = {"accounts": (ACCOUNT,), "running": False, "history_events": 500}
    async with simulator.serve(("metaapi",), seed=1, settings={"metaapi": settings}) as running:
        venue: MetaapiVenue = running["metaapi"]
        account = venue.accounts[ACCOUNT]
        session = venue.connected(time.monotonic())
        stream = venue.open_stream(session, account, 0, "bench")
        stream.attach()
        stream.synchronize("bench", 0.0, 0.0)
        stream.flowing = True
        account.subscriptions.update({symbol: dict(KINDS) for symbol in account.broker.quoted})
        terminal = Terminal(venue, shape)
        found: list[bytes] = []
        while len(found) < count:
            terminal.send()
            arrived = decode_payload((await session.poll(0.0)).encode())
            found += [packet.encode() for packet in arrived if '"type":"prices"' in packet]
            await asyncio.sleep(0.001)  # packets of different moments
    described = {
        "name": ACCOUNT,
        "prefix": "",
        "symbols": list(account.broker.quoted),
        "tick_rows": True,
        "streams": ["trades", "ticks", "books", "candles"],
        "kinds": list(KINDS),
    }
    return found[:count], {account.id: described}


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="mix")
    parser.add_argument("--certificate", type=Path, default=None, metavar="FILE", help="for https and wss")
    parser.add_argument("--key", type=Path, default=None, metavar="FILE")
    options = parser.parse_args()
    if (options.certificate is None) != (options.key is None):
        sys.exit("--certificate and --key go together")
    asyncio.run(serve(options))


if __name__ == "__main__":
    main()
