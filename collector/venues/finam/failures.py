"""Which REST answers are failures, and whether the same call can succeed later. Decided by codes, never by texts."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson

from collector.errors import VenueError
from collector.venues.finam.requests import AUTH, DETAILS, NEWS, method_of, symbol_of
from collector.venues.kit.failures import LASTING_STATUSES, retry_after
from collector.venues.rest import RestAnswer, RestCall

_UNKNOWN_CODE = 2

# The venue was seen to say so of a session that has ended.
GONE = "500/2"


def failure(venue: str, call: RestCall, answer: RestAnswer) -> VenueError | None:
    """Return what went wrong, or None for a 200. `code` is the HTTP status; `GONE` where a session may be gone."""
    if answer.status == HTTPStatus.OK:
        return None
    content = _content(answer.body)
    grpc_code = content.get("code")
    message = content.get("message")
    method = method_of(call.channel)
    if type(message) is not str or not message:
        which = "the feed's address in news" if method.startswith(NEWS) else "rest_url"
        message = f"HTTP status {answer.status} with a body that is no error of the venue's; is {which} right?"
    setting = None
    if method == AUTH and answer.status in (400, 401, 403):
        setting = "secret"
        message = f"the secret is not accepted ({message[:200]}); set secret in [venues.{venue}] right"
    elif method == DETAILS and answer.status in (400, 401, 403):
        message = f"the new session is not accepted ({message[:200]})"
    code = GONE if answer.status == 500 and grpc_code == _UNKNOWN_CODE else str(answer.status)
    return VenueError(
        venue,
        message[:500],
        symbol=symbol_of(call.channel),
        code=code,
        permanent=answer.status in LASTING_STATUSES,
        retry_after=retry_after(answer),
        setting=setting,
    )


def status_of(error: VenueError) -> int | None:
    """Return the HTTP status of a failure; None where there was no answer at all."""
    head = (error.code or "").partition("/")[0]
    return int(head) if head.isdigit() else None


def is_unauthorised(error: VenueError, *, token_is_old: bool) -> bool:
    """Tell whether a new token may help: 401, and for an old token also the 500 with which a gone session was seen."""
    if status_of(error) == HTTPStatus.UNAUTHORIZED:
        return True
    return token_is_old and error.code == GONE


def _content(body: bytes) -> dict[str, Any]:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return content if type(content) is dict else {}
