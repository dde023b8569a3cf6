"""More rows than memory: pages and lazy frames."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import workbench
from workbench.data.frames.columns import schema
from workbench.errors import ConfigurationError

DAY = datetime(2026, 11, 1, tzinfo=UTC)
FRAMES = ("executions", "events", "snapshots", "tasks", "environments", "imports", "quarantine")


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("frame", FRAMES)
def test_pages_together_are_the_frame(bench, history, frame, size):
    """Whatever the size, every row once and in the order of the frame."""
    pages = list(bench.pages(frame, size=size))
    whole = getattr(bench, frame)()

    assert_frame_equal(pl.concat(pages), whole)
    assert max(page.height for page in pages) <= size
    assert all(page.height for page in pages)


@pytest.fixture
def undated(bench):
    """Runs of three kinds: 30 dated, of which ten began at one moment, and 40 without times."""
    at = [DAY + timedelta(hours=min(n, 20)) for n in range(30)]
    records = [{"agent_type": "a", "name": f"dated {n}", "started_at": at[n]} for n in range(30)]
    records[10:10] = [{"agent_type": "a", "name": f"undated {n}"} for n in range(40)]
    bench.records.executions.create_many(records)
    return bench


@pytest.mark.parametrize("size", [1, 3, 11, 40])
def test_runs_without_times_come_behind_in_the_order_of_their_source(undated, size):
    """Frame, limit and pages agree: dated runs newest first, of one moment as written, then the undated as written."""
    expected = [f"dated {n}" for n in (*range(20, 30), *range(19, -1, -1))] + [f"undated {n}" for n in range(40)]

    assert undated.executions()["name"].to_list() == expected
    assert undated.executions(limit=size)["name"].to_list() == expected[:size]
    assert pl.concat(undated.pages("executions", size=size))["name"].to_list() == expected


def test_a_page_of_runs_is_read_from_an_index(undated):
    """The first page, one behind a dated run and one behind an undated run: none reads and sorts the others."""
    with undated.store.raw() as connection:
        connection.execute(
            "INSERT INTO agent_executions (agent_type, started_at)"
            " SELECT 'a', CASE WHEN n % 2 = 0 THEN now() - n * interval '1 s' END FROM generate_series(1, 4000) n"
        )
        connection.execute("ANALYZE agent_executions")

    after, n_rows = None, []
    for _ in range(200):
        query = undated.frames._query("executions", {"limit": 20, "columns": ["id"]})
        text = query.text(after=after, with_keys=True).as_string(None)
        with undated.store.raw() as connection:
            row = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {text}").fetchone()
        n_rows.append(sum(_rows_read(node) for node in _nodes(row[0][0]["Plan"])))
        _, after = undated.frames._page("executions", {"limit": 20, "columns": ["id"]}, after)

    assert max(n_rows) <= 60


def _nodes(plan):
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)


def _rows_read(node):
    """Rows that a scan took up, those that it threw away again included."""
    if "Relation Name" not in node:
        return 0
    return node["Actual Rows"] + node.get("Rows Removed by Filter", 0)


def test_pages_take_filters_and_a_limit(bench, history):
    """The limit is of all pages together."""
    filters = {"event_type": "message", "where": "step_number > 0", "columns": ["name"], "fields": {"f": "data.flag"}}
    pages = list(bench.pages("events", size=4, limit=10, **filters))

    assert [page.height for page in pages] == [4, 4, 2]
    assert_frame_equal(pl.concat(pages), bench.events(limit=10, **filters))
    assert list(bench.pages("events", size=4, limit=0)) == []
    assert [page.height for page in bench.pages("events", run=history.runs[6], size=4)] == [4, 2]


def test_a_row_written_meanwhile_shifts_no_page(bench):
    """A page starts behind the last row of the one before, not at a count."""
    run = bench.records.executions.create(agent_type="a")
    bench.records.events.create_many(
        {"execution_id": run.id, "step_number": n, "event_type": "log"} for n in range(0, 20, 2)
    )
    pages = bench.pages("events", size=5, columns=["step_number"])
    first = next(pages)["step_number"].to_list()
    bench.records.events.create(execution_id=run.id, step_number=1, event_type="log")

    assert first == [0, 2, 4, 6, 8]
    assert next(pages)["step_number"].to_list() == [10, 12, 14, 16, 18]


def test_pages_of_nothing_are_none(bench):
    """An empty store has no page."""
    assert [list(bench.pages(frame)) for frame in FRAMES] == [[]] * len(FRAMES)


@pytest.mark.parametrize("ask", ["pages", "scan"])
def test_an_unknown_frame_or_size_is_refused(bench, ask):
    """With the nearest that there is."""
    with pytest.raises(ConfigurationError, match=r"no frame 'event'\. Did you mean 'events'"):
        list(bench.pages("event")) if ask == "pages" else bench.scan("event")
    with pytest.raises(ConfigurationError, match="size=0 must be a whole number, 1 or more"):
        list(bench.pages("events", size=0)) if ask == "pages" else bench.scan("events", size=0)


@pytest.mark.parametrize("frame", FRAMES)
def test_a_lazy_frame_collected_is_the_frame(bench, history, frame):
    """Same rows, same dtypes, known before anything is read."""
    lazy = bench.scan(frame, size=7)

    assert dict(lazy.collect_schema()) == schema(frame)
    assert_frame_equal(lazy.collect(), getattr(bench, frame)())


@pytest.mark.parametrize(
    "ask",
    [
        lambda f: f.select("name", "severity"),
        lambda f: f.filter(pl.col("severity") == "error").select("step_number", "name"),
        lambda f: f.filter(pl.col("step_number") > 3, name="name 5"),
        lambda f: f.head(9),
        lambda f: f.head(9).filter(pl.col("step_number") > 3),
        lambda f: f.filter(pl.col("step_number") > 3).head(9),
        lambda f: f.slice(5, 9).select("id"),
        lambda f: f.filter(severity="error").select(pl.len()),
        lambda f: f.select(pl.len()),
        lambda f: f.group_by("event_type", maintain_order=True).agg(pl.col("duration_ms").sum()),
        lambda f: f.tail(4),
        lambda f: f.head(0),
        lambda f: f.filter(
            (pl.col("step_number") >= 3) & (pl.col("step_number") * 2 < 14) & (pl.lit("c") == pl.col("category"))
        ),
        lambda f: f.filter((pl.col("severity") == "error") | (pl.lit(2.0) < pl.col("duration_ms"))),
        lambda f: f.filter((pl.col("severity") == "error") | pl.col("name").str.ends_with("5")),
        lambda f: f.filter(pl.col("execution_id") == "no id", pl.col("data") == '{"a": 1}'),
        lambda f: f.filter(pl.col("name") == "it's \\ %s {x} \" -- "),
        lambda f: f.filter(pl.col("duration_ms") > float("nan")),
        lambda f: f.filter(pl.col("timestamp") > pl.datetime(2026, 11, 8, time_zone="UTC"), pl.col("name") != "name 1"),
        lambda f: f.filter(pl.col("name").map_batches(lambda n: n > "name 3", return_dtype=pl.Boolean)),
    ],
)
def test_a_lazy_query_answers_as_the_frame_does(bench, history, ask):
    """Projection, filter, head and their orders."""
    assert_frame_equal(ask(bench.scan("events", size=7)).collect(), ask(bench.events().lazy()).collect())
    assert_frame_equal(
        ask(bench.scan("events", size=7)).collect(engine="streaming"), ask(bench.events().lazy()).collect()
    )


def test_only_what_the_lazy_query_uses_is_read(history):
    """`head` stops the reading, unused columns are not in the SQL, comparisons are."""
    with workbench.connect(history.url) as counted:
        asked = []
        fetch = counted.frames.transport.fetch
        counted.frames.transport.fetch = lambda query, schema: (
            asked.append(query.as_string(None)) or fetch(query, schema)
        )
        counted.scan("events", size=10).select("name").head(15).collect()

        counted.scan("events", size=50).filter(pl.col("severity") == "error", pl.col("step_number") > 5).collect()

    assert len(asked) == 3
    assert not any("data" in text for text in asked[:2])
    assert '"severity" = \'error\' AND "step_number" > 5' in asked[2]


def test_filters_and_paths_of_a_lazy_frame_are_sql(bench, history):
    """The filters here reach the server; a path needs its dtype, for nothing has been read yet."""
    lazy = bench.scan(
        "events", run=history.runs[8], severity="error", fields={"tokens": ("data.usage.input_tokens", pl.Int64)}
    )

    assert lazy.collect_schema()["tokens"] == pl.Int64
    assert lazy.select("tokens").collect()["tokens"].to_list() == [400]
    assert bench.scan("events", limit=12, size=5).select(pl.len()).collect().item() == 12
    with pytest.raises(ConfigurationError, match="needs to know its dtypes"):
        bench.scan("events", fields={"tokens": "data.usage.input_tokens"})


def test_300_000_events_become_a_file_in_bounded_memory(bench, database_url, tmp_path):
    """A sink streams page by page: the process grows by far less than the rows weigh."""
    with bench.store.raw() as connection:
        connection.execute("SET LOCAL synchronous_commit = off")
        connection.execute("INSERT INTO agent_executions (agent_type) SELECT 'a' FROM generate_series(1, 300)")
        connection.execute(
            "INSERT INTO observability_events (execution_id, step_number, event_type, data)"
            " SELECT id, n, 'log', jsonb_build_object('text', repeat(md5(n::text || id::text), 24))"
            " FROM agent_executions, generate_series(0, 999) n"
        )
    script = """
import sys
import polars as pl, workbench

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))

url, path = sys.argv[1:]
with workbench.connect(url) as bench:
    bench.scan("events", size=100).head(200).sink_parquet(path, row_group_size=100)
    before = peak()
    # Else Polars gathers 262,144 rows before it writes.
    bench.scan("events", size=5_000).sink_parquet(path, row_group_size=5_000)
    print(int(peak() - before))
"""
    path = tmp_path / "events.parquet"
    done = subprocess.run(
        [sys.executable, "-c", script, database_url, str(path)], capture_output=True, text=True, timeout=300
    )

    assert done.returncode == 0, done.stderr
    written = pl.scan_parquet(path).select(pl.len(), pl.col("data").str.len_bytes().sum()).collect()
    assert written.item(0, 0) == 300_000
    assert written.item(0, 1) > 230_000_000  # bytes of JSON alone
    assert int(done.stdout) < 160
