"""The files of the page: complete, of one origin, and of nothing that a strict browser refuses."""

from __future__ import annotations

import hashlib
import importlib.util
import re

import pytest
from structlog.testing import capture_logs

from collector.web.pages import CHART_LIBRARY_PATH, PAGES, chart_library, contents

OURS = {path: body.decode() for path, (body, _) in contents().items() if path != CHART_LIBRARY_PATH}
# The name of a language, and a link that somebody may click.
ELSEWHERE = {"http://www.w3.org/2000/svg", "https://www.tradingview.com/"}


@pytest.mark.parametrize("path", sorted(OURS))
def test_file_needs_nothing_that_the_daemon_does_not_serve_and_runs_nothing_inline(path: str) -> None:
    source = OURS[path]
    assert set(re.findall(r"https?://[^\"'`\s>]*", source)) <= ELSEWHERE
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|<[^>]*\son\w+=|url\(|@import", source)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", source)
    wanted = re.findall(r'(?:src|href)="(/[^"]*)"', source) + re.findall(r'from "\.(/[^"]*)"', source)
    answered = {*contents(), "/api/status", "/api/day", "/metrics", "/healthz", "/readyz"}
    assert set(wanted) <= answered


@pytest.mark.parametrize("path", sorted(PAGES))
def test_every_element_that_a_script_asks_for_is_on_its_page(path: str) -> None:
    page = OURS[path]
    [entry] = re.findall(r'<script src="(/\w+\.js)" type="module">', page)
    scripts, waiting = set[str](), [entry]
    while waiting:
        script = waiting.pop()
        if script not in scripts:
            scripts.add(script)
            waiting += [name for name in re.findall(r'from "\.(/[^"]*)"', OURS[script]) if name != "/streams.js"]
    asked = {name for script in scripts for name in re.findall(r'\$\("([\w-]+)"\)', OURS[script])}
    assert asked
    assert asked <= set(re.findall(r'\sid="([\w-]+)"', page))


def test_modules_of_the_first_page_are_fetched_at_once() -> None:
    preloaded = set(re.findall(r'rel="modulepreload" href="(/[^"]*)"', OURS["/"]))
    needed, waiting = set[str](), ["/index.js"]
    while waiting:
        for name in re.findall(r'from "\.(/[^"]*)"', OURS[waiting.pop()]):
            if name not in needed:
                needed.add(name)
                waiting.append(name)
    assert preloaded == needed


def test_page_without_its_chart_library_is_served_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with capture_logs() as logs:
        assert set(contents()) == {*OURS}
    assert [entry["event"] for entry in logs] == ["charts_missing"]


def test_chart_library_is_the_one_that_its_makers_published() -> None:
    library = chart_library()
    assert library is not None
    body = library.read_bytes()
    assert body.startswith(b"/*!\n * @license\n * TradingView Lightweight Charts")
    assert b"Apache License 2.0" in body[:300]
    # dist/lightweight-charts.standalone.production.js of lightweight-charts 5.1.0 on npm.
    assert hashlib.sha256(body).hexdigest() == "756b0ba9f58930226d6b8b9d47ad310448ab85d799ea1f7c2c02304777c10b52"
