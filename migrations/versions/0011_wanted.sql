-- Wanted: what the configuration asked for and since when. Coverage is measured against that, and not against what a venue
-- has answered: a venue that is away at the first start leaves a hole, too.

create table wanted (
  instrument_id int not null references instruments,
  stream        text not null,
  from_time     timestamptz not null,
  to_time       timestamptz,
  journal       text,
  primary key (instrument_id, stream, from_time)
);
comment on table wanted is 'Streams of instruments that the configuration asked for, and when.';
comment on column wanted.instrument_id is 'The instrument; one that the venue turned out not to have is here as well.';
comment on column wanted.stream is 'The stream.';
comment on column wanted.from_time is 'Since when, by our clock; of trades and candles since the beginning of that minute.';
comment on column wanted.to_time is 'Until when; null while it is asked for.';
comment on column wanted.journal is 'The journal of the collector that asks.';
create index wanted_now on wanted (journal) where to_time is null;

create or replace function recorded_until() returns timestamptz
language sql stable parallel safe as $$
  select least(now(), max(coalesce(received_at, updated_at))) from journal_position
$$;
comment on function recorded_until is 'Up to when what was received is in the tables.';

-- Versions before this one told no more than their sessions: what these subscribed to counts as asked for since the first.
create view wanted_spans as
with first_told as (
  select i.venue_id, min(w.from_time) as since from wanted w join instruments i using (instrument_id) group by 1
), spans as (
  select instrument_id, stream, from_time as since, coalesce(to_time, recorded_until(), from_time) as until from wanted
  union all
  select i.instrument_id, t.stream, t.since, t.until
  from (
    select s.venue_id, c.value ->> 1 as stream, y.value as symbol, min(s.opened_at) as since,
           least(max(coalesce(s.closed_at, recorded_until())), min(f.since)) as until
    from sessions s
    left join first_told f using (venue_id)
    cross join lateral jsonb_array_elements(s.details -> 'subscriptions') as c
    cross join lateral jsonb_array_elements_text(c.value -> 2) as y
    where s.opened_at < coalesce(f.since, 'infinity')
    group by 1, 2, 3) t
  join instruments i using (venue_id, symbol)
)
select instrument_id, stream, lower(span) as since, upper(span) as until
from (
  select instrument_id, stream, unnest(range_agg(tstzrange(since, greatest(until, since), '[]'))) as span
  from spans group by 1, 2) merged;
comment on view wanted_spans is 'When each stream of an instrument was to be recorded, up to where the tables are.';

create or replace function recorded_since(instrument_id int, stream text) returns timestamptz
language plpgsql stable parallel safe as $$
#variable_conflict use_column
declare
  told    timestamptz;
  in_use  timestamptz;
  opened  timestamptz;
begin
  select min(w.from_time) into told
  from wanted w where w.instrument_id = recorded_since.instrument_id and w.stream = recorded_since.stream;
  select min(w.from_time) into in_use
  from instruments i join instruments other using (venue_id) join wanted w on w.instrument_id = other.instrument_id
  where i.instrument_id = recorded_since.instrument_id;
  select s.opened_at into opened
  from instruments i join sessions s using (venue_id)
  where i.instrument_id = recorded_since.instrument_id and s.opened_at < coalesce(in_use, 'infinity')
    and exists (select from jsonb_array_elements(s.details -> 'subscriptions') c
                where c.value ->> 1 = recorded_since.stream and c.value -> 2 ? i.symbol)
  order by s.opened_at limit 1;
  return least(told, opened);
end $$;
comment on function recorded_since is 'Since when an instrument''s stream was to be recorded; null where it never was.';

create or replace function recorded_spans(instrument_id int, stream text, from_time timestamptz, to_time timestamptz)
returns tstzmultirange
language plpgsql stable parallel safe as $$
#variable_conflict use_column
declare
  recorded tstzmultirange;
  lacking  tstzmultirange;
  unwanted tstzmultirange;
  since    constant timestamptz := recorded_since(recorded_spans.instrument_id, recorded_spans.stream);
begin
  select coalesce(range_agg(tstzrange(b.from_time, greatest(b.from_time, b.to_time))), '{}') into recorded
  from backfills b
  where b.instrument_id = recorded_spans.instrument_id and b.stream = recorded_spans.stream
    and b.from_time < recorded_spans.to_time and b.to_time > recorded_spans.from_time;
  if since is not null then
    -- From each end of the asking to the next beginning nothing was recorded, and nothing is a gap.
    select coalesce(range_agg(tstzrange(w.ended, w.begun)), '{}') into unwanted
    from (
      select to_time as ended, lead(from_time, 1, 'infinity') over (order by from_time) as begun
      from wanted w
      where w.instrument_id = recorded_spans.instrument_id and w.stream = recorded_spans.stream) w
    where w.ended is not null and w.begun > w.ended;
    recorded := recorded + (tstzmultirange(tstzrange(since, null)) - unwanted);
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

create or replace view coverage as
with spans as (
  select instrument_id, stream, since, until from wanted_spans
), lacks as (
  select s.instrument_id, s.stream, s.since, greatest(g.from_time, s.since) as from_time,
         least(coalesce(g.to_time, s.until), s.until) as to_time,
         case g.state when 'repaired' then 1 when 'open' then 2 else 3 end as badness
  from gaps g join spans s using (instrument_id, stream)
  where coalesce(g.to_time, 'infinity') > s.since and g.from_time < s.until
  union all
  select s.instrument_id, s.stream, s.since, lower(e), upper(e), 4
  from spans s
  cross join lateral unnest(
    expired_spans(s.instrument_id, s.stream) * tstzmultirange(tstzrange(s.since, s.until))) e
  where s.stream in (select stream from retention)
), moments as (
  select instrument_id, stream, since, since as moment from spans
  union select instrument_id, stream, since, until from spans
  union select instrument_id, stream, since, from_time from lacks
  union select instrument_id, stream, since, to_time from lacks
), pieces as (
  select instrument_id, stream, since, moment as from_time,
         lead(moment) over (partition by instrument_id, stream, since order by moment) as to_time
  from moments
), judged as (
  select p.instrument_id, p.stream, p.since, p.from_time, p.to_time, coalesce(max(l.badness), 0) as badness
  from pieces p
  left join lacks l on l.instrument_id = p.instrument_id and l.stream = p.stream and l.since = p.since
                   and l.from_time <= p.from_time and l.to_time >= p.to_time
  where p.to_time is not null
  group by 1, 2, 3, 4, 5
), runs as (
  select *, sum(turned) over (partition by instrument_id, stream, since order by from_time) as run
  from (select *, (badness is distinct from
                   lag(badness) over (partition by instrument_id, stream, since order by from_time))::int as turned
        from judged) t
)
select v.code as venue, i.symbol, r.stream,
       (array['covered', 'repaired', 'missing', 'lost', 'expired'])[r.badness + 1] as state,
       min(r.from_time) as from_time, max(r.to_time) as to_time, max(r.to_time) - min(r.from_time) as duration,
       r.instrument_id
from runs r join instruments i using (instrument_id) join venues v using (venue_id)
group by v.code, i.symbol, r.stream, r.instrument_id, r.since, r.run, r.badness;
comment on view coverage is 'Time by instrument and stream while it was asked for: covered, repaired (got back), missing (may still be got back), lost, expired (deleted because of its age).';

do $$
declare
  made text;
begin
  foreach made in array array['recorded_until', 'recorded_since', 'recorded_spans'] loop
    execute format('alter function %I.%I set search_path = %I, pg_temp', current_schema(), made, current_schema());
  end loop;
end $$;
