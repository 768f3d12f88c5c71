"""What opening does to a directory that a crash left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from collector.journal import Kind, Position, Recovery, read
from collector.journal.archive import Archive
from collector.journal.disk import Disk, RealDisk
from collector.journal.layout import HEADER_BYTES, Header, encode_header
from collector.journal.options import JournalOptions
from collector.journal.recovery import Prepared, prepare
from collector.journal.segments import segment_path
from collector.model import BEGINNING

WriteSegments = Callable[..., Path]

FEW = [(1, Kind.FRAME, 100 + number, b"frame %d" % number) for number in range(3)]


def seen_to(directory: Path, now_ns: int, disk: Disk | None = None) -> tuple[Prepared, Recovery | None]:
    """Do what a process does before it begins a segment."""
    prepared = prepare(directory, now_ns, disk or RealDisk())
    if prepared.remains is None:
        return prepared, None
    prepared.remains.secure()
    prepared.remains.clear()
    return prepared, prepared.remains.recovery


def payloads(directory: Path) -> list[bytes]:
    return [record.payload for record in read(directory)]


def test_a_tail_torn_at_any_byte_is_cut_and_kept(write_segments: WriteSegments) -> None:
    path = segment_path(write_segments(FEW), 1)
    raw = path.read_bytes()
    last = list(read(path.parent))[-1].position.offset
    for size in range(last + 1, len(raw)):
        path.write_bytes(raw[:size])

        prepared, recovery = seen_to(path.parent, size)

        assert prepared.next_segment == 2
        assert prepared.last_ns == {1: 101}
        assert prepared.end == Position(1, last)
        assert recovery is not None
        assert (recovery.segment, recovery.bytes_cut) == (1, size - last)
        assert path.read_bytes() == raw[:last]
        assert recovery.kept.read_bytes() == raw[last:size]
        assert recovery.kept.name == f"000000000001.torn-{size}"
        assert payloads(path.parent) == [b"frame 0", b"frame 1"]


def test_a_whole_tail_is_left_alone(write_segments: WriteSegments) -> None:
    directory = write_segments(FEW)

    assert seen_to(directory, 7)[1] is None
    assert [path.name for path in directory.iterdir()] == ["000000000001.seg"]


@pytest.mark.parametrize("tail", [bytes(5000), b"\xff" * 300, b'{"ch": "trades"}' * 50])
def test_what_a_power_cut_leaves_at_the_end_is_cut(write_segments: WriteSegments, tail: bytes) -> None:
    path = segment_path(write_segments(FEW), 1)
    with path.open("ab") as file:
        file.write(tail)

    _, recovery = seen_to(path.parent, 7)

    assert recovery is not None
    assert recovery.bytes_cut == len(tail)
    assert len(payloads(path.parent)) == 3


def test_damage_before_good_records_is_reported_and_cuts_nothing(write_segments: WriteSegments) -> None:
    path = segment_path(write_segments(FEW), 1)
    raw = bytearray(path.read_bytes())
    raw[HEADER_BYTES + 30] ^= 1
    path.write_bytes(raw)

    with capture_logs() as logs:
        _, recovery = seen_to(path.parent, 7)

    assert recovery is None
    assert path.read_bytes() == raw
    assert [log["event"] for log in logs] == ["journal_record_corrupt"]


@pytest.mark.parametrize("left", [b"", encode_header(Header(2, 7))[:20], encode_header(Header(2, 7))])
def test_a_segment_without_a_record_leaves_its_number_free(write_segments: WriteSegments, left: bytes) -> None:
    directory = write_segments(FEW)
    segment_path(directory, 2).write_bytes(left)

    prepared, recovery = seen_to(directory, 7)

    assert prepared.next_segment == 2
    assert recovery is None
    assert not segment_path(directory, 2).exists()


def test_a_last_segment_of_garbage_is_moved_aside_whole(write_segments: WriteSegments) -> None:
    directory = write_segments(FEW)
    segment_path(directory, 2).write_bytes(bytes(4096))

    prepared, recovery = seen_to(directory, 7)

    assert prepared.next_segment == 2
    assert recovery is not None
    assert recovery.bytes_cut == 4096
    assert recovery.kept.read_bytes() == bytes(4096)
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


def test_a_tail_is_cut_as_soon_as_the_disk_lets_it_be_done(write_segments: WriteSegments, disk: Any) -> None:
    path = segment_path(write_segments(FEW), 1)
    raw = path.read_bytes()
    path.write_bytes(raw + b"half a record")
    disk.free = 5
    prepared = prepare(path.parent, 7, disk)
    assert prepared.remains is not None
    prepared.remains.secure()
    for _ in range(2):
        with pytest.raises(OSError, match="No space left"):
            prepared.remains.clear()
    assert prepared.end == Position(1, len(raw))
    assert path.read_bytes() == raw + b"half a record"

    disk.free = None
    prepared.remains.clear()
    prepared.remains.clear()

    assert path.read_bytes() == raw
    assert [torn.read_bytes() for torn in path.parent.glob("*.torn-*")] == [b"half a record"]


def test_what_a_process_did_not_live_to_sync_is_synced_by_the_next(write_segments: WriteSegments, disk: Any) -> None:
    path = segment_path(write_segments(FEW), 1)
    raw = path.read_bytes()
    prepared = prepare(path.parent, 7, disk)
    assert prepared.remains is not None
    disk.failing_syncs = 1  # and its pages are lost
    with pytest.raises(OSError, match="Input/output"):
        prepared.remains.secure()
    suspected = prepared.remains.suspect
    assert suspected

    prepared.remains.secure()

    assert not prepared.remains.suspect
    assert path.read_bytes() == raw


SESSIONS = [(41, Kind.OPEN, 1, b"{}"), (42, Kind.OPEN, 2, b"{}"), (42, Kind.CLOSE, 3, b"{}"), (41, Kind.FRAME, 4, b"x")]


@pytest.mark.parametrize("last", ["whole", "compressed", "empty", "header only", "garbage", "without a session"])
def test_the_last_session_is_known_whatever_the_last_segment_holds(write_segments: WriteSegments, last: str) -> None:
    directory = write_segments(SESSIONS)
    match last:
        case "compressed":
            archive = Archive(directory, JournalOptions(), now_ns=lambda: 0, last_ns={})
            archive.tidy(2, BEGINNING)
            assert not segment_path(directory, 1).exists()
        case "empty":
            segment_path(directory, 2).touch()
        case "header only":
            segment_path(directory, 2).write_bytes(encode_header(Header(2, 7)))
        case "garbage":
            segment_path(directory, 2).write_bytes(bytes(4096))
        case "without a session":
            write_segments([(0, Kind.NOTE, 5, b"{}")], first=2)

    assert prepare(directory, 7, RealDisk()).last_session == 42


def test_a_session_that_was_over_before_a_segment_began_is_known_to_it(write_segments: WriteSegments) -> None:
    frames = [(41, Kind.FRAME, 5 + number, bytes(100)) for number in range(2)]
    directory = write_segments([*SESSIONS, *frames], segment_bytes=200)
    assert [record.session for record in read(directory, Position(2, 0)) if record.kind is Kind.FRAME] == [41, 41]

    assert prepare(directory, 7, RealDisk()).last_session == 42


def test_the_last_session_is_known_though_what_tells_it_is_torn_away(write_segments: WriteSegments) -> None:
    frames = [(41, Kind.FRAME, 5 + number, bytes(100)) for number in range(2)]
    directory = write_segments([*SESSIONS, *frames], segment_bytes=200)
    [carried, *_] = read(directory, Position(3, 0))
    assert carried.kind is Kind.CARRY
    with segment_path(directory, 3).open("r+b") as file:
        file.truncate(carried.end.offset)

    assert prepare(directory, 7, RealDisk()).last_session == 42
