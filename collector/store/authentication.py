"""Checks how a server asks for the password before the driver answers.

The driver (asyncpg) answers every request. So a program that listens in the server's place, or on the line to it, could
ask for the password in clear text and would get it. This module reads the server's messages first. A password in clear
text is sent only over an encrypted line or a Unix socket. With `require_auth` in the address, as in libpq, only the
methods it names are answered, and a server that lets us in without them is left.

asyncpg has no hook for this, but takes the event loop as a parameter and makes its connections through it: `Checked` is
such a loop.
"""

from __future__ import annotations

__all__ = ["Checked"]

import asyncio
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final, cast

from asyncpg.protocol import Protocol

# The longest message that is read before the login is over. PostgreSQL's own are far shorter: a longer one is not its
# protocol, and must not fill our memory.
LOGIN_MESSAGE_MAX_BYTES: Final = 1 << 16
# A message begins with its kind (one byte) and its length (four).
_MESSAGE_HEAD_BYTES: Final = 5
_AUTHENTICATION: Final = ord("R")

IN_CLEAR, NONE = "password", "none"


class Demand(IntEnum):
    """What a server asks for, or says about the login: the numbers in its `Authentication...` messages.

    Source: PostgreSQL's documentation, "Message Formats".
    """

    ACCEPTED = 0
    IN_CLEAR = 3
    MD5 = 5
    GSS = 7
    GSS_CONTINUE = 8
    SSPI = 9
    SASL = 10
    SASL_CONTINUE = 11
    SASL_FINAL = 12


# The demands that begin a login, with the names that libpq gives them.
METHODS: Final[dict[int, str]] = {
    Demand.IN_CLEAR: IN_CLEAR,
    Demand.MD5: "md5",
    Demand.GSS: "gss",
    Demand.SSPI: "sspi",
    Demand.SASL: "scram-sha-256",
}


class Checked:
    """An event loop that checks what servers demand; `refusal` says why a connection was given up.

    `allowed` are the methods that `require_auth` allows. None allows all of them, except a password in clear text over
    a line that is not encrypted.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, allowed: frozenset[str] | None) -> None:
        self.refusal: str | None = None
        self._loop = loop
        self._allowed = allowed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def create_connection(self, factory: Callable[[], Any], *place: Any, **how: Any) -> tuple[Any, Any]:
        return await self._connected(self._loop.create_connection, factory, *place, private="ssl" in how, **how)

    async def create_unix_connection(self, factory: Callable[[], Any], *place: Any, **how: Any) -> tuple[Any, Any]:
        return await self._connected(self._loop.create_unix_connection, factory, *place, private=True, **how)

    async def _connected(
        self, connect: Callable[..., Any], factory: Callable[[], Any], *place: Any, private: bool, **how: Any
    ) -> tuple[Any, Any]:
        made: list[Any] = []

        def checked() -> asyncio.BaseProtocol:
            made.append(factory())
            return self._checked(made[0], private=private)

        transport, _ = await connect(checked, *place, **how)
        return _Line(transport, self, private=private), made[0]

    async def start_tls(self, line: _Line, protocol: Any, *parameters: Any, **how: Any) -> _Line:
        transport = await self._loop.start_tls(line.transport, protocol, *parameters, **how)
        return _Line(transport, self, private=True)

    def _checked(self, protocol: Any, *, private: bool) -> asyncio.BaseProtocol:
        """Put a guard before a protocol that logs in. The driver's other protocols (TLS, cancelling) pass unchanged."""
        if not isinstance(protocol, Protocol):
            return cast("asyncio.BaseProtocol", protocol)
        return _Guard(protocol, self, private=private)

    def judge(self, demand: int, begun: str | None, *, private: bool) -> str | None:
        """Return why a demand must not be answered, None where it may; `begun` is the method demanded before it."""
        method = METHODS.get(demand)
        if method is None and demand == Demand.ACCEPTED and begun is None:
            method = NONE
        if method is None:
            return None  # continues a method that was judged, or is unknown to the driver, which then gives up
        if self._allowed is not None:
            if method in self._allowed:
                return None
            return f"it wants to log us in by {method!r}, and require_auth is {','.join(sorted(self._allowed))}"
        if method == IN_CLEAR and not private:
            return (
                "it asks for the password in clear over a line that is not encrypted, and is not told: "
                "is it the right server? Use sslmode=verify-full, or let it ask by scram-sha-256"
            )
        return None


class _Line:
    """A transport that puts a guard before each protocol it is given; what is written is not looked at."""

    def __init__(self, transport: Any, loop: Checked, *, private: bool) -> None:
        self.transport = transport
        self.write = transport.write
        self._loop = loop
        self._private = private

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)

    def set_protocol(self, protocol: Any) -> None:
        checked = self._loop._checked(protocol, private=self._private)  # noqa: SLF001  one of its own
        if isinstance(checked, _Guard):
            checked.watch(self.transport)
        self.transport.set_protocol(checked)


class _Guard(asyncio.Protocol):
    """Reads the server's messages before the driver's protocol does, until the login is over."""

    def __init__(self, protocol: Any, loop: Checked, *, private: bool) -> None:
        self._protocol = protocol
        self._loop = loop
        self._private = private
        self._transport: Any = None
        self._held = b""
        self._begun: str | None = None
        self._proved = False

    def watch(self, transport: Any) -> None:
        """Take over the transport of a protocol that was connected before the guard was made."""
        self._transport = transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._protocol.connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._protocol.connection_lost(error)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    def eof_received(self) -> bool | None:
        ended: bool | None = self._protocol.eof_received()
        return ended

    def data_received(self, data: bytes) -> None:
        """Pass complete messages on, one by one, as long as they may be answered."""
        self._held += data
        while len(self._held) >= _MESSAGE_HEAD_BYTES:
            end = 1 + int.from_bytes(self._held[1:_MESSAGE_HEAD_BYTES], "big")
            if len(self._held) < end <= LOGIN_MESSAGE_MAX_BYTES:
                return
            message, self._held = self._held[:end], self._held[end:]
            demand = int.from_bytes(message[_MESSAGE_HEAD_BYTES:9], "big") if message[0] == _AUTHENTICATION else None
            if end < _MESSAGE_HEAD_BYTES or end > LOGIN_MESSAGE_MAX_BYTES:
                self._refuse("it does not speak PostgreSQL's language")
                return
            if demand is not None and (reason := self._judge(demand)):
                self._refuse(reason)
                return
            if demand == Demand.ACCEPTED:
                self._step_aside(message)
                return
            self._protocol.data_received(message)

    def _judge(self, demand: int) -> str | None:
        reason = self._loop.judge(demand, self._begun, private=self._private)
        if reason is None and demand == Demand.ACCEPTED and self._begun == METHODS[Demand.SASL] and not self._proved:
            reason = "it lets us in without the proof that it knows the password"
        self._proved |= demand == Demand.SASL_FINAL
        if demand in METHODS:
            self._begun = METHODS[demand]
        return reason

    def _step_aside(self, message: bytes) -> None:
        rest, self._held = message + self._held, b""
        self._transport.set_protocol(self._protocol)
        self._protocol.data_received(rest)

    def _refuse(self, reason: str) -> None:
        self._loop.refusal = reason
        self._held = b""
        self._transport.abort()
