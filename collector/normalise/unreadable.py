"""Handles sessions that this program cannot read: their adapter is not installed, or their header is not understood.

Their frames are quarantined unchanged, and can be parsed later by a program that understands them (`collector
quarantine parse`). What they would have covered is a gap. All other sessions of the journal are read as usual.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from collector.model import Quarantined, Records
from collector.venues.events import Event
from collector.venues.header import HeaderError, SessionHeader

UNKNOWN_VENUE = "unknown"
_TEXTS = ("venue", "adapter", "worker", "url")


class UnreadableParser:
    """Meets `collector.venues.adapter.Parser`: puts everything into quarantine, with the same reason."""

    def __init__(self, venue: str, reason: str) -> None:
        self.last_seen: dict[str, dict[str, int]] = {}
        self.reason = reason
        self._venue = venue

    def frame(self, payload: bytes, received_ns: int, out: Records) -> Sequence[Event]:
        out.quarantine.append(Quarantined(self._venue, None, self.reason, payload, 1, received_ns // 1000))
        out.items += 1
        return ()

    def rest(
        self, channel: str, params: Mapping[str, str], body: bytes, received_ns: int, out: Records
    ) -> Sequence[Event]:
        return self.frame(body, received_ns, out)

    def beat(self, received_ns: int, out: Records) -> None: ...

    def fork(self) -> UnreadableParser:
        return self


def why(header: Any, error: Exception) -> str:
    """Return the reason for which no parser could be made of a header's JSON, in words."""
    adapter = header.get("adapter") if isinstance(header, Mapping) else None
    if isinstance(error, KeyError) and error.args == (adapter,):
        return f"this program has no adapter {adapter!r}"
    if isinstance(error, HeaderError):
        reason = str(error)
    elif isinstance(error, KeyError):
        reason = f"it has no {error.args[0]!r}"
    else:
        reason = f"{type(error).__name__}: {error}"
    return f"the header of its session cannot be used: {reason}"[:500]


def readable_part(told: Any) -> SessionHeader:
    """Return a usable header, with a venue at least, and the session's coverage as far as it can be read."""
    known: Mapping[str, Any] = told if isinstance(told, Mapping) else {}
    texts = {name: value for name in _TEXTS if isinstance(value := known.get(name), str) and value}
    texts = {"venue": UNKNOWN_VENUE, "adapter": UNKNOWN_VENUE} | texts
    try:
        return SessionHeader.from_json(texts | {"subscriptions": known.get("subscriptions", ())})
    except HeaderError:
        return SessionHeader.from_json(texts)
