-- A replay into temporary tables and its comparison with the live ones. The temporary tables have the same names, so that
-- the writing statements write into them; `live_..` is what the names meant before.

-- name: open
-- Everything that a replay writes to, empty, but for venues and instruments; from here on the session cannot write to
-- anything that stays.
set temp_buffers = '64MB';
set work_mem = '64MB';
create temporary view live_venues as select * from venues;
create temporary view live_instruments as select * from instruments;
create temporary view live_trades as select * from trades;
create temporary view live_ticks as select * from ticks;
create temporary view live_books as select * from books;
create temporary view live_candles as select * from candles;
create temporary view live_derivatives as select * from derivatives;
create temporary view live_rates as select * from rates;
create temporary view live_news as select * from news;
create temporary table venues (like venues including all);
create temporary table instruments (like instruments including all);
create temporary table trades (like trades including all);
create temporary table ticks (like ticks including all);
create temporary table books (like books including all);
create temporary table candles (like candles including all);
create temporary table derivatives (like derivatives including all);
create temporary table rates (like rates including all);
create temporary table news (like news including all);
create temporary table quarantine (like quarantine including all);
create temporary table rollup_progress (like rollup_progress including all);
create temporary table trades_touched (like trades_touched including all);
insert into pg_temp.rollup_progress (instrument_id, built_until) values (0, 'infinity');  -- nothing is touched here
insert into pg_temp.venues (venue_id, code) overriding system value select venue_id, code from live_venues;
insert into pg_temp.instruments (instrument_id, venue_id, symbol) overriding system value
select instrument_id, venue_id, symbol from live_instruments;
alter table pg_temp.venues alter column venue_id restart with 30000;
alter table pg_temp.instruments alter column instrument_id restart with 2000000000;
create temporary table differences (
  table_name text not null, kind text not null, venue text, symbol text, time timestamptz, live jsonb, replayed jsonb
);
set session characteristics as transaction read only;

-- name: span_trades
-- How many rows the replay gave that were received from $1 to $2, and which time all of its rows span.
select count(*) filter (where received_at between $1 and $2) as rows, min(time) - interval '1 day' as first,
       max(time) + interval '1 day' as last
from trades;

-- name: span_ticks
-- How many rows the replay gave that were received from $1 to $2, and which time all of its rows span.
select count(*) filter (where received_at between $1 and $2) as rows, min(time) - interval '1 day' as first,
       max(time) + interval '1 day' as last
from ticks;

-- name: span_books
-- How many rows the replay gave that were received from $1 to $2, and which time all of its rows span.
select count(*) filter (where received_at between $1 and $2) as rows, min(time) - interval '1 day' as first,
       max(time) + interval '1 day' as last
from books;

-- name: span_candles
-- How many rows the replay gave that were received from $1 to $2, and which time all of its rows span.
select count(*) filter (where received_at between $1 and $2) as rows, min(time) - interval '1 day' as first,
       max(time) + interval '1 day' as last
from candles;

-- name: span_derivatives
-- How many rows the replay gave that were received from $1 to $2, and which time all of its rows span.
select count(*) filter (where received_at between $1 and $2) as rows, min(time) - interval '1 day' as first,
       max(time) + interval '1 day' as last
from derivatives;

-- name: span_rates
-- How many rows the replay gave that were received from $1 to $2, and which time all of its rows span.
select count(*) filter (where received_at between $1 and $2) as rows, min(time) - interval '1 day' as first,
       max(time) + interval '1 day' as last
from rates;

-- name: span_news
-- How many rows the replay gave that were received from $1 to $2, and which time all of its rows span.
select count(*) filter (where received_at between $1 and $2) as rows, min(time) - interval '1 day' as first,
       max(time) + interval '1 day' as last
from news;

-- Rows received from $1 to $2, of venues $3, with times from $4 to $5: `missing` in the live tables, `extra` there, or
-- there and different, to the last digit. What was there before the span, or has changed after it, is passed over. So is
-- who told a row first where backfills did at the same time, from $6 to $7: no journal knows who was committed first.

-- name: compare_trades
-- See above.
insert into differences
select 'trades', case when l.instrument_id is null then 'missing' when r.instrument_id is null then 'extra' else 'differs' end,
       v.code, i.symbol, coalesce(r.time, l.time), case when l.instrument_id is not null then to_jsonb(l) end,
       case when r.instrument_id is not null then to_jsonb(r) end
