"""A comparison's temporary tables are gone with their connection, and that is said instead of tried again."""

from __future__ import annotations

import pytest

from collector.store.shadow import ComparisonError, Shadow
from tests.store.test_writer import batch, rows_of, trade, writing


async def test_batches_go_beside_the_tables(database: str) -> None:
    shadow = Shadow(lambda: database)
    try:
        async with writing(database) as writer:
            await writer.commit(batch(trade(1)))
        committed = await shadow.commit(batch(trade(1), trade(2)))
        assert committed.counts["trades"].stored == 2
    finally:
        await shadow.close()
    assert await rows_of(database, "select trade_key from trades") == [(1,)]


async def test_lost_connection_ends_the_comparison(database: str) -> None:
    shadow = Shadow(lambda: database)
    try:
        await shadow.commit(batch(trade(1)))
        await rows_of(
            database,
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()",
        )
        for _ in range(2):
            with pytest.raises(ComparisonError, match=r"cut short.*start it again"):
                await shadow.commit(batch(trade(2)))
    finally:
        await shadow.close()


async def test_data_that_the_database_refuses_is_quarantined_as_by_the_writer(database: str) -> None:
    shadow = Shadow(lambda: database)
    try:
        committed = await shadow.commit(batch(trade(1), trade(2, price="9" * 200000), trade(3)))
        assert committed.counts["trades"] == (3, 2, 0, 1)
    finally:
        await shadow.close()


async def test_database_that_cannot_be_reached_is_named() -> None:
    shadow = Shadow(lambda: "postgresql://collector@127.0.0.1:1/none")
    with pytest.raises(ComparisonError, match=r"no temporary tables.*127\.0\.0\.1"):
        await shadow.commit(batch(trade(1)))
    await shadow.close()
