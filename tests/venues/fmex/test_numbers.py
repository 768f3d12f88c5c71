"""Digits survive: no number is rounded, exponents become plain decimals exactly."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.model import DECIMAL
from collector.venues.fmex.numbers import all_unsigned, loads, signed, unsigned, whole


def test_numbers_are_decoded_to_their_own_text() -> None:
    text = b"[7140.890000000000000000, 11635.419473734316223965, 7865, 7865.0, 5.9E-5, 0E-18, 980518546020]"
    assert loads(text) == [
        "7140.890000000000000000",
        "11635.419473734316223965",
        "7865",
        "7865.0",
        "5.9E-5",
        "0E-18",
        "980518546020",
    ]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("7865", "7865"),
        ("7865.0", "7865.0"),
        ("5.9E-5", "0.000059"),
        ("3.0E-4", "0.00030"),
        ("-5.5E-5", "-0.000055"),
        ("0E-18", "0.000000000000000000"),
        ("1.5E+3", "1500"),
        ("2e2", "200"),
        ("11635.419473734316223965",) * 2,
    ],
)
def test_exponents_become_plain_decimals_and_nothing_else_is_touched(text: str, plain: str) -> None:
    assert signed(text) == plain


@pytest.mark.parametrize(
    "value",
    [
        "",
        "NaN",
        "Infinity",
        "1,2",
        "1_000",
        "0x10",
        " 1",
        "1.",
        ".5",
        "+1",
        "1E",
        "E5",
        "1E1000",
        "9" * 1001,
        "12E999",
        None,
        True,
        [],
        {},
        7,
        "٣",
    ],
)
def test_what_is_no_decimal_number_is_none(value: object) -> None:
    assert signed(value) is None
    assert unsigned(value) is None
    assert all_unsigned([value, "1"]) is None


def test_signs_are_refused_where_none_may_be() -> None:
    assert unsigned("-1") is None
    assert unsigned("-0E-18") is None
    assert all_unsigned(["1", "-1E-5"]) is None


def test_a_comma_within_a_text_does_not_make_two_numbers_of_it() -> None:
    assert all_unsigned(["1,2", "3"]) is None


@pytest.mark.parametrize(("value", "number"), [("0", 0), ("980518546020", 980518546020), (str(2**63 - 1), 2**63 - 1)])
def test_whole_numbers_fit_the_tables(value: str, number: int) -> None:
    assert whole(value) == number


@pytest.mark.parametrize("value", [str(2**63), "-1", "1.0", "1E3", "", "٣", None, 5, "9" * 5000])
def test_other_numbers_are_no_whole_ones(value: object) -> None:
    assert whole(value) is None


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[" * 100_000, b"{'a': 1}", b"\xef\xbb\xbf{}"])
def test_what_is_no_json_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError):
        loads(text)


def test_numbers_of_any_length_are_only_text() -> None:
    assert loads(b"9" * 100_000) == "9" * 100_000


@pytest.mark.slow
@given(st.decimals(allow_nan=False, allow_infinity=False, places=None), st.sampled_from("eE"))
def test_every_decimal_keeps_its_value(value: Decimal, letter: str) -> None:
    text = str(value).replace("E", letter)
    plain = signed(text)
    if plain is not None:
        assert DECIMAL.fullmatch(plain)
        assert Decimal(plain) == value
