"""Which REST answers are failures, and whether the same call can succeed later."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson

from collector.errors import VenueError
from collector.venues.kit.failures import LASTING_STATUSES, retry_after
from collector.venues.metaapi.control import LONGEST_WAIT_SECONDS, wait_seconds
from collector.venues.metaapi.values import loads
from collector.venues.rest import RestAnswer, RestCall

# The code of an answer that comes later: the same call is to be made again.
NOT_READY = "202"
_TOKEN = frozenset({401, 403})


def failure(venue: str, call: RestCall, answer: RestAnswer) -> VenueError | None:
    """Return what went wrong, or None."""
    status = answer.status
    if status == HTTPStatus.ACCEPTED:
        return VenueError(venue, "the venue is still fetching it", code=NOT_READY, retry_after=_asked(answer))
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return None
    error = _error(answer.body)
    name, text = str(error.get("error") or status), str(error.get("message") or "")[:300]
    if status in _TOKEN:
        # The message could repeat what we sent.
        reason = f"the token was refused (HTTP {status}, {name[:60]}); set token in [venues.{venue}] right"
        return VenueError(venue, reason, code=str(status), permanent=True, setting="token")
    pause = _asked(answer)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        metadata = error.get("metadata")
        asked = wait_seconds(metadata, answer.received_ns // 1000)
        pause = asked if asked is not None else pause or 1.0
    if not text:
        text = f"HTTP status {status} with a body that is no error of the venue's; are the addresses right?"
    return VenueError(
        venue,
        f"{name}: {text}" if error else text,
        code=str(status),
        permanent=status in LASTING_STATUSES,
        retry_after=pause,
    )


def _error(body: bytes) -> dict[str, Any]:
    try:
        content = loads(body[:100_000].decode())
    except (ValueError, RecursionError):
        return {}
    return content if type(content) is dict else {}


def _asked(answer: RestAnswer) -> float | None:
    seconds = retry_after(answer)
    return None if seconds is None else min(LONGEST_WAIT_SECONDS, max(1.0, seconds))


def content_of(venue: str, what: str, answer: RestAnswer) -> Any:
    """Return an answer's JSON. VenueError where it is none."""
    try:
        return orjson.loads(answer.body) if answer.body.strip() else None
    except orjson.JSONDecodeError as error:
        raise VenueError(venue, f"{what} is not JSON ({error}); are the addresses right?") from error
