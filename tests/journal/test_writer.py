"""The side of the journal that waits for disks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from collector.journal import Kind, Position, read
from collector.journal.segments import numbers
from collector.journal.tail import Tail
from collector.journal.writer import SegmentWriter


@pytest.fixture
def tail() -> Tail:
    return Tail(1, segment_bytes=200, now_ns=lambda: 7)


@pytest.fixture
def writer(tail: Tail, disk: Any, tmp_path: Path) -> Any:
    writer = SegmentWriter(disk, tmp_path, 1, tail.sealed)
    yield writer
    writer.close()


def fill(tail: Tail, count: int) -> None:
    for number in range(count):
        tail.append(1, Kind.FRAME, number, b"x" * 40)
    tail.seal()


def test_a_segment_is_begun_only_when_the_one_before_is_on_the_disk(
    tail: Tail, writer: SegmentWriter, disk: Any, tmp_path: Path
) -> None:
    fill(tail, 4)
    assert tail.end.segment == 2
    disk.failing_syncs = 1

    with pytest.raises(OSError, match="Input/output"):
        writer.write()
    assert numbers(tmp_path) == [1]
    assert writer.durable == Position(1, 0)

    writer.write()
    assert numbers(tmp_path) == [1, 2]
    assert writer.durable.segment == 1
    assert len(list(read(tmp_path))) == 4


def test_a_segment_that_cannot_be_made_is_made_at_the_next_attempt(
    tail: Tail, writer: SegmentWriter, disk: Any, tmp_path: Path
) -> None:
    fill(tail, 10)
    disk.failing_creates = 2
    for _ in range(2):
        with pytest.raises(OSError, match="Too many open files"):
            writer.write_and_sync()

    writer.write_and_sync()

    assert [record.received_ns for record in read(tmp_path)] == list(range(10))
    assert writer.durable == writer.written == tail.end


def test_bytes_are_counted_over_segments(tail: Tail, writer: SegmentWriter) -> None:
    fill(tail, 10)
    writer.write()
    assert writer.written_bytes == tail.total_bytes
    assert writer.durable_bytes < writer.written_bytes

    writer.write_and_sync()
    assert writer.durable_bytes == writer.written_bytes


def test_it_tells_its_life(tail: Tail, writer: SegmentWriter) -> None:
    fill(tail, 1)

    assert repr(writer) == "<SegmentWriter not begun chunks=1>"
    writer.write()
    assert repr(writer) == "<SegmentWriter <SegmentFile 1 open written=97 synced=0> chunks=0>"
