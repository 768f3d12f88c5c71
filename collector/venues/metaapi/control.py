"""Turns packets without market data (transport packets, errors, downgrades) into events for the conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from collector.venues.events import Event, Refused
from collector.venues.metaapi.happenings import (
    Downgraded,
    LimitReached,
    LineClosed,
    LineConnected,
    LineOpened,
    PingAnswered,
)
from collector.venues.metaapi.requests import kind_of
from collector.venues.metaapi.values import decimal, loads, time_us

# Errors after which the same request would be refused again, so that it is not repeated soon.
PERMANENT_ERRORS = frozenset({"ValidationError", "NotFoundError"})
# Errors that mean that the token was refused, and the error that means that a limit was exceeded.
TOKEN_ERRORS = frozenset({"UnauthorizedError", "ForbiddenError"})
LIMIT_ERROR = "TooManyRequestsError"

# The longest wait that the venue may ask for, in `recommendedRetryTime` or `Retry-After`: that time is the venue's
# clock, and a wrong clock there or here must not stop a line for hours. Ten minutes is how long the venue's own client
# waits for a delayed answer.
VENUE_WAIT_MAX_SECONDS = 600.0
# The shortest one, so that a time in the past does not make us ask again at once.
VENUE_WAIT_MIN_SECONDS = 1.0

# Used until the server's opening packet names its own, and where it names none: the defaults of Engine.IO 3.
DEFAULT_PING_INTERVAL_SECONDS = 25.0
DEFAULT_PING_TIMEOUT_SECONDS = 5.0

# What of an error's message is shown. The venue's messages are a sentence or two; more would fill the log.
MESSAGE_MAX_CHARACTERS = 300


def transport(payload: bytes, received_ns: int) -> Event | None:
    """Read a packet of Engine.IO or Socket.IO that carries no application event; None for an unknown packet."""
    kind = payload[:1]
    if kind == b"0":
        return _opening(payload)
    if kind == b"3":
        return PingAnswered()
    if payload[:2] == b"40":
        return LineConnected()
    if kind == b"1" or payload[:2] == b"41":
        return LineClosed("the server ended the session")
    if payload[:2] == b"44":
        return LineClosed(f"the server refused: {payload[2:200].decode(errors='replace')}")
    return None


def _opening(payload: bytes) -> Event:
    try:
        content = loads(payload[1:].decode())
    except (ValueError, RecursionError):
        content = None
    facts = content if type(content) is dict else {}
    return LineOpened(
        _seconds(facts.get("pingInterval"), DEFAULT_PING_INTERVAL_SECONDS),
        _seconds(facts.get("pingTimeout"), DEFAULT_PING_TIMEOUT_SECONDS),
    )


def _seconds(millis: Any, default: float) -> float:
    text = decimal(millis)
    if text is None or len(text) > 12:
        return default
    seconds = float(text) / 1000
    # A server's slip, such as 0, would have us ping without pause or never.
    return seconds if 0.05 <= seconds <= 3600 else default


def wait_seconds(metadata: Any, received_us: int) -> float | None:
    """Return how long the venue asks to wait, within our bounds; None where it names no time."""
    at_us = time_us(metadata.get("recommendedRetryTime")) if type(metadata) is dict else None
    return (
        None if at_us is None else min(VENUE_WAIT_MAX_SECONDS, max(VENUE_WAIT_MIN_SECONDS, (at_us - received_us) / 1e6))
    )


def error(content: Mapping[str, Any], received_us: int) -> Sequence[Event]:
    """Return the events of a `processingError`: `Refused`, after `LimitReached` where a limit is the reason."""
    name = _text(content.get("error")) or "unknown error"
    identity = _text(content.get("requestId"))
    events: list[Event] = []
    if name == LIMIT_ERROR:
        metadata = content.get("metadata")
        facts = metadata if type(metadata) is dict else {}
        events.append(
            LimitReached(
                identity,
                wait_seconds(metadata, received_us),
                limit=_text(facts.get("type")) or "",
                new_client_id=facts.get("changeClientIdHeader") is True,
            )
        )
    message = _text(content.get("message")) or "no reason given"
    events.append(Refused(identity, name, message[:MESSAGE_MAX_CHARACTERS], name in PERMANENT_ERRORS))
    return events


def downgraded(account: str, packet: Mapping[str, Any]) -> Downgraded:
    """Read a `downgradeSubscription`."""
    interval_ms: dict[str, int | None] = {}
    for update in _objects(packet.get("updates")):
        interval = update.get("intervalInMilliseconds")
        digits = type(interval) is str and interval.isascii() and interval.isdigit() and len(interval) < 12
        interval_ms[kind_of(update)] = int(interval) if digits and type(interval) is str else None
    removed = [kind_of(unsubscription) for unsubscription in _objects(packet.get("unsubscriptions"))]
    return Downgraded(account, _text(packet.get("symbol")) or "", interval_ms, removed)


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if type(item) is dict] if type(value) is list else []


def _text(value: Any) -> str | None:
    return value if type(value) is str else None
