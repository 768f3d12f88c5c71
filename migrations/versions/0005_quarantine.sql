-- Quarantine: under which journal an entry is counted, so that its items can be moved in journal_counts when they are
-- stored after all; and what became of it, in one word.

alter table quarantine add column journal text;
comment on column quarantine.journal is 'The journal whose counts hold its items; null for what a replay or a backfill found.';

-- Entries of before tell no journal. Where there has been one only, they are its own.
update quarantine q set journal = c.journal
from (select min(journal) as journal from journal_counts having count(distinct journal) = 1) c
where exists (select from journal_counts j where j.segment = q.segment and j.table_name = coalesce(q.stream, 'frames')
                                             and j.quarantined >= q.items);

create or replace view v_quarantine as
select v.code as venue, q.stream, q.received_at, q.kind, q.error, q.items, encode(q.payload, 'escape') as text,
       q.segment, q.byte_offset, q.resolved_at, q.discarded_reason, q.quarantine_id,
       case when q.resolved_at is not null then 'resolved' when q.discarded_reason is not null then 'discarded'
            else 'waiting' end as state,
       octet_length(q.payload) as bytes, q.journal
from quarantine q left join venues v using (venue_id);
