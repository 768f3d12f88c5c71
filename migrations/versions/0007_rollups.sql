-- Rollups: bars of 1 minute, 5 minutes, 1 hour and 1 day, kept from trades, and functions that read them.
--
-- On TimescaleDB's Community edition they are continuous aggregates. Elsewhere the daemon keeps tables of the same names
-- and columns. Whoever stores trades notes their minutes in trades_touched, in the same transaction; the daemon takes
-- notes away and makes those minutes anew, in one transaction too. So whatever is read in one statement fits together:
-- what has a note, or was stored before notes were taken, is read from the trades themselves, and all else from rollups.

create table trades_touched (
  instrument_id int not null,
  minute        timestamptz not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
comment on table trades_touched is 'Minutes whose trades are not, or not all, in the rollups yet.';
comment on column trades_touched.instrument_id is 'The instrument.';
comment on column trades_touched.minute is 'The begin of the minute.';
create index trades_touched_minutes on trades_touched (instrument_id, minute);

create table rollup_progress (
  instrument_id int primary key,
  built_until   timestamptz not null
);
comment on table rollup_progress is 'Up to when the rollups of an instrument are built, notes in trades_touched aside.';
comment on column rollup_progress.instrument_id is 'The instrument; 0 stands for all, where the server keeps the rollups by itself.';
comment on column rollup_progress.built_until is 'Trades from here on are read from trades; infinity: none are.';

do $$
declare
  place text;
  width record;
begin
  select extnamespace::regnamespace::text into place from pg_extension where extname = 'timescaledb';
  if found and current_setting('timescaledb.license', true) = 'timescale' then
    begin
      for width in select * from (values
          (1, 'trades_1m', 'trades', '1 minute'), (2, 'trades_5m', 'trades_1m', '5 minutes'),
          (3, 'trades_1h', 'trades_5m', '1 hour'), (4, 'trades_1d', 'trades_1h', '1 day')) v (n, name, made_of, length)
          order by 1
      loop
        execute format(
          case when width.n = 1 then
            'create materialized view kept_%1$s with (timescaledb.continuous, timescaledb.materialized_only = false) as '
            'select instrument_id, %2$s.time_bucket(interval %3$L, time) as bucket, '
            '(array_agg(price order by time, trade_key))[1] as open, max(price) as high, min(price) as low, '
            '(array_agg(price order by time, trade_key))[count(*)] as close, sum(size) as volume, '
            'sum(price * size) as quote_volume, count(*) as trades from trades group by 1, 2 with no data'
          else
            'create materialized view kept_%1$s with (timescaledb.continuous, timescaledb.materialized_only = false) as '
            'select instrument_id, %2$s.time_bucket(interval %3$L, bucket) as bucket, '
            '(array_agg(open order by bucket))[1] as open, max(high) as high, min(low) as low, '
            '(array_agg(close order by bucket desc))[1] as close, sum(volume) as volume, '
            'sum(quote_volume) as quote_volume, sum(trades)::bigint as trades from kept_%4$s group by 1, 2 with no data'
          end, width.name, place, width.length, width.made_of);
        execute format(
          'select %s.add_continuous_aggregate_policy(%L, start_offset => null, end_offset => interval %L, '
          'schedule_interval => interval ''1 minute'')', place, 'kept_' || width.name, width.length);
        execute format('comment on view kept_%s is ''The continuous aggregate below %s.''', width.name, width.name);
        execute format(
          'create view %1$s as select bucket as time, instrument_id, open, high, low, close, volume, quote_volume, trades '
          'from kept_%1$s', width.name);
      end loop;
      insert into rollup_progress values (0, 'infinity');
    exception when others then
      raise notice 'this server refuses the continuous aggregates (%); the daemon keeps the rollups itself', sqlerrm;
    end;
  end if;
end $$;

do $$
declare
  name text;
begin
  foreach name in array array['trades_1m', 'trades_5m', 'trades_1h', 'trades_1d'] loop
    if to_regclass(name) is null then
      execute format(
        'create table %1$I ('
        'time timestamptz not null, instrument_id int not null, open numeric not null, high numeric not null, '
        'low numeric not null, close numeric not null, volume numeric not null, quote_volume numeric not null, '
        'trades bigint not null, constraint %2$I primary key (instrument_id, time))', name, name || '_key');
      execute format('comment on table %I is ''Bars made of trades, kept by the daemon; ohlcv() reads them.''', name);
    else
      execute format('comment on view %I is ''Bars made of trades, kept by the server; ohlcv() reads them.''', name);
    end if;
    execute format('comment on column %I.time is ''When the bar opens.''', name);
    execute format('comment on column %I.instrument_id is ''The instrument.''', name);
    execute format('comment on column %I.open is ''The first price, in units of quote.''', name);
    execute format('comment on column %I.high is ''The highest price, in units of quote.''', name);
    execute format('comment on column %I.low is ''The lowest price, in units of quote.''', name);
    execute format('comment on column %I.close is ''The last price, in units of quote.''', name);
    execute format('comment on column %I.volume is ''Traded size, in units of base or in contracts.''', name);
    execute format('comment on column %I.quote_volume is ''The sum of price times size.''', name);
    execute format('comment on column %I.trades is ''How many trades there were.''', name);
  end loop;
end $$;

create view trade_rollups as
select 60 as width, * from trades_1m union all select 300, * from trades_5m
union all select 3600, * from trades_1h union all select 86400, * from trades_1d;
comment on view trade_rollups is 'All rollups; width is the length of a bar in seconds.';

create function raw_pieces(wanted int, width interval, from_time timestamptz, to_time timestamptz)
returns table (
  "time" timestamptz, open numeric, high numeric, low numeric, close numeric, volume numeric, quote_volume numeric,
  trades bigint)
language sql stable parallel safe as $$
  select bar_opening(width, t.time), (array_agg(t.price order by t.time, t.trade_key))[1], max(t.price), min(t.price),
         (array_agg(t.price order by t.time, t.trade_key))[count(*)], sum(t.size), sum(t.price * t.size), count(*)
  from trades t
  where t.instrument_id = wanted and t.time >= from_time and t.time < to_time
  group by 1
$$;
comment on function raw_pieces is 'Bars straight from trades, without those that have none.';

create function trade_pieces(wanted int, width interval, from_time timestamptz, to_time timestamptz)
returns table (
  "time" timestamptz, open numeric, high numeric, low numeric, close numeric, volume numeric, quote_volume numeric,
  trades bigint)
language plpgsql stable parallel safe as $$
#variable_conflict use_column
declare
  minute constant interval := interval '1 minute';
  length constant numeric := extract(epoch from trade_pieces.width);
  level  constant int := case when date_trunc('month', trade_pieces.width) = trade_pieces.width
                                or length % 86400 = 0 then 86400 when length % 3600 = 0 then 3600
                              when length % 300 = 0 then 300 when length % 60 = 0 then 60 end;
  step   constant interval := make_interval(secs => level);
  built  timestamptz;
  -- Minutes that lie whole in the span are [first_one, last_one), bars of the level that do are [low_end, high_end).
  first_one timestamptz;
  last_one  timestamptz;
  low_end   timestamptz;
  high_end  timestamptz;
  touched   timestamptz[];
  torn      timestamptz[];
  one       timestamptz;
begin
  select max(p.built_until) into built from rollup_progress p where p.instrument_id in (0, wanted);
  first_one := bar_opening(minute, from_time + minute - interval '1 microsecond');
  last_one := bar_opening(minute, least(to_time, built));
  if level is null or built is null or first_one >= last_one then
    return query select * from raw_pieces(wanted, trade_pieces.width, from_time, to_time);
    return;
  end if;
  low_end := bar_opening(step, first_one + step - interval '1 microsecond');
  high_end := bar_opening(step, last_one);
  if low_end >= high_end then
    low_end := last_one;
    high_end := last_one;
  end if;
  touched := array(
    select distinct t.minute from trades_touched t
    where t.instrument_id = wanted and t.minute >= first_one and t.minute < last_one);
  torn := array(
    select distinct bar_opening(step, m) from unnest(touched) m where m >= low_end and m < high_end);

  return query
  select r.time, r.open, r.high, r.low, r.close, r.volume, r.quote_volume, r.trades from trade_rollups r
  where r.width = level and r.instrument_id = wanted and r.time >= low_end and r.time < high_end
    and r.time <> all (torn);
  if first_one < low_end or high_end < last_one then
    return query
    select r.time, r.open, r.high, r.low, r.close, r.volume, r.quote_volume, r.trades from trades_1m r
    where r.instrument_id = wanted and r.time <> all (touched)
      and (r.time >= first_one and r.time < low_end or r.time >= high_end and r.time < last_one);
  end if;
  foreach one in array torn loop
    return query
    select r.time, r.open, r.high, r.low, r.close, r.volume, r.quote_volume, r.trades from trades_1m r
    where r.instrument_id = wanted and r.time >= one and r.time < one + step and r.time <> all (touched);
  end loop;
  foreach one in array touched loop
    return query select * from raw_pieces(wanted, minute, one, one + minute);
  end loop;
  return query select * from raw_pieces(wanted, minute, from_time, first_one);
  return query select * from raw_pieces(wanted, minute, last_one, to_time);
end $$;
comment on function trade_pieces is 'The trades of a span summed up in pieces, none of which crosses the end of a bar of this length; from the rollups where they serve.';

create or replace function ohlcv(
  venue text, symbol text, period interval, from_time timestamptz, to_time timestamptz default now(),
  fill boolean default false)
returns table (
  "time" timestamptz, open numeric, high numeric, low numeric, close numeric, volume numeric, quote_volume numeric,
  trades bigint, gap boolean, partial boolean)
language plpgsql stable parallel safe as $$
#variable_conflict use_column
declare
  wanted constant int := instrument_number(ohlcv.venue, ohlcv.symbol);
  known  constant tstzmultirange := recorded_spans(wanted, 'trades', ohlcv.from_time, ohlcv.to_time);
  until  constant timestamptz := coalesce(recorded_until(), now());
begin
  perform check_period(ohlcv.period);
  return query
  with bars as (
    select bar_opening(ohlcv.period, p.time) as opening, (array_agg(p.open order by p.time))[1] as first_price,
           max(p.high) as highest, min(p.low) as lowest, (array_agg(p.close order by p.time desc))[1] as last_price,
           sum(p.volume) as volume, sum(p.quote_volume) as quote_volume, sum(p.trades)::bigint as trades
    from trade_pieces(wanted, ohlcv.period, ohlcv.from_time, ohlcv.to_time) p
    group by 1
  ), filled as (
    select * from bars
    union all
    select s, null, null, null, null, 0, 0, 0
    from moments(bar_opening(ohlcv.period, ohlcv.from_time), ohlcv.to_time, ohlcv.period) s
    where ohlcv.fill and not exists (select from bars b where b.opening = s)
  )
  select f.opening, f.first_price, f.highest, f.lowest, f.last_price, f.volume, f.quote_volume, f.trades,
         not known @> tstzrange(greatest(f.opening, ohlcv.from_time), least(bar_end(ohlcv.period, f.opening), ohlcv.to_time)),
         f.opening < ohlcv.from_time or bar_end(ohlcv.period, f.opening) > least(ohlcv.to_time, until)
  from filled f
  order by f.opening;
end $$;

create or replace function vwap(venue text, symbol text, from_time timestamptz, to_time timestamptz default now())
returns numeric
language plpgsql stable parallel safe as $$
declare
  wanted constant int := instrument_number(vwap.venue, vwap.symbol);
begin
  return (
    select sum(p.quote_volume) / nullif(sum(p.volume), 0)
    from trade_pieces(wanted, interval '1 day', vwap.from_time, vwap.to_time) p);
end $$;

-- The last trade of an instrument is looked for from its last day with trades on, so that those without any, which
-- venues list by the hundred, cost nothing.
create or replace function last_prices()
returns table (
  venue text, symbol text, common_name text, "time" timestamptz, price numeric, size numeric, side smallint)
language plpgsql stable parallel safe as $$
#variable_conflict use_column
begin
  return query
  with since as (
    select i.instrument_id,
           case when p.built_until = 'infinity' then greatest(
             (select max(d.time) from trades_1d d where d.instrument_id = i.instrument_id),
             (select max(m.minute) from trades_touched m where m.instrument_id = i.instrument_id))
           else '-infinity' end as moment
    from instruments i left join rollup_progress p using (instrument_id)
  ), newest as materialized (
    select s.instrument_id, t.*
    from since s
    cross join lateral (
      select t.time, t.price, t.size, t.side from trades t
      where t.instrument_id = s.instrument_id and t.time >= s.moment
      order by t.time desc, t.trade_key desc limit 1) t
    where s.moment is not null
  )
  select i.venue, i.symbol, i.common_name, n.time, n.price, n.size, n.side
  from newest n join v_instruments i using (instrument_id)
  order by 1, 2;
end $$;

do $$
declare
  made text;
begin
  foreach made in array array['raw_pieces', 'trade_pieces', 'ohlcv', 'vwap', 'last_prices']
  loop
    execute format('alter function %I.%I set search_path = %I, pg_temp', current_schema(), made, current_schema());
  end loop;
end $$;
