-- One search for each of many moments: what is done for each of them counts.

create function quotes_at(instrument_id int, moments timestamptz[], oldest timestamptz)
returns table (moment timestamptz, "time" timestamptz, bid numeric, ask numeric)
language plpgsql stable parallel safe rows 1440 as $$
#variable_conflict use_column
begin
  return query
  select s, q.time, q.bid, q.ask
  from unnest(quotes_at.moments) s
  cross join lateral (
    select q.time, q.bid, q.ask from ticks q
    where q.instrument_id = quotes_at.instrument_id and q.time <= s and q.bid is not null and q.ask is not null
      and q.time between quotes_at.oldest and quotes_at.moments[cardinality(quotes_at.moments)]
    order by q.time desc, q.tick_key desc limit 1) q;
end $$;
comment on function quotes_at is 'The last whole quote at or before each of some moments, which rise and lie close together; oldest: how far to look back.';

create or replace function spread_series(
  venue text, symbol text, step interval, from_time timestamptz, to_time timestamptz default now())
returns table (
  "time" timestamptz, bid numeric, ask numeric, spread numeric, mid numeric, relative_spread numeric,
  quoted_at timestamptz, gap boolean)
language plpgsql stable parallel safe as $$
#variable_conflict use_column
declare
  wanted constant int := instrument_number(spread_series.venue, spread_series.symbol);
  known  constant tstzmultirange := recorded_spans(wanted, 'ticks', spread_series.from_time, spread_series.to_time);
begin
  perform check_period(spread_series.step);
  return query
  with days as (
    select array_agg(s order by s) as moments
    from moments(spread_series.from_time, spread_series.to_time, spread_series.step) s
    group by date_bin('1 day', s, timestamptz '2000-01-01 00:00:00+00')
  )
  select q.moment, q.bid, q.ask, q.ask - q.bid, m.mid, (q.ask - q.bid) / nullif(m.mid, 0), q.time, not known @> q.moment
  from days d
  cross join lateral (
    -- Where nothing is that old, no quote of the day is left out.
    select coalesce((
      select q.time from ticks q
      where q.instrument_id = wanted and q.time <= d.moments[1] and q.bid is not null and q.ask is not null
      order by q.time desc limit 1), d.moments[1]) as oldest) o
  cross join lateral quotes_at(wanted, d.moments, o.oldest) q
  cross join lateral (select (q.bid + q.ask) * 0.5 as mid) m
  order by q.moment;
end $$;

do $$
declare
  made text;
begin
  foreach made in array array['quotes_at', 'spread_series'] loop
    execute format('alter function %I.%I set search_path = %I, pg_temp', current_schema(), made, current_schema());
    -- A plan for any time looks into every chunk of a table.
    execute format('alter function %I.%I set plan_cache_mode = force_custom_plan', current_schema(), made);
  end loop;
  -- Of a day there are one or two chunks. TimescaleDB's node for many takes half as long again as the search itself.
  if exists (select from pg_settings where name = 'timescaledb.enable_chunk_append') then
    execute format('alter function %I.quotes_at set timescaledb.enable_chunk_append = off', current_schema());
  end if;
end $$;
