"""Live frames on their way into the journal and the parsers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from collector.clock import SystemClock
from collector.feed.intake import NotStrippedError
from collector.journal import Journal, JournalOptions, Kind, read
from collector.model import Records
from collector.normalise.apply import apply
from collector.normalise.normaliser import Normaliser
from collector.recording.intake import JournalledIntake
from collector.venues.header import SessionHeader
from collector.venues.roles import Parser
from tests.feed.fakes import FakeAdapter
from tests.kit.headers import session_header

HEADER = {"venue": "fake", "adapter": "fake", "worker": "fake-1", "url": "ws://fake", "subscriptions": []}


class Adapter(FakeAdapter):
    def parser(self, header: SessionHeader) -> Parser:
        if "broken" in header.own:
            raise KeyError("a bug")
        return super().parser(header)


@asynccontextmanager
async def journalled(folder: Path) -> AsyncIterator[JournalledIntake]:
    journal = await Journal.open(folder, JournalOptions(), now_ns=SystemClock.now_ns)
    try:
        normaliser = Normaliser(lambda _: Adapter())
        yield JournalledIntake(journal, normaliser, SystemClock(), batch_rows=1000, queue_bytes=1 << 20)
        await journal.flush()
    finally:
        await journal.close()


def strip_of(error: Exception) -> Callable[[bytes], bytes | None]:
    def strip(payload: bytes) -> bytes | None:
        if payload.startswith(b"balance"):
            raise error
        return payload

    return strip


async def test_message_that_cannot_be_stripped_leaves_no_byte_and_is_counted_live_and_from_the_journal(
    tmp_path: Path,
) -> None:
    async with journalled(tmp_path) as intake:
        session = intake.open(session_header(HEADER), strip=strip_of(ValueError("balance 1000000")))
        session.frame(b"one", 1)
        with pytest.raises(NotStrippedError) as lost:
            session.frame(b"balance 1000000", 2)
        assert isinstance(lost.value.__cause__, ValueError)
        session.frame(b"two", 3)
        session.close("stopped")
        live = intake.out
    records = list(read(tmp_path))
    assert not [record for record in records if b"1000000" in record.payload]
    assert [record.payload for record in records if record.kind is Kind.FRAME] == [b"one", b"two"]

    normaliser, again = Normaliser(lambda _: Adapter()), Records()
    for record in records:
        apply(record, normaliser, again)
    assert again.quarantine == live.quarantine
    (told,) = live.quarantine
    assert (told.payload, told.items) == (b"", 1)
    assert told.error == "15 bytes not kept: ValueError while account data was taken out of them"
    assert again.items == live.items == 1
    assert again.sessions[-1].frames == live.sessions[-1].frames == 3


async def test_session_whose_parser_cannot_be_made_is_not_in_the_journal(tmp_path: Path) -> None:
    async with journalled(tmp_path) as intake:
        with pytest.raises(KeyError):
            intake.open(session_header({**HEADER, "broken": True}))
        assert not intake.normaliser.sessions
        intake.open(session_header(HEADER)).close("stopped")
    kinds = [record.kind for record in read(tmp_path)]
    assert kinds == [Kind.OPEN, Kind.CLOSE]
