"""Where alembic comes in; `collector.store.migrate` calls it with a connection that holds the lock."""

from alembic import context

connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("run `collector migrate`: it takes the lock, and knows the database")

context.configure(connection=connection, on_version_apply=context.config.attributes["applied"])
context.run_migrations()
