"""A session's number is its own, whatever becomes of the clock and of the journal's last segment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from collector.journal import BEGINNING, Journal, JournalOptions, Kind
from collector.journal.archive import Archive
from collector.journal.layout import Header, encode_header
from collector.journal.segments import segment_path, segments
from collector.model import Records
from collector.normalise.apply import apply
from collector.normalise.normaliser import Normaliser
from collector.recording.intake import JournalledIntake
from collector.venues.adapter import Adapter
from tests.kit.headers import session_header
from tests.kit.watched import WallClock

from .test_recorder import HEADER, NumberAdapter

OPTIONS = JournalOptions(segment_bytes=300, compress=False)


@asynccontextmanager
async def begun(folder: Path) -> AsyncIterator[JournalledIntake]:
    """A run of a collector, always at the same time of the clock."""
    clock = WallClock()
    journal = await Journal.open(folder, OPTIONS, now_ns=clock.now_ns)
    try:
        yield JournalledIntake(journal, new_normaliser(), clock, batch_rows=10, queue_bytes=1 << 20)
    finally:
        await journal.close()


def new_normaliser() -> Normaliser:
    return Normaliser(lambda _: cast(Adapter[Any], NumberAdapter))


def opened(intake: JournalledIntake) -> Any:
    return intake.open(session_header(HEADER))._session.session_id


@pytest.mark.parametrize(
    "last", ["as it was", "compressed", "header only", "empty", "garbage", "of a session that is over", "gone"]
)
async def test_a_clock_that_was_set_back_gives_no_number_twice(tmp_path: Path, last: str) -> None:
    async with begun(tmp_path) as intake:
        first = opened(intake)
        second = intake.open(session_header(HEADER))
        second.frame(b"1", 1)
        if last == "of a session that is over":
            second.close("stopped")
            for _ in range(10):
                intake.append(first, Kind.FRAME, 1, bytes(100))
    newest = segments(tmp_path)[-1].number
    match last:
        case "compressed":
            archive = Archive(tmp_path, JournalOptions(), now_ns=lambda: 0, last_ns={})
            await asyncio.to_thread(archive.tidy, newest + 1, BEGINNING)
            assert segments(tmp_path)[-1].compressed
        case "header only":
            segment_path(tmp_path, newest + 1).write_bytes(encode_header(Header(newest + 1, 1)))
        case "empty":
            segment_path(tmp_path, newest + 1).touch()
        case "garbage":
            segment_path(tmp_path, newest + 1).write_bytes(bytes(4096))
        case "gone":
            (tmp_path / f"{newest + 1:012d}.torn-1").write_bytes(bytes(100))

    async with begun(tmp_path) as intake:
        third = intake.open(session_header(HEADER))
        third.frame(b"2", 2)
        number = third._session.session_id

    assert number > second._session.session_id > first
    # What follows from that: a reader finds each frame with its own session.
    normaliser, rows = new_normaliser(), Records()
    journal = await Journal.open(tmp_path, OPTIONS, now_ns=WallClock().now_ns)
    for record in journal.read():
        apply(record, normaliser, rows)
    await journal.close()
    assert len({session.session_id for session in rows.sessions}) == 3
