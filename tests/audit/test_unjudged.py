"""What cannot be judged is told by venue, symbol and stream, with the reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from collector.audit.subjects import NO_CANDLES, WHOLE_BOOKS, Terms, subjects
from collector.audit.unjudged import BY_COMMAND, NOTHING_TO_COMPARE, Unjudged, UnjudgedGroup, grouped, unjudged
from collector.venues.audit import CandleSums

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SUMS = CandleSums(volume=True)
TERMS = {
    "rebuilt": Terms(SUMS),
    "whole": Terms(SUMS, recorded=False, why_not_fetched="audit.fetch_candles is false", why_no_books=WHOLE_BOOKS),
    "quotes": Terms(CandleSums(reason="its candles sum up quotes")),
}


@pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)
async def test_each_stream_that_is_recorded_and_not_judged_is_told_with_its_reason(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        await connection.execute(
            "insert into venues (code) values ('rebuilt'), ('whole'), ('quotes');"
            "insert into instruments (venue_id, symbol) select venue_id, s from venues, unnest(array['A', 'B']) s;"
        )
        await connection.execute(
            "insert into journal_position (journal, segment, byte_offset, updated_at, received_at)"
            " values ('j', 1, 0, $1, $1)",
            NOON + HOUR,
        )
        await connection.execute(
            "insert into wanted (instrument_id, stream, from_time) select instrument_id, stream, $1::timestamptz"
            " from v_instruments, unnest(array['trades', 'books', 'ticks']) stream where symbol = 'A'",
            NOON,
        )
        await connection.execute(
            "insert into wanted (instrument_id, stream, from_time) select instrument_id, 'candles', $1::timestamptz"
            " from v_instruments where symbol = 'A' and venue = 'rebuilt'",
            NOON,
        )
        await connection.execute(
            "insert into wanted (instrument_id, stream, from_time, to_time)"
            " select instrument_id, 'ticks', $1::timestamptz, $1::timestamptz from v_instruments where symbol = 'B'",
            NOON - HOUR,
        )
        found = await subjects(connection, TERMS, now=NOON + HOUR)
        told = await unjudged(connection, found, TERMS, NOON, rebuilt=True)
        running = await unjudged(connection, found, TERMS, NOON, rebuilt=False)
        narrow = await unjudged(connection, found, TERMS, NOON, ["whole"], ["A%"], rebuilt=True)
        early = await unjudged(connection, found, TERMS, NOON - 2 * HOUR, rebuilt=True)
    finally:
        await connection.close()

    ticks = [Unjudged(venue, "A", "ticks", NOTHING_TO_COMPARE) for venue in ("quotes", "rebuilt", "whole")]
    whole = [
        Unjudged("whole", "A", "books", WHOLE_BOOKS),
        Unjudged("whole", "A", "trades", f"{NO_CANDLES}, and audit.fetch_candles is false"),
    ]
    assert sorted(told) == sorted([*ticks, *whole, Unjudged("quotes", "A", "trades", "its candles sum up quotes")])
    assert set(running) - set(told) == {Unjudged(venue, "A", "books", BY_COMMAND) for venue in ("rebuilt", "quotes")}
    assert sorted(narrow) == sorted([*whole, ticks[2]])
    assert {one.symbol for one in early if one.stream == "ticks"} == {"A", "B"}


def test_those_with_a_reason_in_common_are_one_group() -> None:
    told = [Unjudged("v", symbol, "ticks", NOTHING_TO_COMPARE) for symbol in ("A", "B")]
    other = Unjudged("v", "C", "trades", "refused")

    assert grouped([*told, other]) == [
        UnjudgedGroup("v", "ticks", NOTHING_TO_COMPARE, ("A", "B")),
        UnjudgedGroup("v", "trades", "refused", ("C",)),
    ]
