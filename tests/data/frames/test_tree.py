"""The frame of a run and all runs below it, and the filter for those right below."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from workbench.data.frames.tree import schema
from workbench.errors import NotFoundError


def run_below(
    bench: Any, name: str, parent: str | None = None, at_step: int | None = None, link: str = "spawned"
) -> str:
    """A run with three steps that hangs on a step of another."""
    own = str(uuid.uuid4())
    with bench.store.raw() as connection:
        connection.execute(
            "INSERT INTO workbench.agent_executions"
            " (id, agent_type, name, parent_execution_id, parent_event_id, metadata) VALUES (%s, 'a', %s, %s,"
            " (SELECT id FROM workbench.observability_events WHERE execution_id = %s"
            " AND step_number = %s), jsonb_build_object('link', %s::text))",
            [own, name, parent, parent, at_step, link],
        )
        connection.execute(
            "INSERT INTO workbench.observability_events (execution_id, step_number, event_type)"
            " SELECT %s, n, 'x' FROM generate_series(0, 2) n",
            [own],
        )
    return own


def test_the_tree_of_a_run(bench):
    """Each run stands behind its parent, brothers by the step they hang on, with link and step."""
    top = run_below(bench, "top")
    late = run_below(bench, "late", top, 2, "forked")
    early = run_below(bench, "early", top, 0)
    run_below(bench, "inner", late, 1)
    run_below(bench, "beside")

    found = bench.tree(top)
    assert found.schema == schema
    assert found.select("depth", "name", "link", "parent_step").rows() == [
        (0, "top", "spawned", None),
        (1, "early", "spawned", 0),
        (1, "late", "forked", 2),
        (2, "inner", "spawned", 1),
    ]
    assert bench.tree(early)["name"].to_list() == ["early"]


def test_the_runs_right_below(bench):
    """executions(parent=…) takes one run or several."""
    top = run_below(bench, "top")
    child = run_below(bench, "child", top, 0)
    run_below(bench, "grandchild", child, 0)

    assert bench.executions(parent=top)["name"].to_list() == ["child"]
    assert sorted(bench.executions(parent=[top, child])["name"]) == ["child", "grandchild"]
    assert bench.executions(parent=top)["link"].to_list() == ["spawned"]


def test_runs_in_a_circle_are_listed_once(bench):
    """Two runs that name each other as parent are each there once, from either end."""
    a = run_below(bench, "a")
    b = run_below(bench, "b", a, 0)
    with bench.store.raw() as connection:
        connection.execute("UPDATE workbench.agent_executions SET parent_execution_id = %s WHERE id = %s", [b, a])

    assert bench.tree(a).select("depth", "name").rows() == [(0, "a"), (1, "b")]
    assert bench.tree(b).select("depth", "name").rows() == [(0, "b"), (1, "a")]


def test_a_run_that_is_not_there(bench):
    """An unknown run is an error that says so."""
    with pytest.raises(NotFoundError, match="No execution"):
        bench.tree(str(uuid.uuid4()))
