"""The simulated REST services: what our own adapter reads from them is the market's truth."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest

from collector import simulator
from collector.errors import VenueError
from collector.model import Instrument, Records
from collector.simulator.metaapi import MetaapiVenue
from collector.simulator.metaapi.bars import MT5, opening
from collector.simulator.metaapi.text import number, read_time, utc
from collector.venues.metaapi import ADAPTER, MetaapiSettings
from collector.venues.rest import RestAnswer, RestCall
from tests.kit.headers import session_header

HOUR = 3_600_000


@pytest.fixture
async def venue() -> AsyncIterator[MetaapiVenue]:
    switches = {"running": False, "history_events": 9000, "history_hours": 30.0}
    async with simulator.serve(("metaapi",), seed=2, rate=0, settings={"metaapi": switches}) as running:
        yield running["metaapi"]


async def fetch(http: aiohttp.ClientSession, call: RestCall) -> RestAnswer:
    async with http.get(call.url, params=dict(call.params), headers=dict(call.headers)) as response:
        return RestAnswer(response.status, response.headers, await response.read(), 1)


async def read(venue: MetaapiVenue, symbol: str, stream: str, **more: Any) -> Records:
    """Drive our own history over the simulated venue, retrying as the feed does."""
    accounts = {"demo": {"id": venue.address["account"], "symbols": ["*"]}}
    section = {"token": venue.settings.token, "base_url": venue.address["url"], "accounts": accounts, **more}
    settings = MetaapiSettings.model_validate(section)
    out, parser = Records(), ADAPTER.parser(session_header({"venue": "metaapi", "adapter": "metaapi", "symbols": None}))
    until_us = (venue.now_ms() + HOUR) * 1000
    generator = ADAPTER.begin("metaapi", settings).history(Instrument("metaapi", symbol), stream, 10**15, until_us)
    async with aiohttp.ClientSession() as http:
        call = next(generator)
        try:
            while True:
                answer = await fetch(http, call)
                error = ADAPTER.begin("metaapi", settings).failure(call, answer)
                if error is not None:
                    call = generator.throw(error)
                    continue
                if call.record:
                    parser.rest(call.channel, call.params, answer.body, venue.now_ms() * 10**6, out)
                call = generator.send(answer)
        except StopIteration:
            return out


async def test_past_ticks_and_deals_of_a_symbol_with_odd_letters_are_read_to_the_last(venue: MetaapiVenue) -> None:
    quoted = venue.accounts["demo"].broker.quoted["#SBER/RUB"]
    ticks = await read(venue, "#SBER/RUB", "ticks")
    assert len(quoted.ticks) > 1000
    # Some come twice, where a page ends within a millisecond.
    once = {(row.time_us, row.tick_key): row for row in ticks.ticks}
    assert [time_us for time_us, _ in once] == [tick.time_ms * 1000 for tick in quoted.ticks]
    trades = await read(venue, "#SBER/RUB", "trades")
    deals = {(row.time_us, row.trade_key): row.size for row in trades.trades}
    assert list(deals.values()) == [number(tick.volume, 0) for tick in quoted.ticks if tick.volume]


async def test_past_candles_are_read_to_the_first(venue: MetaapiVenue) -> None:
    bars = venue.accounts["demo"].broker.quoted["EURUSD"].series.bars
    out = await read(venue, "EURUSD", "candles", candles=["1m", "4h", "1mo"])
    for timeframe, period in (("1m", 60), ("4h", 14_400), ("1mn", 2_592_000)):
        found = sorted({row.time_us // 1000: row.close for row in out.candles if row.period == period}.items())
        assert found == [(bar.start, number(bar.close, 5)) for bar in bars[timeframe]]
    assert len(bars["1m"]) > 1000


async def test_page_that_is_not_ready_is_asked_for_later(venue: MetaapiVenue) -> None:
    venue.fault("history_202", count=2, seconds=1)
    for _ in range(2):
        with pytest.raises(VenueError) as caught:
            await read(venue, "EURUSD", "ticks")
        assert not caught.value.permanent
    assert (await read(venue, "EURUSD", "ticks")).ticks


async def test_wrong_token_and_unknown_account_are_refused(venue: MetaapiVenue) -> None:
    async with aiohttp.ClientSession() as http:
        base = f"{venue.address['url']}/users/current/accounts"
        for token, path, status in (("x", "", 401), (venue.settings.token, "/none", 404)):
            async with http.get(base + path, headers={"auth-token": token}) as response:
                assert response.status == status
    venue.fault("5xx")
    with pytest.raises(VenueError):
        await read(venue, "EURUSD", "ticks")


async def test_the_same_seed_gives_the_same_market() -> None:
    texts = []
    for _ in range(2):
        switches = {"running": False, "history_events": 300}
        async with simulator.serve(
            ("metaapi",), seed=9, rate=0, clock_ns=lambda: 1_714_979_289_000_000_000, settings={"metaapi": switches}
        ) as running:
            quoted = running["metaapi"].accounts["demo"].broker.quoted.values()
            texts.append([one.tick_json(tick) for one in quoted for tick in one.ticks])
    assert texts[0] == texts[1]
    assert all(orjson.loads(text) for text in texts[0])


@pytest.mark.parametrize(
    ("timeframe", "opens"),
    [
        ("1m", "2024-05-08T10:17:00"),
        ("4h", "2024-05-08T09:00:00"),
        ("1d", "2024-05-07T21:00:00"),
        ("1w", "2024-05-04T21:00:00"),
        ("1mn", "2024-04-30T21:00:00"),
    ],
)
def test_bars_open_by_the_brokers_clock(timeframe: str, opens: str) -> None:
    at = read_time("2024-05-08T10:17:30Z")
    assert utc(opening(timeframe, at, 3 * HOUR)) == f"{opens}.000Z"
    assert timeframe in MT5


def test_numbers_are_written_without_trailing_zeros() -> None:
    assert [number(107120, 5), number(-5, 2), number(100, 2), number(7, 0)] == ["1.0712", "-0.05", "1", "7"]
