"""Which REST answers are failures, and whether the same call can succeed later."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from collector.errors import VenueError
from collector.venues.fmex.control import PERMANENT_CODES, error_of, succeeded
from collector.venues.fmex.numbers import loads
from collector.venues.rest import RestAnswer, RestCall

_LASTING_STATUS = frozenset({400, 401, 403, 404, 405, 406, 410, 414})

RATE_LIMIT_SECONDS = 3.0
"""The venue counts a sliding window of ten seconds and names no time of its own."""


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
    lasting = code in PERMANENT_CODES or answer.status in _LASTING_STATUS
    return VenueError(
        venue,
        text,
        code=code or str(answer.status),
        permanent=not limited and (lasting or (answer.status == HTTPStatus.OK and content is None)),
        retry_after=_retry_after(answer) or (RATE_LIMIT_SECONDS if limited else None),
    )


def _retry_after(answer: RestAnswer) -> float | None:
    for name, value in answer.headers.items():
        if name.lower() == "retry-after" and value.strip().isascii() and value.strip().isdigit():
            return float(value)
    return None
