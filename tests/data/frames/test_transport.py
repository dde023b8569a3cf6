"""Both ways from Postgres to Polars bring the same rows; connections may die, be shared and be forked."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import weakref
from datetime import UTC, datetime

import polars as pl
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from psycopg import sql

import workbench
from workbench.data.frames import load
from workbench.data.frames.load import Frames
from workbench.data.frames.transport import Transport
from workbench.errors import QueryError, StoreUnavailableError

ONE = sql.SQL("SELECT 1::bigint AS n")
BACKEND = sql.SQL("SELECT pg_backend_pid()::bigint AS n")
N = {"n": pl.Int64}


@pytest.fixture
def both(store):
    made = [Transport(store, way=way) for way in ("adbc", "psycopg")]
    yield made
    for transport in made:
        transport.close()


@pytest.mark.parametrize("frame", ["executions", "events", "snapshots", "tasks", "environments"])
def test_every_frame_is_the_same_both_ways(bench, history, frame):
    """Same rows, same dtypes."""
    plain = Frames(bench.store)
    plain.transport = Transport(bench.store, way="psycopg")

    assert bench.frames.transport.way == "adbc"
    assert_frame_equal(getattr(bench, frame)(), getattr(plain, frame)())


text = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=40)
rows = st.tuples(
    st.none() | text,
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.floats(allow_nan=True, allow_infinity=True),
    st.none() | st.booleans(),
    st.none() | st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),
    st.none() | st.binary(max_size=20),
)
SCHEMA = {
    "s": pl.String, "i": pl.Int64, "f": pl.Float64, "b": pl.Boolean, "t": pl.Datetime("us", "UTC"), "y": pl.Binary,
}  # fmt: skip
TYPES = ("text", "bigint", "float8", "boolean", "timestamptz", "bytea")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(rows, max_size=8))
def test_any_values_are_the_same_both_ways(both, given):
    """Text, numbers, times and bytes come back as they were sent, quoted as literals."""
    empty = sql.SQL("SELECT {} WHERE false").format(
        sql.SQL(", ").join(
            sql.SQL("NULL::{} AS {}").format(sql.SQL(t), sql.Identifier(n)) for n, t in zip(SCHEMA, TYPES, strict=True)
        )
    )
    lines = [
        sql.SQL("SELECT {}").format(
            sql.SQL(", ").join(
                # In brackets: a cast binds more tightly than the minus of the smallest bigint.
                sql.SQL("({})::{}").format(sql.Literal(v), sql.SQL(t))
                for v, t in zip(row, TYPES, strict=True)
            )
        )
        for row in given
    ]
    query = sql.SQL(" UNION ALL ").join([empty, *lines])
    expected = pl.DataFrame(given, schema=SCHEMA, orient="row")

    for transport in both:
        assert_frame_equal(transport.fetch(query, SCHEMA), expected, check_exact=True)


def test_refusals_are_the_same_both_ways(both):
    """The server's words, its hint, and no query text around them."""
    for transport in both:
        with pytest.raises(QueryError, match='column "titel" does not exist') as caught:
            transport.fetch(sql.SQL("SELECT titel FROM tasks"), {"titel": pl.String})
        assert 'Perhaps you meant to reference the column "tasks.title"' in str(caught.value)
        assert transport.fetch(ONE, N).item() == 1


def test_a_statement_is_stopped_after_its_time(database_url):
    """The timeout of the settings holds on both ways."""
    with workbench.connect(database_url, statement_timeout_s=0.2) as bench:
        for way in ("adbc", "psycopg"):
            transport = Transport(bench.store, way=way)
            with pytest.raises(QueryError, match="statement timeout"):
                transport.fetch(sql.SQL("SELECT 1::bigint AS n, pg_sleep(5)::text AS s"), N)
            transport.close()


def test_a_connection_is_used_again(both):
    """The second reading finds the session of the first."""
    adbc = both[0]

    assert adbc.fetch(BACKEND, N).item() == adbc.fetch(BACKEND, N).item()


def test_a_connection_that_died_is_replaced(both, database_url):
    """A session that the server ended while it was idle costs one retry, not an error."""
    adbc = both[0]
    pid = adbc.fetch(BACKEND, N).item()
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

    assert adbc.fetch(BACKEND, N).item() != pid


def test_no_server_is_one_clear_error(server, database_url):
    """Where nothing answers any more, the second try says so, without the password."""
    with workbench.connect(database_url, connect_timeout_s=1) as bench:
        bench.tasks()
        name = database_url.partition("?")[0].rpartition("/")[2]
        with psycopg.connect(server.url(), autocommit=True) as admin:
            admin.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            try:
                with pytest.raises(StoreUnavailableError, match="not currently accepting connections") as caught:
                    bench.tasks()
            finally:
                admin.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")

    assert database_url.split(":")[2].partition("@")[0] not in str(caught.value)


