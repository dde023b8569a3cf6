"""A live thread that is mirrored turn by turn: the same rows as a reading of the whole, at the cost of the turn."""

from __future__ import annotations

import asyncio
import operator
import random
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Annotated, Any, TypedDict

import psycopg
import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage
from langgraph.checkpoint.conformance.test_utils import generate_checkpoint
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, Send, interrupt

import workbench
from workbench.data.ingest import live_runs, mirror
from workbench.data.ingest.live_thread import LiveThread
from workbench.data.store.graphs import Graphs, Point
from workbench.errors import StoreUnavailableError
from workbench.replay.langgraph import WorkbenchSaver

SEEDS = range(6)
SECRET = "sk-ant-api03-" + "a1B2" * 22 + "-AAAAAAAA"


@pytest.fixture(autouse=True)
def only_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The background waits, so that the test says when a thread is mirrored."""
    monkeypatch.setattr(mirror, "_PAUSE_S", 1e6)


# -- what is stored, and what a reading of the whole would store -------------------------------------------------------

ROWS = {
    "runs": """
        SELECT id, parent_execution_id, parent_event_id, agent_type, name, model, status, started_at, completed_at,
          input, output, error, error_type, metadata, execution_time_ms, token_usage, cost, cost_source, source,
          source_id
        FROM workbench.agent_executions ORDER BY id""",
    "events": """
        SELECT id, execution_id, step_number, event_type, name, agent, category, severity, timestamp, duration_ms,
          span_id, parent_span_id, data, raw, mark
        FROM workbench.observability_events ORDER BY execution_id, step_number""",
    "states": """
        SELECT id, execution_id, step_number, timestamp, state, keyframe_step, description, checkpoint, is_derived, raw
        FROM workbench.execution_snapshots ORDER BY execution_id, step_number""",
    "secrets": "SELECT execution_id, event_id, place, rule, digest FROM workbench.secrets ORDER BY 1, 2, 3, 4, 5",
}


def stored(connection: psycopg.Connection) -> dict[str, list[tuple[Any, ...]]]:
    return {name: connection.execute(query.encode()).fetchall() for name, query in ROWS.items()}


def differences(bench: workbench.Workbench) -> dict[str, Any]:
    """What is stored otherwise than by a process that remembers nothing; nothing is changed by looking."""
    with bench.store.raw() as connection, connection.transaction(force_rollback=True):
        mirrored = stored(connection)
        connection.execute("DELETE FROM workbench.agent_executions")
        for own, thread_id, agent_type in connection.execute(
            "SELECT id, thread_id, agent_type FROM workbench.graph_threads"
        ).fetchall():
            thread = LiveThread(own, thread_id)
            told = thread.advance(connection, Graphs(bench.store), agent_type)
            live_runs._write(connection, thread, told, with_prices=True)
        whole = stored(connection)
    return {
        name: [pair for pair in zip(mirrored[name], whole[name], strict=False) if pair[0] != pair[1]]
        or (len(mirrored[name]), len(whole[name]))
        for name in ROWS
        if mirrored[name] != whole[name]
    }


# -- random graphs, by their own doing ---------------------------------------------------------------------------------


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    xs: Annotated[list, operator.add]
    n: int


def random_graph(saver: WorkbenchSaver, chance: random.Random) -> CompiledStateGraph:
    """A model that calls tools (some of which nobody answers), a subgraph that may ask, workers, nodes that fail.

    While a node runs, the thread may be mirrored.
    """

    def look() -> None:
        if chance.random() < 0.3:
            saver.flush()

    def think(state: State) -> dict[str, Any]:
        look()
        usage = {"input_tokens": 7, "output_tokens": 2, "total_tokens": 9}
        calls = [{"name": "add", "args": {"a": 1}, "id": str(uuid.UUID(int=chance.getrandbits(128)))}]
        text = chance.choice(["fine", f"the key is {SECRET}", "long " * 300])
        about: Any = {"response_metadata": {"model_name": "gpt-4o"}, "usage_metadata": usage}
        said: list[Any] = [AIMessage(text, tool_calls=calls if chance.random() < 0.3 else [], **about)]
        if state["messages"] and chance.random() < 0.15:
            old = chance.choice(state["messages"])
            said.append(RemoveMessage(id=old.id or "") if chance.random() < 0.5 else HumanMessage("changed", id=old.id))
        return {"messages": said, "n": state.get("n", 0) + 1}

    def work(sent: Any) -> dict[str, Any]:
        look()
        return {"xs": [sent["n"]]}

    def ask(state: State) -> dict[str, Any]:
        look()
        if chance.random() < 0.6:
            return {"xs": [interrupt({"question": "go on?"})]}
        if chance.random() < 0.2:
            raise ValueError("no such order")
        return {"messages": [AIMessage("asked nothing")]}

    def route(state: State) -> Any:
        return chance.choice(["sub", [Send("work", {"n": 1}), Send("work", {"n": 2})], "think", END])

    inner = StateGraph(State)
    inner.add_node("ask", ask)
    inner.add_node("inner_think", think)
    inner.add_edge(START, "inner_think")
    inner.add_edge("inner_think", "ask")
    graph = StateGraph(State)
    graph.add_node("think", think)
    graph.add_node("work", work)  # pyright: ignore[reportArgumentType] (what is sent is no state)
    graph.add_node("sub", inner.compile(checkpointer=chance.choice([None, True])))
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", route, ["sub", "work", "think", END])
    return graph.compile(checkpointer=saver)


def act(graph: CompiledStateGraph, saver: WorkbenchSaver, thread: str, chance: random.Random) -> None:
    """One thing that a user or a program may do with a thread."""
    config: Any = {"configurable": {"thread_id": thread}, "recursion_limit": 12, "metadata": {"run_id": thread}}
    history = list(graph.get_state_history(config))
    old = chance.choice(history) if history else None
    asked = {"messages": [HumanMessage(chance.choice(["Hi", "Again", f"use {SECRET}"]))]}
    what = chance.choices(
        ["ask", "resume", "edit", "edit old", "go on from old", "delete", "prune", "copy", "runs"],
        [10, 4, 3, 2, 2, 0.5, 0.5, 0.5, 0.3],
    )[0]
    if what == "delete":
        saver.delete_thread(thread)
    elif what == "prune":
        saver.prune([thread])
    elif what == "copy":
        saver.copy_thread(thread, "copied")
    elif what == "runs":
        saver.delete_for_runs([thread])
    elif what == "edit" and history:
        graph.update_state(config, asked, as_node="think")
    elif what == "edit old" and old is not None:
        graph.update_state(old.config, asked, as_node="think")
    elif what == "go on from old" and old is not None:
        onward: Any = {**config, **old.config}
        graph.invoke(chance.choice([None, asked]), onward)
    else:
        graph.invoke(Command(resume="yes") if what == "resume" else asked, config)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_graph_leaves_the_rows_of_its_whole_thread(bench: workbench.Workbench, seed: int) -> None:
    """Turns, interrupts, answers, edits, forks, subgraphs, failures, pruning, deletion; mirrored now and again."""
    chance = random.Random(seed)
    saver = WorkbenchSaver(bench)
    graph = random_graph(saver, chance)
    for _ in range(14):
        with suppress(ValueError, RecursionError):  # the node's own, or a graph that went round too often
            act(graph, saver, chance.choice("tttu"), chance)
        if chance.random() < 0.7:
            saver.flush()
            assert differences(bench) == {}
    saver.flush()
    assert differences(bench) == {}


# -- random histories, in every order ----------------------------------------------------------------------------------


def place(thread: str, namespace: str = "", checkpoint: str | None = None) -> Any:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": namespace, "checkpoint_id": checkpoint}}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_history_leaves_the_rows_of_its_whole_thread(bench: workbench.Workbench, seed: int) -> None:
    """Checkpoints and writes that come late, out of order, twice, by several savers; parents that are old."""
    with workbench.connect(bench.store.direct_url) as other:
        play_history(bench, [WorkbenchSaver(bench), WorkbenchSaver(other)], random.Random(seed))


def play_history(bench: workbench.Workbench, savers: list[WorkbenchSaver], chance: random.Random) -> None:
    known: dict[str, list[str]] = {}
    texts = [HumanMessage(f"said {n}", id=chance.choice([f"m-{n}", None])) for n in range(8)]
    for n in range(60):
        saver = chance.choice(savers)
        namespace = chance.choice(["", "", "", "sub:1", "sub:1|deep:2", "sub:3", "alone"])
        ids = known.setdefault(namespace, [])
        linear = chance.random() < 0.85
        parent = (ids[-1] if linear else chance.choice(ids)) if ids else None
        if ids and chance.random() < 0.5:
            late = chance.choice(ids[-3:] if chance.random() < 0.8 else ids)
            writes = [("messages", chance.choice(texts)), chance.choice([("xs", n), ("__interrupt__", [n])])]
            task = chance.choice("123")  # the calls of subgraphs are of tasks of the first checkpoint
            task = task if late == ids[0] else f"{late}/{task}"
            saver.put_writes(place("t", namespace, late), writes, task, "~__pregel_pull, a")
            continue
        channels = {"messages": chance.sample(texts, chance.randint(0, 5)), "n": n, "branch:to:a": None}
        versions: dict[str, str | int | float] = {name: f"{n:05}.{name}" for name in channels}
        checkpoint = generate_checkpoint(channel_values=channels, channel_versions=versions)
        # Ids say when a checkpoint was made, not when it came.
        checkpoint["id"] = f"{n if chance.random() < 0.9 else chance.randint(0, n):08}-{namespace}"
        about: Any = {"source": chance.choice(["loop", "input", "fork"]), "step": n}
        saver.put(place("t", namespace, parent), checkpoint, about, versions)
        known[namespace] = sorted({*ids, checkpoint["id"]})
        if chance.random() < 0.5:
            mirrored(savers, chance)
            assert differences(bench) == {}
    mirrored(savers, chance)
    assert differences(bench) == {}


def mirrored(savers: list[WorkbenchSaver], chance: random.Random) -> None:
    """By each process what it knows has changed; whoever comes first does it all."""
    for saver in chance.sample(savers, len(savers)):
        saver.flush()


# -- the cost of a turn ------------------------------------------------------------------------------------------------


class Counting(Graphs):
    """The checkpoints of a store, and how many of them were read."""

    n_read = 0

    def history(
        self, connection: psycopg.Connection, thread: uuid.UUID, places: Sequence[tuple[str, str]]
    ) -> Iterator[Point]:
        for point in super().history(connection, thread, places):
            Counting.n_read += 1
            yield point


def conversation(saver: WorkbenchSaver) -> CompiledStateGraph:
    """Each turn adds a question and an answer, and calls a subgraph."""

    def answer(state: State) -> dict[str, Any]:
        return {"messages": [AIMessage(f"answer {len(state['messages'])}")]}

    def inside(state: State) -> dict[str, Any]:
        return {"n": state.get("n", 0) + 1}

    inner = StateGraph(State)
    inner.add_node("inside", inside)
    inner.add_edge(START, "inside")
    graph = StateGraph(State)
    graph.add_node("answer", answer)
    graph.add_node("sub", inner.compile())
    graph.add_edge(START, "answer")
    graph.add_edge("answer", "sub")
    return graph.compile(checkpointer=saver)


def test_a_turn_reads_its_own_checkpoints_and_no_others(
    bench: workbench.Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tenth turn reads as many checkpoints as the thirtieth; an edit of what was just said reads few, too."""
    monkeypatch.setattr(mirror, "Graphs", Counting)
    saver = WorkbenchSaver(bench)
    graph = conversation(saver)
    n_read: list[int] = []

    def told(act: Callable[[], object]) -> int:
        Counting.n_read = 0
        act()
        saver.flush()
        return Counting.n_read

    config: Any = place("t")
    del config["configurable"]["checkpoint_id"], config["configurable"]["checkpoint_ns"]
    for n in range(30):
        n_read.append(told(lambda n=n: graph.invoke({"messages": [HumanMessage(f"question {n}")]}, config)))
    edited = next(found for found in graph.get_state_history(config) if found.next == ("answer",))
    n_edit = told(lambda: graph.update_state(edited.config, {"messages": [HumanMessage("No")]}, as_node="answer"))

    assert len(set(n_read[3:])) == 1
    assert n_read[-1] <= 12
    assert n_edit <= 12
    assert differences(bench) == {}


