-- Migrations: what has been done, and the lock under which more is done.

-- name: was_migrated
-- Whether the table of the last step is there.
select to_regclass('alembic_version') is not null;

-- name: last_step
-- The number of the last step that was applied.
select version_num from alembic_version;

-- name: set_timeouts
-- Bound the waiting for locks and nothing else, until the end of the transaction.
select set_config('lock_timeout', $1, true), set_config('statement_timeout', '0', true);

-- name: lock
-- One migration at a time in a database; given back at the end of the transaction.
select pg_advisory_xact_lock($1);