def test_between_readings_no_transaction_is_open(both, database_url):
    """An idle session holds nothing."""
    pid = both[0].fetch(BACKEND, N).item()
    with psycopg.connect(database_url) as admin:
        state = admin.execute("SELECT state FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone()

    assert state == ("idle",)


def test_a_forgotten_workbench_is_not_kept(database_url):
    """Reading frames leaves nothing that would hold a store and its connections for ever."""
    bench = workbench.connect(database_url)
    bench.tasks()
    store = weakref.ref(bench.store)
    bench.close()
    del bench
    gc.collect()

    assert store() is None


def test_a_reading_leaves_no_setting_behind(both):
    """What a query sets is undone with its transaction, and times are shown in UTC."""
    for transport in both:
        transport.fetch(sql.SQL("SELECT set_config('search_path', 'public', false) AS s"), {"s": pl.String})
        shown = sql.SQL("SELECT current_setting('search_path') || current_setting('timezone') AS s")
        assert transport.fetch(shown, {"s": pl.String}).item() == "workbench, publicUTC"


def test_threads_read_at_once(bench, history):
    """Sixteen threads get sixteen right answers over a handful of connections."""
    answers = []

    def read(n):
        answers.append((n, bench.events(history.runs[n % 12]).height))

    threads = [threading.Thread(target=read, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers) == [(n, n % 12) for n in range(16)]
    assert len(bench.frames.transport._idle) <= bench.store.settings.pool_size


@pytest.mark.parametrize("filters", [{}, {"severity": "error"}, {"columns": ["name", "data"], "since": "2026-11-05"}])
def test_a_large_frame_is_read_in_pieces(bench, history, monkeypatch, filters):
    """Pieces of the table over several connections are together what one brings, each row once and in order."""
    whole = bench.events(**filters)
    monkeypatch.setattr(load, "_PART_BLOCKS", 1)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    asked = []
    fetch_parts = bench.frames.transport.fetch_parts
    monkeypatch.setattr(
        bench.frames.transport,
        "fetch_parts",
        lambda queries, schema: asked.append(len(queries)) or fetch_parts(queries, schema),
    )

    assert_frame_equal(bench.events(**filters), whole)
    assert asked == [4]


def test_pieces_see_one_moment(both, database_url):
    """However busily somebody writes, all pieces count the same rows."""
    count = sql.SQL("SELECT count(*)::bigint AS n FROM tasks")
    stop = threading.Event()

    def write():
        with psycopg.connect(database_url, autocommit=True) as connection:
            while not stop.is_set():
                connection.execute("INSERT INTO workbench.tasks (title) VALUES ('t')")

    writer = threading.Thread(target=write)
    writer.start()
    counts = [both[0].fetch_parts([count] * 4, N)["n"].to_list() for _ in range(15)]
    stop.set()
    writer.join()

    assert [len(set(pieces)) for pieces in counts] == [1] * 15
    assert counts[0][0] < counts[-1][0]


def test_a_refusal_of_one_piece_is_the_refusal_of_all(both):
    """The error of any piece arrives; the connections go on."""
    bad = sql.SQL("SELECT 1::bigint / (n - n) AS n FROM generate_series(1, 100000) n")
    for queries in ([ONE, bad], [bad, ONE]):
        with pytest.raises(QueryError, match="division by zero"):
            both[0].fetch_parts(queries, N)

    assert both[0].fetch_parts([ONE, ONE], N)["n"].to_list() == [1, 1]


def test_a_forked_child_leaves_the_parent_s_connections_alone(database_url):
    """The child reads over its own; the parent's still works after the child has ended."""
    code = f"""
import os, workbench
bench = workbench.connect({database_url!r})
bench.sql("SELECT 1")
mine = [bench.sql("SELECT pg_backend_pid() AS pid").item()]
child = os.fork()
if child == 0:
    other = bench.sql("SELECT pg_backend_pid() AS pid").item()
    os._exit(0 if other not in mine else 1)
assert os.waitpid(child, 0)[1] == 0
assert bench.sql("SELECT pg_backend_pid() AS pid").item() in mine
bench.close()
"""
    # Polars warns of forks for its own threads' sake; the child here computes nothing with it.
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("lack", ["import sys; sys.modules['adbc_driver_postgresql.dbapi'] = None",
                                  "import adbc_driver_postgresql as a; a._driver_path = lambda: __file__"])  # fmt: skip
def test_without_adbc_the_plain_way_is_taken(history, lack, tmp_path):
    """Not installed, or with a library that does not load: the same frames, by psycopg."""
    script = tmp_path / "read.py"
    script.write_text(
        f"{lack}\nimport workbench\n"
        f"with workbench.connect({history.url!r}) as bench:\n"
        "    print(bench.events().height, bench.sql('SELECT 1 AS a').item(), bench.frames.transport.way)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, env=dict(os.environ))

    assert (done.stdout, done.stderr) == ("106 1 psycopg\n", "")
