"""Bodies of answers over real sockets: what is sent is unpacked, and nothing is held beyond the bound."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
import sys
import zlib

import pytest

from collector.feed import network as networks
from collector.feed.answers import GZIP_MEMBERS_MAX
from collector.feed.network import AiohttpNetwork, LineError, UnreadableError

from .doors import body, bomb, raw

MIB = 1 << 20
TEXT = b'[{"price": "61000.25"}]' * 40_000
GZIP, ZLIB, DEFLATE = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS


def packed(payload: bytes, wbits: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    return packer.compress(payload) + packer.flush()


async def ask(url: str, most_bytes: int = MIB) -> bytes:
    async with AiohttpNetwork.open() as network:
        _, _, content = await network.request(
            "GET", f"{url}/data?token=secret", params={}, headers={}, body=None, max_answer_bytes=most_bytes
        )
        return content


@pytest.mark.parametrize(
    ("encoding", "payload"),
    [
        ("", TEXT),
        ("identity", TEXT),
        ("gzip", packed(TEXT, GZIP)),
        ("X-GZIP", packed(TEXT, GZIP)),
        ("gzip", packed(TEXT[:1000], GZIP) + packed(TEXT[1000:], GZIP)),
        ("deflate", packed(TEXT, ZLIB)),
        ("deflate", packed(TEXT, DEFLATE)),
    ],
)
async def test_body_is_unpacked_however_it_was_packed(encoding: str, payload: bytes) -> None:
    async with body(payload, encoding) as chunked, body(payload, encoding, length=len(payload)) as measured:
        assert await ask(chunked) == TEXT
        assert await ask(measured) == TEXT


@pytest.mark.parametrize("size", [0, 1, 65_536, 262_143, 262_144, 262_145, 524_288, MIB])
@pytest.mark.parametrize("wbits", [GZIP, ZLIB, DEFLATE])
async def test_body_up_to_the_bound_is_taken_whole(size: int, wbits: int) -> None:
    async with body(packed(bytes(size), wbits), "gzip" if wbits == GZIP else "deflate") as url:
        assert await ask(url) == bytes(size)


async def test_empty_body_that_says_it_is_packed_is_empty() -> None:
    async with body(b"", "gzip", length=0) as url:
        assert await ask(url) == b""


@pytest.mark.parametrize(
    ("encoding", "payload", "length"),
    [
        ("", bytes(MIB + 1), None),
        ("", bytes(MIB + 1), MIB + 1),
        ("", b"", 10**15),
        ("gzip", bomb(600, GZIP), None),
        ("deflate", bomb(600, ZLIB), None),
        ("deflate", bomb(600, DEFLATE), None),
        ("gzip", packed(bytes(MIB + 1), GZIP), None),
        # Blocks that hold nothing: a megabyte and more comes, and nothing is ever unpacked.
        ("deflate", packed(b"", DEFLATE)[:0] + b"\x00\x00\x00\xff\xff" * 300_000, None),
    ],
    ids=["chunked", "measured", "announced", "gzip", "deflate", "raw deflate", "one byte", "empty blocks"],
)
async def test_body_beyond_the_bound_is_refused_with_its_size(encoding: str, payload: bytes, length: int) -> None:
    async with body(payload, encoding, length=length) as url:
        with pytest.raises(UnreadableError, match="is larger than 1 MiB") as refused:
            await ask(url)
    assert f"the answer of {url}/data " in str(refused.value)
    assert not refused.value.again
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "\x1b[31m"])
async def test_body_packed_in_another_way_is_refused(encoding: str) -> None:
    async with body(b"anything", encoding) as url:
        with pytest.raises(UnreadableError, match="was not asked for"):
            await ask(url)


@pytest.mark.parametrize(
    ("encoding", "payload", "reason"),
    [
        ("gzip", packed(TEXT, GZIP)[:-3], "in the middle"),
        ("gzip", packed(TEXT, GZIP)[:5], "in the middle"),
        ("gzip", TEXT, "cannot be unpacked"),
        ("gzip", packed(TEXT, GZIP)[:-8] + bytes(8), "cannot be unpacked"),
        ("gzip", packed(TEXT, GZIP) + b"more", "cannot be unpacked"),
        ("deflate", packed(TEXT, ZLIB) + b"more", "goes on after the end"),
        ("gzip", gzip.compress(b"") * (GZIP_MEMBERS_MAX + 1), "goes on after the end"),
    ],
)
async def test_body_that_is_damaged_is_refused_and_worth_another_try(
    encoding: str, payload: bytes, reason: str
) -> None:
    async with body(payload, encoding) as url:
        with pytest.raises(UnreadableError, match=reason) as refused:
            await ask(url)
    assert refused.value.again


async def test_body_that_is_cut_off_is_refused() -> None:
    async with body(TEXT[:1000], length=2000) as url:
        with pytest.raises(UnreadableError, match="was cut off"):
            await ask(url)


async def test_body_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "REQUEST_TIMEOUT_SECONDS", 0.3)

    async def drip(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with raw(drip) as url:
        with pytest.raises(LineError, match="did not answer in time"):
            await ask(url)


@pytest.mark.parametrize(
    "head",
    [b"X: " + b"a" * 100_000 + b"\r\n\r\n", b"X: a\r\n" * 100_000 + b"\r\n", b"a" * 1_000_000],
    ids=["long", "many", "no end"],
)
async def test_huge_headers_are_refused(head: bytes) -> None:
    async def answer(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + head)
        await writer.drain()

    async with raw(answer) as url:
        with pytest.raises(LineError, match="is no HTTP that can be read"):
            await ask(url)


ASKING = """
import asyncio, resource, sys
from collector.feed.network import AiohttpNetwork, LineError
from collector.venues.plan import Limits

async def main(url):
    most_bytes = Limits(1, 1, 1, 1, 1).max_answer_bytes
    async with AiohttpNetwork.open() as network:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            await network.request("GET", url, params={}, headers={}, body=None, max_answer_bytes=most_bytes)
        except LineError as error:
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error)

asyncio.run(main(sys.argv[1]))
"""


async def test_half_a_megabyte_that_unpacks_to_half_a_gigabyte_costs_little_memory() -> None:
    payload = bomb(512, GZIP)
    assert 500 * 1024 < len(payload) < 540 * 1024
    async with body(payload, "gzip") as url:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", ASKING, url, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        told, faults = await process.communicate()
    assert faults == b""
    grown_kib, _, reason = told.decode().partition(" ")
    assert int(grown_kib) < 100 * 1024
    assert "is larger than 32 MiB" in reason
