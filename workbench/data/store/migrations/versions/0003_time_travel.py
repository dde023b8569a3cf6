"""What time travel needs: where a run was forked, the heads of its branches, notes on its steps; live graphs."""

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

CREATE TABLE workbench.graph_threads (
  id uuid DEFAULT workbench.new_id() NOT NULL,
  thread_id text NOT NULL,
  agent_type text,
  changed_at timestamptz DEFAULT clock_timestamp() NOT NULL,
  changed bigint DEFAULT 1 NOT NULL,
  mirrored bigint DEFAULT 0 NOT NULL,
  executions uuid[] DEFAULT '{}'::uuid[] NOT NULL,
  CONSTRAINT pk_graph_threads PRIMARY KEY (id),
  CONSTRAINT uq_graph_threads_thread_id UNIQUE (thread_id)
);
CREATE INDEX ix_graph_threads_behind ON workbench.graph_threads (changed_at) WHERE mirrored < changed;
COMMENT ON COLUMN workbench.graph_threads.thread_id IS 'as the agent''s own code calls it';
COMMENT ON COLUMN workbench.graph_threads.changed IS 'counts the changes';
COMMENT ON COLUMN workbench.graph_threads.mirrored IS 'the change up to which the runs tell';
COMMENT ON COLUMN workbench.graph_threads.executions IS 'the runs that tell of it';

CREATE TABLE workbench.graph_values (
  thread uuid NOT NULL,
  digest bytea NOT NULL,
  base bytea,
  position integer NOT NULL,
  kind text NOT NULL,
  data bytea NOT NULL,
  CONSTRAINT pk_graph_values PRIMARY KEY (thread, digest),
  CONSTRAINT fk_graph_values_thread FOREIGN KEY(thread) REFERENCES workbench.graph_threads (id) ON DELETE CASCADE
);
ALTER TABLE workbench.graph_values ALTER COLUMN data SET STORAGE EXTERNAL;
COMMENT ON COLUMN workbench.graph_values.digest IS 'of kind and bytes of the value';
COMMENT ON COLUMN workbench.graph_values.base IS 'digest of the value that data builds on; null where it is whole';
COMMENT ON COLUMN workbench.graph_values.position IS 'in its line of versions, from the last whole value on';
COMMENT ON COLUMN workbench.graph_values.kind IS 'what the serializer calls it, e.g. msgpack';

CREATE TABLE workbench.graph_checkpoints (
  thread uuid NOT NULL,
  namespace text COLLATE "C" NOT NULL,
  checkpoint_id text COLLATE "C" NOT NULL,
  parent_id text COLLATE "C",
  run_id text,
  metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
  channels jsonb NOT NULL,
  kind text NOT NULL,
  document bytea NOT NULL,
  created_at timestamptz DEFAULT clock_timestamp() NOT NULL,
  CONSTRAINT pk_graph_checkpoints PRIMARY KEY (thread, namespace, checkpoint_id),
  CONSTRAINT fk_graph_checkpoints_thread FOREIGN KEY(thread) REFERENCES workbench.graph_threads (id) ON DELETE CASCADE
);
ALTER TABLE workbench.graph_checkpoints ALTER COLUMN document SET STORAGE EXTERNAL;
CREATE INDEX ix_graph_checkpoints_checkpoint_id ON workbench.graph_checkpoints (checkpoint_id);
CREATE INDEX ix_graph_checkpoints_run_id ON workbench.graph_checkpoints (run_id) WHERE run_id IS NOT NULL;
COMMENT ON COLUMN workbench.graph_checkpoints.run_id IS 'metadata.run_id';
COMMENT ON COLUMN workbench.graph_checkpoints.channels IS
  'channel → digest of its value; null: it is in the document';
COMMENT ON COLUMN workbench.graph_checkpoints.kind IS 'what the serializer calls the document';
COMMENT ON COLUMN workbench.graph_checkpoints.document IS 'zstd of checkpoint and metadata as they were put';

CREATE TABLE workbench.graph_writes (
  thread uuid NOT NULL,
  namespace text COLLATE "C" NOT NULL,
  checkpoint_id text COLLATE "C" NOT NULL,
  task_id text COLLATE "C" NOT NULL,
  idx integer NOT NULL,
  task_path text COLLATE "C" DEFAULT '' NOT NULL,
  channel text NOT NULL,
  kind text NOT NULL,
  data bytea NOT NULL,
  CONSTRAINT pk_graph_writes PRIMARY KEY (thread, namespace, checkpoint_id, task_id, idx),
  CONSTRAINT fk_graph_writes_thread FOREIGN KEY(thread) REFERENCES workbench.graph_threads (id) ON DELETE CASCADE
);
ALTER TABLE workbench.graph_writes ALTER COLUMN data SET STORAGE EXTERNAL;
COMMENT ON COLUMN workbench.graph_writes.data IS 'zstd';
"""


def upgrade() -> None:
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    for table in ("graph_writes", "graph_checkpoints", "graph_values", "graph_threads"):
        op.execute(f"DROP TABLE workbench.{table}")
    op.execute("DROP TABLE workbench.step_notes")
    op.execute("DROP TABLE workbench.branch_heads")
    op.execute("ALTER TABLE workbench.agent_executions DROP COLUMN forked_at_step")
