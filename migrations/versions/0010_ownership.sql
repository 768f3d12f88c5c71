-- Ownership: who moves a journal's position, and up to when what was received is in the tables; which journal tells of a
-- session; and a natural key of the quarantine, so that a frame that is read again is quarantined once.

alter table journal_position
  add column received_at timestamptz,
  add column owner       text,
  add column place       text,
  add column alive_at    timestamptz;
comment on column journal_position.received_at is 'What was received until then is in the tables, by the collector''s clock; null: not known.';
comment on column journal_position.owner is 'The run of a collector that alone may move the position; null: any may.';
comment on column journal_position.place is 'Where that collector runs: host and folder.';
comment on column journal_position.alive_at is 'When its owner last gave a sign of life, by the database''s clock.';

alter table sessions add column journal text;
comment on column sessions.journal is 'The journal that tells of it; null for what a replay or a backfill wrote.';

-- Sessions that last belong to the one journal there is, where there has been one only.
update sessions s set journal = p.journal
from (select min(journal) as journal from journal_position having count(*) = 1) p
where s.closed_at is null;

alter table quarantine add column ordinal int not null default 0;
comment on column quarantine.ordinal is 'How many entries with the same bytes, received at the same moment, came before: 0 for the first.';

update quarantine q set ordinal = n.ordinal
from (
  select quarantine_id, row_number() over (partition by received_at, venue_id, payload order by quarantine_id) - 1 as ordinal
  from quarantine) n
where n.quarantine_id = q.quarantine_id and n.ordinal > 0;

create unique index quarantine_key on quarantine (received_at, venue_id, sha256(payload), ordinal) nulls not distinct;
