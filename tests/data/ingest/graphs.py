"""Real LangGraph graphs, run with a real checkpointer on a database of their own."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TypedDict

import psycopg
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Send, interrupt
from psycopg.types.json import Jsonb

from workbench.data.store.server import EmbeddedServer

USAGE = {
    "input_tokens": 10,
    "output_tokens": 3,
    "total_tokens": 13,
    "input_token_details": {"cache_read": 4, "cache_creation": 1},
    "output_token_details": {"reasoning": 2},
}


class Channels(TypedDict):
    xs: Annotated[list, operator.add]
    q: str


@contextmanager
def checkpoints(server: EmbeddedServer, name: str) -> Iterator[str]:
    """URL of an empty database."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield server.url(database=name)
    with psycopg.connect(server.url(user="postgres", database="postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def saver(url: str) -> Iterator[PostgresSaver]:
    with PostgresSaver.from_conn_string(url) as found:
        found.setup()
        yield found


def config(thread: str) -> dict[str, Any]:
    return {"configurable": {"thread_id": thread}}


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    if a == 13:
        raise ValueError("no thirteen")
    return a + b


def answers(*pairs: tuple[int, int]) -> list[AIMessage]:
    """What a model says that adds pairs of numbers one by one, and then is done."""
    about: dict[str, Any] = {"usage_metadata": USAGE, "response_metadata": {"model_name": "acme-1"}}
    calls = [
        AIMessage("", tool_calls=[{"name": "add", "args": {"a": a, "b": b}, "id": f"call-{a}-{b}"}], **about)
        for a, b in pairs
    ]
    return [*calls, AIMessage("done", **about)]


def agent(checkpointer: Any, *pairs: tuple[int, int], messages: list[AIMessage] | None = None) -> CompiledStateGraph:
    """A model that calls tools until it is done."""
    model = GenericFakeChatModel(messages=iter(messages or answers(*pairs)))

    def think(state: MessagesState) -> dict[str, list[BaseMessage]]:
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("agent", think)
    graph.add_node("tools", ToolNode([add], handle_tool_errors=True))
    graph.add_edge(START, "agent")
    graph.add_conditional_edges("agent", lambda state: "tools" if state["messages"][-1].tool_calls else END)
    graph.add_edge("tools", "agent")
    return graph.compile(checkpointer=checkpointer)


def asked(text: str) -> dict[str, Any]:
    return {"messages": [HumanMessage(text)]}


def parallel(checkpointer: Any) -> CompiledStateGraph:
    """Two nodes at once, then two workers that were sent for, then the end."""
    graph = StateGraph(Channels)
    graph.add_node("left", lambda state: {"xs": ["left"]})
    graph.add_node("right", lambda state: {"xs": ["right"]})
    graph.add_node("worker", lambda sent: {"xs": [sent["n"]]})
    graph.add_conditional_edges(START, lambda state: ["left", "right"], ["left", "right"])
    graph.add_conditional_edges("left", lambda state: [Send("worker", {"n": n}) for n in (1, 2)], ["worker"])
    return graph.compile(checkpointer=checkpointer)


def nested(checkpointer: Any) -> CompiledStateGraph:
    """A subgraph that asks, inside a graph."""
    inner = StateGraph(Channels)
    inner.add_node("look", lambda state: {"xs": ["looked"]})
    inner.add_node("ask", lambda state: {"xs": [interrupt({"question": "go on?"})]})
    inner.add_edge(START, "look")
    inner.add_edge("look", "ask")
    graph = StateGraph(Channels)
    graph.add_node("sub", inner.compile())
    graph.add_node("after", lambda state: {"q": "over"})
    graph.add_edge(START, "sub")
    graph.add_edge("sub", "after")
    return graph.compile(checkpointer=checkpointer)


def failing(checkpointer: Any) -> CompiledStateGraph:
    def fail(state: Channels) -> dict[str, Any]:
        raise ValueError("no such order")

    graph = StateGraph(Channels)
    graph.add_node("good", lambda state: {"xs": ["good"]})
    graph.add_node("fail", fail)
    graph.add_edge(START, "good")
    graph.add_edge("good", "fail")
    return graph.compile(checkpointer=checkpointer)


def first_version(url: str) -> None:
    """The tables as they were before ``task_path``, with a thread of version 1: a channel for each node that ran."""
    dumps = JsonPlusSerializer().dumps_typed
    ids = [f"1ef00000-0000-6000-800{n}-000000000000" for n in range(4)]
    values: list[dict[str, Any]] = [
        {"__start__": {"query": "why?"}},
        {"query": "why?", "start:think": "__start__"},
        {"query": "why?", "docs": ["a"], "think": "think", "branch:think:route:act": "think"},
        {"query": "why?", "docs": ["a", "b"], "act": "act"},
    ]
    seen: list[dict[str, Any]] = [{}, {"__start__": {}}, {"think": {}}, {"think": {}, "act": {}}]
    writes: list[list[tuple[str, str, Any]]] = [
        [("t0", "query", "why?"), ("t0", "start:think", "__start__")],
        [("t1", "docs", ["a"]), ("t1", "think", "think"), ("t1", "__pregel_tasks", Send("act", 1))],
        [("t2", "docs", ["b"]), ("t2", "act", "act"), ("t3", "act", "act")],
        [],
    ]
    with psycopg.connect(url) as connection:
        for migration in PostgresSaver.MIGRATIONS[:5]:
            connection.execute(migration)
        for n, checkpoint in enumerate(ids):
            versions = {name: f"{n}.{i}" for i, name in enumerate(values[n])}
            document = {"v": 1, "id": checkpoint, "ts": f"2025-04-02T19:51:4{n}+00:00", "channel_versions": versions}
            about = {"step": n - 1, "source": "loop" if n else "input", "writes": None, "parents": {}}
            connection.execute(
                "INSERT INTO checkpoints (thread_id, checkpoint_id, parent_checkpoint_id, checkpoint, metadata) "
                "VALUES ('1', %s, %s, %s, %s)",
                [checkpoint, ids[n - 1] if n else None, Jsonb({**document, "versions_seen": seen[n]}), Jsonb(about)],
            )
            for name, value in values[n].items():
                connection.execute(
                    "INSERT INTO checkpoint_blobs (thread_id, channel, version, type, blob) "
                    "VALUES ('1', %s, %s, %s, %s)",
                    [name, versions[name], *dumps(value)],
                )
            for index, (task, channel, value) in enumerate(writes[n]):
                connection.execute(
                    "INSERT INTO checkpoint_writes (thread_id, checkpoint_id, task_id, idx, channel, type, blob) "
                    "VALUES ('1', %s, %s, %s, %s, %s, %s)",
                    [checkpoint, f"{task}000000-0000-0000-0000-000000000000", index, channel, *dumps(value)],
                )
