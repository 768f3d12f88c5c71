-- The gap ledger as repairs read and write it. Times are microseconds since 1970. A gap is named by its number and its
-- beginning: in a database that was restored the number may be another gap's.

-- name: missing
-- Gaps with both ends that can be repaired: $2 the streams with a past, $3 the earliest end. Trades first, short first.
select g.gap_id, i.symbol, g.stream, (extract(epoch from g.from_time) * 1000000)::bigint,
       (extract(epoch from g.to_time) * 1000000)::bigint, (extract(epoch from g.filled_to) * 1000000)::bigint, g.tries
from gaps g join instruments i using (instrument_id) join venues v using (venue_id)
where v.code = $1 and g.state = 'open' and g.stream = any($2::text[])
  and g.to_time >= timestamptz 'epoch' + $3::bigint * interval '1 microsecond'
order by g.stream <> 'trades', g.to_time - g.from_time, g.from_time;

-- name: hopeless
-- What is to become of gaps with both ends of streams of which the venue keeps no past ($2: those of which it does).
select i.symbol, g.stream, (extract(epoch from g.from_time) * 1000000)::bigint, g.cause, 'unrecoverable',
       concat_ws('; ', g.reason, 'the venue keeps no past of ' || g.stream), g.filled_rows, null::bigint
from gaps g join instruments i using (instrument_id) join venues v using (venue_id)
where v.code = $1 and g.state = 'open' and g.to_time is not null and g.stream <> all($2::text[]);

-- name: begin
-- A repair is tried, now ($2); the first time counts.
update gaps set tried_at = coalesce(tried_at, timestamptz 'epoch' + $2::bigint * interval '1 microsecond')
where gap_id = $1 and from_time = timestamptz 'epoch' + $3::bigint * interval '1 microsecond';

-- name: progress
-- A repair has come as far as $2.
update gaps set filled_to = timestamptz 'epoch' + $2::bigint * interval '1 microsecond', trouble = null
where gap_id = $1 and state = 'open' and from_time = timestamptz 'epoch' + $3::bigint * interval '1 microsecond';

-- name: put_off
-- A try failed; it will be tried again.
update gaps set tries = tries + 1, trouble = $2
where gap_id = $1 and state = 'open' and from_time = timestamptz 'epoch' + $3::bigint * interval '1 microsecond';

-- name: outcome
-- What is to become of a gap: $2 repaired or unrecoverable, $3 why not, $4 now, $5 rows found.
select i.symbol, g.stream, (extract(epoch from g.from_time) * 1000000)::bigint, g.cause, $2::text,
       concat_ws('; ', g.reason, $3::text), $5::bigint, case when $2 = 'repaired' then $4::bigint end
from gaps g join instruments i using (instrument_id)
where g.gap_id = $1 and g.state = 'open' and g.from_time = timestamptz 'epoch' + $6::bigint * interval '1 microsecond';

-- name: settle
-- The end of a repair that no journal tells of: $2 repaired or unrecoverable, $3 why not, $4 now, $5 rows found.
update gaps
set state = $2, reason = concat_ws('; ', reason, $3::text), filled_rows = $5::bigint, trouble = null,
    filled_at = case when $2 = 'repaired' then timestamptz 'epoch' + $4::bigint * interval '1 microsecond' end
where gap_id = $1 and state <> 'repaired' and from_time = timestamptz 'epoch' + $6::bigint * interval '1 microsecond';

-- name: within
-- Gaps with both ends in a span that are not repaired: $1 venue, $2 symbol, $3 stream.
select g.gap_id, i.symbol, g.stream, (extract(epoch from g.from_time) * 1000000)::bigint,
       (extract(epoch from g.to_time) * 1000000)::bigint, (extract(epoch from g.filled_to) * 1000000)::bigint, g.tries
from gaps g join instruments i using (instrument_id) join venues v using (venue_id)
where v.code = $1 and i.symbol = $2 and g.stream = $3 and g.state <> 'repaired'
  and g.from_time >= timestamptz 'epoch' + $4::bigint * interval '1 microsecond'
  and g.to_time <= timestamptz 'epoch' + $5::bigint * interval '1 microsecond';

-- name: begin_backfill
-- A backfill begins with a piece: $1 venue, $2 symbol, $3 stream. Its rows are not old ones to be deleted.
insert into backfills_begun (instrument_id, stream, from_time, to_time)
select i.instrument_id, $3, timestamptz 'epoch' + $4::bigint * interval '1 microsecond',
       timestamptz 'epoch' + $5::bigint * interval '1 microsecond'
