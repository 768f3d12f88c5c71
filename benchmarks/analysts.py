"""What analysts ask, on ten million trades: how long each answer takes, from a client's question to its last row.

The data is made by the server itself. Rollups are built by the daemon's own code. Each question is asked some times
before it is measured, as a person does who works on something, and then again and again; medians are told.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from collector.store.embedded import EmbeddedServer
from collector.store.migrate import migrate
from collector.store.rollups import Rollups

INSTRUMENTS = 50
DAYS = 10
# Levels of a book, both sides together.
LEVELS = 5000
WARM = 8
TIMES = 31
AFTER_ALL_US = 1_893_456_000_000_000  # 2030

_PREPARE = f"""
insert into venues (code) values ('bench');
insert into instruments (venue_id, symbol, base, quote, kind)
select 1, 'S' || to_char(n, 'FM00') || 'USDT', 'S' || n, 'USDT', 'spot' from generate_series(1, {INSTRUMENTS}) n;
insert into sessions (session_id, venue_id, worker, opened_at, details)
select 1, 1, 'bench-1', timestamptz '2026-03-01Z', jsonb_build_object('book_numbering', 'successive', 'subscriptions',
  (select jsonb_agg(jsonb_build_array('c', s, (select jsonb_agg(symbol) from instruments)))
   from unnest(array['trades', 'ticks', 'books']) s));
insert into journal_position (journal, segment, byte_offset, updated_at) values ('bench', 1, 0, '2026-03-11Z');
insert into gaps (instrument_id, stream, from_time, to_time, cause, state)
select i, s, timestamptz '2026-03-01Z' + n * interval '7 hours', timestamptz '2026-03-01Z' + n * interval '7 hours 3 s',
       'disconnect', case s when 'trades' then 'repaired' else 'unrecoverable' end
from generate_series(1, {INSTRUMENTS}) i, unnest(array['trades', 'ticks', 'books']) s, generate_series(1, 30) n;
"""
_TRADES = f"""
insert into trades
select timestamptz '2026-03-01Z' + $1 * interval '1 day' + n * (interval '1 day' / $2), i, n, n::text,
       1000 * i + (n * 7919 % 1000) / 100.0, (n % 50 + 1) / 1000.0, 1 - 2 * (n % 2)::int,
       timestamptz '2026-03-01Z' + $1 * interval '1 day' + n * (interval '1 day' / $2)
from generate_series(0::bigint, $2::bigint - 1) n, generate_series(1, {INSTRUMENTS}) i
"""
_TICKS = """
insert into ticks (time, instrument_id, tick_key, bid, bid_size, ask, ask_size, received_at)
select t, 1, 1, 1000 + (n % 97) / 100.0, 1, 1000.05 + (n % 97) / 100.0, 2, t
from generate_series(0, 863999) n, lateral (select timestamptz '2026-03-05Z' + n * interval '100 ms') x (t)
"""
_BOOKS = f"""
insert into books
select t, 1, n, n % 3000 = 0,
       array(select 1000 - l / 100.0 from generate_series(o, o + w) l),
       array(select (l * 7 + n) % 5 from generate_series(o, o + w) l),
       array(select 1000 + l / 100.0 from generate_series(o, o + w) l),
       array(select (l * 3 + n) % 5 from generate_series(o, o + w) l), t
from generate_series(0, 6 * 36000 - 1) n,
     lateral (select timestamptz '2026-03-05Z' + n * interval '100 ms',
                     case when n % 3000 = 0 then {LEVELS} / 2 else 1 end,
                     case when n % 3000 = 0 then 1 else n * 7919 % 400 + 1 end) x (t, w, o)
"""

_DAY = "'2026-03-05Z', '2026-03-06Z'"
QUESTIONS = {
    "last price of all instruments": "select * from last_prices()",
    "OHLCV 1h of one instrument, 10 days": (
        "select * from ohlcv('bench', 'S07USDT', '1 hour', '2026-03-01Z', '2026-03-11Z')"
    ),
    "OHLCV 1m of one instrument, 1 day": f"select * from ohlcv('bench', 'S07USDT', '1 minute', {_DAY})",
    "VWAP of one instrument, 10 days": (
        "select vwap('bench', 'S07USDT', '2026-03-01 00:00:30Z', '2026-03-10 23:17:12Z')"
    ),
    "book at a moment, 299 s after a snapshot": (
        "select * from book_at('bench', 'S01USDT', '2026-03-05 03:04:59.05Z', 10)"
    ),
    "spread a minute, 1 day": f"select * from spread_series('bench', 'S01USDT', '1 minute', {_DAY})",
    "trades with quotes, 1 hour": (
        "select * from trades_with_quotes('bench', 'S01USDT', '2026-03-05 03:00Z', '2026-03-05 04:00Z')"
    ),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """How long a question took, in milliseconds; `cpu_ms` is the server's own work, whatever else the machine did."""

    question: str
    rows: int
    median_ms: float
    p90_ms: float
    cpu_ms: float


async def measure(folder: Path, *, trades: int, progress: Callable[[float], object] = lambda _: None) -> list[Answer]:
    """Make `trades` trades and ask; `progress` is told how many there are."""
    server = EmbeddedServer(folder)
    dsn = await server.start()
    try:
        await migrate(dsn)
        on = await asyncpg.connect(dsn)
        try:
            await on.execute(_PREPARE)
            a_day = max(1, trades // (DAYS * INSTRUMENTS))
            for day in range(DAYS):
                await on.execute(_TRADES, day, a_day, timeout=None)
                progress((day + 1) * a_day * INSTRUMENTS)
            await on.execute(_TICKS)
            await on.execute(_BOOKS)
            rollups = Rollups(lambda: dsn)
            await rollups.catch_up(AFTER_ALL_US)
            rollups.close()
            await on.execute("vacuum analyze")
            return [await _ask(on, question, query) for question, query in QUESTIONS.items()]
        finally:
            await on.close()
    finally:
        await server.stop()


async def _ask(on: asyncpg.Connection, question: str, query: str) -> Answer:
    rows = 0
    took: list[float] = []
    worked: list[float] = []
    server = await on.fetchval("select pg_backend_pid()")
    for number in range(WARM + TIMES):
        began, before = time.perf_counter(), _cpu_ms(server)
        rows = len(await on.fetch(query))
        if number >= WARM:
            took.append((time.perf_counter() - began) * 1000)
            worked.append(_cpu_ms(server) - before)
    return Answer(
        question,
        rows,
        round(statistics.median(took), 2),
        round(statistics.quantiles(took, n=10)[-1], 2),
        round(statistics.median(worked), 2),
    )


def _cpu_ms(process: int) -> float:
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e6
