"""Trades, their keys and their ordinals."""

from __future__ import annotations

from typing import Any

import pytest

from collector.model import Trade, content_key
from collector.venues.kit.ordinals import REMEMBERED_TRADES, REMEMBERED_US, Ordinals
from tests.venues.fmfw.reading import BTC, Reading, T


def trade(t: int = T, i: int | None = None, p: str = "10.5", q: str = "2", s: str = "buy") -> dict[str, Any]:
    return {"t": t, "i": t if i is None else i, "p": p, "q": q, "s": s}


def rest_trade(
    number: int | str, t: str = "2021-10-09T19:14:00.000Z", p: str = "10.5", q: str = "2", s: str = "buy"
) -> dict[str, Any]:
    return {"id": number, "price": p, "qty": q, "side": s, "timestamp": t}


def keys(reading: Reading) -> list[int]:
    return [trade.trade_key for trade in reading.out.trades]


def test_a_trade_keeps_the_venues_digits_and_both_clocks() -> None:
    reading = Reading()
    reading.send("trades", "update", {"BTCUSDT": [trade(i=1417984573, p="0.10", q="9.00", s="sell")]}, at_ms=T + 80)
    assert reading.out.trades == [
        Trade(BTC, T * 1000, content_key(f"{T * 1000}|0.1|9|-1|0"), "1417984573", "0.10", "9.00", -1, (T + 80) * 1000)
    ]
    assert type(reading.out.trades[0]) is Trade
    assert len(reading.out.trades[0]) == len(Trade._fields)


def test_a_time_in_the_place_of_an_id_is_no_id() -> None:
    reading = Reading()
    reading.send("trades", "update", {"BTCUSDT": [trade()]})
    assert reading.out.trades[0].trade_id is None


def test_a_trade_is_one_row_whichever_way_it_comes() -> None:
    live_synthetic, live_real, snapshot, rest = Reading(), Reading(), Reading(), Reading()
    live_synthetic.send("trades", "update", {"BTCUSDT": [trade(q="2.00")]})
    live_real.send("trades", "update", {"BTCUSDT": [trade(i=77)]})
    snapshot.send("trades", "snapshot", {"BTCUSDT": [trade(q="2.0")]})
    rest.rest("trades", {"BTCUSDT": [rest_trade("77", p="10.50")]})
    assert keys(live_synthetic) == keys(live_real) == keys(snapshot) == keys(rest)
    assert rest.out.trades[0].trade_id == "77"


def test_equal_trades_of_a_millisecond_are_told_apart_by_their_ordinal() -> None:
    together, apart, snapshot = Reading(), Reading(), Reading()
    together.send("trades", "update", {"BTCUSDT": [trade(), trade(), trade(q="3")]})
    for _ in range(2):
        apart.send("trades", "update", {"BTCUSDT": [trade()]})
    snapshot.send("trades", "snapshot", {"BTCUSDT": [trade(), trade()]})
    assert len(set(keys(together))) == 3
    assert keys(apart) == keys(together)[:2] == keys(snapshot)


def test_the_same_content_in_two_symbols_is_counted_for_each_alone() -> None:
    reading = Reading()
    reading.send("trades", "update", {"BTCUSDT": [trade()], "ETHBTC": [trade()]})
    assert len(set(keys(reading))) == 1


def test_a_repeated_real_id_keeps_its_ordinal_and_a_new_one_gets_the_next() -> None:
    reading = Reading()
    for number in (5, 6, 5, 6, 7):
        reading.send("trades", "update", {"BTCUSDT": [trade(i=number)]})
    first, second, first_again, second_again, third = keys(reading)
    assert (first, second) == (first_again, second_again)
    assert len({first, second, third}) == 3


def test_each_snapshot_counts_from_0_and_live_trades_go_on_from_it() -> None:
    reading = Reading()
    reading.send("trades", "snapshot", {"BTCUSDT": [trade(), trade()]})
    reading.send("trades", "snapshot", {"BTCUSDT": [trade(), trade()]})
    assert keys(reading)[:2] == keys(reading)[2:]
    reading.send("trades", "update", {"BTCUSDT": [trade()]})
    assert keys(reading)[4] == content_key(f"{T * 1000}|10.5|2|1|2")


def test_a_snapshot_that_knows_fewer_does_not_set_the_live_count_back() -> None:
    reading = Reading()
    for _ in range(3):
        reading.send("trades", "update", {"BTCUSDT": [trade()]})
    reading.send("trades", "snapshot", {"BTCUSDT": [trade()]})
    reading.send("trades", "update", {"BTCUSDT": [trade()]})
    assert keys(reading)[4] == content_key(f"{T * 1000}|10.5|2|1|3")


def test_a_late_trade_of_a_former_millisecond_is_still_counted() -> None:
    reading = Reading()
    for t in (T, T + 1, T):
        reading.send("trades", "update", {"BTCUSDT": [trade(t=t)]})
    assert len(set(keys(reading))) == 3


def test_rest_lists_number_equal_trades_alike_in_either_order() -> None:
    ascending, descending = Reading(), Reading()
    items = [rest_trade(5), rest_trade(6), rest_trade(7, q="9")]
    ascending.rest("trades", {"BTCUSDT": items})
    descending.rest("trades", {"BTCUSDT": items[::-1]})
    assert ascending.out.trades[:2] == [
        row._replace(received_us=descending.out.trades[0].received_us) for row in descending.out.trades[:2]
    ]
    assert [row.trade_id for row in descending.out.trades] == ["5", "6", "7"]


