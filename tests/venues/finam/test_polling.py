"""Polling on a clock of its own, against the simulated venue's answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from collector.simulator.finam.rest import ApiError
from collector.venues.events import SubscriptionState
from collector.venues.finam.hours import Session
from collector.venues.finam.trades import NO_OVERLAP
from collector.venues.rest import RestCall

from .driving import START_NS, Driven, gaps_between

FLOWING, REFUSED = SubscriptionState.FLOWING, SubscriptionState.REFUSED
SBER = "SBER@MISX"
HOUR = 3600.0


@pytest.mark.slow
def test_fifty_symbols_for_ten_minutes_cost_no_429_and_no_trade_that_a_list_still_held() -> None:
    driven = Driven(symbols=50, rate=60.0)
    driven.run(600)
    assert driven.statuses_seen.keys() == {200}
    assert Counter(driven.stored_trades()) == Counter(driven.answered_trades())
    assert len(driven.out.trades) > 8000
    for method in ("LastQuote", "OrderBook", "LatestTrades"):
        assert 1750 <= len(driven.asked(method)) <= 1810
    assert driven.polling.proved


@pytest.mark.slow
def test_each_symbol_is_asked_as_often_as_the_plan_says() -> None:
    driven = Driven(symbols=5, priorities={SBER: 3})
    driven.run(120)
    slot = 60 / 180
    assert max(gaps_between(driven.asked("OrderBook", "VTBR@MISX"))) == pytest.approx(7 * slot, abs=0.5)
    assert len(driven.asked("OrderBook", SBER)) == pytest.approx(120 / 1.0, rel=0.1)
    assert min(gaps_between(driven.asked("OrderBook"))) >= slot / 2 - 1e-6


def test_burst_that_fell_out_of_the_list_is_a_gap_and_halves_the_period_which_grows_back() -> None:
    driven = Driven(symbols=20, rate=5.0)
    driven.run(30)
    assert driven.out.gaps == []
    before = driven.polling.period("LatestTrades", SBER)
    driven.venue.fault("burst", symbol=SBER, count=120)
    driven.run(8)
    [gap] = driven.out.gaps
    assert (gap.instrument.symbol, gap.stream, gap.cause) == (SBER, "trades", NO_OVERLAP)
    assert gap.to_us is not None
    assert gap.from_us <= gap.to_us
    assert gap.from_seq is not None
    assert driven.polling.period("LatestTrades", SBER) < before * 0.6
    assert "since it has many trades" in driven.status("LatestTrades", SBER).reason
    driven.run(200)
    assert driven.polling.period("LatestTrades", SBER) == before
    assert len(driven.out.gaps) == 1


def test_symbol_whose_lists_are_mostly_new_is_asked_more_often_before_anything_is_lost() -> None:
    driven = Driven(symbols=40, rate=2.0)
    driven.run(20)
    for _ in range(60):
        driven.venue.step(10, symbol=SBER, trade_share=1.0)
        driven.run(3)
    assert driven.polling.period("LatestTrades", SBER) < 8
    assert len(driven.out.gaps) <= 1


@pytest.mark.slow
def test_token_is_renewed_at_two_thirds_of_its_life_by_one_lane() -> None:
    driven = Driven(venue={"session_seconds": 90.0})
    driven.run(600)
    logins = [at for at, call in driven.calls if call.channel == "Auth"]
    assert len(logins) == 9 or len(logins) == 10
    assert min(gaps_between(logins)) >= 59
    assert driven.statuses_seen.keys() == {200}


def test_session_calls_carry_no_authorization_and_are_not_journalled() -> None:
    driven = Driven(venue={"session_seconds": 90.0})
    driven.run(100)
    sessions = [call for _, call in driven.calls if call.channel in ("Auth", "TokenDetails")]
    assert len(sessions) >= 2
    assert all("Authorization" not in call.headers and not call.record for call in sessions)
    assert "tapi" not in repr(driven.calls)
    assert "tapi" not in repr(driven.polling) + repr(driven.settings) + repr(driven.spoken.shared)


def test_expired_token_costs_one_renewal_for_all_lanes_and_one_repetition_of_each_call() -> None:
    driven = Driven()
    driven.run(30)
    driven.venue.sessions.expire()
    driven.run(30)
    refused = [error for error in driven.failures if error.code == "401"]
    assert 1 <= len(refused) <= 8
    assert len([1 for _, call in driven.calls if call.channel == "Auth"]) == 1
    assert driven.failures == refused
    assert all(one.state is FLOWING for one in driven.polling.statuses())


def test_call_that_is_refused_with_a_fresh_token_as_well_is_not_repeated_at_once() -> None:
    driven = Driven()
    driven.run(10)
    driven.venue.fault("401", method="OrderBook", count=40)
    driven.run(60)
    assert len([1 for _, call in driven.calls if call.channel == "Auth"]) <= 12
    driven.venue.faults.clear()
    before = len(driven.asked("OrderBook"))
    driven.run(60)
    assert len(driven.asked("OrderBook")) - before > 50


def test_429_holds_its_own_method_back_and_no_other() -> None:
    driven = Driven(latency=0.01)
    driven.run(10)
    driven.venue.fault("429", method="LastQuote", seconds=1000)
    quotes, books = len(driven.asked("LastQuote")), len(driven.asked("OrderBook"))
    driven.run(60)
    assert len(driven.asked("LastQuote")) - quotes < 12
    assert len(driven.asked("OrderBook")) - books > 55
    driven.venue.faults.clear()
    driven.run(60)
    assert driven.status("LastQuote", SBER).state is FLOWING


@pytest.mark.slow
def test_venue_that_cannot_be_reached_is_asked_less_and_resumes_by_itself() -> None:
    driven = Driven()
    driven.run(10)
    driven.broken = "line"
    before = len(driven.calls)
    driven.run(300)
    assert len(driven.calls) - before < 200
    driven.broken = None
    driven.run(120)
    late = [at for at in driven.asked("LatestTrades", SBER) if at > 400]
    assert len(late) > 20


@pytest.mark.parametrize("session_seconds", [900.0, 120.0])
def test_everything_is_asked_for_again_soon_after_the_first_answer_of_a_venue_that_was_away(
    session_seconds: float,
) -> None:
    driven = Driven(symbols=4, rate=0.5, venue={"session_seconds": session_seconds})
    driven.run(20)
    driven.broken = "line"
    driven.run(700)
    driven.broken, back = None, driven.now
    driven.run(30)
    for method in ("LastQuote", "OrderBook", "LatestTrades", "Bars"):
        for symbol in driven.venue.exchange.markets:
            assert any(at >= back for at in driven.asked(method, symbol)), (method, symbol)


@pytest.mark.slow
def test_one_symbol_that_fails_is_not_asked_for_more_often_because_others_are_answered() -> None:
    driven = Driven(symbols=3, rate=0.5)
    driven.run(10)
    serve = driven._serve

    def fail(call: RestCall, path: str, params: Mapping[str, str]) -> Any:
        if call.channel.endswith(SBER) and call.channel.startswith("LatestTrades"):
            raise ApiError(500, 13, "Internal error")
        return serve(call, path, params)

    driven._serve = fail  # type: ignore[method-assign]
    driven.run(300)
    assert len([at for at in driven.asked("LatestTrades", SBER) if at > 100]) < 12


def test_quotes_and_books_of_an_outage_are_gaps_and_trades_that_the_list_still_holds_are_not() -> None:
    driven = Driven(rate=0.5)
    driven.run(60)
    driven.broken = "line"
    driven.run(50)
    driven.broken = None
    driven.run(60)
    gaps = {(gap.instrument.symbol, gap.stream): gap for gap in driven.out.gaps}
    assert set(gaps) == {(symbol, stream) for symbol in driven.venue.exchange.markets for stream in ("ticks", "books")}
    for gap in gaps.values():
        assert gap.to_us is not None
        assert gap.cause == "not answered in time"
        assert 50e6 <= gap.to_us - gap.from_us <= 90e6


@pytest.mark.slow
def test_unknown_symbol_is_refused_and_asked_again_later_while_others_flow() -> None:
    driven = Driven()
    driven.venue.fault("404", symbol=SBER)
    driven.run(60)
    assert driven.status("OrderBook", SBER).state is REFUSED
    assert "Instrument SBER@MISX not found" in driven.status("OrderBook", SBER).reason
    assert driven.polling.proved
    assert len(driven.asked("OrderBook", SBER)) == 1
    driven.venue.faults.clear()
    driven.run(700)
    assert driven.status("OrderBook", SBER).state is FLOWING


@pytest.mark.slow
def test_symbol_that_stays_unknown_is_asked_for_once_a_day() -> None:
    driven = Driven(rate=0, longest_wait=300.0, streams=["books"], rest_per_minute=2, maintenance="")
    driven.venue.fault("404", symbol=SBER)
    driven.run(3 * 24 * HOUR)
    assert len(driven.asked("OrderBook", SBER)) in (4, 5)


def test_feed_without_right_is_switched_off_for_its_symbol_only() -> None:
    driven = Driven()
    driven.venue.fault("403", symbol=SBER, method="OrderBook")
    driven.run(60)
    assert driven.status("OrderBook", SBER).state is REFUSED
    assert driven.status("LatestTrades", SBER).state is FLOWING
    assert driven.status("OrderBook", "GAZP@MISX").state is FLOWING


def test_closed_market_is_asked_slowly_and_is_no_gap() -> None:
    driven = Driven(symbols=3, rate=0, venue={"schedule": "closed"})
    driven.run(30)
    before = len(driven.asked("LastQuote", SBER))
    driven.run(600)
    assert len(driven.asked("LastQuote", SBER)) - before in (9, 10, 11)
    assert "market closed, polled every 60 s" in driven.status("LastQuote", SBER).reason
    assert driven.out.gaps == []


def test_sockets_are_told_which_markets_are_closed_as_time_passes() -> None:
    driven = Driven(symbols=3, rate=0)
    driven.run(30)
    shared = driven.spoken.shared
    assert shared.closed == frozenset()
    now_us = driven.now_ns() // 1000
    driven.polling._hours[SBER]._sessions = [Session(now_us - 10**9, now_us + 60_000_000)]
    driven.run(90)
    assert shared.closed == {SBER}


def test_market_that_opens_is_asked_at_its_opening() -> None:
    midnight = START_NS - START_NS % (86_400 * 10**9)
    driven = Driven(start_ns=midnight + int(23.9 * 3600e9), symbols=3, rate=10.0)
    hours = driven.polling._hours[SBER]
    opens = midnight // 1000 + 24 * 3_600_000_000
    driven.run(20)
    hours._sessions = [Session(opens, opens + 3_600_000_000)]
    driven.run(6 * 60 - 20 + 3)
    driven.run(30)
    after = [at for at in driven.asked("LatestTrades", SBER) if at >= 360]
    assert after[0] < 362.5
    assert gaps_between(after)[0] < 3


@pytest.mark.slow
def test_maintenance_is_left_alone_and_followed_by_a_new_token_and_new_schedules() -> None:
    midnight = START_NS - START_NS % (86_400 * 10**9)
    driven = Driven(start_ns=midnight + int((2 * 60 - 1) * 60e9), symbols=3)
    driven.run(61)
    held = len(driven.calls)
    driven.run(74 * 60)
    assert len(driven.calls) == held
    assert "maintenance" in driven.status("LatestTrades", SBER).reason
    assert driven.polling.proved
    driven.run(180)
    assert [gap for gap in driven.out.gaps if gap.stream != "trades"] == []
    after = [call.channel for at, call in driven.calls if at > 75 * 60]
    assert "Auth" in after
    assert f"Schedule/{SBER}" in after
    assert driven.status("LatestTrades", SBER).reason == ""


def test_bars_are_read_again_until_they_are_final() -> None:
    driven = Driven(symbols=3, rate=30.0, streams=["candles"])
    driven.run(700)
    bars = {}
    for bar in driven.out.candles:
        bars[bar.instrument.symbol, bar.time_us] = bar
    over = driven.start_ns // 1000 + 400_000_000 - 80_000_000
    final = [bar for bar in bars.values() if bar.time_us + 60_000_000 <= over]
    assert final
    assert all(bar.closed for bar in final)
    truth = driven.venue.ledger.bars
    for (symbol, time_us), bar in bars.items():
        if bar.closed:
            market = driven.venue.exchange.markets[symbol]
            [real] = market.series.bars("TIME_FRAME_M1", time_us, time_us + 1)
            assert bar.volume is not None
            assert int(float(bar.volume)) == real.volume
            assert truth[symbol][time_us, 60][6].startswith(bar.close)
    per_minute = Counter(int((driven.start_ns / 1e9 + at) // 60) for at in driven.asked("Bars", SBER))
    assert set(list(per_minute.values())[1:-1]) == {1}


def test_empty_answer_is_asked_for_again_twice_and_moves_nothing() -> None:
    driven = Driven(symbols=1, rate=30.0, streams=["candles"])
    driven.run(70)
    before = len(driven.asked("Bars", SBER))
    driven.venue.fault("empty_bars", symbol=SBER, count=2)
    driven.run(61)
    times = driven.asked("Bars", SBER)[before:]
    assert len(times) == 3
    assert times[2] - times[0] < 3
    rows = len(driven.out.candles)
    driven.run(60)
    assert len(driven.out.candles) > rows


def test_delayed_data_are_marked() -> None:
    driven = Driven(symbols=6)
    driven.run(60)
    assert driven.status("LastQuote", "AAPL@XNGS").reason == "delayed by 15 min"
    assert driven.status("LastQuote", SBER).reason == ""
    spec = [one for one in driven.out.instruments if one.instrument.symbol == "AAPL@XNGS"][-1]
    assert '"delay_minutes":15' in spec.details


def test_answer_that_is_not_understood_is_quarantined_and_asked_for_again() -> None:
    driven = Driven(symbols=1)
    driven.run(5)
    events = driven.parser.rest(
        "OrderBook/SBER@MISX", {}, b'{"orderbook":{"rows":[{"price":1.5}]}}', driven.now_ns(), driven.out
    )
    assert not events
    assert len(driven.out.quarantine) == 1
    assert driven.out.items == driven.out.rows + 1


def test_wrong_secret_later_on_is_tried_slowly() -> None:
    driven = Driven(venue={"session_seconds": 30.0})
    driven.venue.sessions._secret = "another"
    driven.run(700)
    logins = [at for at, call in driven.calls if call.channel == "Auth"]
    assert 2 <= len(logins) <= 4
