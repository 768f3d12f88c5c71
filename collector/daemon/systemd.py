"""Tells systemd how the service does: ready, stopping, a line of status, and that it is still alive.

The protocol is a datagram of `NAME=value` lines to the socket in `$NOTIFY_SOCKET`. Without that variable every call
does nothing. A notification that cannot be delivered is logged once and never stops the service: systemd's own
time-outs act on the silence.
"""

from __future__ import annotations

__all__ = ["Notifier"]

import os
import socket
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import structlog

from collector.escape import escaped

log = structlog.get_logger()


class Notifier:
    """The line to systemd; `watchdog_seconds` is how often it wants to hear `watchdog`, None if it does not."""

    def __init__(self, address: str | None, watchdog_seconds: float | None = None) -> None:
        self.watchdog_seconds = watchdog_seconds if address else None
        self._address = address
        self._socket: socket.socket | None = None
        self._status = ""
        if address is not None:
            # A name that begins with @ is in the abstract namespace, spelled with a leading zero byte.
            self._target = "\0" + address[1:] if address.startswith("@") else address
            try:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
                self._socket.setblocking(False)
            except OSError as error:
                log.warning("systemd_unreachable", socket=address, reason=error.strerror or str(error))

    def __repr__(self) -> str:
        return f"<Notifier {self._address or 'off'}>"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Notifier:
        """Make the one that systemd asked for; one that does nothing where there is no systemd."""
        address = environ.get("NOTIFY_SOCKET", "")
        microseconds, process = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
        watched = microseconds.isdigit() and int(microseconds) > 0 and process in ("", str(os.getpid()))
        return cls(address if address.startswith(("/", "@")) else None, int(microseconds) / 1e6 if watched else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ready(self) -> None:
        """Start-up is over."""
        self._send("READY=1")

    def stopping(self) -> None:
        """The drain has begun."""
        self._send("STOPPING=1")

    def watchdog(self) -> None:
        """We are alive; to be called at least twice within `watchdog_seconds`."""
        if self.watchdog_seconds is not None:
            self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Show one line in `systemctl status`; the same line again is not sent."""
        line = escaped(" ".join(text.split()))
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def close(self) -> None:
        """Let the socket go; later calls do nothing."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, message: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(message.encode("utf-8", "backslashreplace"), self._target)
        except OSError as error:
            log.warning("systemd_unreachable", socket=self._address, reason=error.strerror or str(error))
            if not isinstance(error, BlockingIOError):
                self.close()
