-- What exports read. For each table there is `survey_*` (what there is of one series, day by day in UTC) and `rows_*`
-- (its rows in the order of the unique index). $1 is the instrument or venue, $2 and $3 the span [from, to).
-- A survey's `scales` and `largest` have an element for each numeric column of the rows, in their order.

-- name: settings
-- Text that does not depend on the server's or the login's settings, for as long as the transaction lasts.
select set_config('timezone', 'UTC', true), set_config('datestyle', 'ISO', true),
       set_config('intervalstyle', 'iso_8601', true), set_config('extra_float_digits', '1', true),
       set_config('statement_timeout', '0', true), set_config('idle_in_transaction_session_timeout', '0', true);

-- name: instruments
-- All instruments, as venues last described them.
select instrument_id, venue, symbol, common_name, base, quote, kind, price_step::text, size_step::text, expiry
from v_instruments order by venue collate "C", symbol collate "C";

-- name: venues
-- All venues.
select venue_id, code as venue from venues order by code collate "C";

-- name: rate_names
-- The names of all rates.
select r.venue_id, v.code as venue, r.name
from (select distinct venue_id, name from rates) r join venues v using (venue_id)
order by v.code collate "C", r.name collate "C";

-- name: survey_trades
-- Trades of instrument $1 by day. The days are found along the index: grouping by a day would sort everything.
with recursive days as (
  select date_trunc('day', min(time), 'UTC') as day
  from trades where instrument_id = $1 and time >= $2 and time < $3
  union all
  select (select date_trunc('day', min(time), 'UTC')
          from trades where instrument_id = $1 and time >= days.day + interval '1 day' and time < $3)
  from days where days.day is not null
)
select (days.day at time zone 'UTC')::date as day, found.*
from days
cross join lateral (
  select count(*) as rows, min(time) as first, max(time) as last,
         array[max(scale(price)), max(scale(size))] as scales, array[max(abs(price)), max(abs(size))]::text[] as largest
  from trades
  where instrument_id = $1 and time >= greatest(days.day, $2)
    and time < least(days.day + interval '1 day', $3)
) found
where days.day is not null
order by 1;

-- name: rows_trades
-- Trades of instrument $1.
select time, price, size, side, trade_id, trade_key, received_at
from trades where instrument_id = $1 and time >= $2 and time < $3 order by time, trade_key;

-- name: survey_ticks
-- Ticks of instrument $1 by day. The days are found along the index: grouping by a day would sort everything.
with recursive days as (
  select date_trunc('day', min(time), 'UTC') as day
  from ticks where instrument_id = $1 and time >= $2 and time < $3
  union all
  select (select date_trunc('day', min(time), 'UTC')
          from ticks where instrument_id = $1 and time >= days.day + interval '1 day' and time < $3)
  from days where days.day is not null
)
select (days.day at time zone 'UTC')::date as day, found.*
from days
cross join lateral (
  select count(*) as rows, min(time) as first, max(time) as last,
         array[max(scale(bid)), max(scale(bid_size)), max(scale(ask)), max(scale(ask_size)), max(scale(last)),
               max(scale(last_size)), max(scale(volume))] as scales,
         array[max(abs(bid)), max(abs(bid_size)), max(abs(ask)), max(abs(ask_size)), max(abs(last)),
               max(abs(last_size)), max(abs(volume))]::text[] as largest
  from ticks
  where instrument_id = $1 and time >= greatest(days.day, $2)
    and time < least(days.day + interval '1 day', $3)
) found
where days.day is not null
order by 1;

-- name: rows_ticks
-- Ticks of instrument $1.
select time, bid, bid_size, ask, ask_size, last, last_size, volume, tick_key, received_at
from ticks where instrument_id = $1 and time >= $2 and time < $3 order by time, tick_key;

-- name: survey_books
-- Books of instrument $1 by day. The days are found along the index: grouping by a day would sort everything.
with recursive days as (
  select date_trunc('day', min(time), 'UTC') as day
  from books where instrument_id = $1 and time >= $2 and time < $3
  union all
  select (select date_trunc('day', min(time), 'UTC')
          from books where instrument_id = $1 and time >= days.day + interval '1 day' and time < $3)
  from days where days.day is not null
)
select (days.day at time zone 'UTC')::date as day, found.*
from days
cross join lateral (
  select count(*) as rows, min(b.time) as first, max(b.time) as last,
         array[max(bp.scale), max(bs.scale), max(ap.scale), max(az.scale)] as scales,
         array[max(bp.largest), max(bs.largest), max(ap.largest), max(az.largest)]::text[] as largest
  from books b
  cross join lateral (select max(scale(x)) as scale, max(abs(x)) as largest from unnest(b.bid_prices) x) bp
  cross join lateral (select max(scale(x)) as scale, max(abs(x)) as largest from unnest(b.bid_sizes) x) bs
  cross join lateral (select max(scale(x)) as scale, max(abs(x)) as largest from unnest(b.ask_prices) x) ap
  cross join lateral (select max(scale(x)) as scale, max(abs(x)) as largest from unnest(b.ask_sizes) x) az
  where b.instrument_id = $1 and b.time >= greatest(days.day, $2)
    and b.time < least(days.day + interval '1 day', $3)
) found
where days.day is not null
order by 1;

