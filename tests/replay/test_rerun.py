"""Running a run again: answered from the recording, for real where it is allowed, and nothing else gets out."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

import workbench
from workbench import testing
from workbench.errors import ConfigurationError, DivergedError, EffectRefusedError, RecordedFailureError
from workbench.replay.capture.place import here
from workbench.replay.rerun import idempotent, model, pure, side_effect
from workbench.replay.rerun.tape import Answer, Tape

CALLED: list[str] = []


class SoldOutError(LookupError):
    """An error of the user's own."""


@dataclass
class Flight:
    """What a tool returns that is no JSON."""

    number: int
    at: datetime


@pure
def search(to: str) -> list[int]:
    """Flights to a city."""
    CALLED.append(f"search {to}")
    return [7, 8]


@idempotent
def hold(flight: int, *, seats: int = 1) -> str:
    """Keep seats; keeping them twice is keeping them once."""
    CALLED.append(f"hold {flight}")
    return f"held {seats} of {flight}"


@side_effect
def book(flight: int) -> str:
    """Pay."""
    CALLED.append(f"book {flight}")
    return f"ticket {flight}"


@model
def ask(messages: list[str]) -> str:
    """A model, which nobody can predict."""
    CALLED.append("ask")
    return f"live answer to {messages[-1]}"


