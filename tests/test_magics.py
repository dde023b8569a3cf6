"""``%wb`` and ``%%wbsql`` in a real IPython shell."""

from __future__ import annotations

import inspect
import re
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
from workbench.magics import WorkbenchMagics
from workbench.magics.verbs import VERBS
from workbench.widgets import Dashboard, DiffView, ExecutionBrowser, ReplayPlayer, Timeline


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
    assert isinstance(wb(shell, f"replay {runs[0]}"), ReplayPlayer)
    assert wb(shell, f"replay {runs[1]} 2").step_number == 2
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
        ("bogus", "no verb 'bogus'"),
        ("help bogus", "no verb 'bogus'"),
        ("executions --colour red", "no option --colour. It has: --status"),
        ("executions --status", "--status needs a value"),
        ("executions limit=3", "options are written --limit 3, not limit=3. Usage: %wb executions [--status …]"),
        ("executions colour=red", "%wb executions has no use for 'colour=red'. Usage: %wb executions [--status …]"),
        ("executions --limit x", "--limit is 'x'; it must be a whole number"),
        ("events", "%wb events needs RUN. Usage: %wb events RUN [--event-type …] [--severity …]"),
        ("state 0190abcd x", "STEP is 'x'; it must be a whole number"),
        ("diff 0190abcd", "%wb diff needs RUN_B. Usage: %wb diff RUN_A RUN_B"),
        ("diff a b c", "%wb diff has no use for 'c'. Usage: %wb diff RUN_A RUN_B"),
        ("ingest", "%wb ingest needs PATH…. Usage: %wb ingest PATH… [--format …]"),
        ("sql", "%wb sql needs SELECT …. Usage: %wb sql SELECT …"),
        ("events 0190abcd", "No execution '0190abcd'"),
        ("executions --status 'x", "No closing quotation"),
    ],
)
def test_mistakes_are_one_line(shell: InteractiveShell, line: str, said: str):
    """A mistake is a usage error, which IPython shows as one line without a traceback."""
    with pytest.raises(UsageError, match=re.escape(said)):
        wb(shell, line)


def test_a_syntax_error_is_of_the_users_own_text(shell: InteractiveShell):
    """The place of a syntax error in `%%wbsql` is one in the cell."""
    with pytest.raises(UsageError, match=r"syntax error at end of input\nline 2: from\n {12}\^"):
        shell.run_cell_magic("wbsql", "", "select nonsense\nfrom\n")


def test_help_lists_the_verbs(interactive: InteractiveShell, capsys: pytest.CaptureFixture[str]):
    """`%wb` alone, `%wb help` and `%wb?` give each verb one line; `%wb help VERB` says how that one is used."""
    interactive.user_ns.pop("bench", None)

    assert wb(interactive, "") is None
    listed = capsys.readouterr().out
    wb(interactive, "help")
    assert capsys.readouterr().out == listed
    assert listed.strip() in (WorkbenchMagics.wb.__doc__ or "")
    assert [line.split()[1] for line in listed.splitlines()] == list(VERBS)
    wb(interactive, "help runs")
    assert capsys.readouterr().out.startswith("%wb executions [--status …] [--agent-type …]")
    assert "bench" not in interactive.user_ns


def test_every_verb_can_be_asked():
    """No verb is listed without being there, and no option without the method knowing it."""
    for name in {*VERBS} - {"connect"}:
        assert callable(getattr(WorkbenchMagics, f"_{name}"))
    for name in ("executions", "events", "snapshots", "tasks", "environments"):
        assert set(VERBS[name].options) <= set(inspect.signature(getattr(workbench.Workbench, name)).parameters)


def test_records_and_health(shell: InteractiveShell, runs: list[str], bench: workbench.Workbench):
    """Tasks and environments come as frames; health is called doctor, too."""
    bench.records.environments.create(name="prod", config={})

    assert wb(shell, "tasks --limit 5")["title"].to_list() == ["Cancel W1"]
    assert wb(shell, "environments --name prod")["name"].to_list() == ["prod"]
    assert wb(shell, "doctor").ok == wb(shell, "health").ok


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


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("%wb executions --status ", ["pending", "running", "completed", "failed", "cancelled"]),
        ("%wb runs --status fa", ["failed"]),
        ("found = %wb executions --limit 3 --status=fa", ["failed"]),
        ("%wb tasks --status in", ["in_progress"]),
        ("%wb tasks --priority ", ["low", "medium", "high", "urgent"]),
        ("%wb events x --severity w", ["warning"]),
        ("%wb ingest x --format t", ["tau-bench", "tau2"]),
        ("%wb executions --agent-type ", ["clerk"]),
        ("%wb browse --source ", ["record"]),
        ("%wb snapshots x --", ["--limit"]),
        ("%wb help sn", ["snapshots"]),
        ("%wb executions --", [f"--{name.replace('_', '-')}" for name in VERBS["executions"].options]),
    ],
)
def test_values_are_completed_and_nothing_else(
    shell: InteractiveShell, runs: list[str], typed: str, offered: list[str]
):
    """TAB offers the values of an option, and never the names of Python among options or values."""
    shell.push({"AbstractThing": 1, "failure": 1, "warned": 1, "tau": 1})

    assert completions(shell, typed) == offered


def test_variables_that_hold_a_run_are_completed(shell: InteractiveShell, runs: list[str], bench: workbench.Workbench):
    """Where a run is asked for, names that hold one are offered, ids and records, and other names are not."""
    shell.push({"my_failed": runs[0], "my_good": bench.execution(runs[1]), "my_pet": "cat"})

    assert completions(shell, "%wb events my_") == ["my_failed", "my_good"]
    assert {"my_failed", "my_good", *runs} <= set(completions(shell, "%wb diff "))


def test_python_is_left_to_others(shell: InteractiveShell):
    """A line that is no `%wb` is completed as ever."""
    shell.push({"my_pet": "cat"})

    assert "my_pet" in completions(shell, "wb_x = my_p")


def test_a_name_of_the_users_own_is_not_the_magic(shell: InteractiveShell):
    """After `import workbench as wb` a line that begins with wb is Python's."""
    shell.push({"wb": workbench, "executed": 1})
    try:
        assert "executions" not in completions(shell, "wb exec")
    finally:
        shell.drop_by_id({"wb": workbench, "executed": 1})
    assert "executions" in completions(shell, "wb exec")


def test_loading_again_offers_nothing_twice(shell: InteractiveShell):
    """The extension may be loaded any number of times."""
    shell.run_line_magic("reload_ext", "workbench")

    assert completions(shell, "%wb ti") == ["timeline"]


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
