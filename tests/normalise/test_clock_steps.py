"""A clock that is set, both ways: what came later stays later, nothing that is missing goes missing, replays agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import asyncpg
import orjson
import pytest

from collector.journal import Journal, JournalOptions, Kind, Position, Record, read
from collector.model import Candle, Instrument, Records
from collector.normalise.apply import apply
from collector.normalise.entries import Started, encode_note
from collector.normalise.normaliser import UNKNOWN_START_NS, Normaliser
from collector.normalise.shown import CLOCK_AHEAD_MAX_NS
from collector.recording.intake import JournalledIntake
from collector.store.batch import Batch
from collector.store.writer import Writer
from collector.venues.adapter import Adapter
from collector.venues.events import Event
from tests.feed.fakes import FakeAdapter, FakeClock
from tests.kit.headers import session_header

A = Instrument("fake", "A")
HEADER = {"venue": "fake", "adapter": "fake", "subscriptions": [["trades", "trades", ["A"]]]}
S = 1_000_000_000
HOUR = 3600 * S
NOON = 1_700_000_000 * S


class CandleParser:
    """Makes the same bar of each frame, which is its close; `ack` acknowledges."""

    def __init__(self) -> None:
        self.last_seen: dict[str, dict[str, int]] = {}

    def frame(self, payload: bytes, received_ns: int, out: Records) -> Sequence[Event]:
        if payload == b"ack":
            return FakeAdapter().parser(session_header({})).frame(payload, received_ns, out)
        text = payload.decode()
        out.candles.append(
            Candle(
                A, NOON // 1000, 86_400, "trade", "1", "999", "0", text, text, None, None, False, received_ns // 1000
            )
        )
        out.items += 1
        return ()

    def rest(
        self, channel: str, params: Mapping[str, str], body: bytes, received_ns: int, out: Records
    ) -> Sequence[Event]:
        return self.frame(body, received_ns, out)

    def beat(self, received_ns: int, out: Records) -> None: ...

    def fork(self) -> CandleParser:
        return CandleParser()


class CandleAdapter:
    @staticmethod
    def parser(_: Mapping[str, Any]) -> CandleParser:
        return CandleParser()


def normaliser() -> Normaliser:
    return Normaliser(lambda _: cast(Adapter[Any], CandleAdapter))


def journal_of(times: Sequence[int], folder: Path) -> Iterator[Record]:
    """One session whose frames were received at these times, as the journal holds it."""
    yield Record(Position(1, 32), Position(1, 33), times[0], 1, Kind.OPEN, orjson.dumps(HEADER))
    for number, received_ns in enumerate(times):
        payload = b"%d" % (number + 1)
        yield Record(Position(1, 33 + number), Position(1, 34 + number), received_ns, 1, Kind.FRAME, payload)


STEPS = {
    "back": [NOON, NOON + S, NOON + S - HOUR, NOON + 2 * S - HOUR, NOON + 3 * S - HOUR],
    "forward": [NOON, NOON + S, NOON + S + HOUR, NOON + 2 * S + HOUR],
    "forward and back": [NOON, NOON + HOUR, NOON + HOUR + S, NOON + 2 * S, NOON + 3 * S],
    "back and forward": [NOON, NOON - HOUR, NOON - HOUR + S, NOON + 3 * S],
    "back over midnight": [NOON - NOON % (24 * HOUR) + S, NOON - NOON % (24 * HOUR) - S],
    "years ahead and back": [NOON + 9 * 365 * 24 * HOUR, NOON, NOON + S],
}


@pytest.mark.parametrize("times", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize("frames_in_a_batch", [1, 2, 9])
@pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)
async def test_the_last_state_of_a_bar_wins_whatever_the_clock_showed_and_a_replay_changes_nothing(
    database: str, tmp_path: Path, times: list[int], frames_in_a_batch: int
) -> None:
    async def write(journal: str | None) -> None:
        writer = Writer(lambda: database, journal)
        of, out, held = normaliser(), Records(), 0
        records = [*journal_of(times, tmp_path)]
        try:
            for record in records:
                apply(record, of, out)
                held += 1
                if held == frames_in_a_batch or record is records[-1]:
                    await writer.commit(Batch(out, Position(1, record.end.offset), NOON))
                    out, held = Records(), 0
        finally:
            await writer.close()

    async def rows() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(database)
        try:
            return [tuple(row) for row in await connection.fetch("select close, received_at from candles")]
        finally:
            await connection.close()

    await write("live")
    live = await rows()
    assert [close for close, _ in live] == [len(times)]
    for _ in range(2):
        await write(None)
        assert await rows() == live


@pytest.mark.parametrize("times", STEPS.values(), ids=STEPS)
def test_times_of_a_bars_states_never_go_back_but_for_a_clock_that_was_years_ahead(
    tmp_path: Path, times: list[int]
) -> None:
    of, out = normaliser(), Records()
    for record in journal_of(times, tmp_path):
        apply(record, of, out)
    shown = [candle.received_us * 1000 for candle in out.candles]
    assert all(one <= other or one - other > CLOCK_AHEAD_MAX_NS for one, other in pairwise(shown))
    assert all(one >= other for one, other in zip(shown, times, strict=True))


async def test_a_reader_that_begins_segments_later_knows_what_the_clock_had_shown(tmp_path: Path) -> None:
    clock = FakeClock()
    journal = await Journal.open(tmp_path, JournalOptions(segment_bytes=2000), now_ns=clock.now_ns)
    intake = JournalledIntake(journal, normaliser(), clock, batch_rows=10**6, queue_bytes=1 << 30)
    session = intake.open(session_header(HEADER))
    latest = clock.now_ns() + HOUR
    session.frame(b"1", latest)
    for number in range(200):
        session.frame(b"%d" % number, clock.now_ns() + number)
    await journal.sync(journal.end)
    of, out = normaliser(), Records()
    for record in journal.read(Position(journal.end.segment - 1, 0)):
        apply(record, of, out)
    await journal.close()
    assert {candle.received_us for candle in out.candles} == {latest // 1000}
    assert len(out.candles) < 100
    assert "clock_latest_ns" not in next(iter(of.sessions.values())).header.own


async def test_numbers_of_sessions_rise_over_restarts_with_a_clock_that_was_set_back(tmp_path: Path) -> None:
    clock = FakeClock()
    clock.now = NOON / 1e9
    opened: list[int] = []
    for _ in range(4):
        journal = await Journal.open(tmp_path, JournalOptions(), now_ns=clock.now_ns)
        journal.append(journal.last_session, Kind.NOTE, clock.now_ns(), encode_note(Started()))
        intake = JournalledIntake(journal, normaliser(), clock, batch_rows=10, queue_bytes=1 << 20)
        for _ in range(2 if len(opened) != 2 else 0):  # a run may open none
            intake.open(session_header(HEADER))
        opened.append(intake._last_session)
        await journal.close()
        clock.now -= 3600
    numbers = [record.session for record in read(tmp_path) if record.kind is Kind.OPEN]
    assert len(numbers) == 6
    assert all(one < other for one, other in pairwise(numbers))


# -- gaps --------------------------------------------------------------------------------------------------------------


def told(out: Records) -> list[tuple[int, int | None]]:
    return [(gap.from_us * 1000 - NOON, None if gap.to_us is None else gap.to_us * 1000 - NOON) for gap in out.gaps]


def test_line_that_is_away_while_the_clock_is_set_back_is_missing_in_both_times() -> None:
    of, out = normaliser(), Records()
    of.open(1, HEADER, NOON, out).frame(b"1", NOON + 10 * S, out)
    of.close(1, "cut", NOON + 11 * S, out)
    out.gaps.clear()
    of.clock_was_set(-HOUR, NOON + 15 * S - HOUR, out)  # five seconds after the last sign of life
    of.open(2, HEADER, NOON + 16 * S - HOUR, out).frame(b"ack", NOON + 20 * S - HOUR, out)
    assert told(out) == [(10 * S, 15 * S), (10 * S - HOUR, None), (10 * S - HOUR, 20 * S - HOUR)]


def test_line_that_lives_while_the_clock_is_set_back_is_missing_nothing_then() -> None:
    of, out = normaliser(), Records()
    session = of.open(1, HEADER, NOON, out)
    session.frame(b"1", NOON + 10 * S, out)
    of.clock_was_set(-HOUR, NOON + 12 * S - HOUR, out)
    assert out.gaps == []
    of.close(1, "cut", NOON + 14 * S - HOUR, out)
    assert told(out) == [(10 * S - HOUR, None)]


def test_line_that_is_away_while_the_clock_is_set_forward_is_missing_from_the_old_time_to_the_new_one() -> None:
    of, out = normaliser(), Records()
    of.open(1, HEADER, NOON, out).frame(b"1", NOON + 10 * S, out)
    of.close(1, "cut", NOON + 11 * S, out)
    of.clock_was_set(HOUR, NOON + HOUR + 12 * S, out)
    of.open(2, HEADER, NOON + HOUR + 13 * S, out).frame(b"ack", NOON + HOUR + 14 * S, out)
    assert told(out) == [(10 * S, None), (10 * S, HOUR + 14 * S)]


def test_daemon_that_was_killed_before_the_clock_was_set_back_has_a_gap_that_ends_after_it_begins() -> None:
    of, out = normaliser(), Records()
    of.open(1, HEADER, NOON, out).frame(b"1", NOON + 10 * S, out)
    of.close_all("killed", NOON - HOUR, out)
    of.open(2, HEADER, NOON - HOUR, out).frame(b"ack", NOON - HOUR + 5 * S, out)
    assert told(out) == [(-HOUR - UNKNOWN_START_NS, None), (-HOUR - UNKNOWN_START_NS, 5 * S - HOUR)]


def test_fork_of_a_normaliser_has_a_clock_of_its_own() -> None:
    of, out = normaliser(), Records()
    of.open(1, HEADER, NOON, out)
    copy = of.fork()
    copy.sessions[1].frame(b"1", NOON + HOUR, out)
    of.sessions[1].frame(b"2", NOON + 2 * S, out)
    assert out.candles[-1].received_us * 1000 == NOON + 2 * S
