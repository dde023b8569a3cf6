"""`origin`: what it answers in a shell."""

from __future__ import annotations

from collections.abc import Callable

from answer import HOSTILE, Answer

import workbench


def test_origin(ask: Callable[..., Answer], bench: workbench.Workbench):
    """`origin` tells the chain as a table and as JSON; hostile text stays on its line."""
    with bench.record(agent_type="clerk") as run:
        run.event("message", role="user", text=f"Cancel W77123 {HOSTILE}")
        with run.tool("get_order", {"order_id": "W77123"}) as call:
            call.result = {"total": 4417.25}
        run.step({"order": {"total": 4417.25}})

    found = ask("origin", str(run.id), "order.total", "--json").json
    origins = [(row["depth"], row["source"], row["step_number"]) for row in found if row["is_origin"]]
    assert origins == [(0, "state change", 2), (1, "tool result", 2), (2, "user message", 0)]
    lines = ask("origin", str(run.id), "order.total").out.splitlines()
    assert len(lines) == 1 + len(found)
    assert lines[1].startswith("*")
    assert "\x1b" not in "".join(lines)
    assert [row["depth"] for row in ask("origin", str(run.id), "order.total", "--depth", "0", "--json").json] == [0]


def test_origin_of_nothing(ask: Callable[..., Answer], runs: list[str]):
    """A path that is not there is an error that names what is near."""
    answer = ask("origin", runs[0], "canceled")

    assert (answer.code, answer.out) == (1, "")
    assert "has no 'canceled'. Near: cancelled." in answer.err
