"""The tables of the ``workbench`` schema, as SQLAlchemy metadata: what the migrations build and ``check`` compares.

Every time is ``timestamptz``; every id is a UUID (version 7 from :func:`new_id` or the server's ``workbench.new_id()``,
version 5 of the source's own id for what was ingested, so that ingesting twice writes the same rows).

An embedding is ``real[]`` beside the name of the model that made it: the schema is the same on a server with and
without pgvector, and each model gets its own index over the cast ``embedding::vector(n)`` where pgvector is present.
"""

from __future__ import annotations

import uuid

import sqlalchemy as sa
import uuid_utils
from sqlalchemy import event
from sqlalchemy.dialects import postgresql as pg

SCHEMA = "workbench"

TASK_STATUSES = ("pending", "in_progress", "paused", "completed", "failed", "cancelled")
PRIORITIES = ("low", "medium", "high", "urgent")
EXECUTION_STATUSES = ("pending", "running", "completed", "failed", "cancelled")
WORKFLOW_STATUSES = ("pending", "running", "paused", "completed", "failed", "cancelled")
COST_SOURCES = ("source", "prices")
MARKS = ("orphaned", "unfinished", "out_of_order")
NOTE_KINDS = ("note", "pin", "checkpoint")
SEVERITIES = ("debug", "info", "warning", "error", "critical")

metadata = sa.MetaData(
    schema=SCHEMA,
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    },
)


def new_id() -> uuid.UUID:
    """A time-ordered UUID (version 7, RFC 9562)."""
    return uuid.UUID(int=uuid_utils.uuid7().int)


def _id() -> sa.Column:
    return sa.Column("id", pg.UUID(as_uuid=True), primary_key=True, server_default=sa.text("workbench.new_id()"))


def _ref(name: str, target: str, ondelete: str, *, nullable: bool = False, primary_key: bool = False) -> sa.Column:
    key = sa.ForeignKey(f"{SCHEMA}.{target}.id", ondelete=ondelete)
    return sa.Column(name, pg.UUID(as_uuid=True), key, nullable=nullable, primary_key=primary_key)


def _time(name: str, *, default: bool | str = False) -> sa.Column:
    stamp = sa.TIMESTAMP(timezone=True)
    if default:
        server_default = sa.text(default if isinstance(default, str) else "now()")
        return sa.Column(name, stamp, nullable=False, server_default=server_default)
    return sa.Column(name, stamp)


def _json(name: str, *, default: str | None = None) -> sa.Column:
    if default is None:
        return sa.Column(name, pg.JSONB(none_as_null=True))
    return sa.Column(name, pg.JSONB, nullable=False, server_default=sa.text(f"'{default}'::jsonb"))


def _row_version() -> sa.Column:
    """Counts the updates of a row: an update names the version it read, and fails if another came first."""
    return sa.Column("row_version", sa.Integer, nullable=False, server_default=sa.text("1"))


def _one_of(column: str, allowed: tuple[str, ...]) -> sa.CheckConstraint:
    # Spelt as Postgres prints it back, so that `check` compares like with like.
    values = ", ".join(f"'{value}'" for value in allowed)
    return sa.CheckConstraint(f"{column} IN ({values})", name=column)


imports = sa.Table(
    "imports",
    metadata,
    _id(),
    sa.Column("source", sa.Text, nullable=False, comment="format name, e.g. 'tau-bench'"),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False, comment="of the file's bytes as they lie on disk"),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    _time("created_at", default=True),
    _json("report", default="{}"),
    sa.Column(
        "blocks",
        pg.ARRAY(pg.BYTEA),
        nullable=False,
        server_default=sa.text("'{}'::bytea[]"),
        comment="sha256 of each block of the file as it lay on disk; empty where the original was not kept",
    ),
    sa.Column(
        "copies",
        pg.ARRAY(sa.Text),
        nullable=False,
        server_default=sa.text("'{}'::text[]"),
        comment="where else files of the very same bytes lay, of formats that name other files by their paths",
    ),
    sa.Index(None, "sha256"),
    sa.Index(None, "blocks", postgresql_using="gin"),
    sa.Index("ix_imports_copies", "source", postgresql_where=sa.text("copies <> '{}'::text[]")),
    sa.Index(None, "path", postgresql_using="hash"),  # a path may be longer than a btree holds
)

