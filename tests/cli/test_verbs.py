"""The ``workbench`` command: results on stdout, everything else on stderr, exit codes 0, 1 and 2."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from answer import HOSTILE, Answer

import workbench
from workbench.cli import app as cli
from workbench.cli import bring, shell

VERBS = {
    "ingest", "formats", "report", "demo", "lab", "executions", "execution", "events", "snapshots", "state", "diff",
    "sql", "tree", "doctor", "tasks", "environments", "db", "costs", "export",
    "imports", "quarantine", "retry", "undo", "deliver", "bundle", "secrets", "watch",
    "origin", "context", "find", "cohort", "suspects", "fork", "rollback", "branches", "note", "notes",
    "prune", "to-pytest",
}  # fmt: skip


def spawn(*arguments: str, home: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the real command in a process of its own."""
    clear = {k: v for k, v in os.environ.items() if not k.startswith("WORKBENCH_")}
    return subprocess.run(
        [sys.executable, "-m", "workbench", *(["--home", str(home)] if home else []), *arguments],
        env={**clear, **environment}, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


# -- the command itself ------------------------------------------------------------------------------------------


def test_help_lists_every_verb_and_loads_nothing_heavy():
    """`--help` names all verbs and comes without polars, SQLAlchemy or Jupyter being loaded."""
    code = (
        "import sys; from workbench.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print(*sys.modules, file=sys.stderr)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    listed = set(re.findall(r"^  ([a-z-]+)  ", done.stdout.partition("Commands:")[2], re.MULTILINE))
    assert listed == VERBS
    assert {"polars", "sqlalchemy", "pydantic", "rich", "IPython", "orjson"}.isdisjoint(done.stderr.split())


def test_every_verb_is_documented(ask: Callable[..., Answer]):
    """Each verb says what it does in its help."""
    for verb in [*VERBS, "db upgrade", "db downgrade", "db current", "db history", "db check"]:
        answer = ask(*verb.split(), "--help")

        assert answer.code == 0, verb
        assert len(answer.out.partition("\n\n")[2].strip()) > 30, verb


def test_version(ask: Callable[..., Answer]):
    """`--version` prints the package's version."""
    assert ask("--version").out == f"workbench {workbench.__version__}\n"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["executions", "--json"], ["--json", "executions"]),
        (["sql", "x", "--url", "u", "--home=h"], ["--url", "u", "--home=h", "sql", "x"]),
        (["sql", "--", "--json"], ["sql", "--", "--json"]),
        (["sql", "--home"], ["--home", "sql"]),
    ],
)
def test_global_options_may_stand_anywhere(given: list[str], expected: list[str]):
    """`--json`, `--home` and `--url` count wherever they stand, but not behind `--`."""
    assert cli.hoisted(given) == expected


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bogus"], "No such command 'bogus'"),
        (["events"], "Missing argument 'RUN'"),
        (["executions", "--limit", "0"], "--limit"),
        (["executions", "--status", "bogus"], "status='bogus' is none of"),
        (["executions", "--since", "yesterday-ish"], "yesterday-ish"),
        (["executions", "--home", "/nowhere"], "--home and --url exclude each other"),
        (["report", "-o", "x.html", "-p", "since"], "it must be NAME=VALUE"),
    ],
)
def test_wrong_use_is_exit_code_2(ask: Callable[..., Answer], arguments: list[str], said: str):
    """A wrong command or setting is one line on stderr, nothing on stdout, and exit code 2."""
    answer = ask(*arguments)

    assert answer.code == 2
    assert answer.out == ""
    assert said in answer.err
    assert answer.err.startswith("workbench: ")
    assert answer.err.count("\n") == 1


def test_what_is_not_there_is_exit_code_1(ask: Callable[..., Answer]):
    """An unknown run is one line on stderr and exit code 1."""
    answer = ask("events", "0190aaaa")

    assert (answer.code, answer.out) == (1, "")
    assert "0190aaaa" in answer.err
    assert answer.err.count("\n") == 1


def test_errors_are_json_when_asked(ask: Callable[..., Answer]):
    """With `--json` an error is one object on stderr, its values beside the message."""
    used = ask("bogus", "--json")
    failed = ask("--json", "environments", "create", "nme=x")

    assert json.loads(used.err)["error"]["type"] == "UsageError"
    assert json.loads(failed.err)["error"]["type"] == "InvalidRecordError"
    assert set(json.loads(failed.err)["error"]["fields"]) == {"name", "nme"}
    assert (used.out, failed.out) == ("", "")


