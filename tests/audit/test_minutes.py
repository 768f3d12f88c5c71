"""Minutes against candles, on both kinds of server: one rule of a verdict at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from collector.audit.losses import Alarm, record
from collector.audit.minutes import FULL, MINUTE, MinuteAudit, Span
from collector.store.named import queries
from collector.venues.audit import CandleSums

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
VOLUME = CandleSums(volume=True)


class Market:
    """One instrument's rows, written by hand."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self._keys = iter(range(1, 1000))

    async def trade(self, second: float, price: str = "100", size: str = "1") -> None:
        await self.connection.execute(
            "insert into trades values ($1, 1, $2, null, $3, $4, 1, $1)",
            NOON + timedelta(seconds=second),
            next(self._keys),
            Decimal(price),
            Decimal(size),
        )

    async def candle(
        self,
        volume: str | None,
        *,
        minute: int = 0,
        prices: tuple[str, ...] = ("100",) * 4,
        trades: int | None = None,
        closed: bool = True,
    ) -> None:
        await self.connection.execute(
            "insert into candles values ($1, 1, 60, 'trade', $2, $3, $4, $5, $6, null, $7, $8, $1)",
            NOON + minute * MINUTE,
            *map(Decimal, prices),
            None if volume is None else Decimal(volume),
            trades,
            closed,
        )

    async def gap(self, state: str, *, cause: str = "disconnect", stream: str = "trades", rows: int = 0) -> int:
        """From the tenth to the twentieth second of the first minute."""
        number: int = await self.connection.fetchval(
            "insert into gaps (instrument_id, stream, from_time, to_time, cause, state, filled_rows)"
            " values (1, $1, $2, $3, $4, $5, $6) returning gap_id",
            stream,
            NOON + timedelta(seconds=10),
            NOON + timedelta(seconds=20),
            cause,
            state,
            rows,
        )
        return number

    async def verdicts(self, minutes: int = 1, sums: CandleSums = FULL, now: datetime = LATER) -> list[tuple[Any, ...]]:
        await MinuteAudit(self.connection).judge([Span(1, NOON, NOON + minutes * MINUTE, sums)], now)
        rows = await self.connection.fetch("select verdict, differs from audits order by time")
        return [tuple(row) for row in rows]

    async def unexplained(self) -> list[Alarm]:
        return [Alarm.of(row) for row in await self.connection.fetch(queries("audit")["unexplained"], NOON, 100)]


@pytest.fixture
async def market(database: str) -> AsyncIterator[Market]:
    connection = await asyncpg.connect(database)
    try:
        await connection.execute(
            "insert into venues (code) values ('v'); insert into instruments (venue_id, symbol) values (1, 'A')"
        )
        yield Market(connection)
    finally:
        await connection.close()


async def test_sums_that_are_equal_to_the_last_digit_are_complete(market: Market) -> None:
    await market.trade(0, "100", "0.1")
    await market.trade(30, "103.50", "0.2")
    await market.trade(59.999, "99", "0.000000000000000000000000000001")
    await market.trade(60, "500", "9")
    await market.candle("0.300000000000000000000000000001", prices=("100", "103.5", "99", "99.0"), trades=3)
    assert await market.verdicts() == [("complete", None)]


async def test_quiet_minute_is_complete_and_so_is_an_empty_candle(market: Market) -> None:
    await market.candle("0", minute=1, trades=0)
    assert await market.verdicts(2) == [("complete", None), ("complete", None)]


async def test_least_difference_is_told_with_what_differs(market: Market) -> None:
    await market.trade(1, "100", "0.1")
    await market.trade(2, "102", "0.1")
    await market.candle("0.2000000001", prices=("101", "103", "99", "104"), trades=3)
    assert await market.verdicts() == [("unexplained", "volume,trades,high,low,open,close")]
    [alarm] = await market.unexplained()
    assert (alarm.volume, alarm.candle_volume, alarm.trades, alarm.streams) == (
        Decimal("0.2"),
        Decimal("0.2000000001"),
        2,
        ("trades",),
    )


async def test_only_what_the_venue_has_in_common_is_compared(market: Market) -> None:
    await market.trade(1, "100", "2")
    await market.candle("2", prices=("1", "1", "1", "1"), trades=77)
    assert await market.verdicts(sums=VOLUME) == [("complete", None)]


async def test_prices_of_one_moment_are_in_any_order(market: Market) -> None:
    for price in ("100", "101", "102"):
        await market.trade(5, price)
    await market.candle("3", prices=("101", "102", "100", "100"))
    assert await market.verdicts() == [("complete", None)]


async def test_trades_without_a_candle_are_a_candle_lost_once_it_can_not_come_any_more(market: Market) -> None:
    await market.trade(1)
    assert await market.verdicts(now=NOON + timedelta(minutes=2)) == []
    assert await market.verdicts() == [("unexplained", "candle")]
    assert [alarm.streams for alarm in await market.unexplained()] == [("candles",)]


async def test_candle_without_trades_is_trades_lost(market: Market) -> None:
    await market.candle("3")
    assert await market.verdicts() == [("unexplained", "volume")]
    assert [alarm.streams for alarm in await market.unexplained()] == [("trades",)]


async def test_open_candle_is_awaited_and_then_not_compared(market: Market) -> None:
    await market.trade(1)
    await market.candle("5", closed=False)
    assert await market.verdicts(now=NOON + timedelta(minutes=2)) == []
    assert [verdict for verdict, _ in await market.verdicts()] == ["not comparable"]