file_blocks = sa.Table(
    "file_blocks",
    metadata,
    sa.Column("digest", pg.BYTEA, primary_key=True, comment="sha256 of the block as it lay on disk"),
    sa.Column("data", pg.BYTEA, nullable=False, comment="zstd of the block"),
)

import_runs = sa.Table(
    "import_runs",
    metadata,
    _ref("import_id", "imports", "CASCADE", primary_key=True),
    _ref("execution_id", "agent_executions", "CASCADE", primary_key=True),
    sa.Column(
        "row_version",
        sa.Integer,
        nullable=False,
        server_default=sa.text("1"),
        comment="of the run as this import left it: a higher one there now is a change made since",
    ),
    sa.Index(None, "execution_id"),
)

quarantine = sa.Table(
    "quarantine",
    metadata,
    _id(),
    _ref("import_id", "imports", "CASCADE", nullable=True),
    sa.Column("source", sa.Text, comment="format name; null where none was recognised"),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("line", sa.BigInteger, comment="1-based; null where the format has no lines or the whole file is meant"),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("data", pg.BYTEA, comment="zstd of the bytes of the line"),
    sa.Column(
        "blocks",
        pg.ARRAY(pg.BYTEA),
        nullable=False,
        server_default=sa.text("'{}'::bytea[]"),
        comment="sha256 of each block of a file of which nothing was read",
    ),
    sa.Column("version", sa.Text, nullable=False, comment="of Workbench, that could not read it"),
    _time("created_at", default=True),
    sa.Index(None, "import_id"),
    sa.Index(None, "sha256"),
    sa.Index(None, "blocks", postgresql_using="gin"),
)

tasks = sa.Table(
    "tasks",
    metadata,
    _id(),
    sa.Column("title", sa.String(255), nullable=False),
    sa.Column("description", sa.Text),
    sa.Column("status", sa.Text, nullable=False, server_default=sa.text("'pending'")),
    sa.Column("priority", sa.Text, nullable=False, server_default=sa.text("'medium'")),
    _time("created_at", default=True),
    _time("updated_at", default=True),
    sa.Column("user_id", sa.Text),
    _json("metadata", default="{}"),
    sa.Column("embedding", pg.ARRAY(sa.REAL)),
    sa.Column("embedding_model", sa.Text),
    sa.Column("source", sa.Text),
    sa.Column("source_id", sa.Text),
    _ref("import_id", "imports", "SET NULL", nullable=True),
    _row_version(),
    _one_of("status", TASK_STATUSES),
    _one_of("priority", PRIORITIES),
    sa.CheckConstraint("(embedding IS NULL) = (embedding_model IS NULL)", name="embedding_has_model"),
    sa.UniqueConstraint("source", "source_id"),
    sa.Index(None, "status"),
    sa.Index(None, "created_at", "id"),
    sa.Index(None, "import_id"),
)

environments = sa.Table(
    "environments",
    metadata,
    _id(),
    sa.Column("name", sa.Text, nullable=False),
    _json("config", default="{}"),
    sa.Column("is_active", sa.Boolean, nullable=False, server_default=sa.text("false")),
    _time("created_at", default=True),
    _time("updated_at", default=True),
    sa.Column("user_id", sa.Text, nullable=False, server_default=sa.text("''")),
    sa.Column("schema_version", sa.Integer, nullable=False, server_default=sa.text("1")),
    _row_version(),
    sa.CheckConstraint("name <> ''", name="name"),
    sa.CheckConstraint("schema_version >= 1", name="schema_version"),
    sa.UniqueConstraint("user_id", "name"),
    sa.Index("ix_environments_one_active", "user_id", unique=True, postgresql_where=sa.text("is_active")),
)

