"""`export`: one run as a file, or on stdout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from answer import Answer
from test_verbs import spawn


def test_export_writes_a_trajectory(ask: Callable[..., Answer], runs: list[str], tmp_path: Path) -> None:
    """The path is said, or with --json its size too; the file is the run."""
    file = tmp_path / "t.json"

    told = ask("export", runs[0], "--format", "atif", "-o", str(file))
    as_json = ask("export", runs[0], "--format", "atif", "-o", str(file), "--version", "1.8", "--json")

    assert (told.code, told.out) == (0, f"{file}\n")
    assert as_json.json == {"output": str(file), "size_bytes": file.stat().st_size}
    assert json.loads(file.read_bytes())["schema_version"] == "ATIF-v1.8"


def test_export_writes_to_stdout(runs: list[str], database_url: str) -> None:
    """Without a file the trajectory itself is the output, and nothing else."""
    done = spawn("--url", database_url, "export", runs[1], "--format", "atif")

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["agent"]["name"] == "clerk"


def test_export_says_what_is_wrong(ask: Callable[..., Answer], runs: list[str]) -> None:
    """A format that is none, and --json without a file, are errors of the command."""
    wrong = ask("export", runs[0], "--format", "pdf")
    nowhere = ask("export", runs[0], "--format", "atif", "--json")

    assert wrong.code != 0
    assert "can be exported as: atif" in wrong.err.replace("original, ", "")
    assert nowhere.code == 2
    assert "--output FILE" in json.loads(nowhere.err)["error"]["message"]
