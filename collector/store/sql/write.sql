-- Writing. Each statement takes one text array literal a column and is idempotent: what is there stays.
-- A time is a bigint of microseconds since 1970; the multiplication is exact up to the year 2255.

-- name: insert_trades
-- New executions; one that is there already is left alone.
insert into trades (time, instrument_id, trade_key, trade_id, price, size, side, received_at)
select timestamptz 'epoch' + t * interval '1 microsecond', instrument_id, trade_key, trade_id, price, size, side,
       timestamptz 'epoch' + r * interval '1 microsecond'
from unnest($1::text::int[], $2::text::bigint[], $3::text::bigint[], $4::text::text[], $5::text::numeric[],
            $6::text::numeric[], $7::text::smallint[], $8::text::bigint[])
  as u (instrument_id, t, trade_key, trade_id, price, size, side, r)
on conflict do nothing;

-- name: note_touched
-- Minutes since 1970 whose rollups are out of date with this transaction, where the server does not see to it itself.
insert into trades_touched (instrument_id, minute)
select instrument_id, timestamptz 'epoch' + m * interval '1 minute'
from unnest($1::text::int[], $2::text::bigint[]) as u (instrument_id, m)
where not exists (select from rollup_progress p where p.instrument_id = 0);

-- name: insert_ticks
-- Best bid and ask, last price.
insert into ticks (time, instrument_id, tick_key, bid, bid_size, ask, ask_size, last, last_size, volume, received_at)
select timestamptz 'epoch' + t * interval '1 microsecond', instrument_id, tick_key, bid, bid_size, ask, ask_size,
       last, last_size, volume, timestamptz 'epoch' + r * interval '1 microsecond'
from unnest($1::text::int[], $2::text::bigint[], $3::text::bigint[], $4::text::numeric[], $5::text::numeric[],
            $6::text::numeric[], $7::text::numeric[], $8::text::numeric[], $9::text::numeric[], $10::text::numeric[],
            $11::text::bigint[])
  as u (instrument_id, t, tick_key, bid, bid_size, ask, ask_size, last, last_size, volume, r)
on conflict do nothing;

-- name: insert_books
-- Whole books and changes; each side comes as the text of an array, since arrays of arrays have one length only.
insert into books (time, instrument_id, seq, snapshot, bid_prices, bid_sizes, ask_prices, ask_sizes, received_at)
select timestamptz 'epoch' + t * interval '1 microsecond', instrument_id, seq, snapshot, bid_prices::numeric[],
       bid_sizes::numeric[], ask_prices::numeric[], ask_sizes::numeric[],
       timestamptz 'epoch' + r * interval '1 microsecond'
from unnest($1::text::int[], $2::text::bigint[], $3::text::bigint[], $4::text::boolean[], $5::text::text[],
            $6::text::text[], $7::text::text[], $8::text::text[], $9::text::bigint[])
  as u (instrument_id, t, seq, snapshot, bid_prices, bid_sizes, ask_prices, ask_sizes, r)
on conflict do nothing;

-- name: upsert_candles
-- A bar grows: what was received later replaces what was received earlier, an equal one writes nothing. A bar that was
-- found closed stays closed. The times never go back in a journal's order (collector/normalise/shown.py), but for a clock
-- that was ahead by more than a month.
insert into candles as c (time, instrument_id, period, series, open, high, low, close, volume, quote_volume, trades,
                          closed, received_at)
select timestamptz 'epoch' + t * interval '1 microsecond', instrument_id, period, series, open, high, low, close,
       volume, quote_volume, trades, closed, timestamptz 'epoch' + r * interval '1 microsecond'
from unnest($1::text::int[], $2::text::bigint[], $3::text::int[], $4::text::text[], $5::text::numeric[],
            $6::text::numeric[], $7::text::numeric[], $8::text::numeric[], $9::text::numeric[], $10::text::numeric[],
            $11::text::int[], $12::text::boolean[], $13::text::bigint[])
  as u (instrument_id, t, period, series, open, high, low, close, volume, quote_volume, trades, closed, r)
on conflict (instrument_id, series, period, time) do update
set open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close, volume = excluded.volume,
    quote_volume = excluded.quote_volume, trades = excluded.trades, closed = c.closed or excluded.closed,
    received_at = excluded.received_at
