"""A daemon that runs in the test's own process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from collector.clock import Clock
from collector.config import Config
from collector.daemon.daemon import Daemon

PATIENCE_SECONDS = 90.0


@asynccontextmanager
async def running(
    config: Config, *, clock: Clock | None = None, reread: Callable[[], Config] | None = None
) -> AsyncIterator[Daemon]:
    """Run a daemon inside the block; at its end it is stopped, and what it raised is raised."""
    async with Daemon.opened(config, clock=clock, reread=reread) as daemon:
        task = asyncio.ensure_future(daemon.run())
        try:
            started = asyncio.ensure_future(daemon.started.wait())
            await asyncio.wait([task, started], return_when=asyncio.FIRST_COMPLETED)
            started.cancel()
            if task.done():
                await task
            yield daemon
        finally:
            daemon.stop()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await task
