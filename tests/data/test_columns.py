"""Text of the server as exact columns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.data.columns import Column, Digits, decimal_type, fitted, schema, table
from collector.data.errors import QueryError

PRICES = st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=-(10**18), max_value=10**18)


def read(text: str, *kinds: str, floats: bool = False) -> pa.Table:
    columns = [Column(f"c{place}", kind) for place, kind in enumerate(kinds)]
    return fitted([table(text.encode(), columns, schema(columns))], columns, floats=floats)


def only(text: str, kind: str) -> list[object]:
    found: list[object] = read(text, kind)["c0"].to_pylist()
    return found


@pytest.mark.slow
@given(st.lists(PRICES, min_size=1, max_size=20))
def test_every_decimal_comes_back_the_same(prices: list[Decimal]) -> None:
    assert only("".join(f"{price:f}\n" for price in prices), "numeric") == prices


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        ("1.50", pa.decimal128(38, 2)),
        ("123456789012345678901234.567891", pa.decimal128(38, 6)),
        ("9" * 38, pa.decimal128(38, 0)),
        ("9" * 39, pa.decimal256(76, 0)),
        ("-0." + "1" * 38, pa.decimal256(76, 38)),
        ("9" * 70 + ".1234567", pa.string()),
    ],
)
def test_a_column_has_the_smallest_type_that_is_exact(number: str, kind: pa.DataType) -> None:
    column = read(f"{number}\n1\n", "numeric")["c0"]

    assert column.type == kind
    assert Decimal(column[0].as_py()) == Decimal(number)


@pytest.mark.parametrize(
    ("digits", "kind"),
    [
        (Digits(20, 18), pa.decimal128(38, 18)),
        (Digits(0, 0), pa.decimal128(38, 18)),
        (Digits(21, 17), pa.decimal128(38, 17)),
        (Digits(8, 30), pa.decimal128(38, 30)),
        (Digits(9, 30), pa.decimal256(76, 30)),
        (Digits(60, 17), pa.string()),
    ],
)
def test_files_share_one_type_as_long_as_it_is_exact(digits: Digits, kind: pa.DataType) -> None:
    assert decimal_type(digits) == kind


def test_a_number_that_a_survey_did_not_tell_of_is_refused_and_not_rounded() -> None:
    columns = [Column("price", "numeric")]

    with pytest.raises(pa.ArrowInvalid):
        table(b"1.5\n" + b"0." + b"1" * 31 + b"\n", columns, schema(columns, [Digits(1, 1)]))


@pytest.mark.parametrize("number", ["NaN", "Infinity"])
def test_what_is_no_number_is_refused(number: str) -> None:
    columns = [Column("price", "numeric")]

    with pytest.raises(pa.ArrowInvalid):
        table(f"{number}\n".encode(), columns, schema(columns, [Digits(1, 1)]))


def test_what_is_no_number_stays_text_beside_numbers() -> None:
    assert only("NaN\n1.5\n-Infinity\n", "numeric") == ["NaN", "1.5", "-Infinity"]


def test_nulls_and_empty_texts_are_different() -> None:
    assert read(',1\n"",1\nNULL,1\n', "text", "int4")["c0"].to_pylist() == [None, "", "NULL"]


def test_texts_may_hold_whatever_texts_hold() -> None:
    assert only('"a ""b"", c\nd"\n', "text") == ['a "b", c\nd']


def test_arrays_of_numbers_may_be_empty_or_missing() -> None:
    found = read('"{1,2.50}",1\n{},2\n,3\n{-7},4\n', "numeric[]", "int8")["c0"]

    assert found.type == pa.list_(pa.decimal128(38, 2))
    assert found.to_pylist() == [[Decimal(1), Decimal("2.50")], [], None, [Decimal(-7)]]


def test_times_are_utc_to_the_microsecond() -> None:
    assert only("2026-11-21 13:20:33.123456+00\n2026-11-21 13:20:33+00\n", "timestamptz") == [
        datetime(2026, 11, 21, 13, 20, 33, 123456, UTC),
        datetime(2026, 11, 21, 13, 20, 33, 0, UTC),
    ]


def test_lengths_of_time_are_lengths_of_time() -> None:
    assert only("PT0S\nP1DT2H3M4.5S\nPT-0.25S\n", "interval") == [
        timedelta(0),
        timedelta(days=1, hours=2, minutes=3, seconds=4.5),
        timedelta(seconds=-0.25),
    ]


def test_a_length_in_months_is_refused() -> None:
    with pytest.raises(QueryError, match="months"):
        only("P1M\n", "interval")


def test_nothing_is_a_table_without_rows() -> None:
    found = read("", "timestamptz", "numeric", "numeric[]", "text")

    assert (found.num_rows, found.num_columns) == (0, 4)


def test_floats_are_given_to_those_who_ask() -> None:
    assert read("1.25\n", "numeric", floats=True)["c0"].type == pa.float64()
