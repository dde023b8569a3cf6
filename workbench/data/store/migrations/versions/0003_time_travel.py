"""What time travel needs: where a run was forked, the heads of its branches, notes on its steps."""

from alembic import op

revision = "0003"
down_revision = "0002"

_TABLES = """
ALTER TABLE workbench.agent_executions ADD COLUMN forked_at_step integer;
ALTER TABLE workbench.agent_executions ADD CONSTRAINT ck_agent_executions_forked_at_step
  CHECK (forked_at_step >= 0);
COMMENT ON COLUMN workbench.agent_executions.forked_at_step IS
  'of a fork: the parent''s steps up to this one are its own too, and are stored there alone';

CREATE TABLE workbench.branch_heads (
  id uuid DEFAULT workbench.new_id() NOT NULL,
  root_id uuid NOT NULL,
  execution_id uuid NOT NULL,
  reason text,
  created_at timestamptz DEFAULT clock_timestamp() NOT NULL,
  CONSTRAINT pk_branch_heads PRIMARY KEY (id),
  CONSTRAINT fk_branch_heads_root_id
    FOREIGN KEY(root_id) REFERENCES workbench.agent_executions (id) ON DELETE CASCADE,
  CONSTRAINT fk_branch_heads_execution_id
    FOREIGN KEY(execution_id) REFERENCES workbench.agent_executions (id) ON DELETE CASCADE
);
CREATE INDEX ix_branch_heads_root_id_id ON workbench.branch_heads (root_id, id);
CREATE INDEX ix_branch_heads_execution_id ON workbench.branch_heads (execution_id);
COMMENT ON COLUMN workbench.branch_heads.reason IS 'what the person who moved the head wrote';

CREATE TABLE workbench.step_notes (
  id uuid DEFAULT workbench.new_id() NOT NULL,
  execution_id uuid NOT NULL,
  step_number integer NOT NULL,
  event_id uuid,
  kind text NOT NULL,
  text text DEFAULT '' NOT NULL,
  author text,
  created_at timestamptz DEFAULT clock_timestamp() NOT NULL,
  updated_at timestamptz DEFAULT clock_timestamp() NOT NULL,
  row_version integer DEFAULT 1 NOT NULL,
  CONSTRAINT pk_step_notes PRIMARY KEY (id),
  CONSTRAINT ck_step_notes_kind CHECK (kind IN ('note', 'pin', 'checkpoint')),
  CONSTRAINT ck_step_notes_step_number CHECK (step_number >= 0),
  CONSTRAINT fk_step_notes_execution_id
    FOREIGN KEY(execution_id) REFERENCES workbench.agent_executions (id) ON DELETE CASCADE,
  CONSTRAINT fk_step_notes_event_id
    FOREIGN KEY(event_id) REFERENCES workbench.observability_events (id) ON DELETE SET NULL
);
CREATE INDEX ix_step_notes_execution_id_step_number ON workbench.step_notes (execution_id, step_number);
CREATE INDEX ix_step_notes_event_id ON workbench.step_notes (event_id);
COMMENT ON COLUMN workbench.step_notes.step_number IS 'counts where the event is not there';
COMMENT ON COLUMN workbench.step_notes.text IS 'of a checkpoint: its name';
"""


def upgrade() -> None:
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE workbench.step_notes")
    op.execute("DROP TABLE workbench.branch_heads")
    op.execute("ALTER TABLE workbench.agent_executions DROP COLUMN forked_at_step")
