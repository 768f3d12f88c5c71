"""The bytes of a segment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.journal.layout import HEADER_BYTES, Header, decode_header, encode_header, encode_record
from collector.journal.reader import next_record

U64 = st.integers(0, 2**64 - 1)


@given(U64, U64)
def test_a_header_reads_back_as_it_was_written(number: int, created_ns: int) -> None:
    raw = encode_header(Header(number, created_ns))

    assert len(raw) == HEADER_BYTES
    assert decode_header(raw) == Header(number, created_ns)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "cut short"),
        (bytes(HEADER_BYTES), "not a journal segment"),
        (encode_header(Header(1, 2))[:-1] + b"\xff", "checksum"),
    ],
)
def test_what_is_no_header_is_refused_in_words(raw: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_header(raw)


def test_a_later_format_is_refused_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.journal.layout.FORMAT_VERSION", 7)
    raw = encode_header(Header(1, 2))
    monkeypatch.undo()

    with pytest.raises(ValueError, match="format 7"):
        decode_header(raw)


@given(st.binary(max_size=60), U64, U64, st.data())
def test_no_record_survives_a_flipped_bit(payload: bytes, session: int, received_ns: int, data: st.DataObject) -> None:
    record = bytearray(encode_record(session, 3, received_ns, payload))
    assert next_record(bytes(record), 0) == 0

    bit = data.draw(st.integers(0, len(record) * 8 - 1))
    record[bit // 8] ^= 1 << bit % 8

    assert next_record(bytes(record), 0) != 0


@given(st.integers(0, 300))
def test_zeros_are_never_a_record(size: int) -> None:
    assert next_record(bytes(size), 0) is None
