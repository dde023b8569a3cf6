"""The command, asked in this process on this test's database."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from answer import HOSTILE, Answer

import workbench
from workbench.cli import app as cli


@pytest.fixture(autouse=True)
def no_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody says how wide a line may be: a test that wants to, does; pytest tells its own workers."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str], database_url: str) -> Callable[..., Answer]:
    """Run the command; its output goes to no terminal."""

    def run(*arguments: str) -> Answer:
        code = cli.run(["--url", database_url, *arguments])
        return Answer(code, *capsys.readouterr())

    return run


@pytest.fixture
def runs(bench: workbench.Workbench) -> list[str]:
    """A failed run with hostile text and a good one of the same task; ids in this order."""
    ids = []
    for good in (False, True):
        with bench.record(agent_type="clerk", task="Cancel W1", name=f"run {good} {HOSTILE}", input=HOSTILE) as run:
            run.event("message", name="user", role="user", text=HOSTILE)
            with run.tool("get_order", {"order_id": "W1"}) as call:
                call.result = {"status": "pending"}
            if good:
                with run.tool("cancel_order", {"order_id": "W1"}) as call:
                    call.result = {"status": "cancelled"}
            run.step({"cancelled": good})
            run.finish(status="completed" if good else "failed", error=None if good else HOSTILE)
        ids.append(str(run.id))
    return ids
