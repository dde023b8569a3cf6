"""A recorded run as a pytest file: it passes on the recorded agent, fails on a changed one, and needs nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

import workbench

AGENT = '''
"""An agent that looks for a flight, asks, books, and says what it did."""

import uuid

from workbench.replay.capture.decorators import trace
from workbench.testing import pure

CALLED = []


class SoldOutError(Exception):
    def __init__(self, flight):
        super().__init__(f"flight {flight} is sold out")


@pure
@trace(kind="tool")
def search(to: str, budget: int = 100) -> list[tuple[int, str]]:
    CALLED.append("search")
    return [(7, "morning"), (8, "night")]


@trace(kind="tool", name="reserve")
def hold(flight: int, request_id: str) -> str:
    CALLED.append("hold")
    if flight == 7:
        raise SoldOutError(flight)
    return f"held {flight}"


@trace(kind="llm", model="m-1")
def ask(messages):
    CALLED.append("ask")
    return "take the night flight"


def plan(state, *, tool=search, to=None, wish="night", note="ok", again=False):
    found = tool(to or state["to"])
    yield {**state, "found": found}
    try:
        hold(found[0][0], request_id=str(uuid.uuid4()))
    except SoldOutError:
        note = note + ", sold out"
    answer = ask([f"which of {found}?"])
    held = hold(found[1][0], request_id=str(uuid.uuid4()))
    if again:
        search("ROM")
    yield {**state, "held": held, "answer": answer, "note": note}


def other_tool(state):
    return plan(state, tool=lambda to: ask([to]) and [(7, ""), (8, "")])


def other_argument(state):
    return plan(state, to="ROM")


def other_state(state):
    return plan(state, note="hm")


def one_step_more(state):
    return plan(state, again=True)


def one_step_less(state):
    yield {**state, "found": [list(one) for one in search(state["to"])]}


def broken(state):
    search(state["to"])
    raise ValueError("nothing works")
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The agent as the user's own module."""
    (tmp_path / "flights_agent.py").write_text(AGENT, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield import_module("flights_agent")
    del sys.modules["flights_agent"]


@pytest.fixture
def run(bench: workbench.Workbench, module: ModuleType) -> str:
    """The agent, recorded."""
    begun = {"to": "OSL"}
    with bench.record(agent_type="planner", task="To Oslo") as run:
        run.event("message", role="user", text="To Oslo")
        run.step(begun)
        for state in module.plan(begun):
            last = state
            run.step(state)
        run.finish(output=last)
    module.CALLED.clear()
    return str(run.id)


def pytested(folder: Path, *files: str) -> subprocess.CompletedProcess[str]:
    """Run pytest as a user does: a process of its own, in which every connection fails and no database is known."""
    (folder / "conftest.py").write_text(
        "import sys\n"
        "def refuse(event, args):\n"
        "    if event.startswith('socket.') and event not in ('socket.__new__', 'socket.gethostname'):\n"
        "        raise OSError(f'no network here: {event}')\n"
        "sys.addaudithook(refuse)\n"
    )
    clear = {name: value for name, value in os.environ.items() if not name.startswith(("WORKBENCH_", "PYTEST_"))}
    clear |= {"WORKBENCH_HOME": str(folder / "home"), "WORKBENCH_SPOOL": str(folder / "spool"), "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml", "said.xml", "--rootdir", ".",
         "-c", os.devnull, *files],
        cwd=folder, env=clear, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert not (folder / "home").exists()
    assert not (folder / "spool").exists()
    return done


def outcomes(folder: Path) -> dict[tuple[str, str], str]:
    """What pytest said of each test, by file and name; of one that passed, nothing."""
    said = {}
    for case in ElementTree.parse(folder / "said.xml").iter("testcase"):
        problem = next((one for one in case if one.tag in ("failure", "error")), None)
        file = case.get("classname", "").removeprefix("test_")
        said[file, case.get("name", "")] = "" if problem is None else problem.get("message", "")
    return said


CHANGED = ("other_tool", "other_argument", "other_state", "one_step_more", "one_step_less", "broken")


def test_it_passes_on_the_recorded_agent_and_fails_on_a_changed_one(bench, run, tmp_path):
    """Unchanged, all pass without database and network; each change fails with the step, both sides and the diff."""
    bench.to_pytest(run, tmp_path / "test_plan.py", agent="flights_agent:plan")
    for name in CHANGED:
        bench.to_pytest(run, tmp_path / f"test_{name}.py", agent=f"flights_agent:{name}")

    done = pytested(tmp_path)
    said = outcomes(tmp_path)

    assert done.returncode == 1, done.stderr
    assert [said["plan", f"test_{what}"] for what in ("steps", "states", "output", "end")] == [""] * 4
    assert said["other_state", "test_steps"] == said["other_state", "test_end"] == ""
    assert said["one_step_less", "test_end"] == ""
    told = (
        ("other_tool", "steps", "Step 1 is not", "expected  search(to='OSL')", "got a question to the model",
         "not recorded: ask("),
        ("other_argument", "steps", "Step 1 is not", "got       search(to='ROM')", 'diff      replace /to: "ROM"'),
        ("other_state", "states", "State after step 7", '"note":"hm, sold out"', 'replace /note: "hm, sold out"'),
        ("other_state", "output", "The output is not", "replace /note"),
        ("one_step_more", "steps", "What comes after step 6", "expected  nothing more", "got       search(to='ROM')",
         "stopped where it asked for what was not recorded: search(to='ROM')."),
        ("one_step_less", "steps", "Step 3 is not", "expected  reserve(flight=7", "got       nothing",
         "2 more: Step 5"),
        ("one_step_less", "states", "State after step 7", "got       nothing"),
        ("broken", "steps", "The agent ended with ValueError: nothing works"),
        ("broken", "end", "expected  completed", "got       failed"),
    )  # fmt: skip
    for file, name, *words in told:
        for word in words:
            assert word in said[file, f"test_{name}"], (file, name)
