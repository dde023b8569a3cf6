"""The eight tables, the imports ledger, and ids that are ordered by time."""

from alembic import op

revision = "0001"
down_revision = None

# UUID version 7 (RFC 9562): 48 bits of milliseconds, then version, random bits and variant of a version 4 id.
# Postgres has uuidv7() from 18 on; this works from 13 on.
_NEW_ID = """
CREATE FUNCTION workbench.new_id() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
  SELECT encode(
    set_bit(set_bit(
      overlay(uuid_send(gen_random_uuid())
        PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
      52, 1), 53, 1), 'hex')::uuid
$$
"""

# Where the server lets us, so that a database on any server is the same; without it vectors are searched in the client.
_VECTOR = """
DO $$ BEGIN
  IF EXISTS (SELECT 1 FROM pg_available_extensions WHERE name = 'vector') THEN
    CREATE EXTENSION IF NOT EXISTS vector;
  END IF;
EXCEPTION WHEN insufficient_privilege OR undefined_file THEN
  RAISE NOTICE 'no right to create the extension vector';
END $$
"""

_READER = """
DO $$ BEGIN
  IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'workbench_reader') THEN
    GRANT USAGE ON SCHEMA workbench TO workbench_reader;
    GRANT SELECT ON ALL TABLES IN SCHEMA workbench TO workbench_reader;
    ALTER DEFAULT PRIVILEGES IN SCHEMA workbench GRANT SELECT ON TABLES TO workbench_reader;
  END IF;
END $$
"""

# Default privileges are an object of their own in the catalog: what came with the first revision goes with it.
_READER_LEAVES = """
DO $$ BEGIN
  IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'workbench_reader') THEN
    ALTER DEFAULT PRIVILEGES IN SCHEMA workbench REVOKE SELECT ON TABLES FROM workbench_reader;
    REVOKE USAGE ON SCHEMA workbench FROM workbench_reader;
  END IF;
END $$
"""

