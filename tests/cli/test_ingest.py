"""`ingest`: text, JSON and exit code agree on whether it succeeded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from answer import Answer

GOOD = {
    "type": "user", "uuid": "u1", "sessionId": "s1", "timestamp": "2026-01-01T00:00:00Z", "version": "2.0.0",
    "message": {"role": "user", "content": "hello"},
}  # fmt: skip


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., str]:
    """Write a file of lines into the folder and return its path."""

    def write(name: str, *lines: str) -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines))
        return str(path)

    return write


def test_bad_lines_are_reported_and_no_failure(ask: Callable[..., Answer], put: Callable[..., str]):
    """A file with a bad line is stored: `ok` is true, the line is named, the exit code is 0."""
    path = put("session.jsonl", json.dumps(GOOD), "{broken")

    told = ask("ingest", path)
    as_json = ask("ingest", path, "--json")

    assert (told.code, as_json.code) == (0, 0)
    assert told.out.splitlines()[-1].endswith("1 line could not be read")
    assert told.out.splitlines()[-1].startswith("1 file: 1 execution")
    assert f"{path}:2: " in told.err
    assert (as_json.json["ok"], as_json.json["n_bad"]) == (True, 1)


def test_a_file_that_failed_is_exit_code_1(ask: Callable[..., Answer], put: Callable[..., str]):
    """A file of which nothing could be read fails the command, also where others are stored."""
    good, bad = put("good.jsonl", json.dumps(GOOD)), put("bad.json", '[{"task_id": 1, "traj": [')

    told = ask("ingest", good, bad)
    as_json = ask("ingest", good, bad, "--json")

    assert (told.code, as_json.code) == (1, 1)
    assert told.out.splitlines()[-1].endswith("1 file failed")
    assert "bad.json: " in told.err
    assert as_json.json["ok"] is False
    assert [file["outcome"] for file in as_json.json["files"]] == ["already there", "failed"]


def test_nothing_but_bad_lines_is_a_failure(ask: Callable[..., Answer], put: Callable[..., str]):
    """A file of a known format in which no line can be read has failed, and leaves no trace."""
    answer = ask("ingest", put("session.jsonl", "{broken", "{too"), "--format", "claude-code", "--json")

    assert answer.code == 1
    assert answer.json["ok"] is False
    assert (answer.json["files"][0]["outcome"], answer.json["n_bad"]) == ("failed", 2)
    assert ask("sql", "SELECT count(*) AS n FROM imports", "--json").json == [{"n": 0}]


def test_no_agent_history_is_a_failure(ask: Callable[..., Answer], put: Callable[..., str], tmp_path: Path):
    """A folder without agent history is exit code 1, and `ok` says so."""
    put("notes.md", "# notes")

    answer = ask("ingest", str(tmp_path), "--json")

    assert (answer.code, answer.json["ok"]) == (1, False)
    assert "No agent history in these paths." in answer.err


def test_what_is_passed_over_is_said(ask: Callable[..., Answer], put: Callable[..., str], tmp_path: Path):
    """A file of a folder that no reader takes is counted and named with the reason, and is no failure."""
    put("session.jsonl", json.dumps(GOOD))
    table = put("log.csv", "session,said", "1,hello")

    told = ask("ingest", str(tmp_path))

    assert told.code == 0
    assert told.out.splitlines()[-1].endswith(" · 1 passed over")
    assert f"{table}: passed over: a table: name its columns, workbench ingest" in told.err


def test_the_help_says_the_rule(ask: Callable[..., Answer]):
    """`ingest --help` tells which exit code means what."""
    said = " ".join(ask("ingest", "--help").out.split())

    assert "the rest of its file is stored: exit code 0" in said
    assert 'Exit code 1 and "ok": false where nothing of a file could be read' in said


@pytest.mark.parametrize("n_others", [0, 1])
def test_a_failed_file_has_its_report_alone_and_among_others(
    ask: Callable[..., Answer], put: Callable[..., str], n_others: int
):
    """`--json` gives `files` and `totals` for the one file that fails, as for one of several, with its real size."""
    path = put("notes.md", "# notes")
    others = [put("good.jsonl", json.dumps(GOOD))][:n_others]

    answer = ask("ingest", path, *others, "--json")

    assert answer.code == 1
    failed = answer.json["files"][0]
    said = failed.pop("error")
    assert said.startswith("not agent history in any format")
    assert failed == {
        "path": path, "format": None, "executions": 0, "events": 0, "snapshots": 0, "bad": [], "n_bad": 0,
        "outcome": "failed", "new": {"executions": 0, "events": 0, "snapshots": 0}, "updated": 0, "kept": [],
        "changed": [], "lost": [], "sha256": hashlib.sha256(b"# notes\n").hexdigest(), "size_bytes": 8,
        "copy_of": None, "secrets": {}, "fields": {}, "unknown": {},
    }  # fmt: skip
    assert answer.json["totals"]["executions"] == n_others
    assert answer.json["ok"] is False
    assert said in answer.err


@pytest.mark.parametrize(
    ("name", "content", "format", "kind"),
    [
        ("notes.md", "# notes", None, "UnknownFormatError"),
        ("cut.json", '[{"task_id": 1, "traj": [', None, "IngestError"),
        ("cut.json", '[{"task_id": 1, "traj": [', "tau-bench", "IngestError"),
        ("missing.json", None, None, "IngestError"),
    ],
)
def test_the_one_file_that_failed_is_the_error_too(
    ask: Callable[..., Answer], put: Callable[..., str], tmp_path: Path, name: str, content: str | None,
    format: str | None, kind: str,
):  # fmt: skip
    """Beside the report on stdout, stderr holds the error of the one file that was named, without the report."""
    path = str(tmp_path / name) if content is None else put(name, content)

    answer = ask("ingest", path, *(["--format", format] if format else []), "--json")

    assert (answer.code, answer.error["type"], answer.error["path"]) == (1, kind, path)
    assert "report" not in answer.error
    (failed,) = answer.json["files"]
    assert (failed["path"], failed["outcome"]) == (path, "failed")
    assert failed["error"] in answer.error["message"]
    assert failed["size_bytes"] == len(f"{content}\n" if content else "")
    assert answer.json["totals"] == {"executions": 0, "events": 0, "snapshots": 0}


def test_a_table_is_read_by_naming_its_columns(ask: Callable[..., Answer], put: Callable[..., str]):
    """Columns come from options, from a mapping file, or both; a wrong one is told with what there is."""
    path = put("log.csv", "session,who,said", "a,user,hello", "b,assistant,hi")
    mapping = put("mapping.json", json.dumps({"run": "session", "role": "no such column"}))

    read = ask("ingest", path, "--columns", mapping, "--column", "role=who", "--column", "text=said", "--json")
    untold = ask("ingest", path)
    wrong = ask("ingest", path, "--column", "txt=said")
    missing = ask("ingest", path, "--column", "text=sayd")
    unsplit = ask("ingest", path, "--column", "text")
    unread = ask("ingest", path, "--columns", path)

    assert (read.code, read.json["files"][0]["format"], read.json["totals"]["executions"]) == (0, "columns", 2)
    assert "workbench ingest PATH --column text=COLUMN" in untold.err
    assert "There is no field 'txt'. Did you mean 'text'?" in wrong.err
    assert "has no column 'sayd' (named for 'text'). Did you mean 'said'? Columns: session, who, said." in missing.err
    assert "write --column FIELD=COLUMN" in unsplit.err
    assert "cannot be read as JSON" in unread.err
    assert {untold.code, missing.code} == {1}
    assert 0 not in {wrong.code, unsplit.code, unread.code}
