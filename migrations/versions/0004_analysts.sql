-- For analysts: instruments through time with common names, and functions that answer the usual questions.
--
-- Every function names the schema that it was made in, so that it works whatever the caller's search path is. What one
-- gives does not depend on the session's time zone: days, weeks and months begin at midnight UTC.

-- Instruments through time.

alter table instruments
  add column name   text,
  add column expiry timestamptz;
comment on column instruments.name is 'Its name for people, where the venue has one.';
comment on column instruments.expiry is 'When it expires, where it does and the venue says so.';

create table instrument_versions (
  instrument_id int not null references instruments,
  valid_from    timestamptz not null,
  valid_to      timestamptz,
  base          text,
  quote         text,
  kind          text,
  price_step    numeric,
  size_step     numeric,
  status        text,
  name          text,
  expiry        timestamptz,
  details       jsonb not null default '{}',
  primary key (instrument_id, valid_from),
  check (valid_to > valid_from)
);
comment on table instrument_versions is 'What venues said of instruments, each version with the time in which they said it.';
comment on column instrument_versions.instrument_id is 'The instrument.';
comment on column instrument_versions.valid_from is 'When the venue was first seen to say this, by our clock.';
comment on column instrument_versions.valid_to is 'When it was first seen to say something else; null while it holds.';
comment on column instrument_versions.base is 'What is traded, where the venue says it.';
comment on column instrument_versions.quote is 'What it is paid in, where the venue says it.';
comment on column instrument_versions.kind is 'What sort of instrument it is: spot, perpetual, future, ..';
comment on column instrument_versions.price_step is 'The smallest change of a price, in units of quote.';
comment on column instrument_versions.size_step is 'The smallest change of a size, in units of base or in contracts.';
comment on column instrument_versions.status is 'Whether it is traded, in the venue''s words.';
comment on column instrument_versions.name is 'Its name for people, where the venue has one.';
comment on column instrument_versions.expiry is 'When it expires, where it does and the venue says so.';
comment on column instrument_versions.details is 'The venue''s own description, whole.';

insert into instrument_versions (instrument_id, valid_from, base, quote, kind, price_step, size_step, status, details)
select instrument_id, updated_at, base, quote, kind, price_step, size_step, status, details
from instruments where updated_at is not null;

-- One name for the same thing at all venues, and within a venue never one name for two things. Names made of
-- currencies hold a slash; of instruments that would share one the likeliest keeps it, and the others add a tilde and
-- their symbol. A symbol stands for itself where the venue names no currencies, behind a tilde where it could be taken
-- for one of the others.
create view v_instruments as
with composed as (
  select i.*,
         case when base ~ '^[[:alnum:]._-]+$' and quote ~ '^[[:alnum:]._-]+$'
              then base || '/' || quote || case when kind = 'perpetual' then ':PERP'
                when expiry is not null then ':' || to_char(expiry at time zone 'UTC', 'YYYY-MM-DD')
                when kind in ('future', 'option') then ':' || upper(kind) else '' end
         end as composed
  from instruments i
), ranked as (
  select c.*, row_number() over (
           partition by venue_id, composed
           order by kind is distinct from 'spot', replace(replace(symbol, '/', ''), '_', '') <> base || quote,
                    length(symbol), symbol) as place
  from composed c
)
select v.code as venue, r.symbol,
       case when composed is null then case when r.symbol ~ '[/~]' then '~' else '' end || r.symbol
            when place = 1 then composed else composed || '~' || r.symbol end as common_name,
       r.base, r.quote, r.kind, r.price_step, r.size_step, r.status, r.name, r.expiry, r.first_seen, r.last_seen,
       r.updated_at, r.details, r.instrument_id
from ranked r join venues v using (venue_id);
comment on view v_instruments is 'Instruments with venue, and common_name: one name for the same thing at all venues, such as BTC/USDT, BTC/USDT:PERP or ETH/USDT:2026-12-25.';

