-- Audits: what is stored, against what the venue says elsewhere. Minutes are the venue's clock's.

-- name: recorded
-- When each instrument's trades and candles were to be recorded: $1 venues, null for all, $2 symbols, $3 until when what
-- lasts is taken to last, null: until where the tables are.
select i.instrument_id, v.code, i.symbol, w.stream, w.since,
       case when w.until >= recorded_until() then greatest($3::timestamptz, w.until) else w.until end as until
from wanted_spans w join instruments i using (instrument_id) join venues v using (venue_id)
where w.stream in ('trades', 'candles') and ($1::text[] is null or v.code = any($1)) and i.symbol like any($2::text[])
order by w.since;

-- name: asked_for
-- Every stream of an instrument that was to be recorded: $1 venues, null for all, $2 symbols, $3 at that time or later.
select distinct i.instrument_id, v.code, i.symbol, w.stream
from wanted_spans w join instruments i using (instrument_id) join venues v using (venue_id)
where ($1::text[] is null or v.code = any($1)) and i.symbol like any($2::text[]) and (w.until >= $3 or w.until >= recorded_until())
order by v.code, i.symbol, w.stream;

-- name: backfilled
-- Spans that backfills have fetched whole; of candles those that hold one-minute bars.
select instrument_id, stream, from_time, to_time from backfills
where stream = 'trades' or (stream = 'candles' and '1m' = any(string_to_array(detail, ',')));

-- name: expired
-- Times of which trades and candles of some instruments ($1) were deleted because of their age.
select i.instrument_id, s.stream, coalesce(lower(e), timestamptz '2000-01-01'), upper(e)
from unnest($1::int[]) as i (instrument_id)
cross join (values ('trades'), ('candles')) as s (stream)
cross join lateral unnest(expired_spans(i.instrument_id, s.stream)) as e;

-- name: reached
-- How far each instrument was audited.
select i.instrument_id, a.time
from instruments i
cross join lateral (select time from audits x where x.instrument_id = i.instrument_id order by time desc limit 1) a;

-- name: judged
-- Runs of minutes that are complete or explained: $1 instruments, $2 from, $3 to. Their candles are known.
select instrument_id, min(time), max(time) + interval '1 minute'
from (
  select instrument_id, time,
         time - row_number() over (partition by instrument_id order by time) * interval '1 minute' as run
  from audits
  where instrument_id = any($1::int[]) and time >= $2 and time < $3 and verdict in ('complete', 'explained')
) x
group by instrument_id, run;