from trades r
full join (
  select t.* from live_trades t join live_instruments i using (instrument_id) join live_venues v using (venue_id)
  where v.code = any($3::text[]) and t.time between $4 and $5
) l on l.instrument_id = r.instrument_id and l.time = r.time and l.trade_key = r.trade_key
join instruments i on i.instrument_id = coalesce(r.instrument_id, l.instrument_id)
join venues v using (venue_id)
where (l.instrument_id is null and r.received_at between $1 and $2)
   or (r.instrument_id is null and l.received_at between $1 and $2)
   or (l.received_at between $1 and $2 and r.received_at <= $2 and r::text is distinct from l::text
       and not coalesce(
         (l.received_at between $6 and $7 or r.received_at between $6 and $7)
         and (to_jsonb(l) - array['received_at', 'trade_id'])::text
             = (to_jsonb(r) - array['received_at', 'trade_id'])::text, false));

-- name: compare_ticks
-- See above.
insert into differences
select 'ticks', case when l.instrument_id is null then 'missing' when r.instrument_id is null then 'extra' else 'differs' end,
       v.code, i.symbol, coalesce(r.time, l.time), case when l.instrument_id is not null then to_jsonb(l) end,
       case when r.instrument_id is not null then to_jsonb(r) end
from ticks r
full join (
  select t.* from live_ticks t join live_instruments i using (instrument_id) join live_venues v using (venue_id)
  where v.code = any($3::text[]) and t.time between $4 and $5
) l on l.instrument_id = r.instrument_id and l.time = r.time and l.tick_key = r.tick_key
join instruments i on i.instrument_id = coalesce(r.instrument_id, l.instrument_id)
join venues v using (venue_id)
where (l.instrument_id is null and r.received_at between $1 and $2)
   or (r.instrument_id is null and l.received_at between $1 and $2)
   or (l.received_at between $1 and $2 and r.received_at <= $2 and r::text is distinct from l::text
       and not coalesce(
         (l.received_at between $6 and $7 or r.received_at between $6 and $7)
         and (to_jsonb(l) - array['received_at', 'trade_id'])::text
             = (to_jsonb(r) - array['received_at', 'trade_id'])::text, false));

-- name: compare_books
-- See above.
insert into differences
select 'books', case when l.instrument_id is null then 'missing' when r.instrument_id is null then 'extra' else 'differs' end,
       v.code, i.symbol, coalesce(r.time, l.time), case when l.instrument_id is not null then to_jsonb(l) end,
       case when r.instrument_id is not null then to_jsonb(r) end
from books r
full join (
  select t.* from live_books t join live_instruments i using (instrument_id) join live_venues v using (venue_id)
  where v.code = any($3::text[]) and t.time between $4 and $5
) l on l.instrument_id = r.instrument_id and l.time = r.time and l.seq = r.seq and l.snapshot = r.snapshot
join instruments i on i.instrument_id = coalesce(r.instrument_id, l.instrument_id)
join venues v using (venue_id)
where (l.instrument_id is null and r.received_at between $1 and $2)
   or (r.instrument_id is null and l.received_at between $1 and $2)
   or (l.received_at between $1 and $2 and r.received_at <= $2 and r::text is distinct from l::text
       and not coalesce(
         (l.received_at between $6 and $7 or r.received_at between $6 and $7)
         and (to_jsonb(l) - array['received_at', 'trade_id'])::text
             = (to_jsonb(r) - array['received_at', 'trade_id'])::text, false));

-- name: compare_candles
-- See above.
insert into differences
select 'candles', case when l.instrument_id is null then 'missing' when r.instrument_id is null then 'extra' else 'differs' end,
       v.code, i.symbol, coalesce(r.time, l.time), case when l.instrument_id is not null then to_jsonb(l) end,
       case when r.instrument_id is not null then to_jsonb(r) end
from candles r
full join (
  select t.* from live_candles t join live_instruments i using (instrument_id) join live_venues v using (venue_id)
  where v.code = any($3::text[]) and t.time between $4 and $5
) l on l.instrument_id = r.instrument_id and l.time = r.time and l.series = r.series and l.period = r.period
join instruments i on i.instrument_id = coalesce(r.instrument_id, l.instrument_id)
join venues v using (venue_id)
where (l.instrument_id is null and r.received_at between $1 and $2)
   or (r.instrument_id is null and l.received_at between $1 and $2)
   or (l.received_at between $1 and $2 and r.received_at <= $2 and r::text is distinct from l::text
       and not coalesce(
         (l.received_at between $6 and $7 or r.received_at between $6 and $7)
         and (to_jsonb(l) - array['received_at', 'trade_id'])::text
             = (to_jsonb(r) - array['received_at', 'trade_id'])::text, false));

