"""The settings and their faults."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from collector.venues.fmex.settings import FmexSettings


def test_defaults_record_the_one_contract_whole() -> None:
    settings = FmexSettings()
    assert settings.symbols == ("btcusd_p",)
    assert settings.books == "delta/L150"
    assert settings.rest_url == "https://api.fmex.com"
    assert settings.ws_url == "wss://api.fmex.com/v2/ws"


def test_nothing_is_asked_of_a_host_that_was_not_named() -> None:
    assert FmexSettings().statistics_url == ""


def test_names_are_in_lower_case_and_once() -> None:
    assert FmexSettings(symbols=("BTCUSD_P", "btcusd_p", "ETH*")).symbols == ("btcusd_p", "eth*")


@pytest.mark.parametrize("text", ["btcusd_p, eth*", '["btcusd_p", "eth*"]'])
def test_a_list_may_come_as_text(text: str) -> None:
    assert FmexSettings.model_validate({"symbols": text}).symbols == ("btcusd_p", "eth*")


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"streams": ["news"]}, "'trades'"),
        ({"streams": []}, "nothing would be recorded"),
        ({"symbols": []}, "none named"),
        ({"candles": []}, "none named"),
        ({"candles": ["2h"]}, "'4h'"),
        ({"books": "full"}, "'delta/L150'"),
        ({"ticks": "top"}, "'ticker'"),
        ({"rest_url": "api.fmex.com"}, "write https://host/path"),
        ({"rest_url": ""}, "write https://host/path"),
        ({"ws_url": "https://api.fmex.com"}, "write wss://host/path"),
        ({"rest_per_second": 50}, "less than or equal to 9"),
        ({"snapshot": 5000}, "1440"),
        ({"speed": 7}, "Extra inputs"),
    ],
)
def test_a_fault_says_what_would_be_right(setting: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match="(?s).*" + says.replace("'", "'")):
        FmexSettings(**setting)


def test_rates_alone_need_no_symbols() -> None:
    assert FmexSettings(streams=("rates",), symbols=()).symbols == ()
