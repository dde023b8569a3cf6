"""Schema versions: up, down, at once, interrupted, drifted, and on servers that are less than ours."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
import uuid

import psycopg
import pytest
import sqlalchemy as sa

from workbench.data.store import schema
from workbench.data.store.address import Address
from workbench.data.store.engine import Store
from workbench.data.store.server import binaries
from workbench.data.store.tables import metadata
from workbench.errors import ReadOnlyError, SchemaError
from workbench.settings import Settings

OPEN = """
import sys
from workbench.data.store.engine import Store
from workbench.settings import Settings
store = Store.open(Settings.load(database_url=sys.argv[1]))
"""


def opened(url: str, **options) -> Store:
    return Store.open(Settings.load(database_url=url), **options)


def dump(url: str) -> str:
    """The whole schema as SQL, by the server's own pg_dump."""
    done = subprocess.run([binaries() / "pg_dump", "--schema-only", url], capture_output=True, text=True, check=True)
    return re.sub(r"^\\(un)?restrict .*$", "", done.stdout, flags=re.M)  # a random word in each dump


def run(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@pytest.fixture
def empty(empty_url):
    """A store on a database without a schema."""
    store = opened(empty_url, migrate=False)
    yield store
    store.close()


# -- up and down -------------------------------------------------------------------------------------------------------


def test_up_down_up_is_the_same_byte_by_byte(empty):
    """After up → base → up the server dumps the same schema; each revision by itself too."""
    schema.upgrade(empty)
    first = dump(empty.url)
    assert first.count("CREATE TABLE workbench.") == len(metadata.tables) + 1

    schema.downgrade(empty, "base")
    schema.upgrade(empty)
    assert dump(empty.url) == first

    for n_revisions in range(1, len(schema.history(empty)) + 1):
        schema.downgrade(empty, f"-{n_revisions}")
        schema.upgrade(empty)
        assert dump(empty.url) == first


def test_base_leaves_nothing_but_the_version_table(empty):
    """Tables and functions of ours are gone; the empty version table stays."""
    schema.upgrade(empty)
    assert schema.downgrade(empty, "base") is None

    left = dump(empty.url)
    assert re.findall(r"^CREATE (?:TABLE|FUNCTION|TYPE|SEQUENCE) (\S+)", left, flags=re.M) == [
        "workbench.schema_version"
    ]


def test_the_revisions_and_the_tables_are_the_same(empty, server):
    """What the revisions build is what the code's tables say, check constraints and comments included."""
    schema.upgrade(empty)
    assert schema.check(empty) == []

    def tables_of(text: str) -> list[str]:
        without_rights = re.sub(r"^(GRANT|ALTER DEFAULT PRIVILEGES|SET) .*$", "", text, flags=re.M)
        return [line for line in without_rights.splitlines() if line and not line.startswith("--")]

    built = tables_of(dump(empty.url))
    with empty.connection() as connection:
        metadata.drop_all(connection, checkfirst=False)
        metadata.create_all(connection, checkfirst=False)
    assert tables_of(dump(empty.url)) == built


def test_states_are_compressed_and_events_are_not(store):
    """Compressing events is most of the server's work in an ingest; states take lz4 where the server has it."""
    with store.raw() as connection:
        rows = connection.execute(
            "SELECT attrelid::regclass::text, attname, attstorage FROM pg_attribute"
            " WHERE attrelid IN ('workbench.observability_events'::regclass, 'workbench.execution_snapshots'::regclass)"
            " AND atttypid = 'jsonb'::regtype"
        ).fetchall()
        offered = connection.execute(
            "SELECT 'lz4' = ANY(enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"
        ).fetchone()
        chosen = connection.execute(
            "SELECT to_jsonb(a)->>'attcompression' FROM pg_attribute a"
            " WHERE attrelid = 'workbench.execution_snapshots'::regclass AND attname = 'state'"
        ).fetchone()
        connection.execute("INSERT INTO workbench.agent_executions (agent_type) VALUES ('x')")
        connection.execute(
            "INSERT INTO workbench.execution_snapshots (execution_id, step_number, keyframe_step, state)"
            " SELECT id, 0, 0, to_jsonb(repeat('def apply(document, patch): ', 4000)) FROM workbench.agent_executions"
        )
        size = connection.execute("SELECT pg_column_size(state) FROM workbench.execution_snapshots").fetchone()

    assert {(table.split(".")[-1], column): storage for table, column, storage in rows} == {
        ("observability_events", "data"): "e",
        ("execution_snapshots", "state"): "x",
    }
    assert chosen[0] == ("l" if offered and offered[0] else "")
    assert size[0] < 4000 * len("def apply(document, patch): ") / 10


def test_the_newest_revision_is_the_one_the_code_names(store):
    """The constant that connect() compares with is alembic's head, and the history marks it."""
    history = schema.history(store)

    assert history[0]["revision"] == schema.HEAD
    assert [entry["is_current"] for entry in history] == [True] + [False] * (len(history) - 1)
    assert history[-1]["doc"] == "The eight tables, the imports ledger, and ids that are ordered by time."


def test_ids_are_ordered_by_time_and_of_version_seven(store):
    """The server's workbench.new_id() makes UUIDs as RFC 9562 says, on any Postgres."""
    found = []
    for _ in range(20):
        with store.connection() as connection:
            found.append(connection.scalar(sa.text("SELECT workbench.new_id()")))
        time.sleep(0.002)

    assert {id.version for id in found} == {7}
    assert {id.variant for id in found} == {uuid.RFC_4122}
    assert found == sorted(found)
    assert abs((found[-1].int >> 80) / 1000 - time.time()) < 60


# -- connect -----------------------------------------------------------------------------------------------------------


def test_a_current_schema_costs_one_query(database_url):
    """Connecting to a schema that is up to date does not even load alembic."""
    code = OPEN + "assert 'alembic' not in sys.modules, 'loaded'"
    subprocess.run([sys.executable, "-c", code, database_url], check=True)


def test_a_newer_schema_is_refused(database_url):
    """A database of a newer Workbench is left alone, by readers and writers, with what to do."""
    run(database_url, "UPDATE workbench.schema_version SET version_num = '9999'")

    for read_only in (False, True):
        with pytest.raises(SchemaError, match=r"'9999', which this version .* pip install -U") as error:
            opened(database_url, read_only=read_only)
        assert error.value.found == "9999"  # type: ignore[attr-defined]


def test_a_read_only_store_changes_no_schema(database_url):
    """Verbs that write are refused before they start."""
    store = opened(database_url, read_only=True)

    with pytest.raises(ReadOnlyError, match="downgrade the schema with one that is not"):
        schema.downgrade(store, "base")
    assert schema.current(store) == schema.HEAD
    store.close()


def test_an_unknown_revision_is_an_error(store):
    """A revision that does not exist is named, with the verb that lists them."""
    with pytest.raises(SchemaError, match=r"Cannot upgrade to 'nope': .*workbench db history"):
        schema.upgrade(store, "nope")


# -- many at once, killed half way -------------------------------------------------------------------------------------


@pytest.mark.parametrize("round", range(3))
def test_eight_may_open_an_empty_database_at_once(empty_url, round):
    """All eight succeed, and the schema is built once."""
    clients = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", OPEN, empty_url], stderr=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    ended = [(client.communicate(timeout=120)[1], client.returncode) for client in clients]

    assert ended == [("", 0)] * 8
    store = opened(empty_url)
    assert schema.check(store) == []
    store.close()


STATEMENTS = ("CREATE FUNCTION", "CREATE TABLE workbench.tasks", "CREATE INDEX ix_tasks_status", "GRANT", "COMMIT")


@pytest.mark.parametrize("statement", STATEMENTS)
@pytest.mark.parametrize("victim", ["client", "connection"])
def test_an_upgrade_killed_half_way_runs_again(empty_url, statement, victim):
    """Killed before any statement, the client or its connection: nothing is left, and the next open completes."""
    code = f"""
import os, signal, sys, sqlalchemy as sa
from sqlalchemy import event
from workbench.data.store.engine import Store
from workbench.settings import Settings
import psycopg
seen = []
def die(driver):
    if {victim!r} == "client":
        os.kill(os.getpid(), signal.SIGKILL)
    with psycopg.connect(sys.argv[1], autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", (driver.info.backend_pid,))
@event.listens_for(sa.Engine, "before_cursor_execute")
def before(connection, cursor, text, *rest):
    seen.append(text)
    if {statement!r} in text:
        die(connection.connection.driver_connection)
@event.listens_for(sa.Engine, "commit")
def commit(connection):
    if {statement!r} == "COMMIT" and any("CREATE TABLE workbench.tasks" in text for text in seen):
        die(connection.connection.driver_connection)
store = Store.open(Settings.load(database_url=sys.argv[1]))
"""
    done = subprocess.run([sys.executable, "-c", code, empty_url], capture_output=True, text=True, check=False)
    if victim == "client":
        assert done.returncode == -signal.SIGKILL, done.stderr
    else:
        assert "StoreUnavailableError" in done.stderr.splitlines()[-1] or "StoreUnavailable" in done.stderr
    with psycopg.connect(empty_url) as connection:
        left = connection.execute("SELECT to_regclass('workbench.tasks'), to_regproc('workbench.new_id')").fetchone()
    assert left == (None, None)

    store = opened(empty_url)
    assert schema.check(store) == []
    store.close()


def test_the_lock_is_waited_for(empty_url):
    """Who opens while another changes the schema waits, and then finds it done."""
    with psycopg.connect(empty_url, autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(%s)", (schema._LOCK,))
        waiting = subprocess.Popen([sys.executable, "-c", OPEN, empty_url])
        time.sleep(2)
        assert waiting.poll() is None
        assert holder.execute("SELECT to_regclass('workbench.tasks')").fetchone() == (None,)
    assert waiting.wait(timeout=60) == 0


# -- drift -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("ALTER TABLE workbench.tasks ADD COLUMN rogue int", "add_column|remove_column: .*rogue"),
        ("CREATE TABLE workbench.rogue ()", r"remove_table: workbench\.rogue"),
        ("DROP INDEX workbench.ix_tasks_status", "add_index: .*ix_tasks_status"),
        ("ALTER TABLE workbench.tasks ALTER COLUMN title TYPE text", "modify_type: .*title"),
        ("ALTER TABLE workbench.tasks ALTER COLUMN status SET DEFAULT 'failed'", "modify_default: .*status"),
        ("ALTER TABLE workbench.tasks ALTER COLUMN title DROP NOT NULL", "modify_nullable: .*title"),
        ("ALTER TABLE workbench.tasks DROP CONSTRAINT ck_tasks_status", "add_check: ck_tasks_status on tasks"),
        ("ALTER TABLE workbench.tasks ADD CONSTRAINT odd CHECK (title <> 'x')", "remove_check: odd on tasks"),
        ("DROP FUNCTION workbench.new_id() CASCADE", "add_function: workbench.new_id"),
    ],
)
def test_drift_is_seen(store, statement, found):
    """What somebody changed by hand is named."""
    run(store.url, statement)

    assert re.search(found, "\n".join(schema.check(store)))


