"""Trades: one row each, whichever way they came and whatever their ids were then."""

from __future__ import annotations

import pytest

from collector.model import Trade
from tests.venues.fmex.reading import BTC, ETH, Reading, T, trade


def keys(reading: Reading) -> list[int]:
    return [one.trade_key for one in reading.out.trades]


def test_a_notification_is_a_trade_with_the_venues_own_digits() -> None:
    reading = Reading()
    reading.frame(trade(107863107000, price="7140.890000000000000000", amount="6.8239E4", kind="btcusd_p"), at_ms=T + 5)
    (row,) = reading.out.trades
    assert row == Trade(
        BTC, T * 1000, row.trade_key, "107863107000", "7140.890000000000000000", "68239", 1, (T + 5) * 1000
    )


def test_case_and_symbol_of_the_type_do_not_matter() -> None:
    reading = Reading()
    reading.frame(trade(kind="ETHUSD_P").replace("trade.", "Trade."))
    assert reading.out.trades[0].instrument == ETH


def test_trailing_zeros_and_exponents_make_no_difference_to_the_key() -> None:
    reading = Reading()
    for price, amount in (("7140.5", "100"), ("7140.50", "1E2"), ("7.1405E3", "100.0")):
        other = Reading()
        other.frame(trade(price=price, amount=amount, kind="btcusd_p"))
        reading.out.trades += other.out.trades
    assert len(set(keys(reading))) == 1


def test_equal_trades_within_a_millisecond_stay_apart() -> None:
    reading = Reading()
    for number in (1, 2, 3):
        reading.frame(trade(number, kind="btcusd_p"))
    assert len(set(keys(reading))) == 3


def test_a_notification_that_comes_twice_is_one_trade() -> None:
    reading = Reading()
    reading.frame(trade(5, kind="btcusd_p"))
    reading.frame(trade(5, kind="btcusd_p"))
    assert len(set(keys(reading))) == 1


def test_a_trade_read_again_with_another_id_is_the_same_row() -> None:
    live, again = Reading(), Reading(None)
    live.frame(trade(5, kind="btcusd_p"))
    again.rest("trades/btcusd_p", f"[{trade(12)}]")
    assert keys(live) == keys(again)


def test_the_answer_to_a_request_knows_its_symbol_by_its_id() -> None:
    reading = Reading()
    reading.frame(f'{{"id":"trade.ethusd_p#3","ts":{T},"data":[{trade(2, T + 1)},{trade(1)}]}}')
    assert [one.instrument for one in reading.out.trades] == [ETH, ETH]
    assert [one.time_us for one in reading.out.trades] == [T * 1000, (T + 1) * 1000]


def test_an_answer_with_null_for_its_id_is_quarantined_since_nobody_knows_whose_it_is() -> None:
    reading = Reading()
    reading.frame(f'{{"id":null,"ts":{T},"data":[{trade()}]}}')
    assert not reading.out.trades
    assert "nobody knows whose" in reading.errors[0]


def test_notifications_count_on_from_an_answer() -> None:
    reading = Reading()
    reading.frame(f'{{"id":"trade.btcusd_p#1","ts":{T},"data":[{trade(2)},{trade(1)}]}}')
    reading.frame(trade(3, kind="btcusd_p"))
    assert len(set(keys(reading))) == 3


def test_a_notification_after_the_answer_that_held_it_is_the_same_row() -> None:
    reading = Reading()
    reading.frame(f'{{"id":"trade.btcusd_p#1","ts":{T},"data":[{trade(2)},{trade(1)}]}}')
    reading.frame(trade(2, kind="btcusd_p"))
    assert len(set(keys(reading))) == 2


def test_an_answer_that_tells_what_was_pushed_adds_only_what_was_missed() -> None:
    reading = Reading()
    reading.frame(trade(7, kind="btcusd_p"))
    reading.frame(f'{{"id":"trade.btcusd_p#1","ts":{T},"data":[{trade(9)},{trade(8)}]}}')
    assert len(set(keys(reading))) == 2


def test_notification_counts_on_from_an_answer_that_tells_of_one_missed_before_the_first() -> None:
    reading = Reading()
    reading.frame(trade(11, kind="btcusd_p"))
    reading.frame(f'{{"id":"trade.btcusd_p#1","ts":{T},"data":[{trade(11)},{trade(10)}]}}')
    reading.frame(trade(12, kind="btcusd_p"))
    assert len(set(keys(reading))) == 3
    reading.frame(trade(11, kind="btcusd_p"))
    assert len(set(keys(reading))) == 3


def test_equal_trades_on_both_sides_of_a_pages_edge_stay_two() -> None:
    reading = Reading(None)
    reading.rest("trades/btcusd_p", f"[{trade(9, T + 1)},{trade(8)}]", {"limit": "2"})
    reading.rest("trades/btcusd_p", f"[{trade(7)},{trade(6, T - 1)}]", {"limit": "2", "before": "8"})
    assert len(set(keys(reading))) == 4


def test_pages_of_two_runs_side_by_side_do_not_disturb_each_other() -> None:
    reading = Reading(None)
    reading.rest("trades/btcusd_p", f"[{trade(9, T + 1)},{trade(8)}]")
    reading.rest("trades/btcusd_p", f"[{trade(5, T - 9)},{trade(4, T - 10)}]", {"before": "6"})
    reading.rest("trades/btcusd_p", f"[{trade(7)},{trade(6, T - 1)}]", {"before": "8"})
    assert len(set(keys(reading))) == 6


def test_the_newest_trades_read_again_and_again_stay_one_set_of_rows() -> None:
    reading = Reading(None)
    for first in (100, 200, 300):
        reading.rest("trades/btcusd_p", f"[{trade(first + 1)},{trade(first)}]")
    assert len(set(keys(reading))) == 2


def test_a_trade_without_id_is_one_all_the_same() -> None:
    reading = Reading()
    reading.frame(trade(kind="btcusd_p").replace('"id":1', '"id":null'))
    assert reading.out.trades[0].trade_id is None


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (f'"ts":{T}', '"ts":253388592000000', "ts: '253388592000000'"),
        (f'"ts":{T}', '"ts":null', "ts: None"),
        ('"price":7140.5', '"price":NaN', "price: 'NaN'"),
        ('"price":7140.5', '"price":-1', "price: '-1'"),
        ('"amount":10', '"amount":[10]', "amount: ['10']"),
        ('"side":"buy"', '"side":"both"', "side: 'both'"),
        ('"side":"buy"', '"side":1', "side: '1'"),
        ('"id":1', '"id":"x"', "id: 'x'"),
    ],
)
def test_what_is_wrong_with_a_trade_is_told_with_its_frame(old: str, new: str, reason: str) -> None:
    reading = Reading()
    text = trade(kind="btcusd_p").replace(old, new)
    reading.frame(text)
    assert not reading.out.trades
    (bad,) = reading.out.quarantine
    assert (bad.stream, bad.payload) == ("trades", text.encode())
    assert bad.error.startswith(reason)


def test_a_bad_trade_in_a_list_does_not_take_its_neighbours_with_it() -> None:
    reading = Reading(None)
    reading.rest("trades/btcusd_p", f"[{trade(2)},7,{{}}]")
    assert len(reading.out.trades) == 1
    assert reading.out.quarantine[0].items == 2


def test_a_symbol_of_no_subscription_goes_to_quarantine() -> None:
    reading = Reading()
    reading.frame(trade(kind="nosuch_p"))
    assert not reading.out.trades
    assert "of no symbol of this session" in reading.errors[0]
