"""Trajectories that are written again after each step: what is new is added, and the whole is as if read at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from histories import rows

from workbench.data.ingest import ingest
from workbench.data.store import schema
from workbench.data.store.engine import Store

CALL = {"tool_call_id": "c1", "function_name": "bash", "arguments": {"command": "ls"}}


def atif(n: int) -> Any:
    acted = {"source": "agent", "tool_calls": [CALL], "metrics": {"prompt_tokens": 9, "cost_usd": 0.1}}
    steps = [
        {"step_id": i, "message": f"step {i}", **(acted if i > 1 else {"source": "user"})} for i in range(1, n + 1)
    ]
    return {"schema_version": "ATIF-v1.7", "session_id": "session-1", "agent": {"name": "acme"}, "steps": steps}


def traj(n: int, state: Callable[[dict[str, str]], Any]) -> Any:
    entries = [
        {"action": f"open {i}", "observation": "x", "response": f"I open {i}.", "state": state({"open_file": str(i)})}
        for i in range(n)
    ]
    told = [{"role": "user", "content": "Fix it."}]
    for entry in entries:
        told += [{"role": "assistant", "content": entry["response"]}, {"role": "user", "content": "x (seen)"}]
    # The last answer and what came back are not among the messages yet.
    return {"trajectory": entries, "history": told[:-2], "info": {"exit_status": "submitted" if n > 2 else None}}


def mini(n: int) -> Any:
    talk = [{"role": "user", "content": "Go."}]
    for i in range(n):
        talk += [
            {"role": "assistant", "content": f"```bash\nls {i}\n```", "extra": {"cost": 0.1, "timestamp": 1e9 + i}}
        ]
        talk += [{"role": "user", "content": "x", "extra": {"returncode": 0}}]
    return {"info": {"exit_status": "" if n < 3 else "Submitted", "mini_version": "2"}, "messages": talk}


def openhands(n: int) -> Any:
    at = [{"id": i, "timestamp": f"2025-01-20T20:29:{i:02d}"} for i in range(2 * n)]
    events = [{**at[0], "source": "user", "message": "", "action": "message", "args": {"content": "Go."}}]
    for i in range(1, n):
        call = {"source": "agent", "message": "", "action": "run", "args": {"command": f"ls {i}"}}
        came = {
            "source": "agent",
            "message": "",
            "observation": "run",
            "cause": 2 * i - 1,
            "content": "x",
            "extras": {},
        }
        events += [{**at[2 * i - 1], **call}, {**at[2 * i], **came}]
    return events


MAKERS: dict[str, Callable[[int], Any]] = {
    "atif": atif,
    "states after": lambda n: traj(n, dict),
    "states before": lambda n: traj(n, json.dumps),
    "mini": mini,
    "openhands": openhands,
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_grown_file_is_completed(name: str, store: Store, tmp_path: Path) -> None:
    """Read with one, two and three steps, the store holds what reading the last alone gives, row by row."""
    path = tmp_path / "trajectory.json"
    outcomes = []
    for n in (1, 2, 3):
        path.write_text(json.dumps(MAKERS[name](n)))
        [file] = ingest(store, path, progress=False).files
        outcomes.append(file.outcome)
    grown = _without_imports(store)

    schema.downgrade(store, "base")
    schema.upgrade(store)
    ingest(store, path, progress=False)

    assert outcomes == ["new", "extended", "extended"]
    assert len(grown["agent_executions"]) == 1
    assert grown == _without_imports(store)


def _without_imports(store: Store) -> dict[str, Any]:
    """Every row but the record of the imports, which are three in the one and one in the other."""
    found = rows(store, without_versions=True)
    del found["imports"]
    return found
