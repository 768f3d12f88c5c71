"""Rows of a market, written straight into the tables, for those who read them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import asyncpg
import orjson

NOW = datetime.now(UTC).replace(microsecond=0)


class Market:
    """One venue `fake` whose instruments are made as they are named."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def instrument(self, symbol: str, venue: str = "fake") -> int:
        await self._connection.execute("insert into venues (code) values ($1) on conflict do nothing", venue)
        return int(
            await self._connection.fetchval(
                """
                insert into instruments (venue_id, symbol, base, quote, kind, price_step, size_step)
                select venue_id, $2, 'A', 'B', 'spot', 0.010, 0.001 from venues where code = $1
                on conflict (venue_id, symbol) do update set kind = 'spot' returning instrument_id
                """,
                venue,
                symbol,
            )
        )

    async def session(
        self, *symbols: str, stream: str = "trades", since: float = 26 * 3600, until: float | None = None
    ) -> None:
        """Record `stream` of some symbols from `since` to `until` seconds ago."""
        for symbol in symbols:
            await self.instrument(symbol)
        opened = NOW - timedelta(seconds=since)
        await self._connection.execute(
            """
            insert into sessions (session_id, venue_id, worker, opened_at, closed_at, details)
            select (select count(*) from sessions), venue_id, 'fake-1', $1, $2, $3 from venues where code = 'fake'
            """,
            opened,
            None if until is None else NOW - timedelta(seconds=until),
            orjson.dumps({"subscriptions": [["deals", stream, list(symbols)]]}).decode(),
        )

    async def gap(
        self,
        symbol: str,
        since: float,
        until: float | None,
        state: str = "open",
        stream: str = "trades",
        cause: str = "disconnect",
        reason: str | None = None,
    ) -> None:
        await self._connection.execute(
            """
            insert into gaps (instrument_id, stream, from_time, to_time, cause, reason, state)
            values ($1, $2, $3, $4, $5, $6, $7)
            """,
            await self.instrument(symbol),
            stream,
            NOW - timedelta(seconds=since),
            None if until is None else NOW - timedelta(seconds=until),
            cause,
            reason,
            state,
        )

    async def quarantine(self, error: str, stream: str = "trades") -> None:
        await self._connection.execute(
            "insert into quarantine (stream, kind, error, payload) values ($1, 'frame', $2, 'x')", stream, error
        )

    async def candles(self, symbol: str, count: int, period: int = 60, price: str = "100.10") -> None:
        number = await self.instrument(symbol)
        await self._connection.executemany(
            """
            insert into candles (time, instrument_id, period, open, high, low, close, volume, closed, received_at)
            values ($1, $2, $3, $4::text::numeric, $4::text::numeric + 1, $4::text::numeric - 1, $4::text::numeric, $5,
                    true, $1)
            """,
            [(NOW - timedelta(seconds=n * period), number, period, price, n) for n in range(count)],
        )

    async def ticks(self, symbol: str, count: int, every: float = 1.0) -> None:
        number = await self.instrument(symbol)
        await self._connection.executemany(
            """
            insert into ticks (time, instrument_id, tick_key, bid, ask, received_at)
            values ($1, $2, $3, 100.10, 100.10 + ($3::bigint % 5 + 1) * 0.01, $1)
            """,
            [(NOW - timedelta(seconds=n * every), number, n) for n in range(count)],
        )

    async def book(
        self,
        symbol: str,
        seq: int,
        bids: Sequence[tuple[str, str]],
        asks: Sequence[tuple[str, str]],
        *,
        snapshot: bool,
        ago: float = 0.0,
    ) -> None:
        columns = [f"{{{','.join(level[part] for level in side)}}}" for side in (bids, asks) for part in (0, 1)]
        await self._connection.execute(
            """
            insert into books (time, received_at, instrument_id, seq, snapshot, bid_prices, bid_sizes, ask_prices,
                               ask_sizes)
            values ($1, $1, $2, $3, $4, $5::text::numeric[], $6::text::numeric[], $7::text::numeric[],
                    $8::text::numeric[])
            """,
            NOW - timedelta(seconds=ago),
            await self.instrument(symbol),
            seq,
            snapshot,
            *columns,
        )


@asynccontextmanager
async def market(dsn: str) -> AsyncIterator[Market]:
    """Write rows with a connection of one's own."""
    connection = await asyncpg.connect(dsn)
    try:
        yield Market(connection)
    finally:
        async with asyncio.timeout(10):
            await connection.close()
