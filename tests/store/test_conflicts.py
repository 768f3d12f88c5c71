"""Two writers that store the same rows in different orders."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from collector.model import Rate
from collector.store.batch import TableCount

from .test_writer import T, batch, candle, rows_of, trade, writing

pytestmark = pytest.mark.parametrize("database_server", ["timescaledb"], indirect=True)

SLOW_TRIGGER = """
create function take_time() returns trigger language plpgsql as $$ begin perform pg_sleep(0.2); return new; end $$;
create trigger slow before insert on {table} for each row execute function take_time();
"""


async def slow_down(dsn: str, table: str) -> None:
    """Let each row of a table take so long that two statements are sure to meet."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(SLOW_TRIGGER.format(table=table))
    finally:
        await connection.close()


async def test_deadlock_costs_a_moment_and_no_word_of_a_database_that_is_away(database: str) -> None:
    await slow_down(database, "trades")
    rows = [trade(1), trade(2)]
    with capture_logs() as logs:
        async with writing(database, journal="a") as one, writing(database, journal="b") as other:
            committed = await asyncio.gather(one.commit(batch(*rows)), other.commit(batch(*reversed(rows))))
            again = await asyncio.gather(
                one.commit(batch(trade(3), trade(4), offset=200)), other.commit(batch(trade(4), trade(3), offset=200))
            )
    events = [entry["event"] for entry in logs]
    assert events.count("batch_conflicted") >= 1
    assert "database_away" not in events
    for first, second in (committed, again):
        assert first.counts["trades"] + second.counts["trades"] == TableCount(4, 2, 2, 0)
    assert await rows_of(database, "select count(*) from trades") == [(4,)]


@pytest.mark.parametrize("table", ["trades", "candles", "rates"])
async def test_writers_that_have_met_each_other_take_rows_in_one_order(database: str, table: str) -> None:
    await slow_down(database, table)
    of_table: dict[str, list[Any]] = {
        "trades": [trade(1), trade(2)],
        "candles": [candle("1"), candle("2")._replace(period=300)],
        "rates": [Rate("fmfw", T, "A", "1", T), Rate("fmfw", T, "B", "1", T)],
    }
    rows = of_table[table]
    with capture_logs() as logs:
        async with writing(database, journal="a") as one, writing(database, journal="b") as other:
            one._rows.ordered = other._rows.ordered = True
            await asyncio.gather(one.commit(batch(*rows)), other.commit(batch(*reversed(rows))))
    assert "batch_conflicted" not in [entry["event"] for entry in logs]
    assert await rows_of(database, f"select count(*) from {table}") == [(2,)]


async def test_refused_serialization_is_tried_again_at_once(database: str) -> None:
    async with writing(database) as writer:
        await writer.commit(batch(trade(1)))
        assert writer.database._held._connection is not None
        await writer.database._held._connection.execute("set default_transaction_isolation = 'repeatable read'")
        transact, attempts = writer._transact, 0

        async def disturbed(*given: object, careful: bool) -> object:
            nonlocal attempts
            attempts += 1
            if attempts == 1:
                raise asyncpg.SerializationError("could not serialize access due to concurrent update")
            return await transact(*given, careful=careful)  # type: ignore[arg-type]

        writer._transact = disturbed  # type: ignore[method-assign, assignment]
        await writer.commit(batch(trade(2), offset=200))
        assert attempts == 2
        assert writer.database.connected
    assert await rows_of(database, "select count(*) from trades") == [(2,)]