agent_executions = sa.Table(
    "agent_executions",
    metadata,
    _id(),
    _ref("task_id", "tasks", "SET NULL", nullable=True),
    _ref("parent_execution_id", "agent_executions", "SET NULL", nullable=True),
    sa.Column("agent_type", sa.Text, nullable=False),
    sa.Column("name", sa.Text, comment="what a person calls this run"),
    sa.Column("model", sa.Text),
    sa.Column("status", sa.Text, nullable=False, server_default=sa.text("'pending'")),
    sa.Column("score", sa.Double, comment="the source's own reward or grade; null where it gives none"),
    _time("started_at"),
    _time("completed_at"),
    _json("input"),
    _json("output"),
    sa.Column("error", sa.Text),
    sa.Column("error_type", sa.Text),
    _json("metadata", default="{}"),
    sa.Column("trace_id", sa.Text),
    sa.Column("execution_time_ms", sa.Double),
    _json("token_usage"),
    sa.Column("cost", sa.Numeric(20, 10), comment="US dollars; null = unpriced, never 0 for unknown"),
    sa.Column("source", sa.Text),
    sa.Column("source_id", sa.Text),
    _ref("import_id", "imports", "SET NULL", nullable=True),
    # Of each row, not of its transaction: the runs of one file keep their order.
    _time("created_at", default="clock_timestamp()"),
    _row_version(),
    sa.Column(
        "cost_source", sa.Text, comment="who says the cost: the source, or a table of prices; null where there is none"
    ),
    sa.Column(
        "reported",
        pg.JSONB(none_as_null=True),
        comment="totals that the source itself reports for the run: usage, cost_usd",
    ),
    sa.Column(
        "parent_event_id",
        pg.UUID(as_uuid=True),
        # use_alter: an event needs its execution, so this key comes when both tables are there.
        sa.ForeignKey(f"{SCHEMA}.observability_events.id", ondelete="SET NULL", use_alter=True),
        comment="the step of the parent that started this run, or that it goes on from",
    ),
    sa.Column(
        "forked_at_step",
        sa.Integer,
        comment="of a fork: the parent's steps up to this one are its own too, and are stored there alone",
    ),
    _one_of("status", EXECUTION_STATUSES),
    sa.CheckConstraint("agent_type <> ''", name="agent_type"),
    sa.CheckConstraint("completed_at >= started_at", name="completed_after_start"),
    sa.CheckConstraint("execution_time_ms >= 0", name="execution_time_ms"),
    sa.CheckConstraint("cost >= 0", name="cost"),
    _one_of("cost_source", COST_SOURCES),
    sa.CheckConstraint("forked_at_step >= 0", name="forked_at_step"),
    sa.UniqueConstraint("source", "source_id"),
    # The order of bench.executions(): dated runs, newest first, then the undated in the order of their source.
    sa.Index(
        "ix_agent_executions_newest", sa.text("coalesce(started_at, '-infinity'::timestamptz) DESC"), "created_at", "id"
    ),
    sa.Index("ix_agent_executions_since", sa.text("coalesce(started_at, created_at)")),
    sa.Index(None, "status"),
    sa.Index(None, "agent_type"),
    sa.Index(None, "task_id"),
    sa.Index(None, "parent_execution_id"),
    sa.Index(None, "trace_id"),
    sa.Index(None, "import_id"),
    sa.Index(None, "parent_event_id", postgresql_where=sa.text("parent_event_id IS NOT NULL")),
    # Runs that name the step they hang on, or the runs that hang on theirs: asked for at the end of every file.
    sa.Index("ix_agent_executions_spawned_by", "source", postgresql_where=sa.text("metadata ? 'spawned_by'")),
    sa.Index(
        "ix_agent_executions_parent_source_id",  # hash: an id that a source gives may be longer than a btree holds
        sa.text("(metadata->>'parent_source_id')"),
        postgresql_using="hash",
        postgresql_where=sa.text("metadata ? 'parent_source_id'"),
    ),
    sa.Index("ix_agent_executions_spawns", "source", postgresql_where=sa.text("metadata ? 'spawns'")),
)

