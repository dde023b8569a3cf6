"""SQL of the user's own: answers with types, errors with place and hint, and no way to write or to reach a file."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

import workbench
from workbench.errors import ConfigurationError, QueryError, ReadOnlyError, StoreError


def test_types_arrive(bench):
    """Numbers, times and text as such; what Polars lacks as text."""
    found = bench.sql(
        "SELECT 1 AS i, 2::bigint AS b, 1.5::numeric AS n, 0.5::real AS r, true AS t, 'x' AS s, 'y'::name AS m,"
        " '2026-11-21T12:00+02'::timestamptz AS z, '2026-11-21'::date AS d, '{\"a\": 1}'::jsonb AS j, ARRAY[1, 2] AS l,"
        " gen_random_uuid() AS u, '\\x01'::bytea AS y, NULL AS nothing"
    )

    assert found.dtypes == [
        pl.Int32, pl.Int64, pl.Float64, pl.Float32, pl.Boolean, pl.String, pl.String, pl.Datetime("us", "UTC"), pl.Date,
        pl.String, pl.String, pl.String, pl.Binary, pl.String,
    ]  # fmt: skip
    row = found.row(0, named=True)
    assert (row["z"], row["d"]) == (datetime(2026, 11, 21, 10, tzinfo=UTC), date(2026, 11, 21))
    assert (row["j"], row["l"], len(row["u"]), row["y"], row["nothing"]) == ('{"a": 1}', "{1,2}", 36, b"\x01", None)


@pytest.mark.parametrize(
    ("query", "height"),
    [
        ("SELECT * FROM tasks ORDER BY title DESC;", 3),
        ("  /* why */ -- because\n (SELECT 1)", 1),
        ("WITH t AS (SELECT * FROM workbench.tasks) SELECT count(*) FROM t -- the end", 1),
        ("VALUES (1, 'a'), (2, 'b')", 2),
        ("TABLE tasks", 3),
        ("SELECT title FROM tasks WHERE title LIKE '%;%' OR title LIKE 'task %'", 3),
        ("SHOW search_path", 1),
        ("SELECT 1 WHERE false", 0),
        ("SELECT FROM tasks", 0),
    ],
)
def test_statements_that_give_rows(bench, history, query, height):
    """Comments, a closing semicolon and percent signs do no harm; our tables need no schema."""
    assert bench.sql(query).height == height


def test_order_and_cap(bench, history):
    """The order asked for stays, also under a cap."""
    assert bench.sql("SELECT title FROM tasks ORDER BY title DESC", limit=2)["title"].to_list() == ["task 2", "task 1"]
    with pytest.raises(ConfigurationError, match="whole number"):
        bench.sql("SELECT 1", limit=-1)


def test_columns_of_one_name_are_told_apart(bench):
    """A join may give a name twice."""
    assert bench.sql("SELECT 1 AS id, 2 AS id, 3 AS id").row(0, named=True) == {"id": 1, "id_1": 2, "id_2": 3}


def test_explain_is_read(bench):
    """A plan is a frame of one text column."""
    assert "Scan" in bench.sql("EXPLAIN SELECT * FROM tasks")["QUERY PLAN"][0]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (
            "SELECT titel\nFROM tasks",
            r'column "titel" does not exist\nline 1: SELECT titel\n {15}\^\nPerhaps you meant',
        ),
        (
            "SELECT 1\nFROM nowhere",
            r'"nowhere" does not exist\nline 2: FROM nowhere\n {13}\^\nTables: agent_executions',
        ),
        ("SELECT 1; SELECT 2", r'syntax error at or near ";"'),
        ("SELECT 1/0", "division by zero"),
        ("SELECT 'a", "unterminated quoted string"),
        ("EXPLAIN SELEC 1", r'syntax error at or near "SELEC"\nline 1: EXPLAIN SELEC 1\n {16}\^'),
    ],
)
def test_an_error_has_place_and_hint(bench, query, said):
    """The server's message, the line of the user's own text, and what it suggests."""
    with pytest.raises(QueryError, match=said):
        bench.sql(query)


@pytest.mark.parametrize(
    ("query", "params", "said"),
    [
        ("select nonsense from", None, r"syntax error at end of input\nline 1: select nonsense from\n {28}\^\n"),
        ("SELECT 1\nWHERE $1 =", [1], r"syntax error at end of input\nline 2: WHERE \$1 =\n {18}\^\n"),
        ("SELECT (1", None, r"syntax error at end of input\nline 1: SELECT \(1\n {17}\^\n"),
        ("SELECT 1)", None, r"syntax error at or near \"\)\"\nline 1: SELECT 1\)\n {16}\^\n"),
        ("SELECT 'a", None, r"quoted string at or near \"'a\"\nline 1: SELECT 'a\n {15}\^\n"),
        ("SELECT 1 AS a INTO x", None, r"SELECT \.\.\. INTO is not allowed here\nline 1: SELECT 1 AS a INTO x\n"),
    ],
)
def test_a_syntax_error_is_in_the_users_own_text(bench, query, params, said):
    """The server is asked about the text as it was written, so that no bracket of ours is in what it says."""
    with pytest.raises(QueryError, match=said):
        bench.sql(query, params)


@pytest.mark.parametrize("query", ["", "  ;", "-- nothing"])
def test_an_empty_query_gets_an_example(bench, query):
    """One line to start from."""
    with pytest.raises(ConfigurationError, match="SELECT status"):
        bench.sql(query)


WRITES = [
    "DELETE FROM tasks",
    "INSERT INTO tasks (title) VALUES ('x')",
    "TRUNCATE tasks CASCADE",
    "DROP SCHEMA workbench CASCADE",
    "CREATE TABLE workbench.x (a int)",
    "SELECT 1 AS a INTO workbench.x",
    "WITH gone AS (DELETE FROM tasks RETURNING id) SELECT * FROM gone",
    "EXPLAIN ANALYZE DELETE FROM tasks",
    "EXPLAIN (ANALYZE) CREATE TABLE x AS SELECT 1",
    "SELECT 1) AS q; DELETE FROM tasks; SELECT * FROM (SELECT 1",
    "SELECT 1) AS q(c0)) TO STDOUT; DELETE FROM tasks; COPY (SELECT 1 FROM (SELECT 1",
    "SELECT 1; COMMIT; DELETE FROM tasks",
    "COMMIT",
    "BEGIN READ WRITE",
    "DO $$ BEGIN DELETE FROM workbench.tasks; END $$",
    "CALL nothing()",
    "SET default_transaction_read_only = off",
    "SET SESSION AUTHORIZATION DEFAULT",
    "SELECT set_config('transaction_read_only', 'off', false)",
    "SELECT set_config('transaction_read_only', 'off', true), query_to_xml('DELETE FROM tasks', true, true, '')",
    "SELECT query_to_xml('DELETE FROM workbench.tasks RETURNING id', true, true, '')",
    "SELECT * FROM tasks FOR UPDATE",
    "SELECT lo_create(0)",
    "SELECT nextval('pg_toast.x')",
    "COPY tasks TO PROGRAM 'touch {file}'",
    "COPY (SELECT 1) TO '{file}'",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_export(1, '{file}')",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_read_binary_file('/etc/passwd')",
    "SELECT * FROM pg_ls_dir('/')",
    "SELECT pg_stat_file('/etc/passwd')",
    "SELECT pg_reload_conf()",
    "SELECT pg_promote()",
    "SELECT rolpassword FROM pg_authid",
    "LISTEN x",
    "LOAD 'x'",
]


@pytest.fixture(scope="module")
def embedded(server):
    """A workbench as most people have it: on the embedded server, which has a role that may only read."""
    with workbench.connect(home=server.home) as embedded:
        embedded.records.tasks.create(title="stays")
        yield embedded


@pytest.mark.parametrize("query", WRITES)
def test_attacks_are_refused(embedded, query, tmp_path):
    """Writes, files, programs, second statements and switching read-only off: refused, and nothing is changed."""
    before = _everything(embedded)
    with pytest.raises(StoreError):
        embedded.sql(query.replace("{file}", str(tmp_path / "made")))

    assert _everything(embedded) == before
    assert embedded.sql("SELECT current_user").item() == "workbench_reader"
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("query", [q for q in WRITES if "pg_" not in q and "CREATE TABLE x AS" not in q])
def test_attacks_are_refused_without_the_reader_s_role(bench, history, query, tmp_path):
    """On a server of one's own, where only the transaction is read-only, nothing can be written either."""
    before = _everything(bench)
    with pytest.raises(StoreError):
        bench.sql(query.replace("{file}", str(tmp_path / "made")))

    assert _everything(bench) == before
    assert not (tmp_path / "made").exists()


