"""``%wb`` and ``%%wbsql`` in a real IPython shell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.testing.globalipapp import start_ipython

import workbench
from workbench.widgets import Dashboard, DiffView, ExecutionBrowser, Timeline


@pytest.fixture(scope="module")
def interactive() -> InteractiveShell:
    """The one IPython shell a process can have."""
    shell = start_ipython() or InteractiveShell.instance()
    shell.run_line_magic("load_ext", "workbench")
    return shell


@pytest.fixture
def shell(interactive: InteractiveShell, bench: workbench.Workbench) -> Iterator[InteractiveShell]:
    """A shell whose `bench` is this test's own workbench."""
    interactive.push({"bench": bench})
    yield interactive
    interactive.user_ns.pop("bench", None)


@pytest.fixture
def runs(bench: workbench.Workbench) -> list[str]:
    """A failed and a good run, in this order."""
    ids = []
    for good in (False, True):
        with bench.record(agent_type="clerk", task="Cancel W1", name=f"run {good}") as recording:
            recording.event("message", role="user", text="Cancel W1.")
            if good:
                with recording.tool("cancel", {"order": "W1"}) as call:
                    call.result = "done"
            recording.step({"cancelled": good})
            recording.finish(status="completed" if good else "failed", score=float(good))
        ids.append(str(recording.id))
    return ids


def wb(shell: InteractiveShell, line: str) -> Any:
    return shell.run_line_magic("wb", line)


def completions(shell: InteractiveShell, text: str) -> list[str]:
    with provisionalcompleter():
        return [found.text for found in shell.Completer.completions(text, len(text))]


def test_verbs_return_frames(shell: InteractiveShell, runs: list[str]):
    """Frames come back as values, filtered by options."""
    assert wb(shell, "executions")["id"].to_list() == runs[::-1]
    assert wb(shell, "runs --status failed --limit 5")["id"].to_list() == runs[:1]
    assert wb(shell, f"events {runs[1]} --event-type=tool_call")["name"].to_list() == ["cancel"]
    assert wb(shell, f"snapshots {runs[0]}")["state"].str.json_path_match("$.cancelled").to_list() == ["false"]
    assert wb(shell, f"state {runs[1]} 2") == {"cancelled": True}
    assert wb(shell, "sql select count(*) as n from agent_executions where status = 'failed'")["n"].to_list() == [1]


def test_verbs_return_widgets(shell: InteractiveShell, runs: list[str]):
    """Widgets come back as values."""
    assert isinstance(wb(shell, f"timeline {runs[0]}"), Timeline)
    assert isinstance(wb(shell, f"diff {runs[0]} {runs[1]}"), DiffView)
    assert isinstance(wb(shell, "browse --status failed"), ExecutionBrowser)
    assert isinstance(wb(shell, "dashboard"), Dashboard)


def test_a_variable_may_name_a_run(shell: InteractiveShell, bench: workbench.Workbench, runs: list[str]):
    """Where a run is asked for, a variable that holds its id or record does."""
    shell.push({"mine": runs[1], "record": bench.execution(runs[0])})

    assert len(wb(shell, "events mine")) == 3
    assert len(wb(shell, "events record")) == 1


def test_without_a_bench_one_is_opened(
    interactive: InteractiveShell, database_url: str, monkeypatch: pytest.MonkeyPatch
):
    """The first question opens a workbench, by the settings of the environment, and names it `bench`."""
    monkeypatch.setenv("WORKBENCH_DATABASE_URL", database_url)

    assert wb(interactive, "executions").is_empty()
    assert isinstance(interactive.user_ns["bench"], workbench.Workbench)
    wb(interactive, "close")
    assert "bench" not in interactive.user_ns


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "needs a verb"),
        ("bogus", "no verb 'bogus'"),
        ("executions --colour red", "no option --colour. It has: --status"),
        ("executions --status", "--status needs a value"),
        ("events", "wrong number of words"),
        ("events 0190abcd", "No execution '0190abcd'"),
        ("executions --status 'x", "No closing quotation"),
    ],
)
def test_mistakes_are_one_line(shell: InteractiveShell, line: str, said: str):
    """A mistake is a usage error, which IPython shows as one line without a traceback."""
    with pytest.raises(UsageError, match=said.replace("(", r"\(")):
        wb(shell, line)


def test_wbsql_returns_or_names_a_frame(shell: InteractiveShell, runs: list[str]):
    """`%%wbsql` returns the frame; with `-o` it keeps it under a name instead."""
    query = "SELECT name FROM agent_executions\nORDER BY name"

    shown = shell.run_cell_magic("wbsql", "", query)
    kept = shell.run_cell_magic("wbsql", "-o found --limit 1", query)

    assert shown["name"].to_list() == ["run False", "run True"]
    assert kept is None
    assert shell.user_ns["found"]["name"].to_list() == ["run False"]


def test_wbsql_is_read_only(shell: InteractiveShell, runs: list[str]):
    """A cell of SQL cannot write."""
    with pytest.raises(UsageError):
        shell.run_cell_magic("wbsql", "", "WITH x AS (DELETE FROM agent_executions RETURNING 1) SELECT * FROM x")

    assert len(wb(shell, "executions")) == 2


def test_wbsql_over_frames(shell: InteractiveShell):
    """With `--duckdb` the notebook's own frames are the tables."""
    shell.push({"prices": pl.DataFrame({"item": ["a", "b"], "usd": [1.0, 2.5]})})

    found = shell.run_cell_magic("wbsql", "--duckdb", "SELECT sum(usd) AS total FROM prices")

    assert found.to_dicts() == [{"total": 3.5}]


def test_completion(shell: InteractiveShell, runs: list[str]):
    """TAB completes verbs, options, and runs of the open workbench."""
    common = runs[0][:8]

    assert "timeline" in completions(shell, "%wb ti")
    assert "--status" in completions(shell, "%wb executions --st")
    assert set(runs) <= set(completions(shell, f"%wb timeline {common}"))
    assert set(runs) <= set(completions(shell, f"%wb diff {runs[0]} {common}"))


def test_filters_are_completed(shell: InteractiveShell, runs: list[str], bench: workbench.Workbench):
    """TAB inside a call of a frame offers the filters it takes."""
    shell.user_ns["bench"] = bench

    assert "status=" in completions(shell, "bench.executions(sta")
    assert "event_type=" in completions(shell, "bench.events(event_t")


def test_completion_opens_no_connection(interactive: InteractiveShell):
    """Without a workbench TAB offers no runs, and opens nothing."""
    interactive.user_ns.pop("bench", None)

    assert completions(interactive, "%wb timeline 01") == []
    assert "bench" not in interactive.user_ns


def test_report(shell: InteractiveShell, runs: list[str], tmp_path: Path):
    """`%wb report` writes one file, from inside a running notebook."""
    path = wb(shell, f"report {runs[0]} -o {tmp_path / 'run.html'}")

    assert "run False" in path.read_text("utf-8")
