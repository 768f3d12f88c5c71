"""Settings, accounts, hosts and symbols to connections; and what the venue's refusals mean."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from collector.errors import VenueError
from collector.venues.metaapi import ADAPTER, MetaapiSettings
from collector.venues.metaapi.failures import failure
from collector.venues.plan import Plan
from collector.venues.rest import RestAnswer, RestCall

TOKEN = "aaaa.bbbbbbbb.cccc"
NOW_NS = 1_714_979_289_000_000_000
SERVERS = {"hostname": "mt-client-api-dedicated", "domain": "agiliumtrade.ai"}


def settings(**more: Any) -> MetaapiSettings:
    accounts = {"demo": {"id": "A1", "symbols": ["EURUSD", "XAU*"]}}
    return MetaapiSettings.model_validate({"token": TOKEN, "accounts": accounts, **more})


def account(**more: Any) -> dict[str, Any]:
    return {"_id": "A1", "state": "DEPLOYED", "region": "london", "version": 5, "connectionStatus": "CONNECTED", **more}


def discovered(wanted: MetaapiSettings, answers: Mapping[str, Any]) -> tuple[Plan, list[RestCall]]:
    """Drive a discovery with answers by the end of the path; an exception is thrown in."""
    generator = ADAPTER.begin("metaapi", wanted).discover()
    calls = [next(generator)]
    try:
        while True:
            answer = next(content for path, content in answers.items() if calls[-1].url.endswith(path))
            if isinstance(answer, Exception):
                calls.append(generator.throw(answer))
            else:
                calls.append(generator.send(RestAnswer(200, {}, orjson.dumps(answer), NOW_NS)))
    except StopIteration as done:
        return done.value, calls


USUAL = {"/A1": account(), "/mt-client-api": SERVERS, "/symbols": ["EURUSD", "XAUUSD", "XAUEUR", "GBPUSD"]}


def test_plan_names_the_hosts_of_the_accounts_region_and_instance() -> None:
    plan, calls = discovered(settings(), USUAL)
    [connection] = plan.connections
    assert connection.url.startswith("wss://mt-client-api-dedicated.london-a.agiliumtrade.ai/ws/?auth-token=")
    assert [call.url for call in calls] == [
        "https://mt-provisioning-api-v1.agiliumtrade.agiliumtrade.ai/users/current/accounts/A1",
        "https://mt-provisioning-api-v1.agiliumtrade.agiliumtrade.ai/users/current/servers/mt-client-api",
        "https://mt-client-api-v1.london.agiliumtrade.ai/users/current/accounts/A1/symbols",
    ]
    assert not any(call.record for call in calls)
    assert {call.headers["auth-token"] for call in calls} == {TOKEN}
    assert TOKEN not in repr(plan)
    assert TOKEN not in repr(calls)
    assert TOKEN not in str(connection.header)
    assert connection.header.own["accounts"]["A1"]["symbols"] == ["EURUSD", "XAUEUR", "XAUUSD"]
    assert plan.problems == ()


def test_one_address_can_serve_all_hosts() -> None:
    plan, calls = discovered(settings(base_url="http://127.0.0.1:8000/"), USUAL)
    assert plan.connections[0].url.startswith("ws://127.0.0.1:8000/ws/?")
    assert all(call.url.startswith("http://127.0.0.1:8000/users/current/") for call in calls)


def test_each_attempt_has_a_new_client_id_in_query_and_header() -> None:
    plan, _ = discovered(settings(), USUAL)
    random = Random(1)
    addresses = [ADAPTER.begin("metaapi", settings()).address(plan.connections[0], random) for _ in range(2)]
    ids = [headers["Client-Id"] for _, headers in addresses]
    assert ids[0] != ids[1]
    for (url, _), identity in zip(addresses, ids, strict=True):
        assert f"&clientId={identity}&" in url
        assert "&EIO=3" in url
        assert "&transport=websocket" in url


def test_account_that_cannot_stream_is_told_and_looked_at_again_soon() -> None:
    two = settings(accounts={"demo": {"id": "A1", "symbols": ["*"]}, "idle": {"id": "A2", "symbols": ["*"]}})
    plan, _ = discovered(two, {**USUAL, "/A2": account(_id="A2", state="UNDEPLOYED")})
    assert len(plan.connections) == 1
    assert [(problem.subject, "deploy it" in problem.reason) for problem in plan.problems] == [("account idle", True)]
    assert plan.look_again_seconds == 60
    with pytest.raises(VenueError, match="account demo: it is UNDEPLOYED") as caught:
        discovered(settings(), {"/A1": account(state="UNDEPLOYED")})
    assert not caught.value.permanent


def test_replica_of_the_wanted_region_is_used_under_its_own_id() -> None:
    replica = {"_id": "R9", "region": "new-york", "state": "DEPLOYED"}
    plan, _ = discovered(settings(region="new-york"), {**USUAL, "/A1": account(accountReplicas=[replica])})
    assert ".new-york-a." in plan.connections[0].url
    assert list(plan.connections[0].header.own["accounts"]) == ["R9"]


def test_symbols_of_several_accounts_never_collide() -> None:
    accounts = {"demo": {"id": "A1", "symbols": ["EURUSD"]}, "live": {"id": "A2", "symbols": ["EURUSD"]}}
    answers = {**USUAL, "/A2": account(_id="A2")}
    plan, _ = discovered(settings(accounts=accounts), answers)
    assert {one.instrument.symbol for one in plan.instruments} >= {"demo:EURUSD", "live:EURUSD"}
    assert len(plan.connections) == 1
    plain, _ = discovered(settings(accounts=accounts, symbol_names="plain"), answers)
    assert [problem.subject for problem in plain.problems] == ["account live: EURUSD"]
    assert [one["symbols"] for one in plain.connections[0].header.own["accounts"].values()] == [["EURUSD"]]


def test_metatrader_4_has_its_own_periods_and_neither_books_nor_deals() -> None:
    plan, _ = discovered(settings(candles=["1m", "2m", "1mo"]), {**USUAL, "/A1": account(version=4)})
    described = plan.connections[0].header.own["accounts"]["A1"]
    assert described["kinds"] == ["quotes", "candles/1m", "candles/1mn"]
    assert described["streams"] == ["ticks", "candles"]
    assert [problem.subject for problem in plan.problems] == ["account demo: 2m"]


@pytest.mark.parametrize(("wish", "hint"), [("EURUSDD", "did you mean EURUSD"), ("Z*", "matches no symbol")])
def test_wish_that_means_nothing_is_told_with_what_may_have_been_meant(wish: str, hint: str) -> None:
    plan, _ = discovered(settings(accounts={"demo": {"id": "A1", "symbols": [wish, "GBPUSD"]}}), USUAL)
    assert [hint in problem.reason for problem in plan.problems] == [True]
    assert plan.connections[0].header.own["accounts"]["A1"]["symbols"] == ["GBPUSD"]


def test_list_of_symbols_that_cannot_be_had_does_not_stop_plain_names() -> None:
    error = VenueError("metaapi", "not connected", code="404", permanent=True)
    plan, _ = discovered(settings(), {**USUAL, "/symbols": error})
    assert plan.connections[0].header.own["accounts"]["A1"]["symbols"] == ["EURUSD"]
    assert len(plan.problems) == 2


def test_accounts_are_spread_over_sockets() -> None:
    accounts = {f"a{number}": {"id": f"A{number}", "symbols": ["EURUSD"]} for number in range(5)}
    answers: dict[str, Any] = {"/mt-client-api": SERVERS, "/symbols": ["EURUSD"]}
    answers |= {f"/A{number}": account(_id=f"A{number}") for number in range(5)}
    plan, _ = discovered(settings(accounts=accounts, accounts_per_connection=2), answers)
    assert [len(one.header.own["accounts"]) for one in plan.connections] == [2, 2, 1]
    assert len({one.name for one in plan.connections}) == 3


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"token": ""}, "token"),
        ({"accounts": {}}, "accounts: none"),
        ({"accounts": {"demo": {"id": "A", "symbols": []}}}, "no symbols"),
        ({"accounts": {"a b": {"id": "A", "symbols": ["X"]}}}, "not a name"),
        ({"accounts": {"a": {"id": "A", "symbols": ["X"]}, "b": {"id": "A", "symbols": ["X"]}}}, "the same id"),
        ({"candles": ["7m"]}, "not a candle period"),
        ({"streams": ["news"]}, "not a stream"),
        ({"base_url": "localhost"}, "not an address"),
        ({"domain": "https://x"}, "not a host"),
        ({"ticks": "some"}, "ticks"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_wrong_settings_are_refused_with_a_text_that_helps(wrong: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        settings(**wrong)


def test_token_is_never_shown() -> None:
    assert TOKEN not in repr(settings())
    assert TOKEN not in str(settings().model_dump())


CALL = RestCall("accounts", "https://host/users/current/accounts/A1", headers={"auth-token": TOKEN})


def failed(status: int, body: Any = None, **headers: str) -> VenueError:
    content = b"" if body is None else orjson.dumps(body)
    error = failure("metaapi", CALL, RestAnswer(status, headers, content, NOW_NS))
    assert error is not None
    return error


@pytest.mark.parametrize("status", [401, 403])
def test_refused_token_is_one_line_that_names_the_setting(status: int) -> None:
    error = failed(status, {"error": "UnauthorizedError", "message": f"bad token {TOKEN}"})
    assert error.permanent
    assert "correct token in [venues.metaapi]" in str(error)
    assert TOKEN not in str(error)


def test_venue_says_when_to_try_again() -> None:
    body = {
        "error": "TooManyRequestsError",
        "message": "m",
        "metadata": {"recommendedRetryTime": "2024-05-06T07:08:19Z"},
    }
    assert failed(429, body).retry_after == 10
    assert failed(429, {"metadata": {"recommendedRetryTime": "2094-05-06T07:08:19Z"}}).retry_after == 600
    assert failed(429).retry_after == 1
    assert failed(202, None, **{"Retry-After": "7"}).retry_after == 7
    assert failed(202, None, **{"retry-after": "Mon, 06 May 2024 07:08:29 GMT"}).retry_after == 20
    assert failed(202, None, **{"Retry-After": "soon"}).retry_after is None


def test_client_errors_last_and_server_errors_pass() -> None:
    assert [failed(status).permanent for status in (400, 404, 409, 500, 503, 202)] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]
    assert failure("metaapi", CALL, RestAnswer(200, {}, b"[]", NOW_NS)) is None
