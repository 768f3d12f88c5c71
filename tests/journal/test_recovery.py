"""What opening does to a directory that a crash left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from collector.journal import Kind, read
from collector.journal.disk import RealDisk
from collector.journal.layout import HEADER_BYTES, Header, encode_header
from collector.journal.recovery import prepare
from collector.journal.segments import segment_path

WriteSegments = Callable[..., Path]

FEW = [(1, Kind.FRAME, 100 + number, b"frame %d" % number) for number in range(3)]


def payloads(directory: Path) -> list[bytes]:
    return [record.payload for record in read(directory)]


def test_a_tail_torn_at_any_byte_is_cut_and_kept(write_segments: WriteSegments) -> None:
    path = segment_path(write_segments(FEW), 1)
    raw = path.read_bytes()
    last = list(read(path.parent))[-1].position.offset
    for size in range(last + 1, len(raw)):
        path.write_bytes(raw[:size])

        prepared = prepare(path.parent, size, RealDisk())

        assert prepared.next_segment == 2
        assert prepared.last_ns == {1: 101}
        assert prepared.recovery is not None
        assert (prepared.recovery.segment, prepared.recovery.bytes_cut) == (1, size - last)
        assert path.read_bytes() == raw[:last]
        assert prepared.recovery.kept.read_bytes() == raw[last:size]
        assert prepared.recovery.kept.name == f"000000000001.torn-{size}"
        assert payloads(path.parent) == [b"frame 0", b"frame 1"]


def test_a_whole_tail_is_left_alone(write_segments: WriteSegments) -> None:
    directory = write_segments(FEW)

    assert prepare(directory, 7, RealDisk()).recovery is None
    assert [path.name for path in directory.iterdir()] == ["000000000001.seg"]


@pytest.mark.parametrize("tail", [bytes(5000), b"\xff" * 300, b'{"ch": "trades"}' * 50])
def test_what_a_power_cut_leaves_at_the_end_is_cut(write_segments: WriteSegments, tail: bytes) -> None:
    path = segment_path(write_segments(FEW), 1)
    with path.open("ab") as file:
        file.write(tail)

    recovery = prepare(path.parent, 7, RealDisk()).recovery

    assert recovery is not None
    assert recovery.bytes_cut == len(tail)
    assert len(payloads(path.parent)) == 3


def test_damage_before_good_records_is_reported_and_cuts_nothing(write_segments: WriteSegments) -> None:
    path = segment_path(write_segments(FEW), 1)
    raw = bytearray(path.read_bytes())
    raw[HEADER_BYTES + 30] ^= 1
    path.write_bytes(raw)

    with capture_logs() as logs:
        prepared = prepare(path.parent, 7, RealDisk())

    assert prepared.recovery is None
    assert path.read_bytes() == raw
    assert [log["event"] for log in logs] == ["journal_record_corrupt"]


@pytest.mark.parametrize("left", [b"", encode_header(Header(2, 7))[:20], encode_header(Header(2, 7))])
def test_a_segment_without_a_record_leaves_its_number_free(write_segments: WriteSegments, left: bytes) -> None:
    directory = write_segments(FEW)
    segment_path(directory, 2).write_bytes(left)

    prepared = prepare(directory, 7, RealDisk())

    assert prepared.next_segment == 2
    assert prepared.recovery is None
    assert not segment_path(directory, 2).exists()


def test_a_last_segment_of_garbage_is_moved_aside_whole(write_segments: WriteSegments) -> None:
    directory = write_segments(FEW)
    segment_path(directory, 2).write_bytes(bytes(4096))

    prepared = prepare(directory, 7, RealDisk())

    assert prepared.next_segment == 2
    assert prepared.recovery is not None
    assert prepared.recovery.bytes_cut == 4096
    assert prepared.recovery.kept.read_bytes() == bytes(4096)
    assert not segment_path(directory, 2).exists()


def test_unfinished_files_are_removed(write_segments: WriteSegments) -> None:
    directory = write_segments(FEW)
    for name in ("000000000001.seg.zst.tmp", "000000000001.seg.rebuilt"):
        (directory / name).write_bytes(b"half")

    prepare(directory, 7, RealDisk())

    assert [path.name for path in directory.iterdir()] == ["000000000001.seg"]


def test_an_empty_directory_begins_at_the_clock_so_that_no_position_comes_twice(tmp_path: Path) -> None:
    assert prepare(tmp_path, 1_700_000_000_000_000_000, RealDisk()).next_segment == 1_700_000_000
    assert prepare(tmp_path, 5, RealDisk()).next_segment == 1
