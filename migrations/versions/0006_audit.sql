-- Audit: what was proved about each minute of trades, each segment of the journal and each order book.

create table audits (
  time           timestamptz not null,
  instrument_id  int not null,
  verdict        text not null check (verdict in ('complete', 'explained', 'unexplained', 'not comparable')),
  trades         bigint not null,
  volume         numeric,
  candle_trades  bigint,
  candle_volume  numeric,
  differs        text,
  gap_id         bigint,
  reason         text,
  audited_at     timestamptz not null default now()
);
comment on table audits is 'Minutes whose stored trades were added up and compared with the venue''s own one-minute candle.';
comment on column audits.time is 'When the minute begins, by the venue''s clock.';
comment on column audits.instrument_id is 'The instrument.';
comment on column audits.verdict is 'complete (all equal), explained (a gap says why not), unexplained, or not comparable.';
comment on column audits.trades is 'How many trades are stored.';
comment on column audits.volume is 'The sum of their sizes, in units of base or in contracts; null without any.';
comment on column audits.candle_trades is 'How many there were, as the venue''s candle says; null where it does not.';
comment on column audits.candle_volume is 'Their sum, as the venue''s candle says; null without a candle.';
comment on column audits.differs is 'What is not equal, joined by commas: volume, trades, high, low, open, close, candle (there is none).';
comment on column audits.gap_id is 'The gap that overlaps the minute, where there is one: the reason, or what was repaired.';
comment on column audits.reason is 'Why it is not comparable, or what else is to be known.';
comment on column audits.audited_at is 'When the verdict was reached or last changed, by the database''s clock.';
create unique index audits_key on audits (instrument_id, time);
create index audits_unexplained on audits (time) where verdict = 'unexplained';

create table segment_audits (
  journal     text not null,
  segment     bigint not null,
  verdict     text not null check (verdict in ('complete', 'unexplained', 'not comparable')),
  whole       boolean not null,
  byte_offset bigint not null,
  sha256      text not null,
  records     bigint not null,
  items       bigint not null,
  counted     bigint not null,
  faults      text,
  audited_at  timestamptz not null default now(),
  primary key (journal, segment)
);
comment on table segment_audits is 'Journal segments that were read again, with the items in their frames against those counted.';
comment on column segment_audits.journal is 'The journal''s name.';
comment on column segment_audits.segment is 'The segment.';
comment on column segment_audits.verdict is 'complete: readable, unchanged, and all its items were counted. not comparable: the one before it is gone.';
comment on column segment_audits.whole is 'Whether it was finished when it was read; false: it was read up to byte_offset.';
comment on column segment_audits.byte_offset is 'How far it was read, in bytes of the uncompressed segment.';
comment on column segment_audits.sha256 is 'SHA-256 of these bytes, uncompressed: a later audit tells a changed archive by it.';
comment on column segment_audits.records is 'Records whose checksum is right.';
comment on column segment_audits.items is 'Items in its frames, as the parsers count them now.';
comment on column segment_audits.counted is 'Items in journal_counts: stored, duplicates and quarantined.';
comment on column segment_audits.faults is 'What is wrong with it; null for nothing.';
comment on column segment_audits.audited_at is 'When it was audited, by the database''s clock.';

create table book_audits (
  instrument_id int not null references instruments,
  from_time     timestamptz not null,
  to_time       timestamptz not null,
  verdict       text not null check (verdict in ('complete', 'explained', 'unexplained', 'not comparable')),
  rows          bigint not null,
  snapshots     bigint not null,
  compared      bigint not null,
  divergences   bigint not null,
  breaks        bigint not null,
  explained     bigint not null,
  first         text,
  audited_at    timestamptz not null default now(),
  primary key (instrument_id, from_time, to_time)
);
comment on table book_audits is 'Order books made again from rows and compared with the venue''s next snapshot.';
comment on column book_audits.instrument_id is 'The instrument.';
comment on column book_audits.from_time is 'From when on rows were read, by our clock.';
comment on column book_audits.to_time is 'Until when.';
comment on column book_audits.verdict is 'complete, explained (gaps say why a chain breaks), unexplained, or not comparable.';
comment on column book_audits.rows is 'Rows read.';
comment on column book_audits.snapshots is 'Whole books among them.';
comment on column book_audits.compared is 'Snapshots that an unbroken chain had reached, and that were compared.';
comment on column book_audits.divergences is 'Those of them that the rebuilt book did not equal.';
comment on column book_audits.breaks is 'Places at which a change is missing.';
comment on column book_audits.explained is 'Those of them that a gap tells of.';
comment on column book_audits.first is 'The first thing that is wrong, or why nothing can be compared.';
comment on column book_audits.audited_at is 'When it was audited, by the database''s clock.';

create view v_audits as
select v.code as venue, i.symbol, a.time, a.verdict, a.verdict = 'complete' and g.cause = 'silent loss' as repaired,
       a.trades, a.volume, a.candle_trades, a.candle_volume, a.candle_volume - coalesce(a.volume, 0) as missing,
       a.differs, a.reason, g.cause as gap_cause, g.state as gap_state, a.gap_id, a.audited_at
from audits a join instruments i using (instrument_id) join venues v using (venue_id) left join gaps g using (gap_id);
comment on view v_audits is 'Audited minutes with venue, symbol and gap; missing is the candle''s volume less what is stored.';

create view v_book_audits as
select v.code as venue, i.symbol, b.from_time, b.to_time, b.verdict, b.rows, b.snapshots, b.compared, b.divergences,
       b.breaks, b.explained, b.first, b.audited_at
from book_audits b join instruments i using (instrument_id) join venues v using (venue_id);
comment on view v_book_audits is 'Audited order books with venue and symbol.';

do $$
declare
  place text;
begin
  select extnamespace::regnamespace::text into place from pg_extension where extname = 'timescaledb';
  if found then
    execute format(
      'select %s.create_hypertable(%L, %L, chunk_time_interval => %L::interval, create_default_indexes => false)',
      place, 'audits', 'time', interval '30 days');
  end if;
end $$;
