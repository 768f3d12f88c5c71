from collections import Counter
from random import Random
from typing import Any

import pytest

from collector.simulator.fmfw.trading.exchange import Exchange
from collector.simulator.fmfw.trading.instruments import instruments
from collector.simulator.fmfw.trading.market import Market

NOW_MS = 1_700_000_000_000


@pytest.mark.parametrize("instrument", instruments(), ids=lambda one: one.symbol)
def test_every_event_leaves_a_sound_book_that_its_update_explains(instrument: Any) -> None:
    market = Market(instrument, Random(5), 1000)
    asks, bids = dict(market.asks.top()), dict(market.bids.top())
    for number in range(3000):
        event = market.step(NOW_MS + number, 1)
        assert market.sequence == 1001 + number
        for mine, changes in ((asks, event.asks), (bids, event.bids)):
            assert len({price for price, _ in changes}) == len(changes)
            for price, size in changes:
                assert price > 0
                assert size % instrument.size_step == 0
                if size:
                    mine[price] = size
                else:
                    del mine[price]
        assert event.asks or event.bids
        assert max(bids) < min(asks)
    assert sorted(asks.items()) == market.asks.top()
    assert sorted(bids.items(), reverse=True) == market.bids.top()


def test_trades_eat_the_levels_that_the_update_takes_away() -> None:
    market = Market(instruments()[0], Random(5), 1000)
    eaten = several = 0
    for number in range(2000):
        before = {1: dict(market.asks.top()), 0: dict(market.bids.top())}
        event = market.step(NOW_MS + number, 1)
        taken = Counter[tuple[bool, int]]()
        for trade in event.trades:
            taken[trade.buy, trade.price] += trade.size
        several += len(taken) > 1
        for (buy, price), size in taken.items():
            side = dict(event.asks if buy else event.bids)
            assert side[price] == before[buy][price] - size
            eaten += 1
    assert eaten > 300
    assert several > 50


def test_the_same_seed_gives_the_same_market() -> None:
    def story(seed: int) -> list[Any]:
        exchange = Exchange(instruments(), seed)
        exchange.make_history(NOW_MS, 1.0, 500)
        return [(event.market.symbol, event.trades, event.asks, event.bids) for event in map(exchange.step, range(500))]

    assert story(1) == story(1)
    assert story(1) != story(2)


def test_ids_are_one_increasing_sequence_over_all_symbols() -> None:
    exchange = Exchange(instruments(), 1)
    ids = [trade.id for number in range(3000) for trade in exchange.step(NOW_MS + number).trades]
    assert ids == sorted(set(ids))
    assert exchange.next_trade_id > ids[-1]


@pytest.mark.slow
def test_a_long_run_stays_near_its_prices() -> None:
    exchange = Exchange(instruments(), 4)
    for number in range(60_000):
        exchange.step(NOW_MS + number * 100)
    for market in exchange.markets.values():
        price = (market.asks.best + market.bids.best) / 2
        assert 0.5 < price / market.instrument.start_price < 2
        assert len(market.asks) < 3 * market.instrument.depth + 50


def test_memory_of_trades_is_bounded_and_the_count_is_not() -> None:
    exchange = Exchange(instruments(), 1, kept_trades=3000)
    for number in range(30_000):
        exchange.step(NOW_MS + number)
    assert exchange.kept < 3000 * 1.1 + 4096 * 2
    assert sum(market.trades.end for market in exchange.markets.values()) == exchange.trades > 10_000


def test_any_number_of_symbols_can_be_listed() -> None:
    assert [len(instruments(count)) for count in (1, 12, 700)] == [1, 12, 700]
    assert len({one.symbol for one in instruments(700)}) == 700


def test_the_listing_has_the_awkward_ones() -> None:
    by_symbol = {one.symbol: one for one in instruments()}
    assert (by_symbol["MATICUSD"].base, by_symbol["MATICUSD"].quote) == ("MATIC", "USDT")
    assert by_symbol["BTTBTC"].tick_text == "0.00000000001"
    assert by_symbol["BTTBTC"].increment_text == "1000"
    assert by_symbol["BTCUSDT_PERP"].base is None
    assert by_symbol["ETH-1225"].expiry_ms(NOW_MS) == 1_703_491_200_000


def test_a_deepened_book_stays_sound() -> None:
    market = Market(instruments()[6], Random(1), 5)
    before = market.asks.best, market.bids.best
    market.deepen(5000)
    assert (market.asks.best, market.bids.best) == before
    assert len(market.asks) > 5000
    assert market.bids.keys == sorted(set(market.bids.keys))
    assert market.bids.keys[0] >= 1
    for number in range(500):
        market.step(NOW_MS + number, 1)
    assert set(market.asks.keys) == set(market.asks.sizes)


def test_the_rolling_day_is_the_sum_of_its_trades() -> None:
    market = Market(instruments()[0], Random(5), 1000)
    day_ms = 86_400_000
    for number in range(3000):
        market.step(NOW_MS + number * 60_000, 1, 0.5)
    now = NOW_MS + 3000 * 60_000
    begin = now - now % 60_000 - day_ms
    trades = [market.trades[index] for index in range(market.trades.end)]
    within = [trade for trade in trades if trade.time_ms >= begin]
    day = market.day(now)
    assert 0 < len(within) < len(trades)
    assert day.volume == sum(trade.size for trade in within)
    assert day.value == sum(trade.size * trade.price for trade in within)
    assert (day.open, day.high, day.low) == (
        within[0].price,
        max(trade.price for trade in within),
        min(trade.price for trade in within),
    )
