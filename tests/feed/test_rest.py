from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from collector.errors import VenueError
from collector.feed.network import LineError, MovedError, UnreadableError
from collector.feed.rest import ATTEMPTS_MAX, RETRY_AFTER_MAX_SECONDS, RestClient
from collector.venues.rest import RestAnswer, RestCall
from tests.kit.headers import session_header

from .fakes import LIMITS, Answer, FakeClock, FakeNetwork, FakeSession, FakeVenue

MOVED = (
    "fake: https://venue/old answered 307 and points to https://venue/new; no redirect is followed; "
    "if that is where the venue is now, set it in [venues.fake] (code 307)"
)
CALL = RestCall("trades", "http://fake/trades")


def client(*answers: Answer | LineError) -> tuple[RestClient, FakeNetwork, FakeSession, FakeClock]:
    network, session, clock = FakeNetwork(answers=answers), FakeSession(session_header({})), FakeClock()
    return RestClient(FakeVenue(), LIMITS, network, clock, session), network, session, clock


def ok(body: bytes = b"[]") -> tuple[int, Mapping[str, str], bytes]:
    return 200, {}, body


async def test_answers_are_journalled() -> None:
    rest, _, session, _ = client(ok(b"body"))
    answer = await rest.fetch(CALL)
    assert answer.body == b"body"
    assert session.answers == [(CALL, answer)]


async def test_answers_that_are_not_market_data_are_not_journalled() -> None:
    rest, _, session, _ = client(ok(b"a token"))
    await rest.fetch(RestCall("login", "http://fake/login", record=False))
    assert session.answers == []


async def test_failures_that_may_pass_are_tried_again_after_a_pause() -> None:
    rest, network, session, clock = client((503, {}, b""), (429, {}, b""), ok())
    before = clock.now
    await rest.fetch(CALL)
    assert len(network.requests) == 3
    assert len(session.answers) == 1
    assert clock.now - before >= 1.5


async def test_permanent_refusal_is_not_repeated() -> None:
    rest, network, _, _ = client((400, {}, b""), ok())
    with pytest.raises(VenueError, match="fake: status 400"):
        await rest.fetch(CALL)
    assert len(network.requests) == 1


async def test_venue_that_keeps_failing_is_reported_after_a_few_tries() -> None:
    rest, network, _, _ = client(*[(500, {}, b"")] * 20)
    with pytest.raises(VenueError, match="status 500"):
        await rest.fetch(CALL)
    assert len(network.requests) == ATTEMPTS_MAX


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (
            MovedError("https://venue/old?token=secret", 307, "/new?token=secret"),
            MOVED,
        ),
        (
            UnreadableError("the answer of https://venue/old is larger than 32 MiB", again=False),
            "fake: trades: the answer of https://venue/old is larger than 32 MiB",
        ),
    ],
)
async def test_what_a_moment_does_not_cure_is_not_repeated_and_not_taken_for_final(
    refusal: LineError, reason: str
) -> None:
    rest, network, _, _ = client(refusal, ok())
    with pytest.raises(VenueError) as refused:
        await rest.fetch(CALL)
    assert str(refused.value) == reason
    assert not refused.value.permanent
    assert len(network.requests) == 1


async def test_answer_that_was_cut_off_is_asked_for_again() -> None:
    rest, network, _, _ = client(UnreadableError("was cut off"), ok())
    await rest.fetch(CALL)
    assert len(network.requests) == 2


async def test_everybody_waits_out_a_429() -> None:
    rest, _, _, clock = client((429, {}, b""), ok(), ok())
    await rest.fetch(CALL)
    assert clock.now >= 1_001
    assert (rest.use.calls, rest.use.failed, rest.use.throttled) == (2, 1, 1)
    assert rest.of(FakeSession(session_header({}))).use is rest.use


async def test_a_429_of_one_quota_holds_only_its_own_calls_back() -> None:
    rest, _, session, clock = client((429, {"Retry-After": "9"}, b""), ok(), ok())
    before = clock.now
    with pytest.raises(VenueError, match="429"):
        await rest.fetch_once(replace(CALL, quota="bars"), session)
    await rest.fetch_once(replace(CALL, quota="quotes"), session)
    assert clock.now == before
    await rest.fetch_once(replace(CALL, quota="bars"), session)
    assert clock.now - before >= 1.0


async def test_calls_of_a_quota_keep_its_pace() -> None:
    adapter, network, session, clock = (
        FakeVenue(),
        FakeNetwork(answers=[ok()] * 3),
        FakeSession(session_header({})),
        FakeClock(),
    )
    rest = RestClient(adapter, replace(LIMITS, quotas={"slow": 10.0}), network, clock, session)
    for _ in range(3):
        await rest.fetch_once(CALL, session)
    network.answers += [ok()] * 11
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(11):
        await rest.fetch_once(replace(CALL, quota="slow"), session)
    assert loop.time() - began >= 0.09


async def test_a_polled_calls_failure_is_left_to_the_polling_to_tell() -> None:
    rest, _, session, _ = client((500, {}, b""))
    with capture_logs() as logs, pytest.raises(VenueError):
        await rest.fetch_once(CALL, session)
    assert logs == []


async def test_generator_is_driven_to_its_result_and_told_of_failures() -> None:
    rest, _, _, _ = client(ok(b"1"), (400, {}, b""), ok(b"3"))

    def steps() -> Generator[RestCall, RestAnswer, Sequence[bytes]]:
        seen = [(yield CALL).body]
        try:
            yield CALL
        except VenueError as error:
            seen.append(str(error).encode())
        seen.append((yield CALL).body)
        return seen

    assert await rest.drive(steps()) == [b"1", b"fake: status 400", b"3"]


async def test_same_failure_is_told_once_until_a_call_succeeds() -> None:
    gone: Answer = (503, {}, b"")
    rest, _, _, _ = client(gone, gone, ok(), gone, ok())
    with capture_logs() as logs:
        await rest.fetch(CALL)
        await rest.fetch(CALL)
    assert [entry["log_level"] for entry in logs if entry["event"] == "rest_failed"] == ["info", "debug", "info"]


@pytest.mark.parametrize("asked", [86_400.0 * 365, float("inf"), float("nan"), -5.0])
async def test_pause_that_no_venue_means_is_capped_and_told(asked: float) -> None:
    rest, network, _, clock = client((429, {}, b""), ok())
    rest._venue.failure = lambda call, answer: (  # type: ignore[method-assign]
        VenueError("fake", "slow down", retry_after=asked) if answer.status == 429 else None
    )
    began = clock.now
    with capture_logs() as logs:
        await rest.fetch(CALL)
    assert len(network.requests) == 2
    assert RETRY_AFTER_MAX_SECONDS <= clock.now - began < 2 * RETRY_AFTER_MAX_SECONDS + 60
    assert [log["pause_s"] for log in logs if log["event"] == "pause_capped"] == [RETRY_AFTER_MAX_SECONDS]
