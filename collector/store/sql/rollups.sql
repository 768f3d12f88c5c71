-- Rollups where the daemon keeps them: which minutes to make anew, and the bars of one level from those below.

-- name: kept_by_the_server
-- Whether the rollups are continuous aggregates, which nobody needs to keep.
select exists (select from rollup_progress where instrument_id = 0);

-- name: lock
-- One process at a time, until the end of the transaction; false where another is at it.
select pg_try_advisory_xact_lock($1);

-- name: take
-- Take notes of minutes that ended before $1 away, $2 at the most; the trades of these minutes are all visible by now.
delete from trades_touched
where ctid = any (array(
  select ctid from trades_touched where minute < timestamptz 'epoch' + $1::bigint * interval '1 microsecond' limit $2))
returning instrument_id, minute;

-- name: roll_1m
-- Minutes from trades; $3 and $4 are the earliest minute and the end of the last one.
insert into trades_1m as r (time, instrument_id, open, high, low, close, volume, quote_volume, trades)
select d.time, d.instrument_id, x.*
from unnest($1::int[], $2::timestamptz[]) d (instrument_id, time)
cross join lateral (
  select (array_agg(price order by t.time, trade_key))[1], max(price), min(price),
         (array_agg(price order by t.time, trade_key))[count(*)], sum(size), sum(price * size), count(*)
  from trades t
  where t.instrument_id = d.instrument_id and t.time >= d.time and t.time < d.time + interval '1 minute'
    and t.time >= $3::timestamptz and t.time < $4::timestamptz
  having count(*) > 0) x
on conflict (instrument_id, time) do update
set (open, high, low, close, volume, quote_volume, trades) = (
      excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume, excluded.quote_volume,
      excluded.trades)
-- Where retention has deleted trades, the bar knows of more of them than the table.
where excluded.trades > r.trades
   or r.time >= coalesce((select expired_to from retention where stream = 'trades'), '-infinity');

-- name: roll_5m
-- Five minutes from minutes.
insert into trades_5m as r (time, instrument_id, open, high, low, close, volume, quote_volume, trades)
select d.time, d.instrument_id, x.*
from unnest($1::int[], $2::timestamptz[]) d (instrument_id, time)
cross join lateral (
  select (array_agg(open order by b.time))[1], max(high), min(low), (array_agg(close order by b.time desc))[1],
         sum(volume), sum(quote_volume), sum(trades)::bigint
  from trades_1m b
  where b.instrument_id = d.instrument_id and b.time >= d.time and b.time < d.time + interval '5 minutes'
  having count(*) > 0) x
on conflict (instrument_id, time) do update
set (open, high, low, close, volume, quote_volume, trades) = (
      excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume, excluded.quote_volume,
      excluded.trades);

-- name: roll_1h
-- Hours from five minutes.
insert into trades_1h as r (time, instrument_id, open, high, low, close, volume, quote_volume, trades)
select d.time, d.instrument_id, x.*
from unnest($1::int[], $2::timestamptz[]) d (instrument_id, time)
cross join lateral (
  select (array_agg(open order by b.time))[1], max(high), min(low), (array_agg(close order by b.time desc))[1],
         sum(volume), sum(quote_volume), sum(trades)::bigint
  from trades_5m b
  where b.instrument_id = d.instrument_id and b.time >= d.time and b.time < d.time + interval '1 hour'
  having count(*) > 0) x
on conflict (instrument_id, time) do update
set (open, high, low, close, volume, quote_volume, trades) = (
      excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume, excluded.quote_volume,
      excluded.trades);

-- name: roll_1d
-- Days from hours.
insert into trades_1d as r (time, instrument_id, open, high, low, close, volume, quote_volume, trades)
select d.time, d.instrument_id, x.*
from unnest($1::int[], $2::timestamptz[]) d (instrument_id, time)
cross join lateral (
  select (array_agg(open order by b.time))[1], max(high), min(low), (array_agg(close order by b.time desc))[1],
         sum(volume), sum(quote_volume), sum(trades)::bigint
  from trades_1h b
  where b.instrument_id = d.instrument_id and b.time >= d.time and b.time < d.time + interval '24 hours'
  having count(*) > 0) x
on conflict (instrument_id, time) do update
set (open, high, low, close, volume, quote_volume, trades) = (
      excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume, excluded.quote_volume,
      excluded.trades);

-- name: begin_empty
-- Instruments without a trade have nothing to be built: whatever comes is noted.
insert into rollup_progress (instrument_id, built_until)
select i.instrument_id, 'infinity'
from instruments i
where not exists (select from rollup_progress p where p.instrument_id = i.instrument_id)
  and (select t.time from trades t where t.instrument_id = i.instrument_id order by t.time limit 1) is null
on conflict (instrument_id) do nothing;

-- name: unbuilt
-- An instrument with trades from the time before notes were taken, and its next day of them; null: there is none.
select u.instrument_id, (
  select min(t.time) from trades t where t.instrument_id = u.instrument_id and t.time >= u.built_until) as next_time
from (
  select i.instrument_id, coalesce(p.built_until, '-infinity') as built_until
  from instruments i left join rollup_progress p using (instrument_id)
  where p.built_until is null or p.built_until < 'infinity'
  order by 1 limit 1) u;

-- name: build_day
-- The minutes of an instrument $1 on the day from $2 to $3.
insert into trades_1m as r (time, instrument_id, open, high, low, close, volume, quote_volume, trades)
select date_bin('1 minute', t.time, timestamptz '2001-01-01 00:00:00+00'), $1::int,
       (array_agg(price order by t.time, trade_key))[1], max(price), min(price),
       (array_agg(price order by t.time, trade_key))[count(*)], sum(size), sum(price * size), count(*)
from trades t
where t.instrument_id = $1::int and t.time >= $2::timestamptz and t.time < $3::timestamptz
group by 1
on conflict (instrument_id, time) do update
set (open, high, low, close, volume, quote_volume, trades) = (
      excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume, excluded.quote_volume,
      excluded.trades)
returning time;

-- name: note_progress
-- The rollups of $1 are built up to $2; null: up to whatever comes, which is noted.
insert into rollup_progress (instrument_id, built_until) values ($1, coalesce($2::timestamptz, 'infinity'))
on conflict (instrument_id) do update set built_until = excluded.built_until;
