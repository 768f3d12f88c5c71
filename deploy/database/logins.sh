#!/bin/sh
# The logins of the compose stack, made when the database's volume is new: the collector owns the database and is no
# superuser, Grafana reads. Passwords go from their files to psql, past the process list and the log.
set -eu
secrets=${SECRETS:-/run/secrets}

PGOPTIONS="-c log_statement=none -c log_min_duration_statement=-1 -c log_min_error_statement=panic" \
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<SQL
\set collector \`cat "$secrets/collector_password"\`
\set grafana \`cat "$secrets/grafana_database_password"\`
begin;
create role collector_reader nologin;
create role collector_writer nologin;
create role collector login password :'collector';
create role grafana login password :'grafana' in role collector_reader;
alter role grafana set default_transaction_read_only = on;
alter role grafana set statement_timeout = '30s';
alter database :"DBNAME" owner to collector;
revoke connect, temporary on database :"DBNAME" from public;
grant connect, temporary on database :"DBNAME" to collector_reader, collector_writer;
commit;
SQL
