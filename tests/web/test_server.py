"""The daemon's answers over a real loopback socket."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from collector.web.listen import ListenError
from collector.web.server import host_name
from tests.kit.watched import WatchedDaemon, serving, watched


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[WatchedDaemon]:
    async with watched(tmp_path) as one:
        one.add_connection(one.add_venue(), "A", "B")
        yield one


@pytest.fixture
async def client(daemon: WatchedDaemon) -> AsyncIterator[aiohttp.ClientSession]:
    async with serving(daemon) as address, aiohttp.ClientSession(address) as session:
        yield session


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


# -- answers -----------------------------------------------------------------------------------------------------------


async def test_health_is_green_while_all_parts_live_and_red_with_the_reason_when_one_died(
    daemon: WatchedDaemon, client: aiohttp.ClientSession
) -> None:
    async with client.get("/healthz") as answer:
        assert answer.status == 200
        assert await answer.json() == {"status": "alive", "reasons": []}
    supervised = daemon.workers["fake"]
    supervised.failures, supervised.failed_ns, supervised.failure = 1, daemon.clock.now_ns(), "ValueError: a bug"
    async with client.get("/healthz") as answer:
        assert answer.status == 503
        assert await answer.json() == {
            "status": "dead",
            "reasons": [{"part": "venue fake", "reason": "the worker failed once: ValueError: a bug"}],
        }


async def test_readiness_is_green_while_recording_and_red_with_the_reason_when_the_disk_refuses(
    daemon: WatchedDaemon, client: aiohttp.ClientSession
) -> None:
    async with client.get("/readyz") as answer:
        assert answer.status == 200
        assert await answer.json() == {"status": "recording", "reasons": [], "warnings": []}
    daemon.journal._room.fault = "No space left on device"
    async with client.get("/readyz") as answer:
        assert answer.status == 503
        assert "No space left" in (await answer.json())["reasons"][0]["reason"]


async def test_readiness_stays_green_with_a_warning_while_the_database_is_away(
    daemon: WatchedDaemon, client: aiohttp.ClientSession
) -> None:
    daemon.writer_connection.note_away("DatabaseUnreachableError: nobody answers")
    async with client.get("/readyz") as answer:
        assert answer.status == 200
        assert "is kept in the journal" in (await answer.json())["warnings"][0]["reason"]


async def test_status_tells_every_subscription_as_json(client: aiohttp.ClientSession) -> None:
    async with client.get("/api/status") as answer:
        assert answer.content_type == "application/json"
        status = await answer.json()
    assert [one["symbol"] for one in status["venues"][0]["connections"][0]["subscriptions"]] == ["A", "B"]


async def test_metrics_hold_the_daemons_and_the_writers_in_the_format_that_was_asked_for(
    client: aiohttp.ClientSession,
) -> None:
    async with client.get("/metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        text = await answer.text()
    assert "collector_ready 1.0" in text
    assert "collector_commit_lag_seconds_bucket" in text
    async with client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}) as answer:
        assert (await answer.text()).endswith("# EOF\n")


async def test_head_has_headers_and_no_body(client: aiohttp.ClientSession) -> None:
    async with client.head("/readyz") as answer:
        assert answer.status == 200
        assert await answer.read() == b""


# -- guards ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/instrument",
        "/index.js",
        "/lightweight-charts.js",
        "/api/status",
        "/api/instrument",
        "/metrics",
        "/healthz",
        "/nothing-here",
    ],
)
@pytest.mark.parametrize(("method", "host"), [("GET", None), ("POST", None), ("GET", "evil.example")])
async def test_every_answer_carries_the_headers_that_bind_a_browser(
    client: aiohttp.ClientSession, path: str, method: str, host: str | None
) -> None:
    async with client.request(method, path, headers={"Host": host} if host else {}) as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Python" not in answer.headers["Server"]
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/", "/api/status", "/nothing-here"])
async def test_nothing_but_reading_is_allowed(client: aiohttp.ClientSession, method: str, path: str) -> None:
    async with client.request(method, path) as answer:
        assert answer.status == 405
        assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "203.0.113.9",
        "[::2]",
        "",
        "localhost@evil.example",
        "0.0.0.0",
    ],
)
async def test_request_under_a_foreign_name_gets_nothing(client: aiohttp.ClientSession, host: str) -> None:
    async with client.get("/api/status", headers={"Host": host}) as answer:
        assert answer.status == 421
        assert "venues" not in await answer.text()


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:9000", "127.0.0.1", "127.0.0.2:80", "[::1]", "[::1]:8080", socket.gethostname()]
)
async def test_request_under_a_name_of_this_machine_is_answered_on_whatever_port_a_tunnel_has(
    client: aiohttp.ClientSession, host: str
) -> None:
    async with client.get("/healthz", headers={"Host": host}) as answer:
        assert answer.status == 200


async def test_daemon_that_listens_everywhere_answers_to_plain_addresses_and_to_no_foreign_name(
    daemon: WatchedDaemon,
) -> None:
    daemon.host = "0.0.0.0"
    async with serving(daemon) as address, aiohttp.ClientSession(address) as client:
        assert address.startswith("http://127.0.0.1:")
        async with client.get("/healthz", headers={"Host": "203.0.113.9:8080"}) as answer:
            assert answer.status == 200
        async with client.get("/healthz", headers={"Host": "evil.example"}) as answer:
            assert answer.status == 421


@pytest.mark.parametrize(
    ("header", "name"), [("a:1", "a"), ("A", "a"), ("[::1]:1", "::1"), ("[::1]", "::1"), ("", ""), ("[", "")]
)
def test_host_header_is_taken_apart(header: str, name: str) -> None:
    assert host_name(header) == name


# -- listening ---------------------------------------------------------------------------------------------------------


async def test_taken_port_is_an_error_that_names_the_key_and_what_to_do(daemon: WatchedDaemon) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        daemon.port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=r"http\.listen: port \d+ on 127\.0\.0\.1 is taken .*set another one"):
            async with serving(daemon):
                pass
    assert daemon.http_address is None


async def test_address_that_is_not_of_this_machine_is_an_error_that_names_the_key(daemon: WatchedDaemon) -> None:
    daemon.host = "203.0.113.9"
    with pytest.raises(ListenError, match=r"http\.listen: 203\.0\.113\.9 is not an address of this machine"):
        async with serving(daemon):
            pass


async def test_localhost_and_ipv6_loopback_can_be_listened_on(daemon: WatchedDaemon) -> None:
    for host in ("localhost", "::1"):
        if host == "::1" and not has_ipv6():
            continue
        daemon.host = host
        daemon.listening.clear()
        async with (
            serving(daemon) as address,
            aiohttp.ClientSession(address) as client,
            client.get("/healthz") as answer,
        ):
            assert answer.status == 200


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


async def test_port_is_free_again_at_once_and_metrics_can_be_registered_again(daemon: WatchedDaemon) -> None:
    async with serving(daemon) as address, aiohttp.ClientSession(address) as client:
        await (await client.get("/healthz")).read()
    daemon.port = port_of(address)
    daemon.listening.clear()
    async with serving(daemon) as again:
        assert again == address


async def test_stopping_waits_for_no_client(daemon: WatchedDaemon) -> None:
    many = [f"SYMBOL{n}" for n in range(20_000)]
    daemon.add_connection(daemon.workers["fake"].worker, *many)
    async with serving(daemon) as address:
        port = port_of(address)
        _, idle = await asyncio.open_connection("127.0.0.1", port)
        _, half = await asyncio.open_connection("127.0.0.1", port)
        half.write(b"GET /api/status HTTP/1.1\r\nHost: localh")
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        narrow.connect(("127.0.0.1", port))
        slow_reader, slow = await asyncio.open_connection(sock=narrow, limit=1024)
        slow.write(b"GET /api/status HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await slow_reader.read(15)) == b"HTTP/1.1 200 OK"
        stopped = time.monotonic()
    assert time.monotonic() - stopped < 1.0
    for writer in (idle, half, slow):
        writer.close()
