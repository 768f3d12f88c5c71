"""Which answers are failures."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from collector.errors import VenueError
from collector.venues.fmfw import ADAPTER, FmfwSettings
from collector.venues.rest import RestAnswer, RestCall

CALL = RestCall("rest:trades", "http://venue/public/trades", {"symbols": "BTCUSDT"})


def failure(status: int, body: Any, headers: dict[str, str] | None = None) -> VenueError | None:
    payload = body if isinstance(body, bytes) else orjson.dumps(body)
    return ADAPTER.begin("fmfw", FmfwSettings(symbols="*")).failure(CALL, RestAnswer(status, headers or {}, payload, 0))


def error(code: Any, **more: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": "Bad", "description": "why"}, "path": "/x", **more}


def test_an_answer_that_is_well_is_no_failure() -> None:
    assert failure(200, {"BTCUSDT": [{"error": "a field of this name"}]}) is None
    assert failure(200, b"garbage, which the parser quarantines") is None


@pytest.mark.parametrize(
    ("status", "body", "permanent"),
    [
        (400, error(2001), True),
        (400, error("2002"), True),
        (400, error(10001), True),
        (404, error(404), True),
        (403, error(1003), True),
        (429, error(429), False),
        (500, error(500), False),
        (503, b"<html>", False),
        (504, b"", False),
        (400, error(429), False),
        (200, error(2001), True),
        (200, error(500), False),
        (302, b"", False),
    ],
)
def test_a_failure_says_whether_it_lasts(status: int, body: Any, permanent: bool) -> None:
    found = failure(status, body)
    assert found is not None
    assert found.permanent is permanent
    assert found.symbol == "BTCUSDT"


def test_a_failure_keeps_what_the_venue_said() -> None:
    found = failure(400, error(2001))
    assert found is not None
    assert (found.code, found.reason) == ("2001", "Bad: why")


def test_a_body_that_is_no_error_points_at_the_address() -> None:
    found = failure(502, b"<html>")
    assert found is not None
    assert "HTTP status 502" in found.reason
    assert found.code == "502"


@pytest.mark.parametrize(
    ("headers", "seconds"), [({}, 1.0), ({"Retry-After": "7"}, 7.0), ({"retry-after": "soon"}, 1.0)]
)
def test_over_the_limit_it_waits_a_second_or_as_long_as_told(headers: dict[str, str], seconds: float) -> None:
    found = failure(429, error(429), headers)
    assert found is not None
    assert found.retry_after == seconds