@pytest.mark.parametrize("arguments", [[], ["db"]])
def test_nothing_asked_shows_help(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    """Without a verb the help is shown, as a wrong use."""
    assert cli.run(arguments) == 2
    assert "Usage: workbench" in capsys.readouterr().out


# -- reading -----------------------------------------------------------------------------------------------------


def test_executions_as_json(ask: Callable[..., Answer], runs: list[str]):
    """`executions --json` is a list of objects with the documented keys; what is absent is null."""
    listed = ask("executions", "--json").json

    assert [run["id"] for run in listed] == runs[::-1]
    needed = (
        "id agent_type status started_at completed_at execution_time_ms n_events n_snapshots input_tokens"
        " cache_read_tokens cache_write_tokens output_tokens cost_usd source"
    )
    assert set(needed.split()) <= set(listed[0])
    assert listed[0]["cost_usd"] is None
    assert listed[0]["input_tokens"] is None
    assert listed[0]["source"] == "record"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", listed[0]["started_at"])


def test_executions_are_filtered(ask: Callable[..., Answer], runs: list[str]):
    """Filters reach the database."""
    assert [run["id"] for run in ask("executions", "--status", "failed", "--json").json] == runs[:1]
    assert [run["id"] for run in ask("executions", "--limit", "1", "--json").json] == runs[1:]
    assert len(ask("executions", "--agent-type", "clerk", "--since", "1h", "--task", "Cancel W1", "--json").json) == 2
    assert ask("executions", "--agent-type", "other", "--json").out == "[]\n"


def test_tables_fit_80_columns_and_show_usable_ids(
    ask: Callable[..., Answer], runs: list[str], monkeypatch: pytest.MonkeyPatch
):
    """For people: a table of at most 80 columns whose ids, cut as they are, are accepted."""
    monkeypatch.setenv("COLUMNS", "80")

    lines = ask("executions").out.splitlines()
    prefixes = [line.split()[0] for line in lines[1:]]

    assert max(map(len, lines)) <= 80
    assert [ask("execution", prefix, "--json").json["id"] for prefix in prefixes] == runs[::-1]


def test_hostile_text_does_not_drive_the_terminal(ask: Callable[..., Answer], runs: list[str]):
    """Control characters of what agents wrote never reach a terminal."""
    for verb in (["executions"], ["execution", runs[0]], ["events", runs[0]], ["snapshots", runs[0]], ["diff", *runs]):
        answer = ask(*verb)

        assert answer.code == 0, answer.err
        assert "\x1b" not in answer.out
        assert "\x07" not in answer.out


def test_events_and_states_as_json(ask: Callable[..., Answer], runs: list[str]):
    """Documents come as JSON, not as text in JSON."""
    events = (
        ask("events", runs[0][:13], "--json").json
        if runs[0][:13] != runs[1][:13]
        else ask("events", runs[0], "--json").json
    )
    states = ask("snapshots", runs[1], "--json").json

    assert [event["step_number"] for event in events] == list(range(len(events)))
    assert events[0]["data"]["text"] == HOSTILE
    assert states[-1]["state"] == {"cancelled": True}
    assert ask("state", runs[1], str(states[-1]["step_number"])).json == {"cancelled": True}


def test_diff(ask: Callable[..., Answer], runs: list[str]):
    """`diff` says where two runs part, for people and as JSON."""
    found = ask("diff", *runs, "--json").json

    assert found["first_divergence"]["kind"] == "added"
    assert "cancel_order" in found["summary"]
    assert ask("diff", *runs).out.splitlines()[2] == found["summary"]


def test_sql_finds_tables_without_a_schema_name(ask: Callable[..., Answer], runs: list[str]):
    """`sql --json` prints a list of objects, numbers as numbers."""
    answer = ask(
        "sql", "SELECT status, count(*) AS n, 1.5::numeric AS x FROM agent_executions GROUP BY 1 ORDER BY 1", "--json"
    )

    assert answer.json == [{"status": "completed", "n": 1, "x": 1.5}, {"status": "failed", "n": 1, "x": 1.5}]


def test_sql_is_read_only(ask: Callable[..., Answer], runs: list[str]):
    """A statement that writes is refused, and writes nothing."""
    answer = ask("sql", "WITH gone AS (DELETE FROM agent_executions RETURNING 1) SELECT * FROM gone")

    assert answer.code == 1
    assert answer.err.count("\n") == 1
    assert len(ask("executions", "--json").json) == 2


def test_sql_from_stdin(ask: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch):
    """`sql -` reads the query from stdin."""
    import io

    monkeypatch.setattr(sys, "stdin", io.StringIO("SELECT 1 AS one"))

    assert ask("sql", "-", "--json").json == [{"one": 1}]


# -- writing -----------------------------------------------------------------------------------------------------


def test_records(ask: Callable[..., Answer]):
    """Environments are created, changed with a version check, activated and deleted."""
    made = ask("environments", "create", "name=prod", 'config={"model": "m"}', "--json").json
    changed = ask("environments", "update", made["id"], 'config={"model": "n"}', "--row-version", "1", "--json").json
    late = ask("environments", "update", made["id"], "name=late", "--row-version", "1")
    active = ask("environments", "activate", made["id"], "--json").json

    assert changed["config"] == {"model": "n"}
    assert late.code == 1
    assert active["is_active"] is True
    assert [e["name"] for e in ask("environments", "--json").json] == ["prod"]
    assert ask("environments", "delete", made["id"]).code == 0
    assert ask("environments", "delete", made["id"]).code == 1
    assert ask("environments", "list", "--json").json == []


def test_tasks_are_listed(ask: Callable[..., Answer], runs: list[str]):
    """`tasks` lists; `tasks get` shows one."""
    (task,) = ask("tasks", "--json").json

    assert task["title"] == "Cancel W1"
    assert ask("tasks", "get", task["id"], "--json").json["title"] == "Cancel W1"
    assert "Cancel W1" in ask("tasks", "--limit", "5").out


def test_ingest_reports_each_file(ask: Callable[..., Answer], tmp_path: Path):
    """`ingest --json` has the documented shape, and a second ingest changes nothing."""
    file = tmp_path / "airline.json"
    result = {"task_id": 7, "trial": 0, "reward": 1.0, "info": {}, "traj": [{"role": "user", "content": "hello"}]}
    file.write_text(json.dumps([result]))

    first = ask("ingest", str(file), "--json")
    again = ask("ingest", str(file), "--json")

    assert first.code == 0
    assert set(first.json["totals"]) == {"executions", "events", "snapshots"}
    assert first.json["totals"]["executions"] == 1
    (report,) = first.json["files"]
    assert {"path", "format", "executions", "events", "snapshots", "bad"} <= set(report)
    assert report["format"] == "tau-bench"
    assert again.json["totals"] == first.json["totals"]
    assert len(ask("executions", "--json").json) == 1


def test_ingest_of_what_cannot_be_read_fails(ask: Callable[..., Answer], tmp_path: Path):
    """A file nobody can read, or that does not exist, is exit code 1 with its name."""
    bad = tmp_path / "notes.bin"
    bad.write_bytes(b"\x00\x01nothing")

    for path in (bad, tmp_path / "missing.jsonl"):
        answer = ask("ingest", str(path))

        assert answer.code == 1
        assert path.name in answer.err


def test_report(ask: Callable[..., Answer], runs: list[str], tmp_path: Path, database_url: str):
    """`report RUN -o F` writes one file that names the run and not the connection."""
    answer = ask("report", runs[0], "-o", str(tmp_path / "run.html"), "--json")

    page = (tmp_path / "run.html").read_text("utf-8")
    assert answer.json == {"output": str(tmp_path / "run.html"), "size_bytes": len(page.encode())}
    assert "run False" in page
    assert database_url not in page
    assert "\x1b[31m" not in page


def test_to_pytest(ask: Callable[..., Answer], runs: list[str], tmp_path: Path):
    """`to-pytest RUN -o F --agent A` writes a test of that agent, and says where."""
    file = tmp_path / "test_clerk.py"
    answer = ask("to-pytest", runs[0], "-o", str(file), "--agent", "clerks:cancel", "--json")
    wrong = ask("to-pytest", runs[0], "-o", str(file), "--agent", "clerks")

    assert answer.json == {"output": str(file), "size_bytes": file.stat().st_size}
    assert "AGENT = 'clerks:cancel'" in file.read_text()
    assert (wrong.code, wrong.out) == (2, "")
    assert "no import path" in wrong.err


def test_report_makes_no_folder(ask: Callable[..., Answer], runs: list[str], tmp_path: Path):
    """A report whose folder does not exist is an error that names the folder; nothing is made."""
    answer = ask("report", runs[0], "-o", str(tmp_path / "mispelt" / "run.html"))

    assert answer.code == 1
    assert f"there is no folder {tmp_path / 'mispelt'}. Make it, or" in " ".join(answer.err.split())
    assert list(tmp_path.iterdir()) == []


def test_schema_verbs(ask: Callable[..., Answer]):
    """Down to nothing, checked, up again: the verbs tell the revision and leave it where they put it."""
    head = ask("db", "current", "--json").json["revision"]

    assert ask("db", "check").code == 0
    assert ask("db", "downgrade", "base", "--json").json == {"revision": None}
    assert ask("db", "current").out == "base (no tables)\n"
    assert ask("db", "check", "--json").code == 1
    assert ask("db", "upgrade", "--json").json == {"revision": head}
    assert ask("db", "history", "--json").json[0]["is_current"] is True


@pytest.mark.parametrize(
    ("typed", "code", "said", "is_kept"),
    [("n\n", 1, "Nothing was changed.", True), ("\x04", 130, "Stopped.", True), ("y\n", 0, "", False)],
)
def test_downgrade_asks_in_a_terminal(
    ask: Callable[..., Answer], database_url: str, typed: str, code: int, said: str, is_kept: bool
):
    """Before tables go with their data, a person at a terminal is asked, and told which database it is."""
    head = ask("db", "current", "--json").json["revision"]
    keyboard, terminal = pty.openpty()
    os.write(keyboard, typed.encode())
    done = subprocess.run(
        [sys.executable, "-m", "workbench", "--url", database_url, "db", "downgrade", "base"],
        stdin=terminal, capture_output=True, text=True,
    )  # fmt: skip
    os.close(terminal)
    os.close(keyboard)

    assert done.returncode == code
    assert "Remove all tables, with the data, from Store(postgresql://" in done.stderr
    assert done.stderr.rstrip().endswith(said)
    assert "unexpectedly" not in done.stderr
    assert ask("db", "current", "--json").json["revision"] == (head if is_kept else None)


def test_doctor(ask: Callable[..., Answer]):
    """`doctor` says what it looked at, and what it found."""
    found = ask("doctor", "--json")

    assert found.code == 0
    assert found.json["ok"] is True
    assert "PostgreSQL" in ask("doctor").out


# -- real processes ----------------------------------------------------------------------------------------------


def test_a_home_of_its_own_end_to_end(tmp_path: Path, home: Path):
    """With nothing but a folder: the demo runs, its runs are listed, stdout is JSON alone."""
    demo = spawn("demo", "-n", "6", "--output", str(tmp_path / "new" / "out"), "--json", home=home)
    listed = spawn("executions", "--json", home=home, NO_COLOR="1")

    assert demo.returncode == 0, demo.stderr
    assert json.loads(demo.stdout)["n_runs"] == 6
    assert (tmp_path / "new" / "out" / "cohort_report.html").stat().st_size > 100_000
    assert len(json.loads(listed.stdout)) == 6


def test_a_closed_pipe_is_no_error(database_url: str):
    """`workbench … | head -1` ends quietly."""
    query = "SELECT repeat('x', 1000) AS x FROM generate_series(1, 20000)"
    command = f'"{sys.executable}" -m workbench --url "$URL" --json sql "{query}" | head -c 10'

    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        env={**os.environ, "URL": database_url}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")


def test_no_database_is_one_line():
    """A server that is not there is exit code 1, one line, without the password."""
    done = spawn("executions", "--url", "postgresql://me:hush-hush@127.0.0.1:9/x", WORKBENCH_CONNECT_TIMEOUT_S="2")

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "hush-hush" not in done.stderr


def test_demo_knows_the_users_own_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Where Claude Code or Codex left sessions, the demo says how to read them."""
    monkeypatch.setenv("HOME", str(tmp_path))

    assert bring.own_history() == []
    (tmp_path / ".claude/projects").mkdir(parents=True)
    (tmp_path / ".codex/sessions").mkdir(parents=True)
    claude, codex = bring.own_history("workbench --home h")
    assert claude.endswith("workbench --home h ingest ~/.claude/projects")
    assert codex.endswith("workbench --home h ingest ~/.codex/sessions")


# -- words -------------------------------------------------------------------------------------------------------


def test_short_ids_still_differ():
    """Ids are cut to where they differ, never within a shared prefix, and not at a dash."""
    ids = ["01a1fd4d-1631-77c1-8539-566c8f1ed25c", "01a1fd4d-1626-75ba-8286-c0e6c745d33b"]

    assert shell.short_ids(ids) == ["01a1fd4d-163", "01a1fd4d-162"]
    assert shell.short_ids(ids[:1]) == ["01a1fd4d"]
    assert shell.short_ids([]) == []
