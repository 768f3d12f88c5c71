-- What the embedded server's superuser does before the daemon comes in with fewer rights.

-- name: role_exists
-- Whether there is a role of this name.
select exists (select from pg_roles where rolname = $1);

-- name: set_password
-- Hand a password to the next statement; a utility statement takes no parameters, and its text may be logged.
select set_config('collector.password', $1, false);

-- name: create_owner
-- The daemon's login: owner of the database, nothing beyond it.
do $$ begin execute format('create role collector login password %L', current_setting('collector.password')); end $$;

-- name: create_groups
-- The groups that the migrations grant rights to; made here because the daemon may not create roles.
do $$ begin
  if not exists (select from pg_roles where rolname = 'collector_reader') then create role collector_reader nologin; end if;
  if not exists (select from pg_roles where rolname = 'collector_writer') then create role collector_writer nologin; end if;
end $$;

-- name: create_analyst
-- The login for people: reads everything, changes nothing.
do $$ begin
  execute format('create role analyst login password %L in role collector_reader', current_setting('collector.password'));
  alter role analyst set default_transaction_read_only = on;
end $$;

-- name: database_exists
-- Whether there is a database of this name.
select exists (select from pg_database where datname = $1);

-- name: create_database
-- The database; template0, so that nothing which somebody put into template1 comes along.
create database market owner collector template template0 encoding 'UTF8' locale 'C';

-- name: close_database
-- Only those who are let in may connect.
revoke connect, temporary on database market from public;

-- name: open_database
-- Analysts may connect, and use temporary tables.
grant connect, temporary on database market to collector_reader, collector_writer;

-- name: update_timescaledb
-- Follow the programs to a newer TimescaleDB; has to be a session's first statement.
alter extension timescaledb update;
