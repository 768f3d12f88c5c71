-- Repair: what was tried on each gap, what was backfilled, and a view that says which time is covered.

alter table gaps
  add column tried_at  timestamptz,
  add column tries     int not null default 0,
  add column filled_to timestamptz,
  add column trouble   text;
comment on column gaps.tried_at is 'When its repair first began, by our clock; rows of the span received since are the repair''s.';
comment on column gaps.tries is 'How often its repair failed and was put off.';
comment on column gaps.filled_to is 'How far a repair that takes long has come; it goes on from there.';
comment on column gaps.trouble is 'Why the last try failed, while it is still tried.';

create table backfills (
  instrument_id int not null references instruments,
  stream        text not null,
  detail        text not null,
  from_time     timestamptz not null,
  to_time       timestamptz not null,
  done_at       timestamptz not null default now(),
  primary key (instrument_id, stream, detail, from_time, to_time)
);
comment on table backfills is 'Spans that `collector backfill` has fetched whole, so that it can be ended and started again.';
comment on column backfills.instrument_id is 'The instrument.';
comment on column backfills.stream is 'The stream.';
comment on column backfills.detail is 'What of the stream was fetched, such as the periods of candles.';
comment on column backfills.from_time is 'From when on, by the venue''s clock.';
comment on column backfills.to_time is 'Until when.';
comment on column backfills.done_at is 'When it was stored, by the database''s clock.';

create or replace view v_gaps as
select v.code as venue, i.symbol, g.stream, g.from_time, g.to_time, g.to_time - g.from_time as duration, g.from_seq,
       g.to_seq, g.cause, g.reason, g.state, g.found_at, g.filled_at, g.filled_rows, g.gap_id, g.tries, g.trouble
from gaps g join instruments i using (instrument_id) join venues v using (venue_id);

-- Time is recorded from the first session that covered an instrument's stream; what is no gap since then is covered.
-- Gaps can overlap: the worst one of a moment counts.
create view coverage as
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
       (array['covered', 'repaired', 'missing', 'lost'])[r.badness + 1] as state,
       min(r.from_time) as from_time, max(r.to_time) as to_time, max(r.to_time) - min(r.from_time) as duration,
       r.instrument_id
from runs r join instruments i using (instrument_id) join venues v using (venue_id)
group by v.code, i.symbol, r.stream, r.instrument_id, r.run, r.badness;
comment on view coverage is 'Time by instrument and stream since recording began: covered, repaired (got back), missing (may still be got back), lost.';
