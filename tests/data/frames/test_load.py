"""Frames of the store's rows: columns, order, filters, counts, states, ids."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson
import polars as pl
import pytest

import workbench
from workbench.data.frames.columns import columns, schema
from workbench.errors import ConfigurationError, NotFoundError, QueryError

DAY = datetime(2026, 11, 1, tzinfo=UTC)
FRAMES = sorted(columns)


@pytest.mark.parametrize("frame", FRAMES)
def test_an_empty_frame_keeps_its_columns_and_dtypes(bench, frame):
    """An empty store answers with the documented schema."""
    empty = getattr(bench, frame)()

    assert empty.height == 0
    assert dict(empty.schema) == schema(frame)


@pytest.mark.parametrize("frame", FRAMES)
def test_a_full_frame_has_the_documented_schema(bench, history, frame):
    """What `workbench.columns` says is what arrives, whatever is null."""
    assert dict(getattr(bench, frame)().schema) == schema(frame)


def test_every_column_says_what_it_means():
    """Name, dtype and meaning are given once, and no frame has a column twice."""
    for frame in FRAMES:
        assert len({column.name for column in columns[frame]}) == len(columns[frame])
        assert all(column.meaning for column in columns[frame])


def test_runs_come_newest_first_with_their_counts(bench, history):
    """Runs without times stand behind the dated ones; counts are of the run's own rows; unknown is null, not 0."""
    runs = bench.executions()

    assert runs["name"].to_list() == ["with states", *(f"run {n}" for n in (10, 8, 7, 6, 5, 4, 3, 2, 1, 0, 9, 11))]
    by_name = {row["name"]: row for row in runs.to_dicts()}
    assert [by_name[f"run {n}"]["n_events"] for n in range(12)] == list(range(12))
    assert by_name["run 11"]["n_errors"] == 2
    assert (by_name["with states"]["n_snapshots"], by_name["run 3"]["n_snapshots"]) == (40, 0)
    assert (by_name["run 4"]["input_tokens"], by_name["run 5"]["input_tokens"]) == (None, 50)
    assert (by_name["run 3"]["cost_usd"], by_name["run 2"]["cost_usd"]) == (None, 0.02)
    assert (by_name["run 4"]["task"], by_name["run 10"]["task"]) == ("task 1", None)
    assert by_name["run 2"]["started_at"] == DAY + timedelta(days=2)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"status": "failed", "agent_type": "coder"}, {1, 4, 7, 10}),
        ({"status": ["failed", "completed"], "until": "2026-11-06"}, {0, 1, 3, 4}),
        ({"agent_type": 'o\'brien \\ "q" %s {x}'}, {2, 5, 8, 11}),
        ({"since": DAY + timedelta(days=6), "until": "2026-11-09T00:00:00+00:00"}, {6, 7}),
        ({"task": "task 1"}, {1, 4, 7}),
        ({"task": ["task 1", "task 2"], "where": "score > 0.45"}, {5, 7, 8}),
        ({"source": "nobody"}, set()),
        ({"model": "m", "where": "n_events = 3 OR n_events = 4 -- and a comment"}, {4}),
        ({"where": "metadata->>'trial' = '7'"}, {7}),
        ({"where": "input_tokens BETWEEN 60 AND 70 AND task IS NOT NULL"}, {6, 7}),
        ({"where": "cost_usd >= 0.06", "limit": 2, "agent_type": ("coder", "planner")}, {6, 10}),
    ],
)
def test_filters_choose_runs(bench, history, filters, expected):
    """Each filter alone and together; `where` speaks of the columns of the frame."""
    found = bench.executions(**filters)["name"].to_list()

    assert set(found) == {f"run {n}" for n in expected}


def test_a_task_is_chosen_by_id_too(bench, history):
    """An id and a title do the same."""
    by_id = bench.executions(task=str(history.tasks[1].id))

    assert by_id.equals(bench.executions(task="task 1"))


