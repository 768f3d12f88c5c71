"""Which REST answers are failures, and whether the same call can succeed later."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson

from collector.errors import VenueError
from collector.venues.fmfw.control import PERMANENT_CODES, error_of
from collector.venues.kit.failures import LASTING_STATUSES, told_failure
from collector.venues.rest import RestAnswer, RestCall

# The venue counts a sliding second, and names no time of its own.
RATE_LIMIT_SECONDS = 1.0


def failure(venue: str, call: RestCall, answer: RestAnswer) -> VenueError | None:
    """Return what went wrong, or None. 2001, 2002, 10001 and client errors last; 429, 5xx and the rest pass."""
    error = _error_body(answer.body)
    if answer.status == HTTPStatus.OK and error is None:
        return None
    code, text = error_of(error) if error is not None else ("", "")
    if not text:
        text = f"HTTP status {answer.status} with a body that is no error of the venue's; is rest_url right?"
    limited = answer.status == HTTPStatus.TOO_MANY_REQUESTS or code == "429"
    return told_failure(
        venue,
        answer,
        code,
        text,
        lasting=code in PERMANENT_CODES or answer.status in LASTING_STATUSES,
        pause_seconds=RATE_LIMIT_SECONDS if limited else None,
        symbol=call.params.get("symbols") or call.params.get("symbol"),
    )


def _error_body(body: bytes) -> dict[str, Any] | None:
    # Books and histories are long and no errors: look only where an error would say so.
    if b'"error"' not in body[:1000]:
        return None
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return content if type(content) is dict and "error" in content else None
