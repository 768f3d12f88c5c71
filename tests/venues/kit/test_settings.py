"""The parts of settings that venues have alike, and what their errors say."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter, ValidationError

from collector.venues.kit.settings import RestUrl, address, check_recorded, known, listed

NAMES: TypeAdapter[tuple[str, ...]] = TypeAdapter(
    Annotated[tuple[str, ...], listed("A,B"), known("stream", ("trades", "[AB]*"))]
)


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("trades", ("trades",)),
        (" trades , [AB]* ,", ("trades", "[AB]*")),
        ('["trades", "trades"]', ("trades",)),
        ("[AB]*", ("[AB]*",)),
        (["trades"], ("trades",)),
        ("", ()),
    ],
)
def test_a_list_may_come_as_text_and_holds_each_name_once(written: Any, names: tuple[str, ...]) -> None:
    assert NAMES.validate_python(written) == names


@pytest.mark.parametrize(
    ("written", "says"), [('["trades"', "is not a list.*write A,B"), ("books", "it has trades, "), (7, "valid tuple")]
)
def test_a_wrong_list_is_told_what_would_be_right(written: Any, says: str) -> None:
    with pytest.raises(ValidationError, match=f"(?s){says}"):
        NAMES.validate_python(written)


def test_an_address_needs_a_scheme_and_a_host() -> None:
    rest: TypeAdapter[str] = TypeAdapter(RestUrl)
    assert rest.validate_python("https://host/path/") == "https://host/path"
    for wrong in ("", "host/path", "wss://host", "https://"):
        with pytest.raises(ValidationError, match="write https://host/path"):
            rest.validate_python(wrong)


def test_an_optional_address_may_be_empty_and_a_whole_one_keeps_its_slash() -> None:
    optional: TypeAdapter[str] = TypeAdapter(Annotated[str, address("https", bare=False, optional=True)])
    assert [optional.validate_python(value) for value in ("", "https://host/feed/")] == ["", "https://host/feed/"]


@pytest.mark.parametrize(
    ("streams", "symbols", "candles", "says"),
    [
        ((), ("X",), ("1m",), "nothing would be recorded"),
        (("trades",), (), ("1m",), "symbols: none named"),
        (("rates", "trades"), (), ("1m",), "symbols: none named"),
        (("candles",), ("X",), (), "candles: none named"),
    ],
)
def test_settings_that_record_nothing_are_refused(
    streams: tuple[str, ...], symbols: tuple[str, ...], candles: tuple[str, ...], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        check_recorded(streams, symbols, candles, has=("trades", "candles", "rates"), example='["X"]')


def test_rates_alone_need_no_symbols() -> None:
    check_recorded(("rates",), (), (), has=("rates",), example='["X"]')
