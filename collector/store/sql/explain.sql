-- From a row to where it came from. $1 is the venue, $2 the symbol; times are as the tables have them.

-- name: session
-- The connection that a frame came by.
select s.session_id, v.code as venue, s.worker, s.url, s.opened_at, s.closed_at, s.reason, s.frames
from sessions s join venues v using (venue_id) where s.session_id = $1;

-- name: trades
-- By $3 the key, $4 the venue's id, or $5 the time; $6 how many.
select * from v_trades where venue = $1 and symbol = $2
  and (trade_key = $3::bigint or trade_id = $4::text or time = $5::timestamptz)
order by time, trade_key limit $6::bigint;

-- name: ticks
-- By $3 the key or $5 the time.
select v.code as venue, i.symbol, t.* from ticks t join instruments i using (instrument_id) join venues v using (venue_id)
where v.code = $1 and i.symbol = $2 and $4::text is not distinct from $4
  and (t.tick_key = $3::bigint or t.time = $5::timestamptz)
order by t.time, t.tick_key limit $6::bigint;

-- name: books
-- By $3 the sequence number or $5 the time.
select * from v_books where venue = $1 and symbol = $2 and $4::text is not distinct from $4
  and (seq = $3::bigint or time = $5::timestamptz)
order by time, seq, snapshot limit $6::bigint;

-- name: candles
-- By $3 the period, $4 the series and $5 the opening.
select * from v_candles where venue = $1 and symbol = $2
  and period = $3::bigint and series = $4::text and time = $5::timestamptz
limit $6::bigint;

-- name: derivatives
-- By $5 the time.
select * from v_derivatives where venue = $1 and symbol = $2
  and $3::bigint is not distinct from $3 and $4::text is not distinct from $4 and time = $5::timestamptz
limit $6::bigint;

-- name: rates
-- By $5 the time; the name stands where others have the symbol.
select * from v_rates where venue = $1 and name = $2
  and $3::bigint is not distinct from $3 and $4::text is not distinct from $4 and time = $5::timestamptz
limit $6::bigint;

-- name: gaps_around
-- Gaps of a stream ($3) that overlap a moment, or lie within $5 seconds of it.
select from_time, to_time, cause, state, reason, found_at, filled_at, filled_rows, gap_id from v_gaps
where venue = $1 and symbol = $2 and stream = $3
  and from_time <= $4::timestamptz + $5::float8 * interval '1 second'
  and coalesce(to_time, 'infinity') >= $4::timestamptz - $5::float8 * interval '1 second'
order by from_time;

-- name: segment_counts
-- What became of a segment's items of one table; the daemon's journal ($1), segment and table.
select items, stored, duplicates, quarantined from journal_counts where journal = $1 and segment = $2 and table_name = $3;

-- name: committed_to
-- How far the tables are in a journal.
select segment, byte_offset from journal_position where journal = $1;

-- name: settings
-- Whether the server keeps the time of commits.
select current_setting('track_commit_timestamp')::boolean;

-- name: committed_at
-- When a transaction was committed, on a server that keeps it.
select pg_xact_commit_timestamp($1::text::xid);

-- name: transaction_trades
-- The transaction that wrote what was received at $4: one batch, one transaction.
select t.xmin::text from trades t join instruments i using (instrument_id) join venues v using (venue_id)
where v.code = $1 and i.symbol = $2 and t.time = $3 and t.received_at = $4 limit 1;

-- name: transaction_ticks
-- The transaction that wrote what was received at $4: one batch, one transaction.
select t.xmin::text from ticks t join instruments i using (instrument_id) join venues v using (venue_id)
where v.code = $1 and i.symbol = $2 and t.time = $3 and t.received_at = $4 limit 1;

-- name: transaction_books
-- The transaction that wrote what was received at $4: one batch, one transaction.
select t.xmin::text from books t join instruments i using (instrument_id) join venues v using (venue_id)
where v.code = $1 and i.symbol = $2 and t.time = $3 and t.received_at = $4 limit 1;

-- name: transaction_candles
-- The transaction that wrote what was received at $4: one batch, one transaction.
select t.xmin::text from candles t join instruments i using (instrument_id) join venues v using (venue_id)
where v.code = $1 and i.symbol = $2 and t.time = $3 and t.received_at = $4 limit 1;

-- name: transaction_derivatives
-- The transaction that wrote what was received at $4: one batch, one transaction.
select t.xmin::text from derivatives t join instruments i using (instrument_id) join venues v using (venue_id)
where v.code = $1 and i.symbol = $2 and t.time = $3 and t.received_at = $4 limit 1;

-- name: transaction_rates
-- The same.
select t.xmin::text from rates t join venues v using (venue_id)
where v.code = $1 and t.name = $2 and t.time = $3 and t.received_at = $4 limit 1;
