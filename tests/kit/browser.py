"""A real browser for the page: Debian's Chromium, driven by Playwright, and what it may never do."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page, async_playwright

PATIENCE_MS = 30_000
CONTRAST = Path(__file__).with_name("contrast.js")
# It runs as root where the tests do, and talks to nobody but the page's origin.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> str:
    """Return the browser's path; without it the test is skipped, or fails where it is due."""
    if found := shutil.which("chromium"):
        return found
    reason = "no chromium: `make browser` puts it into place where it can"
    if os.environ.get("REQUIRE_BROWSER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@asynccontextmanager
async def browsing() -> AsyncIterator[Browser]:
    """A browser with a profile of its own that ends with it."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), headless=True, args=ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()


class Watched:
    """What a page did that it may not: words on the console, errors, requests to others, refused by its policy."""

    def __init__(self, page: Page) -> None:
        self.wrong: list[str] = []
        self.origins: set[str] = set()
        page.on("console", lambda message: self.wrong.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("request", lambda request: self.origins.add(urlsplit(request.url).netloc))
        page.on("dialog", lambda dialog: self.wrong.append(f"dialog: {dialog.message}"))

    def forgive(self, words: str) -> None:
        """Drop what the test itself brought about."""
        self.wrong = [one for one in self.wrong if words not in one]


@asynccontextmanager
async def opened(browser: Browser, address: str, **options: Any) -> AsyncIterator[tuple[Page, Watched]]:
    """A page of its own, that has done nothing wrong at the end; `options` are those of a browser's context."""
    context = await browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
    context.set_default_timeout(PATIENCE_MS)
    page = await context.new_page()
    seen = Watched(page)
    await page.add_init_script(
        "addEventListener('securitypolicyviolation', (e) => console.error('policy: ' + e.violatedDirective))"
    )
    try:
        await page.goto(address)
        yield page, seen
        assert seen.wrong == []
        assert seen.origins == {urlsplit(address).netloc}
    finally:
        await context.close()


async def poor_contrasts(page: Page) -> list[str]:
    """Return the texts whose contrast is below 4.5, which the WCAG asks for."""
    found: list[str] = await page.evaluate(CONTRAST.read_text())
    return found


async def overflow(page: Page) -> int:
    """Return by how many pixels the page is wider than its window."""
    pixels: int = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return pixels
