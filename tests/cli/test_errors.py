"""How the command ends when something goes wrong: one line or one object on stderr, and an exit code."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import psycopg
import pytest
from answer import HOSTILE, Answer

from workbench.cli import app as cli
from workbench.cli.words import in_shell


class Broken:
    """A stdin that fails when it is read."""

    def __init__(self, problem: BaseException) -> None:
        self.problem = problem

    def read(self) -> str:
        raise self.problem


PROBLEMS = [
    ValueError("cannot be"),
    KeyError("absent"),
    RecursionError("too deep"),
    pl.exceptions.PanicException("in Rust"),
    RuntimeError(HOSTILE),
    RuntimeError(),
]


@pytest.mark.parametrize("problem", PROBLEMS, ids=repr)
def test_an_error_that_nobody_foresaw_is_one_line(
    ask: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch, problem: BaseException
):
    """An error outside our tree says which verb failed, of what, and how to see where; exit code 1."""
    monkeypatch.setattr(sys, "stdin", Broken(problem))

    answer = ask("sql", "-")

    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith(f"workbench: sql failed unexpectedly: {type(problem).__name__}")
    assert answer.err.endswith(". WORKBENCH_TRACEBACK=1 shows where.\n")
    assert answer.err.count("\n") == 1
    assert "\x1b" not in answer.err


def test_an_input_that_ends_early_is_named(ask: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch):
    """An EOFError, which typer makes an abort of behind a line break, is named as any other."""
    monkeypatch.setattr(sys, "stdin", Broken(EOFError("ended early")))

    answer = ask("sql", "-")

    assert answer.code == 1
    assert answer.err.lstrip("\n").startswith("workbench: sql failed unexpectedly: EOFError: ended early. ")


@pytest.mark.parametrize("problem", PROBLEMS, ids=repr)
def test_an_error_that_nobody_foresaw_as_json(
    ask: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch, problem: BaseException
):
    """With `--json` it has the shape of every other error."""
    monkeypatch.setattr(sys, "stdin", Broken(problem))

    answer = ask("sql", "-", "--json")

    assert (answer.code, answer.out) == (1, "")
    assert set(answer.error) == {"type", "message"}
    assert answer.error["type"] == type(problem).__name__
    assert answer.error["message"].startswith("sql failed unexpectedly: ")


def test_a_traceback_is_shown_when_asked_for(ask: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch):
    """`WORKBENCH_TRACEBACK=1` puts the traceback before the line, or into the object."""
    monkeypatch.setattr(sys, "stdin", Broken(ValueError("cannot be")))
    monkeypatch.setenv("WORKBENCH_TRACEBACK", "1")

    *trace, last = ask("sql", "-").err.splitlines()
    error = ask("sql", "-", "--json").error

    assert trace[0] == "Traceback (most recent call last):"
    assert trace[-1] == "ValueError: cannot be"
    assert last.startswith("workbench: sql failed unexpectedly")
    assert error["traceback"].splitlines()[-1] == "ValueError: cannot be"


def test_a_traceback_of_an_error_of_ours(ask: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch):
    """`WORKBENCH_TRACEBACK=1` shows where our own errors arose, too."""
    monkeypatch.setenv("WORKBENCH_TRACEBACK", "1")

    *trace, last = ask("events", "0190aaaa").err.splitlines()

    assert trace[0] == "Traceback (most recent call last):"
    assert last.startswith("workbench: No execution '0190aaaa'")


def test_ctrl_c_is_exit_code_130(ask: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch):
    """Ctrl+C ends the command with one line and the exit code that shells give it."""
    monkeypatch.setattr(sys, "stdin", Broken(KeyboardInterrupt()))

    answer = ask("sql", "-")
    as_json = ask("sql", "-", "--json")

    assert (answer.code, answer.out, answer.err) == (130, "", "workbench: Stopped.\n")
    assert (as_json.code, as_json.error) == (130, {"type": "KeyboardInterrupt", "message": "Stopped."})


def test_ctrl_c_stops_a_query(database_url: str):
    """Ctrl+C while the server works ends the command at once, and the query with it."""
    command = subprocess.Popen(
        [sys.executable, "-m", "workbench", "--url", database_url, "sql", "SELECT pg_sleep(600)"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    with psycopg.connect(database_url, autocommit=True) as connection:
        until = time.monotonic() + 120
        while connection.execute(sleeping).fetchone() == (0,) and time.monotonic() < until:
            assert command.poll() is None, command.communicate()

        command.send_signal(signal.SIGINT)
        said = command.communicate(timeout=120)

        assert (command.returncode, said) == (130, ("", "workbench: Stopped.\n"))
        assert connection.execute(sleeping).fetchone() == (0,)


def test_json_behind_two_dashes_is_a_word_like_others(ask: Callable[..., Answer]):
    """What follows `--` is no option: the error is a line."""
    answer = ask("events", "--", "--json")

    assert answer.code == 1
    assert answer.err.startswith("workbench: No execution '--json'")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["events", "0190aaaa"], "List them with workbench executions."),
        (["tasks", "get", "01900000-0000-7000-8000-000000000000"], "List them with workbench tasks."),
        (["ingest", "notes.md"], "name it: workbench ingest PATH --format tau-bench."),
        (["ingest", "notes.md", "notes.txt"], "name it: workbench ingest PATH --format tau-bench."),
        (["sql", "DELETE FROM tasks"], "To write use workbench tasks, environments or ingest."),
        (["executions", "--url", "", "--home", "file/home"], "Choose another: --home DIR"),
    ],
)
def test_advice_is_in_the_words_of_the_shell(
    ask: Callable[..., Answer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
):
    """What to do next is a command or an option, not a call of Python, as a line and with `--json`."""
    monkeypatch.chdir(tmp_path)
    for name in ("notes.md", "notes.txt", "file"):
        (tmp_path / name).write_text(name)

    as_json = ask(*arguments, "--json")

    assert said in ask(*arguments).err
    assert said in as_json.err + as_json.out


def test_commands_that_are_advised_exist():
    """Every command among the shell's words is one."""
    verbs = {command.callback.__name__ for command in cli.app.registered_commands if command.callback}
    verbs |= {group.name for group in cli.app.registered_groups if group.name}

    for line in (
        "bench.executions()",
        "bench.tasks()",
        "bench.environments()",
        "bench.events(run)",
        "bench.snapshots(run)",
    ):
        assert in_shell(line).split()[:1] == ["workbench"]
        assert in_shell(line).split()[1] in verbs


def test_wrong_use_ends_its_sentences(ask: Callable[..., Answer]):
    """The hint at the help is a sentence of its own."""
    assert ask("executions", "--bogus").err == (
        "workbench: No such option: --bogus. See: workbench executions --help\n"
    )
    assert "Did you mean 'executions', 'execution'? See: " in ask("executons").err


@pytest.mark.parametrize("query", ["SELECT * EXCLUDE (id) FROM tasks", "FROM tasks", "SELECT list_sum([1])"])
def test_sql_of_duckdb_is_refused_with_the_way_to_duckdb(ask: Callable[..., Answer], query: str):
    """Where Postgres does not know the syntax or a function, one line says where DuckDB's is known."""
    answer = ask("sql", query)

    assert answer.code == 1
    assert "This is Postgres's SQL; for DuckDB's, over frames: bench.duckdb(" in answer.err
    assert answer.err.count("\n") == 1
    assert "^" not in answer.err
