"""``bench.trace``: functions whose calls are captured."""

from __future__ import annotations

import asyncio
import inspect
import json
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from workbench.errors import ConfigurationError
from workbench.replay.capture.decorators import trace


def told(bench, run, number):
    """An event with its data parsed."""
    row = bench.events(run.id).row(number, named=True)
    return row | {"data": json.loads(row["data"])}


class Tools:
    @trace(kind="tool")
    def search(self, to: str, *, limit: int = 3) -> list[str]:
        """Look."""
        return [to] * limit

    @trace(kind="tool")
    @staticmethod
    def fixed(x: int) -> int:
        return x + 1

    @classmethod
    @trace
    def made(cls, n: int) -> str:
        return f"{cls.__name__} {n}"


def test_tools_of_a_class_are_calls_with_results(bench):
    """Arguments by name without self, the result, and the signature as it was."""
    with bench.record(agent_type="a") as run:
        assert Tools().search("OSL", limit=2) == ["OSL", "OSL"]
        assert Tools.fixed(1) == 2
        assert Tools.made(3) == "Tools 3"

    events = bench.events(run.id)
    assert events["event_type"].to_list() == ["tool_call", "tool_result"] * 2 + ["span"]
    assert told(bench, run, 0)["data"]["tool"]["arguments"] == {"to": "OSL", "limit": 2}
    assert told(bench, run, 1)["data"]["tool"]["result"] == ["OSL", "OSL"]
    assert told(bench, run, 4)["data"]["extra"] == {"input": {"n": 3}, "output": "Tools 3"}
    assert list(inspect.signature(Tools.search).parameters) == ["self", "to", "limit"]
    assert Tools.search.__doc__ == "Look."


def test_without_a_recording_a_function_is_as_it_was():
    """Nothing is captured and nothing is needed."""
    assert Tools().search("x", limit=1) == ["x"]
    assert asyncio.iscoroutinefunction(trace(_sleep))


async def _sleep(n: int) -> int:
    await asyncio.sleep(0)
    return n


def test_errors_go_on_and_are_told(bench):
    """What the function raises is raised, also for arguments that do not fit."""
    fails = trace(kind="tool", name="fails")(lambda x: 1 / x)
    with bench.record(agent_type="a") as run:
        with pytest.raises(ZeroDivisionError):
            fails(0)
        with pytest.raises(TypeError, match="positional"):
            fails(1, 2)  # pyright: ignore

    assert bench.events(run.id)["severity"].to_list() == ["error"] * 4
    assert told(bench, run, 1)["data"]["error"]["type"] == "ZeroDivisionError"


def test_tasks_do_not_mix(bench):
    """Each of many tasks at once nests its own steps; an await in one does not move another."""

    @bench.trace
    async def outer(n: int) -> int:
        await asyncio.sleep(0.001 * (n % 3))
        return await inner(n)

    @bench.trace(kind="tool")
    async def inner(n: int) -> int:
        await asyncio.sleep(0.001)
        return n

    async def work():
        async with bench.record(agent_type="a") as run:
            await asyncio.gather(*(outer(n) for n in range(20)))
        return run

    run = asyncio.run(work())
    rows = [told(bench, run, n) for n in range(60)]
    spans = {row["span_id"]: row["data"]["extra"]["output"] for row in rows if row["event_type"] == "span"}
    for row in rows:
        if row["event_type"] == "tool_result":
            assert spans[row["parent_span_id"]] == row["data"]["tool"]["result"]


def test_many_runs_at_once_in_one_loop(bench):
    """Each task's recording gets its own events and no other's."""

    @trace(kind="tool")
    async def work(n: int) -> int:
        await asyncio.sleep(0.001)
        return n

    async def one(n: int):
        async with bench.record(agent_type="a", name=str(n)) as run:
            for _ in range(5):
                await work(n)
        return run

    async def all_of_them():
        return await asyncio.gather(*(one(n) for n in range(10)))

    for n, run in enumerate(asyncio.run(all_of_them())):
        events = bench.events(run.id)
        assert events["step_number"].to_list() == list(range(10))
        assert {json.loads(data)["tool"].get("result", n) for data in events["data"]} == {n}
    assert bench.executions()["parent_execution_id"].null_count() == 10


def test_a_generator_is_a_step_from_its_first_to_its_last_value(bench):
    """Its values are kept; what the caller does between two of them is not inside it; send and throw go through."""

    @bench.trace
    def words():
        got = yield "a"
        run.event("log", name="inside")
        try:
            yield got
        except KeyError:
            yield "caught"

    with bench.record(agent_type="a") as run:
        generator = words()
        assert next(generator) == "a"
        run.event("log", name="outside")
        assert generator.send("b") == "b"
        assert generator.throw(KeyError("x")) == "caught"
        assert list(generator) == []

    span, outside, inside = (told(bench, run, n) for n in range(3))
    assert (span["mark"], span["data"]["extra"]["output"]) == (None, "abcaught")
    assert (outside["parent_span_id"], inside["parent_span_id"]) == (None, span["span_id"])