-- name: judge
-- Audit every minute of some spans: $1 instruments, $2 from and $3 to (whole minutes), what of their candles is
-- comparable ($4 volume, $5 number of trades, $6 prices), $7 and $8 the ends over all spans and a minute more on either
-- side, $9 now, by our clock. A verdict is written where it is new. Returns what there is by instrument and verdict,
-- with how many verdicts were new.
with wanted as (
  select * from unnest($1::int[], $2::timestamptz[], $3::timestamptz[], $4::boolean[], $5::boolean[], $6::boolean[])
    with ordinality as w (instrument_id, from_time, to_time, by_volume, by_count, by_prices, span)
), minutes as (
  select w.*, m.time, m.time >= from_time and m.time < to_time as inside
  from wanted w
  cross join lateral generate_series(from_time - interval '1 minute', to_time, interval '1 minute') as m (time)
), traded as (
  -- The first and the last price: of trades of one moment nobody knows the order, so any of them may be it.
  select instrument_id, date_bin('1 minute', time, 'epoch') as time, count(*) as trades, sum(size) as volume,
         max(price) as high, min(price) as low, min(time) as first_time, max(time) as last_time
  from trades
  where instrument_id = any($1::int[]) and time >= $7::timestamptz and time < $8::timestamptz
  group by 1, 2
), bars as (
  select instrument_id, time, open, high, low, close, volume, trades, closed
  from candles
  where instrument_id = any($1::int[]) and series = 'trade' and period = 60
    and time >= $7::timestamptz and time < $8::timestamptz
), missed as (
  -- A gap's ends are our clock's: a few seconds on either side belong to it. Of several, one that still explains.
  select distinct on (g.instrument_id, m.time) g.instrument_id, m.time, g.gap_id,
         case g.cause when 'silent loss' then g.state = 'unrecoverable' else g.state <> 'repaired' end as explains
  from gaps g
  cross join lateral generate_series(
    date_bin('1 minute', greatest(g.from_time - interval '5 seconds', $7::timestamptz), 'epoch'),
    least(coalesce(g.to_time, 'infinity') + interval '5 seconds', $8::timestamptz), interval '1 minute') as m (time)
  where g.instrument_id = any($1::int[]) and g.stream in ('trades', 'candles')
    and g.from_time - interval '5 seconds' < $8::timestamptz
    and coalesce(g.to_time, 'infinity') + interval '5 seconds' >= $7::timestamptz
  order by g.instrument_id, m.time, explains desc, g.cause = 'silent loss' desc, g.gap_id
), compared as (
  select m.*, coalesce(t.trades, 0) as trades, t.volume, b.time is not null as barred, b.closed,
         coalesce(not b.closed, t.trades > 0, false) as coming, b.trades as bar_trades, b.volume as bar_volume,
         g.gap_id, coalesce(g.explains, false) as explains,
         case when m.by_volume then coalesce(b.volume, 0) - coalesce(t.volume, 0) else 0 end as lack,
         case when b.time is null then case when t.trades > 0 then 'candle' end
              else concat_ws(',',
                case when m.by_volume and b.volume <> coalesce(t.volume, 0) then 'volume' end,
                case when m.by_count and b.trades is not null and b.trades <> coalesce(t.trades, 0) then 'trades' end,
                case when m.by_prices and t.high <> b.high then 'high' end,
                case when m.by_prices and t.low <> b.low then 'low' end,
                case when m.by_prices and t.trades > 0 and not exists (
                  select from trades x where x.instrument_id = m.instrument_id and x.time = t.first_time
                    and x.price = b.open) then 'open' end,
                case when m.by_prices and t.trades > 0 and not exists (
                  select from trades x where x.instrument_id = m.instrument_id and x.time = t.last_time
                    and x.price = b.close) then 'close' end)
         end as differs
  from minutes m
  left join traded t using (instrument_id, time)
  left join bars b using (instrument_id, time)
  left join missed g using (instrument_id, time)
), neighboured as (
  -- What one of two neighbours lacks, the other has: where their edge lies.
  select *, case when lack = 0 then null when lack = -lead(lack) over apart then time + interval '1 minute'
                 when lack = -lag(lack) over apart then time end as edge
  from compared
  window apart as (partition by span order by time)
), edged as (
  -- Whether trades of the second beside it, on the other side of a minute that lacks them, can be the cause.
  select *,
         edge is not null and (
           select sum(x.size) from trades x
           where x.instrument_id = n.instrument_id
             and x.time >= case when (lack > 0) = (edge > n.time) then edge else edge - interval '1 second' end
             and x.time < case when (lack > 0) = (edge > n.time) then edge + interval '1 second' else edge end
         ) >= abs(lack) as at_edge
  from neighboured n
  where inside
), judged as (
  select *,
         case
           when coming and time > $9::timestamptz - interval '5 minutes' then null
           when barred and not closed then case when explains then 'explained' else 'not comparable' end
           when explains and not barred then 'explained'
           when differs is null or differs = '' then 'complete'
           when at_edge then 'complete'
           when explains then 'explained'
           else 'unexplained'
         end as verdict
  from edged
), written as (
  insert into audits (time, instrument_id, verdict, trades, volume, candle_trades, candle_volume, differs, gap_id,
                      reason, audited_at)
  select time, instrument_id, verdict, trades, volume, bar_trades, bar_volume, nullif(differs, ''), gap_id,
         case when verdict = 'complete' and at_edge then 'trades at the edge count in the next minute or the last'
              when verdict = 'not comparable' then 'the candle was never closed' end, now()
  from judged
  where verdict is not null
  on conflict (instrument_id, time) do update
  set verdict = excluded.verdict, trades = excluded.trades, volume = excluded.volume,
      candle_trades = excluded.candle_trades, candle_volume = excluded.candle_volume, differs = excluded.differs,
      gap_id = excluded.gap_id, reason = excluded.reason, audited_at = excluded.audited_at
  where (audits.verdict, audits.trades, audits.volume, audits.candle_trades, audits.candle_volume, audits.differs,
         audits.gap_id, audits.reason)
    is distinct from (excluded.verdict, excluded.trades, excluded.volume, excluded.candle_trades,
                      excluded.candle_volume, excluded.differs, excluded.gap_id, excluded.reason)
  returning instrument_id, verdict
)
select instrument_id, verdict, sum(minutes)::bigint as minutes, sum(fresh)::bigint as fresh
from (
  select instrument_id, coalesce(verdict, 'waiting') as verdict, count(*) as minutes, 0 as fresh
  from judged group by 1, 2
  union all
  select instrument_id, verdict, 0, count(*) from written group by 1, 2
) x
group by 1, 2;

-- name: unexplained
-- Minutes that nothing explains, newest first, and what became of their repair: $1 since when, $2 how many. Of each,
-- `open`: a gap waits for its repair; `tried`: the streams for which there is one, whatever became of it.
select a.instrument_id, v.code as venue, i.symbol, a.time, a.trades, a.volume, a.candle_trades, a.candle_volume,
       a.differs, coalesce(g.open, false) as open, coalesce(g.tried, '{}') as tried
from audits a join instruments i using (instrument_id) join venues v using (venue_id)
cross join lateral (
  select bool_or(x.state = 'open') as open, array_agg(x.stream) as tried
  from gaps x
  where x.instrument_id = a.instrument_id and x.cause = 'silent loss' and x.from_time <= a.time
    and x.to_time >= a.time + interval '1 minute'
) g
where a.verdict = 'unexplained' and a.time >= $1
order by a.time desc, venue, i.symbol
limit $2::bigint;

