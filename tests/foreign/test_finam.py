"""The clients that others wrote for Finam, with nothing but the address changed, on the simulated venue."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from collector import simulator
from collector.simulator.finam import FinamVenue

from .conftest import Foreign, install

pytestmark = [pytest.mark.foreign, pytest.mark.timeout(1200)]

SYMBOLS = ("SBER@MISX", "SiZ6@RTSX", "UNAC@MISX")


@pytest.fixture
async def venue() -> AsyncIterator[FinamVenue]:
    async with simulator.serve(("finam",), seed=11, rate=100) as running:
        held: FinamVenue = running["finam"]
        held.pause()
        yield held


@pytest.fixture(scope="module")
def finam() -> Foreign:
    return install("finam", "--only-binary", ":all:")


@pytest.fixture(scope="module")
def finam_sdk() -> Foreign:
    return install("finam-sdk", "--only-binary", ":all:")


async def answers_of(client: Foreign, script: str, venue: FinamVenue) -> Any:
    address = venue.address
    arguments = address["rest_url"], address["secret"], address["account"]
    async with client.drive(script, *arguments, *SYMBOLS) as process:
        return await client.result(process)


def number(value: Any) -> Decimal:
    """A decimal as either client shows it."""
    return Decimal(value["value"] if isinstance(value, dict) else str(value))


def compare(got: Any, venue: FinamVenue) -> None:
    """Hold what a client read against the market's truth."""
    assert {one["mic"] for one in got["exchanges"]["exchanges"]} == {"MISX", "RTSX", "XNGS", "_SP"}
    assert got["details"]["account_ids"] == [venue.address["account"]]
    for symbol in SYMBOLS:
        market = venue.exchange.markets[symbol]
        scale = Decimal(10) ** market.instrument.decimals
        one = got["symbols"][symbol]
        assert [
            [trade["trade_id"], number(trade["price"]), number(trade["size"]), trade["side"]]
            for trade in one["trades"]["trades"]
        ] == [
            [str(trade.id), trade.price / scale, Decimal(trade.size), "SIDE_BUY" if trade.buy else "SIDE_SELL"]
            for trade in market.trades[-50:][::-1]
        ]
        rows = one["book"]["orderbook"]["rows"]
        asks = {number(row["price"]): number(row["sell_size"]) for row in rows if row.get("sell_size")}
        bids = {number(row["price"]): number(row["buy_size"]) for row in rows if row.get("buy_size")}
        assert asks == {price / scale: size for price, size in market.asks.items()}
        assert bids == {price / scale: size for price, size in market.bids.items()}
        quote = one["quote"]["quote"]
        assert number(quote["last"]) == market.last / scale
        assert number(quote["volume"]) == market.volume
        bars = one["bars"]["bars"]
        truth = market.series.minutes[-len(bars) :]
        assert len(bars) > 50
        assert [[number(bar["close"]), number(bar["volume"])] for bar in bars] == [
            [bar.close / scale, bar.volume] for bar in truth
        ]
        assert one["params"]["is_tradable"] is True
        assert one["schedule"]["sessions"]
    [error] = got["errors"]
    assert "NOSUCH@MISX not found" in error


async def test_finam_trade_api_reads_everything_of_market_data(venue: FinamVenue, finam: Foreign) -> None:
    compare(await answers_of(finam, "drive_finam.py", venue), venue)


async def test_official_sdk_reads_every_answer_through_its_own_contract(venue: FinamVenue, finam_sdk: Foreign) -> None:
    compare(await answers_of(finam_sdk, "drive_finam_sdk.py", venue), venue)
