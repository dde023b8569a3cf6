"""A recorded run as a pytest file: it passes on the recorded agent, fails on a changed one, and needs nothing else."""

from __future__ import annotations

import ast
import asyncio
import contextvars
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest

import workbench
from workbench import testing
from workbench.errors import ConfigurationError, DisclosureError, NotFoundError

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


HOSTILE = (
    "'''\"\"\"'; import os; os._exit(3)  # {0} {x} %s \\",
    '"""\nraise SystemExit(4)\n"""',
    "\\\\\" \\' \\N{BULLET} \\u0041 \\x41",
    "a\x00b\x1b[31m\x85\u2028\u2029\u202e\ufeff\r\n\t\v\f",
    "\ud800 alone \udfff",
    "LARGE['step 1']",
    "x" * 1_000_000,
    "y\"'\\\n" * 200_000,
)


def literals(file: Path) -> dict[str, Any]:
    """The values of a test file, read without running it; nothing but literals and places in the JSON file."""
    tree = ast.parse(file.read_bytes())
    beside = file.with_suffix(".recorded.json")
    large = json.loads(beside.read_bytes()) if beside.exists() else {}

    def value(node: ast.expr) -> Any:
        if isinstance(node, ast.Subscript):
            assert ast.unparse(node.value) == "LARGE"
            return large[ast.literal_eval(node.slice)]
        if isinstance(node, ast.List):
            return [value(item) for item in node.elts]
        if isinstance(node, ast.Dict):
            return {ast.literal_eval(key): value(item) for key, item in zip(node.keys, node.values, strict=True) if key}
        return ast.literal_eval(node)

    assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
    return {ast.unparse(node.targets[0]): value(node.value) for node in assigned if ast.unparse(node)[:5] != "LARGE"}


def test_hostile_text_is_never_code(bench, tmp_path):
    """Quotes, backslashes, NUL, lone surrogates and a megabyte, wherever an agent may write: the file is the same."""
    deep: Any = "bottom"
    for _ in range(150):
        deep = [deep]
    with bench.record(agent_type=HOSTILE[0], task=HOSTILE[1][:200], name=HOSTILE[3], input=list(HOSTILE)) as run:
        for text in HOSTILE:
            with run.tool(text[:100] or "tool", {text[:300]: text}) as call:
                call.result = {"said": text, "deep": deep}
        run.step({text[:50]: text for text in HOSTILE})
        run.finish(output=HOSTILE[1], error=HOSTILE[1], error_type=HOSTILE[0])
    agent = 'x\'"""\n;import os:\\'
    harmless = bench.record(agent_type="other")
    with harmless as other, other.tool("look", {"at": 1}) as call:
        call.result = 2

    file = bench.to_pytest(run.id, tmp_path / "test_hostile.py", agent=agent)
    plain = bench.to_pytest(other.id, tmp_path / "test_plain.py", agent="a:b")
    first = file.read_bytes(), file.with_suffix(".recorded.json").read_bytes()
    bench.to_pytest(run.id, file, agent=agent)

    found = literals(file)
    for kind, what in (("tool_call", "arguments"), ("tool_result", "result")):
        stored = [json.loads(data)["tool"][what] for data in bench.events(run.id, event_type=kind)["data"]]
        assert [step[what] for step in found["STEPS"]] == stored
    assert found["STATES"] == [{"step": 15, "state": bench.state(run.id, 15)}]
    assert found["AGENT"] == agent
    assert [found["OUTPUT"], found["INPUT"][:3]] == [HOSTILE[1], list(HOSTILE[:3])]
    assert first == (file.read_bytes(), file.with_suffix(".recorded.json").read_bytes())
    assert len(first[0]) < 40_000
    assert code_of(file) - code_of(plain) <= {"LARGE = testing.kept_beside(__file__)"} | statements("STATES", "OUTPUT")


def code_of(file: Path) -> set[str]:
    """The statements of a test file, without what is assigned."""
    tree = ast.parse(file.read_bytes())
    return {ast.unparse(node) for node in tree.body if not isinstance(node, ast.Assign)} - {ast.unparse(tree.body[0])}


def statements(*names: str) -> set[str]:
    """What may stand in a file more than in another one: the tests of what was recorded, and their fixture."""
    return {
        ast.unparse(node)
        for text in ("def test_states(played: testing.Played) -> None:\n"
                     '    """It goes through the same states."""\n    testing.check_states(played, STATES)',
                     "def test_output(played: testing.Played) -> None:\n"
                     '    """It comes to the same output."""\n    testing.check_output(played, OUTPUT)',
                     '@pytest.fixture(scope="module")\ndef played() -> testing.Played:\n'
                     '    """The agent, run on the recording."""\n'
                     "    return testing.play(AGENT, STEPS, input=INPUT)",
                     "def test_end(played: testing.Played) -> None:\n"
                     '    """It ends as it did."""\n'
                     f"    testing.check_end(played, {HOSTILE[0]!r})")
        for node in ast.parse(text).body
    }  # fmt: skip