-- name: rows_books
-- Books of instrument $1.
select time, seq, snapshot, bid_prices, bid_sizes, ask_prices, ask_sizes, received_at
from books where instrument_id = $1 and time >= $2 and time < $3 order by time, seq, snapshot;

-- name: survey_candles
-- Candles of instrument $1 by day of their opening.
select (time at time zone 'UTC')::date as day, count(*) as rows, min(time) as first, max(time) as last,
       array[max(scale(open)), max(scale(high)), max(scale(low)), max(scale(close)), max(scale(volume)),
             max(scale(quote_volume))] as scales,
       array[max(abs(open)), max(abs(high)), max(abs(low)), max(abs(close)), max(abs(volume)),
             max(abs(quote_volume))]::text[] as largest
from candles where instrument_id = $1 and time >= $2 and time < $3 group by 1 order by 1;

-- name: rows_candles
-- Candles of instrument $1.
select time, period, series, open, high, low, close, volume, quote_volume, trades, closed, received_at
from candles where instrument_id = $1 and time >= $2 and time < $3 order by series collate "C", period, time;

-- name: survey_derivatives
-- States of the derivative $1 by day.
select (time at time zone 'UTC')::date as day, count(*) as rows, min(time) as first, max(time) as last,
       array[max(scale(mark_price)), max(scale(index_price)), max(scale(funding_rate)),
             max(scale(indicative_funding_rate)), max(scale(premium_index)), max(scale(avg_premium_index)),
             max(scale(interest_rate)), max(scale(open_interest)), max(scale(settlement_price))] as scales,
       array[max(abs(mark_price)), max(abs(index_price)), max(abs(funding_rate)),
             max(abs(indicative_funding_rate)), max(abs(premium_index)), max(abs(avg_premium_index)),
             max(abs(interest_rate)), max(abs(open_interest)), max(abs(settlement_price))]::text[] as largest
from derivatives where instrument_id = $1 and time >= $2 and time < $3 group by 1 order by 1;

-- name: rows_derivatives
-- States of the derivative $1.
select time, mark_price, index_price, funding_rate, next_funding_time, indicative_funding_rate, premium_index,
       avg_premium_index, interest_rate, open_interest, settlement_price, expiry, received_at
from derivatives where instrument_id = $1 and time >= $2 and time < $3 order by time;

-- name: survey_rates
-- Values of the rate $4 at venue $1 by day.
select (time at time zone 'UTC')::date as day, count(*) as rows, min(time) as first, max(time) as last,
       array[max(scale(value))] as scales, array[max(abs(value))]::text[] as largest
from rates where venue_id = $1 and time >= $2 and time < $3 and name = $4 group by 1 order by 1;

-- name: rows_rates
-- Values of the rate $4 at venue $1.
select time, value, received_at
from rates where venue_id = $1 and time >= $2 and time < $3 and name = $4 order by time;

-- name: survey_news
-- Headlines of venue $1 by day.
select (time at time zone 'UTC')::date as day, count(*) as rows, min(time) as first, max(time) as last,
       array[]::int[] as scales, array[]::text[] as largest
from news where venue_id = $1 and time >= $2 and time < $3 group by 1 order by 1;

-- name: rows_news
-- Headlines of venue $1.
select time, source, title, link, news_key, received_at
from news where venue_id = $1 and time >= $2 and time < $3 order by time, news_key;

-- name: coverage
-- Which time of streams $2 of instruments $1 is covered, within the span [$3, $4).
select venue, symbol, stream, state, greatest(from_time, $3) as "from", least(to_time, $4) as "to"
from coverage
where instrument_id = any($1::int[]) and stream = any($2::text[]) and from_time < $4 and to_time > $3
order by venue collate "C", symbol collate "C", stream, from_time;

-- name: gaps
-- Gaps of streams $2 of instruments $1 that touch the span [$3, $4).
select v.code as venue, i.symbol, g.stream, g.from_time as "from", g.to_time as "to", g.cause, g.reason, g.state,
       g.filled_rows
from gaps g join instruments i using (instrument_id) join venues v using (venue_id)
where g.instrument_id = any($1::int[]) and g.stream = any($2::text[]) and g.from_time < $4
  and coalesce(g.to_time, 'infinity') > $3
order by v.code collate "C", i.symbol collate "C", g.stream, g.from_time, g.cause collate "C";

-- name: audits
-- How many minutes of trades of instruments $1 had which verdict, within the span [$3, $4), where trades are in $2.
select v.code as venue, i.symbol, a.verdict, count(*) as minutes
from audits a join instruments i using (instrument_id) join venues v using (venue_id)
where a.instrument_id = any($1::int[]) and 'trades' = any($2::text[]) and a.time >= $3 and a.time < $4
group by 1, 2, 3 order by v.code collate "C", i.symbol collate "C", a.verdict;

-- name: quarantined
-- What waits in quarantine of streams $2 of venues $1, received within the span [$3, $4).
select v.code as venue, q.stream, sum(q.items)::bigint as items
from quarantine q join venues v using (venue_id)
where v.code = any($1::text[]) and (q.stream is null or q.stream = any($2::text[])) and q.received_at >= $3
  and q.received_at < $4 and q.resolved_at is null and q.discarded_reason is null
group by 1, 2 order by v.code collate "C", q.stream;

-- name: written_until
-- When the daemon last committed something, and the database's clock.
select max(updated_at) as written, now() as now from journal_position;
