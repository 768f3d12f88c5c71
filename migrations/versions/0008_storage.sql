-- Storage: what was deleted because of its age, and the means to delete it; and quicker answers.

create table backfills_begun (
  instrument_id int not null references instruments,
  stream        text not null,
  from_time     timestamptz not null,
  to_time       timestamptz not null,
  begun_at      timestamptz not null default now(),
  primary key (instrument_id, stream, from_time, to_time)
);
comment on table backfills_begun is 'Spans that `collector backfill` has begun to fetch, noted before their first row is stored.';
comment on column backfills_begun.instrument_id is 'The instrument.';
comment on column backfills_begun.stream is 'The stream.';
comment on column backfills_begun.from_time is 'From when on, by the venue''s clock.';
comment on column backfills_begun.to_time is 'Until when.';
comment on column backfills_begun.begun_at is 'When it was first begun, by the database''s clock.';

create table retention (
  stream         text primary key,
  keep           interval not null,
  keep_backfills boolean not null,
  expired_to     timestamptz not null default '-infinity',
  ran_at         timestamptz
);
comment on table retention is 'How long tables keep their rows, as the daemon was last told, and what it has deleted.';
comment on column retention.stream is 'The table.';
comment on column retention.keep is 'Rows are deleted at this age.';
comment on column retention.keep_backfills is 'Whether spans that were older than that when they were backfilled are spared.';
comment on column retention.expired_to is 'Rows from before this may be deleted, but for spans in spared_spans.';
comment on column retention.ran_at is 'When something was last deleted, by the database''s clock.';

create view spared_spans as
select b.instrument_id, b.stream, b.from_time, b.to_time
from (
  select instrument_id, stream, from_time, to_time, begun_at from backfills_begun
  union select instrument_id, stream, from_time, to_time, done_at from backfills) b
join retention r using (stream)
where r.keep_backfills and b.from_time < b.begun_at - r.keep and b.to_time > b.from_time;
comment on view spared_spans is 'Backfilled spans that retention leaves alone: they were older than it keeps when they were fetched.';

create function expired_spans(instrument_id int, stream text) returns tstzmultirange
language plpgsql stable parallel safe as $$
#variable_conflict use_column
declare
  reached timestamptz;
  spared  tstzmultirange;
begin
  select r.expired_to into reached from retention r where r.stream = expired_spans.stream;
  if reached is null or reached = '-infinity' then
    return '{}';
  end if;
  select coalesce(range_agg(tstzrange(s.from_time, s.to_time)), '{}') into spared
  from spared_spans s where s.instrument_id = expired_spans.instrument_id and s.stream = expired_spans.stream;
  return tstzmultirange(tstzrange(null, reached)) - spared;
end $$;
comment on function expired_spans is 'The time of which an instrument''s stream was deleted because of its age.';

create function expire(stream text, cut timestamptz, most int) returns bigint
language plpgsql as $$
#variable_conflict use_column
declare
  owner constant text := case when stream in ('rates', 'news') then 'venue_id' else 'instrument_id' end;
  place   text;
  chunked boolean := false;
  chunk   record;
  one     int;
  deleted bigint;
  gone    bigint := 0;
begin
  if stream not in ('trades', 'ticks', 'books', 'candles', 'derivatives', 'rates', 'news') then
    raise exception '% is no table of facts', stream using errcode = 'invalid_parameter_value';
  end if;
  select extnamespace::regnamespace::text into place from pg_extension where extname = 'timescaledb';
  if found then
    execute 'select exists (select from timescaledb_information.hypertables '
            'where hypertable_schema = current_schema() and hypertable_name = $1)' into chunked using stream;
  end if;
  if chunked then
    for chunk in execute
      'select range_start, range_end from timescaledb_information.chunks '
      'where hypertable_schema = current_schema() and hypertable_name = $1 and range_end <= $2 order by range_start'
      using stream, cut
    loop
      if not exists (select from spared_spans s where s.stream = expire.stream and s.from_time < chunk.range_end
                                                  and s.to_time > chunk.range_start) then
        execute format('select %s.drop_chunks(%L, older_than => %L::timestamptz, newer_than => %L::timestamptz)',
                       place, stream, chunk.range_end, chunk.range_start);
      elsif chunk.range_end > (select r.expired_to from retention r where r.stream = expire.stream) then
        execute format(
          'delete from %1$I t where time >= $1 and time < $2 and not exists (select from spared_spans s '
          'where s.stream = %1$L and s.instrument_id = t.%2$I and s.from_time <= t.time and s.to_time > t.time)',
          stream, owner) using chunk.range_start, chunk.range_end;
      else
        continue;
      end if;
      update retention r set expired_to = greatest(r.expired_to, chunk.range_end), ran_at = now()
      where r.stream = expire.stream;
      return 1;
    end loop;
    return 0;
  end if;

  update retention r set expired_to = greatest(r.expired_to, cut) where r.stream = expire.stream;
  for one in execute format('select %1$I from %2$I', owner, case owner when 'venue_id' then 'venues' else 'instruments' end)
  loop
    execute format(
      'delete from %1$I where ctid = any (array(select ctid from %1$I t where %2$I = $1 and time < $2 and not exists ('
      'select from spared_spans s where s.stream = %1$L and s.instrument_id = t.%2$I and s.from_time <= t.time '
      'and s.to_time > t.time) limit $3))', stream, owner) using one, cut, most - gone;
    get diagnostics deleted = row_count;
    gone := gone + deleted;
    exit when gone >= most;
  end loop;
  if gone > 0 then
    update retention r set ran_at = now() where r.stream = expire.stream;
  end if;
  return gone;
