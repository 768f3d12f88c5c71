"""The pictures of the status page in `docs/images`, made anew from simulated venues: `make pictures`.

A real daemon records all simulated venues for a few minutes into a throwaway TimescaleDB. So that the strips of the
last day have something to tell, its sessions are then told to have begun yesterday, with some interruptions since.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import asyncpg
from playwright.async_api import Browser, Page, expect

from collector import simulator
from collector.config import load
from collector.daemon.daemon import Daemon
from tests.databases import TIMESCALEDB, DatabaseServers
from tests.kit.browser import PATIENCE_MS, browsing
from tests.kit.running import running as started
from tests.kit.stage import live, until

IMAGES = Path(__file__).parents[2] / "docs" / "images"
WIDE, PHONE = (1280, 880), (390, 844)

YESTERDAY = """
update sessions set opened_at = opened_at - interval '30 hours';
insert into gaps (instrument_id, stream, from_time, to_time, cause, reason, state, filled_rows, filled_at)
select i.instrument_id, s.stream, now() - g.since, now() - g.since + g.length, g.cause, g.reason,
       case when s.stream in ('trades', 'candles') then 'repaired' else 'unrecoverable' end,
       case when s.stream in ('trades', 'candles') then 40 + i.instrument_id * 7 end, now() - g.since + g.length
from instruments i join venues v using (venue_id)
join (values ('fmfw', interval '37 minutes', interval '4 minutes', 'disconnect', 'closed by the venue: 1012 restart'),
             ('fmfw', interval '9 hours', interval '13 minutes', 'disconnect', 'closed by the venue: 1001 maintenance'),
             ('metaapi', interval '17 hours', interval '48 minutes', 'disconnect', 'the line was silent for 60 s'),
             ('finam', interval '3 hours', interval '95 seconds', 'stopped', 'the daemon was not running'))
  as g (venue, since, length, cause, reason) on g.venue = v.code
cross join (values ('trades'), ('candles'), ('ticks'), ('books')) as s (stream);
"""


async def make(dsn: str, folder: Path, seconds: float) -> None:
    """Record for `seconds`, then take all pictures."""
    async with simulator.serve(seed=3, rate=60.0) as running:
        config = folder / "pictures.toml"
        config.write_text(running.config())
        configured = load(
            config,
            {
                "COLLECTOR_DATA_DIR": str(folder / "data"),
                "COLLECTOR_DATABASE__DSN": dsn,
                "COLLECTOR_HTTP__LISTEN": "127.0.0.1:0",
                # It would find what yesterday's sessions are said to have recorded, and did not.
                "COLLECTOR_AUDIT__ENABLED": "false",
            },
        )
        async with started(configured) as daemon:
            await until(lambda: live(daemon), "a daemon that records")
            await asyncio.sleep(seconds)
            connection = await asyncpg.connect(dsn)
            await connection.execute(YESTERDAY)
            await connection.close()
            daemon.changes.gaps.tell()
            async with browsing() as browser:
                await take_all(browser, daemon, running)


async def take_all(browser: Browser, daemon: Daemon, running: simulator.Running) -> None:
    """Take the pictures of a daemon that works, and then of one whose venue does not."""
    address = str(daemon.http_address)
    instrument = f"{address}/instrument?venue=fmfw&symbol=BTCUSDT"
    await take(browser, "status-light", address, wait="#streams .lost")
    await take(browser, "streams-dark", address, dark=True, wait="#streams .lost", at="section:has(#streams)")
    await take(browser, "status-phone", address, size=PHONE, wait="#streams .lost", at="section:has(#streams)")
    await take(browser, "instrument-light", instrument, wait="#depth[aria-label^='order book']", settle=2)
    venue = running["fmfw"]
    for fault in ("garbage", "nan_price", "refuse_connections", "cut"):
        venue.fault(fault)
    await take(browser, "status-fault", address, dark=True, wait="#reasons .bad")


async def take(
    browser: Browser,
    name: str,
    address: str,
    *,
    wait: str,
    size: tuple[int, int] = WIDE,
    dark: bool = False,
    at: str | None = None,
    settle: float = 6,
) -> None:
    """Take one picture, once `wait` is to be seen; of the page's top, or from the element `at` on."""
    context = await browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light"
    )
    page: Page = await context.new_page()
    await page.goto(address)
    await expect(page.locator(wait).first).to_be_attached(timeout=4 * PATIENCE_MS)
    await asyncio.sleep(settle)  # for the small curves, which need a few states
    if at:
        await page.evaluate("(at) => scrollTo(0, document.querySelector(at).getBoundingClientRect().top - 12)", at)
    IMAGES.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=IMAGES / f"{name}.png")
    await context.close()


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.web.pictures", description=__doc__)
    parser.add_argument("--seconds", type=float, default=240.0, help="how long to record first")
    options = parser.parse_args()
    servers = DatabaseServers()
    try:
        server = servers.get(TIMESCALEDB)
        with tempfile.TemporaryDirectory() as folder:

            async def run() -> None:
                async with server.database() as dsn:
                    await make(dsn, Path(folder), options.seconds)

            asyncio.run(run())
    finally:
        servers.stop()
    sys.stderr.write(f"pictures are in {IMAGES}\n")


if __name__ == "__main__":
    main()
