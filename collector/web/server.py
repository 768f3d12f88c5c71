"""The daemon over HTTP: health, metrics, status and a page for people. It reads and never changes anything.

Three guards stand before every answer. Only GET and HEAD exist. The Host header has to be a name of this machine, so
that a foreign page whose name was made to point here (DNS rebinding) gets nothing. And the headers forbid a browser to
run, frame, sniff or keep what it is sent. What fails in here is told and costs an answer, never a frame.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

import structlog
from aiohttp import web
from prometheus_client.exposition import choose_encoder

from collector.logs import KNOWN_SECRETS
from collector.recording.changes import TableChanges
from collector.recording.database import DatabaseState
from collector.status.metrics import DaemonMetrics
from collector.status.observed import Observed
from collector.status.recent import Recent
from collector.status.snapshot import snapshot
from collector.store.errors import DatabaseUnreachableError
from collector.store.reading import Reader
from collector.supervise.looks import Looks, encoded
from collector.web import listen, pages
from collector.web.connections import IDLE_TIMEOUT_SECONDS, Connections
from collector.web.day import LastDay
from collector.web.events import Events
from collector.web.instruments import Instruments

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp.typedefs import Middleware

    from collector.status.facts import Status

log = structlog.get_logger()

# What an answer that is under way gets to finish when the daemon stops, and the same again to be cancelled in.
SHUTDOWN_TIMEOUT_SECONDS: Final = 0.25

SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "collector",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def serve(
    observed: Observed, changes: TableChanges, host: str, port: int, *, listening: Callable[[str | None], object]
) -> None:
    """Serve until cancelled; `listening` is told the address (`http://host:port`) once it does, and None at the end.

    Raises:
        ListenError: the address of `http.listen` cannot be listened on, for now.

    """
    recent, connections = Recent(observed), Connections()
    async with AsyncExitStack() as stack:
        metrics = DaemonMetrics(lambda: snapshot(observed, recent), observed.statistics.looks)
        observed.statistics.registry.register(metrics)
        stack.callback(observed.statistics.registry.unregister, metrics)
        for_day, for_instruments = Reader(_tables_of(observed)), Reader(_tables_of(observed))
        stack.callback(for_day.close)
        stack.callback(for_instruments.close)
        day = LastDay(for_day, observed.clock)
        stack.enter_context(changes.gaps.listening(day.changed))
        events = Events(lambda: snapshot(observed, recent), day, observed.clock, observed.statistics.looks)
        app = application(observed, recent, host, connections)
        app.add_routes([web.get("/api/events", events.answer), web.get("/api/day", _day(day))])
        app.add_routes(Instruments(for_instruments, observed.clock).routes())
        app.on_shutdown.append(_end(events))
        runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT_SECONDS, keepalive_timeout=IDLE_TIMEOUT_SECONDS
        )
        stack.push_async_callback(runner.cleanup)
        await runner.setup()
        assert runner.server is not None
        sockets = listen.bind(host, port)
        for bound in sockets:
            stack.callback(bound.close)
        address = listen.url(sockets[0])
        stack.callback(listening, None)
        log.info("http_listening", url=address)
        listening(address)
        async with asyncio.TaskGroup() as group:
            for bound in sockets:
                group.create_task(connections.accept(bound, runner.server))
            group.create_task(recent.watch())
            group.create_task(recent.watch_disk())
            group.create_task(events.run())


def application(observed: Observed, recent: Recent, host: str, connections: Connections) -> web.Application:
    """Make the application; `host` is what it will listen on."""
    app = web.Application(
        middlewares=[connections.follow, _only_reads, _only_as(host), _whole(observed.statistics.looks)]
    )
    app.on_response_prepare.append(_guard)
    app.add_routes(_Facts(observed, recent).routes())
    app.add_routes(pages.routes())
    return app


class _Facts:
    """The answers that speak of the observed."""

    def __init__(self, observed: Observed, recent: Recent) -> None:
        self._observed = observed
        self._recent = recent

    def routes(self) -> Iterator[web.RouteDef]:
        yield web.get("/healthz", self._healthz)
        yield web.get("/readyz", self._readyz)
        yield web.get("/metrics", self._metrics)
        yield web.get("/api/status", self._status)

    def _now(self) -> Status:
        return snapshot(self._observed, self._recent)

    async def _healthz(self, _: web.Request) -> web.Response:
        health = self._now().health
        return _json(
            {"status": "alive" if health.healthy else "dead", "reasons": health.not_healthy},
            200 if health.healthy else 503,
        )

    async def _readyz(self, _: web.Request) -> web.Response:
        health = self._now().health
        return _json(
            {
                "status": "recording" if health.ready else "not recording",
                "reasons": health.not_ready,
                "warnings": health.warnings,
            },
            200 if health.ready else 503,
        )

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        body = encode(self._observed.statistics.registry)
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _status(self, _: web.Request) -> web.Response:
        return _json(self._now(), 200)


def _tables_of(observed: Observed) -> Callable[[], str]:
    def dsn() -> str:
        if observed.database.state is DatabaseState.STARTING:
            raise DatabaseUnreachableError("the database is starting, or its tables are being brought up to date")
        return observed.database.dsn()

    return dsn


def _day(day: LastDay) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        await day.refresh()
        return web.Response(body=day.body, content_type="application/json")

    return answer


def _end(events: Events) -> Callable[[web.Application], Awaitable[None]]:
    async def end(_: web.Application) -> None:
        events.end()

    return end


def _json(value: object, status: int) -> web.Response:
    return web.Response(body=KNOWN_SECRETS.hide_in_json(encoded(value)), status=status, content_type="application/json")


# -- guards ------------------------------------------------------------------------------------------------------------


async def _guard(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(SECURITY_HEADERS)


def _whole(looks: Looks) -> Middleware:
    """Return what answers for a handler that fails: a bug behind one path is told, and costs nobody but who asked."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        part = f"GET {resource.canonical if resource else '?'}"
        try:
            answer = await handler(request)
        except (web.HTTPException, ConnectionError):
            raise
        except Exception as error:  # noqa: BLE001  told by `failed`
            looks.failed(part, error)
            return _json({"error": f"this could not be answered ({type(error).__name__}); see the daemon's log"}, 500)
        looks.succeeded(part)
        return answer

    return check


@web.middleware
async def _only_reads(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.method not in {"GET", "HEAD"}:
        return web.Response(
            status=405, text="this is read-only: only GET and HEAD are allowed\n", headers={"Allow": "GET, HEAD"}
        )
    return await handler(request)


def _only_as(listening: str) -> Middleware:
    names = {"localhost", listening.lower(), socket.gethostname().lower()}
    private = _loopback(listening)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        name = host_name(request.headers.get("Host", ""))
        if name not in names and not _address(name, private=private):
            return web.Response(
                status=421,
                text="this host name is not accepted: use the collector's address, or the name of its machine\n",
            )
        return await handler(request)

    return check


def host_name(header: str) -> str:
    """Return a Host header's name, in lower case and without its port and brackets."""
    name = header.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.rpartition(":")[0] if ":" in name else name


def _loopback(host: str) -> bool:
    return host == "localhost" or _address(host, private=True)


def _address(name: str, *, private: bool) -> bool:
    """Whether it is a plain address, which nobody else's name server can make point here; `private`: of loopback."""
    try:
        number = ip_address(name)
    except ValueError:
        return False
    return number.is_loopback or not private
