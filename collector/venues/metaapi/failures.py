"""Which REST answers are failures, and whether the same call can succeed later."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import orjson

from collector.errors import VenueError
from collector.venues.metaapi.checks import loads
from collector.venues.metaapi.control import LONGEST_WAIT_SECONDS, wait_seconds
from collector.venues.rest import RestAnswer, RestCall

NOT_READY = "202"
"""The code of an answer that comes later: the same call is to be made again."""
_LASTING = frozenset({400, 401, 403, 404, 405, 410, 414})
_TOKEN = frozenset({401, 403})


def failure(venue: str, call: RestCall, answer: RestAnswer) -> VenueError | None:
    """Return what went wrong, or None."""
    status = answer.status
    if status == HTTPStatus.ACCEPTED:
        return VenueError(venue, "the venue is still fetching it", code=NOT_READY, retry_after=_retry_after(answer))
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return None
    error = _error(answer.body)
    name, text = str(error.get("error") or status), str(error.get("message") or "")[:300]
    if status in _TOKEN:
        # The message could repeat what we sent.
        reason = f"the token was refused (HTTP {status}, {name[:60]}); set token in [venues.{venue}] right"
        return VenueError(venue, reason, code=str(status), permanent=True, setting="token")
    retry_after = _retry_after(answer)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        metadata = error.get("metadata")
        asked = wait_seconds(metadata, answer.received_ns // 1000)
        retry_after = asked if asked is not None else retry_after or 1.0
    if not text:
        text = f"HTTP status {status} with a body that is no error of the venue's; are the addresses right?"
    return VenueError(
        venue,
        f"{name}: {text}" if error else text,
        code=str(status),
        permanent=status in _LASTING,
        retry_after=retry_after,
    )


def _error(body: bytes) -> dict[str, Any]:
    try:
        content = loads(body[:100_000].decode())
    except (ValueError, RecursionError):
        return {}
    return content if type(content) is dict else {}


def _retry_after(answer: RestAnswer) -> float | None:
    for name, value in answer.headers.items():
        if name.lower() != "retry-after":
            continue
        text = value.strip()
        if text.isascii() and text.isdigit() and len(text) < 9:
            return min(LONGEST_WAIT_SECONDS, max(1.0, float(text)))
        try:
            at = parsedate_to_datetime(text)
        except ValueError:
            return None
        return min(LONGEST_WAIT_SECONDS, max(1.0, at.timestamp() - answer.received_ns / 1e9))
    return None


def content_of(venue: str, what: str, answer: RestAnswer) -> Any:
    """Return an answer's JSON. VenueError where it is none."""
    try:
        return orjson.loads(answer.body) if answer.body.strip() else None
    except orjson.JSONDecodeError as error:
        raise VenueError(venue, f"{what} is not JSON ({error}); are the addresses right?") from error
