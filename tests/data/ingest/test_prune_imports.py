"""Runs of which states were pruned, imported again: what was pruned stays away, and nothing else is changed by it."""

from __future__ import annotations

import json
import uuid
import zipfile
from pathlib import Path
from typing import Any

import pytest
from histories import claude_line

import workbench
from workbench.data.store.pruned import gaps
from workbench.data.store.snapshots import rebuild_all
from workbench.errors import PrunedError


def session(path: Path, first: int, last: int) -> Path:
    """The lines of a session from one to another; each hangs on the one before it."""
    lines = []
    for n in range(first, last):
        line = claude_line(n, f"said {n}. " * 20)
        line["parentUuid"] = claude_line(n - 1)["uuid"] if n else None
        lines.append(json.dumps(line) + "\n")
    path.write_text("".join(lines))
    return path


def trajectory(path: Path, n: int) -> Path:
    """A run whose source records a state at each step."""
    entries = [
        {"action": f"open {i}", "observation": "x", "response": f"I open {i}.",
         "state": json.dumps({"open_file": str(i), "working_dir": "/repo " * 50})} for i in range(n)
    ]  # fmt: skip
    told = [{"role": "user", "content": "Fix it."}]
    for entry in entries:
        told += [{"role": "assistant", "content": entry["response"]}, {"role": "user", "content": "x (seen)"}]
    path.write_text(json.dumps({"trajectory": entries, "history": told[:-2], "info": {"exit_status": None}}))
    return path


def read(bench: workbench.Workbench, path: Path) -> Any:
    """Import a file; its report."""
    [file] = bench.ingest(path, progress=False).files
    assert file.error is None
    return file


def whole(bench: workbench.Workbench, run: str) -> dict[int, Any]:
    """Every stored state of a run, rebuilt from the rows alone."""
    with bench.store.raw() as connection:
        rows = connection.execute(
            "SELECT step_number, keyframe_step, state::text FROM workbench.execution_snapshots"
            " WHERE execution_id = %s ORDER BY step_number",
            [run],
        ).fetchall()
    return dict(rebuild_all(rows))


def gone(bench: workbench.Workbench, run: str) -> list[tuple[int, int, int]]:
    """Its gaps."""
    with bench.store.raw() as connection:
        return [tuple(gap) for gap in gaps(connection, [run]).get(uuid.UUID(run), [])]


def stored(bench: workbench.Workbench) -> list[Any]:
    """All rows of runs."""
    names = ("agent_executions", "observability_events", "execution_snapshots", "pruned_states")
    with bench.store.raw() as connection:
        return [connection.execute(f"SELECT * FROM workbench.{name} ORDER BY id".encode()).fetchall() for name in names]


def test_a_file_read_again_changes_nothing(bench, tmp_path):
    """The same bytes: no state comes back, no row is written."""
    path = session(tmp_path / "s.jsonl", 0, 20)
    read(bench, path)
    run = bench.executions()["id"][0]
    bench.prune(run, every=6)
    before = stored(bench)

    report = read(bench, path)

    assert stored(bench) == before
    assert (report.new.snapshots, report.updated) == (0, 0)


@pytest.mark.parametrize("make", [lambda path, n: session(path, 0, n), trajectory])
def test_a_file_that_grew_brings_its_new_states_alone(bench, tmp_path, make):
    """States that were pruned stay away, those of new steps come in, and all are what the whole file says."""
    path = make(tmp_path / ("s.jsonl" if make is not trajectory else "s.traj"), 30)
    read(bench, path)
    [run] = bench.executions()["id"]
    expected = whole(bench, run)
    bench.undo(bench.imports()["id"][0])
    read(bench, make(path, 15))
    [run] = bench.executions()["id"]
    n_first = len(whole(bench, run))
    done = bench.prune(run, every=6)
    removed = set(done.plan.filter(~done.plan["is_kept"])["step_number"])
    assert removed

    report = read(bench, make(path, 30))

    assert whole(bench, run) == {step: state for step, state in expected.items() if step not in removed}
    assert report.new.snapshots == len(expected) - n_first
    assert any("not brought back" in note.why for note in report.kept)
    for step in removed:
        with pytest.raises(PrunedError):
            bench.state(run, step)
    before = stored(bench)
    read(bench, make(path, 30))
    assert stored(bench) == before
    bench.undo(bench.imports()["id"][0])
    if len(bench.imports()):
        bench.undo(bench.imports()["id"][0])
    read(bench, make(path, 30))
    assert whole(bench, run) == expected


