from datetime import UTC, datetime
from decimal import Decimal

import pytest

from collector.simulator.fmfw import text


@pytest.mark.parametrize(
    ("units", "decimals", "expected"),
    [
        (90, 2, "0.90"),
        (5, 0, "5"),
        (-7, 3, "-0.007"),
        (123456, 2, "1234.56"),
        (3210, 11, "0.00000003210"),
        (0, 2, "0.00"),
    ],
)
def test_units_become_text_with_all_decimals(units: int, decimals: int, expected: str) -> None:
    assert text.decimal_text(units, decimals) == expected


def test_a_ratio_has_sixteen_digits_and_no_exponent() -> None:
    assert text.ratio_text(125 * 100, 86620) == "0.1443084737935812"
    assert text.ratio_text(1, 10**9) == "0.000000001"
    assert text.plain_text(Decimal("1E+3")) == "1000"


def test_times_are_written_in_milliseconds_and_read_back() -> None:
    assert text.iso_time(1713097120426) == "2024-04-14T12:18:40.426Z"
    assert text.parse_time("2024-04-14T12:18:40.426Z") == 1713097120426
    assert text.parse_time("2024-04-14T12:18:40") == 1713097120000
    assert text.parse_time("1713097120426") == 1713097120426
    assert text.parse_time("1713097120") == 1713097120000
    assert text.iso_time_ns(1713097120426, 871) == "2024-04-14T12:18:40.426000871Z"


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="Invalid isoformat"):
        text.parse_time("yesterday")


def test_iso_times_agree_with_the_standard_library() -> None:
    now = datetime(2026, 2, 28, 23, 59, 59, 7000, tzinfo=UTC)
    assert text.parse_time(now.isoformat()) == round(now.timestamp() * 1000)
