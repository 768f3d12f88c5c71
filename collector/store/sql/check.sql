-- What `collector check` asks. Only catalogues are read, nothing is locked.

-- name: server
-- Version, edition and who we are.
select current_setting('server_version') as version, current_user::text as login,
       e.installed_version as installed, e.default_version as available,
       current_setting('timescaledb.license', true) as licence,
       pg_is_in_recovery() as standby, current_setting('transaction_read_only')::boolean as read_only
from (select 1) as one
left join pg_available_extensions e on e.name = 'timescaledb';

-- name: lacking_for_steps
-- What keeps this login from applying steps: the schema that it may not create in, or tables that it does not own.
select case when current_schema() is null then 'public'
            when not has_schema_privilege(current_schema(), 'create') then current_schema() end as schema,
       coalesce(t.names, '{}') as strangers, t.owner
from (select array_agg(c.relname::text order by c.relname) as names, min(pg_get_userbyid(c.relowner)::text) as owner
      from pg_class c
      where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p')
        and not pg_has_role(c.relowner, 'usage')
        and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')) as t;

-- name: lacking_for_writing
-- Tables on which this login lacks what collector_writer is given (see migrations/roles.sql), and what that is.
select name, string_agg(privilege, ', ' order by place) as privileges
from (
  select c.oid::regclass::text as name, p.privilege, p.place
  from pg_class c
  cross join (values (1, 'SELECT'), (2, 'INSERT'), (3, 'UPDATE'), (4, 'DELETE')) as p (place, privilege)
  where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p')
    and to_regclass('alembic_version') is not null
    and (c.relname <> 'alembic_version' or p.privilege = 'SELECT')
    and (p.privilege <> 'UPDATE' or c.relname <> all('{trades,ticks,books,derivatives,rates,news}'))
    and (p.privilege <> 'DELETE' or c.oid = to_regclass('trades_touched'))
    and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')
    and not has_table_privilege(c.oid, p.privilege)
) as lacking
group by name
order by name;

-- name: owned_by_others
-- Those of some tables that this login does not own, nor their owner's groups, and who does.
select c.relname::text as name, pg_get_userbyid(c.relowner)::text as owner
from pg_class c
where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p') and c.relname = any($1)
  and not pg_has_role(c.relowner, 'usage')
order by name;

-- name: can_join
-- Whether the group is there with the rights that it should have.
select exists (select from pg_roles r where r.rolname = $1
               and has_table_privilege(r.oid, 'journal_position', 'insert'));
