"""Sequence numbers: what is delivered at once, what is dropped, and what becomes a gap."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from collector.venues.events import SequenceLost
from collector.venues.metaapi.sequence import Sequence, Verdict

from .reading import Reading, T, price


def bids(reading: Reading) -> list[str | None]:
    return [row.bid for row in reading.out.ticks]


def test_packets_after_a_hole_are_delivered_at_once_and_the_hole_is_told_after_a_while() -> None:
    reading = Reading()
    reading.start(at_ms=T)
    reading.prices(prices=[price("1")], at_ms=T + 100)
    reading.number += 1
    reading.prices(prices=[price("3")], at_ms=T + 200)
    assert bids(reading) == ["1", "3"]
    assert reading.out.gaps == []
    reading.beat(T + 2_199)
    assert reading.out.gaps == []
    events = reading.prices(prices=[price("4")], at_ms=T + 2_200)
    assert SequenceLost("demo", "", 2, 3) in events
    assert {(gap.instrument.symbol, gap.stream) for gap in reading.out.gaps} == {
        (symbol, stream) for symbol in ("EURUSD", "SBER") for stream in ("trades", "ticks", "books", "candles")
    }
    gap = reading.out.gaps[0]
    assert (gap.from_us, gap.to_us, gap.from_seq, gap.to_seq) == ((T + 100) * 1000, (T + 200) * 1000, 1, 3)
    assert gap.reason == "packet 2 never came"


def test_missing_packet_that_comes_late_is_delivered_and_no_gap() -> None:
    reading = Reading()
    reading.start(at_ms=T)
    reading.prices(prices=[price("1")], number=1, stamp=T + 10)
    reading.prices(prices=[price("3")], number=3, stamp=T + 30)
    reading.prices(prices=[price("2")], number=2, stamp=T + 20)
    reading.prices(prices=[price("4")], number=4, stamp=T + 40)
    reading.beat(T + 100_000)
    assert bids(reading) == ["1", "3", "2", "4"]
    assert reading.out.gaps == []


def test_packet_that_comes_twice_is_dropped() -> None:
    reading = Reading()
    reading.start()
    for _ in range(3):
        reading.prices(prices=[price("1")], number=1, stamp=T + 10)
    assert bids(reading) == ["1"]


def test_packet_of_an_earlier_run_is_dropped() -> None:
    reading = Reading()
    reading.start(stamp=T + 100)
    reading.prices(prices=[price("1")], number=1, stamp=T + 110)
    reading.prices(prices=[price("9")], number=1, stamp=T + 50)
    reading.start(stamp=T + 60)
    assert bids(reading) == ["1"]


def test_numbers_that_begin_again_without_a_word_are_followed() -> None:
    reading = Reading(reorder_us=0)
    reading.start()
    for number in range(1, 9):
        reading.prices(prices=[price(str(number))])
    reading.number = -1
    for number in range(20, 24):
        reading.prices(prices=[price(str(number))])
    assert bids(reading)[-3:] == ["21", "22", "23"]
    assert reading.out.gaps


def test_huge_hole_is_told_at_once() -> None:
    reading = Reading()
    reading.start()
    reading.prices(number=500)
    assert [event for event in reading.prices(number=501) if isinstance(event, SequenceLost)]


def test_new_run_of_numbers_is_a_gap_since_nobody_knows_what_was_between() -> None:
    reading = Reading()
    reading.start(at_ms=T)
    reading.prices(prices=[price()], at_ms=T + 1_000)
    reading.start(at_ms=T + 3_000)
    gap = reading.out.gaps[0]
    assert (gap.cause, gap.from_us, gap.to_us) == ("stream restarted", (T + 1_000) * 1000, (T + 3_000) * 1000)


def test_outage_of_the_terminal_begins_with_the_last_packet_and_ends_with_its_return() -> None:
    reading = Reading()
    reading.start(at_ms=T)
    reading.prices(prices=[price()], at_ms=T + 1_000)
    reading.news("disconnected", at_ms=T + 5_000)
    assert [(gap.cause, gap.from_us, gap.to_us) for gap in reading.out.gaps[:1]] == [
        ("terminal away", (T + 1_000) * 1000, None)
    ]
    count = len(reading.out.gaps)
    reading.news("authenticated", ',"replicas":1', at_ms=T + 9_000)
    reading.start(at_ms=T + 9_500)
    closing = reading.out.gaps[count:]
    assert len(closing) == count
    assert {(gap.cause, gap.from_us, gap.to_us) for gap in closing} == {
        ("terminal away", (T + 1_000) * 1000, (T + 9_500) * 1000)
    }


def test_other_hosts_have_numbers_of_their_own() -> None:
    reading = Reading()
    reading.start()
    reading.prices(prices=[price("1")], number=1, host="h")
    reading.prices(prices=[price("2")], number=700, host="other")
    reading.prices(prices=[price("3")], number=2, host="h")
    reading.beat(T + 10_000)
    assert bids(reading) == ["1", "2", "3"]
    assert reading.out.gaps == []


@given(st.data())
def test_every_number_is_delivered_once_or_told_as_lost(data: st.DataObject) -> None:
    numbers = data.draw(st.permutations(range(1, 12)))
    lost = set(data.draw(st.lists(st.sampled_from(range(1, 11)), max_size=4)))
    sequence = Sequence(1_000)
    sequence.start(0, 1, 0)
    delivered: list[int] = []
    # Packets are shuffled by at most three places, some are lost, some come twice.
    order = sorted(
        (number for number in range(1, 12) if number not in lost), key=lambda one: one + numbers[one - 1] % 4
    )
    for number in order:
        times = data.draw(st.integers(1, 2))
        delivered += [number for _ in range(times) if sequence.take(number, number + 1, 10) is not Verdict.OLD]
    assert sorted(delivered) == sorted(order)
    hole = sequence.take_lost(10_000)
    missing = {number for number in range(1, max(order) + 1) if number not in order}
    assert (hole is not None) == bool(missing)
    if hole is not None:
        assert all(hole.from_number < number < hole.to_number for number in missing)