SECRET = "ghp_" + "a1B2c3D4e5F6g7H8i9J0" + "k1L2m3N4o5P6q7R8"


def test_secrets_stay_out_and_any_text_fits_in_their_place(bench, tmp_path):
    """No secret is in either file, and an agent that has it passes; another argument beside it does not."""

    @testing.side_effect
    def push(token: str, branch: str) -> str:
        raise AssertionError("called for real")

    def agent(state: dict[str, Any], branch: str = "main") -> str:
        return push(SECRET, branch) + SECRET

    with bench.record(agent_type="clerk") as run:
        run.event("message", role="user", text=f"My token is {SECRET}")
        run.step({"token": SECRET})
        with run.tool("push", {"token": SECRET, "branch": "main"}) as call:
            call.result = f"pushed with {SECRET}" + " and more" * 1000
        run.finish(output=call.result + SECRET)

    file = bench.to_pytest(run.id, tmp_path / "test_push.py")
    beside = file.with_suffix(".recorded.json")
    open_ = bench.to_pytest(run.id, tmp_path / "test_open.py", redact=False)

    assert SECRET not in file.read_text() + beside.read_text()
    assert "[redacted: " in file.read_text()
    assert SECRET in open_.read_text()
    found = literals(file)
    same = testing.play(agent, found["STEPS"], state=found["STATE"])
    testing.check_steps(same, found["STEPS"])
    testing.check_output(same, found["OUTPUT"])
    other = testing.play(lambda state: agent(state, "prod"), found["STEPS"], state=found["STATE"])
    with pytest.raises(testing.NotAsRecordedError, match=r'replace /branch: "prod"'):
        testing.check_steps(other, found["STEPS"])


def test_nothing_is_written_where_a_secret_would_be_left(bench, tmp_path, monkeypatch):
    """Where redaction lets one through, the last look refuses, and no file is there."""
    with bench.record(agent_type="clerk") as run, run.tool("push", {"token": SECRET}) as call:
        call.result = "done"
    monkeypatch.setattr("workbench.data.secrets.redact.Redactor.text", lambda self, text, key=None: text)

    with pytest.raises(DisclosureError):
        bench.to_pytest(run.id, tmp_path / "test_push.py")
    assert list(tmp_path.iterdir()) == []


def test_large_answers_lie_beside_and_are_missed(bench, tmp_path):
    """A large answer is in the JSON file; without that file the error names both."""
    with bench.record(agent_type="reader") as run, run.tool("read", {"path": "a"}) as call:
        call.result = "line\n" * 5_000

    file = bench.to_pytest(run.id, tmp_path / "test_read.py")

    assert len(file.read_bytes()) < 4_000
    assert literals(file)["STEPS"][0]["result"] == "line\n" * 5_000
    assert testing.kept_beside(str(file)).popitem()[1] == "line\n" * 5_000
    file.with_suffix(".recorded.json").unlink()
    with pytest.raises(ConfigurationError, match=r"recorded\.json holds the large recorded values of test_r"):
        testing.kept_beside(str(file))


def test_growing_states_are_patches(bench, tmp_path):
    """States that grow by a little are told by what is new, and come back whole."""
    states = [{"messages": [f"message {n} " * 40 for n in range(length)]} for length in range(1, 40)]

    def agent() -> Iterator[dict[str, Any]]:
        yield from states

    with bench.record(agent_type="talker") as run:
        for state in states:
            run.event("state")
            run.step(state)

    found = literals(bench.to_pytest(run.id, tmp_path / "test_talk.py"))

    assert sum("patch" in one for one in found["STATES"]) > 30
    testing.check_states(testing.play(agent, []), found["STATES"])
    with pytest.raises(testing.NotAsRecordedError, match="State after step 38 is not as recorded"):
        testing.check_states(testing.play(lambda: iter_of(states[:-1])(), []), found["STATES"])


def iter_of(states: list[Any]) -> Any:
    """A generator function of some states."""

    def agent() -> Iterator[Any]:
        yield from states

    return agent


