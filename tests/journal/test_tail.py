"""The end of the journal in memory."""

from __future__ import annotations

import pytest

from collector.journal import JournalClosed, Kind, PayloadTooLarge, Position
from collector.journal.layout import HEADER_BYTES, PAYLOAD_MAX_BYTES, RECORD_BYTES
from collector.journal.tail import Tail


class Clock:
    now_ns = 1_000

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tail(clock: Clock) -> Tail:
    return Tail(5, segment_bytes=200, now_ns=clock)


def test_the_place_of_a_record_is_known_at_once(tail: Tail) -> None:
    assert tail.end == Position(5, HEADER_BYTES)

    tail.append(1, Kind.FRAME, 10, b"abc")

    assert tail.end == Position(5, HEADER_BYTES + RECORD_BYTES + 3)


def test_a_segment_is_filled_to_its_last_byte_and_no_further(tail: Tail) -> None:
    tail.append(1, Kind.FRAME, 10, bytes(200 - HEADER_BYTES - RECORD_BYTES))
    assert tail.end == Position(5, 200)

    tail.append(1, Kind.FRAME, 11, b"")

    assert tail.end == Position(6, HEADER_BYTES + RECORD_BYTES)


def test_a_record_larger_than_a_segment_gets_one_of_its_own(tail: Tail) -> None:
    tail.append(1, Kind.FRAME, 10, bytes(1000))
    assert tail.end == Position(5, HEADER_BYTES + RECORD_BYTES + 1000)

    tail.append(1, Kind.FRAME, 11, b"")

    assert tail.end.segment == 6


def test_sealed_chunks_of_a_segment_are_its_file(tail: Tail) -> None:
    for number in range(20):
        tail.append(1, Kind.FRAME, number, bytes(30))
        if number % 3 == 0:
            tail.seal()
    tail.seal()

    sizes: dict[int, int] = {}
    for chunk in tail.sealed:
        sizes[chunk.segment] = sizes.get(chunk.segment, 0) + len(chunk.data)
    assert list(sizes) == sorted(sizes)
    assert sizes[tail.end.segment] == tail.end.offset
    assert sum(sizes.values()) == tail.total_bytes
    assert max(sizes.values()) <= 200


def test_a_payload_over_the_limit_is_refused_and_leaves_nothing_behind(tail: Tail) -> None:
    end = tail.end

    with pytest.raises(PayloadTooLarge, match=str(PAYLOAD_MAX_BYTES)):
        tail.append(1, Kind.FRAME, 10, bytes(PAYLOAD_MAX_BYTES + 1))

    assert tail.end == end


def test_only_an_old_segment_that_holds_something_gives_way_and_only_to_a_record(tail: Tail, clock: Clock) -> None:
    clock.now_ns += 100
    tail.expire(100)
    tail.append(1, Kind.FRAME, 10, b"")
    assert tail.end.segment == 5

    tail.expire(101)
    tail.append(1, Kind.FRAME, 11, b"")
    assert tail.end.segment == 5

    clock.now_ns += 100
    tail.expire(100)
    assert tail.end.segment == 5
    tail.append(1, Kind.FRAME, 12, b"")
    assert tail.end.segment == 6


def test_the_end_of_a_full_segment_is_told_before_the_next_begins(tail: Tail) -> None:
    told: list[tuple[Position, Position]] = []
    tail.on_full = lambda position: told.append((position, tail.end))
    tail.append(1, Kind.FRAME, 10, bytes(100))
    end = tail.end
    assert told == []

    tail.append(1, Kind.FRAME, 11, bytes(100))

    assert told == [(end, end)]
    assert tail.end.segment == 6


def test_a_closed_tail_takes_nothing(tail: Tail) -> None:
    tail.append(1, Kind.FRAME, 10, b"")
    end = tail.end
    tail.close()

    tail.expire(0)
    with pytest.raises(JournalClosed):
        tail.append(1, Kind.FRAME, 11, b"")

    assert tail.end == end
