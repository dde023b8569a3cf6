"""Small agent histories made for the tests, in the layout of the formats that are read."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

START = datetime(2026, 1, 2, 10, 0, tzinfo=UTC)
SESSION = "11111111-2222-3333-4444-555555555555"


class Session:
    """Writes a Claude Code session line by line; each line comes a second after the one before."""

    def __init__(self, session: str = SESSION, **common: Any) -> None:
        self.lines: list[dict[str, Any]] = []
        self._common = {"sessionId": session, "cwd": "/repo", "version": "2.0.0", "isSidechain": False} | common
        self._parent: str | None = None

    def line(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Add a line of any type."""
        n = len(self.lines)
        uuid = f"line-{n}"
        at = (START + timedelta(seconds=n)).isoformat().replace("+00:00", "Z")
        line = {"type": kind, "uuid": uuid, "parentUuid": self._parent, "timestamp": at} | self._common | fields
        self._parent = uuid
        self.lines.append(line)
        return line

    def user(self, content: Any, **fields: Any) -> dict[str, Any]:
        """Add what the user typed, or blocks."""
        return self.line("user", message={"role": "user", "content": content}, **fields)

    def result(self, call_id: str, content: str = "done", **block: Any) -> dict[str, Any]:
        """Add the result of a tool call."""
        return self.user([{"type": "tool_result", "tool_use_id": call_id, "content": content} | block])

    def assistant(self, message_id: str, *blocks: dict[str, Any], output: int = 10, **fields: Any) -> dict[str, Any]:
        """Add a line of an answer: its blocks, and the usage so far."""
        usage = {"input_tokens": 3, "output_tokens": output, "cache_creation_input_tokens": 5}
        usage["cache_read_input_tokens"] = 100
        message = {"id": message_id, "role": "assistant", "model": "model-a", "content": list(blocks), "usage": usage}
        return self.line("assistant", message=message, **fields)

    def bytes(self, n: int | None = None) -> bytes:
        """The first ``n`` lines as a file."""
        return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in self.lines[:n])


def text(words: str) -> dict[str, Any]:
    """A text block."""
    return {"type": "text", "text": words}


def tool_use(call_id: str, name: str = "Bash", **arguments: Any) -> dict[str, Any]:
    """A tool call block."""
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments}


def session(**common: Any) -> Session:
    """A session of two turns: an answer over three lines, one good and one failed call."""
    s = Session(**common)
    s.line("file-history-snapshot", snapshot={"trackedFileBackups": {}}, messageId="m")
    s.user("Fix the login")
    s.assistant("msg-1", {"type": "thinking", "thinking": "Look first."}, output=1)
    s.assistant("msg-1", text("I look."), output=5)
    s.assistant("msg-1", tool_use("call-1", command="ls"), output=20)
    s.result("call-1", "a.py")
    s.assistant("msg-2", tool_use("call-2", command="cat b.py"), output=7)
    s.result("call-2", "no such file", is_error=True)
    s.assistant("msg-3", text("There is no b.py."), output=9)
    s.user("Never mind")
    s.assistant("msg-4", text("Done."), output=2)
    return s


def tau_run(task: int = 1, trial: int = 0, reward: float = 1.0, **fields: Any) -> dict[str, Any]:
    """A tau-bench run of six messages, one of them a failed call."""
    call = {
        "id": "c1",
        "type": "function",
        "function": {"name": "get_order_details", "arguments": '{"order_id": "#W1"}'},
    }
    traj = [
        {"role": "system", "content": "# Retail agent policy\n\nHelp."},
        {"role": "user", "content": f"Where is my order? ({task}/{trial})"},
        {"role": "assistant", "content": "I look.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "name": "get_order_details", "content": "Error: order not found"},
        {"role": "assistant", "content": "I cannot find it."},
        {"role": "user", "content": "###STOP###"},
    ]
    info = {
        "task": {"user_id": "u1", "actions": [], "instruction": "You are u1. Ask for your order.", "outputs": []},
        "source": "user",
        "user_cost": 0.01,
        "reward_info": {"reward": reward, "info": {"r_actions": reward, "gt_data_hash": "x"}, "actions": []},
    }
    return {"task_id": task, "reward": reward, "info": info, "traj": traj, "trial": trial} | fields


def tau2_results(*simulations: dict[str, Any], llm: str = "model-a") -> dict[str, Any]:
    """A tau2-bench result file."""
    scenario = {"instructions": {"domain": "telecom", "reason_for_call": "My phone has no signal."}}
    return {
        "timestamp": "2026-01-02T10:00:00",
        "info": {
            "agent_info": {"implementation": "llm_agent", "llm": llm},
            "environment_info": {"domain_name": "telecom", "policy": "Be kind."},
            "num_trials": 1,
        },
        "tasks": [{"id": "7", "user_scenario": scenario, "evaluation_criteria": {"actions": []}}],
        "simulations": list(simulations),
    }


def tau2_simulation(*, cost: float = 0.25, reward: float | None = 1.0, **fields: Any) -> dict[str, Any]:
    """A simulation in which the agent and, as in the telecom domain, the user call tools."""

    def at(seconds: float) -> str:
        return (START + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()

    def said(role: str, seconds: float, content: str | None, **more: Any) -> dict[str, Any]:
        usage = {"prompt_tokens": 100, "completion_tokens": 10}
        record = {"role": role, "content": content, "tool_calls": None, "timestamp": at(seconds), "usage": usage}
        return record | {"cost": cost if role == "assistant" else 0.01} | more

    def call(name: str, call_id: str, requestor: str) -> list[dict[str, Any]]:
        return [{"id": call_id, "name": name, "arguments": {"on": True}, "requestor": requestor}]

    messages = [
        said("assistant", 0, "Hi!", cost=0.0, usage=None),
        said("user", 1, "No signal."),
        said("assistant", 2, None, tool_calls=call("check_line", "a1", "assistant")),
        {"id": "a1", "role": "tool", "content": "ok", "requestor": "assistant", "error": False, "timestamp": at(2.5)},
        said("user", 3, None, tool_calls=call("toggle_roaming", "u1", "user")),
        {"id": "u1", "role": "tool", "content": "broken", "requestor": "user", "error": True, "timestamp": at(3.25)},
        said("assistant", 4, "Solved."),
    ]
    return {
        "id": "00000000-0000-0000-0000-000000000001",
        "task_id": "7",
        "trial": 0,
        "seed": 1,
        "start_time": at(0),
        "end_time": at(5),
        "duration": 4.75,
        "termination_reason": "user_stop",
        "agent_cost": cost * 2,
        "user_cost": 0.02,
        "reward_info": None if reward is None else {"reward": reward, "reward_breakdown": {"DB": reward, "NL": 1.0}},
        "messages": messages,
    } | fields


def put(folder: Path, name: str, content: Any) -> Path:
    """A file of bytes, or of a JSON document."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path