create function describe_instrument(said instrument_versions) returns void
language plpgsql as $$
declare
  content constant jsonb := to_jsonb(said) - '{valid_from,valid_to}'::text[];
  before  instrument_versions;
  after   instrument_versions;
begin
  -- The lock keeps two processes from telling different things of one moment.
  perform from instruments i where i.instrument_id = said.instrument_id for no key update;
  update instruments i
  set base = said.base, quote = said.quote, kind = said.kind, price_step = said.price_step,
      size_step = said.size_step, status = said.status, name = said.name, expiry = said.expiry,
      details = said.details, updated_at = said.valid_from
  where i.instrument_id = said.instrument_id and (i.updated_at is null or i.updated_at <= said.valid_from)
    and (i.base, i.quote, i.kind, i.price_step, i.size_step, i.status, i.name, i.expiry, i.details)
        is distinct from (said.base, said.quote, said.kind, said.price_step, said.size_step, said.status, said.name,
                          said.expiry, said.details);
  if said.valid_from <= timestamptz 'epoch' then
    return;  -- nobody knows when it was said
  end if;

  select * into before from instrument_versions v
  where v.instrument_id = said.instrument_id and v.valid_from <= said.valid_from
  order by v.valid_from desc limit 1;
  if to_jsonb(before) - '{valid_from,valid_to}'::text[] = content then
    return;
  end if;
  select * into after from instrument_versions v
  where v.instrument_id = said.instrument_id and v.valid_from > said.valid_from
  order by v.valid_from limit 1;

  if before.valid_from = said.valid_from then  -- the same words, understood otherwise by now
    update instrument_versions v
    set base = said.base, quote = said.quote, kind = said.kind, price_step = said.price_step,
        size_step = said.size_step, status = said.status, name = said.name, expiry = said.expiry,
        details = said.details
    where v.instrument_id = said.instrument_id and v.valid_from = said.valid_from;
    return;
  end if;
  update instrument_versions v set valid_to = said.valid_from
  where v.instrument_id = said.instrument_id and v.valid_from = before.valid_from;
  if to_jsonb(after) - '{valid_from,valid_to}'::text[] = content then
    update instrument_versions v set valid_from = said.valid_from
    where v.instrument_id = said.instrument_id and v.valid_from = after.valid_from;
  else
    said.valid_to := after.valid_from;
    insert into instrument_versions select said.*;
  end if;
end $$;
comment on function describe_instrument is 'Keep what a venue says of an instrument: the newest in instruments, each change in instrument_versions. It may be told twice, and out of order.';

create function instrument_number(venue text, symbol text) returns int
language plpgsql stable parallel safe as $$
declare
  found_one int;
begin
  select i.instrument_id into found_one
  from instruments i join venues v using (venue_id)
  where v.code = instrument_number.venue and i.symbol = instrument_number.symbol;
  if found_one is null then
    raise exception 'there is no instrument % at the venue %', symbol, venue
      using errcode = 'invalid_parameter_value', hint = 'select venue, symbol from v_instruments lists those there are';
  end if;
  return found_one;
end $$;
comment on function instrument_number is 'Our number of an instrument; an error where there is none.';

create function instrument_at(venue text, symbol text, at timestamptz default now())
returns table (
  valid_from timestamptz, valid_to timestamptz, base text, quote text, kind text, price_step numeric,
  size_step numeric, status text, name text, expiry timestamptz, details jsonb)
language plpgsql stable parallel safe rows 1 as $$
#variable_conflict use_column
declare
  wanted constant int := instrument_number(instrument_at.venue, instrument_at.symbol);
begin
  return query
  select v.valid_from, v.valid_to, v.base, v.quote, v.kind, v.price_step, v.size_step, v.status, v.name, v.expiry,
         v.details
  from instrument_versions v
  where v.instrument_id = wanted and v.valid_from <= instrument_at.at
  order by v.valid_from desc limit 1;
end $$;
comment on function instrument_at is 'What the venue said of an instrument at a moment; no row for a time before we first asked.';

