"""Which REST answers are failures, and whether the same call can succeed later."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from collector.errors import VenueError
from collector.venues.fmex.control import PERMANENT_CODES, error_of, succeeded
from collector.venues.fmex.numbers import loads
from collector.venues.kit.failures import LASTING_STATUSES, told_failure
from collector.venues.rest import RestAnswer, RestCall

# The venue counts a sliding window of ten seconds and names no time of its own.
RATE_LIMIT_SECONDS = 3.0


def failure(venue: str, call: RestCall, answer: RestAnswer) -> VenueError | None:
    """Return what went wrong, or None. 40003 and client errors last; 429, 5xx and the rest pass.

    A good status with something else than JSON lasts, too: the venue is closed, and somebody else may have its address.
    """
    content: Any
    try:
        content = loads(answer.body)
    except ValueError:
        content = None
    error = content if type(content) is dict and not succeeded(content) else None
    if answer.status == HTTPStatus.OK and content is not None and error is None:
        return None
    code, text = error_of(error) if error is not None else ("", "")
    if not text or (text == "no reason given" and answer.status != HTTPStatus.OK):
        text = f"HTTP status {answer.status} with a body that is no answer of the venue's; is rest_url right?"
    limited = answer.status == HTTPStatus.TOO_MANY_REQUESTS
    lasting = code in PERMANENT_CODES or answer.status in LASTING_STATUSES
    lasting |= answer.status == HTTPStatus.OK and content is None
    return told_failure(
        venue, answer, code, text, lasting=lasting, pause_seconds=RATE_LIMIT_SECONDS if limited else None
    )
