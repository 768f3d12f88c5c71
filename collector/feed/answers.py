"""Reads the body of a REST answer, up to a bound: half a megabyte can be made to unpack to a thousand.

aiohttp can unpack bodies, but without a bound. So it is asked for the packed bytes, which are unpacked here.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator

import aiohttp

from collector.errors import CollectorError

# The compressions that are offered to venues; no other one is unpacked.
ENCODINGS = "gzip, deflate"
# A gzip stream may consist of several members. Each costs time, and may be empty: an answer of nothing but empty
# members would keep us busy without ever reaching the bound on its size. Servers send one.
GZIP_MEMBERS_MAX = 64

# Bytes that are unpacked before other tasks get their turn: about a millisecond of work.
_UNPACK_STEP_BYTES = 256 * 1024
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_PLAIN = frozenset({"", "identity"})
_WITH_GZIP = frozenset({"gzip", "x-gzip"})


class AnswerError(CollectorError):
    """A body that is too large, cannot be unpacked, or was cut off; the text goes on from "the answer of .."."""


class TooLargeError(AnswerError):
    """A body beyond the bound."""

    def __init__(self, most_bytes: int, why: str) -> None:
        super().__init__(f"is larger than {most_bytes / 2**20:g} MiB ({why}), which no answer of a venue should be")


async def read_body(response: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    """Return an answer's unpacked body, if neither it nor the packed one is larger than `most_bytes`.

    The client session must not unpack bodies itself. Raises `AnswerError` as soon as the bound is passed, with no more
    than that in memory.
    """
    told = response.content_length
    if told is not None and told > most_bytes:
        raise TooLargeError(most_bytes, f"{told} bytes were announced")
    unpacker = _unpacker(", ".join(response.headers.getall("Content-Encoding", ())).strip().lower())
    parts: list[bytes] = []
    received = size = 0
    try:
        async for packed in response.content.iter_any():
            received += len(packed)
            if received > most_bytes:
                raise TooLargeError(most_bytes, "more came")
            for part in (packed,) if unpacker is None else unpacker.unpack(packed):
                size += len(part)
                if size > most_bytes:
                    raise TooLargeError(
                        most_bytes, "it unpacks to more"
                    )  # without the size, so that repeated refusals have the same text and are logged once
                parts.append(part)
                if len(part) >= _UNPACK_STEP_BYTES:
                    await asyncio.sleep(0)
    except aiohttp.ClientPayloadError as error:
        raise AnswerError("was cut off") from error
    if unpacker is not None and received and not unpacker.complete:
        raise AnswerError("ends in the middle of what was packed")
    return b"".join(parts)


def _unpacker(encoding: str) -> _Unpacker | None:
    if encoding in _PLAIN:
        return None
    if encoding not in _WITH_GZIP and encoding != "deflate":
        raise AnswerError(f"is packed in a way that was not asked for: {encoding[:40]!a}")
    return _Unpacker(gzip=encoding != "deflate")


class _Unpacker:
    """Unpacks one body in steps."""

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._stream = zlib.decompressobj(_GZIP) if gzip else None
        self._members = 1

    @property
    def complete(self) -> bool:
        """Whether the packed body came to its end."""
        return self._stream is not None and self._stream.eof

    def unpack(self, packed: bytes) -> Iterator[bytes]:
        """Yield what these packed bytes unpack to, in steps. Raises `AnswerError`."""
        if self._stream is None:
            # "deflate" in HTTP means with a zlib header, which some servers leave out.
            self._stream = zlib.decompressobj(_ZLIB if packed[0] & 0x0F == zlib.DEFLATED else _RAW)
        part = b""
        while packed or len(part) == _UNPACK_STEP_BYTES:  # a full step may have left something behind
            if packed and self._stream.eof:
                self._next_member()
            try:
                part = self._stream.decompress(packed, _UNPACK_STEP_BYTES)
            except zlib.error as error:
                raise AnswerError("cannot be unpacked: it is damaged, or not packed as it says") from error
            packed = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
            if part:
                yield part

    def _next_member(self) -> None:
        self._members += 1
        if not self._gzip or self._members > GZIP_MEMBERS_MAX:
            raise AnswerError("goes on after the end of what was packed")
        self._stream = zlib.decompressobj(_GZIP)
