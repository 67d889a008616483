"""Alembic's entry: runs the migrations on the connection that `store.migrate` hands over."""

from alembic import context

from crm_sync.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=False,  # the caller's transaction holds all steps
)
context.run_migrations()
