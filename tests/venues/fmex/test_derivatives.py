"""Indexes, exchange rates, open interest and what they make of a contract's state."""

from __future__ import annotations

import pytest

from collector.model import Rate
from tests.venues.fmex.reading import BTC, Reading, T

RECORDED = (
    f'{{".btcusd_spot":[{T},7758.57],".btcusdfair":[{T + 30},7758.0],".btcusdfr":[{T - 9},-5.5E-5],'
    f'".btcusdfr8h":[{T + 10**7},3.0E-4],".btcusdpi":[{T - 9},-1E-5],".btcusdpi8h":[{T - 99},2E-5],'
    f'".btcusdpimax":[{T - 99},0.005],".btcusdlr1d":[{T - 99},0.0006],".btcins1d":[{T},11635.419473734316223965]}}'
)


def session(*streams: str) -> Reading:
    return Reading(("btcusd_p",), streams=list(streams))


def test_every_index_is_a_rate_at_its_own_time() -> None:
    reading = session("rates")
    reading.rest("indexes", RECORDED)
    rates = {row.name: row for row in reading.out.rates}
    assert len(rates) == 9
    assert rates[".btcusdfr"][1:4] == ((T - 9) * 1000, ".btcusdfr", "-0.000055")
    assert rates[".btcins1d"].value == "11635.419473734316223965"
    assert not reading.out.derivatives


def test_a_contracts_indexes_are_its_state() -> None:
    reading = session("derivatives")
    reading.rest("indexes", RECORDED)
    assert not reading.out.rates
    (row,) = reading.out.derivatives
    assert row.instrument == BTC
    assert row.time_us == (T + 30) * 1000
    assert (row.mark_price, row.index_price, row.funding_rate, row.next_funding_us) == (
        "7758.0",
        "7758.57",
        "0.00030",
        (T + 10**7) * 1000,
    )
    assert (row.indicative_funding_rate, row.premium_index, row.avg_premium_index, row.interest_rate) == (
        "-0.000055",
        "-0.00001",
        "0.00002",
        "0.0006",
    )
    assert row.open_interest is None


def test_open_interest_is_told_with_the_next_state() -> None:
    reading = session("derivatives")
    reading.rest_raw("statistics", b'{"BTCUSD_P":9088265,"XRPUSD_P":5}')
    reading.rest("indexes", RECORDED)
    assert reading.out.derivatives[0].open_interest == "9088265"


def test_a_contract_without_indexes_has_no_state() -> None:
    reading = Reading(("xyzusd_p",), streams=["derivatives"])
    reading.rest("indexes", RECORDED)
    assert not reading.out


def test_a_bad_index_does_not_take_the_others_with_it() -> None:
    reading = session("rates", "derivatives")
    reading.rest("indexes", f'{{".btcusd_spot":[{T},NaN],".btcusdfair":[{T},7758.0],".x":7,".y":[1,2]}}')
    assert [row.name for row in reading.out.rates] == [".btcusdfair"]
    assert reading.out.derivatives[0].index_price is None
    assert reading.out.quarantine[0].items == 3


@pytest.mark.parametrize(
    "data",
    [
        f"[{T},7758.5]",
        f"[[{T},7758.5]]",
        f'[{{"id":{T},"close":7758.5}}]',
        f'{{"time":{T},"value":7758.5}}',
    ],
)
def test_one_index_is_read_in_any_shape_it_may_have(data: str) -> None:
    reading = Reading(None)
    reading.rest("indexes/.btcusd_spot", data)
    assert [row[:4] for row in reading.out.rates] == [("fmex", T * 1000, ".btcusd_spot", "7758.5")]


@pytest.mark.parametrize(
    ("data", "time_ms"),
    [
        (f'{{"USDCNY":[{T},7.0312]}}', T),
        (f'{{"usdcny":{{"ts":{T},"price":7.0312}}}}', T),
        ('{"usdcny":7.0312}', T + 5),
        (f'[{{"name":"usdcny","rate":7.0312,"time":{T}}}]', T),
        ('[{"symbol":"usdcny","value":7.0312}]', T + 5),
    ],
)
def test_exchange_rates_are_read_in_any_shape_they_may_have(data: str, time_ms: int) -> None:
    reading = session("rates")
    reading.rest("fex", data, at_ms=T + 5)
    assert reading.out.rates == [Rate("fmex", time_ms * 1000, "usdcny", "7.0312", (T + 5) * 1000)]
    assert reading.parser.last_seen["fex"] == {"*": (T + 5) * 1_000_000}


@pytest.mark.parametrize(
    "data", ["7", "null", "[]", "{}", '"x"', '{"usdcny":"x"}', "[[1]]", '{"a b":[1]}', '[{"x":1}]']
)
def test_what_holds_no_exchange_rates_goes_to_quarantine(data: str) -> None:
    reading = session("rates")
    reading.rest("fex", data)
    assert len(reading.out.quarantine) == 1
    assert "fex" not in reading.parser.last_seen


def test_a_pushed_index_is_a_rate() -> None:
    reading = Reading(("btcusd_p", ".btcusd_spot"))
    reading.frame(f'{{"type":"index..btcusd_spot","index":[{T},7758.57]}}')
    reading.frame('{"type":"index..btcusd_spot","index":[1]}')
    assert [row[1:4] for row in reading.out.rates] == [(T * 1000, ".btcusd_spot", "7758.57")]
    assert len(reading.out.quarantine) == 1


@pytest.mark.parametrize("body", [b"[]", b'{"BTCUSD_P":-1}', b'{"BTCUSD_P":"x"}', b"7"])
def test_what_is_no_open_interest_goes_to_quarantine(body: bytes) -> None:
    reading = session("derivatives")
    reading.rest_raw("statistics", body)
    assert len(reading.out.quarantine) == 1
