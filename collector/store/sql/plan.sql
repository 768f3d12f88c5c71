-- What `collector plan` asks: the newest rows of each instrument, by the index of their key, and the catalogues.

-- name: set_timeout
-- No question of a plan may hold the database up.
select set_config('statement_timeout', $1, false), set_config('default_transaction_read_only', 'on', false);

-- name: rates
-- How many of the newest rows of an instrument there are (1,000 at the most), how many seconds they span, and how old
-- the oldest of them is. Candles are as many as their periods say, and are not asked for.
select v.code as venue, i.symbol, s.stream, s.rows, s.seconds, s.age
from instruments i
join venues v using (venue_id)
cross join lateral (
  select 'trades' as stream, count(*) as rows, extract(epoch from max(time) - min(time))::float8 as seconds,
         extract(epoch from now() - min(time))::float8 as age
  from (select time from trades t where t.instrument_id = i.instrument_id order by time desc limit 1000) as newest
  union all
  select 'ticks', count(*), extract(epoch from max(time) - min(time))::float8,
         extract(epoch from now() - min(time))::float8
  from (select time from ticks t where t.instrument_id = i.instrument_id order by time desc limit 1000) as newest
  union all
  select 'books', count(*), extract(epoch from max(time) - min(time))::float8,
         extract(epoch from now() - min(time))::float8
  from (select time from books t where t.instrument_id = i.instrument_id order by time desc limit 1000) as newest
  union all
  select 'derivatives', count(*), extract(epoch from max(time) - min(time))::float8,
         extract(epoch from now() - min(time))::float8
  from (select time from derivatives t where t.instrument_id = i.instrument_id order by time desc limit 1000) as newest
) as s
where v.code = any($1) and s.rows > 0;

-- name: sizes
-- Bytes of each table with its chunks and indexes, and how many rows the statistics count in them.
select c.relname::text as stream, sum(pg_total_relation_size(part.oid))::float8 as bytes,
       sum(greatest(part.reltuples, 0))::float8 as rows
from pg_class c
join lateral (
  select p.oid, p.reltuples from pg_class p where p.oid = c.oid
  union all
  select p.oid, p.reltuples from pg_inherits h join pg_class p on p.oid = h.inhrelid where h.inhparent = c.oid
) as part on part.reltuples > 0
where c.relnamespace = current_schema()::regnamespace
  and c.relname = any('{trades,ticks,books,candles,derivatives,rates,news}')
group by c.relname;

-- name: data_folder
-- Where the server keeps its data; null where this login may not know.
select case when pg_has_role('pg_read_all_settings', 'usage') then current_setting('data_directory') end;
