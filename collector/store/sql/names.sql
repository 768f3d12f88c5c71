-- Names that the database knows, whether or not anything of them is recorded now.

-- name: venues
-- Every venue of which something was ever recorded or asked for.
select code from venues order by code collate "C";

-- name: symbols
-- Every instrument: $1 venues, null for all.
select distinct i.symbol
from instruments i join venues v using (venue_id)
where $1::text[] is null or v.code = any($1::text[])
order by i.symbol;

-- name: streams
-- Every stream that was asked for, or is missing.
select stream from wanted union select stream from gaps order by 1;

-- name: quarantined
-- The venues and streams of what is in quarantine.
select v.code, q.stream
from (select distinct venue_id, stream from quarantine) q left join venues v using (venue_id);

-- name: rate_names
-- The rates of venue $1.
select distinct r.name from rates r join venues v using (venue_id) where v.code = $1 order by 1;

-- name: recorded
-- Whether anything of a choice was ever to be recorded: $1 venues, $2 symbols, $3 streams, each null for all but $2.
select exists (
  select from wanted_spans w join instruments i using (instrument_id) join venues v using (venue_id)
  where ($1::text[] is null or v.code = any($1)) and i.symbol like any($2::text[])
    and ($3::text[] is null or w.stream = any($3))
);
