"""Decides which REST answers are failures, and whether the same call can succeed later."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson

from collector.errors import VenueError
from collector.venues.kit.failures import LASTING_STATUSES, retry_after
from collector.venues.metaapi.control import (
    MESSAGE_MAX_CHARACTERS,
    VENUE_WAIT_MAX_SECONDS,
    VENUE_WAIT_MIN_SECONDS,
    wait_seconds,
)
from collector.venues.metaapi.values import loads
from collector.venues.rest import RestAnswer, RestCall

# The code of the error for an answer that the venue is still preparing: the same call will succeed later.
NOT_READY = "202"
_TOKEN_STATUSES = frozenset({401, 403})
# What of an error's body is read. The venue's errors are below 1 kB; a proxy's page may be of any size.
_ERROR_BODY_MAX_BYTES = 100_000
# What of the error's name is shown together with a refused token.
_ERROR_NAME_MAX_CHARACTERS = 60
# How long to wait after a 429 that names no time.
_LIMIT_RETRY_SECONDS = 1.0


def failure(venue: str, call: RestCall, answer: RestAnswer) -> VenueError | None:
    """Return the error of an answer that is a failure, else None."""
    status = answer.status
    if status == HTTPStatus.ACCEPTED:
        reason = "the venue is still preparing the answer"
        return VenueError(venue, reason, code=NOT_READY, retry_after=_retry_after(answer))
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return None
    error = _error(answer.body)
    name, text = str(error.get("error") or status), str(error.get("message") or "")[:MESSAGE_MAX_CHARACTERS]
    if status in _TOKEN_STATUSES:
        # The message is left out, since it could repeat the token.
        shown_name = name[:_ERROR_NAME_MAX_CHARACTERS]
        reason = f"the token was refused (HTTP {status}, {shown_name}); correct token in [venues.{venue}]"
        return VenueError(venue, reason, code=str(status), permanent=True, setting="token")
    pause = _retry_after(answer)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        recommended = wait_seconds(error.get("metadata"), answer.received_ns // 1000)
        pause = recommended if recommended is not None else pause or _LIMIT_RETRY_SECONDS
    if not text:
        text = f"HTTP status {status} with a body that is not an error of MetaAPI; check base_url or domain"
    return VenueError(
        venue,
        f"{name}: {text}" if error else text,
        code=str(status),
        permanent=status in LASTING_STATUSES,
        retry_after=pause,
    )


def _error(body: bytes) -> dict[str, Any]:
    try:
        content = loads(body[:_ERROR_BODY_MAX_BYTES].decode())
    except (ValueError, RecursionError):
        return {}
    return content if type(content) is dict else {}


def _retry_after(answer: RestAnswer) -> float | None:
    seconds = retry_after(answer)
    return None if seconds is None else min(VENUE_WAIT_MAX_SECONDS, max(VENUE_WAIT_MIN_SECONDS, seconds))


def content_of(venue: str, subject: str, answer: RestAnswer) -> Any:
    """Return an answer's JSON, None if empty. Raises `VenueError`, which names `subject`, for anything else."""
    try:
        return orjson.loads(answer.body) if answer.body.strip() else None
    except orjson.JSONDecodeError as error:
        raise VenueError(venue, f"{subject} is not JSON ({error}); check base_url or domain") from error
