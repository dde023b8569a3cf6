"""A growing conversation in the checkpointer, beside ``langgraph-checkpoint-postgres`` on the same server.

A real graph (a model that answers at once) takes N turns of one thread: bytes in the tables, time per turn, time to
load the newest state in a new saver. What Workbench stores besides, the run for people, is told by itself; it is
written behind the agent's back. A second table says what writing it costs after 50, 200 and 800 turns: after one turn
more, and read as a whole, as by a process that remembers nothing.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import psycopg
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph import START, MessagesState, StateGraph

from benchmarks._bench import scratch_store, table
from workbench.data.ingest import mirror
from workbench.data.store.engine import Store
from workbench.replay.langgraph import WorkbenchSaver

_WORDS = random.Random(7)
_VOCABULARY = ["".join(_WORDS.choices("etaoinshrdlu", k=_WORDS.randint(2, 9))) for _ in range(5_000)]
_OURS = ("graph_threads", "graph_values", "graph_checkpoints", "graph_writes")
_RUNS = ("agent_executions", "observability_events", "execution_snapshots")
_THEIRS = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")


def run(quick: bool = False) -> None:
    """Measure and print one table."""
    with scratch_store() as store:
        _measure(store, 30 if quick else 200)
    with scratch_store() as store:
        _measure_runs(store, (10, 30) if quick else (50, 200, 800))


def said(seed: int) -> str:
    """Some 1,000 characters, the same for the same number."""
    return " ".join(random.Random(seed).choices(_VOCABULARY, k=150))


def graph(saver: Any) -> Any:
    """A conversation: each turn adds a question and an answer."""
    builder = StateGraph(MessagesState)
    builder.add_node("answer", lambda state: {"messages": [AIMessage(said(len(state["messages"])))]})
    builder.add_edge(START, "answer")
    return builder.compile(checkpointer=saver)


def turn(compiled: Any, thread: str, n: int) -> float:
    """Seconds of one turn."""
    began = time.perf_counter()
    compiled.invoke({"messages": [HumanMessage(said(1_000_000 + n))]}, {"configurable": {"thread_id": thread}})
    return time.perf_counter() - began


def loaded(make: Callable[[], Any], thread: str) -> float:
    """Seconds that a saver without anything in memory takes for the newest state; the median of some."""
    taken = []
    for _ in range(7):
        saver = make()
        began = time.perf_counter()
        assert saver.get_tuple({"configurable": {"thread_id": thread, "checkpoint_ns": ""}})
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def size_mb(connection: psycopg.Connection, schema: str, tables: tuple[str, ...]) -> float:
    """Of the tables with their indexes."""
    names = [f"{schema}.{name}" for name in tables]
    query = "SELECT sum(pg_total_relation_size(name::regclass)) FROM unnest(%s::text[]) AS name"
    (size,) = connection.execute(query, [names]).fetchone() or (0,)
    return float(size) / 1e6


def _measure(store: Store, turns: int) -> None:
    """Both, turn by turn, and a table."""
    with psycopg.connect(store.direct_url, autocommit=True, prepare_threshold=0) as connection:
        connection.row_factory = psycopg.rows.dict_row  # type: ignore[assignment]
        connection.execute("CREATE SCHEMA theirs")
        connection.execute("SET search_path TO theirs")
        theirs_saver = PostgresSaver(connection)  # type: ignore[arg-type]
        theirs_saver.setup()
        ours_saver = WorkbenchSaver(store)
        ours, theirs = graph(ours_saver), graph(theirs_saver)
        times: dict[str, list[float]] = {"ours": [], "theirs": []}
        for n in range(turns):
            times["ours"].append(turn(ours, "t", n))
            times["theirs"].append(turn(theirs, "t", n))
        began = time.perf_counter()
        ours_saver.flush()
        behind = time.perf_counter() - began
        load = [loaded(lambda: WorkbenchSaver(store), "t"), loaded(lambda: PostgresSaver(connection), "t")]  # type: ignore[arg-type]
    with psycopg.connect(store.direct_url, autocommit=True) as connection:
        sizes = [size_mb(connection, "workbench", _OURS), size_mb(connection, "theirs", _THEIRS)]
        runs = size_mb(connection, "workbench", _RUNS)
    whole = [sum(times["ours"]), sum(times["theirs"])]
    last = [statistics.median(times[name][-20:]) * 1000 for name in ("ours", "theirs")]

    def line(name: str, unit: str, pair: list[float]) -> list[str]:
        return [name, f"{pair[0]:.2f} {unit}", f"{pair[1]:.2f} {unit}", f"{pair[1] / pair[0]:.1f}×"]

    table(
        f"A conversation of {turns} turns",
        ["", "WorkbenchSaver", "PostgresSaver", "theirs ÷ ours"],
        [
            line("checkpoints, tables and indexes", "MB", sizes),
            line("all turns, the graph's own work included", "s", whole),
            line("one of the last 20 turns, median", "ms", last),
            line("newest state, nothing in memory", "ms", [one * 1000 for one in load]),
        ],
    )
    print(f"\nThe run for people, written meanwhile: {runs:.2f} MB; waited for at the end: {behind:.2f} s.")


def _measure_runs(store: Store, at: tuple[int, ...]) -> None:
    """What one more turn costs behind the agent's back: CPU of this process, and until it can be read."""
    mirror._PAUSE_S = 1e6  # only when told
    saver, n, rows = WorkbenchSaver(store), 0, []
    compiled = graph(saver)
    for turns in at:
        agent: list[float] = []
        behind: list[tuple[float, float]] = []
        while n < turns:
            agent.append(turn(compiled, "t", n))
            behind.append(_flushed(saver))
            n += 1
        mirror._mirrors.clear()  # nothing is remembered; other connections are not
        saver = WorkbenchSaver(store)
        compiled = graph(saver)
        turn(compiled, "t", n)
        whole, n = _flushed(saver), n + 1
        cpu, wall = (statistics.median(values) for values in zip(*behind[-20:], strict=True))
        rows.append([
            str(turns), f"{statistics.median(agent[-20:]) * 1000:.1f} ms", f"{wall * 1000:.1f} ms",
            f"{cpu * 1000:.1f} ms", f"{whole[1] * 1000:.0f} ms", f"{whole[0] * 1000:.0f} ms", f"{whole[0] / cpu:.0f}×",
        ])  # fmt: skip
    table(
        "The run for people, after one turn more (median of 20) and as a whole",
        ["turns", "the turn itself", "run: wall", "run: CPU", "whole: wall", "whole: CPU", "whole ÷ turn, CPU"],
        rows,
    )


def _flushed(saver: WorkbenchSaver) -> tuple[float, float]:
    """CPU and wall seconds until the runs tell all."""
    cpu, wall = time.process_time(), time.perf_counter()
    saver.flush()
    return time.process_time() - cpu, time.perf_counter() - wall