observability_events = sa.Table(
    "observability_events",
    metadata,
    _id(),
    _ref("execution_id", "agent_executions", "CASCADE"),
    sa.Column("step_number", sa.Integer, nullable=False, comment="0-based position in the run"),
    sa.Column("event_type", sa.Text, nullable=False),
    sa.Column("name", sa.Text, comment="tool, span or message author"),
    sa.Column("agent", sa.Text, comment="lane: the agent or sub-agent that did it"),
    sa.Column("category", sa.Text),
    sa.Column("severity", sa.Text, nullable=False, server_default=sa.text("'info'")),
    _time("timestamp"),
    sa.Column("duration_ms", sa.Double),
    sa.Column("trace_id", sa.Text),
    sa.Column("span_id", sa.Text),
    sa.Column("parent_span_id", sa.Text),
    _json("data", default="{}"),
    sa.Column("raw", pg.BYTEA, comment="zstd of the source's bytes, where jsonb would refuse or change them"),
    _row_version(),
    sa.Column("mark", sa.Text, comment="what its place in the tree lacks; null where nothing does"),
    _one_of("severity", SEVERITIES),
    _one_of("mark", MARKS),
    sa.CheckConstraint("event_type <> ''", name="event_type"),
    sa.CheckConstraint("step_number >= 0", name="step_number"),
    sa.CheckConstraint("duration_ms >= 0", name="duration_ms"),
    sa.Index(None, "execution_id", "step_number", "id"),
    sa.Index(None, "timestamp"),
    sa.Index(None, "trace_id", postgresql_where=sa.text("trace_id IS NOT NULL")),
    sa.Index(
        "ix_observability_events_errors",
        "execution_id",
        postgresql_where=sa.text("severity = ANY (ARRAY['error'::text, 'critical'::text])"),
    ),
)


execution_snapshots = sa.Table(
    "execution_snapshots",
    metadata,
    _id(),
    _ref("execution_id", "agent_executions", "CASCADE"),
    sa.Column("step_number", sa.Integer, nullable=False, comment="the step after which this was the state"),
    _time("timestamp"),
    sa.Column(
        "state",
        pg.JSONB,
        nullable=False,
        comment="the whole state where keyframe_step = step_number, else an RFC 6902 patch on the snapshot before",
    ),
    sa.Column("keyframe_step", sa.Integer, nullable=False, comment="step_number of the whole state this builds on"),
    sa.Column("description", sa.Text),
    sa.Column("checkpoint", sa.Boolean, nullable=False, server_default=sa.text("false")),
    sa.Column(
        "is_derived",
        sa.Boolean,
        nullable=False,
        server_default=sa.text("false"),
        comment="true: rebuilt from the conversation by Workbench, not recorded by the source",
    ),
    sa.Column("raw", pg.BYTEA, comment="zstd of the source's bytes, where jsonb would refuse or change them"),
    _row_version(),
    sa.CheckConstraint("step_number >= 0", name="step_number"),
    sa.CheckConstraint("keyframe_step >= 0 AND keyframe_step <= step_number", name="keyframe_step"),
    sa.UniqueConstraint("execution_id", "step_number"),
)

# Compressing events is most of the server's work in an ingest, and saves a fifth of the disk. Of states it saves a
# fifth to two thirds, and no ingest of real sessions takes longer by it. Large strings cost four to eight times their
# insert with pglz, and nothing with lz4, which is taken where the server was built with it (the embedded one is not; a
# dump for such a server is made with --no-toast-compression). SQLAlchemy has no word for either.
_uncompressed = sa.DDL(f"ALTER TABLE {SCHEMA}.observability_events ALTER COLUMN data SET STORAGE EXTERNAL")
event.listen(observability_events, "after_create", _uncompressed)
_COMPRESS_STATES = f"""
DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) THEN
    EXECUTE 'ALTER TABLE {SCHEMA}.execution_snapshots ALTER COLUMN state SET COMPRESSION lz4';
  END IF;
END $$
"""
event.listen(execution_snapshots, "after_create", sa.DDL(_COMPRESS_STATES))

branch_heads = sa.Table(
    "branch_heads",
    metadata,
    _id(),
    _ref("root_id", "agent_executions", "CASCADE"),
    _ref("execution_id", "agent_executions", "CASCADE"),
    sa.Column("reason", sa.Text, comment="what the person who moved the head wrote"),
    _time("created_at", default="clock_timestamp()"),
    sa.Index(None, "root_id", "id"),
    sa.Index(None, "execution_id"),
)

