"""`fork`, `rollback`, `branches`, `notes`, `note`, `prune`: going back in a run from a shell."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from answer import Answer

import workbench


def test_a_run_is_forked_with_an_edited_state(ask: Callable[..., Answer], runs: list[str], tmp_path: Path) -> None:
    """The id of the branch is the output; the tree shows it under the run; the state is the one given."""
    file = tmp_path / "state.json"
    file.write_text('{"cancelled": "perhaps"}')

    made = ask("fork", runs[0], "1", "--state", str(file), "--name", "other", "--json").json
    told = ask("branches", runs[0])

    assert made["forked_at_step"] == 1
    assert ask("state", made["id"], "1").json == {"cancelled": "perhaps"}
    assert [line.split()[-1] for line in told.out.splitlines()[-2:]] == ["next", "other"]
    assert ask("branches", made["id"], "--json").json[1]["id"] == made["id"]


def test_a_state_that_is_no_json_is_named(ask: Callable[..., Answer], runs: list[str], tmp_path: Path) -> None:
    """Neither a broken file nor a missing one makes a branch."""
    file = tmp_path / "state.json"
    file.write_text("{")

    assert f"{file} is no JSON" in ask("fork", runs[0], "1", "--state", str(file)).err
    assert "cannot be read: No such file" in ask("fork", runs[0], "1", "--state", str(tmp_path / "x")).err
    assert "its steps are 0 to 2" in ask("fork", runs[0], "9").err
    assert len(ask("executions", "--json").json) == 2


def test_going_back_moves_the_head(ask: Callable[..., Answer], runs: list[str]) -> None:
    """The new head is the output; the run keeps its later steps."""
    head = ask("rollback", runs[1], "1", "--reason", "wrong turn").out.strip()

    told = {row["id"]: row for row in ask("branches", runs[1], "--json").json}
    assert told[head]["is_head"]
    assert told[runs[1]]["head_until_step"] == 1 < told[runs[1]]["last_step"]


def test_steps_are_noted(ask: Callable[..., Answer], runs: list[str]) -> None:
    """Notes, pins and checkpoints are listed by step; hostile text is shown harmless."""
    assert ask("notes", runs[0]).err.startswith("Nothing is noted")
    assert ask("note", runs[0], "1", "why \x1b[31m?", "--author", "ada").code == 0
    assert ask("note", runs[0], "2", "--pin").code == 0
    assert ask("note", runs[0], "0", "start", "--checkpoint", "--json").json["id"]
    both = ask("note", runs[0], "0", "--pin", "--checkpoint")

    assert [row["kind"] for row in json.loads(ask("notes", runs[0], "--json").out)] == ["checkpoint", "note", "pin"]
    assert "\x1b" not in ask("notes", runs[0]).out
    assert "exclude each other" in both.err


def test_states_are_pruned_after_a_look(ask: Callable[..., Answer], bench: workbench.Workbench) -> None:
    """A dry run says what would go; then it goes, and a state that is gone is refused with what is there."""
    with bench.record(agent_type="clerk") as recording:
        for number in range(12):
            recording.event("message", role="user", text="x")
            recording.step({"n": number})
    run = str(recording.id)

    seen = ask("prune", run, "--every", "5", "--dry-run")
    done = ask("prune", run[:8], "--every", "5", "--json").json

    assert seen.out.startswith("Would remove 8 of 12 states of 1 run")
    assert (done["n_removed"], done["n_kept"], done["is_preview"]) == (8, 4, False)
    assert [row["step_number"] for row in done["plan"] if row["is_kept"]] == [0, 5, 10, 11]
    assert ask("state", run, "5").json == {"n": 5}
    refused = ask("state", run, "7")
    assert (refused.code != 0, "steps 6 to 9 were pruned" in refused.err) == (True, True)
    assert "Say which states may go" in ask("prune", run).err
