"""Settings, discovery, failures and history."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from collector.errors import VenueError
from collector.model import Instrument, Records
from collector.venues.finam import ADAPTER, FinamSettings
from collector.venues.finam.failures import failure, is_unauthorised
from collector.venues.finam.values import plain_decimal, time_us
from collector.venues.rest import History, RestAnswer, RestCall
from tests.kit.headers import session_header

from .driving import BASE, Driven

SBER = "SBER@MISX"


def make(**settings: Any) -> FinamSettings:
    return FinamSettings(**{"secret": "tapi_sk_x", "symbols": (SBER,), **settings})


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"secret": None}, "secret: none given"),
        ({"symbols": ()}, "symbols: none named"),
        ({"symbols": ("SBER",)}, "write TICKER@MIC"),
        ({"candles": ("3m",)}, "is not a candle period"),
        ({"streams": ("rates",)}, "is not a stream"),
        ({"maintenance": "2-3"}, "02:00-03:15"),
        ({"rest_url": "ftp://x"}, "is not an address"),
        ({"priorities": {SBER: 0}}, "greater than 0"),
    ],
)
def test_wrong_settings_tell_what_would_be_right(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        make(**settings)


def test_secret_is_not_shown() -> None:
    assert "tapi" not in repr(make())


def test_lists_and_tables_from_the_environment() -> None:
    settings = make(symbols="SBER@MISX, Si*@RTSX", priorities='{"SBER@MISX": 3}')
    assert settings.symbols == ("SBER@MISX", "Si*@RTSX")
    assert settings.priorities == {"SBER@MISX": 3}


def test_patterns_page_through_all_assets_and_the_plan_does_not_change_by_itself() -> None:
    driven = Driven(symbols=8)
    settings = driven.settings.model_copy(update={"symbols": ("*@RTSX", "RGBI@_SP", "X*@NONE")})
    driven.venue.fault("duplicate_asset")
    driven.spoken.apply(settings)
    first, second = driven._discover(), driven._discover()
    assert first.polls[0].header.symbols == ("BRZ6@RTSX", "SiZ6@RTSX", "RGBI@_SP")
    assert [problem.subject for problem in first.problems] == ["X*@NONE"]
    assert first.polls == second.polls
    assert driven.venue.quotas.calls["AllAssets"] == 3


def test_unknown_symbol_is_a_problem_and_stays_planned() -> None:
    driven = Driven()
    driven.spoken.apply(driven.settings.model_copy(update={"symbols": (SBER, "NOSUCH@MISX")}))
    plan = driven._discover()
    assert [problem.subject for problem in plan.problems] == ["NOSUCH@MISX"]
    assert plan.polls[0].header.symbols == (SBER, "NOSUCH@MISX")


def test_books_without_the_right_are_left_out_and_told() -> None:
    driven = Driven()
    details = driven.venue.sessions.details
    right = {"quote_level": "QUOTE_LEVEL_LAST_PRICE", "delay_minutes": 0, "mic": "MISX"}
    driven.venue.sessions.details = lambda token: {**details(token), "md_permissions": [right]}  # type: ignore[method-assign]
    plan = driven._discover()
    books = [one.symbols for one in plan.polls[0].subscriptions if one.stream == "books"]
    assert books == [("SiZ6@RTSX",)]
    assert "books are left out" in plan.problems[0].reason


def test_wrong_secret_is_permanent_and_names_its_setting() -> None:
    driven = Driven()
    driven.venue.sessions._secret = "another"
    with pytest.raises(VenueError, match=r"correct secret in \[venues.finam\]") as caught:
        driven._discover()
    assert caught.value.permanent


@pytest.mark.parametrize(
    ("status", "body", "permanent", "code"),
    [
        (401, b'{"code":16,"message":"no"}', True, "401"),
        (403, b'{"code":7,"message":"no"}', True, "403"),
        (404, b'{"code":5,"message":"no"}', True, "404"),
        (429, b'{"code":8,"message":"no"}', False, "429"),
        (500, b'{"code":2,"message":"no"}', False, "500/2"),
        (500, b"Response not transcoded", False, "500"),
        (503, b"", False, "503"),
        (504, b'{"code":4,"message":"no"}', False, "504"),
    ],
)
def test_failures_are_judged_by_their_codes(status: int, body: bytes, permanent: bool, code: str) -> None:
    call = RestCall(f"LastQuote/{SBER}", "http://x")
    error = failure("finam", call, RestAnswer(status, {"Retry-After": "7"}, body, 0))
    assert error is not None
    assert (error.permanent, error.code, error.symbol, error.retry_after) == (permanent, code, SBER, 7.0)
    assert is_unauthorised(error, token_is_old=True) == (code in ("401", "500/2"))
    assert is_unauthorised(error, token_is_old=False) == (code == "401")


def history(driven: Driven, stream: str, from_us: int, to_us: int) -> list[RestCall]:
    return drive(
        driven,
        driven.spoken.history(Instrument("finam", SBER), stream, from_us, to_us),
    )


def drive(driven: Driven, steps: History) -> list[RestCall]:
    made = []
    try:
        call = next(steps)
        while True:
            made.append(call)
            answer = driven._answer(call)
            error = driven.spoken.failure(call, answer)
            call = steps.throw(error) if error else steps.send(answer)
    except StopIteration:
        return made


def test_bars_of_the_past_are_asked_for_in_spans_that_the_venue_allows() -> None:
    driven = Driven(symbols=1, rate=0)
    now_us = driven.now_ns() // 1000
    made = history(driven, "candles", now_us - 20 * 86_400_000_000, now_us)
    spans = [(time_us(call.params["interval.start_time"]), time_us(call.params["interval.end_time"])) for call in made]
    assert all(end - start <= 7 * 86_400_000_000 for start, end in spans if start and end)
    for (_, end), (start, _) in zip(dict.fromkeys(spans), list(dict.fromkeys(spans))[1:], strict=False):
        assert end == start
    assert all(call.quota == "Bars/history" and call.channel.endswith("/history") for call in made)


def test_minutes_are_asked_for_whatever_frames_are_recorded_and_so_that_the_last_is_final() -> None:
    driven = Driven(symbols=1, rate=0, candles="1h", streams="trades")
    minute_us = driven.now_ns() // 60_000_000_000 * 60_000_000 - 120_000_000
    instrument = Instrument("finam", SBER)
    made = drive(
        driven,
        driven.spoken.minutes([instrument], minute_us - 600000000, minute_us),
    )
    assert {(call.quota, call.params["timeframe"]) for call in made} == {("Bars/history", "TIME_FRAME_M1")}
    call = made[0]
    out = Records()
    parser = driven.adapter.parser(
        session_header({"venue": "finam", "symbols": None, **driven.spoken.history_header()})
    )
    parser.rest(call.channel, call.told, driven._answer(call).body, driven.now_ns(), out)
    over = [row for row in out.candles if row.time_us <= minute_us]
    assert over
    assert all(row.closed for row in over)


def test_refused_token_is_replaced_once_while_reading_the_past() -> None:
    driven = Driven(symbols=1, rate=0)
    driven.venue.sessions.expire()
    now_us = driven.now_ns() // 1000
    made = history(driven, "candles", now_us - 3_600_000_000, now_us)
    assert [call.channel.split("/")[0] for call in made] == ["Bars", "Auth", "TokenDetails", "Bars"]


def test_trades_reach_back_as_far_as_the_list_and_no_farther() -> None:
    driven = Driven(symbols=1, rate=0)
    newest = driven.venue.exchange.markets[SBER].trades[-50:]
    assert len(history(driven, "trades", newest[0].time_us + 1, newest[-1].time_us)) == 1
    with pytest.raises(VenueError, match="reaches back to") as caught:
        history(driven, "trades", newest[0].time_us - 10**9, newest[-1].time_us)
    assert caught.value.permanent


def test_no_past_of_quotes_and_books() -> None:
    driven = Driven(symbols=1)
    with pytest.raises(VenueError, match="keeps no past of books"):
        history(driven, "books", 0, 1)
    assert {"trades", "candles"} == ADAPTER.historic


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("6.8042089E8", "680420890"),
        ("2.78E7", "27800000"),
        ("10.0", "10.0"),
        ("-1.5e-3", "-0.0015"),
        ("0E0", "0"),
        ("1E+2", "100"),
        ("+5", "5"),
        ("123.456E1", "1234.56"),
        (".5", None),
        ("1_0", None),
        ("NaN", None),
        ("1E9999", None),
        ("", None),
        ("285.31", "285.31"),
    ],
)
def test_exponents_are_written_out_exactly(text: str, plain: str | None) -> None:
    assert plain_decimal(text) == plain


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("2026-11-20T08:43:04Z", 0),
        ("2026-11-20T08:43:04.573Z", 573_000),
        ("2026-11-20T08:43:04.573168Z", 573_168),
        ("2026-11-20T08:43:04.573168999Z", 573_168),
        ("2026-11-20T11:43:04+03:00", 0),
        ("2026-02-30T00:00:00Z", None),
        ("1999-01-01T00:00:00Z", None),
        (5, None),
        ("2026-11-20 08:43:04Z", None),
    ],
)
def test_times(text: object, micros: int | None) -> None:
    found = time_us(text)
    assert found == (None if micros is None else 1_795_164_184_000_000 + micros)


def test_session_calls_go_where_the_settings_say() -> None:
    driven = Driven(symbols=1, venue={"session_seconds": 30.0})
    driven.run(25)
    [login] = [call for _, call in driven.calls if call.channel == "Auth"]
    assert login.url == f"{BASE}/sessions"
    assert orjson.loads(login.body or b"")["source_app_id"] == "collector"
