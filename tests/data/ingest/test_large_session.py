"""Sessions larger than memory: read in two passes, finished exactly as those that are held."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from histories import claude_line
from large_files import peak_of, vars_of

from workbench.data.ingest.formats import claude_code
from workbench.data.ingest.normal import Run, Steps
from workbench.data.ingest.reading.source import Source
from workbench.data.store.engine import Store


def session(n: int, *, seed: int = 3) -> list[dict[str, Any]]:
    """Prompts, answers over two lines, calls, results, a sub-agent, and lines a little out of order."""
    dice = random.Random(seed)
    lines: list[dict[str, Any]] = []
    for k in range(n):
        at = {"timestamp": f"2026-01-{1 + k // 1440:02d}T{k // 60 % 24:02d}:{k % 60:02d}:00Z"}
        if k % 4 == 1:
            usage = {"input_tokens": k, "output_tokens": 1}
            text = {"id": f"m{k}", "role": "assistant", "model": "m", "usage": usage, "content": "Let me look."}
            call = {"type": "tool_use", "id": f"c{k}", "name": "Bash", "input": {"prompt": f"task {k}"}}
            lines.append(claude_line(3 * k, type="assistant", message=text, **at))
            lines.append(claude_line(3 * k + 1, type="assistant", message={**text, "content": [call]}, **at))
        elif k % 4 == 2:
            result = {"type": "tool_result", "tool_use_id": f"c{k - 1}", "content": "x" * dice.randint(1, 2_000)}
            lines.append(claude_line(3 * k, message={"role": "user", "content": [result]}, **at))
        elif k % 4 == 3:
            side = {"isSidechain": True, "message": {"role": "user", "content": f"task {k - 2}"}}
            lines.append(claude_line(3 * k, **side, **at))
        else:
            lines.append(claude_line(3 * k, f"prompt {k}", **at))
    for k in range(0, len(lines) - 3, 7):
        lines[k], lines[k + 2] = lines[k + 2], lines[k]
    return lines


def written(lines: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def run_of(source: Source) -> Run:
    [run] = [item for item in claude_code.read(source) if isinstance(item, Run)]
    return run


def shared_sessions(shared_data: Path) -> list[Source]:
    found = sorted((shared_data / "claude-code").rglob("*.json*"))
    return [Source.of(path) for path in found if not path.name.startswith("expected")]


def test_lines_read_again_are_the_lines_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that is read twice gives the same run as one that is held, however its lines are ordered."""
    data = written(session(400))
    held, held_source = run_of(one := Source.from_bytes(data)), one
    monkeypatch.setattr(claude_code, "HELD_BYTES", 0)
    again = run_of(source := Source.from_bytes(data))

    assert isinstance(held.steps, list)
    assert isinstance(again.steps, Steps)
    assert list(again.steps) == held.steps
    assert again.steps[-1] == held.steps[-1]
    assert {**vars_of(again), "steps": None} == {**vars_of(held), "steps": None}
    assert source.notes == held_source.notes


def test_real_sessions_read_again_are_the_sessions_held(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for every real session."""
    held = [run_of(source) for source in shared_sessions(shared_data)]
    monkeypatch.setattr(claude_code, "HELD_BYTES", 0)
    again = [run_of(source) for source in shared_sessions(shared_data)]

    assert len(held) >= 10
    assert [list(run.steps) for run in again] == [list(run.steps) for run in held]
    assert [vars_of(run) for run in again] == [vars_of(run) for run in held]


def test_memory_does_not_grow_with_the_file(store: Store, tmp_path: Path) -> None:
    """A file twice as long takes hardly more memory: what is kept of a line does not hold its text."""
    peaks = []
    for n in (12_000, 24_000):  # both longer than what is held as a whole
        path = tmp_path / f"{n}.jsonl"
        with path.open("wb") as file:
            for k in range(n):
                at = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=k)).isoformat()
                line = claude_line(k, "word " * 1_200, sessionId=f"session-{n}", timestamp=at)
                file.write(json.dumps(line).encode() + b"\n")
        n_events, peak = peak_of(store, path)
        assert n_events == n
        peaks.append(peak)

    small, large = peaks
    grown = 12_000 * 6_000 / 1e6
    assert large - small < grown / 2, f"{small} MB, then {large} MB for {grown} MB more"
