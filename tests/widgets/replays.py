"""Recorded runs to replay: a shop agent with a growing state, notes and branches; and long ones."""

from __future__ import annotations

from typing import Any

import workbench
from workbench.replay.cohort import Cohort
from workbench.replay.player import Replay

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\x1b[31m red \u202e\"'&"


def shop(bench: workbench.Workbench, n_steps: int = 12, **about: Any) -> str:
    """A run that puts things into a cart: every step has a state, some call a tool, two go wrong."""
    with bench.record(agent_type="shopper", name=about.pop("name", "buy a lamp"), **about) as run:
        items: list[Any] = []
        for number in range(n_steps):
            if number % 3 == 1:
                run.event("tool_call", name="search", tool={"name": "search", "arguments": {"q": f"lamp {number}"}})
                items.append({"id": number, "name": f"lamp {number}", "price": 10.0 + number})
            elif number % 3 == 2:
                is_bad = number in (5, 8)
                run.event(
                    "tool_result",
                    name="search",
                    severity="error" if is_bad else "info",
                    tool={"name": "search", "result": "timeout" if is_bad else "found", "is_error": is_bad},
                    error={"message": "timeout after 30 s"} if is_bad else None,
                )
            else:
                role = "user" if number == 0 else "assistant"
                run.event("message", name=role, role=role, text=f"message {number}", usage={"input_tokens": 10})
            run.step(state(number, items))
    return str(run.id)


def state(number: int, items: list[Any]) -> dict[str, Any]:
    """The state after a step."""
    return {
        "turn": number,
        "cart": {"items": [dict(item) for item in items], "total": sum(item["price"] for item in items)},
        "plan": ["look", "compare", "buy"][: 1 + number % 3],
        "notes": "the customer wants a lamp. " * 40,
        "odd/key~": {"": None, "yes": True},
        "said": HOSTILE,
    }


def player(bench: workbench.Workbench, n_steps: int = 12) -> Replay:
    """A cursor on such a run, with a note, a pin, a checkpoint, a fork and a rollback."""
    replay = bench.replay(shop(bench, n_steps))
    replay.seek(2).note("a note " + HOSTILE, author="ana")
    replay.seek(4).pin()
    replay.seek(6).checkpoint("before paying")
    replay.seek(3).fork(patch=[{"op": "replace", "path": "/turn", "value": 33}], name="other lamp")
    return replay.seek(0)


def refunds(bench: workbench.Workbench, n: int = 8) -> Cohort:
    """Stored runs of one task: every second one tries a refund twice, is refused, and fails."""
    for number in range(n):
        is_good = number % 2 == 0
        with bench.record(agent_type="clerk", task="Cancel W1", name=f"Cancel W1 · {number}") as run:
            run.event("message", role="user", text="Cancel my order.")
            run.step({"order": "W1", "done": []})
            tries = ("cancel_order",) if is_good else ("refund", "refund")
            for tried, tool in enumerate(tries):
                with run.tool(tool, {"order_id": "W1"}) as call:
                    call.result = "cancelled" if is_good else "refused"
                run.step({"order": "W1", "done": [tool] * (tried + 1)})
            run.event("message", role="assistant", text="Bye.")
            run.finish(status="completed" if is_good else "failed", error=None if is_good else "refused")
    return bench.cohort(task="Cancel W1")