end $$;
comment on function expire is 'Delete the next of what is older than cut: a chunk, or as many rows at the most; returns 0 when nothing is left. Whole chunks go, so a part of one stays until all of it is old enough.';

create function compress_at(stream text, age interval) returns boolean
language plpgsql as $$
declare
  place   text;
  current interval;
begin
  select extnamespace::regnamespace::text into place from pg_extension where extname = 'timescaledb';
  if not found or current_setting('timescaledb.license', true) is distinct from 'timescale' then
    return age is null;
  end if;
  execute 'select (config ->> ''compress_after'')::interval from timescaledb_information.jobs '
          'where proc_name = ''policy_compression'' and hypertable_schema = current_schema() and hypertable_name = $1'
    into current using stream;
  if current is not distinct from age then
    return true;
  end if;
  if current is not null then
    execute format('select %s.remove_compression_policy(%L, if_exists => true)', place, stream);
  end if;
  if age is not null then
    if not (select compression_enabled from timescaledb_information.hypertables
            where hypertable_schema = current_schema() and hypertable_name = stream) then
      execute format(
        'alter table %I set (timescaledb.compress, timescaledb.compress_segmentby = %L, timescaledb.compress_orderby = %L)',
        stream,
        case stream when 'candles' then 'instrument_id, series, period' when 'rates' then 'venue_id, name'
                    when 'news' then 'venue_id' else 'instrument_id' end,
        case stream when 'trades' then 'time, trade_key' when 'ticks' then 'time, tick_key' when 'books' then 'time, seq'
                    when 'news' then 'time, news_key' else 'time' end);
    end if;
    execute format('select %s.add_compression_policy(%L, compress_after => %L::interval)', place, stream, age);
  end if;
  return true;
end $$;
comment on function compress_at is 'Let the server compress a table''s rows at an age, null for never; false where it cannot.';

create or replace function recorded_spans(instrument_id int, stream text, from_time timestamptz, to_time timestamptz)
returns tstzmultirange
language plpgsql stable parallel safe as $$
#variable_conflict use_column
declare
  recorded tstzmultirange;
  lacking  tstzmultirange;
  since    constant timestamptz := recorded_since(recorded_spans.instrument_id, recorded_spans.stream);
begin
  select coalesce(range_agg(tstzrange(b.from_time, greatest(b.from_time, b.to_time))), '{}') into recorded
  from backfills b
  where b.instrument_id = recorded_spans.instrument_id and b.stream = recorded_spans.stream
    and b.from_time < recorded_spans.to_time and b.to_time > recorded_spans.from_time;
  if since is not null then
    recorded := recorded + tstzmultirange(tstzrange(since, null));
  end if;
  select coalesce(range_agg(tstzrange(g.from_time, greatest(g.from_time, coalesce(g.to_time, 'infinity')))), '{}')
  into lacking
  from gaps g
  where g.instrument_id = recorded_spans.instrument_id and g.stream = recorded_spans.stream and g.state <> 'repaired'
    and g.from_time < recorded_spans.to_time and coalesce(g.to_time, 'infinity') > recorded_spans.from_time;
  if recorded_spans.stream <> 'trades' then  -- of trades the bars stay
    lacking := lacking + expired_spans(recorded_spans.instrument_id, recorded_spans.stream);
  end if;
  return recorded - lacking;
end $$;

