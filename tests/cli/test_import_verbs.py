"""`imports`, `quarantine`, `retry`, `undo`, `export`: the ledger of what was ingested, in a shell."""

from __future__ import annotations

import gzip
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from answer import Answer

LINES = [
    {
        "type": "user", "uuid": f"u{n}", "sessionId": "s1", "timestamp": f"2026-01-01T00:00:0{n}Z",
        "message": {"role": "user", "content": "hello"},
    }
    for n in range(3)
]  # fmt: skip
EVIL = '{"\x1b[31mred'


@pytest.fixture
def files(ask: Callable[..., Answer], tmp_path: Path) -> list[Path]:
    """A session of one line, and the same grown by two and a bad one; both ingested."""
    paths = [tmp_path / "1.jsonl", tmp_path / "3.jsonl"]
    paths[0].write_text(f"{json.dumps(LINES[0])}\n")
    paths[1].write_text("".join(f"{json.dumps(line)}\n" for line in LINES) + f"{EVIL}\n")
    for path in paths:
        assert ask("ingest", str(path), "-q").code == 0
    return paths


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


def test_imports_are_listed_and_shown(ask: Callable[..., Answer], files: list[Path]):
    """A line for each file, newest first; with an id, its report."""
    listed = ask("imports", "--json").json
    told = ask("imports")
    one = ask("imports", listed[0]["id"][:8])
    as_json = ask("imports", listed[0]["id"], "--json").json

    assert [(row["path"], row["n_events"], row["n_bad"]) for row in listed] == [
        (str(files[1]), 3, 1), (str(files[0]), 1, 0)
    ]  # fmt: skip
    assert listed[0]["report"]["outcome"] == "extended"
    assert [str(path) in line for path, line in zip(files[::-1], told.out.splitlines()[-2:], strict=True)] == [True] * 2
    assert "bad: line 4" in one.out
    assert as_json["events"] == 3
    assert {row["field"]: row["kept"] for row in as_json["fidelity"]}["text"] == 3
    assert "unknown" in one.out
    assert ask("imports", "--format", "codex").err.startswith("Nothing was ingested")


def test_what_could_not_be_read_is_listed_without_harm(ask: Callable[..., Answer], files: list[Path]):
    """The line, the reason and its text, of which no control character reaches the terminal."""
    told = ask("quarantine")
    (row,) = ask("quarantine", "--json").json

    assert f"{files[1]}:4" in told.out
    assert "\x1b" not in told.out
    assert (row["line"], row["text"]) == (4, EVIL)
    assert ask("retry").code == 0
    assert ask("retry", row["id"][:8], "--json").json["n_bad"] == 1


def test_retry_says_what_failed_again(ask: Callable[..., Answer], tmp_path: Path):
    """A damaged file fails again: exit code 1 and the reason; repaired, nothing is left to retry."""
    path = tmp_path / "cut.json"
    path.write_text('[{"task_id": 1, "traj": [')
    ask("ingest", str(path))

    failed = ask("retry")
    path.write_text(json.dumps({"loglines": LINES}))
    ask("ingest", str(path))
    cleared = ask("retry")

    assert failed.code == 1
    assert f"{path}: " in failed.err
    assert (cleared.code, cleared.err) == (0, "Nothing is in the quarantine.\n")
    assert ask("quarantine").err == "Nothing is in the quarantine.\n"
    assert len(ask("quarantine", "--all", "--json").json) == 1


def test_retry_gives_the_reason_of_a_file_whose_parts_all_failed(ask: Callable[..., Answer], tmp_path: Path):
    """A file of which no line can be read has no error of its own: its first bad line says what is wrong."""
    path = tmp_path / "cut.json.gz"
    path.write_bytes(gzip.compress(b'{"resourceSpans": []}' * 100)[:-9])
    ask("ingest", str(path))

    failed = ask("retry")

    assert failed.code == 1
    assert f"{path}: " in failed.err
    assert "the gzip stream is cut off or damaged" in failed.err


def test_undo_without_a_terminal(ask: Callable[..., Answer], files: list[Path]):
    """A dry run changes nothing; the undo leaves what the other file holds."""
    newest, oldest = (row["id"] for row in ask("imports", "--json").json)

    preview = ask("undo", newest[:8], "--dry-run", "--json").json
    before = len(ask("imports", "--json").json)
    done = ask("undo", newest[:8])
    left = [row["id"] for row in ask("imports", "--json").json]

    assert (preview["is_preview"], preview["removed"]["events"]) == (True, 2)
    assert before == 2
    assert done.out.startswith("Removed the import of ")
    assert left == [oldest]
    assert ask("undo", newest).code == 1
    assert "List them with workbench imports" in ask("undo", newest).err


@pytest.mark.parametrize(("typed", "code", "n_left"), [("n\n", 1, 2), ("y\n", 0, 1)])
def test_undo_asks_in_a_terminal(
    ask: Callable[..., Answer], files: list[Path], monkeypatch: pytest.MonkeyPatch, typed: str, code: int, n_left: int
):  # fmt: skip
    """What would go is shown first, and only a yes lets it go."""
    newest = ask("imports", "--json").json[0]["id"]
    monkeypatch.setattr(sys, "stdin", Terminal(typed))

    answer = ask("undo", newest)

    assert answer.code == code
    assert "Would remove the import of " in answer.err
    assert len(ask("imports", "--json").json) == n_left


def test_the_original_comes_back(ask: Callable[..., Answer], files: list[Path], tmp_path: Path):
    """`export RUN --no-redact` writes the file as it was, the older one by its import; redacted it says why not."""
    run = ask("executions", "--json").json[0]["id"]
    oldest = ask("imports", "--json").json[1]["id"]
    out, older = tmp_path / "out", tmp_path / "older"

    assert ask("export", run, "-o", str(out), "--no-redact").code == 0
    assert ask("export", run, "-o", str(older), "--no-redact", "--import", oldest).code == 0
    refused = ask("export", run, "-o", str(tmp_path / "no"))

    assert (out.read_bytes(), older.read_bytes()) == (files[1].read_bytes(), files[0].read_bytes())
    assert refused.code == 2
    assert "--no-redact" in refused.err


def test_nothing_is_kept_without_originals(ask: Callable[..., Answer], tmp_path: Path):
    """`ingest --no-originals` stores runs alone, and the list says so."""
    path = tmp_path / "1.jsonl"
    path.write_text(f"{json.dumps(LINES[0])}\n")
    ask("ingest", str(path), "--no-originals")

    assert [row["has_original"] for row in ask("imports", "--json").json] == [False]
