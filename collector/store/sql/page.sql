-- What the status page asks of the tables. Every answer is bounded: by a span, by bins, or by a count of rows.
-- Times are microseconds since 1970, prices and sizes are text with every digit.

-- name: day
-- Each stream that was to be recorded in a span ($1 to $2, in $3 bins): from when to when, and for the bins in which
-- something is or was missing the worst state of each (1 repaired, 2 missing, 3 lost), how many gaps, and the seconds
-- still not there.
with span as (
  select timestamptz 'epoch' + $1::bigint * interval '1 microsecond' as since,
         timestamptz 'epoch' + $2::bigint * interval '1 microsecond' as until,
         ($2::bigint - $1::bigint) / 1e6 / $3::int as width
), asked as (
  select w.instrument_id, w.stream, greatest(w.since, span.since) as since,
         case when w.until >= recorded_until() then span.until else least(w.until, span.until) end as until
  from span join wanted_spans w on w.since < span.until and w.until > span.since
), recorded as (
  select instrument_id, stream, range_agg(tstzrange(since, until)) as time,
         array_agg((extract(epoch from since) * 1000000)::bigint order by since) as since_us,
         array_agg((extract(epoch from until) * 1000000)::bigint order by since) as until_us
  from asked where since < until
  group by 1, 2
), lacks as (
  select g.instrument_id, g.stream, greatest(g.from_time, span.since) as from_time,
         least(coalesce(g.to_time, span.until), span.until) as to_time,
         g.state <> 'repaired' as absent,
         -- The moment that a start takes is missing from the share, but no reason to paint a quarter of an hour red.
         case when g.cause = 'starting' and g.to_time < g.from_time + interval '2 minutes' then 0
              when g.state = 'repaired' then 1 when g.state = 'open' then 2 else 3 end as badness
  from span join gaps g on g.from_time < span.until and coalesce(g.to_time, 'infinity') > span.since
), bins as (
  select l.instrument_id, l.stream, n.bin, max(l.badness) as badness
  from span, lacks l
  cross join lateral generate_series(
    floor(extract(epoch from l.from_time - span.since) / span.width)::int,
    least($3::int - 1, floor(extract(epoch from l.to_time - span.since) / span.width)::int)) as n(bin)
  group by 1, 2, 3
), strips as (
  select instrument_id, stream, array_agg(bin order by bin) as bins, array_agg(badness order by bin) as badnesses
  from bins group by 1, 2
), sums as (
  select instrument_id, stream, count(*) as gaps,
         range_agg(tstzrange(from_time, greatest(from_time, to_time))) filter (where absent) as absent
  from lacks group by 1, 2
)
select v.code as venue, i.symbol, r.stream, r.since_us, r.until_us, b.bins, b.badnesses, coalesce(s.gaps, 0) as gaps,
       coalesce((select sum(extract(epoch from upper(x) - lower(x))) from unnest(s.absent * r.time) x), 0)::float8
         as absent_seconds
from recorded r
join instruments i using (instrument_id) join venues v using (venue_id)
left join strips b using (instrument_id, stream) left join sums s using (instrument_id, stream)
order by 1, 2, 3;

-- name: quarantine
-- The newest $1 of what waits in quarantine, without its bytes, and how many wait (counted to $2 at the most).
select q.quarantine_id as id, (extract(epoch from q.received_at) * 1000000)::bigint as received_us, v.code as venue,
       q.stream, q.kind, left(q.error, 500) as error, q.items,
       (select count(*) from (select from quarantine w where w.resolved_at is null and w.discarded_reason is null
                              limit $2::int) counted) as waiting
from quarantine q left join venues v using (venue_id)
where q.resolved_at is null and q.discarded_reason is null
order by q.received_at desc
limit $1::int;