def test_pages_that_overlap_or_cut_a_millisecond_number_its_trades_as_one_list() -> None:
    paged, whole = Reading(), Reading()
    items = [rest_trade(number) for number in range(4)] + [rest_trade(9)]
    for page in (items[:2], items[1:3], items[2:]):
        paged.rest("trades", {"BTCUSDT": page})
    whole.rest("trades", {"BTCUSDT": items})
    assert set(keys(paged)) == set(keys(whole))
    assert len(set(keys(whole))) == 5


def test_rest_trades_do_not_disturb_the_live_count() -> None:
    reading = Reading()
    reading.rest("trades", {"BTCUSDT": [rest_trade(5), rest_trade(6)]})
    reading.send("trades", "update", {"BTCUSDT": [trade()]})
    assert keys(reading)[2] == keys(reading)[0]


def test_memory_of_ordinals_is_bounded_in_time_and_number() -> None:
    ordinals = Ordinals()
    for n in range(10 * REMEMBERED_TRADES):
        ordinals.number(f"c{n}", None, 1)
    assert len(ordinals._young) + len(ordinals._old) <= 2 * REMEMBERED_TRADES
    for n in range(1, 4):
        ordinals.number(f"later{n}", None, 1 + n * (REMEMBERED_US + 1))
    assert len(ordinals._young) + len(ordinals._old) == 2


def test_what_is_younger_than_the_memory_is_remembered_across_a_turn() -> None:
    ordinals = Ordinals()
    assert ordinals.number("first", None, 1) == 0
    assert ordinals.number("old", None, REMEMBERED_US) == 0
    assert ordinals.number("new", None, REMEMBERED_US * 2) == 0
    assert ordinals.number("old", None, REMEMBERED_US) == 1


def test_a_fork_counts_on_its_own() -> None:
    reading = Reading()
    reading.send("trades", "update", {"BTCUSDT": [trade()]})
    copy = reading.fork()
    copy.send("trades", "update", {"BTCUSDT": [trade()]})
    reading.send("trades", "update", {"BTCUSDT": [trade()]})
    assert keys(copy)[0] == keys(reading)[1] == content_key(f"{T * 1000}|10.5|2|1|1")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"p": "NaN"}, "p: 'NaN' is not a decimal number, not negative, as text"),
        ({"p": 10.5}, "p: 10.5 is not"),
        ({"p": "1,5"}, "p: '1,5' is not"),
        ({"p": "1|5"}, "p: '1|5' is not"),
        ({"p": "1e5"}, "p: '1e5' is not"),
        ({"p": "١"}, "p: '١' is not"),
        ({"p": "-1"}, "p: '-1' is not"),
        ({"q": "-2"}, "q: '-2' is not"),
        ({"q": None}, "q: missing"),
        ({"q": "1_000"}, "q: '1_000' is not"),
        ({"s": "bid"}, "s: 'bid' is not buy or sell"),
        ({"s": ["buy"]}, "s: ['buy'] is not buy or sell"),
        ({"t": 253_370_764_800_000}, "t: 253370764800000 is not a time"),
        ({"t": "1633806840000"}, "t: '1633806840000' is not a time"),
        ({"t": 1.6e12}, "t: 1600000000000.0 is not a time"),
        ({"t": True}, "t: True is not a time"),
        ({"i": {}}, "i: {} is not a whole number"),
        ({"p": "9" * 5000}, "p: '999"),
    ],
)
def test_a_bad_trade_goes_to_quarantine_and_its_neighbours_do_not(change: dict[str, Any], reason: str) -> None:
    reading = Reading()
    reading.send("trades", "update", {"BTCUSDT": [trade(), trade() | change, trade()]})
    assert len(reading.out.trades) == 2
    assert reading.out.quarantine[0].error.startswith(reason)
    assert len(reading.out.quarantine[0].error) < 250
    assert b'"trades"' in reading.out.quarantine[0].payload
    assert reading.out.quarantine[0].stream == "trades"


def test_a_number_of_thirty_digits_is_kept_exactly() -> None:
    reading = Reading()
    reading.send("trades", "update", {"BTCUSDT": [trade(p="123456789012345678901234567890.123456789012345678901")]})
    assert reading.out.trades[0].price == "123456789012345678901234567890.123456789012345678901"


def test_unknown_fields_are_ignored_and_an_id_as_text_is_read() -> None:
    reading = Reading()
    reading.send("trades", "update", {"BTCUSDT": [trade() | {"i": "78", "x": [1]}]})
    assert reading.out.trades[0].trade_id == "78"


def test_a_symbol_that_was_not_asked_for_is_quarantined_with_all_its_items() -> None:
    reading = Reading()
    reading.send("trades", "update", {"XRPBTC": [trade(), trade()], "BTCUSDT": [trade()]})
    assert reading.errors == ["symbol: 'XRPBTC' is not one of this session"]
    assert reading.out.quarantine[0].items == 2
    assert len(reading.out.trades) == 1


def test_a_list_without_trades_still_shows_that_the_channel_speaks() -> None:
    reading = Reading()
    reading.send("trades", "snapshot", {"BTCUSDT": []}, at_ms=T)
    assert reading.parser.last_seen["trades"] == {"BTCUSDT": T * 1_000_000}
    assert reading.out.items == 0
