"""What an open page of two hundred instruments costs: the wait for its first picture, and the daemon's time."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.kit.browser import browsing, opened
from tests.kit.market import market
from tests.kit.watched import RunningClock, serving, watched

pytestmark = [
    pytest.mark.soak,
    pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True),
]

INSTRUMENTS = 200
STREAMS = ("trades", "ticks", "books", "candles")
SECONDS = 30.0
FIRST_PAINT_MS = 1000
SHARE_OF_A_CORE = 0.01


async def cpu_share(seconds: float) -> float:
    """Return which part of a core this process uses; the browser and its driver are processes of their own."""
    began, used = time.monotonic(), time.process_time()
    await asyncio.sleep(seconds)
    return (time.process_time() - used) / (time.monotonic() - began)


async def test_page_of_two_hundred_instruments_is_there_at_once_and_costs_next_to_nothing(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    symbols = [f"SYMBOL{number:03}USDT" for number in range(INSTRUMENTS)]
    async with watched(tmp_path, RunningClock()) as daemon, market(database) as tables:
        daemon.database.dsn = lambda: database  # type: ignore[method-assign]
        worker = daemon.add_venue()
        for stream in STREAMS:
            daemon.add_connection(worker, *symbols, stream=stream)
            await tables.session(*symbols, stream=stream)
        for number in range(0, INSTRUMENTS, 2):
            await tables.gap(symbols[number], 3600 * (number % 20 + 1), 3600 * (number % 20 + 1) - 300, "repaired")
        async with serving(daemon) as address:
            alone = await cpu_share(SECONDS)
            async with browsing() as browser:
                paints, complete = [], []
                for _ in range(3):
                    began = time.monotonic()
                    async with opened(browser, address) as (page, _):
                        await expect(page.locator("#streams")).to_contain_text(symbols[0])
                        complete.append((time.monotonic() - began) * 1000)
                        paints.append(
                            await page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
                        )
                async with opened(browser, address) as (page, _):
                    await expect(page.locator("#tally")).to_have_text("800 of 800 streams flow")
                    open_share = await cpu_share(SECONDS)
    cost = open_share - alone
    with capsys.disabled():
        print(  # noqa: T201  what the benchmarks' page quotes
            f"\nfirst paint {min(paints):.0f} to {max(paints):.0f} ms, rows there after {min(complete):.0f} to "
            f"{max(complete):.0f} ms; the daemon without a page {alone:.2%} of a core, with one {open_share:.2%}"
        )
    assert min(paints) < FIRST_PAINT_MS
    assert cost < SHARE_OF_A_CORE
