"""Serving a simulated venue until a context ends."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar, cast

from aiohttp import web

from collector.simulator.options import Options


class Living(Protocol):
    """A venue that lives while it is served."""

    address: dict[str, str]

    async def run(self) -> None: ...
    async def stop(self) -> None: ...


V = TypeVar("V", bound=Living)


@asynccontextmanager
async def served(
    venue: V, application: web.Application, options: Options, address: Callable[[str, str], Mapping[str, str]]
) -> AsyncIterator[V]:
    """Serve the venue on `options.host` and `options.port`.

    `address` gives what clients need to connect, from the beginnings of its addresses: `http://..` and `ws://..`, with
    host and port.
    """
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, options.host, options.port, ssl_context=options.tls).start()
        secure, place = "s" if options.tls is not None else "", f"{options.host}:{runner.addresses[0][1]}"
        venue.address = dict(address(f"http{secure}://{place}", f"ws{secure}://{place}"))
        async with asyncio.TaskGroup() as group:
            living = group.create_task(venue.run(), name=f"{type(venue).__name__} lives")
            try:
                yield venue
            finally:
                living.cancel()
    finally:
        await venue.stop()
        await runner.cleanup()


async def opened(request: web.Request, most_bytes: int) -> tuple[web.WebSocketResponse, asyncio.Transport]:
    """Open a client's socket whose pings the venue answers itself; gives its transport, too."""
    socket = web.WebSocketResponse(
        autoping=False, autoclose=False, compress=False, max_msg_size=most_bytes, timeout=1.0
    )
    await socket.prepare(request)
    return socket, cast("asyncio.Transport", request.transport)
