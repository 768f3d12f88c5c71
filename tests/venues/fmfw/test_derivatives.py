"""The state of futures, and price rates."""

from __future__ import annotations

from typing import Any

import pytest

from collector.model import Derivative, Rate
from tests.venues.fmfw.reading import PERP, Reading, T

INFO = {
    "c": "perpetual",
    "t": T,
    "m": "100",
    "i": "101",
    "o": "7",
    "p": "-0.1",
    "P": "0.2",
    "r": "-0.0001",
    "R": "0.0002",
    "I": "0.0003",
    "T": T + 1000,
}


def test_the_state_of_a_perpetual_has_all_its_columns() -> None:
    reading = Reading()
    reading.send("futures/info", "data", {"BTCUSDT_PERP": INFO}, at_ms=T)
    assert reading.out.derivatives == [
        Derivative(
            PERP,
            T * 1000,
            mark_price="100",
            index_price="101",
            funding_rate="-0.0001",
            next_funding_us=(T + 1000) * 1000,
            indicative_funding_rate="0.0002",
            premium_index="-0.1",
            avg_premium_index="0.2",
            interest_rate="0.0003",
            open_interest="7",
            settlement_price=None,
            expiry_us=None,
            received_us=T * 1000,
        )
    ]


def test_a_dated_future_tells_settlement_and_expiry() -> None:
    reading = Reading()
    content = {"c": "cash_settled", "t": T, "m": "1", "i": "2", "o": "3", "s": "4", "e": T + 5}
    reading.send("futures/info", "data", {"BTCUSDT_PERP": content})
    reading.send("futures/info", "data", {"BTCUSDT_PERP": content | {"s": None}})
    first, second = reading.out.derivatives
    assert (first.settlement_price, first.expiry_us, second.settlement_price) == ("4", (T + 5) * 1000, None)


def test_rates_are_named_by_both_currencies() -> None:
    reading = Reading()
    content = {"BTC": {"t": T, "r": "57000.10"}, "ETH": {"t": T, "r": "3500"}}
    for channel in ("price/rate/1s", "price/rate/3s/batch"):
        reading.send(channel, "data", content, at_ms=T, target_currency="USDT")
    assert reading.out.rates[:2] == [
        Rate("fmfw", T * 1000, "BTC/USDT", "57000.10", T * 1000),
        Rate("fmfw", T * 1000, "ETH/USDT", "3500", T * 1000),
    ]
    assert len(reading.out.rates) == 4
    assert set(reading.parser.last_seen["price/rate/1s"]) == {"BTC", "ETH"}


@pytest.mark.parametrize(
    ("channel", "symbol", "item", "more", "reason"),
    [
        ("futures/info", "BTCUSDT_PERP", INFO | {"m": "-1"}, {}, "m: '-1'"),
        ("futures/info", "BTCUSDT_PERP", INFO | {"T": 5}, {}, "T: 5 is not a time"),
        ("futures/info", "XRP_PERP", INFO, {}, "symbol: 'XRP_PERP'"),
        ("price/rate/1s", "BTC", {"t": T, "r": None}, {"target_currency": "USDT"}, "r: missing"),
        ("price/rate/1s", "BTC", {"t": T, "r": "1"}, {}, "target_currency: None"),
        ("price/rate/1s", "B\u0000TC", {"t": T, "r": "1"}, {"target_currency": "USDT"}, "currency: 'B\\x00TC'"),
    ],
)
def test_what_is_bad_goes_to_quarantine(channel: str, symbol: str, item: Any, more: Any, reason: str) -> None:
    reading = Reading()
    reading.send(channel, "data", {symbol: item}, **more)
    assert reading.errors[0].startswith(reason)