def test_a_beginning_that_comes_late_moves_the_gaps(bench, tmp_path):
    """The steps get other numbers: what was pruned is known by its events, and stays away where it is now."""
    read(bench, session(tmp_path / "all.jsonl", 0, 16))
    [run] = bench.executions()["id"]
    expected = whole(bench, run)
    bench.undo(bench.imports()["id"][0])
    read(bench, session(tmp_path / "end.jsonl", 6, 16))
    [run] = bench.executions()["id"]
    bench.prune(run, every=4)
    assert gone(bench, run) == [(1, 3, 3), (5, 7, 3)]

    read(bench, session(tmp_path / "begin.jsonl", 0, 9))

    assert gone(bench, run) == [(7, 9, 3), (11, 13, 3)]
    kept = {step: state for step, state in expected.items() if step not in {7, 8, 9, 11, 12, 13}}
    assert whole(bench, run) == kept


def test_an_undo_that_builds_a_run_anew_leaves_out_what_was_pruned(bench, tmp_path):
    """The run is made again of the other file that holds it; its pruned states stay away."""
    short, long = session(tmp_path / "short.jsonl", 0, 12), session(tmp_path / "long.jsonl", 0, 20)
    read(bench, short)
    [run] = bench.executions()["id"]
    expected = whole(bench, run)
    read(bench, long)
    bench.prune(run, every=5)
    [last] = bench.imports().filter(path=str(long))["id"]

    bench.undo(last)

    assert whole(bench, run) == {step: expected[step] for step in (0, 5, 10, 11)}
    assert gone(bench, run) == [(1, 4, 4), (6, 9, 4)]


def test_secrets_of_states_that_went_are_no_longer_marked(bench, tmp_path):
    """Marks point into states that are stored."""
    key = "ghp_" + "a1B2c3D4e5F6g7H8i9J0" * 2
    with bench.record(agent_type="planner") as recording:
        for number in range(6):
            recording.event("message", role="user", text="x")
            recording.step({"n": number, "key": key[:40] if number == 3 else "none"})
    run = str(recording.id)
    assert bench.rescan(run)["place"].to_list() == ["state/3/key"]

    bench.prune(run, last=1)

    assert bench.secrets(run).is_empty()


def test_a_bundle_tells_what_was_pruned(bench, tmp_path):
    """Where it is read, a state that was pruned is refused too; what it says wrongly of gaps is put aside."""
    with bench.record(agent_type="planner") as recording:
        for number in range(12):
            recording.event("message", role="user", text="x")
            recording.step({"n": number})
    run = str(recording.id)
    bench.prune(run, every=5)
    bundle = bench.export_bundle(run, tmp_path / "run.zip")

    report = read(bench, bundle)

    [copy] = bench.executions(source="workbench-bundle")["id"]
    assert report.n_bad == 0
    assert gone(bench, copy) == gone(bench, run) == [(1, 4, 4), (6, 9, 4)]
    assert whole(bench, copy) == whole(bench, run)
    with pytest.raises(PrunedError):
        bench.state(copy, 7)
    with zipfile.ZipFile(bundle) as archive:
        lines = archive.read("run.jsonl")
    with zipfile.ZipFile(tmp_path / "wrong.zip", "w") as archive:
        for wrong in ((9, 1, 1), (-1, 3, 1), (3, 5, 1), (1, 2, 0), (1, 2**40, 3)):
            gap = dict(zip(("first_step", "last_step", "n_states"), wrong, strict=True))
            lines += json.dumps({"kind": "pruned", **gap}).encode() + b"\n"
        archive.writestr("run.jsonl", lines)
    assert read(bench, tmp_path / "wrong.zip").n_bad == 5
    assert gone(bench, copy) == [(1, 4, 4), (6, 9, 4)]