def test_an_async_generator_and_one_that_is_left(bench):
    """A stream of a model is joined; a generator that is closed early ends its step without an error."""

    @bench.trace(kind="llm", model="m")
    async def stream(prompt: str):
        for word in ("Hel", "lo"):
            yield word

    @bench.trace
    def endless():
        while True:
            yield 1

    async def work():
        async with bench.record(agent_type="a") as run:
            assert [word async for word in stream("hi")] == ["Hel", "lo"]
            for _ in endless():
                break
        return run

    run = asyncio.run(work())
    call, left = told(bench, run, 0), told(bench, run, 1)
    assert (call["data"]["model"], call["data"]["text"]) == ("m", "Hello")
    assert call["data"]["extra"]["input"] == {"prompt": "hi"}
    assert (left["mark"], left["severity"]) == (None, "info")


def test_a_model_call_tells_model_and_tokens(bench):
    """As the answer's object says them, in disjoint classes; they count for the run."""

    @bench.trace(kind="llm")
    def ask(messages: list):
        usage = {"prompt_tokens": 10, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 7}}
        return SimpleNamespace(model="gpt-x", usage=usage)

    with bench.record(agent_type="a") as run:
        ask([{"role": "user"}])
        with run.llm_call("claude-x", input="hi") as call:
            call.output, call.usage, call.cost_usd = "yes", {"input_tokens": 1, "output_tokens": 1}, 0.5

    assert [told(bench, run, n)["data"]["model"] for n in (0, 1)] == ["gpt-x", "claude-x"]
    row = bench.executions().row(0, named=True)
    assert (row["input_tokens"], row["cache_read_tokens"], row["output_tokens"], row["cost_usd"]) == (4, 7, 5, 0.5)


def test_agents_in_agents_are_runs_in_runs(bench):
    """A decorated agent is a run; one that it calls is its child, linked to the step it was called in."""

    @bench.trace(kind="agent", agent_type="worker")
    def worker(n: int) -> int:
        return tool(n)

    @trace(kind="tool")
    def tool(n: int) -> int:
        return n + 1

    @bench.trace(kind="agent", agent_type="boss", task="Add")
    async def boss() -> int:
        return worker(1) + worker(2)

    assert asyncio.run(boss()) == 5
    runs = {}
    with bench.record(agent_type="last"):  # the end of a recording waits until all is stored
        pass
    for row in bench.executions().iter_rows(named=True):
        runs.setdefault(row["agent_type"], []).append(row)
    (root,) = runs["boss"]
    assert (root["status"], root["task"]) == ("completed", "Add")
    assert {row["parent_execution_id"] for row in runs["worker"]} == {root["id"]}
    assert bench.tree(root["id"]).height == 3
    assert bench.execution(root["id"]).output == 5


def test_a_run_hangs_on_the_step_it_began_in(bench):
    """By context and by child(); in a thread by bind()."""
    with bench.record(agent_type="boss") as run, ThreadPoolExecutor(2) as pool:
        run.event("log")
        with run.tool("delegate") as call:
            with bench.record(agent_type="inner") as inner:
                inner.event("log")

            def work(n: int):
                with bench.record(agent_type="pooled", name=str(n)) as pooled:
                    pooled.event("log")
                return pooled

            pooled = list(pool.map(run.bind(work), range(4)))
            call.result = "done"
        with run.child(agent_type="told") as told_child:
            told_child.step({})
    alone = bench.record(agent_type="elsewhere", parent=str(run.id))
    with alone:
        pass

    steps = bench.events(run.id)
    of_call, last = steps["id"][1], steps["id"][2]
    rows = {row["id"]: row for row in bench.executions().iter_rows(named=True)}
    for child, step in [(inner, of_call), *((one, of_call) for one in pooled), (told_child, last), (alone, None)]:
        row = rows[str(child.id)]
        assert (row["parent_execution_id"], row["parent_event_id"]) == (str(run.id), step)


def test_wrong_words_are_told_at_once():
    """An unknown kind, or a run's arguments for what is none."""
    with pytest.raises(ConfigurationError, match="kind must be one of span, tool, llm, agent, not 'tol'"):
        trace(kind="tol")  # pyright: ignore
    with pytest.raises(ConfigurationError, match="'task' belongs to kind='agent'"):
        trace(task="x")
