"""Database addresses can be shown to anybody."""

from __future__ import annotations

import asyncio

import pytest

from collector.store.dsn import address, connect
from collector.store.errors import DatabaseRefusedError, DatabaseUnreachableError


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        ("postgresql://collector:secret@db.example:5432/market", "collector@db.example:5432/market"),
        ("postgres://collector@localhost/market?sslmode=require&password=secret", "collector@localhost/market"),
        ("postgresql://collector:se%40cret@[::1]:5432/market", "collector@[::1]:5432/market"),
        ("postgresql://a,b/market", "a,b/market"),
        ("postgresql:///market", "local socket/market"),
        ("postgresql://market%20maker:secret@localhost", "market maker@localhost"),
    ],
)
def test_an_address_is_shown_without_password_and_options(dsn: str, shown: str) -> None:
    assert address(dsn) == shown


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://collector:se@cret@localhost/market",
        "postgresql://collector:se/cret@localhost/market",
        "postgresql://collector:12?cret@localhost/market",
        "postgresql://collector:12#cret@localhost/market",
        "secret",
        "host=localhost password=secret",
        "postgresql://[secret",
        "",
    ],
)
def test_an_address_of_an_odd_shape_is_not_shown_at_all(dsn: str) -> None:
    assert address(dsn) == "the configured database"


async def test_a_server_that_accepts_and_says_nothing_is_given_up(unused_tcp_port: int) -> None:
    async def silence(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()
        writer.close()

    async with await asyncio.start_server(silence, "127.0.0.1", unused_tcp_port):
        with pytest.raises(DatabaseUnreachableError, match="no answer in time"):
            await connect(f"postgresql://c@127.0.0.1:{unused_tcp_port}/market?sslmode=disable", timeout_seconds=0.2)


async def test_a_certificate_that_may_not_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_args: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied", "/home/other/.postgresql/postgresql.key")

    monkeypatch.setattr("asyncpg.connect", refuse)
    with pytest.raises(DatabaseRefusedError, match=r"/home/other/\.postgresql/postgresql\.key cannot be read"):
        await connect("postgresql://c@localhost/market")
