"""Topics in any case, with names that may begin with a dot."""

from __future__ import annotations

import pytest

from collector.venues.fmex.topics import VENUE_PERIODS, Topic, period_code, split


@pytest.mark.parametrize(
    ("text", "topic"),
    [
        ("ticker.btcusd_p", Topic("ticker", "", "btcusd_p")),
        ("TICKER.BTCUSD_P", Topic("ticker", "", "btcusd_p")),
        ("depth.l150.btcusd_p", Topic("depth", "L150", "btcusd_p")),
        ("depth-delta.L20.btcusd_p", Topic("depth-delta", "L20", "btcusd_p")),
        ("candle.m1.btcusd_p", Topic("candle", "M1", "btcusd_p")),
        ("candle.mn.btcusd_p", Topic("candle", "MN", "btcusd_p")),
        ("candle.M1..btcusd_spot", Topic("candle", "M1", ".btcusd_spot")),
        ("index..btcusd_spot", Topic("index", "", ".btcusd_spot")),
    ],
)
def test_topics_are_taken_apart_at_one_or_two_dots(text: str, topic: Topic) -> None:
    assert split(text) == topic


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ticker",
        "ticker.",
        "depth.btcusd_p",
        "depth.L100.btcusd_p",
        "depth.full.x",
        "candle.M2.x",
        "candle.M1.",
        "weather.x",
        ".",
        "depth..x",
        "hello",
        "topics",
    ],
)
def test_what_the_venue_does_not_have_is_no_topic(text: str) -> None:
    assert split(text) is None


def test_minutes_and_months_stay_apart_in_lower_case() -> None:
    assert len({code.lower() for code in VENUE_PERIODS}) == len(VENUE_PERIODS)
    assert period_code("1m") == "M1"
    assert period_code("1mo") == "MN"
