"""How a stream of rows is cut into blocks."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from collector.data.blocks import Cutter

VALUES = st.text(alphabet='ab,"\n', max_size=12)


def written(rows: list[list[str]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    return out.getvalue().encode()


def cut(text: bytes, size: int, piece: int) -> list[bytes]:
    cutter = Cutter(size)
    blocks = [block for start in range(0, len(text), piece) for block in cutter.add(text[start : start + piece])]
    return [*blocks, cutter.rest()]


@given(st.lists(st.lists(VALUES, min_size=2, max_size=2), max_size=30), st.integers(1, 60), st.integers(1, 40))
def test_blocks_are_whole_rows_and_do_not_depend_on_how_the_bytes_came(
    rows: list[list[str]], size: int, piece: int
) -> None:
    text = written(rows)

    blocks = cut(text, size, piece)

    assert b"".join(blocks) == text
    assert [row for block in blocks for row in csv.reader(io.StringIO(block.decode(), newline=""))] == rows
    # What is left at the end may be a whole block or more; everything before it is the same however it came.
    assert blocks[:-1] == cut(text, size, len(text) or 1)[:-1]


def test_a_row_larger_than_a_block_is_a_block() -> None:
    text = b'"' + b"x\n" * 50 + b'"\n1\n2\n'

    assert cut(text, 10, 7) == [text[:103], b"1\n2\n"]


def test_blocks_are_no_larger_than_asked_where_rows_are_small() -> None:
    blocks = cut(b"12345\n" * 100, 20, 1000)

    assert {len(block) for block in blocks[:-1]} == {18}