-- name: suddenly_quiet
-- Instruments of which nothing came in a minute ($1), though they traded in all $2 minutes before it.
select a.instrument_id, v.code as venue, i.symbol
from audits a join instruments i using (instrument_id) join venues v using (venue_id)
where a.time = $1 and a.trades = 0 and a.candle_volume is null and a.gap_id is null and a.verdict = 'complete'
  and $2::int = (select count(*) from audits b where b.instrument_id = a.instrument_id and b.trades > 0
                   and b.time < $1 and b.time >= $1 - $2::int * interval '1 minute')
order by 2, 3;

-- name: verdicts
-- The present verdicts of some minutes: $1 instruments, $2 minutes.
select a.instrument_id, a.time, a.verdict
from unnest($1::int[], $2::timestamptz[]) as w (instrument_id, time) join audits a using (instrument_id, time);

-- name: record_silent_loss
-- Record a span of unexplained minutes as a gap: $1 instrument, $2 stream, $3 from, $4 to, $5 reason. Not where one is
-- known, and not where three repairs of a day have found nothing: a venue whose candles never add up would be asked
-- for ever.
insert into gaps (instrument_id, stream, from_time, to_time, cause, reason)
select $1, $2, $3::timestamptz, $4::timestamptz, 'silent loss', $5
where not exists (
    select from gaps g where g.instrument_id = $1 and g.stream = $2 and g.cause = 'silent loss'
      and g.from_time < $4::timestamptz and g.to_time > $3::timestamptz)
  and (select count(*) from gaps g where g.instrument_id = $1 and g.stream = $2 and g.cause = 'silent loss'
         and g.state = 'repaired' and g.filled_rows = 0 and g.from_time > $3::timestamptz - interval '1 day') < 3
on conflict (instrument_id, stream, from_time, cause) do nothing
returning gap_id;

-- name: summary
-- How many minutes of a choice have which verdict, by instrument: $1 venues, null for all, $2 symbols, $3 from, $4 to.
select v.code, i.symbol, a.verdict, count(*) as minutes
from audits a join instruments i using (instrument_id) join venues v using (venue_id)
where ($1::text[] is null or v.code = any($1)) and i.symbol like any($2::text[]) and a.time >= $3 and a.time < $4
group by 1, 2, 3 order by 1, 2, 3;

-- name: examples
-- The oldest unexplained minutes of the same choice; $5 how many.
select v.code as venue, i.symbol, a.time, a.trades, a.volume, a.candle_trades, a.candle_volume, a.differs
from audits a join instruments i using (instrument_id) join venues v using (venue_id)
where a.verdict = 'unexplained' and ($1::text[] is null or v.code = any($1)) and i.symbol like any($2::text[])
  and a.time >= $3 and a.time < $4
order by a.time, 1, 2
limit $5::bigint;

-- name: with_books
-- Instruments that have rows of books in a span: $1 venues, null for all, $2 symbols, $3 from, $4 to.
select i.instrument_id, v.code, i.symbol
from instruments i join venues v using (venue_id)
where ($1::text[] is null or v.code = any($1)) and i.symbol like any($2::text[])
  and exists (select from books b where b.instrument_id = i.instrument_id and b.time >= $3 and b.time < $4)
order by 2, 3;

-- name: books
-- The rows of one instrument's book in the order of receipt: $1 instrument, $2 from, $3 to. A number of 0 is none.
select received_at, seq, snapshot, bid_prices, bid_sizes, ask_prices, ask_sizes
from books where instrument_id = $1 and time >= $2 and time < $3 and seq <> 0
order by received_at, seq, snapshot desc;

-- name: book_gaps
-- The gaps of one instrument's book in a span: $1 instrument, $2 from, $3 to.
select from_time, coalesce(to_time, $3) from gaps
where instrument_id = $1 and stream = 'books' and from_time < $3 and coalesce(to_time, 'infinity') >= $2;

-- name: note_book
-- What was found in one instrument's book.
insert into book_audits (instrument_id, from_time, to_time, verdict, rows, snapshots, compared, divergences, breaks,
                         explained, first)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
on conflict (instrument_id, from_time, to_time) do update
set verdict = excluded.verdict, rows = excluded.rows, snapshots = excluded.snapshots, compared = excluded.compared,
    divergences = excluded.divergences, breaks = excluded.breaks, explained = excluded.explained,
    first = excluded.first, audited_at = now();

-- name: load_place
-- How far a journal is in the tables.
select segment, byte_offset from journal_position where journal = $1;

-- name: counted
-- The items counted of each segment and table of a journal.
select segment, table_name, items from journal_counts where journal = $1;

-- name: audited_segments
-- The hashes of whole segments that were audited, and what was found.
select segment, sha256, verdict, records, items, counted, faults, byte_offset from segment_audits
where journal = $1 and whole;

-- name: note_segment
-- What was found in a segment.
insert into segment_audits (journal, segment, verdict, whole, byte_offset, sha256, records, items, counted, faults)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
on conflict (journal, segment) do update
set verdict = excluded.verdict, whole = excluded.whole, byte_offset = excluded.byte_offset, sha256 = excluded.sha256,
    records = excluded.records, items = excluded.items, counted = excluded.counted, faults = excluded.faults,
    audited_at = now();
