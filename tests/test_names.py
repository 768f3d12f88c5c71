"""A name that nothing is called by is told with what may be meant, never answered as if there were nothing to find."""

from __future__ import annotations

import pytest

from collector.names import NAMES_LISTED_MAX, UnknownNameError, known_name, matching, meant

SYMBOLS = ["BTCUSDT", "ETHUSDT", "BTC_PERP"]


def test_name_that_is_known_is_returned() -> None:
    assert known_name("symbol", "ETHUSDT", SYMBOLS) == "ETHUSDT"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("ETHUSD", "there is no symbol 'ETHUSD' here; did you mean ETHUSDT"),
        ("ethusdt", "there is no symbol 'ethusdt' here; did you mean ETHUSDT"),
        ("nosuch", "there is no symbol 'nosuch' here; there is BTCUSDT, BTC_PERP, ETHUSDT"),
        ("BTC*", "there is no symbol 'BTC*' here"),
    ],
)
def test_name_that_is_not_known_is_told_with_what_may_be_meant(name: str, told: str) -> None:
    with pytest.raises(UnknownNameError) as error:
        known_name("symbol", name, SYMBOLS)
    assert str(error.value).startswith(told)
    assert error.value.what == "symbol"


def test_pattern_means_names_in_their_order() -> None:
    assert matching("symbol", "BTC*", SYMBOLS) == ["BTCUSDT", "BTC_PERP"]
    assert matching("symbol", "ETHUSDT", SYMBOLS) == ["ETHUSDT"]


@pytest.mark.parametrize(
    ("pattern", "told"),
    [("BTCUSD", "there is no symbol 'BTCUSD' of v; did you mean"), ("XRP*", "no symbol of v is like 'XRP*'; there is")],
)
def test_pattern_that_means_nothing_is_told(pattern: str, told: str) -> None:
    with pytest.raises(UnknownNameError) as error:
        matching("symbol", pattern, SYMBOLS, where="of v")
    assert str(error.value).startswith(told)


def test_of_many_names_a_few_are_listed() -> None:
    names = [f"S{number:02}" for number in range(40)]
    assert (
        meant("nothing near", names)
        == f"; there is {', '.join(names[:NAMES_LISTED_MAX])} and {40 - NAMES_LISTED_MAX} more"
    )
    assert meant("x", []) == "; none is known"
