"""The list of symbols and what names and patterns choose from it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from collector.model import InstrumentSpec
from collector.venues.fmfw.symbols import choose, is_future, read_spec
from collector.venues.plan import Problem


def spec(code: str, **item: Any) -> InstrumentSpec:
    result = read_spec("fmfw", code, {"type": "spot", "base_currency": "B", "quote_currency": "Q"} | item, 5)
    assert isinstance(result, InstrumentSpec)
    return result


LISTED = [
    spec("BTCUSDT"),
    spec("ETHBTC"),
    spec("ETHUSDT"),
    spec("ETHUSDT_BQX"),
    spec("LUNAUSDT", status="suspended"),
    spec("BTCUSDT_PERP", type="futures"),
]


def chosen(*wanted: str) -> list[str]:
    return [spec.instrument.symbol for spec in choose(wanted, LISTED)[0]]


def problems(*wanted: str) -> list[Problem]:
    return choose(wanted, LISTED)[1]


def test_currencies_come_from_the_answer_and_not_from_the_code() -> None:
    matic = spec(
        "MATICUSD", base_currency="MATIC", quote_currency="USDT", tick_size="0.0000001", quantity_increment="1"
    )
    assert (matic.base, matic.quote, matic.kind, matic.status) == ("MATIC", "USDT", "spot", "working")
    assert (matic.price_step, matic.size_step) == ("0.0000001", "1")
    assert orjson.loads(matic.details)["base_currency"] == "MATIC"


@pytest.mark.parametrize(
    ("code", "contract", "kind"),
    [
        ("BTCUSDT_PERP", None, "perpetual"),
        ("BTCUSDT_PERP", "perpetual", "perpetual"),
        ("UFO-1217", "cash_settled", "future"),
        ("UFO-1217", None, "future"),
    ],
)
def test_a_future_is_named_by_its_underlying(code: str, contract: str | None, kind: str) -> None:
    future = spec(code, type="futures", base_currency=None, underlying="BTC", contract_type=contract)
    assert (future.base, future.kind, is_future(future)) == ("BTC", kind, True)


@pytest.mark.parametrize(
    ("code", "item", "reason"),
    [
        ("A B", {}, "symbol: 'A B' is not a symbol"),
        ("AB", [], "[] is not an object"),
        ("AB", {"tick_size": 0.1}, "tick_size: 0.1 is not"),
        ("AB", {"base_currency": 5}, "base_currency: 5 is not a text"),
    ],
)
def test_a_bad_description_is_told(code: str, item: Any, reason: str) -> None:
    result = read_spec("fmfw", code, item, 5)
    assert isinstance(result, str)
    assert result.startswith(reason)


def test_names_and_patterns_choose_each_symbol_once_and_no_duplicates_of_the_venues_own() -> None:
    assert chosen("ETHUSDT", "ETH*", "BTCUSDT*") == ["ETHUSDT", "ETHBTC", "BTCUSDT", "BTCUSDT_PERP"]
    assert chosen("*") == ["BTCUSDT", "BTCUSDT_PERP", "ETHBTC", "ETHUSDT"]
    assert problems("ETH*") == []


def test_a_name_that_is_not_there_is_told_with_names_like_it() -> None:
    (problem,) = problems("ethusd")
    assert problem.subject == "ethusd"
    assert "did you mean ETHUSDT" in problem.reason
    assert "collector instruments" in problems("@@@@")[0].reason


def test_a_pattern_that_matches_nothing_is_told() -> None:
    (problem,) = problems("ETHUSDC*")
    assert problem.reason == "matches no symbol of the venue; close to it: ETHUSDT, ETHBTC"


def test_what_is_not_traded_is_left_out_and_told() -> None:
    assert chosen("LUNAUSDT", "LUNA*") == []
    assert "'suspended'" in problems("LUNAUSDT")[0].reason
    assert problems("*USDT") == [Problem("*USDT", "left out, since not traded now: LUNAUSDT")]


def test_an_internal_duplicate_is_told_its_real_name() -> None:
    assert "use ETHUSDT" in problems("ETHUSDT_BQX")[0].reason
