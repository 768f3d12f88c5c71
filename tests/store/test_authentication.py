"""A password is given to the server that knows it, and to nobody else who asks."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import asyncpg
import pytest

from collector.store.dsn import connect
from collector.store.dsn_options import understand
from collector.store.errors import DatabaseRefusedError, DatabaseUnreachableError
from tests.databases import DatabaseServer

PASSWORD = "hunter2hunter2"
SSL_REQUEST = 80877103


def demand(kind: int, more: bytes = b"") -> bytes:
    body = struct.pack("!i", kind) + more
    return b"R" + struct.pack("!i", 4 + len(body)) + body


VERSION = b"server_version\x0017.0\0"
ACCEPTED = demand(0) + b"S" + struct.pack("!i", 4 + len(VERSION)) + VERSION + b"Z" + struct.pack("!ic", 5, b"I")
IN_CLEAR, MD5, SCRAM = demand(3), demand(5, b"salt"), demand(10, b"SCRAM-SHA-256\0\0")


class Impostor:
    """Listens in a server's place, says what it is told to say, and keeps what it hears of a login."""

    def __init__(self, *answers: bytes) -> None:
        self.heard = b""
        self._answers = answers

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            size, code = struct.unpack("!ii", await reader.readexactly(8))
            if code == SSL_REQUEST:
                writer.write(b"N")
                size, code = struct.unpack("!ii", await reader.readexactly(8))
            await reader.readexactly(size - 8)
            for answer in self._answers:
                for place in range(0, len(answer), 3):  # never a message at once
                    writer.write(answer[place : place + 3])
                    await writer.drain()
                    await asyncio.sleep(0)
                if answer is not self._answers[-1]:
                    self.heard += await reader.read(4096)
            while data := await reader.read(4096):
                self.heard += data
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            yield f"postgresql://collector:{PASSWORD}@127.0.0.1:{port}/market"

    @asynccontextmanager
    async def listening_on_a_socket(self, folder: Path) -> AsyncIterator[str]:
        async with await asyncio.start_unix_server(self.serve, folder / ".s.PGSQL.5432"):
            yield f"postgresql://collector:{PASSWORD}@/market?host={quote(str(folder), safe='')}&port=5432"


async def refused(dsn: str) -> str:
    with pytest.raises(DatabaseRefusedError) as failure:
        await connect(dsn, timeout_seconds=10)
    assert PASSWORD not in str(failure.value)
    return str(failure.value)


@pytest.mark.parametrize("options", ["", "?sslmode=disable", "?sslmode=prefer", "?sslmode=allow"])
async def test_a_password_is_never_told_in_clear_over_an_open_line(options: str) -> None:
    impostor = Impostor(IN_CLEAR)
    async with impostor.listening() as dsn:
        assert "asks for the password in clear" in await refused(dsn + options)
    assert impostor.heard == b""


@pytest.mark.parametrize("answers", [(IN_CLEAR,), (MD5,), (ACCEPTED,), (SCRAM, IN_CLEAR), (SCRAM, ACCEPTED)])
async def test_what_has_to_be_proved_is_not_told_to_who_asks_for_less(answers: tuple[bytes, ...]) -> None:
    impostor = Impostor(*answers)
    async with impostor.listening() as dsn:
        told = await refused(f"{dsn}?sslmode=disable&require_auth=scram-sha-256")
    assert "the server is not trusted" in told
    for secret in (PASSWORD.encode(), b"md5"):
        assert secret not in impostor.heard


async def test_a_login_without_the_proof_that_was_begun_is_none() -> None:
    async with Impostor(SCRAM, ACCEPTED).listening() as dsn:
        assert "without the proof" in await refused(f"{dsn}?sslmode=disable")


async def test_what_the_address_allows_is_told() -> None:
    impostor = Impostor(IN_CLEAR, ACCEPTED)
    async with impostor.listening() as dsn:
        connection = await connect(f"{dsn}?sslmode=disable&require_auth=password")
        connection.terminate()
    assert PASSWORD.encode() in impostor.heard


async def test_a_socket_of_this_machine_is_no_open_line(tmp_path: Path) -> None:
    impostor = Impostor(IN_CLEAR, ACCEPTED)
    async with impostor.listening_on_a_socket(tmp_path) as dsn:
        (await connect(dsn)).terminate()
        assert PASSWORD.encode() in impostor.heard
        assert "in clear" not in await refused(f"{dsn}&require_auth=scram-sha-256")


@pytest.mark.parametrize("noise", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"R\0\0\0\1", b"\0" * 64])
async def test_a_stranger_of_another_kind_is_told_nothing(noise: bytes) -> None:
    impostor = Impostor(noise)
    async with impostor.listening() as dsn:
        with pytest.raises((DatabaseRefusedError, DatabaseUnreachableError)):
            await connect(f"{dsn}?sslmode=disable", timeout_seconds=1)
    assert PASSWORD.encode() not in impostor.heard


@pytest.mark.parametrize("database_server", ["postgres"], indirect=True)
@pytest.mark.parametrize("method", ["scram-sha-256", "md5", "password", "trust"])
async def test_real_servers_are_entered_as_they_ask_but_in_clear(
    database_server: DatabaseServer, database: str, method: str
) -> None:
    hba = database_server.server.cluster.data / "pg_hba.conf"
    kept = hba.read_text()
    administrator = await asyncpg.connect(database_server.superuser(database))
    role = f"by_{method.partition('-')[0]}"
    try:
        await administrator.execute("set password_encryption = " + ("md5" if method == "md5" else "'scram-sha-256'"))
        await administrator.execute(f"create role {role} login password '{PASSWORD}'")
        await administrator.execute(f"grant connect on database {urlsplit(database).path[1:]} to {role}")
        hba.write_text(f"host all {role} 127.0.0.1/32 {method}\n{kept}")
        await administrator.execute("select pg_reload_conf()")
        dsn = urlsplit(database)._replace(netloc=f"{role}:{PASSWORD}@127.0.0.1:{urlsplit(database).port}").geturl()
        if method == "password":
            assert "in clear" in await refused(dsn)
            dsn += "&require_auth=password"
        connection = await connect(dsn)
        assert await connection.fetchval("select current_user") == role
        await connection.close()
        if method == "scram-sha-256":
            connection = await connect(f"{dsn}&require_auth=scram-sha-256")
            assert [row[0] for row in await connection.fetch("select generate_series(1, 10000)")] == [*range(1, 10001)]
            await connection.close()
        else:
            only_proven = dsn.partition("&require_auth")[0] + "&require_auth=scram-sha-256"
            assert "require_auth is scram-sha-256" in await refused(only_proven)
    finally:
        hba.write_text(kept)
        await administrator.execute("select pg_reload_conf()")
        await administrator.execute(f"drop owned by {role}")
        await administrator.execute(f"drop role {role}")
        await administrator.close()


def test_the_demand_is_taken_out_of_the_address() -> None:
    plain = "postgresql://u:p@h/db?host=%2Fa%20b&port=1"
    assert understand(plain).login_methods is None
    asked = understand(f"{plain}&require_auth=scram-sha-256,none")
    assert (asked.dsn, asked.login_methods) == (plain, frozenset({"scram-sha-256", "none"}))
    others = frozenset({"gss", "sspi", "scram-sha-256", "none"})
    assert understand(f"{plain}&require_auth=!password,!md5").login_methods == others
    for wrong in ("", "scram", "!password,md5"):
        assert understand(f"{plain}&require_auth={wrong}").refused == (f"require_auth={wrong}",)