where (excluded.received_at >= c.received_at or c.received_at > excluded.received_at + interval '30 days')
  and (c.open, c.high, c.low, c.close, c.volume, c.quote_volume, c.trades, c.closed)
      is distinct from (excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume,
                        excluded.quote_volume, excluded.trades, c.closed or excluded.closed);

-- name: insert_derivatives
-- Mark and index price, funding, open interest.
insert into derivatives (time, instrument_id, mark_price, index_price, funding_rate, next_funding_time,
                         indicative_funding_rate, premium_index, avg_premium_index, interest_rate, open_interest,
                         settlement_price, expiry, received_at)
select timestamptz 'epoch' + t * interval '1 microsecond', instrument_id, mark_price, index_price, funding_rate,
       timestamptz 'epoch' + f * interval '1 microsecond', indicative_funding_rate, premium_index, avg_premium_index,
       interest_rate, open_interest, settlement_price, timestamptz 'epoch' + e * interval '1 microsecond',
       timestamptz 'epoch' + r * interval '1 microsecond'
from unnest($1::text::int[], $2::text::bigint[], $3::text::numeric[], $4::text::numeric[], $5::text::numeric[],
            $6::text::bigint[], $7::text::numeric[], $8::text::numeric[], $9::text::numeric[], $10::text::numeric[],
            $11::text::numeric[], $12::text::numeric[], $13::text::bigint[], $14::text::bigint[])
  as u (instrument_id, t, mark_price, index_price, funding_rate, f, indicative_funding_rate, premium_index,
        avg_premium_index, interest_rate, open_interest, settlement_price, e, r)
on conflict do nothing;

-- name: insert_rates
-- Values of a venue: indexes, price rates, exchange rates.
insert into rates (time, venue_id, name, value, received_at)
select timestamptz 'epoch' + t * interval '1 microsecond', venue_id, name, value,
       timestamptz 'epoch' + r * interval '1 microsecond'
from unnest($1::text::smallint[], $2::text::bigint[], $3::text::text[], $4::text::numeric[], $5::text::bigint[])
  as u (venue_id, t, name, value, r)
on conflict do nothing;

-- name: insert_news
-- Headlines of a venue's feeds.
insert into news (time, venue_id, news_key, source, title, link, received_at)
select timestamptz 'epoch' + t * interval '1 microsecond', venue_id, k, source, title, link,
       timestamptz 'epoch' + r * interval '1 microsecond'
from unnest($1::text::smallint[], $2::text::bigint[], $3::text::bigint[], $4::text::text[], $5::text::text[],
            $6::text::text[], $7::text::bigint[])
  as u (venue_id, t, k, source, title, link, r)
on conflict do nothing;

-- name: insert_quarantine
-- Frames and rows that could not be understood or stored, as they came; what is there already is left alone. Returns the
-- items of what is new, by stream.
with new as (
  insert into quarantine (received_at, venue_id, stream, error, payload, items, kind, ordinal, segment, byte_offset, journal)
  select timestamptz 'epoch' + r * interval '1 microsecond', v, s, e, p, i, k, o, $9, $10, $11
  from unnest($1::bigint[], $2::smallint[], $3::text[], $4::text[], $5::bytea[], $6::int[], $7::text[], $8::int[])
    as u (r, v, s, e, p, i, k, o)
  on conflict do nothing
  returning stream, items
)
select stream, sum(items)::bigint from new group by stream;

-- name: upsert_session
-- A session as it opens, and again as it closes. A replay that began within it has counted only a part of its frames.
insert into sessions (session_id, venue_id, worker, url, opened_at, closed_at, reason, frames, details, journal)
select $1, $2, $3, $4, timestamptz 'epoch' + $5::bigint * interval '1 microsecond',
       timestamptz 'epoch' + $6::bigint * interval '1 microsecond', $7, $8, $9::jsonb, $10
on conflict (session_id) do update
set closed_at = excluded.closed_at, reason = excluded.reason, frames = greatest(sessions.frames, excluded.frames)
where excluded.closed_at is not null;

