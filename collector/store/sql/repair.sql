-- The gap ledger as repairs read and write it. Times are microseconds since 1970.

-- name: missing
-- Gaps with both ends that can be repaired: $2 the streams with a past, $3 the earliest end. Trades first, short first.
select g.gap_id, i.symbol, g.stream, (extract(epoch from g.from_time) * 1000000)::bigint,
       (extract(epoch from g.to_time) * 1000000)::bigint, (extract(epoch from g.filled_to) * 1000000)::bigint, g.tries
from gaps g join instruments i using (instrument_id) join venues v using (venue_id)
where v.code = $1 and g.state = 'open' and g.stream = any($2::text[])
  and g.to_time >= timestamptz 'epoch' + $3::bigint * interval '1 microsecond'
order by g.stream <> 'trades', g.to_time - g.from_time, g.from_time;

-- name: give_up
-- Gaps with both ends of streams of which the venue keeps no past ($2: those of which it does).
update gaps g
set state = 'unrecoverable', reason = concat_ws('; ', g.reason, 'the venue keeps no past of ' || g.stream)
from instruments i join venues v using (venue_id)
where i.instrument_id = g.instrument_id and v.code = $1 and g.state = 'open' and g.to_time is not null
  and g.stream <> all($2::text[]);

-- name: begin
-- A repair is tried, now ($2); the first time counts.
update gaps set tried_at = coalesce(tried_at, timestamptz 'epoch' + $2::bigint * interval '1 microsecond')
where gap_id = $1;

-- name: progress
-- A repair has come as far as $2.
update gaps set filled_to = timestamptz 'epoch' + $2::bigint * interval '1 microsecond', trouble = null
where gap_id = $1 and state = 'open';

-- name: put_off
-- A try failed; it will be tried again.
update gaps set tries = tries + 1, trouble = $2 where gap_id = $1 and state = 'open';

-- name: settle
-- The end of a repair: $2 repaired or unrecoverable, $3 why not, $4 now, $5 rows found.
update gaps
set state = $2, reason = concat_ws('; ', reason, $3::text), filled_rows = $5::bigint, trouble = null,
    filled_at = case when $2 = 'repaired' then timestamptz 'epoch' + $4::bigint * interval '1 microsecond' end
where gap_id = $1 and state = 'open';

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
