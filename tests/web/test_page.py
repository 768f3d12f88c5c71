"""The status page in a real browser: what it shows, that it follows, and what it never does."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from collector.audit.losses import Alarm
from collector.feed.connection import ConnectionState
from collector.status import snapshot as status
from collector.venues.events import SubscriptionState, SubscriptionStatus
from collector.web import day, events, instruments
from tests.kit.browser import PATIENCE_MS, browsing, opened, overflow, poor_contrasts
from tests.kit.market import Market, market
from tests.kit.stage import live, stage, until
from tests.kit.watched import RunningClock, WatchedDaemon, serving, watched

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True),
]

ACKNOWLEDGED = SubscriptionState.ACKNOWLEDGED
EVIL = '<img src=x onerror="alert(1)"><script>alert(2)</script>'
expect.set_options(timeout=PATIENCE_MS)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with browsing() as one:
        yield one


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """States follow each other sooner than they do for people."""
    monkeypatch.setattr(events, "STATE_INTERVAL_SECONDS", 0.25)
    monkeypatch.setattr(day, "CHANGED_MAX_AGE_SECONDS", 0.25)
    monkeypatch.setattr(day, "AWAY_RETRY_SECONDS", 0.25)
    monkeypatch.setattr(instruments, "ANSWER_MAX_AGE_SECONDS", 0.25)


class Scene:
    """A watched daemon that is served, and the tables behind it."""

    def __init__(self, daemon: WatchedDaemon, tables: Market, address: str) -> None:
        self.daemon = daemon
        self.tables = tables
        self.address = address

    def gaps_changed(self) -> None:
        self.daemon.changes.gaps.tell()


@asynccontextmanager
async def scene(folder: Path, database: str, *symbols: str) -> AsyncIterator[Scene]:
    async with watched(folder, RunningClock()) as daemon, market(database) as tables:
        daemon.database.dsn = lambda: database  # type: ignore[method-assign]
        daemon.add_connection(daemon.add_venue(), *symbols)
        await tables.session(*symbols)
        async with serving(daemon) as address:
            yield Scene(daemon, tables, address)


async def test_page_shows_venues_streams_coverage_quarantine_and_storage(
    browser: Browser, database: str, tmp_path: Path
) -> None:
    async with scene(tmp_path, database, "BTCUSDT", "ETHUSDT") as on:
        await on.tables.gap("ETHUSDT", 7200, 7200 - 864, "unrecoverable")
        await on.tables.quarantine("a price of NaN")
        async with opened(browser, on.address) as (page, _):
            await expect(page.locator("#verdict")).to_have_text("recording")
            await expect(page.locator("#line")).to_have_text("live")
            venue = page.locator("#venues tr")
            await expect(venue.nth(0)).to_contain_text("fake")
            await expect(venue.nth(0)).to_contain_text("1 of 1 connection live")
            await expect(venue.nth(1)).to_contain_text("fake-1")
            stream = page.locator("#streams tr", has_text="ETHUSDT")
            await expect(stream).to_contain_text("flowing")
            await expect(stream.get_by_role("img")).to_have_accessible_name("last 24 hours: 99.00 %, 1 gap")
            await expect(page.locator("#streams tr", has_text="BTCUSDT").get_by_role("img")).to_have_accessible_name(
                "last 24 hours: 100 %"
            )
            await expect(page.locator("#streams tr", has_text="ETHUSDT").locator("rect.lost")).to_have_count(1)
            await expect(page.locator("#quarantine")).to_contain_text("a price of NaN")
            await expect(page.locator("#quarantine-state")).to_have_text("1 waits")
            await expect(page.locator("#journal")).to_contain_text("disk free")
            await expect(page.locator("#database-state")).to_have_text("connected")
            await expect(page.locator("#database")).to_contain_text("psql")
            await expect(page.locator("#reasons li")).to_have_count(0)
            assert await page.title() == "recording – collector"


async def test_page_follows_what_happens_without_being_loaded_again(
    browser: Browser, database: str, tmp_path: Path
) -> None:
    async with scene(tmp_path, database, "A") as on, opened(browser, on.address) as (page, _):
        await page.evaluate("window.loaded = 'once'")
        feed = on.daemon.first_connection
        feed.heard.frames = 1_234_567
        await expect(page.locator("#venues")).to_contain_text("1,234,567")
        feed.state, feed.reason = ConnectionState.WAITING, "the venue closed the line: 1001 maintenance"
        feed.since_ns = on.daemon.clock.now_ns()
        feed.living = None
        await expect(page.locator("#verdict")).to_have_text("not recording")
        await expect(page.locator("#reasons")).to_contain_text("Fault")
        await expect(page.locator("#reasons")).to_contain_text("1001 maintenance")
        await expect(page.locator("#venues")).to_contain_text("1001 maintenance")
        await expect(page.locator("#streams tr", has_text="A").last).to_contain_text("waiting")
        assert await page.title() == "not recording – collector"
        assert await page.evaluate("window.loaded") == "once"


async def test_minutes_that_the_audit_cannot_explain_and_refused_reloads_are_told(
    browser: Browser, database: str, tmp_path: Path
) -> None:
    async with scene(tmp_path, database, "A") as on:
        auditor = on.daemon.auditing.auditor
        assert auditor is not None
        minute = datetime(2026, 11, 21, 12, 5, tzinfo=UTC)
        alarm = Alarm(1, "fake", "A", minute, 2, Decimal("1.5"), 3, Decimal("1.75"), "volume,trades", "open", ())
        auditor.last_minute, auditor.alarms.open = minute, (alarm,)
        reloading = on.daemon.reloading
        told = replace(reloading.facts(), refused=("venues.fake.symbols: is empty",), needs_restart=("data_dir",))
        reloading.facts = lambda: told  # type: ignore[method-assign]
        async with opened(browser, on.address) as (page, _):
            await expect(page.locator("#audit-state")).to_have_text("1 unexplained")
            await expect(page.locator("#alarms tr")).to_contain_text("1.75")
            await expect(page.locator("#alarms tr")).to_contain_text("open")
            await expect(page.locator("#reasons")).to_contain_text("minutes are not explained")
            await expect(page.locator("#reasons")).to_contain_text("refused: venues.fake.symbols: is empty")
            await expect(page.locator("#reasons")).to_contain_text("needs a restart: data_dir")
            auditor.alarms.open = ()
            await expect(page.locator("#audit-state")).to_have_text("nothing unexplained")
            await expect(page.locator("#alarms-table")).to_be_hidden()


async def test_gap_appears_in_the_strip_and_is_repaired_before_ones_eyes(
    browser: Browser, database: str, tmp_path: Path
) -> None:
    async with scene(tmp_path, database, "A") as on, opened(browser, on.address) as (page, _):
        strip = page.locator("#streams tr").last.get_by_role("img")
        await expect(strip).to_have_accessible_name("last 24 hours: 100 %")
        await on.tables.gap("A", 3600, 2736)
        on.gaps_changed()
        await expect(strip).to_have_accessible_name("last 24 hours: 99.00 %, 1 gap")
        await expect(strip.locator(".missing")).to_have_count(1)
        await on.tables._connection.execute("update gaps set state = 'repaired'")
        on.gaps_changed()
        await expect(strip).to_have_accessible_name("last 24 hours: 100 %, 1 gap")
        await expect(strip.locator(".missing")).to_have_count(0)


async def test_page_says_since_when_the_daemon_is_gone_and_comes_back_by_itself(
    browser: Browser, database: str, tmp_path: Path
) -> None:
    async with watched(tmp_path, RunningClock()) as daemon:
        daemon.add_connection(daemon.add_venue(), "A")
        async with serving(daemon) as address:
            daemon.port = int(address.rpartition(":")[2])
            daemon.listening.clear()
            opening = opened(browser, address)
            page, seen = await opening.__aenter__()
            await expect(page.locator("#line")).to_have_text("live")
        await expect(page.locator("#lost")).to_contain_text("Not connected since")
        await expect(page.locator("#line")).to_have_text("not connected")
        await expect(page.locator("#verdict")).to_have_text("not known")
        async with serving(daemon):
            await expect(page.locator("#line")).to_have_text("live")
            await expect(page.locator("#lost")).to_be_hidden()
            await expect(page.locator("#verdict")).to_have_text("recording")
            seen.forgive("ERR_")
            await opening.__aexit__(None, None, None)


async def test_database_that_is_away_is_said_and_takes_nothing_else_from_the_page(
    browser: Browser, tmp_path: Path, database_server: object
) -> None:
    async with watched(tmp_path, RunningClock()) as daemon:
        daemon.add_connection(daemon.add_venue(), "A")
        daemon.writer_connection.note_away("DatabaseUnreachableError: nobody answers")
        async with serving(daemon) as address, opened(browser, address) as (page, _):
            await expect(page.locator("#database-state")).to_have_text("away")
            await expect(page.locator("#quarantine-state")).to_have_text("database away")
            await expect(page.locator("#reasons")).to_contain_text("is kept in the journal")
            await expect(page.locator("#streams")).to_contain_text("flowing")
            await expect(page.locator("#streams").get_by_role("img")).to_have_accessible_name(
                "the last 24 hours are not known"
            )


async def test_two_hundred_instruments_can_be_searched_sorted_folded_and_worked_by_keyboard(
    browser: Browser, database: str, tmp_path: Path
) -> None:
    symbols = [f"S{number:03}USDT" for number in range(200)]
    async with scene(tmp_path, database, *symbols) as on:
        other = on.daemon.add_venue("other")
        on.daemon.add_connection(other, "FINE")
        on.daemon.add_connection(other, "BROKEN", state=ConnectionState.CONNECTING)
        async with opened(browser, on.address) as (page, _):
            await expect(page.locator("#tally")).to_have_text("201 of 202 streams flow")
            # What needs attention comes first in its venue.
            await expect(page.locator("#streams tbody", has_text="BROKEN").locator("tr").nth(1)).to_contain_text(
                "BROKEN"
            )
            await page.get_by_role("button", name="Show the other 170").click()
            await expect(page.locator("#streams tbody").first.locator("tr")).to_have_count(201)
            await page.get_by_label("Find").fill("s17 usdt")
            await expect(page.locator("#streams tbody tr")).to_have_count(11)
            await page.get_by_label("Find").fill("no such thing")
            await expect(page.locator("#nothing")).to_be_visible()
            await page.get_by_label("Find").fill("")
            await page.get_by_label("only what needs attention").check()
            await expect(page.locator("#streams tbody tr")).to_have_count(2)
            await page.get_by_label("only what needs attention").uncheck()
            fold = page.get_by_role("button", name="fake", exact=True)
            await fold.focus()
            await page.keyboard.press("Enter")
            await expect(fold).to_have_attribute("aria-expanded", "false")
            await expect(page.locator("#streams tbody").first.locator("tr")).to_have_count(1)
            await page.get_by_role("button", name="Symbol").press("Enter")
            await expect(page.get_by_role("columnheader", name="Symbol")).to_have_attribute("aria-sort", "ascending")
            await expect(page.locator("#streams tbody").last.locator("tr").nth(1)).to_contain_text("BROKEN")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_texts_can_be_read_in_either_scheme(browser: Browser, database: str, tmp_path: Path, scheme: Any) -> None:
    async with scene(tmp_path, database, "A", "B") as on:
        await fill_instrument(on.tables)
        await on.tables.quarantine("unreadable")
        worker = on.daemon.workers["fake"].worker
        on.daemon.add_connection(worker, "C", state=ConnectionState.CONNECTING)
        on.daemon.journal._room.fault = "No space left on device"
        async with opened(browser, on.address, color_scheme=scheme) as (page, _):
            await expect(page.locator("#reasons")).to_contain_text("No space left")
            await expect(page.locator("#quarantine")).to_contain_text("unreadable")
            ground = await page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
            assert (sum(ground) > 600) == (scheme == "light")
            assert await poor_contrasts(page) == []
            await page.goto(f"{on.address}/instrument?venue=fake&symbol=A")
            await expect(page.locator("#book tr")).to_have_count(2)
            assert await poor_contrasts(page) == []


@pytest.mark.parametrize("width", [320, 390])
async def test_phone_needs_no_scrolling_sideways(browser: Browser, database: str, tmp_path: Path, width: int) -> None:
    long = "VERYLONGSYMBOLNAMEWITHOUTANYBREAK_20261231_PERPETUAL"
    async with scene(tmp_path, database, "A", long) as on:
        await fill_instrument(on.tables)
        await on.tables.gap(long, 7200, 3600, "unrecoverable", reason="the venue keeps no past of trades " * 5)
        await on.tables.quarantine("unreadable" * 40)
        requested = on.daemon.add_connection(on.daemon.workers["fake"].worker, "WAITING")
        cast(Any, requested.living).statuses()[0] = SubscriptionStatus("deals", "trades", "WAITING", ACKNOWLEDGED, 0.0)
        feed = on.daemon.workers["fake"].worker.connections["fake-1"]
        feed.reason = "wss://a.very.long.host.name.example/with/a/path/that/has/no/end/at/all: " * 3
        options = {"viewport": {"width": width, "height": 800}, "is_mobile": True, "has_touch": True}
        async with opened(browser, on.address, **options) as (page, _):
            await expect(page.locator("#streams")).to_contain_text(long)
            await expect(page.locator("#quarantine")).to_contain_text("unreadable")
            await expect(page.locator("#streams")).to_contain_text("acknowledged")
            assert await overflow(page) <= 0
            assert await page.locator("#streams").evaluate("(e) => e.scrollWidth - e.parentElement.clientWidth") <= 0
            too_wide = "(all) => all.filter((e) => e.scrollWidth > e.clientWidth).map((e) => e.innerText)"
            assert await page.locator("#streams td, #streams th").evaluate_all(too_wide) == []
            await page.goto(f"{on.address}/instrument?venue=fake&symbol={long}")
            await expect(page.locator("#gaps tr")).to_have_count(1)
            assert await overflow(page) <= 0


async def test_markup_in_names_and_texts_stays_text(browser: Browser, database: str, tmp_path: Path) -> None:
    async with scene(tmp_path, database, EVIL) as on:
        await on.tables.quarantine(EVIL)
        await on.tables.gap(EVIL, 60, None, cause=EVIL, reason=EVIL)
        await on.tables.candles(EVIL, 3)
        feed = on.daemon.workers["fake"].worker.connections["fake-1"]
        feed.state, feed.reason, feed.since_ns = ConnectionState.WAITING, EVIL, on.daemon.clock.now_ns()
        on.daemon.journal._room.fault = EVIL
        async with opened(browser, on.address) as (page, _):
            await expect(page.locator("#quarantine")).to_contain_text(EVIL)
            await expect(page.locator("#reasons")).to_contain_text(EVIL)
            await expect(page.locator("#venues")).to_contain_text(EVIL)
            assert await page.locator("main img").count() == 0
            await page.get_by_role("link", name=EVIL).click()
            await expect(page.locator("#title")).to_have_text(EVIL)
            await expect(page.locator("#gaps")).to_contain_text(EVIL)
            assert await page.locator("main img, main script").count() == 0


async def fill_instrument(tables: Market) -> None:
    await tables.candles("A", 60)
    await tables.candles("A", 24, period=3600)
    await tables.ticks("A", 600)
    await tables.book("A", 1, [("99.0", "1"), ("98.5", "2")], [("101.0", "0.5"), ("101.5", "3")], snapshot=True)
    await tables.gap("A", 1800, 1500, "repaired")


async def test_page_shows_the_rest_of_a_status_whose_parts_fail(
    browser: Browser, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a bug of ours")

    async with scene(tmp_path, database, "A") as on:
        for name in ("_totals", "_lag", "_journal", "_database", "_process"):
            monkeypatch.setattr(status, name, fail)
        async with opened(browser, on.address) as (page, _):
            await expect(page.locator("#verdict")).to_have_text("not recording")
            await expect(page.locator("#reasons")).to_contain_text("its state could not be read")
            for pill in ("#journal-state", "#database-state", "#sum"):
                await expect(page.locator(pill)).to_have_text("not known")
            await expect(page.locator("#streams")).to_contain_text("flowing")
            monkeypatch.undo()
            await expect(page.locator("#database-state")).to_have_text("connected")


async def test_what_cannot_be_seen_in_a_name_is_shown(browser: Browser, database: str, tmp_path: Path) -> None:
    turned, shown = "A\u202eB\x1b[2J", "A\\u202eB\\x1b[2J"
    async with scene(tmp_path, database, turned) as on:
        feed = on.daemon.workers["fake"].worker.connections["fake-1"]
        feed.state, feed.reason, feed.since_ns = ConnectionState.WAITING, turned, on.daemon.clock.now_ns()
        async with opened(browser, on.address) as (page, _):
            for place in ("#streams", "#venues", "#reasons"):
                await expect(page.locator(place)).to_contain_text(shown)


async def test_instrument_page_draws_candles_spread_and_depth_and_follows_them(
    browser: Browser, database: str, tmp_path: Path
) -> None:
    async with scene(tmp_path, database, "A") as on:
        await fill_instrument(on.tables)
        async with opened(browser, f"{on.address}/instrument?venue=fake&symbol=A") as (page, _):
            await expect(page.locator("#candles[aria-label^='60 candles']")).to_be_visible()
            await expect(page.locator("#spread[aria-label*='between 100.10 and 100.11']")).to_be_visible()
            await expect(page.locator("#depth[aria-label*='best bid 99.0, best ask 101.0']")).to_be_visible()
            for chart in ("candles", "spread", "depth"):
                assert await drawn_colours(page, chart) > 3, chart
            await expect(page.locator("#book tr").first).to_have_text("199.0101.00.5")
            await expect(page.locator("#gaps tr")).to_contain_text("repaired")
            await expect(page.locator("#streams tr")).to_contain_text("flowing")
            await page.get_by_role("button", name="1 h").first.click()
            await expect(page.locator("#candles[aria-label^='24 candles']")).to_be_visible()
            await on.tables.book("A", 2, [("99.5", "7")], [], snapshot=False)
            await expect(page.locator("#book tr").first).to_contain_text("99.5")
            await page.get_by_role("link", name="all instruments", exact=True).click()
            await expect(page.locator("#venues")).to_contain_text("fake")


async def drawn_colours(page: Any, chart: str) -> int:
    """Count the colours on a chart's largest canvas: an empty one has one or two."""
    count: int = await page.evaluate(
        """(id) => {
          const area = (canvas) => canvas.width * canvas.height;
          const canvases = [...document.querySelectorAll(`#${id} canvas`)].sort((a, b) => area(b) - area(a));
          const colours = new Set();
          for (const canvas of canvases.slice(0, 2)) {
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            for (let i = 0; i < data.length; i += 4) colours.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
          }
          return colours.size;
        }""",
        chart,
    )
    return count