def test_an_agent_that_records_itself_is_tested_as_it_is(bench, tmp_path):
    """With `bench.record()` inside, its steps, states and output are kept in memory; the database hears nothing."""

    @testing.pure
    def price(item: str) -> int:
        return 5

    def shop(item: str, limit: int = 10) -> None:
        with bench.record(agent_type="shop", input={"item": item}) as run:
            with run.tool("price", {"item": item}) as call:
                call.result = price(item)
            run.step({"price": call.result})
            run.finish(output="bought" if call.result < limit else "left")

    shop("tea")
    before = bench.executions()

    found = literals(bench.to_pytest(before["id"][0], tmp_path / "test_shop.py"))
    played = testing.play(shop, found["STEPS"], input=found["INPUT"])

    testing.check_steps(played, found["STEPS"])
    testing.check_states(played, found["STATES"])
    testing.check_output(played, found["OUTPUT"])
    changed = testing.play(shop, found["STEPS"], kwargs={"item": "tea", "limit": 1})
    with pytest.raises(testing.NotAsRecordedError, match='expected  "bought"\n  got       "left"'):
        testing.check_output(changed, found["OUTPUT"])
    assert bench.executions().equals(before)


def test_a_traced_agent_is_given_its_input_by_name(bench, tmp_path):
    """A function under `bench.trace(kind="agent")` runs as it was called, async, with its tools in threads."""
    called = []

    @bench.trace(kind="tool")
    def fetch(page: int) -> str:
        called.append(page)
        return f"page {page}"

    @bench.trace(kind="agent", agent_type="reader")
    async def read(book: str, pages: int = 2) -> list[str]:
        found = []
        for page in range(pages):
            context = contextvars.copy_context()
            found.append(await asyncio.get_running_loop().run_in_executor(None, context.run, fetch, page))
        return found

    asyncio.run(read("Dune", pages=3))
    bench.deliver()
    run = wait_for(bench, "reader")
    called.clear()

    found = literals(bench.to_pytest(run, tmp_path / "test_read.py"))
    played = testing.play(read, found["STEPS"], input=found["INPUT"])

    testing.check_steps(played, found["STEPS"])
    testing.check_output(played, found["OUTPUT"])
    testing.check_end(played)
    assert (played.output, called) == (["page 0", "page 1", "page 2"], [])


def wait_for(bench: workbench.Workbench, agent_type: str) -> str:
    """The one run of an agent, once it is delivered."""
    from workbench.replay.capture.delivery import delivery_of

    assert delivery_of(bench.store).flush(30)
    return bench.executions(agent_type=agent_type)["id"].item()


def test_threads_of_an_agent_are_answered():
    """A thread that the agent starts without its context asks the recording too, and calls nothing."""
    steps = [{"step": n, "tool": "fetch", "arguments": {"page": n}, "result": f"page {n}"} for n in range(20)]

    @testing.side_effect
    def fetch(page: int) -> str:
        raise AssertionError("called for real")

    def agent() -> list[str]:
        with ThreadPoolExecutor(1) as pool:
            return list(pool.map(fetch, range(20)))

    played = testing.play(agent, steps)

    assert played.output == [f"page {n}" for n in range(20)]
    testing.check_steps(played, steps)


def test_an_agent_that_reaches_outside_is_told(tmp_path):
    """A connection that is no declared tool is refused, and the failure names it."""

    def agent() -> None:
        urllib.request.urlopen("http://127.0.0.1:9/", timeout=1)

    played = testing.play(agent, [])

    with pytest.raises(testing.NotAsRecordedError, match=r"(?s)expected  completed.*A connection was to be made"):
        testing.check_end(played)


def test_an_unnamed_agent_fails_with_what_to_do(bench, tmp_path):
    """Without agent= the file has a marked place, and its tests fail with how to fill it."""
    with bench.record(agent_type="clerk") as run, run.tool("look", {}) as call:
        call.result = 1
    file = bench.to_pytest(run.id, tmp_path / "test_look.py")

    done = pytested(tmp_path)

    assert "NAME YOUR AGENT HERE" in file.read_text()
    assert done.returncode == 1
    assert 'Put its import path into AGENT at the top of this file, as "my_package.agents:plan"' in done.stdout


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        ("nowhere", "is no import path"),
        ("nowhere_at_all:plan", "There is no module 'nowhere_at_all'"),
        ("json:plan", "json has no 'plan'. It has: "),
        ("json:__name__", "agent is a str, which cannot be run"),
    ],
)
def test_an_agent_that_is_not_there_is_named(agent, said):
    """What is wrong with the path of an agent is said."""
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        testing.play(agent, [])


