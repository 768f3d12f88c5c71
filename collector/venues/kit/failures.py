"""What most venues' answers over HTTP mean: which failures last, and how long a venue asks one to wait."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from collector.errors import VenueError
from collector.venues.rest import RestAnswer, RestCall

# Statuses that the same call will be given again, until somebody changes something.
LASTING_STATUSES: Final = frozenset({400, 401, 403, 404, 405, 406, 410, 414})

# A Retry-After of more digits is no number of seconds that anybody means.
LONGEST_DIGITS: Final = 9


def usual_failure(venue: str, call: RestCall, answer: RestAnswer) -> VenueError | None:
    """Return what went wrong by the status alone, or None: any status but those of success is a failure."""
    if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return None
    return VenueError(
        venue,
        f"{call.channel}: HTTP status {answer.status}",
        code=str(answer.status),
        permanent=answer.status in LASTING_STATUSES,
        retry_after=retry_after(answer),
    )


def told_failure(
    venue: str,
    answer: RestAnswer,
    code: str,
    text: str,
    *,
    lasting: bool,
    pause_seconds: float | None,
    symbol: str | None = None,
) -> VenueError:
    """Return the failure that a venue tells in its own words.

    `pause_seconds`: the answer refuses one call too many, and this is how long to wait where it does not say; None: it
    refuses something else. `lasting`: the same call would be refused again.
    """
    return VenueError(
        venue,
        text,
        symbol=symbol,
        code=code or str(answer.status),
        permanent=lasting and pause_seconds is None,
        retry_after=retry_after(answer) or pause_seconds,
    )


def retry_after(answer: RestAnswer) -> float | None:
    """Return how many seconds the answer asks one to wait, from either form of Retry-After; None where it does not."""
    for name, value in answer.headers.items():
        if name.lower() == "retry-after":
            return _seconds(value.strip(), answer.received_ns)
    return None


def _seconds(text: str, received_ns: int) -> float | None:
    if text.isascii() and text.isdigit():
        return float(text) if len(text) <= LONGEST_DIGITS else None
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - received_ns / 1e9)
    except (ValueError, OverflowError):
        return None