step_notes = sa.Table(
    "step_notes",
    metadata,
    _id(),
    _ref("execution_id", "agent_executions", "CASCADE"),
    sa.Column("step_number", sa.Integer, nullable=False, comment="counts where the event is not there"),
    _ref("event_id", "observability_events", "SET NULL", nullable=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False, server_default=sa.text("''"), comment="of a checkpoint: its name"),
    sa.Column("author", sa.Text),
    _time("created_at", default="clock_timestamp()"),
    _time("updated_at", default="clock_timestamp()"),
    _row_version(),
    _one_of("kind", NOTE_KINDS),
    sa.CheckConstraint("step_number >= 0", name="step_number"),
    sa.Index(None, "execution_id", "step_number"),
    sa.Index(None, "event_id"),
)

pruned_states = sa.Table(
    "pruned_states",
    metadata,
    _id(),
    _ref("execution_id", "agent_executions", "CASCADE"),
    sa.Column("first_step", sa.Integer, nullable=False, comment="no state is known from after this step on"),
    sa.Column("last_step", sa.Integer, nullable=False, comment="to after this one; the state after the next is stored"),
    sa.Column("n_states", sa.Integer, nullable=False, comment="how many were stored between"),
    _time("pruned_at", default="clock_timestamp()"),
    sa.CheckConstraint("first_step >= 0 AND last_step >= first_step", name="last_step"),
    sa.CheckConstraint("n_states >= 1", name="n_states"),
    sa.Index(None, "execution_id", "first_step"),
)

graph_threads = sa.Table(
    "graph_threads",
    metadata,
    _id(),
    sa.Column("thread_id", sa.Text, nullable=False, comment="as the agent's own code calls it"),
    sa.Column("agent_type", sa.Text),
    _time("changed_at", default="clock_timestamp()"),
    sa.Column("changed", sa.BigInteger, nullable=False, server_default=sa.text("1"), comment="counts the changes"),
    sa.Column(
        "mirrored",
        sa.BigInteger,
        nullable=False,
        server_default=sa.text("0"),
        comment="the change up to which the runs tell",
    ),
    sa.Column(
        "executions",
        pg.ARRAY(pg.UUID(as_uuid=True)),
        nullable=False,
        server_default=sa.text("'{}'::uuid[]"),
        comment="the runs that tell of it",
    ),
    sa.UniqueConstraint("thread_id"),
    sa.Index("ix_graph_threads_behind", "changed_at", postgresql_where=sa.text("mirrored < changed")),
)

graph_values = sa.Table(
    "graph_values",
    metadata,
    _ref("thread", "graph_threads", "CASCADE", primary_key=True),
    sa.Column("digest", pg.BYTEA, primary_key=True, comment="of kind and bytes of the value"),
    sa.Column("base", pg.BYTEA, comment="digest of the value that data builds on; null where it is whole"),
    sa.Column("position", sa.Integer, nullable=False, comment="in its line of versions, from the last whole value on"),
    sa.Column("kind", sa.Text, nullable=False, comment="what the serializer calls it, e.g. msgpack"),
    sa.Column("data", pg.BYTEA, nullable=False),
)

graph_checkpoints = sa.Table(
    "graph_checkpoints",
    metadata,
    _ref("thread", "graph_threads", "CASCADE", primary_key=True),
    sa.Column("namespace", sa.Text(collation="C"), primary_key=True),
    sa.Column("checkpoint_id", sa.Text(collation="C"), primary_key=True),
    sa.Column("parent_id", sa.Text(collation="C")),
    sa.Column("run_id", sa.Text, comment="metadata.run_id"),
    _json("metadata", default="{}"),
    sa.Column(
        "channels", pg.JSONB, nullable=False, comment="channel → digest of its value; null: it is in the document"
    ),
    sa.Column("kind", sa.Text, nullable=False, comment="what the serializer calls the document"),
    sa.Column("document", pg.BYTEA, nullable=False, comment="zstd of checkpoint and metadata as they were put"),
    _time("created_at", default="clock_timestamp()"),
    sa.Index(None, "checkpoint_id"),
    sa.Index(None, "run_id", postgresql_where=sa.text("run_id IS NOT NULL")),
)

