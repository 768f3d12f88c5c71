"""Which answers are failures, and which of them last."""

from __future__ import annotations

import pytest

from collector.venues.fmex.failures import failure
from collector.venues.rest import RestAnswer, RestCall

CALL = RestCall("rest:symbols", "http://venue/symbols")


@pytest.mark.parametrize(
    "body", [b'{"status":0,"data":[]}', b'{"status":"ok","data":[]}', b'{"data":[]}', b'{"BTCUSD_P":9088265}', b"7"]
)
def test_good_answers_are_none(body: bytes) -> None:
    assert failure("fmex", CALL, RestAnswer(200, {}, body, 0)) is None


@pytest.mark.parametrize(
    ("status", "body", "permanent", "says"),
    [
        (400, b'{"status":40003,"msg":"invalid symbol"}', True, "invalid symbol (code 40003)"),
        (200, b'{"status":40003,"msg":"invalid symbol"}', True, "invalid symbol (code 40003)"),
        (200, b'{"status":50000,"msg":"later"}', False, "later (code 50000)"),
        (200, b'{"status":[7]}', False, "no reason given"),
        (404, b"<html>gone</html>", True, "is rest_url right?"),
        (200, b"<html>parked</html>", True, "is rest_url right?"),
        (530, b"<html>origin is down</html>", False, "HTTP status 530"),
        (503, b"", False, "HTTP status 503"),
        (429, b'{"status":429,"msg":"too many requests"}', False, "too many requests"),
    ],
)
def test_a_failure_says_why_and_whether_it_lasts(status: int, body: bytes, permanent: bool, says: str) -> None:
    error = failure("fmex", CALL, RestAnswer(status, {}, body, 0))
    assert error is not None
    assert error.permanent is permanent
    assert says in str(error)


def test_a_rate_limit_names_a_time_to_wait() -> None:
    assert failure("fmex", CALL, RestAnswer(429, {}, b"", 0)).retry_after == 3.0  # type: ignore[union-attr]
    assert failure("fmex", CALL, RestAnswer(429, {"Retry-After": "7"}, b"", 0)).retry_after == 7.0  # type: ignore[union-attr]