create view v_instrument_versions as
select v.code as venue, i.symbol, w.valid_from, w.valid_to, w.base, w.quote, w.kind, w.price_step, w.size_step,
       w.status, w.name, w.expiry, w.details, w.instrument_id
from instrument_versions w join instruments i using (instrument_id) join venues v using (venue_id);
comment on view v_instrument_versions is 'What venues said of instruments and when, with venue and symbol.';

create view v_trades_checked as
select v.code as venue, i.symbol, t.time, t.price, t.size, t.side,
       case t.side when 1 then 'buy' when -1 then 'sell' end as side_text, t.trade_id, t.trade_key, t.received_at,
       w.price_step, t.price % nullif(w.price_step, 0) <> 0 as off_tick,
       w.size_step, t.size % nullif(w.size_step, 0) <> 0 as off_lot
from trades t
join instruments i using (instrument_id) join venues v using (venue_id)
left join instrument_versions w on w.instrument_id = t.instrument_id and w.valid_from <= t.time
                               and (w.valid_to > t.time or w.valid_to is null);
comment on view v_trades_checked is 'Executions with the steps of price and size that were valid then; off_tick and off_lot flag those that are no multiple of one, and are null where no step is known.';

-- Bars.

create function bar_opening(period interval, moment timestamptz) returns timestamptz
language sql immutable strict parallel safe as $$
  select case when extract(year from period) = 0 and extract(month from period) = 0
    then date_bin(period, moment, timestamptz '2001-01-01 00:00:00+00')
    else (timestamp '2000-01-01' + make_interval(months => (
           floor((extract(year from moment at time zone 'UTC') * 12 + extract(month from moment at time zone 'UTC') - 24001)
                 / (extract(year from period) * 12 + extract(month from period)))
           * (extract(year from period) * 12 + extract(month from period)))::int)) at time zone 'UTC' end
$$;
comment on function bar_opening is 'When the bar of this length that a moment lies in opens: midnight UTC for days, Monday for weeks, the first for months.';

create function bar_end(period interval, opening timestamptz) returns timestamptz
language sql immutable strict parallel safe as $$
  select (opening at time zone 'UTC' + period) at time zone 'UTC'
$$;
comment on function bar_end is 'When a bar that opens then ends, which is when the next one opens.';

create function check_period(period interval) returns void
language plpgsql immutable parallel safe as $$
begin
  if period is null or period <= interval '0' then
    raise exception 'the period is %, and has to be longer than nothing', coalesce(period::text, 'null')
      using errcode = 'invalid_parameter_value', hint = 'write interval ''1 hour''';
  elsif date_trunc('month', period) <> interval '0' and date_trunc('month', period) <> period then
    raise exception 'the period % mixes months with days', period
      using errcode = 'invalid_parameter_value', hint = 'months have no fixed length: write whole ones, or days';
  end if;
end $$;
comment on function check_period is 'An error for a length of time that bars cannot have.';

create function moments(from_time timestamptz, to_time timestamptz, step interval) returns setof timestamptz
language sql immutable strict parallel safe as $$
  select s at time zone 'UTC'
  from generate_series(from_time at time zone 'UTC', to_time at time zone 'UTC', step) s
  where s < to_time at time zone 'UTC'
$$;
comment on function moments is 'A moment and those a step, two steps, .. after it, up to and without the end.';

create function recorded_until() returns timestamptz
language sql stable parallel safe as $$
  select least(now(), max(updated_at)) from journal_position
$$;
comment on function recorded_until is 'Up to when what was received is in the tables.';

create function recorded_since(instrument_id int, stream text) returns timestamptz
language plpgsql stable parallel safe as $$
#variable_conflict use_column
declare
  first_one timestamptz;
begin
  select s.opened_at into first_one
  from instruments i join sessions s using (venue_id)
  where i.instrument_id = recorded_since.instrument_id
    and exists (select from jsonb_array_elements(s.details -> 'subscriptions') c
                where c.value ->> 1 = recorded_since.stream and c.value -> 2 ? i.symbol)
  order by s.opened_at limit 1;
  return first_one;
