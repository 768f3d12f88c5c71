"""Reading records back."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.journal import (
    BEGINNING,
    CorruptRecord,
    DamagedJournal,
    JournalOptions,
    Kind,
    MissingSegment,
    Position,
    Record,
    read,
    verify,
)
from collector.journal.archive import Archive
from collector.journal.layout import HEADER_BYTES, RECORD_BYTES, encode_record
from collector.journal.segments import SegmentSource, compressed_path, segment_path, segments

WriteSegments = Callable[..., Path]
Item = tuple[int, Kind, int, bytes]

U64 = st.integers(0, 2**64 - 1)
KINDS = st.sampled_from([Kind.CLOSE, Kind.FRAME, Kind.REST, Kind.BEAT, Kind.NOTE])
ITEMS = st.lists(st.tuples(U64, KINDS, U64, st.binary(max_size=200)), max_size=40)
FEW = [(1, Kind.FRAME, 100 + number, b"frame %d" % number) for number in range(5)]


def items_of(records: Iterable[Record]) -> list[Item]:
    return [(record.session, record.kind, record.received_ns, record.payload) for record in records]


def compress(directory: Path) -> None:
    archive = Archive(directory, JournalOptions(), now_ns=lambda: 0, last_ns={})
    archive.tidy(active=1 << 40, committed=BEGINNING)


def flip(path: Path, offset: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[offset] ^= 0x10
    path.write_bytes(raw)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(items=ITEMS, packed=st.booleans(), segment_bytes=st.integers(100, 2000))
def test_what_was_written_is_read(
    write_segments: WriteSegments, items: list[Item], packed: bool, segment_bytes: int
) -> None:
    directory = write_segments([])
    for path in directory.iterdir():
        path.unlink()
    write_segments(items, segment_bytes=segment_bytes)
    if packed:
        compress(directory)

    records = list(read(directory))

    assert items_of(records) == items
    for record, following in itertools.pairwise(records):
        assert record.end <= following.position < following.end
    middle = len(records) // 2
    if records:
        assert list(read(directory, records[middle].position)) == records[middle:]
        assert list(read(directory, None, records[middle].position)) == records[:middle]
        assert list(read(directory, records[middle].position, records[middle].end)) == [records[middle]]


def test_records_larger_than_a_read_come_whole(write_segments: WriteSegments) -> None:
    items = [(1, Kind.FRAME, 1, bytes([number]) * (1 << 19)) for number in range(3)]
    directory = write_segments(items, segment_bytes=1 << 24)

    assert items_of(read(directory)) == items
    compress(directory)
    assert items_of(read(directory)) == items


def test_a_kind_is_told_as_what_it_is(write_segments: WriteSegments) -> None:
    directory = write_segments([(1, Kind.BEAT, 1, b"")])

    [record] = read(directory)

    assert record.kind is Kind.BEAT


def test_a_flipped_byte_anywhere_costs_one_record_and_no_more(write_segments: WriteSegments) -> None:
    path = segment_path(write_segments(FEW), 1)
    whole = path.read_bytes()
    records = list(read(path.parent))
    for offset in range(HEADER_BYTES, len(whole)):
        flip(path, offset)
        damages: list[DamagedJournal] = []

        survivors = items_of(read(path.parent, on_corrupt=damages.append))

        hit = next(i for i, record in enumerate(records) if record.position.offset <= offset < record.end.offset)
        assert survivors == FEW[:hit] + FEW[hit + 1 :], offset
        if hit < len(FEW) - 1:
            [damage] = damages
            assert isinstance(damage, CorruptRecord)
            assert (damage.segment, damage.offset) == records[hit].position
            assert damage.resumes_at == records[hit + 1].position.offset
        path.write_bytes(whole)


def test_a_flipped_byte_raises_unless_asked_to_go_on(write_segments: WriteSegments) -> None:
    path = segment_path(write_segments(FEW), 1)
    place = list(read(path.parent))[2].position
    flip(path, place.offset + RECORD_BYTES)

    records = read(path.parent)

    assert [next(records).payload, next(records).payload] == [b"frame 0", b"frame 1"]
    with pytest.raises(CorruptRecord, match="checksum") as caught:
        next(records)
    assert (caught.value.segment, caught.value.offset) == place


def test_two_damaged_records_in_a_row_cost_two(write_segments: WriteSegments) -> None:
    path = segment_path(write_segments(FEW), 1)
    for record in list(read(path.parent))[1:3]:
        flip(path, record.position.offset + 3)
    damages: list[DamagedJournal] = []

    assert items_of(read(path.parent, on_corrupt=damages.append)) == [FEW[0], *FEW[3:]]
    assert len(damages) in (1, 2)


def test_a_damaged_header_costs_no_record(write_segments: WriteSegments) -> None:
    path = segment_path(write_segments(FEW), 1)
    flip(path, 20)
    damages: list[DamagedJournal] = []

    assert items_of(read(path.parent, on_corrupt=damages.append)) == FEW
    assert [damage.reason for damage in damages] == ["the header's checksum does not match"]


def test_a_segment_under_the_name_of_another_is_told(write_segments: WriteSegments) -> None:
    directory = write_segments(FEW)
    segment_path(directory, 1).rename(segment_path(directory, 2))

    with pytest.raises(CorruptRecord, match="segment 1 under another name"):
        list(read(directory))


def test_a_kind_that_does_not_exist_is_no_record(write_segments: WriteSegments) -> None:
    path = segment_path(write_segments(FEW), 1)
    with path.open("ab") as file:
        file.write(encode_record(1, 99, 7, b"from nowhere"))

    assert items_of(read(path.parent, on_corrupt=lambda damage: None)) == FEW
    with pytest.raises(CorruptRecord):
        list(read(path.parent))


def test_garbage_between_records_is_passed_over(write_segments: WriteSegments) -> None:
    path = segment_path(write_segments(FEW), 1)
    raw = path.read_bytes()
    place = list(read(path.parent))[2].position.offset
    path.write_bytes(raw[:place] + b"\x01\x02\x03" * 100 + raw[place:])
    damages: list[DamagedJournal] = []

    assert items_of(read(path.parent, on_corrupt=damages.append)) == FEW
    assert [damage.offset for damage in damages] == [place]


@pytest.mark.timeout(20)
def test_megabytes_of_garbage_are_passed_over_in_seconds(write_segments: WriteSegments) -> None:
    path = segment_path(write_segments(FEW, segment_bytes=1 << 26), 1)
    garbage = random.Random(7).randbytes(4 << 20)
    late = encode_record(9, Kind.FRAME, 9, b"after all")
    with path.open("ab") as file:
        file.write(garbage + late)

    assert items_of(read(path.parent, on_corrupt=lambda damage: None))[-1] == (9, Kind.FRAME, 9, b"after all")


def test_the_unfinished_end_of_the_last_segment_is_not_there_yet(write_segments: WriteSegments) -> None:
    path = segment_path(write_segments(FEW), 1)
    raw = path.read_bytes()
    last = list(read(path.parent))[-1].position.offset
    for size in range(last, len(raw)):
        path.write_bytes(raw[:size])

        assert items_of(read(path.parent)) == FEW[:-1], size


@pytest.mark.parametrize("missing", [1, 20, 30, 60])
def test_a_file_that_grows_while_its_end_is_looked_at_is_not_damaged(
    write_segments: WriteSegments, monkeypatch: pytest.MonkeyPatch, missing: int
) -> None:
    path = segment_path(write_segments(FEW), 1)
    raw = path.read_bytes()
    path.write_bytes(raw[:-missing])
    read_once = SegmentSource.read

    def read_and_grow(self: SegmentSource, size: int) -> bytes:
        data = read_once(self, size)
        if not data:
            path.write_bytes(raw)
        return data

    monkeypatch.setattr(SegmentSource, "read", read_and_grow)

    seen = list(read(path.parent))

    assert items_of(seen) == FEW[: len(seen)]
    assert len(seen) < len(FEW)
    assert items_of(read(path.parent, seen[-1].end)) == FEW[len(seen) :]


def test_an_earlier_segment_that_ends_early_is_damage(write_segments: WriteSegments) -> None:
    directory = write_segments(FEW)
    write_segments(FEW, first=2)
    path = segment_path(directory, 1)
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(CorruptRecord, match="cut short"):
        list(read(directory))

    assert len(list(read(directory, on_corrupt=lambda damage: None))) == 9


def test_an_end_inside_a_record_is_an_error_and_not_a_short_answer(write_segments: WriteSegments) -> None:
    directory = write_segments(FEW)

    with pytest.raises(CorruptRecord, match="cut short"):
        list(read(directory, None, Position(1, HEADER_BYTES + RECORD_BYTES + 1)))


@pytest.mark.parametrize("end", [BEGINNING, Position(1, 0), Position(1, HEADER_BYTES)])
def test_nothing_lies_before_the_first_record(write_segments: WriteSegments, end: Position) -> None:
    directory = write_segments(FEW)

    assert list(read(directory, None, end)) == []
    assert list(read(directory, Position(1, HEADER_BYTES + 5), end)) == []


def test_a_missing_segment_is_told(write_segments: WriteSegments) -> None:
    for number in (3, 4, 5, 6):
        directory = write_segments(FEW, first=number)
    segment_path(directory, 4).unlink()
    segment_path(directory, 5).unlink()

    with pytest.raises(MissingSegment, match="up to 5") as caught:
        list(read(directory))
    assert (caught.value.segment, caught.value.last) == (4, 5)
    damages: list[DamagedJournal] = []
    assert len(list(read(directory, on_corrupt=damages.append))) == 10
    assert len(damages) == 1


def test_a_start_whose_segment_is_gone_is_told_but_the_beginning_is_wherever_it_is(
    write_segments: WriteSegments,
) -> None:
    directory = write_segments(FEW, first=3)

    with pytest.raises(MissingSegment):
        list(read(directory, Position(2, 40)))
    assert len(list(read(directory, BEGINNING))) == 5
    assert list(read(directory, Position(9, 40))) == []


def test_a_damaged_compressed_file_gives_what_can_be_had_and_says_so(write_segments: WriteSegments) -> None:
    source = random.Random(3)
    items = [(1, Kind.FRAME, 1, source.randbytes(60_000)) for _ in range(40)]
    directory = write_segments(items, segment_bytes=1 << 24)
    compress(directory)
    path = compressed_path(directory, 1)
    raw = path.read_bytes()

    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(CorruptRecord, match="ends after"):
        list(read(directory))
    some = items_of(read(directory, on_corrupt=lambda damage: None))
    assert some == items[: len(some)]
    assert len(some) > 10

    path.write_bytes(b"\0" * 20)
    with pytest.raises(CorruptRecord, match="no summary"):
        list(read(directory))


def test_verify_counts_records_and_names_every_fault(write_segments: WriteSegments) -> None:
    for number in (1, 2, 4):
        directory = write_segments(FEW, first=number)
    flip(segment_path(directory, 2), HEADER_BYTES + 30)

    first, second, third = verify(directory)

    assert (first.records, first.faults) == (5, ())
    assert second.records == 4
    assert isinstance(second.faults[0], CorruptRecord)
    assert third.records == 5
    assert isinstance(third.faults[0], MissingSegment)


def test_segments_are_listed_with_what_is_known_of_them(write_segments: WriteSegments) -> None:
    directory = write_segments(FEW)
    (directory / "notes.txt").write_text("not a segment")
    [plain] = segments(directory)
    archive = Archive(directory, JournalOptions(), now_ns=lambda: 0, last_ns={1: 104})
    archive.tidy(active=2, committed=BEGINNING)
    [packed] = segments(directory)

    assert (plain.number, plain.compressed, plain.last_received_ns) == (1, False, None)
    assert (packed.number, packed.compressed, packed.last_received_ns) == (1, True, 104)
    assert plain.created_ns == packed.created_ns > 0
    assert packed.bytes == packed.path.stat().st_size