-- name: instrument
-- One instrument ($1 venue, $2 symbol) and which of the periods $3 its candles have.
select i.instrument_id, i.base, i.quote, i.kind, i.price_step::text, i.size_step::text, i.status,
       array(select p from unnest($3::int[]) p
             where exists (select from candles c
                           where c.instrument_id = i.instrument_id and c.series = 'trade' and c.period = p)) as periods
from instruments i join venues v using (venue_id)
where v.code = $1 and i.symbol = $2;

-- name: gaps
-- The newest $4 gaps of an instrument ($1 venue, $2 symbol) that ended after $3 or last.
select g.stream, (extract(epoch from g.from_time) * 1000000)::bigint as from_us,
       (extract(epoch from g.to_time) * 1000000)::bigint as to_us, g.cause, left(g.reason, 500) as reason, g.state,
       g.filled_rows
from gaps g join instruments i using (instrument_id) join venues v using (venue_id)
where v.code = $1 and i.symbol = $2
  and coalesce(g.to_time, 'infinity') > timestamptz 'epoch' + $3::bigint * interval '1 microsecond'
order by g.from_time desc
limit $4::int;

-- name: candles
-- The newest $3 candles of instrument $1 with period $2, newest first.
select (extract(epoch from time) * 1000000)::bigint as at_us, open::text, high::text, low::text, close::text, volume::text,
       closed
from candles
where instrument_id = $1::int and series = 'trade' and period = $2::int
order by time desc
limit $3::int;

-- name: spread
-- Bid, ask and spread of instrument $1 in bins of $3 seconds over the $2 seconds up to its newest tick, of the newest $4
-- ticks: the last of each bin, and the widest.
with newest as (
  select time from ticks where instrument_id = $1::int order by time desc limit 1
), chosen as (
  select t.time, t.bid, t.ask
  from newest, ticks t
  where t.instrument_id = $1::int and t.time > newest.time - $2::int * interval '1 second'
    and t.bid is not null and t.ask is not null
  order by t.time desc
  limit $4::int
)
select (floor(extract(epoch from time) / $3::int) * $3::int * 1000000)::bigint as at_us,
       (array_agg(bid order by time desc))[1]::text as bid, (array_agg(ask order by time desc))[1]::text as ask,
       (array_agg(ask - bid order by time desc))[1]::text as spread, max(ask - bid)::text as widest, count(*) as ticks
from chosen
group by 1
order by 1;

-- name: book
-- The book of instrument $1 after its newest message: the last size of each price since the newest snapshot, or, where that
-- is more than $2 messages ago, of what those changed. The best $3 levels of each side (1 bid, -1 ask); null prices stand for
-- a side without any, so that the other facts come along.
with start as (
  select time, seq from books where instrument_id = $1::int and snapshot order by time desc limit 1
), messages as (
  select b.time, b.seq, b.snapshot, b.bid_prices, b.bid_sizes, b.ask_prices, b.ask_sizes
  from start, books b
  where b.instrument_id = $1::int and b.time >= start.time and (b.time > start.time or b.seq >= start.seq)
  order by b.time desc, b.seq desc
  limit $2::int
), facts as (
  select (extract(epoch from max(time)) * 1000000)::bigint as at_us, coalesce(bool_or(snapshot), false) as whole,
         count(*) as messages
  from messages
), levels as (
  select 1 as side, p.price, p.size, m.time, m.seq from messages m cross join unnest(m.bid_prices, m.bid_sizes) p(price, size)
  union all
  select -1, p.price, p.size, m.time, m.seq from messages m cross join unnest(m.ask_prices, m.ask_sizes) p(price, size)
), last as (
  select distinct on (side, price) side, price, size from levels order by side, price, time desc, seq desc
), ranked as (
  select side, price, size, row_number() over (partition by side order by price * -side) as place
  from last where size > 0
)
select f.at_us, f.whole, f.messages, r.side, r.price::text, r.size::text
from facts f left join ranked r on r.place <= $3::int
order by r.side desc, r.place;
