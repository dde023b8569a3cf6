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


def test_context(ask: Callable[..., Answer], bench: workbench.Workbench):
    """`context` lists the model calls, and with `--step` the messages of one; hostile text stays on its line."""
    with bench.record(agent_type="clerk") as run:
        run.event("message", role="user", text=f"Hello {HOSTILE}")
        run.event("message", role="assistant", text="Hi", usage={"input_tokens": 300, "output_tokens": 2})
        run.event("message", role="user", text="More")
        run.event("message", role="assistant", text="Yes", usage={"input_tokens": 20, "cache_read_tokens": 300})

    found = ask("context", str(run.id), "--json").json
    assert [(row["step_number"], row["tokens"], row["prefix_kept_tokens"]) for row in found] == [
        (1, 300, None), (3, 320, 300)
    ]  # fmt: skip
    assert len(ask("context", str(run.id)).out.splitlines()) == 3
    messages = ask("context", str(run.id), "--step", "3", "--json").json
    assert [row["change"] for row in messages] == ["kept", "kept", "added", "added"]
    shown = ask("context", str(run.id), "--step", "3").out
    assert len(shown.splitlines()) == 5
    assert "\x1b" not in shown
    answer = ask("context", str(run.id), "--step", "0")
    assert (answer.code, answer.out) == (1, "")
    assert "the first is at step 1" in answer.err
