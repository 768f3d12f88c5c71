import pytest

from collector.simulator.fmfw import ledger
from collector.simulator.fmfw.ledger import SNAPSHOT, UPDATE, BookLog, Injected, Ledger, Ranges


def test_ranges_join_what_touches_and_overlaps() -> None:
    ranges = Ranges()
    for first, end in ((10, 12), (12, 15), (20, 22), (8, 11), (14, 21)):
        ranges.add(first, end)
    assert ranges.spans == [[8, 22]]
    assert len(ranges) == 14
    assert 21 in ranges
    assert 22 not in ranges


def test_one_book_state_is_noted_once_however_many_get_it() -> None:
    log = BookLog()
    assert log.add(1, 5, SNAPSHOT, 77)
    assert not log.add(1, 5, SNAPSHOT, 77)
    assert log.add(2, 5, UPDATE, 78)
    assert log.rows(0, 10) == [(1, 5, SNAPSHOT, 77), (2, 5, UPDATE, 78)]
    log.drop_oldest(1)
    assert log.rows(1, 10) == [(2, 5, UPDATE, 78)]


def test_payloads_and_books_leave_oldest_first_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "_PAYLOAD_MAX_BYTES", 1000)
    monkeypatch.setattr(ledger, "_BOOK_STATES_MAX", 20)
    one = Ledger()
    for number in range(100):
        one.sent_payload("ticker/1s", "A", f"payload {number}")
        one.sent_book("orderbook/full", "A", number, number, UPDATE, number)
    log = one.payloads["ticker/1s", "A"]
    assert log.dropped + len(log) == 100
    assert len(log) < 20
    assert log.rows(99, 5) == ["payload 99"]
    assert len(one.books["orderbook/full", "A"]) <= 20


def test_injected_frames_are_counted_apart() -> None:
    one = Ledger()
    one.tally("trades", "A").frames += 5
    one.sent_injected(Injected("garbage", "trades", "A", 2, 1, "x"))
    assert one.totals() == {"frames": 5, "items": 0, "injected_frames": 2, "injected_items": 2, "control_frames": 0}


def test_what_the_history_gave_is_kept_beside_what_sockets_sent_and_gives_way_to_a_later_word() -> None:
    one = Ledger()
    one.gave_trades("A", 3, 7)
    one.gave_trades("A", 5, 5)
    assert one.given_trades["A"].spans == [[3, 7]]
    assert one.trades == {}
    one.sent_bar("candles/M1", "A", 60_000, "sent")
    one.gave_bar("candles/M1", "A", 60_000, "given")
    assert one.given_bars["candles/M1", "A"] == {60_000: "given"}
    one.sent_bar("candles/M1", "A", 60_000, "sent later")
    assert one.given_bars["candles/M1", "A"] == {}
