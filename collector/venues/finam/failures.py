"""Decides which REST answers are failures, and whether the same call can succeed later.

It goes by codes alone: the texts of the venue are in two languages and change.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson

from collector.errors import VenueError
from collector.venues.finam.requests import AUTH, DETAILS, NEWS, method_of, symbol_of
from collector.venues.kit.failures import LASTING_STATUSES, retry_after
from collector.venues.rest import RestAnswer, RestCall

# gRPC's status code UNKNOWN.
_UNKNOWN_CODE = 2

# Our code of a failure with HTTP status 500 and gRPC's code 2, which was seen for sessions that had expired.
SESSION_GONE_CODE = "500/2"

# How much of the venue's message is shown, by itself and inside a sentence of ours.
_MESSAGE_MAX_CHARACTERS = 500
_QUOTED_MESSAGE_MAX_CHARACTERS = 200


def failure(venue: str, call: RestCall, answer: RestAnswer) -> VenueError | None:
    """Return the error of an answer that is a failure, None for a 200.

    Its `code` is the HTTP status, or `SESSION_GONE_CODE` where the session may have expired.
    """
    if answer.status == HTTPStatus.OK:
        return None
    content = _content(answer.body)
    grpc_code = content.get("code")
    message = content.get("message")
    method = method_of(call.channel)
    if type(message) is not str or not message:
        setting_to_check = "the feed's address in news" if method.startswith(NEWS) else "rest_url"
        message = f"HTTP status {answer.status} with a body that is not an error of Finam; check {setting_to_check}"
    quoted = message[:_QUOTED_MESSAGE_MAX_CHARACTERS]
    setting = None
    if method == AUTH and answer.status in (400, 401, 403):
        setting = "secret"
        message = f"the secret is not accepted ({quoted}); correct secret in [venues.{venue}]"
    elif method == DETAILS and answer.status in (400, 401, 403):
        message = f"the new session is not accepted ({quoted})"
    code = SESSION_GONE_CODE if answer.status == 500 and grpc_code == _UNKNOWN_CODE else str(answer.status)
    return VenueError(
        venue,
        message[:_MESSAGE_MAX_CHARACTERS],
        symbol=symbol_of(call.channel),
        code=code,
        permanent=answer.status in LASTING_STATUSES,
        retry_after=retry_after(answer),
        setting=setting,
    )


def status_of(error: VenueError) -> int | None:
    """Return the HTTP status of a failure; None where there was no answer."""
    head = (error.code or "").partition("/")[0]
    return int(head) if head.isdigit() else None


def is_unauthorised(error: VenueError, *, token_is_old: bool) -> bool:
    """Whether a new token may help: after a 401, and for an old token also after `SESSION_GONE_CODE`."""
    if status_of(error) == HTTPStatus.UNAUTHORIZED:
        return True
    return token_is_old and error.code == SESSION_GONE_CODE


def _content(body: bytes) -> dict[str, Any]:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return content if type(content) is dict else {}