-- name: upsert_gap
-- A gap as it is found, and again when its end is known.
insert into gaps (instrument_id, stream, from_time, to_time, from_seq, to_seq, cause, reason)
select $1, $2, timestamptz 'epoch' + $3::bigint * interval '1 microsecond',
       timestamptz 'epoch' + $4::bigint * interval '1 microsecond', $5, $6, $7, $8
on conflict (instrument_id, stream, from_time, cause) do update
set to_time = excluded.to_time, to_seq = excluded.to_seq
where excluded.to_time is not null and gaps.to_time is null;

-- name: close_gap
-- What became of a gap, as the journal tells it.
update gaps
set state = $5, reason = $6, filled_rows = $7::bigint, trouble = null,
    filled_at = timestamptz 'epoch' + $8::bigint * interval '1 microsecond'
where instrument_id = $1 and stream = $2 and from_time = timestamptz 'epoch' + $3::bigint * interval '1 microsecond'
  and cause = $4 and state = 'open' and to_time is not null;

-- name: upsert_wanted
-- What is asked for, as it begins, and again as it ends. Whoever tells it again is who asks for it now.
insert into wanted (instrument_id, stream, from_time, to_time, journal)
select $1, $2, timestamptz 'epoch' + $3::bigint * interval '1 microsecond',
       timestamptz 'epoch' + $4::bigint * interval '1 microsecond', $5
on conflict (instrument_id, stream, from_time) do update set to_time = excluded.to_time, journal = excluded.journal
where wanted.to_time is null;

-- name: wanted_now
-- What is asked for at the position where the tables end, and for how many seconds the asking collector has given no sign
-- of life; null where it is the one of the journal $1.
select v.code, i.symbol, w.stream, (extract(epoch from w.from_time) * 1000000)::bigint,
       case when w.journal is distinct from $1 then
         coalesce(extract(epoch from clock_timestamp() - coalesce(p.alive_at, p.updated_at)), 'infinity')::float8 end
from wanted w join instruments i using (instrument_id) join venues v using (venue_id)
left join journal_position p using (journal)
where w.to_time is null;

-- name: abandoned
-- Sessions that nobody has closed, up to when what was received is in the tables, and for how many seconds their journal
-- has given no sign of life; null where the session is of the journal $1, or of one that nobody knows any more.
select s.session_id, v.code, s.worker, coalesce(s.url, ''), (extract(epoch from s.opened_at) * 1000000)::bigint,
       s.frames, s.details::text, (extract(epoch from coalesce(p.received_at, p.updated_at)) * 1000000)::bigint,
       p.received_at is not null,
       case when s.journal is distinct from $1 then
         extract(epoch from clock_timestamp() - coalesce(p.alive_at, p.updated_at))::float8 end
from sessions s join venues v using (venue_id)
left join lateral (
  select max(received_at) as received_at, max(alive_at) as alive_at, max(updated_at) as updated_at
  from journal_position where journal = s.journal or s.journal is null) p on true
where s.closed_at is null and p.updated_at is not null;

-- name: known_sessions
-- Which of these sessions have a row.
select session_id from sessions where session_id = any($1::bigint[]);

-- name: last_session
-- The greatest number that a session of any collector has; 0 without any.
select coalesce(max(session_id), 0) from sessions;

-- name: open_gaps
-- The gaps that last at the position where the tables end.
select v.code, i.symbol, g.stream, (extract(epoch from g.from_time) * 1000000)::bigint, g.from_seq, g.cause, g.reason
from gaps g join instruments i using (instrument_id) join venues v using (venue_id) where g.to_time is null;

-- name: load_position
-- Where to go on, up to when what was received is in the tables, who may move it, and for how many seconds that one has
-- given no sign of life.
select segment, byte_offset, (extract(epoch from received_at) * 1000000)::bigint as received_us,
       (extract(epoch from updated_at) * 1000000)::bigint as updated_us, owner, place,
       extract(epoch from clock_timestamp() - coalesce(alive_at, updated_at))::float8 as silent_seconds,
       alive_at
from journal_position where journal = $1;

-- name: lock_position
-- How far the tables are, once a transaction that moves it just now has ended.
select segment, byte_offset from journal_position where journal = $1 for update;

-- name: claim_position
-- Let this run ($2, at $3) alone move the position.
update journal_position set owner = $2, place = $3, alive_at = clock_timestamp() where journal = $1;

