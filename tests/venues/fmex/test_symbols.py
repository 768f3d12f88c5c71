"""The list of contracts, as it was recorded, and the choice from it."""

from __future__ import annotations

import json

import pytest

from collector.venues.fmex.symbols import choose, read_specs
from tests.venues.fmex.reading import BTC, T

LISTED = b"""{"status":0,"data":[{"name":"btcusd_p","start_at_epoch":1561910400000,"end_at_epoch":5000000000000,
"type":"perpetual","inverse":true,"margin_currency":"btc","liquidate_by":"index_price","multiplier":1,
"minimum_price_increment":0.500000000000000000,"price_step":5E-1,"price_scale":1,"settlement_fee_rate":0E-18,
"risk_limit":{"id":"1000000000001","initial_margin_rate":1.0E-2,"max_leverage":100}},
{"name":"ETHUSD_P","margin_currency":"btc","inverse":false,"type":"perpetual"},
{"name":"old_p","end_at_epoch":1561910400000},{"name":"new_p","start_at_epoch":1961910400000}]}"""


def test_a_contract_is_described_with_its_currencies_and_steps() -> None:
    specs, problems = read_specs("fmex", LISTED, T * 1000)
    assert not problems
    assert specs[0][:7] == (BTC, "BTC", "USD", "perpetual", "0.500000000000000000", "1", "working")
    assert specs[1][:3] == (("fmex", "ethusd_p"), "ETH", "USD")
    assert [spec.status for spec in specs] == ["working", "working", "expired", "not started"]


def test_details_are_the_venues_own_object_with_its_own_digits() -> None:
    details = read_specs("fmex", LISTED, T * 1000)[0][0].details
    assert '"minimum_price_increment":0.500000000000000000' in details
    assert '"settlement_fee_rate":0E-18' in details
    assert json.loads(details)["risk_limit"]["id"] == "1000000000001"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"data":{}}', b'{"status":0}'])
def test_what_is_no_list_of_contracts_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):
        read_specs("fmex", body, T * 1000)


@pytest.mark.parametrize(
    "item",
    [
        "7",
        "{}",
        '{"name":""}',
        '{"name":"a b"}',
        '{"name":"x","minimum_price_increment":"half"}',
        '{"name":"x","type":7.5E3,"margin_currency":[]}',
        '{"name":"x","more":"\\ud800"}',
        '{"name":"x","more":"\\u0000"}',
    ],
)
def test_an_entry_that_is_not_understood_is_left_out_and_told(item: str) -> None:
    specs, problems = read_specs("fmex", f'{{"data":[{item},{{"name":"good_p"}}]}}'.encode(), T * 1000)
    assert [spec.instrument.symbol for spec in specs] == ["good_p"]
    assert len(problems) == 1


def test_names_and_patterns_mean_contracts_in_any_case() -> None:
    specs, _ = read_specs("fmex", LISTED, T * 1000)
    assert [spec.instrument.symbol for spec in choose(["BTCUSD_P"], specs)[0]] == ["btcusd_p"]
    assert [spec.instrument.symbol for spec in choose(["*usd_p", "btc*"], specs)[0]] == ["btcusd_p", "ethusd_p"]


def test_wishes_that_mean_nothing_are_told_with_what_could_be_meant() -> None:
    specs, _ = read_specs("fmex", LISTED, T * 1000)
    chosen, problems = choose(["btcusdp", "zzz*", "old_p"], specs)
    assert not chosen
    assert "did you mean btcusd_p" in problems[0].reason
    assert "it has btcusd_p" in problems[1].reason
    assert problems[2].reason == "not traded now: expired"
