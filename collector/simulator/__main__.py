"""Run the simulated venues in a process of their own: `python -m collector.simulator --help`."""

import argparse
import asyncio
import json
import signal
import ssl
import sys
from pathlib import Path

from collector import simulator


def _certificate(file: str) -> ssl.SSLContext:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        tls.load_cert_chain(file)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{file} is no PEM file with a certificate and its key: {error}") from error
    return tls


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="collector simulate",
        description="Serve simulated venues. The first line on stdout is one JSON object with their addresses.",
    )
    parser.add_argument("--venues", default=",".join(simulator.venue_names()), help="names, separated by commas")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same market")
    parser.add_argument("--rate", type=float, default=50.0, help="market events a second at each venue")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="of the first venue; 0 lets the system choose")
    parser.add_argument("--symbols", type=int, default=None, metavar="N", help="how many symbols each venue lists")
    parser.add_argument("--write-config", type=Path, default=None, metavar="FILE", help="a configuration to go with it")
    parser.add_argument(
        "--certificate", type=_certificate, default=None, metavar="FILE", help="PEM with the key: https and wss"
    )
    return parser.parse_args(argv)


async def _serve(arguments: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    async with simulator.serve(
        [name for name in arguments.venues.split(",") if name],
        seed=arguments.seed,
        rate=arguments.rate,
        host=arguments.host,
        port=arguments.port,
        symbols=arguments.symbols,
        tls=arguments.certificate,
    ) as running:
        if arguments.write_config is not None:
            arguments.write_config.write_text(running.config(), encoding="utf-8")
        sys.stdout.write(json.dumps(running.addresses) + "\n")
        sys.stdout.flush()
        await stop.wait()


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; give the exit status (2 for wrong usage, 1 when an address cannot be had)."""
    arguments = _arguments(argv)
    try:
        asyncio.run(_serve(arguments))
    except simulator.UnknownVenueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"cannot serve: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
