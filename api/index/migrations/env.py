"""Runs migrations on the connection that ``api.index.database`` hands in."""

from alembic import context

from api.index.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