@pytest.mark.parametrize(
    ("state", "cause", "verdict"),
    [
        ("open", "disconnect", "explained"),
        ("unrecoverable", "killed", "explained"),
        ("repaired", "disconnect", "unexplained"),
        ("open", "silent loss", "unexplained"),
        ("unrecoverable", "silent loss", "explained"),
    ],
)
async def test_gap_explains_unless_it_was_repaired_or_is_our_own_suspicion(
    market: Market, state: str, cause: str, verdict: str
) -> None:
    gap = await market.gap(state, cause=cause)
    await market.candle("3")
    assert [one for one, _ in await market.verdicts()] == [verdict]
    assert await market.connection.fetchval("select gap_id from audits") == gap


async def test_minute_of_which_nothing_came_is_not_called_quiet_where_a_gap_is_open(market: Market) -> None:
    await market.gap("open")
    assert [verdict for verdict, _ in await market.verdicts(2)] == ["explained", "complete"]
    await market.connection.execute("update gaps set state = 'repaired'")
    assert [verdict for verdict, _ in await market.verdicts(2)] == ["complete", "complete"]


async def test_gap_of_quotes_explains_nothing(market: Market) -> None:
    await market.gap("open", stream="ticks")
    await market.candle("3")
    assert [verdict for verdict, _ in await market.verdicts()] == ["unexplained"]


async def test_trade_at_the_edge_counts_in_either_minute(market: Market) -> None:
    await market.trade(10)
    await market.trade(60.001, size="0.7")
    await market.trade(80)
    await market.candle("1.7")
    await market.candle("1", minute=1)
    assert [verdict for verdict, _ in await market.verdicts(2)] == ["complete", "complete"]
    assert await market.connection.fetchval("select reason like '%edge%' from audits limit 1")
    await market.connection.execute("delete from trades where size = 0.7")
    assert [verdict for verdict, _ in await market.verdicts(2)] == ["unexplained", "complete"]


@pytest.mark.parametrize(
    "tampering",
    [
        "delete from trades where price = 101",
        "update trades set size = size + 0.00001 where price = 101",
        "update trades set price = 100.5 where price = 102",
        "update trades set time = time + interval '1 minute' where price = 101",
    ],
)
async def test_tampered_table_is_found_and_a_restored_one_is_complete_again(market: Market, tampering: str) -> None:
    for second, price in enumerate(("100", "102", "101", "100")):
        await market.trade(second, price)
    await market.candle("4", prices=("100", "102", "100", "100"))
    assert await market.verdicts() == [("complete", None)]
    await market.connection.execute("create table kept as select * from trades")
    await market.connection.execute(tampering)
    assert [verdict for verdict, _ in await market.verdicts()] == ["unexplained"]
    await market.connection.execute("delete from trades")
    await market.connection.execute("insert into trades select * from kept")
    assert await market.verdicts() == [("complete", None)]


async def test_verdict_that_is_known_is_not_written_again(market: Market) -> None:
    await market.candle("3")
    spans = [Span(1, NOON, NOON + 2 * MINUTE, FULL)]
    audit = MinuteAudit(market.connection)
    first, second = await audit.judge(spans, LATER), await audit.judge(spans, LATER)
    assert sum(count.fresh for count in first) == sum(count.minutes for count in second) == 2
    assert sum(count.fresh for count in second) == 0


async def test_neighbouring_losses_are_one_gap_which_is_recorded_once(market: Market) -> None:
    for minute in (0, 1, 2, 5):
        await market.candle(str(minute + 1), minute=minute)
    await market.verdicts(7)
    assert await record(market.connection, await market.unexplained()) == {"v"}
    gaps = "select from_time, to_time, stream, cause from gaps order by from_time"
    spans = [tuple(row) for row in await market.connection.fetch(gaps)]
    assert spans == [
        (NOON, NOON + 3 * MINUTE, "trades", "silent loss"),
        (NOON + 5 * MINUTE, NOON + 6 * MINUTE, "trades", "silent loss"),
    ]
    assert {alarm.state for alarm in await market.unexplained()} == {"open"}
    assert await record(market.connection, await market.unexplained()) == set()
    assert len(await market.connection.fetch(gaps)) == 2


async def test_minute_beside_one_that_was_tried_in_vain_is_tried_by_itself(market: Market) -> None:
    await market.candle("1")
    await market.verdicts(1)
    await record(market.connection, await market.unexplained())
    await market.connection.execute("update gaps set state = 'repaired', filled_rows = 0")
    await market.candle("1", minute=1)
    await market.verdicts(2)
    assert await record(market.connection, await market.unexplained()) == {"v"}
    spans = await market.connection.fetch("select from_time, to_time from gaps order by from_time")
    assert [tuple(span) for span in spans] == [(NOON, NOON + MINUTE), (NOON + MINUTE, NOON + 2 * MINUTE)]
    assert [alarm.state for alarm in await market.unexplained()] == ["open", "stays"]


async def test_venue_whose_repairs_find_nothing_is_not_asked_for_ever(market: Market) -> None:
    for minute in (0, 2, 4, 6, 8):
        await market.candle("1", minute=minute)
    for minutes in (2, 4, 6, 8, 10):
        await market.verdicts(minutes)
        await record(market.connection, await market.unexplained())
        await market.connection.execute("update gaps set state = 'repaired', filled_rows = 0")
    assert await market.connection.fetchval("select count(*) from gaps") == 3
    assert [alarm.state for alarm in await market.unexplained()] == ["stays"] * 5
