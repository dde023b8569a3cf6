"""Runs that are made of live checkpoints: like those that are read from LangGraph's own tables, and never behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Annotated, Any, TypedDict

import graphs
import orjson
import pytest
from graphs import asked, config
from langchain_core.messages import HumanMessage
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.graph import START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command

import workbench
from workbench.data.store.engine import Store
from workbench.data.store.server import EmbeddedServer
from workbench.errors import ConfigurationError, StoreUnavailableError
from workbench.replay.langgraph import WorkbenchSaver
from workbench.settings import Settings


@pytest.fixture
def saver(bench: workbench.Workbench) -> Iterator[WorkbenchSaver]:
    with WorkbenchSaver(bench) as found:
        yield found


@pytest.fixture
def url(server: EmbeddedServer, request: pytest.FixtureRequest) -> Iterator[str]:
    with graphs.checkpoints(server, f"mirror_{abs(hash(request.node.name)) % 10**9}") as found:
        yield found


def steps(bench: workbench.Workbench, run: Any) -> list[dict[str, Any]]:
    return [{**row, "data": orjson.loads(row["data"])} for row in bench.events(run).to_dicts()]


def shape(bench: workbench.Workbench, run: Any) -> list[tuple[Any, ...]]:
    """What does not differ from one run of a graph to the next: all but ids and times."""
    return [
        (s["step_number"], s["event_type"], s["name"], s["agent"], s["category"], s["severity"], s["mark"],
         s["data"].get("role"), s["data"].get("text"), s["data"].get("tool"), s["data"].get("usage"))
        for s in steps(bench, run)
    ]  # fmt: skip


def states(bench: workbench.Workbench, run: Any) -> list[Any]:
    """The state of each checkpoint, without what differs from run to run."""
    found = [bench.state(run, s["step_number"]) for s in steps(bench, run) if s["category"] == "checkpoint"]
    for state in found:
        for message in state.get("messages", ()):
            message["id"] = None
    return found


def children(bench: workbench.Workbench, run: Any) -> list[dict[str, Any]]:
    return bench.executions(parent=run).to_dicts()


# -- what a thread becomes ---------------------------------------------------------------------------------------------


def play_agent(graph: CompiledStateGraph) -> None:
    graph.invoke(asked("Add them."), config("t"))


def play_nested(graph: CompiledStateGraph) -> None:
    graph.invoke({"xs": []}, config("t"))
    graph.invoke(Command(resume="yes"), config("t"))


def play_failing(graph: CompiledStateGraph) -> None:
    with pytest.raises(ValueError, match="no such order"):
        graph.invoke({"xs": []}, config("t"))


def play_fork(graph: CompiledStateGraph) -> None:
    graph.invoke(asked("Add."), config("t"))
    old = next(found for found in graph.get_state_history(config("t")) if found.next == ("tools",))
    fork = graph.update_state(old.config, {"messages": [HumanMessage("No, stop.", id="stop")]}, as_node="tools")
    graph.invoke(None, fork)


PLAYS = {
    "agent": (lambda saver: graphs.agent(saver, (1, 2), (13, 4)), play_agent),
    "nested": (graphs.nested, play_nested),
    "failing": (graphs.failing, play_failing),
    "fork": (lambda saver: graphs.agent(saver, messages=[*graphs.answers((1, 2)), *graphs.answers()]), play_fork),
    "parallel": (graphs.parallel, lambda graph: graph.invoke({"xs": []}, config("t"))),
}


@pytest.mark.parametrize("play", PLAYS)
def test_a_live_thread_is_the_run_that_its_tables_would_be(
    bench: workbench.Workbench, saver: WorkbenchSaver, url: str, play: str
) -> None:
    """Events, states, outcome, lanes and runs below are those that are read from LangGraph's Postgres tables."""
    make, act = PLAYS[play]
    act(make(saver))
    with graphs.saver(url) as theirs:
        act(make(theirs))
    bench.ingest(url, format="langgraph", progress=False)

    live = saver.run("t")
    read = next(
        row["id"] for row in bench.executions(source="langgraph").to_dicts() if row["parent_execution_id"] is None
    )
    same = ("status", "name", "model", "error", "error_type", "input_tokens", "output_tokens")
    assert shape(bench, live) == shape(bench, read)
    assert states(bench, live) == states(bench, read)
    one, other = (bench.executions(ids=[run]).to_dicts()[0] for run in (live, read))
    assert {name: one[name] for name in same} == {name: other[name] for name in same}
    assert [shape(bench, run["id"]) for run in children(bench, live)] == [
        shape(bench, run["id"]) for run in children(bench, read)
    ]
    about = [bench.execution(run).metadata.get("n_branches") for run in (live, read)]
    assert about[0] == about[1] == (2 if play == "fork" else None)


