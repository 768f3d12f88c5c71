-- The quarantine as `collector quarantine` works it.
-- A choice is always $1 ids (null: all), $2 state (waiting, resolved, discarded), $3 venue, $4 stream, $5 kind,
-- $6 a pattern of the error, $7 and $8 the first and the last receipt; each of them null for all.

-- name: list_entries
-- The newest entries of a choice; $9 how many.
select quarantine_id, venue, stream, kind, error, items, received_at, bytes, segment, byte_offset, state, resolved_at,
       discarded_reason
from v_quarantine
where ($1::bigint[] is null or quarantine_id = any($1)) and ($2::text is null or state = $2)
  and ($3::text[] is null or venue = any($3)) and ($4::text[] is null or stream = any($4)) and ($5::text is null or kind = $5)
  and ($6::text is null or error like $6) and ($7::timestamptz is null or received_at >= $7)
  and ($8::timestamptz is null or received_at <= $8)
order by received_at desc, quarantine_id desc
limit $9::bigint;

-- name: count_entries
-- How many there are of the same choice by state, and how many items they hold.
select count(*) as total, coalesce(sum(items), 0)::bigint as items, count(*) filter (where state = 'waiting') as waiting,
       count(*) filter (where state = 'resolved') as resolved, count(*) filter (where state = 'discarded') as discarded
from v_quarantine
where ($1::bigint[] is null or quarantine_id = any($1)) and ($2::text is null or state = $2)
  and ($3::text[] is null or venue = any($3)) and ($4::text[] is null or stream = any($4)) and ($5::text is null or kind = $5)
  and ($6::text is null or error like $6) and ($7::timestamptz is null or received_at >= $7)
  and ($8::timestamptz is null or received_at <= $8);

-- name: group_entries
-- The same choice by error, whatever values it names, the most frequent first; $9 how many groups.
select venue, stream, kind,
       regexp_replace(regexp_replace(error, '''[^'']*''|"[^"]*"|\[.*\]|\{.*\}', '..', 'g'), '[0-9]+', 'N', 'g') as error,
       count(*) as entries, sum(items)::bigint as items, min(received_at) as first, max(received_at) as last,
       max(quarantine_id) as newest
from v_quarantine
where ($1::bigint[] is null or quarantine_id = any($1)) and ($2::text is null or state = $2)
  and ($3::text[] is null or venue = any($3)) and ($4::text[] is null or stream = any($4)) and ($5::text is null or kind = $5)
  and ($6::text is null or error like $6) and ($7::timestamptz is null or received_at >= $7)
  and ($8::timestamptz is null or received_at <= $8)
group by 1, 2, 3, 4
order by entries desc, last desc
limit $9::bigint;

-- name: get_entry
-- One entry whole.
select quarantine_id, venue, stream, kind, error, items, received_at, bytes, segment, byte_offset, state, resolved_at,
       discarded_reason, (select payload from quarantine q where q.quarantine_id = v.quarantine_id) as payload
from v_quarantine v where quarantine_id = $1;

-- name: known_ids
-- Which of these ids there are, and their state.
select quarantine_id, state, discarded_reason from v_quarantine where quarantine_id = any($1::bigint[]);

-- name: work_list
-- What of a choice waits, in the order of its receipt, without the bytes of frames: their digest finds them in the
-- journal. $2 is not looked at: only what waits can be worked. $9 the last id of the piece before, $10 how many.
select q.quarantine_id, (extract(epoch from q.received_at) * 1000000)::bigint, v.venue, q.stream, q.kind, q.error,
       q.items, sha256(q.payload), q.segment, q.journal
from v_quarantine v join quarantine q using (quarantine_id)
where ($1::bigint[] is null or q.quarantine_id = any($1)) and v.state = 'waiting' and $2::text is not distinct from $2
  and ($3::text[] is null or v.venue = any($3)) and ($4::text[] is null or v.stream = any($4)) and ($5::text is null or v.kind = $5)
  and ($6::text is null or v.error like $6) and ($7::timestamptz is null or v.received_at >= $7)
  and ($8::timestamptz is null or v.received_at <= $8) and q.quarantine_id > $9
order by q.quarantine_id
limit $10;

-- name: payload
-- The bytes of one.
select payload from quarantine where quarantine_id = $1;

-- name: lock_entry
-- Hold an entry that still waits; nothing where somebody else has settled it meanwhile.
select quarantine_id from quarantine
where quarantine_id = $1 and resolved_at is null and discarded_reason is null for update;

-- name: resolve_entry
-- All of it is stored, or was there already.
update quarantine set resolved_at = now() where quarantine_id = $1;

-- name: keep_entry
-- It still cannot be stored: what is wrong with it now, $2 its error, $3 its stream, $4 its items.
update quarantine set error = $2, stream = $3, items = $4 where quarantine_id = $1;

-- name: add_row
-- A row of a frame parsed again that the database refuses; it is counted where the frame was.
insert into quarantine (received_at, venue_id, stream, error, payload, items, kind, segment, journal)
select timestamptz 'epoch' + $1::bigint * interval '1 microsecond', $2, $3, $4, $5, $6, 'row', $7, $8
where not exists (
  select from quarantine
  where received_at = timestamptz 'epoch' + $1::bigint * interval '1 microsecond'
    and venue_id = $2 and stream is not distinct from $3 and payload = $5);

-- name: withdraw_counts
-- Items leave the quarantine of a journal's segment ($1, $2) and table ($3).
update journal_counts set items = items - $4, quarantined = quarantined - $4
where journal = $1 and segment = $2 and table_name = $3 and quarantined >= $4 and items >= $4;

-- name: add_counts
-- What became of items, added to those of a journal's segment ($1, $2): table, items, stored, duplicates, quarantined.
insert into journal_counts as c (journal, segment, table_name, items, stored, duplicates, quarantined)
select $1, $2, t, i, s, d, q
from unnest($3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[]) as u (t, i, s, d, q)
on conflict (journal, segment, table_name) do update
set items = c.items + excluded.items, stored = c.stored + excluded.stored,
    duplicates = c.duplicates + excluded.duplicates, quarantined = c.quarantined + excluded.quarantined;

-- name: discard
-- Set what waits of a choice aside for good, with the reason $9; nothing is deleted.
update quarantine q set discarded_reason = $9
from v_quarantine v
where v.quarantine_id = q.quarantine_id and q.resolved_at is null and q.discarded_reason is null
  and ($1::bigint[] is null or q.quarantine_id = any($1)) and $2::text is not distinct from $2
  and ($3::text[] is null or v.venue = any($3)) and ($4::text[] is null or v.stream = any($4)) and ($5::text is null or v.kind = $5)
  and ($6::text is null or v.error like $6) and ($7::timestamptz is null or v.received_at >= $7)
  and ($8::timestamptz is null or v.received_at <= $8);