def test_ids_choose_rows(bench, history):
    """Records, UUIDs and text are ids."""
    first, second = history.runs[:2]

    assert bench.executions(ids=[first, str(second.id)]).height == 2
    assert bench.executions(ids=[]).height == 0


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"status": "faild"}, "Did you mean 'failed'"),
        ({"status": ["failed", "odd"]}, "none of pending, running, completed, failed, cancelled"),
        ({"since": "yesterday"}, "no time. Give '7d'"),
        ({"since": datetime(2026, 1, 1)}, "no time zone"),
        ({"limit": -1}, "whole number"),
        ({"ids": ["7"]}, "no id"),
        ({"columns": ["agent"]}, "no column 'agent'. Did you mean 'agent_type'"),
        ({"agent_type": "a\0b"}, "NUL"),
    ],
)
def test_a_wrong_filter_says_what_is_allowed(bench, filters, said):
    """The value, what is allowed, and the nearest that is."""
    with pytest.raises(ConfigurationError, match=said):
        bench.executions(**filters)


def test_an_unknown_filter_is_a_type_error_with_a_hint(bench):
    """As any unknown keyword, but with the ones there are."""
    with pytest.raises(TypeError, match=r"no filter 'agent'\. Did you mean 'agent_type'"):
        bench.executions(agent="planner")
    with pytest.raises(TypeError, match="no filter 'statsu'"):
        bench.tasks(statsu="pending")


@pytest.mark.parametrize("where", ["statsu = 'failed'", "score >", "true) OR (true", "1/0 = 1", "x; DELETE FROM tasks"])
def test_a_condition_that_the_server_refuses_is_one_clear_error(bench, history, where):
    """Its reason arrives, without the SQL around it; nothing is changed."""
    if where == "true) OR (true":
        assert bench.executions(where=where).height == 13  # closed on its own: no more than a condition
        return
    with pytest.raises(QueryError) as caught:
        bench.executions(where=where)

    assert "SELECT" not in str(caught.value)
    assert bench.tasks().height == 3


def test_a_misspelt_column_in_a_condition_gets_the_server_s_hint(bench, history):
    """Postgres knows the column that was meant."""
    with pytest.raises(QueryError, match=r"Perhaps you meant to reference the column .x\.score"):
        bench.executions(where="scor > 1")


def test_events_come_in_step_order_per_run(bench, history):
    """Of all runs: by run, then step; of one: by step. Filters are as of runs."""
    everything = bench.events()
    one = bench.events(history.runs[7])

    assert everything.height == 66 + 40
    assert everything.sort("execution_id", "step_number").equals(everything)
    assert one["step_number"].to_list() == list(range(7))
    assert bench.events([history.runs[1], history.runs[2].id]).height == 3
    assert bench.events(severity="error").height == 9
    assert bench.events(history.runs[11], event_type=["tool_call"], limit=2)["step_number"].to_list() == [1, 4]
    assert bench.events(history.runs[11], since="2026-11-12T00:00:05Z")["step_number"].to_list() == [5, 6, 7, 8, 9, 10]
    assert bench.events(category="c", where="data->>'text' LIKE '% 3'").height == 8


def test_only_the_columns_asked_for_are_read(bench, history):
    """In the order asked for; what ordering needs is not shown."""
    events = bench.events(columns=["duration_ms", "event_type"])

    assert events.columns == ["duration_ms", "event_type"]
    assert events.equals(bench.events().select("duration_ms", "event_type"))
    assert bench.executions(columns=["n_errors"], limit=3).columns == ["n_errors"]


def test_states_are_rebuilt_whole(bench, history):
    """Most rows hold a patch; the frame holds the state of each step, whatever part of a run is asked for."""
    whole = bench.snapshots(history.recorded)
    part = bench.snapshots(history.recorded, where="step_number BETWEEN 17 AND 19")
    kinds = bench.sql("SELECT keyframe_step = step_number AS whole, count(*) FROM execution_snapshots GROUP BY 1")

    assert set(kinds["whole"]) == {True, False}
    expected = [{"n": n, "text": "x" * 3_000, "seen": list(range(n))} for n in range(40)]
    assert [orjson.loads(state) for state in whole["state"]] == expected
    assert [orjson.loads(state)["n"] for state in part["state"]] == [17, 18, 19]
    assert [bench.state(history.recorded, n) for n in (0, 20, 39)] == [expected[n] for n in (0, 20, 39)]