def test_a_run_can_be_looked_at_while_its_graph_waits(bench: workbench.Workbench, saver: WorkbenchSaver) -> None:
    """After an interrupt the run is pending; answered, the same run is completed, and its steps keep their ids."""
    graph = graphs.nested(saver)
    graph.invoke({"xs": []}, config("t"))
    waiting = bench.executions(ids=[saver.run("t")])["status"][0]
    before = set(bench.events(saver.run("t"))["id"])

    graph.invoke(Command(resume="yes"), config("t"))

    assert (waiting, bench.executions(ids=[saver.run("t")])["status"][0]) == ("pending", "completed")
    assert before <= set(bench.events(saver.run("t"))["id"])


def test_the_kind_of_agent_is_the_savers(bench: workbench.Workbench) -> None:
    """``agent_type`` names the kind of agent of each thread's run; an empty one is refused."""
    saver = WorkbenchSaver(bench.store, agent_type="planner")
    graphs.parallel(saver).invoke({"xs": []}, config("t"))

    assert bench.executions(agent_type="planner")["id"].to_list() == [str(saver.run("t"))]
    with pytest.raises(ConfigurationError, match="agent_type must not be empty"):
        WorkbenchSaver(bench, agent_type="")


def test_what_a_serializer_encrypts_is_not_shown(bench: workbench.Workbench) -> None:
    """The graph goes on from its encrypted values; nothing of them is in the run, nor in any table."""
    saver = WorkbenchSaver(bench, serde=EncryptedSerializer(Backwards()))
    graph = graphs.agent(saver, (1, 2))
    graph.invoke(asked("the passphrase is swordfish"), config("t"))

    assert graph.get_state(config("t")).values["messages"][0].content == "the passphrase is swordfish"
    assert bench.snapshots(saver.run("t")).height == 5
    for table in ("agent_executions", "observability_events", "execution_snapshots", "graph_values"):
        assert "swordfish" not in str(bench.sql(f"SELECT t::text AS row FROM workbench.{table} t")["row"].to_list())


class Backwards:
    """A cipher for tests: the bytes the other way round."""

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        return "backwards", plaintext[::-1]

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        return ciphertext[::-1]


# -- nothing left behind -----------------------------------------------------------------------------------------------

KILLED = """
import os, sys, workbench
from workbench.data.ingest import mirror
from workbench.replay.langgraph import WorkbenchSaver
mirror._PAUSE_S = 1000
sys.path.insert(0, sys.argv[2])
import graphs
bench = workbench.connect(sys.argv[1])
graphs.parallel(WorkbenchSaver(bench)).invoke({"xs": []}, graphs.config("t"))
os._exit(9)
"""


def test_what_a_killed_process_put_is_seen_by_the_next(bench: workbench.Workbench, database_url: str) -> None:
    """A process that dies before it has shown its checkpoints loses none: the next saver shows them."""
    here = __file__.rpartition("/")[0]
    done = subprocess.run([sys.executable, "-c", KILLED, database_url, here], check=False)
    assert (done.returncode, bench.executions().height) == (9, 0)

    saver = WorkbenchSaver(bench)

    assert bench.executions()["status"].to_list() == ["completed"]
    assert graphs.parallel(saver).get_state(config("t")).values["xs"] == ["left", "right", 1, 2]


def test_reading_shows_what_nobody_else_will(bench: workbench.Workbench, database_url: str) -> None:
    """A thread that its process left for longer than a while is shown by whoever reads, without a saver."""
    here = __file__.rpartition("/")[0]
    subprocess.run([sys.executable, "-c", KILLED, database_url, here], check=False)
    with bench.store.raw() as connection:
        connection.execute("UPDATE workbench.graph_threads SET changed_at = now() - interval '1 minute'")

    assert bench.executions()["status"].to_list() == ["completed"]


def test_a_dead_database_is_told(database_url: str) -> None:
    """What could not be stored raises; the graph stops instead of going on without its checkpoints."""
    store = Store.open(Settings.load(database_url=database_url))
    saver = WorkbenchSaver(store)
    graph = graphs.parallel(saver)
    store.close()

    with pytest.raises(StoreUnavailableError):
        graph.invoke({"xs": []}, config("t"))
    with pytest.raises(StoreUnavailableError):
        saver.get_tuple(config("t"))


# -- taking away -------------------------------------------------------------------------------------------------------


