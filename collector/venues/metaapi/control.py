"""The venue's answers and news that are no market data, as events for the conversation."""

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

# The same request will be refused again.
PERMANENT_ERRORS = frozenset({"ValidationError", "NotFoundError"})
TOKEN_ERRORS = frozenset({"UnauthorizedError", "ForbiddenError"})
LIMIT_ERROR = "TooManyRequestsError"

# No time that the venue names is waited for longer: its clock or ours may be wrong.
LONGEST_WAIT_SECONDS = 600.0

DEFAULT_PING_INTERVAL = 25.0
DEFAULT_PING_TIMEOUT = 5.0


def transport(payload: bytes, received_ns: int) -> Event | None:
    """Read a packet of Engine.IO or Socket.IO that carries no event; None where it is none that is known."""
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
        _seconds(facts.get("pingInterval"), DEFAULT_PING_INTERVAL),
        _seconds(facts.get("pingTimeout"), DEFAULT_PING_TIMEOUT),
    )


def _seconds(millis: Any, default: float) -> float:
    text = decimal(millis)
    if text is None or len(text) > 12:
        return default
    seconds = float(text) / 1000
    return seconds if 0.05 <= seconds <= 3600 else default


def wait_seconds(metadata: Any, received_us: int) -> float | None:
    """Return how long the venue asks to wait, bounded; None where it names no time."""
    at_us = time_us(metadata.get("recommendedRetryTime")) if type(metadata) is dict else None
    return None if at_us is None else min(LONGEST_WAIT_SECONDS, max(1.0, (at_us - received_us) / 1e6))


def error(content: Mapping[str, Any], received_us: int) -> Sequence[Event]:
    """Read a `processingError`."""
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
    events.append(Refused(identity, name, message[:300], name in PERMANENT_ERRORS))
    return events


def downgraded(account: str, packet: Mapping[str, Any]) -> Downgraded:
    """Read a `downgradeSubscription`."""
    interval_ms: dict[str, int | None] = {}
    for one in _objects(packet.get("updates")):
        interval = one.get("intervalInMilliseconds")
        digits = type(interval) is str and interval.isascii() and interval.isdigit() and len(interval) < 12
        interval_ms[kind_of(one)] = int(interval) if digits and type(interval) is str else None
    removed = [kind_of(one) for one in _objects(packet.get("unsubscriptions"))]
    return Downgraded(account, _text(packet.get("symbol")) or "", interval_ms, removed)


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if type(one) is dict] if type(value) is list else []


def _text(value: Any) -> str | None:
    return value if type(value) is str else None