from instruments i join venues v using (venue_id) where v.code = $1 and i.symbol = $2
on conflict do nothing;

-- name: note_backfill
-- A backfill has stored a piece: $1 venue, $2 symbol, $3 stream, $4 detail.
insert into backfills (instrument_id, stream, detail, from_time, to_time)
select i.instrument_id, $3, $4, timestamptz 'epoch' + $5::bigint * interval '1 microsecond',
       timestamptz 'epoch' + $6::bigint * interval '1 microsecond'
from instruments i join venues v using (venue_id) where v.code = $1 and i.symbol = $2
on conflict (instrument_id, stream, detail, from_time, to_time) do update set done_at = excluded.done_at;

-- name: backfilled
-- What backfills of a venue have stored.
select i.symbol, b.stream, b.detail, (extract(epoch from b.from_time) * 1000000)::bigint,
       (extract(epoch from b.to_time) * 1000000)::bigint
from backfills b join instruments i using (instrument_id) join venues v using (venue_id)
where v.code = $1 and b.stream = any($2::text[]);

-- name: trade_rates
-- Trades a second of each instrument of a venue, as its newest thousand tell.
select i.symbol, x.rows / greatest(x.seconds, 1)
from instruments i join venues v using (venue_id)
cross join lateral (
  select count(*) as rows, extract(epoch from max(time) - min(time)) as seconds
  from (select time from trades t where t.instrument_id = i.instrument_id order by time desc limit 1000) newest
) x
where v.code = $1 and x.rows > 0;

-- name: count_trades
-- Rows of a gap that came with its repair.
select count(*) from gaps g join trades t using (instrument_id)
where g.gap_id = $1 and t.time between g.from_time and g.to_time and t.received_at >= g.tried_at;

-- name: count_ticks
-- The same for ticks.
select count(*) from gaps g join ticks t using (instrument_id)
where g.gap_id = $1 and t.time between g.from_time and g.to_time and t.received_at >= g.tried_at;

-- name: count_candles
-- The same for candles that were open at any time in the gap. Months are the longest.
select count(*) from gaps g join candles t using (instrument_id)
where g.gap_id = $1 and t.time between g.from_time - interval '93 days' and g.to_time
  and t.time + make_interval(secs => t.period) > g.from_time and t.received_at >= g.tried_at;

-- name: count_derivatives
-- The same for derivatives.
select count(*) from gaps g join derivatives t using (instrument_id)
where g.gap_id = $1 and t.time between g.from_time and g.to_time and t.received_at >= g.tried_at;

-- name: tally
-- How many gaps there are of each venue and cause, open and in all.
select v.code, g.cause, sum(g.open)::bigint, sum(g.total)::bigint
from (
  select instrument_id, cause, count(*) filter (where state = 'open') as open, count(*) as total
  from gaps group by instrument_id, cause
) g join instruments i using (instrument_id) join venues v using (venue_id)
group by 1, 2 order by 1, 2;

-- name: list_gaps
-- The newest gaps: $1 venues, $2 patterns of symbols, $3 streams, $4 state, each null for all but $2; $5 how many.
select gap_id, venue, symbol, stream, from_time, to_time,
       extract(epoch from coalesce(to_time, now()) - from_time)::double precision, cause, reason, state, filled_rows,
       filled_at, tries, trouble
from v_gaps
where ($1::text[] is null or venue = any($1)) and symbol like any($2::text[])
  and ($3::text[] is null or stream = any($3))
  and ($4::text is null or state = $4)
order by from_time desc, venue, symbol, stream
limit $5::bigint;

-- name: count_gaps
-- How many there are of the same choice; $5 the days after which the daemon leaves an open one alone.
select count(*) as total, count(*) filter (where state = 'open' and to_time is not null) as open,
       count(*) filter (where state = 'repaired') as repaired,
       count(*) filter (where state = 'unrecoverable') as unrecoverable,
       count(*) filter (where state = 'open' and to_time is null) as lasting,
       count(*) filter (where state = 'open' and to_time < now() - $5::float8 * interval '1 day') as too_old
from v_gaps
where ($1::text[] is null or venue = any($1)) and symbol like any($2::text[])
  and ($3::text[] is null or stream = any($3))
  and ($4::text is null or state = $4);