# Written out, not made from the tables of today: a revision that is out does not change when the tables do.
_TABLES = """
CREATE TABLE workbench.agent_memory (
  id uuid DEFAULT workbench.new_id() NOT NULL,
  agent_type text NOT NULL,
  context_key text NOT NULL,
  content text NOT NULL,
  embedding real[],
  embedding_model text,
  created_at timestamptz DEFAULT now() NOT NULL,
  last_accessed_at timestamptz,
  access_count integer DEFAULT 0 NOT NULL,
  metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
  importance smallint DEFAULT 5 NOT NULL,
  expires_at timestamptz,
  row_version integer DEFAULT 1 NOT NULL,
  CONSTRAINT pk_agent_memory PRIMARY KEY (id),
  CONSTRAINT ck_agent_memory_importance CHECK (importance >= 1 AND importance <= 10),
  CONSTRAINT ck_agent_memory_access_count CHECK (access_count >= 0),
  CONSTRAINT ck_agent_memory_embedding_has_model CHECK ((embedding IS NULL) = (embedding_model IS NULL))
);
CREATE INDEX ix_agent_memory_agent_type_context_key ON workbench.agent_memory (agent_type, context_key);
CREATE INDEX ix_agent_memory_expires_at ON workbench.agent_memory (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE workbench.environments (
  id uuid DEFAULT workbench.new_id() NOT NULL,
  name text NOT NULL,
  config jsonb DEFAULT '{}'::jsonb NOT NULL,
  is_active boolean DEFAULT false NOT NULL,
  created_at timestamptz DEFAULT now() NOT NULL,
  updated_at timestamptz DEFAULT now() NOT NULL,
  user_id text DEFAULT '' NOT NULL,
  schema_version integer DEFAULT 1 NOT NULL,
  row_version integer DEFAULT 1 NOT NULL,
  CONSTRAINT pk_environments PRIMARY KEY (id),
  CONSTRAINT ck_environments_name CHECK (name <> ''),
  CONSTRAINT ck_environments_schema_version CHECK (schema_version >= 1),
  CONSTRAINT uq_environments_user_id_name UNIQUE (user_id, name)
);
CREATE UNIQUE INDEX ix_environments_one_active ON workbench.environments (user_id) WHERE is_active;

CREATE TABLE workbench.imports (
  id uuid DEFAULT workbench.new_id() NOT NULL,
  source text NOT NULL,
  path text NOT NULL,
  sha256 text NOT NULL,
  size_bytes bigint NOT NULL,
  created_at timestamptz DEFAULT now() NOT NULL,
  report jsonb DEFAULT '{}'::jsonb NOT NULL,
  CONSTRAINT pk_imports PRIMARY KEY (id)
);
CREATE INDEX ix_imports_sha256 ON workbench.imports (sha256);
COMMENT ON COLUMN workbench.imports.source IS 'format name, e.g. ''tau-bench''';
COMMENT ON COLUMN workbench.imports.sha256 IS 'of the file''s bytes as they lie on disk';

CREATE TABLE workbench.workflows (
  id uuid DEFAULT workbench.new_id() NOT NULL,
  name text NOT NULL,
  definition jsonb DEFAULT '{}'::jsonb NOT NULL,
  version integer DEFAULT 1 NOT NULL,
  is_active boolean DEFAULT true NOT NULL,
  created_at timestamptz DEFAULT now() NOT NULL,
  created_by text,
  tags text[] DEFAULT '{}'::text[] NOT NULL,
  description text,
  CONSTRAINT pk_workflows PRIMARY KEY (id),
  CONSTRAINT ck_workflows_name CHECK (name <> ''),
  CONSTRAINT ck_workflows_version CHECK (version >= 1),
  CONSTRAINT uq_workflows_name_version UNIQUE (name, version)
);

CREATE TABLE workbench.tasks (
  id uuid DEFAULT workbench.new_id() NOT NULL,
  title varchar(255) NOT NULL,
  description text,
  status text DEFAULT 'pending' NOT NULL,
  priority text DEFAULT 'medium' NOT NULL,
  created_at timestamptz DEFAULT now() NOT NULL,
  updated_at timestamptz DEFAULT now() NOT NULL,
  user_id text,
  metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
  embedding real[],
  embedding_model text,
  source text,
  source_id text,
  import_id uuid,
  row_version integer DEFAULT 1 NOT NULL,
  CONSTRAINT pk_tasks PRIMARY KEY (id),
  CONSTRAINT ck_tasks_status CHECK (status IN ('pending', 'in_progress', 'paused', 'completed', 'failed', 'cancelled')),
  CONSTRAINT ck_tasks_priority CHECK (priority IN ('low', 'medium', 'high', 'urgent')),
  CONSTRAINT ck_tasks_embedding_has_model CHECK ((embedding IS NULL) = (embedding_model IS NULL)),
  CONSTRAINT uq_tasks_source_source_id UNIQUE (source, source_id),
  CONSTRAINT fk_tasks_import_id FOREIGN KEY(import_id) REFERENCES workbench.imports (id) ON DELETE SET NULL
);
CREATE INDEX ix_tasks_created_at_id ON workbench.tasks (created_at, id);
CREATE INDEX ix_tasks_import_id ON workbench.tasks (import_id);
CREATE INDEX ix_tasks_status ON workbench.tasks (status);

CREATE TABLE workbench.workflow_executions (
  id uuid DEFAULT workbench.new_id() NOT NULL,
  workflow_id uuid NOT NULL,
  status text DEFAULT 'pending' NOT NULL,
  current_step integer DEFAULT 0 NOT NULL,
  total_steps integer,
  state jsonb DEFAULT '{}'::jsonb NOT NULL,
  started_at timestamptz,
  completed_at timestamptz,
  error text,
  triggered_by text,
  parent_execution_id uuid,
  row_version integer DEFAULT 1 NOT NULL,
  CONSTRAINT pk_workflow_executions PRIMARY KEY (id),
  CONSTRAINT ck_workflow_executions_status CHECK
    (status IN ('pending', 'running', 'paused', 'completed', 'failed', 'cancelled')),
  CONSTRAINT ck_workflow_executions_current_step CHECK (current_step >= 0),
  CONSTRAINT fk_workflow_executions_workflow_id
    FOREIGN KEY(workflow_id) REFERENCES workbench.workflows (id) ON DELETE CASCADE,
  CONSTRAINT fk_workflow_executions_parent_execution_id
    FOREIGN KEY(parent_execution_id) REFERENCES workbench.workflow_executions (id) ON DELETE SET NULL
);
CREATE INDEX ix_workflow_executions_parent_execution_id ON workbench.workflow_executions (parent_execution_id);
CREATE INDEX ix_workflow_executions_status ON workbench.workflow_executions (status);
CREATE INDEX ix_workflow_executions_workflow_id ON workbench.workflow_executions (workflow_id);

CREATE TABLE workbench.agent_executions (
  id uuid DEFAULT workbench.new_id() NOT NULL,
  task_id uuid,
  parent_execution_id uuid,
  agent_type text NOT NULL,
  name text,
  model text,
  status text DEFAULT 'pending' NOT NULL,
  score double precision,
  started_at timestamptz,
  completed_at timestamptz,
  input jsonb,
  output jsonb,
  error text,
  error_type text,
  metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
  trace_id text,
  execution_time_ms double precision,
  token_usage jsonb,
  cost numeric(20, 10),
  source text,
  source_id text,
  import_id uuid,
  created_at timestamptz DEFAULT clock_timestamp() NOT NULL,
  row_version integer DEFAULT 1 NOT NULL,
  CONSTRAINT pk_agent_executions PRIMARY KEY (id),
  CONSTRAINT ck_agent_executions_status CHECK (status IN ('pending', 'running', 'completed', 'failed', 'cancelled')),
  CONSTRAINT ck_agent_executions_agent_type CHECK (agent_type <> ''),
  CONSTRAINT ck_agent_executions_completed_after_start CHECK (completed_at >= started_at),
  CONSTRAINT ck_agent_executions_execution_time_ms CHECK (execution_time_ms >= 0),
  CONSTRAINT ck_agent_executions_cost CHECK (cost >= 0),
  CONSTRAINT uq_agent_executions_source_source_id UNIQUE (source, source_id),
  CONSTRAINT fk_agent_executions_task_id FOREIGN KEY(task_id) REFERENCES workbench.tasks (id) ON DELETE SET NULL,
  CONSTRAINT fk_agent_executions_parent_execution_id
    FOREIGN KEY(parent_execution_id) REFERENCES workbench.agent_executions (id) ON DELETE SET NULL,
  CONSTRAINT fk_agent_executions_import_id FOREIGN KEY(import_id) REFERENCES workbench.imports (id) ON DELETE SET NULL
);
CREATE INDEX ix_agent_executions_agent_type ON workbench.agent_executions (agent_type);
CREATE INDEX ix_agent_executions_import_id ON workbench.agent_executions (import_id);
CREATE INDEX ix_agent_executions_newest
  ON workbench.agent_executions (coalesce(started_at, '-infinity'::timestamptz) DESC, created_at, id);
CREATE INDEX ix_agent_executions_parent_execution_id ON workbench.agent_executions (parent_execution_id);
CREATE INDEX ix_agent_executions_since ON workbench.agent_executions (coalesce(started_at, created_at));
CREATE INDEX ix_agent_executions_status ON workbench.agent_executions (status);
CREATE INDEX ix_agent_executions_task_id ON workbench.agent_executions (task_id);
CREATE INDEX ix_agent_executions_trace_id ON workbench.agent_executions (trace_id);
COMMENT ON COLUMN workbench.agent_executions.name IS 'what a person calls this run';
COMMENT ON COLUMN workbench.agent_executions.score IS 'the source''s own reward or grade; null where it gives none';
COMMENT ON COLUMN workbench.agent_executions.cost IS 'US dollars; null = unpriced, never 0 for unknown';

CREATE TABLE workbench.execution_snapshots (
  id uuid DEFAULT workbench.new_id() NOT NULL,
  execution_id uuid NOT NULL,
  step_number integer NOT NULL,
  timestamp timestamptz,
  state jsonb NOT NULL,
  keyframe_step integer NOT NULL,
  description text,
  checkpoint boolean DEFAULT false NOT NULL,
  is_derived boolean DEFAULT false NOT NULL,
  raw bytea,
  row_version integer DEFAULT 1 NOT NULL,
  CONSTRAINT pk_execution_snapshots PRIMARY KEY (id),
  CONSTRAINT ck_execution_snapshots_step_number CHECK (step_number >= 0),
  CONSTRAINT ck_execution_snapshots_keyframe_step CHECK (keyframe_step >= 0 AND keyframe_step <= step_number),
  CONSTRAINT uq_execution_snapshots_execution_id_step_number UNIQUE (execution_id, step_number),
  CONSTRAINT fk_execution_snapshots_execution_id
    FOREIGN KEY(execution_id) REFERENCES workbench.agent_executions (id) ON DELETE CASCADE
);
COMMENT ON COLUMN workbench.execution_snapshots.step_number IS 'the step after which this was the state';
COMMENT ON COLUMN workbench.execution_snapshots.state IS
  'the whole state where keyframe_step = step_number, else an RFC 6902 patch on the snapshot before';
COMMENT ON COLUMN workbench.execution_snapshots.keyframe_step IS 'step_number of the whole state this builds on';
COMMENT ON COLUMN workbench.execution_snapshots.is_derived IS
  'true: rebuilt from the conversation by Workbench, not recorded by the source';
COMMENT ON COLUMN workbench.execution_snapshots.raw IS
  'zstd of the source''s bytes, where jsonb would refuse or change them';

CREATE TABLE workbench.observability_events (
  id uuid DEFAULT workbench.new_id() NOT NULL,
  execution_id uuid NOT NULL,
  step_number integer NOT NULL,
  event_type text NOT NULL,
  name text,
  agent text,
  category text,
  severity text DEFAULT 'info' NOT NULL,
  timestamp timestamptz,
  duration_ms double precision,
  trace_id text,
  span_id text,
  parent_span_id text,
  data jsonb DEFAULT '{}'::jsonb NOT NULL,
  raw bytea,
  row_version integer DEFAULT 1 NOT NULL,
  CONSTRAINT pk_observability_events PRIMARY KEY (id),
  CONSTRAINT ck_observability_events_severity CHECK (severity IN ('debug', 'info', 'warning', 'error', 'critical')),
  CONSTRAINT ck_observability_events_event_type CHECK (event_type <> ''),
  CONSTRAINT ck_observability_events_step_number CHECK (step_number >= 0),
  CONSTRAINT ck_observability_events_duration_ms CHECK (duration_ms >= 0),
  CONSTRAINT fk_observability_events_execution_id
    FOREIGN KEY(execution_id) REFERENCES workbench.agent_executions (id) ON DELETE CASCADE
);
CREATE INDEX ix_observability_events_errors
  ON workbench.observability_events (execution_id) WHERE severity = ANY (ARRAY['error'::text, 'critical'::text]);
CREATE INDEX ix_observability_events_execution_id_step_number_id
  ON workbench.observability_events (execution_id, step_number, id);
CREATE INDEX ix_observability_events_timestamp ON workbench.observability_events (timestamp);
CREATE INDEX ix_observability_events_trace_id ON workbench.observability_events (trace_id) WHERE trace_id IS NOT NULL;
COMMENT ON COLUMN workbench.observability_events.step_number IS '0-based position in the run';
COMMENT ON COLUMN workbench.observability_events.name IS 'tool, span or message author';
COMMENT ON COLUMN workbench.observability_events.agent IS 'lane: the agent or sub-agent that did it';
COMMENT ON COLUMN workbench.observability_events.raw IS
  'zstd of the source''s bytes, where jsonb would refuse or change them';
"""


def upgrade() -> None:
    op.execute(_VECTOR)
    op.execute(_NEW_ID)
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)
    op.execute(_READER)


def downgrade() -> None:
    for name in (
        "observability_events",
        "execution_snapshots",
        "agent_executions",
        "workflow_executions",
        "tasks",
        "workflows",
        "imports",
        "environments",
        "agent_memory",
    ):
        op.execute(f"DROP TABLE workbench.{name}")
    op.execute("DROP FUNCTION workbench.new_id()")
    op.execute(_READER_LEAVES)
