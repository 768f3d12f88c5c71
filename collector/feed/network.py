"""The network for the feed: lines, which carry messages, and requests with their answers.

This is a layer over aiohttp. aiohttp's errors are translated into `LineError`, which always has a reason in words.
Addresses in errors and logs are shown without their query, since some venues put a token there. Redirects are not
followed: our requests may hold a token or a secret, which only the configured address may see. Answers are read only up
to the size that the caller allows.
"""

from __future__ import annotations

import asyncio
import fcntl
import ssl
import termios
from array import array
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Protocol

import aiohttp
from aiohttp import WSMsgType
from yarl import URL

from collector import __version__
from collector.errors import CollectorError
from collector.feed.answers import ENCODINGS, AnswerError, TooLargeError, read_body

# For name lookup, TCP, TLS and the WebSocket handshake together.
CONNECT_TIMEOUT_SECONDS = 15.0
# For a REST call with its answer; long pages of history take their time.
REQUEST_TIMEOUT_SECONDS = 60.0
# A venue that reads nothing for that long is gone, or has given us up.
SEND_TIMEOUT_SECONDS = 10.0
# For the closing handshake of a WebSocket; then the line is cut. Nothing is lost by that.
CLOSE_TIMEOUT_SECONDS = 2.0
# Characters that are shown of an address that a peer has sent; it may be of any length.
ADDRESS_MAX_CHARACTERS = 300

PING = WSMsgType.PING
PONG = WSMsgType.PONG
TEXT = WSMsgType.TEXT
BINARY = WSMsgType.BINARY


class Loss(StrEnum):
    """The kinds of reasons for which a line is lost or cannot be made; few, so that they can be counted by."""

    UNREACHABLE = "unreachable"  # no answer, or not in time
    REFUSED = "refused"  # the peer answered, but with no WebSocket
    CLOSED = "closed"  # the venue closed it with a close frame
    CUT = "cut"  # the line was cut without a close frame
    SILENT = "silent"  # nothing came, not even answers to our pings
    STUCK = "stuck"  # the venue does not read what we send
    GIVEN_UP = "given up"  # we ended it: messages made no sense, or were missing
    FAILED = "failed"  # we ended it over a bug
    NO_ROOM = "no room"  # we ended it, since nothing more could be recorded


class LineError(CollectorError):
    """A connection could not be made, or has ended; `status` is the HTTP status, if the peer answered with one.

    `again`: whether another try may succeed soon.
    """

    def __init__(self, reason: str, *, status: int | None = None, kind: Loss = Loss.CUT, again: bool = True) -> None:
        self.status = status
        self.kind = kind
        self.again = again
        super().__init__(reason)


class MovedError(LineError):
    """The peer points to another address instead of answering; nothing was sent there."""

    def __init__(self, url: str, status: int, location: str | None) -> None:
        self.location = pointed_to(url, location)
        """Where the redirect leads, without query and user; empty where that is no address."""
        whither = f"points to {self.location}" if self.location else "names no other address that can be read"
        reason = f"{shown(url)} answered {status} and {whither}; no redirect is followed"
        super().__init__(reason, status=status, kind=Loss.REFUSED, again=False)

    def advice(self, venue: str) -> str:
        """Return what a person can do about it."""
        if not self.location:
            return f"are the addresses in [venues.{venue}] right?"
        return f"if that is where the venue is now, set it in [venues.{venue}]"


class UnreadableError(LineError):
    """An answer came that is too large or cannot be unpacked."""


class Message(Protocol):
    """One WebSocket message; `type` is one of the constants above, `data` its bytes."""

    @property
    def type(self) -> WSMsgType: ...

    @property
    def data(self) -> Any: ...


class Line(Protocol):
    """An open WebSocket."""

    async def receive(self) -> Message:
        """Return the next message, pings and pongs included; any other kind means that the line has ended."""

    def ended(self, message: Message) -> LineError:
        """Return why the line has ended, from aiohttp's message about it."""

    def unread(self) -> int:
        """Return how many bytes have come that are still in the system's hands."""

    async def send(self, payload: bytes) -> None: ...

    async def ping(self) -> None: ...

    async def pong(self, payload: bytes) -> None: ...

    async def close(self) -> None: ...


class Network(Protocol):
    """What a worker needs of the network."""

    async def connect(self, url: str, *, headers: Mapping[str, str], max_message_bytes: int) -> Line:
        """Open a WebSocket; a message larger than that, unpacked, ends the line. Raises `LineError`."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes | None,
        max_answer_bytes: int,
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Return status, headers and body, none larger than that, packed or unpacked. Raises `LineError`."""


def shown(url: str | URL) -> str:
    """The address without its query and without a password, fit for logs."""
    return str(URL(url).with_query(None).with_fragment(None).with_user(None))


def pointed_to(url: str | URL, location: str | None) -> str:
    """Return the address in an answer's `Location` header, in a form for logs; empty where there is none."""
    if not location:
        return ""
    try:
        return shown(URL(url).join(URL(location)))[:ADDRESS_MAX_CHARACTERS]
    except ValueError:
        return ""