def agent(state: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Search, choose, keep a seat, ask, pay."""
    found = search(state["to"])
    yield {**state, "found": found}
    flight = state.get("wish") or found[0]
    held = hold(flight, seats=2)
    answer = ask([f"may I take {flight}?"])
    yield {**state, "found": found, "held": held, "answer": answer}
    yield {**state, "ticket": book(flight)}


@pytest.fixture
def run(bench: workbench.Workbench) -> str:
    """The agent, recorded as it ran once; what it called then is forgotten."""
    with bench.record(agent_type="planner", model="m") as run:
        run.event("message", role="user", text="To Oslo")
        run.step({"to": "OSL"})
        for name, arguments, result in (
            ("search", {"to": "OSL"}, [1, 2]),
            ("hold", {"flight": 1, "seats": 2}, "held then"),
        ):
            with run.tool(name, arguments) as call:
                call.result = result
        with run.llm_call("m", input=["may I take 1?"]) as asked:
            asked.output = "recorded answer"
        with run.tool("book", {"flight": 1}) as call:
            call.result = "ticket then"
    CALLED.clear()
    return str(run.id)


def test_recorded_only_calls_nothing(bench, run):
    """Every answer is the recorded one; the branch holds what happened, and the run is as it was."""
    before = bench.sql("SELECT * FROM observability_events WHERE execution_id = $1 ORDER BY id", [run])

    done = bench.rerun(run, agent, name="again")

    assert (done.status, done.n_recorded, done.n_live, CALLED) == ("completed", 4, 0, [])
    assert done.output == {"to": "OSL", "ticket": "ticket then"}
    row = bench.executions(ids=[str(done.id)]).row(0, named=True)
    assert (row["status"], row["name"], row["link"], row["parent_execution_id"]) == (
        "completed",
        "again",
        "forked",
        run,
    )
    replay = bench.replay(done.id)
    assert [cursor.state.get("held") for cursor in replay.play()][-2:] == ["held then", None]
    assert replay.state["ticket"] == "ticket then"
    first = replay.seek(0).next_tool_call().event
    assert first["data"]["extra"] == {"answered": "recorded", "recorded_step": 1}
    assert bench.sql("SELECT * FROM observability_events WHERE execution_id = $1 ORDER BY id", [run]).equals(before)


def test_a_changed_agent_has_diverged(bench, run):
    """Where it asks for what was not recorded, the error says what the recording goes on with."""
    done = bench.rerun(run, agent, state={"to": "OSL", "wish": 2})

    assert done.status == "failed"
    assert isinstance(done.error, DivergedError)
    assert "called hold(flight=2, seats=2)" in str(done.error)
    assert "goes on with hold(flight=1, seats=2) at step 3" in str(done.error)
    assert CALLED == []


def test_live_from_a_step_on(bench, run):
    """Until then the recording answers; then what has no side effects is called, and what has is still recorded."""
    done = bench.rerun(run, agent, live_from=3)

    assert CALLED == ["hold 1", "ask"]
    assert (done.n_recorded, done.n_live) == (2, 2)
    assert done.output["ticket"] == "ticket then"
    assert done.receipts.select("tool", "effect").rows() == [("hold", "idempotent")]
    event = bench.replay(done.id).seek(done.receipts["step_number"][0]).event
    assert event["data"]["extra"]["receipt"] == done.receipts["receipt"][0]


def test_side_effects_are_refused_unless_they_are_allowed(bench, run):
    """A call that was never recorded does not happen; allowed, it does, and leaves a receipt."""
    given = {"to": "OSL", "wish": 2}

    refused = bench.rerun(run, agent, state=given, live_from=0)
    called, allowed = list(CALLED), bench.rerun(run, agent, state=given, live_from=0, allow=["book"])

    assert isinstance(refused.error, EffectRefusedError)
    assert "allow=['book']" in str(refused.error)
    assert called == ["search OSL", "hold 2", "ask"]
    assert CALLED[-1] == "book 2"
    assert allowed.receipts["tool"].to_list() == ["hold", "book"]
    assert allowed.output["ticket"] == "ticket 2"


def test_undeclared_calls_do_not_get_out(bench, run):
    """Sockets and processes, counted where they would arrive: none."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]

        program = f"import socket; socket.create_connection(('127.0.0.1', {port}))"

        def careless(state):
            search(state["to"])
            with suppress(EffectRefusedError):
                socket.create_connection(("127.0.0.1", port))
            with suppress(EffectRefusedError):
                subprocess.run([sys.executable, "-c", program], check=True)
            return "tried"

        done = bench.rerun(run, careless)

        assert done.output == "tried"
        assert [effect.kind for effect in done.refused] == ["network", "process"]
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_tool_that_failed_fails_again(bench):
    """The agent is told as it was told then, and may go on."""
    with bench.record(agent_type="planner") as run:
        run.event("message", role="user", text="To Rome")
        run.step({"to": "ROM"})
        with suppress(KeyError), run.tool("search", {"to": "ROM"}):
            raise KeyError("no such city")

    def patient(state):
        try:
            return search(state["to"])
        except RecordedFailureError as error:
            return error.result

    assert bench.rerun(run.id, patient).output == "'no such city'"


def test_async_agents_and_functions_declared_async(bench, run):
    """Awaited calls are answered too, here and where an event loop runs already."""

    @pure
    async def search(to: str) -> list[int]:
        raise AssertionError("called for real")

    async def awaiting(state):
        return await search(to=state["to"])

    async def notebook():
        return bench.rerun(run, awaiting).output

    assert bench.rerun(run, awaiting).output == [1, 2]
    assert asyncio.run(notebook()) == [1, 2]


def test_a_graph_is_run_again(bench, run):
    """A compiled LangGraph graph whose nodes call declared functions; each of its states is a step."""
    from typing import TypedDict

    from langgraph.graph import END, START, StateGraph

    class Trip(TypedDict, total=False):
        to: str
        found: list[int]
        ticket: str

    def look(state: Trip) -> Trip:
        return {"found": search(state.get("to", ""))}

    def pay(state: Trip) -> Trip:
        return {"ticket": book(state.get("found", [0])[0])}

    graph = StateGraph(Trip)
    graph.add_node("look", look)
    graph.add_node("pay", pay)
    graph.add_edge(START, "look")
    graph.add_edge("look", "pay")
    graph.add_edge("pay", END)

    done = bench.rerun(run, graph.compile())

    assert done.error is None
    assert done.output == {"to": "OSL", "found": [1, 2], "ticket": "ticket then"}
    assert CALLED == []
    assert [sorted(json.loads(text)) for text in bench.snapshots(done.id)["state"]][-1] == ["found", "ticket", "to"]


def test_what_cannot_be_run_is_named(bench, run):
    """An agent that is no function is refused before a branch is made."""
    with pytest.raises(ConfigurationError, match="agent is a dict"):
        bench.rerun(run, {})
    assert bench.branches(run).height == 1


def test_declared_functions_are_themselves_elsewhere():
    """Outside of a run that is run again a declaration changes nothing."""
    CALLED.clear()

    assert book(3) == "ticket 3"
    assert CALLED == ["book 3"]


def test_a_failed_tool_fails_with_its_own_error(bench):
    """An agent that catches what its tool raised goes on as it did; the words are those of then."""

    @bench.trace(kind="tool", name="reserve")
    def hold(flight: int) -> str:
        raise SoldOutError(f"no seat in {flight}")

    def careful(state):
        try:
            return hold(state["flight"])
        except SoldOutError as error:
            return f"{type(error).__name__}: {error}"

    with bench.record(agent_type="planner") as run:
        run.event("message", role="user", text="7, please")
        run.step({"flight": 7})
        run.finish(output=careful({"flight": 7}))
    done = bench.rerun(run.id, careful)

    assert (done.error, done.n_recorded) == (None, 1)
    assert done.output == "SoldOutError: no seat in 7"


def test_what_is_captured_is_answered_without_a_declaration(bench):
    """Traced tools and models are not called again; answers have the type that the function says; methods too."""

    class Desk:
        @bench.trace(kind="tool")
        def flights(self, to: str, **more: int) -> tuple[Flight, ...]:
            CALLED.append("flights")
            return (Flight(7, datetime(2026, 1, 1, tzinfo=UTC)),)

    @bench.trace(kind="llm", model="m")
    def think(prompt: str) -> str:
        CALLED.append("think")
        return "take it"

    def plan(state):
        found = Desk().flights(state["to"], adults=2)
        return [found[0].number, found[0].at.year, think(f"{state}")]

    with bench.record(agent_type="planner") as run:
        run.event("message", role="user", text="To Oslo")
        run.step({"to": "OSL"})
        plan({"to": "OSL"})
    CALLED.clear()

    done = bench.rerun(run.id, plan)
    live = bench.rerun(run.id, plan, live_from=0)

    assert (done.error, done.output, done.n_recorded) == (None, [7, 2026, "take it"], 2)
    assert (live.output, CALLED) == ([7, 2026, "take it"], ["think"])  # a tool may have effects, so it is not called


def test_what_was_refused_is_in_the_branch(bench, run):
    """The call that the recording did not hold is a step of the branch, marked as an error."""
    done = bench.rerun(run, agent, state={"to": "OSL", "wish": 2})

    events = bench.events(done.id, event_type="tool_call")
    last = json.loads(events["data"][-1])
    assert (last["tool"]["name"], last["tool"]["arguments"]) == ("hold", {"flight": 2, "seats": 2})
    assert last["error"]["type"] == "DivergedError"


def test_a_call_that_the_agent_records_itself_is_one_call(bench, run):
    """A declared tool inside `run.tool()` of the same name is not recorded twice."""

    def recording(state):
        place = here()
        assert place is not None
        with place.recording.tool("search", {"to": "OSL"}) as call:
            call.result = search("OSL")
        return call.result

    done = bench.rerun(run, recording)

    assert done.output == [1, 2]
    assert bench.events(done.id, event_type="tool_call").height == 1


def test_requests_of_which_only_tokens_are_told():
    """Where a source tells a request by its tokens, the turns of the conversation are what the model answered."""
    rows = [
        (0, "message", None, '{"role":"assistant","text":"Hello"}'),
        (1, "llm_call", None, '{"usage":{"input_tokens":3}}'),
    ]
    events = pl.DataFrame(rows, schema=["step_number", "event_type", "name", "data"], orient="row")

    assert [answer.result for answer in Tape(events).models] == [{"role": "assistant", "content": "Hello"}]
    assert [answer.result for answer in Tape(events[1:]).models] == [None]


def test_calls_that_differ_in_made_up_ids_are_answered():
    """A new identifier in the place of a recorded one fits; one that names something else of the recording does not."""
    a, b, new = (str(uuid.UUID(int=n)) for n in (1, 2, 3))
    tape = Tape.of([Answer(n, "get", {"id": one}, n, has_result=True) for n, one in enumerate((a, b))])

    assert tape.tool("get", {"id": b}).result == 1
    assert tape.tool("get", {"id": b}) is None
    assert tape.tool("get", {"id": new}).result == 0


def test_tools_called_by_a_pool_of_before_are_answered(bench, run):
    """Threads of a pool that were there before the run was run again call nothing for real; threads of others do."""
    begin, done = threading.Event(), threading.Event()

    def parallel(state):
        found, held = pool.submit(search, state["to"]), pool.submit(hold, 1, seats=2)
        begin.set()
        done.wait()
        return [found.result(), held.result(), pool.submit(book, 1).result()]

    def beside():
        begin.wait()
        inner = threading.Thread(target=search, args=("Paris",))
        inner.start()
        inner.join()
        done.set()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(len, "").result()
        threading.Thread(target=beside).start()
        again = bench.rerun(run, parallel)

    assert (again.status, again.n_recorded, again.n_live) == ("completed", 3, 0)
    assert again.output == [[1, 2], "held then", "ticket then"]
    assert CALLED == ["search Paris"]


def test_a_tool_that_is_allowed_may_use_threads(bench, run):
    """Threads and loops that an allowed tool works with are as allowed as itself: names are looked up in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        @side_effect
        async def notify() -> str:
            _, writer = await asyncio.open_connection("localhost", port, family=socket.AF_INET)
            writer.close()
            thread = threading.Thread(target=lambda: socket.create_connection(("127.0.0.1", port)).close())
            thread.start()
            await asyncio.to_thread(thread.join)
            return "told"

        async def telling(state):
            return await notify()

        again = bench.rerun(run, telling, live_from=0, allow=["notify"])
        server.settimeout(5)
        server.accept()[0].close()
        server.accept()[0].close()

    assert again.output == "told", again.error
    assert (again.refused, again.receipts["tool"].to_list()) == ([], ["notify"])


def test_an_agent_that_records_itself_does_so_in_the_branch(bench):
    """Traced, async or with a `with` of its own: its steps are the branch's; a run that it starts is its child."""

    @bench.trace(kind="tool")
    def look(to: str) -> list[int]:
        return [7]

    @bench.trace(kind="agent", agent_type="planner")
    def traced(state: dict, depth: int = 0) -> str:
        found = look(state["to"])
        return f"flight {found[0]}" if depth else traced(state, depth=1)

    @bench.trace(kind="agent", agent_type="planner")
    async def awaited(state: dict) -> str:
        return f"flight {look(state['to'])[0]}"

    def own(state: dict) -> None:
        with bench.record(agent_type="planner", task="Book") as run:
            run.event("message", role="user", text=state["to"])
            run.finish(status="cancelled", output=look(state["to"]))

    first = json.loads('{"to": "OSL"}')
    with bench.record(agent_type="planner") as run:
        run.event("log")
        look(first["to"])
        look(first["to"])
    n_before = bench.executions().height

    reruns = [bench.rerun(run.id, agent, step=0, state=first) for agent in (traced, awaited, own)]

    assert [(one.error, one.status) for one in reruns] == [(None, "completed")] * 2 + [(None, "cancelled")]
    assert [one.output for one in reruns] == ["flight 7", "flight 7", [7]]
    kinds = [bench.events(one.id)["event_type"].to_list() for one in reruns]
    assert kinds == [["tool_call", "tool_result"]] * 2 + [["message", "tool_call", "tool_result"]]
    assert bench.executions().height == n_before + 3 + 1  # one more: the run that the traced agent starts
    inner = bench.executions().filter(parent_execution_id=str(reruns[0].id))
    assert (inner.height, inner["n_events"].to_list(), inner["status"].to_list()) == (1, [2], ["completed"])
    assert [bench.execution(one.id).status for one in reruns] == ["completed", "completed", "cancelled"]


def test_an_effect_that_fails_leaves_a_receipt(bench, run):
    """A real call that raised may have done its work: it is counted, and has its receipt."""

    @side_effect
    def pay() -> None:
        raise SoldOutError("paid, then fell over")

    again = bench.rerun(run, lambda state: pay(), live_from=0, allow=["pay"])

    assert isinstance(again.error, SoldOutError)
    assert (again.n_live, again.receipts["tool"].to_list()) == (1, ["pay"])


def test_what_a_generator_returns_is_the_output(bench, run):
    """A generator that returns something comes to that; else to the last state that it gave."""

    def told(state):
        yield {"n": 1}
        return "done"

    def silent(state):
        yield {"n": 1}

    assert bench.rerun(run, told).output == "done"
    assert bench.rerun(run, silent).output == {"n": 1}


def test_the_order_of_calls_beside_each_other_is_chance():
    """Calls that threads make at once are checked in the recorded order; those one after the other as they come."""
    steps = [
        {"step": at, "tool": "search", "arguments": {"to": to}, "result": [at]} for at, to in enumerate(("a", "b"), 1)
    ]

    def at_once(state):
        second = threading.Event()

        def first(to):
            second.wait()
            return search(to)

        with ThreadPoolExecutor(2) as pool:
            waiting = pool.submit(first, "a")
            found = [pool.submit(search, "b").result()]
            second.set()
            return [waiting.result(), *found]

    def in_turn(state):
        with ThreadPoolExecutor(2) as pool:
            return [pool.submit(search, to).result() for to in "ba"]

    played = testing.play(at_once, steps, state={})
    assert played.output == [[1], [2]]
    testing.check_steps(played, steps)
    with pytest.raises(testing.NotAsRecordedError):
        testing.check_steps(testing.play(in_turn, steps, state={}), steps)
