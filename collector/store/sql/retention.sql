-- Retention and compression by age, as the settings say. Times are microseconds since 1970, lengths of time seconds.

-- name: compress
-- Let the server compress a table at an age, where it can; null for never.
select compress_at($1, make_interval(secs => $2::float8));

-- name: note
-- What is wanted of a table; what backfills are spared follows from it.
insert into retention as r (stream, keep, keep_backfills)
values ($1, make_interval(secs => $2::float8), $3)
on conflict (stream) do update set keep = excluded.keep, keep_backfills = excluded.keep_backfills
where (r.keep, r.keep_backfills) is distinct from (excluded.keep, excluded.keep_backfills);

-- name: cut
-- Up to when rows of $1 may go: older than it keeps ($2 before $3), no gap in it that is still to be repaired (ended no
-- more than $4 ago; null: ever), and of trades, in the rollups. Null: nothing.
select least(
  timestamptz 'epoch' + $3::bigint * interval '1 microsecond' - make_interval(secs => $2::float8),
  (select min(from_time) from gaps
   where stream = $1 and state = 'open' and to_time is not null
     and ($4::float8 is null or to_time >= timestamptz 'epoch' + $3::bigint * interval '1 microsecond'
                                           - make_interval(secs => $4::float8))),
  case when $1 = 'trades' then (select min(minute) from trades_touched) end,
  case when $1 = 'trades' then (select min(built_until) from rollup_progress) end)
where $1 <> 'trades' or exists (select from rollup_progress where instrument_id = 0)
   or not exists (select from instruments i where not exists (
        select from rollup_progress p where p.instrument_id = i.instrument_id));

-- name: expire
-- Delete the next of what is older than $2: a chunk, or $3 rows at the most; 0 when nothing is left.
select expire($1, $2::timestamptz, $3);

-- name: expired_to
-- Up to when rows have been deleted.
select nullif(expired_to, '-infinity') from retention where stream = $1;

-- name: set_timeouts
-- Rather wait for another time than hold up those who write.
select set_config('lock_timeout', '2s', false);

-- name: lock
-- One process at a time, until the connection ends; false where another is at it.
select pg_try_advisory_lock($1);

-- name: hold_rollups
-- Keep the server's own rollups from forgetting what is deleted below them: they are not made anew beyond $2 seconds.
select remove_continuous_aggregate_policy($1::text::regclass, if_exists => true),
       add_continuous_aggregate_policy($1::text::regclass, start_offset => make_interval(secs => $2::float8),
         end_offset => $3::text::interval, schedule_interval => interval '1 minute');

-- name: refresh
-- Bring one of the server's own rollups up to date from $2 to $3.
call refresh_continuous_aggregate($1, $2::timestamptz, $3::timestamptz);