def test_what_is_made_at_run_time_is_no_drift(store):
    """An index per embedding model, a partition, and tables outside our schema are left in peace."""
    assert store.has_vector
    run(
        store.url,
        "CREATE INDEX memory_small ON workbench.agent_memory USING hnsw ((embedding::vector(3)) vector_l2_ops)",
        "CREATE TABLE public.theirs (id int)",
        "CREATE SCHEMA dbos",
        "CREATE TABLE dbos.status (id int)",
        "CREATE TABLE public.parted (id int) PARTITION BY RANGE (id)",
        "CREATE TABLE workbench.parted_1 PARTITION OF public.parted FOR VALUES FROM (0) TO (9)",
    )

    assert schema.check(store) == []


# -- lesser servers and roles ------------------------------------------------------------------------------------------


def test_without_pgvector_everything_else_is_there(server):
    """A database where the extension is absent and may not be created gets the same schema, and says so."""
    name = f"plain_{uuid.uuid4().hex}"
    admin = server.url(user="postgres", database="postgres")
    run(admin, f"CREATE DATABASE {name} TEMPLATE template0 OWNER workbench")
    store = opened(server.url(database=name))

    assert store.has_vector is False
    assert schema.check(store) == []
    with store.connection() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO workbench.agent_memory (agent_type, context_key, content, embedding, embedding_model)"
                " VALUES ('a', 'k', 'c', '{1,2}', 'm')"
            )
        )
    store.close()
    run(admin, f"DROP DATABASE {name} WITH (FORCE)")


