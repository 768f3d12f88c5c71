"""The simulated market: books that never cross, bars that agree with trades, numbers in all the venue's forms."""

from decimal import Decimal
from random import Random

import pytest

from collector.simulator.fmex import bars, payloads, text
from collector.simulator.fmex.bars import MINUTE_MS, SECONDS, Minutes, period_start
from collector.simulator.fmex.books import View
from collector.simulator.fmex.contracts import contracts
from collector.simulator.fmex.market import Market

BEGIN_MS = 1_575_100_020_000


def lived(events: int, seed: int = 1) -> Market:
    market = Market(contracts(None)[0], Random(seed), BEGIN_MS)
    for number in range(events):
        market.step(BEGIN_MS + number * 700)
    return market


def test_the_best_bid_is_always_below_the_best_ask_and_both_sides_stay_deep() -> None:
    market = Market(contracts(None)[1], Random(3), BEGIN_MS)
    for number in range(5000):
        market.step(BEGIN_MS + number)
        assert market.bids.best < market.asks.best
    assert min(len(market.bids.keys), len(market.asks.keys)) >= 150


def test_the_same_seed_gives_the_same_market() -> None:
    assert lived(500).trades == lived(500).trades
    assert lived(500).trades != lived(500, seed=2).trades


def test_there_are_equal_trades_within_a_millisecond() -> None:
    trades = lived(2000).trades
    assert len({trade[1:] for trade in trades}) < len(trades)
    assert len({trade.id for trade in trades}) == len(trades)


@pytest.mark.parametrize("period", list(SECONDS))
def test_bars_of_every_period_agree_with_the_trades(period: str) -> None:
    market = lived(3000)
    for bar in market.minutes.bars(period, None, 1000):
        inside = [one for one in market.trades if period_start(period, one.time_ms) == bar.start]
        assert bar.count == len(inside)
        assert bar.volume == sum(one.size for one in inside)
        if inside:
            prices = [one.price for one in inside]
            assert (bar.open, bar.close, bar.high, bar.low) == (prices[0], prices[-1], max(prices), min(prices))


def test_minutes_without_trades_are_bars_at_the_last_close() -> None:
    minutes = Minutes(BEGIN_MS, 100)
    minutes.add(105, 1, 1, 1)
    minutes.roll(BEGIN_MS + 3 * MINUTE_MS, 2)
    assert [(bar.open, bar.close, bar.count) for bar in minutes.bars("M1", None, 9)] == [
        (105, 105, 1),
        (105, 105, 0),
        (105, 105, 0),
        (105, 105, 0),
    ]


def test_days_weeks_and_months_begin_at_midnight_in_china() -> None:
    assert bars.period_start("MN", 1_533_052_800_000) == 1_533_052_800_000
    assert bars.period_start("MN", 1_533_052_799_999) < 1_533_052_800_000
    assert bars.period_start("D1", 1_533_052_800_000 + 5) == 1_533_052_800_000
    assert bars.period_start("W1", 1_575_216_000_000) == 1_575_216_000_000  # Monday 2 December 2019 in China


def test_numbers_come_in_every_form_and_keep_their_value() -> None:
    sent = [(units, text.number(units, 1)) for units in range(77_000, 78_000, 5)]
    assert all(Decimal(one.sent) == Decimal(one.plain) == Decimal(units) / 10 for units, one in sent)
    forms = {"E" in one.sent: 1 for _, one in sent} | {one.sent.partition(".")[2]: 1 for _, one in sent}
    assert {True, False, "0", "5", "", "0" * 18} <= set(forms)


@pytest.mark.parametrize(
    ("units", "decimals", "sent", "plain"),
    [
        (59, 6, "5.9E-5", "0.000059"),
        (-55, 6, "-5.5E-5", "-0.000055"),
        (0, 18, "0E-18", "0." + "0" * 18),
        (0, 0, "0.0", "0.0"),
    ],
)
def test_small_numbers_have_exponents(units: int, decimals: int, sent: str, plain: str) -> None:
    assert text.number(units, decimals) == (sent, plain)


def test_changes_make_the_next_look_of_the_last_one() -> None:
    market = lived(10)
    view = View(market, "l20", 1)
    view.look(BEGIN_MS, 1)
    for _ in range(300):
        before = dict(view.bids), dict(view.asks)
        market.step(market.changed_ms + 1)
        changed = view.look(market.changed_ms, 3)
        for side, changes, after in zip(before, changed or ((), ()), (view.bids, view.asks), strict=True):
            for price, size in changes:
                if size:
                    side[price] = size
                else:
                    del side[price]
            assert side == dict(after)


def test_the_checksum_is_of_the_digits_without_exponent() -> None:
    said = payloads.sides([(15_000, 1)], [(15_001, 2)])
    assert said.bids.count(",") == 1
    assert said.checksum == payloads.sides([(15_000, 1)], [(15_001, 2)]).checksum
    assert said.checksum != payloads.sides([(15_000, 2)], [(15_001, 2)]).checksum
