"""Tables for people: cut to fit a terminal, whole in a pipe, and always one line a row."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from answer import Answer

import workbench
from workbench.cli import shell

LONG = "a name that is long " * 20


@pytest.fixture
def long_run(bench: workbench.Workbench) -> str:
    """A run whose name and message are longer than a line."""
    with bench.record(agent_type="clerk", name=LONG) as run:
        run.event("message", role="user", text=f"{LONG}\nand its end")
    return str(run.id)


def test_a_pipe_gets_whole_values(ask: Callable[..., Answer], long_run: str, monkeypatch: pytest.MonkeyPatch):
    """Without a terminal and without COLUMNS nothing is cut, and a row is a line."""
    monkeypatch.delenv("COLUMNS", raising=False)

    runs, events, facts = ask("executions").out, ask("events", long_run).out, ask("execution", long_run).out

    assert (runs.count("\n"), events.count("\n")) == (2, 2)
    assert LONG.strip() in runs
    assert events.endswith("and its end\n")
    assert f"name               {LONG.strip()}"[-80:] in facts


def test_a_pipe_gets_whole_paths(ask: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The path of each file can be read from what `ingest` writes into a pipe."""
    monkeypatch.delenv("COLUMNS", raising=False)
    file = tmp_path / ("folder " * 20).strip() / "airline.json"
    file.parent.mkdir()
    file.write_text(json.dumps([{"task_id": 7, "trial": 0, "reward": 1.0, "info": {}, "traj": []}]))

    assert ask("ingest", str(file)).out.splitlines()[1].startswith(f"{file}  tau-bench")


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_columns_bounds_a_line(
    ask: Callable[..., Answer], long_run: str, monkeypatch: pytest.MonkeyPatch, columns: int
):
    """COLUMNS counts without a terminal, too: lines fit, and what is cut ends with a mark."""
    monkeypatch.setenv("COLUMNS", str(columns))

    for verb in (["executions"], ["events", long_run]):
        lines = ask(*verb).out.splitlines()

        assert max(map(len, lines)) <= columns
        assert "…" in lines[1]


def test_no_terminal_has_no_width(monkeypatch: pytest.MonkeyPatch):
    """A line may be of any length where nothing tells how wide one is."""
    monkeypatch.delenv("COLUMNS", raising=False)
    assert shell.terminal_width() == sys.maxsize
    monkeypatch.setenv("COLUMNS", "60")
    assert shell.terminal_width() == 60


def test_the_last_column_is_not_padded(capsys: pytest.CaptureFixture[str]):
    """No line ends with spaces, however long the longest."""
    shell.print_table(("n", "text"), [(1, "x" * 500), (22, "y")])

    assert capsys.readouterr().out == f" n  text\n 1  {'x' * 500}\n22  y\n"