def test_a_role_that_may_not_create_is_told_who_may(server, empty_url):
    """No right to create a schema: the error names the role and what to do, and nothing is left."""
    role = f"guest_{uuid.uuid4().hex[:8]}"
    admin = server.url(user="postgres", database="postgres")
    run(admin, f"CREATE ROLE {role} LOGIN PASSWORD 'pw'")
    guest = Address({**Address.parse(empty_url).parameters, "user": role, "password": "pw"}).url()

    with pytest.raises(
        SchemaError, match=rf"{role}@.* may not upgrade the schema: permission denied .*workbench db up"
    ):
        opened(guest)
    run(admin, f"DROP ROLE {role}")


def test_tables_that_come_later_are_readable_too(store):
    """The reader may read what a later revision adds."""
    run(store.url, "CREATE TABLE workbench.later (id int)")

    with psycopg.connect(store.url) as connection:
        found = connection.execute("SELECT has_table_privilege('workbench_reader', 'workbench.later', 'SELECT')")
        assert found.fetchone() == (True,)


def test_no_time_is_without_a_zone():
    """A naive column would take its reader's zone for its own."""
    naive = [str(column) for table in metadata.tables.values() for column in table.columns
             if isinstance(column.type, sa.DateTime) and not column.type.timezone]  # fmt: skip

    assert naive == []