end $$;
comment on function recorded_since is 'When the first session that covered an instrument''s stream was opened; null where none did.';

create function recorded_spans(instrument_id int, stream text, from_time timestamptz, to_time timestamptz)
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
  select coalesce(range_agg(tstzrange(g.from_time, greatest(g.from_time, coalesce(g.to_time, 'infinity')))), '{}') into lacking
  from gaps g
  where g.instrument_id = recorded_spans.instrument_id and g.stream = recorded_spans.stream and g.state <> 'repaired'
    and g.from_time < recorded_spans.to_time and coalesce(g.to_time, 'infinity') > recorded_spans.from_time;
  return recorded - lacking;
end $$;
comment on function recorded_spans is 'The time of a span in which an instrument''s stream was recorded, repaired or backfilled.';

create function ohlcv(
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
    select bar_opening(ohlcv.period, t.time) as opening,
           (array_agg(t.price order by t.time, t.trade_key))[1] as first_price,
           max(t.price) as highest, min(t.price) as lowest,
           (array_agg(t.price order by t.time, t.trade_key))[count(*)] as last_price,
           sum(t.size) as volume, sum(t.price * t.size) as quote_volume, count(*) as trades
    from trades t
    where t.instrument_id = wanted and t.time >= ohlcv.from_time and t.time < ohlcv.to_time
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
comment on function ohlcv is 'Bars made of trades, by the time of execution, open and close by (time, trade_key). gap: a part of the bar is not known to be recorded. partial: the bar is not over, or begins or ends outside of the span asked for. Bars without trades are left out, or with fill => true have no prices.';

create function vwap(venue text, symbol text, from_time timestamptz, to_time timestamptz default now()) returns numeric
language plpgsql stable parallel safe as $$
declare
  wanted constant int := instrument_number(vwap.venue, vwap.symbol);
begin
  return (
    select sum(t.price * t.size) / nullif(sum(t.size), 0) from trades t
    where t.instrument_id = wanted and t.time >= vwap.from_time and t.time < vwap.to_time);
end $$;
comment on function vwap is 'The average price of the trades of a span, weighted by size; null without trades.';

-- Now and as of a moment.

create function last_prices()
returns table (
  venue text, symbol text, common_name text, "time" timestamptz, price numeric, size numeric, side smallint)
language plpgsql stable parallel safe as $$
#variable_conflict use_column
begin
  return query
  select i.venue, i.symbol, i.common_name, t.time, t.price, t.size, t.side
  from v_instruments i
  cross join lateral (
    select t.time, t.price, t.size, t.side from trades t
    where t.instrument_id = i.instrument_id order by t.time desc, t.trade_key desc limit 1) t
  order by 1, 2;
end $$;
comment on function last_prices is 'The last trade of every instrument that has one.';

create function trades_with_quotes(venue text, symbol text, from_time timestamptz, to_time timestamptz default now())
returns table (
  "time" timestamptz, price numeric, size numeric, side smallint, trade_id text, trade_key bigint, bid numeric,
  bid_size numeric, ask numeric, ask_size numeric, mid numeric, quoted_at timestamptz)
language plpgsql stable parallel safe as $$
#variable_conflict use_column
declare
  wanted constant int := instrument_number(trades_with_quotes.venue, trades_with_quotes.symbol);
begin
  return query
  select t.time, t.price, t.size, t.side, t.trade_id, t.trade_key, q.bid, q.bid_size, q.ask, q.ask_size,
         (q.bid + q.ask) / 2, q.time
  from trades t
  left join lateral (
    select * from ticks q
    where q.instrument_id = wanted and q.time <= t.time and q.bid is not null and q.ask is not null
    order by q.time desc, q.tick_key desc limit 1) q on true
  where t.instrument_id = wanted and t.time >= trades_with_quotes.from_time and t.time < trades_with_quotes.to_time
  order by t.time, t.trade_key;
end $$;
comment on function trades_with_quotes is 'Trades, each with the last best bid and ask at or before its time, by the venue''s clock; quoted_at tells how old that is.';

create function spread_series(
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
  select s, q.bid, q.ask, q.ask - q.bid, (q.bid + q.ask) / 2, (q.ask - q.bid) / nullif((q.bid + q.ask) / 2, 0), q.time,
         not known @> s
  from moments(spread_series.from_time, spread_series.to_time, spread_series.step) s
  cross join lateral (
    select * from ticks q
    where q.instrument_id = wanted and q.time <= s and q.bid is not null and q.ask is not null
    order by q.time desc, q.tick_key desc limit 1) q;
end $$;
comment on function spread_series is 'Best bid, best ask and their distance at from_time and every step after, as the last quote at or before each moment tells; relative_spread is a fraction of mid. gap: the moment was not recorded, so the quote may be out of date.';

create function book_at(venue text, symbol text, at timestamptz, depth int default 10)
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
  broken  timestamptz;
  known   boolean;
begin
  -- How the venue numbers its books: successive (one more each time), rising, or null where numbers mean nothing.
  select s.details ->> 'book_numbering' into counted
  from instruments i join sessions s using (venue_id)
  where i.instrument_id = wanted order by s.opened_at <= book_at.at desc, abs(extract(epoch from s.opened_at - book_at.at)) limit 1;

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
  select min(g.from_time) into broken from gaps g
  where g.instrument_id = wanted and g.stream = 'books' and g.state <> 'repaired' and g.from_time <= book_at.at
    and coalesce(g.to_time, 'infinity') > greatest(whole.time, whole.received_at);
  known := broken is null and book_at.at <= coalesce(recorded_until(), now())
           and coalesce(recorded_since(wanted, 'books') <= book_at.at, false);

  return query
  with numbered as (
    select row_number() over w as n, b.time, b.bid_prices, b.bid_sizes, b.ask_prices, b.ask_sizes,
           counted = 'successive' and b.seq <> lag(b.seq, 1, whole.seq) over w + 1 as torn
    from books b
    where b.instrument_id = wanted and not b.snapshot and b.time >= whole.time
      and b.time <= least(book_at.at, broken)
      and case when counted is null then b.received_at >= whole.received_at else b.seq > whole.seq end
    window w as (order by case when counted is null then extract(epoch from b.time) else b.seq end,
                          b.time, b.received_at, b.seq)
  ), chain as materialized (
    select * from numbered where n < coalesce((select min(n) from numbered where torn), 9223372036854775807)
  ), changes as (
    select distinct on (x.bids, x.price) x.bids, x.price, x.size
    from (
      select n, true as bids, u.price, u.size from chain, unnest(bid_prices, bid_sizes) u (price, size)
      union all
      select n, false, u.price, u.size from chain, unnest(ask_prices, ask_sizes) u (price, size)
    ) x
    order by x.bids, x.price, x.n desc
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
  ), reached as (
    select coalesce((select time from chain order by n desc limit 1), whole.time) as moment,
           exists (select from numbered where torn) as torn
  )
  select coalesce(b.place, a.place)::int, b.price, b.size, a.price, a.size, r.moment, book_at.at - r.moment,
         known and not r.torn
  from (select row_number() over (order by price desc) as place, * from bids) b
  full join (select row_number() over (order by price) as place, * from asks) a using (place)
  cross join reached r
  order by 1;
end $$;
comment on function book_at is 'The order book at a moment, best levels first: the last snapshot and the changes after it as far as their chain is unbroken. as_of is the last change in it, age how long that was before. covered: the moment was recorded and the chain is unbroken, so this is the book; else it is the last that is known.';

do $$
declare
  made text;
begin
  foreach made in array array['describe_instrument', 'instrument_number', 'instrument_at', 'check_period', 'recorded_until', 'recorded_since',
    'recorded_spans', 'ohlcv', 'vwap', 'last_prices', 'trades_with_quotes', 'spread_series', 'book_at']
  loop
    execute format('alter function %I.%I set search_path = %I, pg_temp', current_schema(), made, current_schema());
  end loop;
end $$;
