"""`state`, `diff` and `sql`: what they answer on real runs."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from answer import Answer

import workbench


def test_no_runs(ask: Callable[..., Answer], runs: list[str], bench: workbench.Workbench):
    """Filters that leave nothing are told from a store that holds nothing."""
    assert ask("executions", "--task", "nope").err == "No runs match.\n"
    for run in runs:
        bench.records.executions.delete(run)
    assert ask("executions").err == "No runs found. Bring some in with: workbench ingest PATH…\n"


def test_state_behind_the_last_step(ask: Callable[..., Answer], runs: list[str]):
    """A step that the run does not have is an error that says which it has."""
    last = ask("events", runs[0], "--json").json[-1]["step_number"]

    assert ask("state", runs[0], str(last)).json == {"cancelled": False}
    answer = ask("state", runs[0], "9999")
    assert (answer.code, answer.out) == (1, "")
    assert f"has no step 9999; its steps are 0 to {last}." in answer.err


def test_tree_of_a_run(ask: Callable[..., Answer], runs: list[str], bench: workbench.Workbench):
    """`tree` lists a run and those below it, further in; `executions --parent` those right below."""
    with bench.store.raw() as connection:
        connection.execute(
            "UPDATE workbench.agent_executions SET parent_execution_id = %s, parent_event_id = (SELECT id FROM"
            " workbench.observability_events WHERE execution_id = %s AND step_number = 1) WHERE id = %s",
            [runs[0], runs[0], runs[1]],
        )

    found = ask("tree", runs[0], "--json").json
    assert [(run["depth"], run["id"], run["parent_step"]) for run in found] == [(0, runs[0], None), (1, runs[1], 1)]
    lines = ask("tree", runs[0]).out.splitlines()
    assert "  run True" in lines[-1]
    assert "spawned" in lines[-1]
    assert [run["id"] for run in ask("executions", "--parent", runs[0], "--json").json] == [runs[1]]


def test_diff_names_its_runs(ask: Callable[..., Answer], runs: list[str], bench: workbench.Workbench):
    """`diff` says which run is A and which B: id, status, name."""
    found = ask("diff", *runs, "--json").json
    first, second = ask("diff", *runs).out.splitlines()[:2]

    for name, run, status in zip("ab", runs, ("failed", "completed"), strict=True):
        assert found[name] == {"id": run, "name": bench.execution(run).name, "status": status}
    assert first.startswith(f"A  {runs[0]}  failed  run False")
    assert second.startswith(f"B  {runs[1]}  completed  run True")


def test_diff_has_the_patch_between_the_last_states(ask: Callable[..., Answer], runs: list[str]):
    """`state_patch` leads from the state that A ends with to B's; for people, the paths are named."""
    assert ask("diff", *runs, "--json").json["state_patch"] == [{"op": "replace", "path": "/cancelled", "value": True}]
    assert ask("diff", runs[1], runs[1], "--json").json["state_patch"] == []
    assert "The states that they end with differ at /cancelled; " in ask("diff", *runs).out
    assert "The states that they end with are equal." in ask("diff", runs[1], runs[1]).out


def test_diff_of_the_states_at_a_step(ask: Callable[..., Answer], bench: workbench.Workbench):
    """With `--step` the states after that step of A are compared; a step that A lacks is an error."""
    ids = []
    for one in (1, 2):
        with bench.record(agent_type="clerk") as run:
            for n in range(2):
                run.event("message", role="user", text=f"step {n}")
                run.step({"n": one * n})
        ids.append(str(run.id))

    assert ask("diff", *ids, "--step", "0", "--json").json["state_patch"] == []
    assert ask("diff", *ids, "--json").json["state_patch"] == [{"op": "replace", "path": "/n", "value": 2}]
    answer = ask("diff", *ids, "--step", "99")
    assert answer.code == 1
    assert "A has no step 99; its steps are 0 to " in answer.err


def test_diff_of_runs_without_states(ask: Callable[..., Answer], bench: workbench.Workbench):
    """Where a run has no states there is no patch, which is not an empty one."""
    ids = [str(bench.records.executions.create(agent_type="clerk", status="completed").id) for _ in range(2)]

    assert ask("diff", *ids, "--json").json["state_patch"] is None
    assert "states" not in ask("diff", *ids).out


