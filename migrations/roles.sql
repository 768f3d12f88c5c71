-- Who may do what. Run at the end of every `collector migrate`, so that new tables are covered, and so that a group
-- which an administrator made later gets its rights. What is granted already is left alone: granting again on a
-- hypertable would touch every chunk.
--
--   collector_reader  reads everything: analysts, dashboards
--   collector_writer  what the daemon needs: adds facts and keeps the books; cannot delete, truncate or drop,
--                    but for its own notes of what is to be rolled up; cannot change facts, only bars, which grow
do $$
declare
  groups constant text[] := array['collector_reader', 'collector_writer'];
  facts  constant text[] := array['trades', 'ticks', 'books', 'derivatives', 'rates', 'news'];
  -- A daemon with no more than a writer's rights may run this too, and changes nothing then.
  may_create constant boolean := has_schema_privilege(current_schema(), 'create');
  member text;
  thing  record;
begin
  foreach member in array groups loop
    if not exists (select from pg_roles where rolname = member) then
      begin
        execute format('create role %I nologin', member);
      exception
        when insufficient_privilege then
          raise notice 'the role % is missing and may not be made by this login; create it and migrate again', member;
          continue;
        when duplicate_object or unique_violation then
          null;  -- another database of this server was quicker
      end;
    end if;

    if may_create and not has_schema_privilege(member, current_schema(), 'usage') then
      execute format('grant usage on schema %I to %I', current_schema(), member);
    end if;

    for thing in
      select c.oid::regclass as name, c.relkind in ('r', 'p') and c.relname <> 'alembic_version' as written,
             has_table_privilege(member, c.oid, 'select') as reads,
             has_table_privilege(member, c.oid, 'insert') as inserts,
             has_table_privilege(member, c.oid, 'update') as updates, c.relname = any(facts) as fixed
      from pg_class c
      where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p', 'v', 'm')
        and pg_has_role(c.relowner, 'usage')
        and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')
    loop
      if not thing.reads then
        execute format('grant select on %s to %I', thing.name, member);
      end if;
      if member = 'collector_writer' and thing.written and not thing.inserts then
        execute format('grant insert on %s to %I', thing.name, member);
      end if;
      if member = 'collector_writer' and thing.written and not thing.fixed and not thing.updates then
        execute format('grant update on %s to %I', thing.name, member);
      end if;
      if member = 'collector_writer' and thing.fixed and thing.updates then
        execute format('revoke update on %s from %I', thing.name, member);  -- granted by earlier versions
      end if;
      if member = 'collector_writer' and thing.name = to_regclass('trades_touched')
         and not has_table_privilege(member, thing.name, 'delete') then
        execute format('grant delete on %s to %I', thing.name, member);  -- notes, no facts
      end if;
    end loop;
  end loop;

  if may_create and exists (select from pg_roles where rolname = 'collector_reader')
     -- Said once: a database that takes no writes, such as a standby, can then be started with.
     and not exists (
       select from pg_default_acl d cross join lateral aclexplode(d.defaclacl) a
       where d.defaclnamespace = current_schema()::regnamespace and d.defaclobjtype = 'r'
         and d.defaclrole = current_user::regrole and a.grantee = 'collector_reader'::regrole
         and a.privilege_type = 'SELECT') then
    execute format('alter default privileges in schema %I grant select on tables to collector_reader', current_schema());
  end if;
end $$;
