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


def test_bundle_previews_line_by_line_and_wants_a_name(ask: Callable[..., Answer], runs: list[str]) -> None:
    """The preview has a line for each thing it tells; without a name for the file both options are named."""
    preview = ask("bundle", runs[0], "--preview")
    nameless = ask("bundle", runs[0])

    assert preview.out.splitlines()[-2].strip().startswith("secrets: ")
    assert nameless.code == 2
    assert "--output" in nameless.err
    assert "--preview" in nameless.err


def test_a_folder_that_does_not_exist_is_named(ask: Callable[..., Answer], runs: list[str], tmp_path: Path) -> None:
    """Neither a bundle nor an export makes folders: it says which one is missing."""
    file = tmp_path / "nowhere" / "x"
    for verb in (["bundle", runs[0]], ["export", runs[0], "--format", "atif"]):
        wrong = ask(*verb, "-o", str(file))

        assert wrong.code == 2
        assert f"there is no folder {file.parent}" in wrong.err
    assert "that is a folder" in ask("bundle", runs[0], "-o", str(tmp_path)).err