async def test_instrument_that_is_not_known_is_said(browser: Browser, database: str, tmp_path: Path) -> None:
    async with scene(tmp_path, database, "A") as on:
        async with opened(browser, f"{on.address}/instrument?venue=fake&symbol=B") as (page, seen):
            await expect(page.locator("#trouble")).to_contain_text("hold no instrument 'B'")
            await expect(page.locator("#streams-none")).to_be_visible()
            seen.forgive("404 (Not Found)")
        async with opened(browser, f"{on.address}/instrument?venue=fake&symbol=A") as (page, _):
            await expect(page.locator("#candles-none")).to_be_visible()
            await expect(page.locator("#depth-none")).to_be_visible()


async def test_fault_of_a_real_venue_is_seen_with_its_reason_and_leaves_a_gap(
    browser: Browser, database: str, tmp_path: Path
) -> None:
    async with stage(database, tmp_path, rate=50) as on, on.daemon() as daemon:
        await until(lambda: live(daemon) and daemon.http_address is not None, "a daemon that records")
        async with opened(browser, str(daemon.http_address)) as (page, _):
            await expect(page.locator("#verdict")).to_have_text("recording")
            await expect(page.locator("#tally")).to_contain_text("streams flow")
            strip = page.locator("#streams tr", has_text="BTCUSDT").first.get_by_role("img")
            await expect(strip).to_have_accessible_name(re.compile(r"last 24 hours: \d+(\.\d+)? %"))
            on.venue.fault("refuse_connections")
            on.venue.fault("cut")
            await expect(page.locator("#verdict")).to_have_text("not recording")
            await expect(page.locator("#reasons")).to_contain_text("503")
            await expect(page.locator("#venues tr", has_text="fmfw-1")).to_contain_text("503")
            on.venue.faults.clear()
            await expect(page.locator("#verdict")).to_have_text("recording")
            books = page.locator("#streams tr", has_text="books").first
            await expect(books.get_by_role("img")).to_have_accessible_name(re.compile("gap"))
            await page.locator("#streams").get_by_role("link", name="BTCUSDT", exact=True).first.click()
            await expect(page.locator("#gaps tr").first).to_contain_text("UTC")
            await expect(page.locator("#depth[aria-label*='best bid']")).to_be_visible()