def test_what_a_read_only_transaction_lets_through_is_rolled_back(bench, history):
    """Postgres lets the owner explain the making of a table even there; afterwards it is not there."""
    before = _everything(bench)
    bench.sql("EXPLAIN (ANALYZE) CREATE TABLE x AS SELECT 1 AS a")

    assert _everything(bench) == before


def test_switching_read_only_off_lasts_no_longer_than_its_query(bench, history):
    """A session that is used again is read-only again, whatever was set in it."""
    for name in ("default_transaction_read_only", "search_path"):
        assert bench.sql(f"SELECT set_config('{name}', 'off', false)").item() == "off"

    assert bench.sql("SHOW default_transaction_read_only").item() == "on"
    assert bench.sql("SELECT current_setting('default_transaction_read_only') AS a").item() == "on"
    assert bench.sql("SELECT current_setting('transaction_read_only') AS a").item() == "on"
    assert bench.sql("SELECT current_setting('search_path') AS a").item() == "workbench, public"


def test_a_writing_statement_is_told_where_to_write(bench):
    """The remedy is in the text."""
    with pytest.raises(ReadOnlyError, match=r"begins with 'DELETE'.*bench\.records"):
        bench.sql("DELETE FROM tasks")


def test_duckdb_joins_frames(bench, history):
    """Frames and lazy frames by name; sums of integers are integers, times UTC."""
    found = bench.duckdb(
        "SELECT r.agent_type, sum(e.step_number) AS steps, max(e.timestamp) AS last FROM runs r"
        " JOIN events e ON e.execution_id = r.id WHERE r.agent_type <> 'recorder' GROUP BY 1 ORDER BY 2 DESC",
        runs=bench.executions(), events=bench.events().lazy(),
    )  # fmt: skip

    assert found["steps"].sum() == sum(n * (n - 1) // 2 for n in range(12))
    assert dict(found.schema) == {"agent_type": pl.String, "steps": pl.Int64, "last": pl.Datetime("us", "UTC")}


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "COPY (SELECT 1) TO '{file}'",
        "ATTACH '{file}'",
        "EXPORT DATABASE '{file}'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "RESET enable_external_access",
        "SELECT * FROM frame",  # a variable of the function that asks DuckDB
        "SELECT * FROM frames",
        "SELECT * FROM hidden",
    ],
)
def test_duckdb_reaches_nothing_but_its_frames(bench, query, tmp_path):
    """No files, no extensions, no variables of this process."""
    file = tmp_path / "made"
    hidden = pl.DataFrame({"b": [1]})
    with pytest.raises(QueryError, match="DuckDB refused the query"):
        bench.duckdb(query.replace("{file}", str(file)), runs=pl.DataFrame({"a": [1]}))

    assert not file.exists()
    assert hidden.height == 1


def test_duckdb_does_not_change_the_frames_given(bench):
    """They are views on the caller's frames."""
    frame = pl.DataFrame({"a": [1, 2]})
    with pytest.raises(QueryError):
        bench.duckdb("DELETE FROM runs", runs=frame)

    assert frame["a"].to_list() == [1, 2]


def _everything(bench):
    tables = [
        "tasks",
        "agent_executions",
        "observability_events",
        "execution_snapshots",
        "pg_class",
        "pg_largeobject_metadata",
    ]
    return [bench.sql(f"SELECT count(*) FROM {table}").item() for table in tables]