JSON_AND_TEXT = """SELECT '{"a": [1]}'::jsonb AS b, '[2]'::json AS j, '{}' AS t, '[]'::text AS data, null::jsonb AS n,
    '"x"'::jsonb AS s, 'null'::jsonb AS z"""


def test_sql_gives_json_columns_as_documents(ask: Callable[..., Answer]):
    """The server's type decides: json and jsonb are documents, a text that looks like JSON stays text."""
    assert ask("sql", JSON_AND_TEXT, "--json").json == [
        {"b": {"a": [1]}, "j": [2], "t": "{}", "data": "[]", "n": None, "s": "x", "z": None}
    ]


def test_sql_takes_values(ask: Callable[..., Answer], runs: list[str]):
    """`--param` gives $1, $2, … their values; the server takes each for the type that its place tells."""
    query = "SELECT name, $4 AS said FROM agent_executions WHERE status = $1 AND id = $2 AND 0 > $3::int LIMIT $5"
    hostile = "' OR true --"
    values = ["failed", runs[0], "-1", hostile, "10"]

    answer = ask("sql", query, *(word for value in values for word in ("--param", value)), "--json")

    assert [row["said"] for row in answer.json] == [hostile]
    assert ask("sql", "SELECT 1 AS n WHERE $1 = 'x'", "--param", hostile, "--json").json == []


def test_sql_without_its_values(ask: Callable[..., Answer]):
    """A query with $1 and no value is told how the shell gives one."""
    answer = ask("sql", "SELECT $1")

    assert answer.code == 1
    assert "Give --param one value for each of $1, $2, … in the query: --param failed --param 10." in answer.err


def test_sql_gives_json_of_two_columns_of_one_name(ask: Callable[..., Answer]):
    """Columns that had to be renamed are told apart, too."""
    assert ask("sql", "SELECT '{}' AS x, '{}'::jsonb AS x", "--json").json == [{"x": "{}", "x_1": {}}]


def test_sql_explains_as_json(ask: Callable[..., Answer]):
    """A plan in JSON is JSON for people, and a document with `--json`."""
    plan = ask("sql", "EXPLAIN (FORMAT JSON) SELECT 1", "--json").json[0]["QUERY PLAN"]

    assert plan[0]["Plan"]["Node Type"] == "Result"


@pytest.mark.parametrize("query", ["SELECT metadata FROM agent_executions", "TABLE agent_executions"])
def test_sql_gives_stored_json_as_documents(ask: Callable[..., Answer], runs: list[str], query: str):
    """What the tables hold as jsonb comes as objects."""
    assert all(isinstance(row["metadata"], dict) for row in ask("sql", query, "--json").json)


@pytest.mark.parametrize(("group", "noun"), [("tasks", "a task"), ("environments", "an environment")])
def test_help_has_the_right_article(ask: Callable[..., Answer], group: str, noun: str):
    """The help of records says "a task" and "an environment"."""
    said = ask(group, "--help").out

    assert [f"Create {noun}." in said, f"fields of {noun}." in said, f"Delete {noun}." in said] == [True] * 3


def test_find_lists_the_steps_that_match(ask, runs):
    """`find` reads a predicate as in Python and lists the steps, as a table and as JSON."""
    table = ask("find", 'event("tool_call", name="cancel_order")')
    listed = ask("find", 'state("cancelled") == True', "--first", "--json")

    assert table.code == 0
    assert len(table.out.splitlines()) == 2
    assert "cancel_order" in table.out
    (row,) = json.loads(listed.out)
    assert (row["execution_id"], row["matched"]) == (runs[1], 'state("cancelled") = true')


def test_find_says_what_is_wrong(ask):
    """A wrong predicate ends with code 2 and what to write; it is read, never run."""
    wrong = ask("find", "event('tool') and event('message')")
    hostile = ask("find", "__import__('os').getcwd()")

    assert (wrong.code, hostile.code) == (2, 2)
    assert "&, | and ~" in wrong.err
    assert "__import__" in hostile.err
