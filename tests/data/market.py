"""A small market in a database: two venues, awkward names, long numbers, gaps and coverage."""

from __future__ import annotations

from datetime import UTC, datetime

import asyncpg

DAY = datetime(2026, 11, 10, tzinfo=UTC)
# 30 digits.
LONG_PRICE = "123456789012345678.901234567891"
LONGER_PRICE = "0." + "0" * 39 + "1"
LONGEST_PRICE = "9" * 60 + "." + "1" * 20

FILL = f"""
insert into venues (code) values ('fmfw'), ('finam');
insert into instruments (venue_id, symbol, base, quote, kind, price_step)
select venue_id, symbol, 'BTC', 'USDT', 'spot', 0.01
from venues join (values ('fmfw', 'BTCUSDT'), ('fmfw', 'ETH/USDT'), ('finam', 'SBER@MISX')) n (code, symbol)
using (code);
insert into trades (time, instrument_id, trade_key, trade_id, price, size, side, received_at)
select timestamptz '2026-11-10 23:00:00+00' + n * interval '1 second', instrument_id, n, nullif('id' || n, 'id3'),
       60000.10 + n, 0.5, case n % 3 when 0 then null when 1 then 1 else -1 end,
       timestamptz '2026-11-10 23:00:00.123456+00' + n * interval '1 second'
from instruments, generate_series(1, 7200) n where symbol = 'BTCUSDT';
insert into trades (time, instrument_id, trade_key, trade_id, price, size, side, received_at)
select timestamptz '2026-11-12 12:00:00+00', instrument_id, 1, 'a "quoted", id' || chr(10) || 'of two lines', p, 1, 1,
       now()
from instruments join (values ('ETH/USDT', {LONG_PRICE}), ('SBER@MISX', {LONGEST_PRICE})) x (symbol, p) using (symbol);
insert into trades (time, instrument_id, trade_key, price, size, received_at)
select timestamptz '2026-11-13 12:00:00+00', instrument_id, 1, {LONGER_PRICE}, 1, now()
from instruments where symbol = 'SBER@MISX';
insert into books (time, instrument_id, seq, snapshot, bid_prices, bid_sizes, ask_prices, ask_sizes, received_at)
select timestamptz '2026-11-10 12:00:00+00' + n * interval '1 second', instrument_id, n, n = 1,
       array[60000.5 - n, 59999], array[1.5, 0], '{{}}', '{{}}', now()
from instruments, generate_series(1, 3) n where symbol = 'BTCUSDT';
insert into candles (time, instrument_id, period, series, open, high, low, close, volume, closed, received_at)
select timestamptz '2026-11-10 00:00:00+00' + n * interval '1 minute', instrument_id, 60, series, 1, 2, 0.5, 1.5, 10,
       true, now()
from instruments, generate_series(0, 9) n, unnest(array['trade', 'mark']) series where symbol = 'BTCUSDT';
insert into rates (time, venue_id, name, value, received_at)
select timestamptz '2026-11-10 01:00:00+00', venue_id, 'BTC/USDT', 60000.5, now() from venues where code = 'fmfw';
insert into news (time, venue_id, news_key, source, title, received_at)
select timestamptz '2026-11-10 01:00:00+00', venue_id, 7, 'ru', 'Рубль, "крепкий"', now() from venues
where code = 'finam';
insert into gaps (instrument_id, stream, from_time, to_time, cause, state, filled_rows)
select instrument_id, 'trades', timestamptz '2026-11-10 23:10:00+00', timestamptz '2026-11-10 23:11:00+00',
       'disconnect', 'repaired', 60 from instruments where symbol = 'BTCUSDT';
insert into sessions (session_id, venue_id, worker, opened_at, closed_at, details)
select 1, venue_id, 'w', timestamptz '2026-11-10 20:00:00+00', timestamptz '2026-11-11 02:00:00+00',
       '{{"subscriptions": [["x", "trades", ["BTCUSDT"]]]}}' from venues where code = 'fmfw';
insert into journal_position (journal, segment, byte_offset, updated_at)
values ('j', 1, 1, timestamptz '2026-11-12 00:00:05+00');
"""


async def fill(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(FILL)
    finally:
        await connection.close()


async def run(dsn: str, statement: str, *arguments: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetch(statement, *arguments)
    finally:
        await connection.close()