graph_writes = sa.Table(
    "graph_writes",
    metadata,
    _ref("thread", "graph_threads", "CASCADE", primary_key=True),
    sa.Column("namespace", sa.Text(collation="C"), primary_key=True),
    sa.Column("checkpoint_id", sa.Text(collation="C"), primary_key=True),
    sa.Column("task_id", sa.Text(collation="C"), primary_key=True),
    sa.Column("idx", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("task_path", sa.Text(collation="C"), nullable=False, server_default=sa.text("''")),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("data", pg.BYTEA, nullable=False, comment="zstd"),
)

for _table, _column in ((graph_values, "data"), (graph_checkpoints, "document"), (graph_writes, "data")):
    _packed = sa.DDL(f"ALTER TABLE {SCHEMA}.{_table.name} ALTER COLUMN {_column} SET STORAGE EXTERNAL")
    event.listen(_table, "after_create", _packed)  # packed already

secrets = sa.Table(
    "secrets",
    metadata,
    _id(),
    _ref("execution_id", "agent_executions", "CASCADE"),
    _ref("event_id", "observability_events", "CASCADE", nullable=True),
    sa.Column(
        "place",
        sa.Text,
        nullable=False,
        comment="JSON pointer into the event's data; else a column of the run or 'state/STEP', with a pointer into it",
    ),
    sa.Column("rule", sa.Text, nullable=False, comment="the rule that found it"),
    sa.Column(
        "digest",
        sa.Text,
        nullable=False,
        comment="tells equal secrets from different ones; the secret cannot be had from it",
    ),
    sa.Column(
        "shown",
        sa.Text,
        nullable=False,
        server_default=sa.text("''"),
        comment="its issuer's public prefix, four characters at most, and its length",
    ),
    sa.Index(None, "execution_id"),
    sa.Index(None, "event_id"),
)

store_keys = sa.Table(
    "store_keys",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", pg.BYTEA, nullable=False, comment="drawn by chance when the schema was made"),
)

agent_memory = sa.Table(
    "agent_memory",
    metadata,
    _id(),
    sa.Column("agent_type", sa.Text, nullable=False),
    sa.Column("context_key", sa.Text, nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("embedding", pg.ARRAY(sa.REAL)),
    sa.Column("embedding_model", sa.Text),
    _time("created_at", default=True),
    _time("last_accessed_at"),
    sa.Column("access_count", sa.Integer, nullable=False, server_default=sa.text("0")),
    _json("metadata", default="{}"),
    sa.Column("importance", sa.SmallInteger, nullable=False, server_default=sa.text("5")),
    _time("expires_at"),
    _row_version(),
    sa.CheckConstraint("importance >= 1 AND importance <= 10", name="importance"),
    sa.CheckConstraint("access_count >= 0", name="access_count"),
    sa.CheckConstraint("(embedding IS NULL) = (embedding_model IS NULL)", name="embedding_has_model"),
    sa.Index(None, "agent_type", "context_key"),
    sa.Index(None, "expires_at", postgresql_where=sa.text("expires_at IS NOT NULL")),
)

workflows = sa.Table(
    "workflows",
    metadata,
    _id(),
    sa.Column("name", sa.Text, nullable=False),
    _json("definition", default="{}"),
    sa.Column("version", sa.Integer, nullable=False, server_default=sa.text("1")),
    sa.Column("is_active", sa.Boolean, nullable=False, server_default=sa.text("true")),
    _time("created_at", default=True),
    sa.Column("created_by", sa.Text),
    sa.Column("tags", pg.ARRAY(sa.Text), nullable=False, server_default=sa.text("'{}'::text[]")),
    sa.Column("description", sa.Text),
    sa.CheckConstraint("name <> ''", name="name"),
    sa.CheckConstraint("version >= 1", name="version"),
    sa.UniqueConstraint("name", "version"),
)

workflow_executions = sa.Table(
    "workflow_executions",
    metadata,
    _id(),
    _ref("workflow_id", "workflows", "CASCADE"),
    sa.Column("status", sa.Text, nullable=False, server_default=sa.text("'pending'")),
    sa.Column("current_step", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("total_steps", sa.Integer),
    _json("state", default="{}"),
    _time("started_at"),
    _time("completed_at"),
    sa.Column("error", sa.Text),
    sa.Column("triggered_by", sa.Text),
    _ref("parent_execution_id", "workflow_executions", "SET NULL", nullable=True),
    _row_version(),
    _one_of("status", WORKFLOW_STATUSES),
    sa.CheckConstraint("current_step >= 0", name="current_step"),
    sa.Index(None, "workflow_id"),
    sa.Index(None, "status"),
    sa.Index(None, "parent_execution_id"),
)