-- name: stay_alive
-- Its owner lives, though there is nothing to commit: what was received until $3 is in the tables.
update journal_position
set alive_at = clock_timestamp(),
    received_at = greatest(received_at, timestamptz 'epoch' + $3::bigint * interval '1 microsecond')
where journal = $1 and owner is not distinct from $2;

-- name: lock_journal
-- The lock that the owner of a journal's position holds for as long as it is connected.
select pg_try_advisory_lock($1);

-- name: journal_lock_holders
-- End the connections of others that hold it.
select pg_terminate_backend(pid) from pg_locks
where locktype = 'advisory' and granted and pid <> pg_backend_pid() and objsubid = 1
  and database = (select oid from pg_database where datname = current_database())
  and classid::bigint = ($1::bigint >> 32) & 4294967295 and objid::bigint = $1::bigint & 4294967295;

-- name: move_on
-- How far the journal is in the tables, and the invariant, kept for each segment and table: items = stored +
-- duplicates + quarantined. One statement, since every batch comes through here. Returns 1; 0 where the position is not
-- where this run has left it ($9, $10; null: there was none), or belongs to another run than $11.
with counted as (
  insert into journal_counts as c (journal, segment, table_name, items, stored, duplicates, quarantined)
  select $1, $2, t, i, s, d, q
  from unnest($4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[]) as u (t, i, s, d, q)
  on conflict (journal, segment, table_name) do update
  set items = c.items + excluded.items, stored = c.stored + excluded.stored,
      duplicates = c.duplicates + excluded.duplicates, quarantined = c.quarantined + excluded.quarantined
), moved as (
  update journal_position
  set segment = $2, byte_offset = $3, updated_at = now(), alive_at = now(),
      received_at = coalesce(timestamptz 'epoch' + $13::bigint * interval '1 microsecond', received_at)
  where journal = $1 and segment = $9::bigint and byte_offset = $10::bigint and owner is not distinct from $11::text
  returning 1
), begun as (
  insert into journal_position (journal, segment, byte_offset, updated_at, alive_at, received_at, owner, place)
  select $1, $2, $3, now(), now(), timestamptz 'epoch' + $13::bigint * interval '1 microsecond', $11::text, $12::text
  where $9::bigint is null
  on conflict do nothing
  returning 1
)
select (select count(*) from moved) + (select count(*) from begun);

-- name: set_counts_aside
-- The journal has lost what it held since the segment $2: keep the counts of that under another name, $3.
update journal_counts set journal = $3 where journal = $1 and segment >= $2;

-- name: set_quarantine_aside
-- The same for entries of the quarantine whose items are counted there.
update quarantine set journal = $3 where journal = $1 and segment >= $2;

-- name: venue_id
-- The number of a venue, which gets one when it is new. An insert that finds the row there would use up a number.
with known as (select venue_id from venues where code = $1),
     new as (insert into venues (code) select $1 where not exists (select from known)
             on conflict (code) do nothing returning venue_id)
select venue_id from known union all select venue_id from new;

-- name: add_instruments
-- Instruments that have no number yet get one. They have no trades yet, so their rollups are complete.
with new as (
  insert into instruments (venue_id, symbol)
  select u.venue_id, u.symbol from unnest($1::smallint[], $2::text[]) as u (venue_id, symbol)
  where not exists (select from instruments i where i.venue_id = u.venue_id and i.symbol = u.symbol)
  on conflict (venue_id, symbol) do nothing
  returning instrument_id
)
insert into rollup_progress (instrument_id, built_until) select instrument_id, 'infinity' from new;

-- name: instrument_ids
-- The numbers of all instruments.
select i.instrument_id, v.code, i.symbol from instruments i join venues v using (venue_id);

-- name: update_instrument
-- What a venue says of an instrument, and since when; nothing is written when it says what it said before.
select describe_instrument(row (
  instrument_id, timestamptz 'epoch' + $10::bigint * interval '1 microsecond', null, $3, $4, $5, $6::text::numeric,
  $7::text::numeric, $8, $12, timestamptz 'epoch' + $11::bigint * interval '1 microsecond',
  $9::text::jsonb)::instrument_versions)
from instruments where venue_id = $1 and symbol = $2;
