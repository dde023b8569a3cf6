"""Alembic's entry: runs the revisions on the connection that :mod:`workbench.data.store.schema` passes."""

from alembic import context
from sqlalchemy import text

from workbench.data.store.schema import compare_options
from workbench.data.store.tables import SCHEMA

connection = context.config.attributes["connection"]
# Asked first: IF NOT EXISTS wants the right to create even where there is nothing to create.
if connection.scalar(text(f"SELECT to_regnamespace('{SCHEMA}')")) is None:
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
connection.commit()
context.configure(connection=connection, transaction_per_migration=True, **compare_options(connection))
with context.begin_transaction():
    context.run_migrations()
connection.commit()
