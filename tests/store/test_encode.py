from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from collector.model import Candle, Instrument
from collector.store import encode


def test_numbers_keep_what_is_missing() -> None:
    assert encode.numbers([1, None, -3]) == "{1,NULL,-3}"


def test_decimals_keep_every_digit() -> None:
    assert encode.decimals(["0.10", None, "123456789012345678901234567890.1"]) == (
        "{0.10,NULL,123456789012345678901234567890.1}"
    )
    assert encode.decimals(["1", "2"]) == "{1,2}"


def test_texts_are_quoted_so_that_none_can_break_out() -> None:
    assert encode.texts(['a"b', "c\\d", "NULL", None, "x,{}"]) == r'{"a\"b","c\\d","NULL",NULL,"x,{}"}'


@given(st.lists(st.text(alphabet='ab"\\,{}N '), min_size=1))
def test_texts_come_back_as_they_were(values: list[str]) -> None:
    inner, back = encode.texts(values)[1:-1], []
    while inner:
        assert inner[0] == '"'
        text, at = "", 1
        while inner[at] != '"':
            at += inner[at] == "\\"
            text += inner[at]
            at += 1
        back.append(text)
        inner = inner[at + 2 :]
    assert back == values


def test_book_sides_are_arrays_within_an_array() -> None:
    assert encode.arrays(["1.0,2.0", "", "3"]) == '{"{1.0,2.0}","{}","{3}"}'


def test_last_of_equal_candle_keys_wins() -> None:
    def candle(time_us: int, close: str) -> Candle:
        return Candle(Instrument("v", "S"), time_us, 60, "trade", "1", "9", "0", close, None, None, None, False, 0)

    latest = encode.latest_candles([candle(1, "2"), candle(2, "3"), candle(1, "4")])
    assert [(row.time_us, row.close) for row in latest] == [(1, "4"), (2, "3")]
