"""Guards the code that only looks at the daemon, for the status: a bug in it must never end the recording.

A look that fails is a bug. It is counted, and logged once, not at each of the hundred looks in a minute. Meanwhile what
it should show is "not known".
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any, TypeVar

import orjson
import structlog

from collector.supervise.parts import reason_of

log = structlog.get_logger()

T = TypeVar("T")


class Looks:
    """Failed looks, by the part that they were about."""

    def __init__(self) -> None:
        self.failing: dict[str, str] = {}
        """Why a part cannot be shown, by its name."""
        self.failures = 0
        """Looks that failed, since the start."""

    def __repr__(self) -> str:
        return f"<Looks failing={list(self.failing)}>"

    def take(self, part: str, look: Callable[[], T], otherwise: T) -> T:
        """Return the result of a look, or `otherwise` where it fails."""
        try:
            value = look()
        except Exception as error:  # noqa: BLE001  told by `failed`
            self.failed(part, error)
            return otherwise
        self.succeeded(part)
        return value

    def failed(self, part: str, error: Exception) -> None:
        """Count a failed look; it is logged unless it failed for the same reason before."""
        reason = reason_of(error)
        self.failures += 1
        if self.failing.get(part) != reason:
            self.failing[part] = reason
            log.error("look_failed", part=part, reason=reason, exc_info=error)

    def succeeded(self, part: str) -> None:
        """Note that a part could be shown again."""
        self.failing.pop(part, None)


def encoded(value: object) -> bytes:
    """Return a value as JSON, also with a text that is none: half of a surrogate pair, as in a file's odd name."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, default=_plain).encode()


def _plain(value: Any) -> Any:
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else str(value)