-- name: compare_derivatives
-- See above.
insert into differences
select 'derivatives', case when l.instrument_id is null then 'missing' when r.instrument_id is null then 'extra' else 'differs' end,
       v.code, i.symbol, coalesce(r.time, l.time), case when l.instrument_id is not null then to_jsonb(l) end,
       case when r.instrument_id is not null then to_jsonb(r) end
from derivatives r
full join (
  select t.* from live_derivatives t join live_instruments i using (instrument_id) join live_venues v using (venue_id)
  where v.code = any($3::text[]) and t.time between $4 and $5
) l on l.instrument_id = r.instrument_id and l.time = r.time
join instruments i on i.instrument_id = coalesce(r.instrument_id, l.instrument_id)
join venues v using (venue_id)
where (l.instrument_id is null and r.received_at between $1 and $2)
   or (r.instrument_id is null and l.received_at between $1 and $2)
   or (l.received_at between $1 and $2 and r.received_at <= $2 and r::text is distinct from l::text
       and not coalesce(
         (l.received_at between $6 and $7 or r.received_at between $6 and $7)
         and (to_jsonb(l) - array['received_at', 'trade_id'])::text
             = (to_jsonb(r) - array['received_at', 'trade_id'])::text, false));

-- name: compare_rates
-- See above.
insert into differences
select 'rates', case when l.venue_id is null then 'missing' when r.venue_id is null then 'extra' else 'differs' end,
       v.code, coalesce(r.name, l.name), coalesce(r.time, l.time), case when l.venue_id is not null then to_jsonb(l) end,
       case when r.venue_id is not null then to_jsonb(r) end
from rates r
full join (
  select t.* from live_rates t join live_venues v using (venue_id)
  where v.code = any($3::text[]) and t.time between $4 and $5
) l on l.venue_id = r.venue_id and l.time = r.time and l.name = r.name
join venues v on v.venue_id = coalesce(r.venue_id, l.venue_id)
where (l.venue_id is null and r.received_at between $1 and $2)
   or (r.venue_id is null and l.received_at between $1 and $2)
   or (l.received_at between $1 and $2 and r.received_at <= $2 and r::text is distinct from l::text
       and not coalesce(
         (l.received_at between $6 and $7 or r.received_at between $6 and $7)
         and (to_jsonb(l) - array['received_at', 'trade_id'])::text
             = (to_jsonb(r) - array['received_at', 'trade_id'])::text, false));

-- name: compare_news
-- See above.
insert into differences
select 'news', case when l.venue_id is null then 'missing' when r.venue_id is null then 'extra' else 'differs' end,
       v.code, coalesce(r.source, l.source), coalesce(r.time, l.time), case when l.venue_id is not null then to_jsonb(l) end,
       case when r.venue_id is not null then to_jsonb(r) end
from news r
full join (
  select t.* from live_news t join live_venues v using (venue_id)
  where v.code = any($3::text[]) and t.time between $4 and $5
) l on l.venue_id = r.venue_id and l.time = r.time and l.news_key = r.news_key
join venues v on v.venue_id = coalesce(r.venue_id, l.venue_id)
where (l.venue_id is null and r.received_at between $1 and $2)
   or (r.venue_id is null and l.received_at between $1 and $2)
   or (l.received_at between $1 and $2 and r.received_at <= $2 and r::text is distinct from l::text
       and not coalesce(
         (l.received_at between $6 and $7 or r.received_at between $6 and $7)
         and (to_jsonb(l) - array['received_at', 'trade_id'])::text
             = (to_jsonb(r) - array['received_at', 'trade_id'])::text, false));

-- name: counts
-- Differences by table and kind.
select table_name, kind, count(*) from differences group by 1, 2;

-- name: columns
-- In which columns rows differ, and how many do.
select d.table_name, l.key, count(*)
from differences d cross join lateral jsonb_each_text(d.live) l
where d.kind = 'differs' and l.value is distinct from d.replayed ->> l.key
group by 1, 2 order by 1, 3 desc, 2;

-- name: examples
-- The first $1 of each table and kind.
select table_name, kind, venue, symbol, time, live::text, replayed::text
from (select *, row_number() over (partition by table_name, kind order by time, venue, symbol) as place
      from differences) d
where place <= $1
order by table_name, kind, place;

-- name: quarantined
-- What the replay could not understand, by error.
select error, sum(items)::bigint as items from quarantine group by 1 order by 2 desc limit 20;
