"""Charts: what is asked for them, and that it can be seen."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from collector.data.chart import draw
from collector.data.errors import DataError, QueryError
from collector.data.palette import STYLES
from collector.data.picture import MOST_CHOSEN, Picture, Span, ask
from tests.data.market import DAY, fill, run

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

BTC = ("fmfw", "BTCUSDT")
TICKS = """
insert into ticks (time, instrument_id, tick_key, bid, bid_size, ask, ask_size, received_at)
select timestamptz '2026-11-10 23:00:00+00' + n * interval '10 seconds', instrument_id, n, 60000 + n,
       1, 60000 + n + 0.5, 1, now()
from instruments, generate_series(0, 719) n where symbol = 'BTCUSDT'
"""
RECORDED = """
update sessions set details = '{"subscriptions": [["x", "trades", ["BTCUSDT"]], ["y", "ticks", ["BTCUSDT"]]]}'
"""


@pytest.fixture
async def recorded(database: str) -> str:
    await fill(database)
    await run(database, TICKS)
    await run(database, RECORDED)
    return database


def share(path: Path, colour: str) -> float:
    """The share of a picture's dots that have a colour."""
    wanted = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    near = np.abs(imread(path)[..., :3] - wanted).max(axis=-1) < 0.02
    return float(near.mean())


async def test_the_day_before_the_last_trade_is_shown_in_a_readable_number_of_bars(recorded: str) -> None:
    picture = await ask(recorded, *BTC, None, None, None)

    assert (picture.start, picture.period) == (DAY + timedelta(hours=23, seconds=1), "1m")
    assert 60 < picture.bars.num_rows <= MOST_CHOSEN
    assert picture.bars["trades"].to_pylist()[1:-2] == [60] * (picture.bars.num_rows - 3)
    assert (picture.name, picture.quote, picture.decimals) == ("BTC/USDT", "USDT", 2)
    assert set(picture.spread["spread"].to_pylist()) == {0.5}
    start = DAY + timedelta(hours=23, minutes=10)
    assert picture.gaps_of_trades == (Span("repaired", start, start + timedelta(minutes=1)),)


@pytest.mark.parametrize("style", list(STYLES))
async def test_candles_volume_spread_and_gaps_are_seen(recorded: str, tmp_path: Path, style: str) -> None:
    await run(recorded, "update trades set price = 120000 - price where trade_key % 60 > 30")
    path = tmp_path / "below" / "a.png"
    draw(await ask(recorded, *BTC, None, None, "1m"), path, style=style)

    colours = STYLES[style]
    assert share(path, colours.ground) > 0.5
    assert min(share(path, one) for one in (colours.rising, colours.spread)) > 0.0003


async def test_a_lost_span_is_shaded(recorded: str, tmp_path: Path) -> None:
    await run(recorded, "update gaps set state = 'unrecoverable', to_time = from_time + interval '30 minutes'")
    lost = await ask(recorded, *BTC, None, None, "1m")
    draw(lost, tmp_path / "lost.png")
    draw(lost._replace(gaps_of_trades=()), tmp_path / "whole.png")

    assert [one.state for one in lost.gaps_of_trades] == ["lost"]
    differing = np.abs(imread(tmp_path / "lost.png") - imread(tmp_path / "whole.png")).max(axis=-1) > 0.05
    assert 0.1 < differing.mean() < 0.4


async def test_a_quote_from_before_a_gap_is_not_drawn_through_it(recorded: str, tmp_path: Path) -> None:
    await run(
        recorded, "update gaps set stream = 'ticks', state = 'unrecoverable', to_time = from_time + interval '1 hour'"
    )
    picture = await ask(recorded, *BTC, None, None, "1m")
    draw(picture, tmp_path / "gap.png")
    draw(picture._replace(gaps_of_ticks=()), tmp_path / "unshaded.png")
    whole = picture.spread.set_column(7, "gap", [[False] * picture.spread.num_rows])
    draw(picture._replace(gaps_of_ticks=(), spread=whole), tmp_path / "whole.png")

    assert [one.state for one in picture.gaps_of_ticks] == ["lost"]
    colour = STYLES["light"].spread
    assert share(tmp_path / "unshaded.png", colour) < 0.8 * share(tmp_path / "whole.png", colour)


async def test_the_same_market_is_the_same_file(recorded: str, tmp_path: Path) -> None:
    picture: Picture = await ask(recorded, *BTC, None, None, "5m")
    for name in ("a.svg", "b.svg", "a.png", "b.png"):
        draw(picture, tmp_path / name)

    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert b"<svg" in (tmp_path / "a.svg").read_bytes()


async def test_one_trade_and_no_quotes_are_a_chart_too(recorded: str, tmp_path: Path) -> None:
    picture = await ask(recorded, "fmfw", "ETH/USDT", None, None, None)
    draw(picture, tmp_path / "one.png")

    assert (picture.bars.num_rows, picture.spread.num_rows) == (1, 0)
    assert share(tmp_path / "one.png", STYLES["light"].rising) > 0.0001


async def test_without_trades_the_candles_of_the_venue_are_shown(recorded: str, tmp_path: Path) -> None:
    await run(recorded, "delete from trades")
    picture = await ask(recorded, *BTC, None, None, None)
    draw(picture, tmp_path / "candles.png")

    assert (picture.kind, picture.period, picture.bars.num_rows) == ("candles", "1m", 10)
    assert picture.bars["close"].to_pylist() == [1.5] * 10
    assert share(tmp_path / "candles.png", STYLES["light"].rising) > 0.01
    with pytest.raises(DataError, match="candles of 1m: name one of these"):
        await ask(recorded, *BTC, None, None, "5m")
    with pytest.raises(DataError, match="neither trades nor candles of fmfw ETH/USDT"):
        await ask(recorded, "fmfw", "ETH/USDT", None, None, None)


async def test_what_cannot_be_shown_is_told(recorded: str) -> None:
    with pytest.raises(QueryError, match="no instrument NIX"):
        await ask(recorded, "fmfw", "NIX", None, None, None)
    with pytest.raises(DataError, match="there are neither trades nor candles of fmfw BTCUSDT in this span"):
        await ask(recorded, *BTC, DAY - timedelta(days=2), DAY - timedelta(days=1), None)
    with pytest.raises(DataError, match="7,199 bars, and a chart has room for 5,000"):
        await ask(recorded, *BTC, None, None, "1s")


async def test_a_file_that_cannot_be_written_is_told(recorded: str) -> None:
    picture = await ask(recorded, *BTC, None, None, None)
    with pytest.raises(DataError, match="cannot be written"):
        draw(picture, Path("/proc/x.png"))
