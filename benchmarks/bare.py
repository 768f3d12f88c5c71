"""What reading alone costs: MetaAPI's packets are taken off a TLS socket by `websockets` and dropped.

    python -m benchmarks.bare serve --shape mix --pace 200 --certificate FILE --key FILE
    python -m benchmarks.bare read wss://127.0.0.1:PORT 10

The server prints its address; the reader, trusting in SSL_CERT_FILE, what it used. No client that reads with
`websockets` can take less time than this one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import time
from importlib.metadata import version
from itertools import cycle
from pathlib import Path

import uvloop
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_sockets
from websockets.exceptions import ConnectionClosed

from benchmarks.terminal import LONGEST_BURST, SHAPES, packets

# Packets that are sent again and again.
MADE = 2000
WARM_UP_SECONDS = 5.0


async def serve(shape: str, pace: float, certificate: Path, key: Path) -> None:
    """Send packets to whoever connects, until killed."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    frames = [frame.decode() for frame in (await packets(shape, MADE))[0]]

    async def send(to: ServerConnection) -> None:
        due = time.monotonic()
        try:
            for frame in cycle(frames):
                due = max(due + 1 / pace, time.monotonic() - LONGEST_BURST / pace)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                await to.send(frame)
        except ConnectionClosed:
            return

    async with serve_sockets(send, "127.0.0.1", 0, ssl=tls, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        print(json.dumps({"url": f"wss://127.0.0.1:{port}"}), flush=True)
        await asyncio.Event().wait()


async def read(url: str, seconds: float) -> None:
    """Read for so long, and print how many packets and bytes came and what processor time that took."""
    async with connect(url, compression=None, max_size=None) as line:
        warm = time.monotonic() + WARM_UP_SECONDS
        while time.monotonic() < warm:
            await line.recv(decode=False)
        began, cpu, count, size = time.monotonic(), time.process_time(), 0, 0
        while (passed := time.monotonic() - began) < seconds:
            size += len(await line.recv(decode=False))
            count += 1
        used = {"cpu": time.process_time() - cpu, "seconds": passed, "packets": count, "bytes": size}
    print(json.dumps({**used, "version": version("websockets")}), flush=True)


def main() -> None:
    """Do what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = parser.add_subparsers(dest="mode", required=True)
    serving = modes.add_parser("serve")
    serving.add_argument("--shape", choices=sorted(SHAPES), default="mix")
    serving.add_argument("--pace", type=float, default=200.0)
    serving.add_argument("--certificate", type=Path, required=True)
    serving.add_argument("--key", type=Path, required=True)
    reading = modes.add_parser("read")
    reading.add_argument("url")
    reading.add_argument("seconds", type=float)
    options = parser.parse_args()
    if options.mode == "serve":
        asyncio.run(serve(options.shape, options.pace, options.certificate, options.key))
    else:
        uvloop.run(read(options.url, options.seconds))


if __name__ == "__main__":
    main()