def test_deleting_a_thread_deletes_its_runs(bench: workbench.Workbench, saver: WorkbenchSaver) -> None:
    """Run, subgraph runs, events and states of the thread go; another thread's stay; a new thread begins anew."""
    for thread in ("t", "u"):
        graphs.nested(saver).invoke({"xs": []}, config(thread))
    assert bench.executions().height == 4

    saver.delete_thread("t")

    assert {row["id"] for row in bench.executions(parent=saver.run("u")).to_dicts()} < set(bench.executions()["id"])
    assert bench.executions().height == 2
    graphs.parallel(saver).invoke({"xs": []}, config("t"))
    assert bench.executions(ids=[saver.run("t")])["status"].to_list() == ["completed"]


def test_a_run_holds_what_pruning_leaves(bench: workbench.Workbench, saver: WorkbenchSaver) -> None:
    """After ``keep_latest`` the run has one checkpoint, equal to the graph's state, and goes on from it."""
    graph = graphs.agent(saver, messages=[*graphs.answers((1, 2)), *graphs.answers((3, 4))])
    graph.invoke(asked("Add."), config("t"))
    bench.events(saver.run("t"))

    saver.prune(["t"])

    left = states(bench, saver.run("t"))
    assert [len(state["messages"]) for state in left] == [4]
    graph.invoke(asked("Again."), config("t"))
    assert len(states(bench, saver.run("t"))) > 3
    assert len(graph.get_state(config("t")).values["messages"]) == 8


def test_checkpoints_of_some_runs_are_taken_from_the_run_too(bench: workbench.Workbench, saver: WorkbenchSaver) -> None:
    """``delete_for_runs`` takes the steps of those runs of the graph, and no others."""
    graph = graphs.agent(saver, messages=[*graphs.answers((1, 2)), *graphs.answers((3, 4))])
    for text, run in (("Add.", "run-1"), ("Again.", "run-2")):
        graph.invoke(asked(text), {**config("t"), "metadata": {"run_id": run}})
    assert {s["data"].get("text") for s in steps(bench, saver.run("t"))} >= {"Add.", "Again."}

    saver.delete_for_runs(["run-2"])

    texts = {s["data"].get("text") for s in steps(bench, saver.run("t"))}
    assert ("Add." in texts, "Again." in texts) == (True, False)


def together(state: list[Any], writes: list[list[Any]]) -> list[Any]:
    return [*state, *(x for write in writes for x in write)]


class Deltas(TypedDict):
    xs: Annotated[list, DeltaChannel(together, snapshot_frequency=4)]


def test_delta_channels_are_rebuilt_also_after_pruning(saver: WorkbenchSaver) -> None:
    """What a delta channel holds is rebuilt from its writes, at each checkpoint; pruning keeps those that it needs."""
    builder = StateGraph(Deltas)
    builder.add_node("add", lambda state: {"xs": [len(state["xs"])]})
    builder.add_edge(START, "add")
    graph = builder.compile(checkpointer=saver)
    for n in range(7):
        graph.invoke({"xs": [f"turn {n}"]}, config("t"))
    whole = graph.get_state(config("t")).values["xs"]
    theirs = WorkbenchSaver.__mro__[1].get_delta_channel_history(saver, config=config("t"), channels=["xs"])

    assert whole == [x for n in range(7) for x in (f"turn {n}", 2 * n + 1)]
    assert saver.get_delta_channel_history(config=config("t"), channels=["xs"]) == theirs
    n_before = sum(1 for _ in saver.list(config("t")))
    saver.prune(["t"])
    assert graph.get_state(config("t")).values["xs"] == whole
    assert 1 <= sum(1 for _ in saver.list(config("t"))) < n_before


def test_states_of_a_thread_that_were_pruned_stay_away_while_it_goes_on(
    bench: workbench.Workbench, saver: WorkbenchSaver
) -> None:
    """Each state is a checkpoint, and stays unless asked for; the graph goes on and brings new states alone."""
    from workbench.errors import PrunedError

    graph = graphs.agent(saver, messages=[*graphs.answers((1, 2)), *graphs.answers((3, 4))])
    graph.invoke(asked("Add them."), config("t"))
    run = saver.run("t")
    first = {row["step_number"]: row["state"] for row in bench.snapshots(run).to_dicts()}
    assert bench.prune(run, last=1).n_removed == 0
    kept = bench.prune(run, last=1, checkpoints=False).plan.filter("is_kept")["step_number"].to_list()
    assert 0 < len(kept) < len(first)

    graph.invoke(asked("And these."), config("t"))

    assert saver.run("t") == run
    after = {row["step_number"]: row["state"] for row in bench.snapshots(run).to_dicts()}
    assert {step for step in first if step in after} == set(kept)
    assert all(after[step] == first[step] for step in kept)
    assert len(after) > len(kept)
    with pytest.raises(PrunedError):
        bench.state(run, min(first))
    assert len(graph.get_state(config("t")).values["messages"]) > 4
