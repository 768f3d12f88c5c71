"""What can be audited, told by what was asked for, fetched and deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from collector import venues
from collector.audit.minutes import MINUTE
from collector.audit.subjects import Subject, Terms, subjects, terms
from collector.venues.audit import CandleSums

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SUMS = CandleSums(volume=True)
FETCHED = Terms(SUMS, recorded=False, fetched=True)


class Tables:
    """One instrument, and what is known of its recording."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection

    async def asked(self, stream: str, since: datetime, until: datetime | None) -> None:
        await self.connection.execute(
            "insert into wanted (instrument_id, stream, from_time, to_time) values (1, $1, $2, $3)",
            stream,
            since,
            until,
        )

    async def found(self, of_venue: Terms, now: datetime = NOON + HOUR) -> Subject:
        [one] = await subjects(self.connection, {"v": of_venue}, now=now)
        return one


@pytest.fixture
async def tables(database: str) -> AsyncIterator[Tables]:
    connection = await asyncpg.connect(database)
    try:
        await connection.execute(
            "insert into venues (code) values ('v'); insert into instruments (venue_id, symbol) values (1, 'A');"
        )
        await connection.execute(
            "insert into journal_position (journal, segment, byte_offset, updated_at, received_at)"
            " values ('j', 1, 0, $1, $1)",
            NOON + HOUR,
        )
        yield Tables(connection)
    finally:
        await connection.close()


async def test_trades_without_candles_lack_them_and_are_no_minutes_that_can_be_judged(tables: Tables) -> None:
    await tables.asked("trades", NOON, NOON + HOUR)
    one = await tables.found(FETCHED)
    assert (one.pieces, one.lacking, one.reason) == ((), ((NOON, NOON + HOUR),), "")
    assert one.spans(NOON, NOON + HOUR) == []
    [span] = one.spans(NOON, NOON + HOUR, [(NOON + MINUTE, NOON + 3 * MINUTE)])
    assert (span.since, span.until) == (NOON + MINUTE, NOON + 3 * MINUTE)


async def test_candles_that_are_recorded_for_a_part_of_the_time_are_lacking_for_the_rest(tables: Tables) -> None:
    await tables.asked("trades", NOON, NOON + HOUR)
    await tables.asked("candles", NOON + 10 * MINUTE, NOON + 20 * MINUTE + timedelta(seconds=30))
    one = await tables.found(FETCHED._replace(recorded=True))
    assert one.pieces == ((NOON + 10 * MINUTE, NOON + 20 * MINUTE),)
    assert one.lacking == ((NOON, NOON + 10 * MINUTE), (NOON + 20 * MINUTE, NOON + HOUR))
    assert [one.lacks(NOON + minute * MINUTE) for minute in (0, 10, 19, 20)] == [True, False, False, True]


async def test_candles_of_longer_periods_are_none_that_could_be_compared(tables: Tables) -> None:
    await tables.asked("trades", NOON, NOON + HOUR)
    await tables.asked("candles", NOON, NOON + HOUR)
    one = await tables.found(FETCHED)
    assert (one.pieces, one.lacking) == ((), ((NOON, NOON + HOUR),))


@pytest.mark.parametrize(
    ("of_venue", "stream", "reason"),
    [
        (
            FETCHED._replace(fetched=False, why_not_fetched="so it is"),
            "trades",
            "one-minute candles are not recorded, and so it is",
        ),
        (FETCHED, "candles", "trades are not recorded"),
        (Terms(CandleSums(reason="sums of quotes")), "trades", "sums of quotes"),
    ],
)
async def test_what_cannot_be_audited_says_why(tables: Tables, of_venue: Terms, stream: str, reason: str) -> None:
    await tables.asked(stream, NOON, NOON + HOUR)
    one = await tables.found(of_venue)
    assert (one.pieces, one.lacking, one.reason) == ((), (), reason)


async def test_backfilled_candles_need_not_be_fetched(tables: Tables) -> None:
    await tables.asked("trades", NOON, NOON + HOUR)
    await tables.connection.execute(
        "insert into backfills (instrument_id, stream, detail, from_time, to_time) values (1, 'candles', '1m', $1, $2)",
        NOON,
        NOON + 30 * MINUTE,
    )
    one = await tables.found(FETCHED)
    assert (one.pieces, one.lacking) == (((NOON, NOON + 30 * MINUTE),), ((NOON + 30 * MINUTE, NOON + HOUR),))


@pytest.mark.parametrize("stream", ["trades", "candles"])
async def test_what_was_deleted_for_its_age_proves_nothing(tables: Tables, stream: str) -> None:
    await tables.asked("trades", NOON, NOON + HOUR)
    await tables.asked("candles", NOON, NOON + 30 * MINUTE)
    await tables.connection.execute(
        "insert into retention (stream, keep, keep_backfills, expired_to) values ($1, '1 day', true, $2)",
        stream,
        NOON + 20 * MINUTE,
    )
    one = await tables.found(FETCHED._replace(recorded=True))
    assert one.pieces == ((NOON + 20 * MINUTE, NOON + 30 * MINUTE),)
    assert one.lacking == ((NOON + 30 * MINUTE, NOON + HOUR),)


def configured(adapter: str, *, fetch: bool = True, **settings: Any) -> Terms:
    found = venues.find(adapter)
    return terms({"x": (found, found.settings(**settings))}, fetch=fetch)["x"]


@pytest.mark.parametrize(
    ("made", "recorded", "fetched"),
    [
        (configured("fmfw", symbols=("A",), streams=("trades",)), False, True),
        (configured("fmfw", symbols=("A",), streams=("trades", "candles")), True, True),
        (configured("fmfw", symbols=("A",), streams=("trades", "candles"), candles=("1h",)), False, True),
        (configured("fmfw", symbols=("A",), streams=("trades",), fetch=False), False, False),
        (configured("fmex", streams=("trades",)), False, True),
        (configured("finam", secret="x", symbols=("SBER@MISX",), streams=("trades",)), False, True),
        (configured("metaapi", token="x", accounts={"a": {"id": "1", "symbols": ["EURUSD"]}}), True, False),
    ],
    ids=str,
)
def test_every_venue_whose_candles_are_sums_of_trades_gives_them(made: Terms, recorded: bool, fetched: bool) -> None:
    assert (made.recorded, made.fetched, bool(made.why_not_fetched)) == (recorded, fetched, not fetched)
