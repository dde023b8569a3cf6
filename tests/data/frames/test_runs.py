"""The ways to name runs: ids, parts of ids, records, and the frames that runs are picked from."""

from __future__ import annotations

import polars as pl
import pytest

from workbench.errors import ConfigurationError, NotFoundError


@pytest.fixture
def two(bench, history):
    """Runs 3 and 5 as a frame, in this order."""
    ids = [str(history.runs[n].id) for n in (3, 5)]
    return bench.executions(ids=ids).sort("name")


def test_runs_are_named_by_what_they_are_picked_from(bench, history, two):
    """A frame of runs, its ids as a series or list, a frame of events: the events of all these runs."""
    expected = bench.events(two["id"].to_list())

    assert expected["execution_id"].unique(maintain_order=True).to_list() == sorted(two["id"])
    for given in (two, two.lazy(), two["id"], two.select("id"), expected, [history.runs[5], two["id"][0][:-1]]):
        assert bench.events(given).equals(expected)
    assert bench.snapshots(two).is_empty()
    assert bench.snapshots(bench.executions(agent_type="recorder")).height == 40
    assert [page.height for page in bench.pages("events", two, size=6)] == [6, 2]


def test_no_runs_have_no_events(bench, history, two):
    """Nothing selected in a browser is an empty frame with its columns, not the events of all."""
    assert bench.events(two.clear()).equals(bench.events(limit=0))
    assert bench.snapshots(two["id"].clear()).is_empty()


def test_one_run_may_be_a_row(bench, history, two):
    """Where one run is needed, a frame, series or record of one is it."""
    run = history.runs[3]
    row = two.head(1)

    for given in (row, row.lazy(), row["id"], row.row(0, named=True), [run], bench.events(run)):
        assert bench.execution(given).id == run.id
    diff = bench.compare(row, two.tail(1))
    assert [title[:5] for title in diff.titles or ()] == ["run 3", "run 5"]


@pytest.mark.parametrize(
    ("pick", "said"),
    [
        (lambda two: two, "this DataFrame of 2 rows names 2"),
        (lambda two: two.clear(), "this DataFrame of 0 rows names none"),
        (lambda two: two["id"], "this Series of 2 rows names 2"),
        (lambda two: two["id"].to_list(), "this list names 2"),
        (lambda two: [], "this list names none"),
    ],
)
def test_where_one_run_is_needed_others_are_counted(bench, history, two, pick, said):
    """The error says how many there are and how to give one."""
    with pytest.raises(ConfigurationError, match=rf"One run is needed, and {said}\. Give one, like runs\['id'\]\[0\]"):
        bench.execution(pick(two))
    with pytest.raises(ConfigurationError, match="One run is needed"):
        bench.compare(two.head(1), pick(two))


def test_a_frame_that_names_no_run_is_refused(bench, history, two):
    """Its columns are listed, and the run that is not there is named."""
    with pytest.raises(ConfigurationError, match="no column 'id' to name its runs by; it has: name, status"):
        bench.events(two.select("name", "status"))
    with pytest.raises(NotFoundError, match="No execution '0000"):
        bench.events(pl.Series([two["id"][0], "00000000-0000-7000-8000-000000000000"]))