def test_states_can_be_left_out(bench, history):
    """The list of snapshots alone reads no state."""
    listed = bench.snapshots(history.recorded, states=False)

    assert listed.columns == [name for name in schema("snapshots") if name != "state"]
    assert listed.height == 40
    assert bench.snapshots(history.recorded, columns=["description", "state"], limit=2).columns == [
        "description",
        "state",
    ]


def test_a_condition_on_states_is_refused(bench, history):
    """It would be asked of patches, and answer wrongly."""
    with pytest.raises(ConfigurationError, match=r"stored as patches.*fields="):
        bench.snapshots(history.recorded, where="state->>'n' = '3'")
    assert bench.snapshots(history.recorded, where="description = 'the state' OR step_number = 3").height == 1


def test_environments_and_tasks_have_filters(bench, history):
    """Equality, booleans and time."""
    assert bench.environments(is_active=True)["name"].to_list() == ["prod"]
    assert bench.environments(is_active=False)["config"].to_list() == ['{"a": 1}']
    assert bench.tasks(status="pending", since="1h", limit=2)["title"].to_list() == ["task 2", "task 1"]


def test_a_run_is_found_by_any_unambiguous_part_of_its_id(bench, history):
    """Record, UUID, text of any case, with and without dashes, four characters or more."""
    run = history.runs[3]
    whole = str(run.id)

    for given in (run, run.id, whole, whole.upper(), whole.replace("-", ""), f" {whole} "):
        assert bench.frames.run_id(given) == whole
    assert bench.execution(whole[:-1]).id == run.id
    with pytest.raises(NotFoundError, match="executions or more begin with"):
        bench.execution(whole[:6])  # time-ordered ids of one minute begin alike
    with pytest.raises(NotFoundError, match="first 4 characters or more"):
        bench.execution(whole[:3])
    with pytest.raises(NotFoundError, match="No execution 'ffff0000'"):
        bench.execution("ffff0000")
    with pytest.raises(NotFoundError, match="Did you mean"):
        bench.execution(whole[:-1] + ("0" if whole[-1] != "0" else "1"))
    with pytest.raises(NotFoundError, match="No execution '%'"):
        bench.events("%")


def test_a_read_only_workbench_reads_frames(bench, history):
    """Reading needs no right to write."""
    with workbench.connect(history.url, read_only=True) as reader:
        assert reader.executions().equals(bench.executions())


def test_many_runs_are_counted_fast(bench):
    """Counts are looked up for the chosen runs only: twenty of many runs cost next to nothing."""
    with bench.store.raw() as connection:
        connection.execute(
            "INSERT INTO agent_executions (agent_type, started_at)"
            " SELECT 'a', now() - n * interval '1 s' FROM generate_series(1, 2000) n"
        )
        connection.execute(
            "INSERT INTO observability_events (execution_id, step_number, event_type, severity)"
            " SELECT id, n, 'log', 'error' FROM agent_executions, generate_series(1, 20) n"
        )
        connection.execute("ANALYZE")

    def blocks(given):
        query = bench.frames._query("executions", given).text().as_string(None)
        with bench.store.raw() as connection:
            plan = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}").fetchone()[0][0]["Plan"]
        return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]

    assert bench.executions()["n_events"].unique().to_list() == [20]
    assert blocks({"limit": 20}) * 20 < blocks({})


@pytest.mark.parametrize(("given", "ago"), [("7d", 7 * 24), ("24h", 24), ("90min", 1.5), ("1.5 w", 252), ("30m", 0.5)])
def test_a_time_may_be_given_as_how_long_ago(given, ago):
    """Days, hours, minutes, weeks."""
    from workbench.data.frames.filters import moment

    now = datetime(2026, 11, 21, tzinfo=UTC)
    assert moment(given, name="since", now=now) == now - timedelta(hours=ago)


def test_a_frame_is_plain_polars(bench, history):
    """What comes back joins and groups like any other frame."""
    joined = bench.events().join(bench.executions(), left_on="execution_id", right_on="id", suffix="_run")

    assert joined.group_by("agent_type").agg(pl.len()).height == 4
