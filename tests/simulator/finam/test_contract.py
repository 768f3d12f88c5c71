"""Every answer of the simulated venue against the vendor's own contract.

`contract.json` is the vendor's swagger (release 2.19.0) with the served paths alone and without its texts. It names no
field as required and says nothing of unknown ones; here an unknown field is an error.
"""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from jsonschema import Draft4Validator, FormatChecker
from jsonschema.exceptions import ValidationError

from collector import simulator
from collector.simulator.finam import FinamVenue
from collector.simulator.finam.text import read_time, timestamp

CONTRACT = json.loads((Path(__file__).parent / "contract.json").read_text())
PATHS = CONTRACT["paths"]
SPAN = ("interval.start_time", "interval.end_time")
QUERIES = {
    "/v1/assets/{symbol}": {"account_id": "1000001"},
    "/v1/assets/{symbol}/params": {"account_id": "1000001"},
    "/v1/instruments/{symbol}/bars": {"timeframe": "TIME_FRAME_M1"},
}
SYMBOLS = ("SBER@MISX", "SiZ6@RTSX", "UNAC%40MISX")
INDEX = "RGBI@_SP"

FORMATS = FormatChecker(formats=())


def _is_a_time(value: object) -> bool:
    return isinstance(value, str) and value.endswith("Z") and read_time(value) > 0


def _is_a_long(value: object) -> bool:
    return isinstance(value, str) and value.lstrip("-").isdigit() and -(2**63) <= int(value) < 2**63


def _is_a_number(value: object) -> bool:
    return type(value) is int and -(2**31) <= value < 2**31


for _name, _check in (("date-time", _is_a_time), ("int64", _is_a_long), ("int32", _is_a_number)):
    FORMATS.checks(_name)(_check)


def closed(schema: Any) -> Any:
    """The same schema, with no room for fields that it does not name."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    held = {name: closed(value) for name, value in schema.items()}
    return held | {"additionalProperties": False} if "properties" in held else held


DEFINITIONS = {name: closed(schema) for name, schema in CONTRACT["definitions"].items()}
DEFINITIONS["protobufAny"].pop("additionalProperties", None)


def validate(path: str, kind: str, answer: object) -> None:
    schema = closed(PATHS[path][kind]) | {"definitions": DEFINITIONS}
    Draft4Validator(schema, format_checker=FORMATS).validate(answer)


@pytest.fixture
async def venue() -> AsyncIterator[FinamVenue]:
    async with simulator.serve(("finam",), seed=4, rate=200) as running:
        yield running["finam"]


@pytest.fixture
async def http(venue: FinamVenue) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(base_url=venue.address["rest_url"].removesuffix("/v1")) as session:
        yield session


async def token(http: aiohttp.ClientSession, venue: FinamVenue) -> str:
    answer = await http.post("/v1/sessions", json={"secret": venue.address["secret"]})
    held = await answer.json()
    validate("/v1/sessions", "answer", held)
    return str(held["token"])


def calls(venue: FinamVenue) -> list[tuple[str, str, dict[str, str]]]:
    """Contract path, real path and query of every GET."""
    found = []
    now = venue.now_us() // 1_000_000
    for path, one in PATHS.items():
        if one["method"] != "get":
            continue
        query = dict(QUERIES.get(path, {}))
        if path.endswith("/bars"):
            moments = [now - 7200, now + 60]
            query |= dict(zip(SPAN, (timestamp(moment * 1_000_000) for moment in moments), strict=True))
        symbols = (INDEX,) if path.endswith("constituents") else SYMBOLS
        for symbol in symbols if "symbol}" in path else ("",):
            real = path.replace("{symbol}", symbol).replace("{underlying_symbol}", symbol)
            found.append((path, real, query))
    return found


async def test_every_answer_meets_the_contract(http: aiohttp.ClientSession, venue: FinamVenue) -> None:
    headers = {"Authorization": await token(http, venue)}
    for path, real, query in calls(venue):
        answer = await http.get(real, headers=headers, params=query)
        assert answer.status == 200, (real, await answer.text())
        content = await answer.json()
        validate(path, "answer", content)
        held = [value for value in content.values() if isinstance(value, list)]
        assert all(held) or "usage" in path, f"{real} is empty, which proves nothing"


async def test_session_details_meet_the_contract(http: aiohttp.ClientSession, venue: FinamVenue) -> None:
    answer = await http.post("/v1/sessions/details", json={"token": await token(http, venue)})
    validate("/v1/sessions/details", "answer", await answer.json())


async def test_every_refusal_meets_the_contract(http: aiohttp.ClientSession, venue: FinamVenue) -> None:
    for path, real, query in calls(venue):
        answer = await http.get(real, params=query)
        assert answer.status == 401
        validate(path, "error", await answer.json())


async def test_each_page_of_all_assets_meets_the_contract(http: aiohttp.ClientSession, venue: FinamVenue) -> None:
    headers = {"Authorization": await token(http, venue)}
    cursor, symbols = "0", []
    for _ in range(10):
        answer = await (await http.get("/v1/assets/all", headers=headers, params={"cursor": cursor})).json()
        validate("/v1/assets/all", "answer", answer)
        symbols += [asset["symbol"] for asset in answer["assets"]]
        cursor = answer["next_cursor"]
        if cursor == "0":
            break
    assert symbols == list(venue.exchange.markets)


@pytest.mark.parametrize(
    "spoilt",
    [
        {"symbol": 5},
        {"symbol": "A@B", "trades": [{"side": "SIDE_UP"}]},
        {"simbol": "A@B"},
        {"trades": [{"price": {"value": 1.5}}]},
        {"trades": [{"timestamp": "yesterday"}]},
    ],
)
def test_the_contract_refuses_what_is_wrong(spoilt: object) -> None:
    with pytest.raises((ValidationError, ValueError)):
        validate("/v1/instruments/{symbol}/trades/latest", "answer", spoilt)