async def refuse_redirects(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Refuse a redirect before aiohttp follows it: for WebSocket handshakes aiohttp has no option against that."""
    response = await handler(request)
    if 300 <= response.status < 400 and response.status != HTTPStatus.NOT_MODIFIED:
        response.close()
        raise MovedError(str(request.url), response.status, response.headers.get("Location"))
    return response


class AiohttpLine:
    """A `Line` over aiohttp, which was measured three times quicker a message than the alternatives."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse[bool]) -> None:
        self._socket = socket
        # aiohttp's own method, without a wrapper: that saves a coroutine for each frame.
        self.receive = socket.receive

    def ended(self, message: Message) -> LineError:
        return LineError(self._why_ended(message), kind=Loss.CLOSED if message.type is WSMsgType.CLOSE else Loss.CUT)

    def _why_ended(self, message: Message) -> str:
        if message.type is WSMsgType.CLOSE:
            extra = getattr(message, "extra", None)
            text = f": {extra}" if extra else ""
            return f"the venue closed the line with code {message.data}{text}"
        if message.type is WSMsgType.ERROR:
            return f"the line broke: {message.data}"
        error = self._socket.exception()
        return f"the line was cut{f': {error}' if error else ''}"

    def unread(self) -> int:
        held = array("i", [0])
        try:
            fcntl.ioctl(self._socket.get_extra_info("socket").fileno(), termios.FIONREAD, held)
        except (AttributeError, OSError, ValueError):  # the socket is closed, and what was unread is lost
            return 0
        return held[0]

    async def send(self, payload: bytes) -> None:
        try:
            async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                await self._socket.send_frame(payload, WSMsgType.TEXT)
        except TimeoutError:
            reason = f"the venue took no message for {SEND_TIMEOUT_SECONDS:.0f} s"
            raise LineError(reason, kind=Loss.STUCK) from None
        except (OSError, aiohttp.ClientError) as error:
            raise LineError(f"sending failed: {error}") from error

    async def ping(self) -> None:
        try:
            async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                await self._socket.ping()
        except (OSError, aiohttp.ClientError, TimeoutError) as error:
            raise LineError(f"a ping could not be sent: {error}") from error

    async def pong(self, payload: bytes) -> None:
        try:
            async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                await self._socket.pong(payload)
        except (OSError, aiohttp.ClientError, TimeoutError) as error:
            raise LineError(f"a pong could not be sent: {error}") from error

    async def close(self) -> None:
        """Say goodbye, but not for long: under load a peer may never answer."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await self._socket.close()
        except TimeoutError:
            # We leave without the peer's answer then; the session keeps the reason that it ended with.
            return


class AiohttpNetwork:
    """The real network. One a venue, so that a venue's connection pool is its own."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[AiohttpNetwork]:
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS, connect=CONNECT_TIMEOUT_SECONDS)
        headers = {"User-Agent": f"collector/{__version__}", "Accept-Encoding": ENCODINGS}
        connector = aiohttp.TCPConnector(limit=0, ssl=ssl.create_default_context())
        async with aiohttp.ClientSession(
            timeout=timeout,
            headers=headers,
            connector=connector,
            auto_decompress=False,  # aiohttp's own unpacking has no bound; `read_body` has one
            middlewares=(refuse_redirects,),
        ) as session:
            yield cls(session)

    async def connect(self, url: str, *, headers: Mapping[str, str], max_message_bytes: int) -> Line:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                socket = await self._session.ws_connect(
                    url,
                    headers=headers,
                    autoping=False,
                    autoclose=False,
                    max_msg_size=max_message_bytes,
                    decode_text=False,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT_SECONDS),
                )
        except aiohttp.WSServerHandshakeError as error:
            reason = f"{shown(url)} answered {error.status}: {error.message}"
            raise LineError(reason, status=error.status, kind=Loss.REFUSED) from error
        except TimeoutError:
            reason = f"{shown(url)} did not answer in {CONNECT_TIMEOUT_SECONDS:.0f} s"
            raise LineError(reason, kind=Loss.UNREACHABLE) from None
        except (OSError, aiohttp.ClientError, ValueError) as error:
            raise LineError(_why_none(url, error), kind=Loss.UNREACHABLE) from error
        return AiohttpLine(socket)

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes | None,
        max_answer_bytes: int,
    ) -> tuple[int, Mapping[str, str], bytes]:
        try:
            async with self._session.request(method, url, params=params, headers=headers, data=body) as response:
                return response.status, response.headers, await read_body(response, max_answer_bytes)
        except TimeoutError:
            raise LineError(f"{shown(url)} did not answer in time") from None
        except AnswerError as error:
            raise UnreadableError(
                f"the answer of {shown(url)} {error}", again=not isinstance(error, TooLargeError)
            ) from error
        except (OSError, aiohttp.ClientError, ValueError) as error:
            raise LineError(_why_none(url, error)) from error


def _why_none(url: str, error: Exception) -> str:
    if isinstance(error, aiohttp.ClientResponseError):
        return f"{shown(url)} answered with what is no HTTP that can be read, or has headers beyond all measure"
    return f"{shown(url)} cannot be reached: {type(error).__name__}: {_cause(error)}"


def _cause(error: BaseException) -> str:
    # aiohttp's own texts may quote the whole address with its query.
    os_error = getattr(error, "os_error", None)
    return (
        str(os_error or (error.strerror if isinstance(error, OSError) and error.strerror else "")) or "no reason given"
    )