-- As in step 2, and what retention has deleted.
create or replace view coverage as
with recorded as (
  select s.venue_id, c.value ->> 1 as stream, y.value as symbol, min(s.opened_at) as since,
         max(coalesce(s.closed_at, p.written_at)) as until
  from sessions s
  cross join (select max(updated_at) as written_at from journal_position) p
  cross join lateral jsonb_array_elements(s.details -> 'subscriptions') as c
  cross join lateral jsonb_array_elements_text(c.value -> 2) as y
  group by 1, 2, 3
), spans as (
  select i.instrument_id, r.stream, r.since, greatest(r.until, r.since) as until
  from recorded r join instruments i using (venue_id, symbol)
), lacks as (
  select instrument_id, stream, greatest(g.from_time, s.since) as from_time,
         coalesce(g.to_time, greatest(s.until, g.from_time)) as to_time,
         case g.state when 'repaired' then 1 when 'open' then 2 else 3 end as badness
  from gaps g join spans s using (instrument_id, stream)
  where coalesce(g.to_time, 'infinity') > s.since
  union all
  select s.instrument_id, s.stream, lower(e), upper(e), 4
  from spans s
  cross join lateral unnest(
    expired_spans(s.instrument_id, s.stream) * tstzmultirange(tstzrange(s.since, s.until))) e
  where s.stream in (select stream from retention)
), moments as (
  select instrument_id, stream, since as moment from spans union select instrument_id, stream, until from spans
  union select instrument_id, stream, from_time from lacks union select instrument_id, stream, to_time from lacks
), pieces as (
  select instrument_id, stream, moment as from_time,
         lead(moment) over (partition by instrument_id, stream order by moment) as to_time
  from moments
), judged as (
  select p.instrument_id, p.stream, p.from_time, p.to_time, coalesce(max(l.badness), 0) as badness
  from pieces p
  left join lacks l on l.instrument_id = p.instrument_id and l.stream = p.stream
                   and l.from_time <= p.from_time and l.to_time >= p.to_time
  where p.to_time is not null
  group by 1, 2, 3, 4
), runs as (
  select *, sum(turned) over (partition by instrument_id, stream order by from_time) as run
  from (select *, (badness is distinct from lag(badness) over (partition by instrument_id, stream order by from_time))::int
               as turned from judged) t
)
select v.code as venue, i.symbol, r.stream,
       (array['covered', 'repaired', 'missing', 'lost', 'expired'])[r.badness + 1] as state,
       min(r.from_time) as from_time, max(r.to_time) as to_time, max(r.to_time) - min(r.from_time) as duration,
       r.instrument_id
from runs r join instruments i using (instrument_id) join venues v using (venue_id)
group by v.code, i.symbol, r.stream, r.instrument_id, r.run, r.badness;
comment on view coverage is 'Time by instrument and stream since recording began: covered, repaired (got back), missing (may still be got back), lost, expired (deleted because of its age).';

-- Quicker answers: without `strict` the server puts the body in the place of the call.

create or replace function bar_opening(period interval, moment timestamptz) returns timestamptz
language sql immutable parallel safe as $$
  select case when extract(year from period) = 0 and extract(month from period) = 0
    then date_bin(period, moment, timestamptz '2001-01-01 00:00:00+00')
    else (timestamp '2000-01-01' + make_interval(months => (
           floor((extract(year from moment at time zone 'UTC') * 12 + extract(month from moment at time zone 'UTC') - 24001)
                 / (extract(year from period) * 12 + extract(month from period)))
           * (extract(year from period) * 12 + extract(month from period)))::int)) at time zone 'UTC' end
$$;

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
  oldest constant timestamptz := (
    select q.time from ticks q
    where q.instrument_id = wanted and q.time <= spread_series.from_time and q.bid is not null and q.ask is not null
    order by q.time desc limit 1);
begin
  perform check_period(spread_series.step);
  return query
  select s, q.bid, q.ask, q.ask - q.bid, m, (q.ask - q.bid) / nullif(m, 0), q.time, not known @> s
  from moments(spread_series.from_time, spread_series.to_time, spread_series.step) s
  cross join lateral (
    select q.time, q.bid, q.ask, (q.bid + q.ask) * 0.5 as m from ticks q
    where q.instrument_id = wanted and q.time <= s and q.bid is not null and q.ask is not null
      and q.time >= coalesce(oldest, spread_series.from_time) and q.time < spread_series.to_time
    order by q.time desc, q.tick_key desc limit 1) q;
end $$;

create or replace function book_at(venue text, symbol text, at timestamptz, depth int default 10)
returns table (
  level int, bid_price numeric, bid_size numeric, ask_price numeric, ask_size numeric, as_of timestamptz, age interval,
  covered boolean)
language plpgsql stable parallel safe as $$
#variable_conflict use_column
declare
  wanted  constant int := instrument_number(book_at.venue, book_at.symbol);
  horizon interval;
  whole   books;
  counted text;
  lost_at timestamptz;
  torn_at bigint;
  ends    timestamptz;
  moment  timestamptz;
  known   boolean;
