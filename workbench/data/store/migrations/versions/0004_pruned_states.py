"""Which states were pruned: a step of which the state is gone is told from one that changed nothing; compressed states.

States that are stored already stay as they are. Down again, nothing says any more that a state was pruned.
"""

from alembic import op

revision = "0004"
down_revision = "0003"

_TABLES = """
CREATE TABLE workbench.pruned_states (
  id uuid DEFAULT workbench.new_id() NOT NULL,
  execution_id uuid NOT NULL,
  first_step integer NOT NULL,
  last_step integer NOT NULL,
  n_states integer NOT NULL,
  pruned_at timestamptz DEFAULT clock_timestamp() NOT NULL,
  CONSTRAINT pk_pruned_states PRIMARY KEY (id),
  CONSTRAINT ck_pruned_states_last_step CHECK (first_step >= 0 AND last_step >= first_step),
  CONSTRAINT ck_pruned_states_n_states CHECK (n_states >= 1),
  CONSTRAINT fk_pruned_states_execution_id
    FOREIGN KEY(execution_id) REFERENCES workbench.agent_executions (id) ON DELETE CASCADE
);
CREATE INDEX ix_pruned_states_execution_id_first_step ON workbench.pruned_states (execution_id, first_step);
COMMENT ON COLUMN workbench.pruned_states.first_step IS 'no state is known from after this step on';
COMMENT ON COLUMN workbench.pruned_states.last_step IS 'to after this one; the state after the next is stored';
COMMENT ON COLUMN workbench.pruned_states.n_states IS 'how many were stored between';
"""

# Syntax of version 14: older servers must not see it.
_COMPRESSION = """
DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) THEN
    EXECUTE 'ALTER TABLE workbench.execution_snapshots ALTER COLUMN state SET COMPRESSION {}';
  END IF;
END $$
"""


def upgrade() -> None:
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)
    op.execute("ALTER TABLE workbench.execution_snapshots ALTER COLUMN state SET STORAGE EXTENDED")
    op.execute(_COMPRESSION.format("lz4"))


def downgrade() -> None:
    op.execute(_COMPRESSION.format("default"))
    op.execute("ALTER TABLE workbench.execution_snapshots ALTER COLUMN state SET STORAGE EXTERNAL")
    op.execute("DROP TABLE workbench.pruned_states")
