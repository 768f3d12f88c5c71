"""The settings and what they say to a wrong value."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from collector.venues.fmfw.settings import FmfwSettings


def test_a_list_of_symbols_is_all_that_is_needed() -> None:
    settings = FmfwSettings(symbols=["BTCUSDT", "ETH*", "BTCUSDT"])
    assert settings.symbols == ("BTCUSDT", "ETH*")
    assert settings.streams == ("trades", "ticks", "books", "candles")
    assert (settings.ticks, settings.books, settings.candles) == ("top/100ms", "full", ("1m",))
    assert settings.rest_url == "https://api.fmfw.io/api/3"


@pytest.mark.parametrize("text", ["BTCUSDT, ETH*", '["BTCUSDT", "ETH*"]', " BTCUSDT,ETH*, "])
def test_lists_may_come_as_text_from_the_environment(text: str) -> None:
    assert FmfwSettings.model_validate({"symbols": text}).symbols == ("BTCUSDT", "ETH*")


@pytest.mark.parametrize("pattern", ["*", "ETH[AB]*", "[AB]TC?"])
def test_a_pattern_alone_may_come_as_text(pattern: str) -> None:
    assert FmfwSettings.model_validate({"symbols": pattern}).symbols == (pattern,)


def test_an_address_loses_its_last_slash() -> None:
    assert FmfwSettings(symbols="*", rest_url="http://127.0.0.1:9/api/3/").rest_url == "http://127.0.0.1:9/api/3"


def test_rates_need_no_symbols() -> None:
    assert FmfwSettings(streams="rates").symbols == ()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"symbols": []}, 'write for example symbols = ["BTCUSDT", "ETH*"], or "*" for all'),
        ({"symbols": '["BTC"'}, 'write BTCUSDT,ETH* or ["BTCUSDT", "ETH*"]'),
        ({"symbols": '["BTC",]'}, 'write BTCUSDT,ETH* or ["BTCUSDT", "ETH*"]'),
        ({"streams": ["trade"]}, "it has trades, ticks, books, candles, derivatives, rates"),
        ({"streams": []}, "name some of trades, ticks"),
        ({"candles": ["2h"]}, "it has 1m, 3m, 5m, 15m, 30m, 1h, 4h, 1d, 1w, 1mo"),
        ({"candles": []}, 'such as "1m"'),
        ({"ticks": "top/1s"}, "not one of top/100ms, top/500ms, top/1000ms, ticker/1s"),
        ({"books": "D7/100ms"}, "not one of full, or D5, D10 or D20 with /100ms"),
        ({"rates": "2s"}, "'2s' is not one of 1s, 3s"),
        ({"rate_currencies": [], "streams": ["rates"]}, 'or "*" for all'),
        ({"snapshot": 1001}, "less than or equal to 1000"),
        ({"connections": 101}, "less than or equal to 100"),
        ({"symbols_per_connection": 0}, "greater than or equal to 1"),
        ({"rest_url": "ftp://x"}, "write https://host/path"),
        ({"ws_url": "https://x"}, "write wss://host/path"),
        ({"ws_url": "wss:/x"}, "write wss://host/path"),
        ({"symbol": ["BTCUSDT"]}, "not permitted"),
    ],
)
def test_a_wrong_value_is_told_what_would_be_right(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as error:
        FmfwSettings.model_validate({"symbols": "BTCUSDT"} | wrong)
    assert told in str(error.value)
