import pytest

from collector.simulator.fmfw.channels import channel
from collector.simulator.fmfw.trading.candles import PERIODS

NAMES = [
    "trades",
    "orderbook/full",
    "futures/info",
    *(f"{kind}/{period}" for kind in ("candles", "converted/candles") for period in PERIODS),
    *(
        f"{kind}/{speed}{batch}"
        for kind in ("price/rate", "ticker/price", "ticker")
        for speed in ("1s", "3s")
        for batch in ("", "/batch")
    ),
    *(
        f"orderbook/{depth}/{speed}ms{batch}"
        for depth in ("D5", "D10", "D20", "top")
        for speed in (100, 500, 1000)
        for batch in ("", "/batch")
    ),
]


@pytest.mark.parametrize("name", NAMES)
def test_every_channel_of_the_venue_is_known(name: str) -> None:
    found = channel(name)
    assert found is not None
    assert found.name == name
    assert found.batch == name.endswith("/batch")
    assert found.at_once == (found.speed_ms == 0)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "trade",
        "trades/batch",
        "candles/M2",
        "ticker/2s",
        "orderbook/D6/100ms",
        "orderbook/full/batch",
        "ticker/1s/batch/batch",
        "futures/info/batch",
    ],
)
def test_other_names_are_not(name: str) -> None:
    assert channel(name) is None


def test_speeds_and_depths_are_read_from_the_name() -> None:
    partial, ticker = channel("orderbook/D20/500ms/batch"), channel("ticker/price/3s")
    assert partial is not None
    assert ticker is not None
    assert (partial.depth, partial.speed_ms, partial.family) == (20, 500, "partial")
    assert (ticker.speed_ms, ticker.family) == (3000, "mini")
