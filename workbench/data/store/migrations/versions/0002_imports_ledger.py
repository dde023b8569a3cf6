"""What an import brought, kept or could not read: originals, quarantine, secrets, reported totals, marks of steps."""

from alembic import op

revision = "0002"
down_revision = "0001"

_TABLES = """
ALTER TABLE workbench.imports ADD COLUMN blocks bytea[] DEFAULT '{}'::bytea[] NOT NULL;
COMMENT ON COLUMN workbench.imports.blocks IS
  'sha256 of each block of the file as it lay on disk; empty where the original was not kept';
ALTER TABLE workbench.imports ADD COLUMN copies text[] DEFAULT '{}'::text[] NOT NULL;
COMMENT ON COLUMN workbench.imports.copies IS
  'where else files of the very same bytes lay, of formats that name other files by their paths';
CREATE INDEX ix_imports_copies ON workbench.imports (source) WHERE copies <> '{}'::text[];
CREATE INDEX ix_imports_blocks ON workbench.imports USING gin (blocks);
CREATE INDEX ix_imports_path ON workbench.imports USING hash (path);

CREATE TABLE workbench.file_blocks (
  digest bytea NOT NULL,
  data bytea NOT NULL,
  CONSTRAINT pk_file_blocks PRIMARY KEY (digest)
);
COMMENT ON COLUMN workbench.file_blocks.digest IS 'sha256 of the block as it lay on disk';
COMMENT ON COLUMN workbench.file_blocks.data IS 'zstd of the block';

CREATE TABLE workbench.import_runs (
  import_id uuid NOT NULL,
  execution_id uuid NOT NULL,
  row_version integer DEFAULT 1 NOT NULL,
  CONSTRAINT pk_import_runs PRIMARY KEY (import_id, execution_id),
  CONSTRAINT fk_import_runs_import_id
    FOREIGN KEY(import_id) REFERENCES workbench.imports (id) ON DELETE CASCADE,
  CONSTRAINT fk_import_runs_execution_id
    FOREIGN KEY(execution_id) REFERENCES workbench.agent_executions (id) ON DELETE CASCADE
);
COMMENT ON COLUMN workbench.import_runs.row_version IS
  'of the run as this import left it: a higher one there now is a change made since';
CREATE INDEX ix_import_runs_execution_id ON workbench.import_runs (execution_id);

CREATE TABLE workbench.quarantine (
  id uuid DEFAULT workbench.new_id() NOT NULL,
  import_id uuid,
  source text,
  path text NOT NULL,
  sha256 text NOT NULL,
  size_bytes bigint NOT NULL,
  line bigint,
  reason text NOT NULL,
  data bytea,
  blocks bytea[] DEFAULT '{}'::bytea[] NOT NULL,
  version text NOT NULL,
  created_at timestamptz DEFAULT now() NOT NULL,
  CONSTRAINT pk_quarantine PRIMARY KEY (id),
  CONSTRAINT fk_quarantine_import_id FOREIGN KEY(import_id) REFERENCES workbench.imports (id) ON DELETE CASCADE
);
CREATE INDEX ix_quarantine_import_id ON workbench.quarantine (import_id);
CREATE INDEX ix_quarantine_sha256 ON workbench.quarantine (sha256);
CREATE INDEX ix_quarantine_blocks ON workbench.quarantine USING gin (blocks);
COMMENT ON COLUMN workbench.quarantine.source IS 'format name; null where none was recognised';
COMMENT ON COLUMN workbench.quarantine.line IS '1-based; null where the format has no lines or the whole file is meant';
COMMENT ON COLUMN workbench.quarantine.data IS 'zstd of the bytes of the line';
COMMENT ON COLUMN workbench.quarantine.blocks IS 'sha256 of each block of a file of which nothing was read';
COMMENT ON COLUMN workbench.quarantine.version IS 'of Workbench, that could not read it';

CREATE TABLE workbench.secrets (
  id uuid DEFAULT workbench.new_id() NOT NULL,
  execution_id uuid NOT NULL,
  event_id uuid,
  place text NOT NULL,
  rule text NOT NULL,
  digest text NOT NULL,
  shown text DEFAULT '' NOT NULL,
  CONSTRAINT pk_secrets PRIMARY KEY (id),
  CONSTRAINT fk_secrets_execution_id
    FOREIGN KEY(execution_id) REFERENCES workbench.agent_executions (id) ON DELETE CASCADE,
  CONSTRAINT fk_secrets_event_id
    FOREIGN KEY(event_id) REFERENCES workbench.observability_events (id) ON DELETE CASCADE
);
CREATE INDEX ix_secrets_execution_id ON workbench.secrets (execution_id);
CREATE INDEX ix_secrets_event_id ON workbench.secrets (event_id);
COMMENT ON COLUMN workbench.secrets.place IS
  'JSON pointer into the event''s data; else a column of the run or ''state/STEP'', with a pointer into it';
COMMENT ON COLUMN workbench.secrets.rule IS 'the rule that found it';
COMMENT ON COLUMN workbench.secrets.digest IS
  'tells equal secrets from different ones; the secret cannot be had from it';
COMMENT ON COLUMN workbench.secrets.shown IS
  'its issuer''s public prefix, four characters at most, and its length';

CREATE TABLE workbench.store_keys (
  name text NOT NULL,
  value bytea NOT NULL,
  CONSTRAINT pk_store_keys PRIMARY KEY (name)
);
COMMENT ON COLUMN workbench.store_keys.value IS 'drawn by chance when the schema was made';
INSERT INTO workbench.store_keys
  VALUES ('secrets', decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'));

ALTER TABLE workbench.agent_executions ADD COLUMN cost_source text;
ALTER TABLE workbench.agent_executions ADD COLUMN reported jsonb;
ALTER TABLE workbench.agent_executions ADD CONSTRAINT ck_agent_executions_cost_source
  CHECK (cost_source IN ('source', 'prices'));
COMMENT ON COLUMN workbench.agent_executions.cost_source IS
  'who says the cost: the source, or a table of prices; null where there is none';
COMMENT ON COLUMN workbench.agent_executions.reported IS
  'totals that the source itself reports for the run: usage, cost_usd';

ALTER TABLE workbench.agent_executions ADD COLUMN parent_event_id uuid;
ALTER TABLE workbench.agent_executions ADD CONSTRAINT fk_agent_executions_parent_event_id
  FOREIGN KEY(parent_event_id) REFERENCES workbench.observability_events (id) ON DELETE SET NULL;
CREATE INDEX ix_agent_executions_parent_event_id ON workbench.agent_executions (parent_event_id)
  WHERE parent_event_id IS NOT NULL;
CREATE INDEX ix_agent_executions_spawned_by ON workbench.agent_executions (source) WHERE metadata ? 'spawned_by';
CREATE INDEX ix_agent_executions_parent_source_id ON workbench.agent_executions
  USING hash ((metadata->>'parent_source_id')) WHERE metadata ? 'parent_source_id';
CREATE INDEX ix_agent_executions_spawns ON workbench.agent_executions (source) WHERE metadata ? 'spawns';
COMMENT ON COLUMN workbench.agent_executions.parent_event_id IS
  'the step of the parent that started this run, or that it goes on from';

ALTER TABLE workbench.observability_events ALTER COLUMN data SET STORAGE EXTERNAL;
ALTER TABLE workbench.execution_snapshots ALTER COLUMN state SET STORAGE EXTERNAL;
ALTER TABLE workbench.observability_events ADD COLUMN mark text;
ALTER TABLE workbench.observability_events ADD CONSTRAINT ck_observability_events_mark
  CHECK (mark IN ('orphaned', 'unfinished', 'out_of_order'));
COMMENT ON COLUMN workbench.observability_events.mark IS
  'what its place in the tree lacks; null where nothing does';
"""


def upgrade() -> None:
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    op.execute("ALTER TABLE workbench.observability_events DROP COLUMN mark, ALTER COLUMN data SET STORAGE EXTENDED")
    op.execute("ALTER TABLE workbench.execution_snapshots ALTER COLUMN state SET STORAGE EXTENDED")
    op.execute("ALTER TABLE workbench.agent_executions DROP COLUMN parent_event_id")
    for name in ("spawned_by", "spawns", "parent_source_id"):
        op.execute(f"DROP INDEX workbench.ix_agent_executions_{name}")
    op.execute("ALTER TABLE workbench.agent_executions DROP COLUMN reported, DROP COLUMN cost_source")
    for name in ("store_keys", "secrets", "quarantine", "import_runs", "file_blocks"):
        op.execute(f"DROP TABLE workbench.{name}")
    op.execute("DROP INDEX workbench.ix_imports_blocks, workbench.ix_imports_path")
    op.execute("ALTER TABLE workbench.imports DROP COLUMN copies, DROP COLUMN blocks")