def test_what_cannot_be_written_is_refused(bench, run, tmp_path):
    """A file that is no Python, a folder that is not there, an agent without a path, a step without a state."""
    with pytest.raises(ConfigurationError, match="is no Python file"):
        bench.to_pytest(run, tmp_path / "test.json")
    with pytest.raises(ConfigurationError, match="there is no folder"):
        bench.to_pytest(run, tmp_path / "no" / "test_x.py")
    with pytest.raises(ConfigurationError, match="is no import path"):
        bench.to_pytest(run, tmp_path / "test_x.py", agent="plan")
    with bench.record(agent_type="clerk") as empty:
        empty.event("message", role="user", text="hello")
    with pytest.raises(NotFoundError, match="No state was recorded at or before step 0"):
        bench.to_pytest(empty.id, tmp_path / "test_x.py", step=0)
    assert [one.name for one in tmp_path.iterdir() if one.suffix == ".py"] == ["flights_agent.py"]


def test_a_test_may_begin_later(bench, module, run, tmp_path):
    """With step= the agent begins with the state there, and only what came after is expected."""
    found = literals(bench.to_pytest(run, tmp_path / "test_late.py", step=2))

    assert found["STATE"] == {"to": "OSL", "found": [[7, "morning"], [8, "night"]]}
    assert [step["step"] for step in found["STEPS"]] == [3, 5, 6]


def test_what_was_run_again_is_a_captured_run(bench, module, run, tmp_path):
    """A branch of a captured run has calls and no turns of a model; its test says nothing of files."""
    again = bench.rerun(run, module.plan)
    text = bench.to_pytest(again.id, tmp_path / "test_again.py", agent="flights_agent:plan").read_text()

    assert "'turn'" not in text
    assert "read from a file" not in text
    assert [step["tool"] for step in literals(tmp_path / "test_again.py")["STEPS"] if "tool" in step] == [
        "search", "reserve", "reserve",
    ]  # fmt: skip


def test_an_imported_run_says_what_it_can_check(bench, tmp_path):
    """A run of a foreign agent replays its tools to an agent of one's own; the turns of its model are no requests."""
    call = {"id": "c1", "type": "function", "function": {"name": "get_user", "arguments": '{"user_id": "u1"}'}}
    trajectory = [
        {"role": "user", "content": "Who am I?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "name": "get_user", "content": '{"name": "Ann"}'},
        {"role": "assistant", "content": "You are Ann."},
    ]
    (tmp_path / "airline.json").write_text(json.dumps([{"task_id": 7, "reward": 1.0, "info": {}, "traj": trajectory}]))
    bench.ingest(tmp_path / "airline.json", progress=False)
    run = bench.executions()["id"].item()

    @testing.pure
    def get_user(user_id: str) -> str:
        raise AssertionError("called for real")

    @testing.model
    def ask(messages: list[str]) -> dict[str, Any]:
        raise AssertionError("called for real")

    def agent(user: str = "u1") -> Any:
        asked = ask(["Who am I?"])
        get_user(user_id=user)
        return asked["tool_calls"][0]["name"], ask(["…"])["content"]

    file = bench.to_pytest(run, tmp_path / "test_airline.py")
    found = literals(file)
    played = testing.play(agent, found["STEPS"], args=[])

    assert "This run was read from a file of another program" in file.read_text()
    assert played.output == ["get_user", "You are Ann."]
    testing.check_steps(played, found["STEPS"])
    with pytest.raises(testing.NotAsRecordedError, match=r"\(user_id='u1'\)\n  got       get_user\(user_id='u2"):
        testing.check_steps(testing.play(agent, found["STEPS"], args=["u2"]), found["STEPS"])


def test_sub_agents_are_answered_and_checked(bench, tmp_path):
    """What a sub-agent called is answered and asserted too; its steps are told with its name."""
    called = []

    @bench.trace(kind="tool")
    def look(at: str) -> str:
        called.append(at)
        return f"seen {at}"

    @bench.trace(kind="agent", agent_type="scout")
    def scout(at: str) -> str:
        return look(at)

    @bench.trace(kind="agent", agent_type="leader")
    def lead(first: str, second: str = "south") -> list[str]:
        return [look(first), scout(second), look("home")]

    lead("north")
    run = wait_for(bench, "leader")
    called.clear()

    found = literals(bench.to_pytest(run, tmp_path / "test_lead.py"))
    played = testing.play(lead, found["STEPS"], input=found["INPUT"])

    assert [(step.get("agent"), step["arguments"]["at"]) for step in found["STEPS"]] == [
        (None, "north"), ("scout", "south"), (None, "home"),
    ]  # fmt: skip
    testing.check_steps(played, found["STEPS"])
    testing.check_output(played, found["OUTPUT"])
    testing.check_end(played)
    assert called == []
    other = testing.play(lead, found["STEPS"], args=["north", "west"])
    with pytest.raises(testing.NotAsRecordedError, match="Step 0 of scout is not as recorded"):
        testing.check_steps(other, found["STEPS"])