def test_runs_that_somebody_deleted_are_told_again_as_a_whole(bench: workbench.Workbench) -> None:
    """A run that is gone from the store comes back with all its steps, not with those of the last turn alone."""
    saver = WorkbenchSaver(bench)
    graph = conversation(saver)
    config: Any = {"configurable": {"thread_id": "t"}}
    for n in range(6):
        graph.invoke({"messages": [HumanMessage(f"question {n}")]}, config)
        saver.flush()
    with bench.store.raw() as connection:
        connection.execute("DELETE FROM workbench.agent_executions")

    graph.invoke({"messages": [HumanMessage("once more")]}, config)
    saver.flush()

    assert differences(bench) == {}
    assert "question 0" in bench.events(saver.run("t"), fields={"text": "data.text"})["text"].to_list()


# -- in the middle of it -----------------------------------------------------------------------------------------------


def test_a_connection_that_dies_while_it_mirrors_breaks_no_agent(
    bench: workbench.Workbench, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever mirrors is cut off again and again: all turns are taken, and the runs tell them in the end."""
    monkeypatch.setattr(mirror, "_PAUSE_S", 0.0)
    saver = WorkbenchSaver(bench)
    graph = conversation(saver)
    config: Any = {"configurable": {"thread_id": "t"}}
    n_cut = 0
    with psycopg.connect(database_url, autocommit=True) as other:
        for n in range(12):
            graph.invoke({"messages": [HumanMessage(f"question {n}")]}, config)
            n_cut += other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND database = "
                "(SELECT oid FROM pg_database WHERE datname = current_database())"
            ).rowcount

    while True:  # a read is told once that its connection was cut
        try:
            saver.flush()
        except StoreUnavailableError:
            continue
        break
    assert n_cut > 0
    assert differences(bench) == {}
    assert len(graph.get_state(config).values["messages"]) == 24


def test_a_graph_that_is_cancelled_in_the_middle_goes_on_later(bench: workbench.Workbench) -> None:
    """Cancelled at random moments, the thread has whole checkpoints, takes the next turn, and its rows are right."""
    chance = random.Random(1)
    saver = WorkbenchSaver(bench)
    graph = conversation(saver)
    config: Any = {"configurable": {"thread_id": "t"}}

    async def turns() -> None:
        for n in range(12):
            task = asyncio.create_task(graph.ainvoke({"messages": [HumanMessage(f"question {n}")]}, config))
            await asyncio.sleep(chance.random() * 0.2)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(turns())
    saver.flush()
    assert differences(bench) == {}

    found = graph.invoke({"messages": [HumanMessage("and now?")]}, config)
    saver.flush()

    assert found["messages"][-2].content == "and now?"
    assert differences(bench) == {}
