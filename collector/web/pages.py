"""The files of the status page as they lie in the package, and the chart library from the package that carries it.

Read once, at the start: what a browser gets is one version, whatever is installed meanwhile.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Awaitable, Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Final

import structlog
from aiohttp import web

log = structlog.get_logger()

CONTENT_TYPES: Final = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
PAGES: Final = {"/": "index.html", "/instrument": "instrument.html"}
CHART_LIBRARY_PATH: Final = "/lightweight-charts.js"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def routes() -> Iterator[web.RouteDef]:
    """Yield a route for each file."""
    for path, (body, content_type) in sorted(contents().items()):
        yield web.get(path, _static(body, content_type))


def contents() -> dict[str, tuple[bytes, str]]:
    """Return bytes and content type of all that a browser can ask for, by path."""
    found = {}
    names = {name: path for path, name in PAGES.items()}
    for file in (files("collector.web") / "page").iterdir():
        content_type = CONTENT_TYPES.get(Path(file.name).suffix)
        if content_type is not None:
            found[names.get(file.name, f"/{file.name}")] = file.read_bytes(), content_type
    charts = chart_library()
    if charts is None:
        log.warning("charts_missing", remedy="reinstall the package litecharts; recording does not need it")
        return found
    return {**found, CHART_LIBRARY_PATH: (charts.read_bytes(), CONTENT_TYPES[".js"])}


def chart_library() -> Path | None:
    """Return TradingView's Lightweight Charts as the package `litecharts` carries it, none of whose Python is run.

    None where the package is not whole: pages then do without pictures, and the daemon records all the same.
    """
    package = importlib.util.find_spec("litecharts")
    for folder in (package.submodule_search_locations or ()) if package else ():
        script = Path(folder) / "js" / "lightweight-charts.js"
        if script.is_file():
            return script
    return None


def _static(body: bytes, content_type: str) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type=content_type, charset="utf-8")

    return answer