begin
  -- How the venue numbers its books: successive (one more each time), rising, or null where numbers mean nothing.
  select s.details ->> 'book_numbering' into counted
  from instruments i join sessions s using (venue_id)
  where i.instrument_id = wanted
  order by s.opened_at <= book_at.at desc, abs(extract(epoch from s.opened_at - book_at.at)) limit 1;

  foreach horizon in array array[interval '1 hour', interval '1 day', interval '30 days', interval '200 years'] loop
    select * into whole from books b
    where b.instrument_id = wanted and b.snapshot and b.time <= book_at.at and b.time > book_at.at - horizon
      and (counted is distinct from 'successive' or b.seq > 0)
    order by b.time desc, b.received_at desc limit 1;
    exit when found;
  end loop;
  if whole.time is null then
    return;
  end if;

  -- A gap that a later book ended breaks the chain. A snapshot is as old as its last change, so one that ended a gap can
  -- carry a time before it.
  select min(g.from_time) into lost_at from gaps g
  where g.instrument_id = wanted and g.stream = 'books' and g.state <> 'repaired' and g.from_time <= book_at.at
    and coalesce(g.to_time, 'infinity') > greatest(whole.time, whole.received_at);
  ends := least(book_at.at, lost_at);
  if counted = 'successive' then
    select min(x.seq) into torn_at
    from (
      select b.seq, lag(b.seq, 1, whole.seq) over (order by b.seq) as before from books b
      where b.instrument_id = wanted and not b.snapshot and b.time >= whole.time and b.time <= ends
        and b.seq > whole.seq) x
    where x.seq <> x.before + 1;
  end if;
  known := lost_at is null and torn_at is null and book_at.at <= coalesce(recorded_until(), now())
           and coalesce(recorded_since(wanted, 'books') <= book_at.at, false);
  select max(b.time) into moment from books b
  where b.instrument_id = wanted and not b.snapshot and b.time >= whole.time and b.time <= ends
    and case when counted is null then b.received_at >= whole.received_at else b.seq > whole.seq end
    and (torn_at is null or b.seq < torn_at);
  moment := coalesce(moment, whole.time);

  return query
  with changes as materialized (
    -- The last word on each price: arrays are compared from their beginning, which is the order of the changes.
    select x.bids, x.price, (max(array[x.place, x.received, x.seq, x.size]))[4] as size
    from (
      select case when counted is null then extract(epoch from b.time) else b.seq end as place,
             extract(epoch from b.received_at) as received, b.seq, u.*
      from books b
      cross join lateral (
        select true, p, s from unnest(b.bid_prices, b.bid_sizes) u (p, s)
        union all
        select false, p, s from unnest(b.ask_prices, b.ask_sizes) u (p, s)) u (bids, price, size)
      where b.instrument_id = wanted and not b.snapshot and b.time >= whole.time and b.time <= ends
        and case when counted is null then b.received_at >= whole.received_at else b.seq > whole.seq end
        and (torn_at is null or b.seq < torn_at)) x
    group by x.bids, x.price
  ), bids as (
    select u.price, u.size from unnest(whole.bid_prices, whole.bid_sizes) u (price, size)
    where not exists (select from changes c where c.bids and c.price = u.price)
    union all
    select c.price, c.size from changes c where c.bids and c.size <> 0
    order by 1 desc limit book_at.depth
  ), asks as (
    select u.price, u.size from unnest(whole.ask_prices, whole.ask_sizes) u (price, size)
    where not exists (select from changes c where not c.bids and c.price = u.price)
    union all
    select c.price, c.size from changes c where not c.bids and c.size <> 0
    order by 1 limit book_at.depth
  )
  select coalesce(b.place, a.place)::int, b.price, b.size, a.price, a.size, moment, book_at.at - moment, known
  from (select row_number() over (order by price desc) as place, * from bids) b
  full join (select row_number() over (order by price) as place, * from asks) a using (place)
  order by 1;
end $$;

do $$
declare
  made text;
begin
  foreach made in array array['expired_spans', 'recorded_spans', 'expire', 'compress_at', 'spread_series', 'book_at'] loop
    execute format('alter function %I.%I set search_path = %I, pg_temp', current_schema(), made, current_schema());
  end loop;
  -- A plan for any time looks into every chunk of a table.
  foreach made in array array['book_at', 'spread_series', 'last_prices', 'raw_pieces', 'trades_with_quotes'] loop
    execute format('alter function %I.%I set plan_cache_mode = force_custom_plan', current_schema(), made);
  end loop;
end $$;
