"""The LangGraph checkpointer: LangGraph's own conformance suite, real graphs, exact bytes, branches, two processes."""

from __future__ import annotations

import asyncio
import copy
import random
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import Capability
from langgraph.checkpoint.conformance.test_utils import generate_checkpoint, generate_config
from langgraph.checkpoint.memory import InMemorySaver

import workbench
from workbench.errors import ConfigurationError, ReadOnlyError, StoreError
from workbench.replay.langgraph import WorkbenchSaver


class Sync(WorkbenchSaver):
    """The async methods over the sync ones, in the caller's own thread, as the suite knows async only."""

    async def aput(self, *given: Any, **named: Any) -> Any:
        return self.put(*given, **named)

    async def aput_writes(self, *given: Any, **named: Any) -> None:
        self.put_writes(*given, **named)

    async def aget_tuple(self, *given: Any, **named: Any) -> Any:
        return self.get_tuple(*given, **named)

    async def alist(self, *given: Any, **named: Any) -> AsyncIterator[Any]:
        for found in self.list(*given, **named):
            yield found

    async def adelete_thread(self, thread_id: str) -> None:
        self.delete_thread(thread_id)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        self.delete_for_runs(run_ids)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        self.copy_thread(source_thread_id, target_thread_id)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        self.prune(thread_ids, strategy=strategy)


@pytest.mark.parametrize("kind", [WorkbenchSaver, Sync])
def test_it_passes_langgraphs_conformance_suite(bench: workbench.Workbench, kind: type[WorkbenchSaver]):
    """All base and all extended capabilities pass, by the async methods and by the sync ones."""

    @checkpointer_test(name=kind.__name__)
    async def registered():
        async with kind(bench) as saver:
            yield saver

    report = asyncio.run(validate(registered))

    assert {name: result.failures for name, result in report.results.items() if not result.passed} == {}
    assert set(report.results) == {capability.value for capability in Capability}
    assert report.conformance_level() == "FULL"


# -- exactly what was put ----------------------------------------------------------------------------------------------

VALUES: list[Any] = [
    None, True, 0, -1.5, "short", "long " * 200, "NUL \0 and ☃", b"\x00\xff" * 300, [], {}, {"deep": [1, {"x": None}]},
    {5: "a key that is no text"}, float("inf"), datetime(2026, 1, 1, tzinfo=UTC), uuid.UUID(int=7), Decimal("1.10"),
    {3, 4}, HumanMessage("Hi", id="m-1"), [HumanMessage("again " * 99), AIMessage("ok")],
]  # fmt: skip


def put(
    saver: Any, thread: str, parent: str | None, values: dict[str, Any], versions: dict[str, Any], **about: Any
) -> str:
    """Put a checkpoint as a graph does: with the versions that are new since its parent."""
    found = saver.get_tuple(graph_config(thread, parent)) if parent else None
    before = found.checkpoint["channel_versions"] if found else {}
    new = {name: version for name, version in versions.items() if before.get(name) != version}
    checkpoint = generate_checkpoint(channel_values=values, channel_versions=versions)
    return saver.put(graph_config(thread, parent), checkpoint, {"source": "loop", "step": 1, **about}, new)[
        "configurable"
    ]["checkpoint_id"]


def graph_config(thread: str, checkpoint: str | None = None, namespace: str = "") -> Any:
    return generate_config(thread, checkpoint_ns=namespace, checkpoint_id=checkpoint)


@pytest.mark.parametrize("seed", range(3))
def test_a_random_history_is_given_back_as_langgraphs_own_saver_does(bench: workbench.Workbench, seed: int):
    """Forks, shared and growing values, writes, special writes: each checkpoint is what ``InMemorySaver`` has of it."""
    chance = random.Random(seed)
    theirs, ours = InMemorySaver(), WorkbenchSaver(bench)
    known: dict[str, list[str]] = {"a": [], "b": []}
    grown: list[Any] = []
    for n in range(60):
        thread = chance.choice("ab")
        parent = chance.choice(known[thread]) if known[thread] and chance.random() < 0.9 else None
        before = ours.get_tuple(graph_config(thread, parent)) if parent else None
        values = dict(before.checkpoint["channel_values"]) if before else {}
        versions = dict(before.checkpoint["channel_versions"]) if before else {}
        for name in chance.sample(["x", "y", "messages"], chance.randint(0, 3)):
            grown = [*grown, {"n": n, "text": chance.choice("abc") * 400}]
            values[name] = list(grown) if name == "messages" else chance.choice(VALUES)
            versions[name] = ours.get_next_version(versions.get(name), None)
        saver = WorkbenchSaver(bench) if chance.random() < 0.2 else ours  # that remembers nothing
        checkpoint = generate_checkpoint(channel_values=values, channel_versions=versions)
        new = {k: v for k, v in versions.items() if not before or before.checkpoint["channel_versions"].get(k) != v}
        metadata: Any = {"source": "loop", "step": n, "who": chance.choice("uv")}
        for one in (theirs, saver):
            one.put(graph_config(thread, parent), copy.deepcopy(checkpoint), metadata, new)
            for task in ("t1", "t2"):
                writes = [("x", n), ("__error__", "e"), ("y", chance.getstate()[1][0])]
                one.put_writes(graph_config(thread, checkpoint["id"]), writes, task, f"~{task}")
        known[thread].append(checkpoint["id"])

    for thread, ids in known.items():
        for own in ids:
            mine, other = (s.get_tuple(graph_config(thread, own)) for s in (WorkbenchSaver(bench), theirs))
            assert mine == other
        mine, other = (list(s.list(graph_config(thread), filter={"who": "u"}, limit=7)) for s in (ours, theirs))
        assert mine == other


def test_a_version_that_is_put_twice_with_other_values_keeps_both(bench: workbench.Workbench):
    """A version number tells no lie: each checkpoint has the value that was put with it."""
    saver = WorkbenchSaver(bench)
    first = put(saver, "t", None, {"x": ["one"] * 300}, {"x": 1})
    second = put(saver, "t", None, {"x": ["two"] * 300}, {"x": 1})

    found = [saver.get_tuple(graph_config("t", own)).checkpoint["channel_values"]["x"][0] for own in (first, second)]
    assert found == ["one", "two"]


def test_what_another_process_took_away_is_put_again(bench: workbench.Workbench):
    """A thread that was deleted elsewhere, while this saver remembers its values, is put whole."""
    saver = WorkbenchSaver(bench)
    long = [f"value {n}" for n in range(500)]
    parent = put(saver, "t", None, {"x": long, "y": long[1:]}, {"x": "1", "y": "1"})
    checkpoint = generate_checkpoint(
        channel_values={"x": [*long, "more"], "y": long[1:]}, channel_versions={"x": "2", "y": "1"}
    )
    WorkbenchSaver(bench).delete_thread("t")

    stored = saver.put(graph_config("t", parent), checkpoint, {}, {"x": "2"})

    assert WorkbenchSaver(bench).get_tuple(stored).checkpoint["channel_values"] == checkpoint["channel_values"]


def test_a_conversation_that_grows_grows_the_store_by_what_is_new(bench: workbench.Workbench):
    """200 versions of a growing list weigh less than three times the last of them; each is rebuilt from few others."""
    saver = WorkbenchSaver(bench)
    parent, messages = None, []
    words = random.Random(5)
    for n in range(200):
        messages = [*messages, HumanMessage(" ".join(words.choices("abcdefgh", k=200)), id=f"m-{n}")]
        parent = put(saver, "t", parent, {"messages": messages}, {"messages": f"{n:05}"})

    rows = bench.sql("SELECT sum(octet_length(data)) AS size, max(position) AS n FROM workbench.graph_values")
    whole = len(saver.serde.dumps_typed(messages)[1])
    assert rows["size"][0] < 3 * whole
    assert rows["n"][0] > 60
    assert WorkbenchSaver(bench).get_tuple(graph_config("t")).checkpoint["channel_values"]["messages"] == messages


# -- many at once ------------------------------------------------------------------------------------------------------

OTHER = """
import sys, workbench
from workbench.replay.langgraph import WorkbenchSaver
sys.path.insert(0, sys.argv[2])
import test_langgraph_saver as test
with workbench.connect(sys.argv[1]) as bench, WorkbenchSaver(bench) as saver:
    test.chain(saver, sys.argv[3])
"""


def chain(saver: WorkbenchSaver, name: str) -> None:
    """Twenty checkpoints that share a growing value, each with writes."""
    parent, xs = None, []
    for n in range(20):
        xs = [*xs, f"{name} {n} " + "x" * 100]
        parent = put(saver, "shared", parent, {"xs": xs}, {"xs": f"{n:03}.{name}"}, who=name)
        saver.put_writes(graph_config("shared", parent), [("xs", n)], f"task-{name}")


def test_threads_loops_and_processes_share_a_thread(bench: workbench.Workbench, database_url: str):
    """Two processes, four threads and an event loop write one thread at once: nothing is lost, nothing is mixed up."""
    here = __file__.rpartition("/")[0]
    command = [sys.executable, "-c", OTHER, database_url, here]
    others = [subprocess.Popen([*command, name]) for name in ("p1", "p2")]
    with WorkbenchSaver(bench) as saver, ThreadPoolExecutor(4) as pool:
        for name in ("t1", "t2", "t3"):
            pool.submit(chain, saver, name)

        async def many() -> None:
            await asyncio.gather(*(asyncio.to_thread(chain, saver, f"a{n}") for n in range(2)))

        asyncio.run(many())
    assert [other.wait() for other in others] == [0, 0]

    names = ("p1", "p2", "t1", "t2", "t3", "a0", "a1")
    for name in names:
        found = list(WorkbenchSaver(bench).list(graph_config("shared"), filter={"who": name}))
        assert [len(one.checkpoint["channel_values"]["xs"]) for one in found] == [*range(20, 0, -1)]
        assert all(text.startswith(f"{name} ") for text in found[0].checkpoint["channel_values"]["xs"])
        assert [one.pending_writes for one in found[:1]] == [[(f"task-{name}", "xs", 19)]]
    run = bench.execution(WorkbenchSaver(bench).run("shared"))
    assert (run.metadata["n_checkpoints"], run.metadata["n_branches"]) == (140, 7)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda saver: saver.prune(["t"], strategy="keep_some"), "no strategy 'keep_some'; there are keep_latest"),
        (lambda saver: saver.prune("t"), "takes a list of threads"),
        (lambda saver: saver.get_tuple({"configurable": {}}), "names no thread"),
        (lambda saver: saver.put_writes(graph_config("t"), [("x", 1)], "task"), "needs the checkpoint"),
    ],
)
def test_what_cannot_be_meant_is_refused(bench: workbench.Workbench, call: Callable[[WorkbenchSaver], Any], match: str):
    """The text says what was given and what is allowed."""
    with pytest.raises(ConfigurationError, match=match):
        call(WorkbenchSaver(bench))


def test_a_read_only_workbench_keeps_no_checkpoints(bench: workbench.Workbench, database_url: str):
    """It is said when the saver is made, not when the graph has begun."""
    with (
        workbench.connect(database_url, read_only=True) as reader,
        pytest.raises(ReadOnlyError, match="read_only=True"),
    ):
        WorkbenchSaver(reader)


def test_pruning_keeps_what_the_newest_checkpoint_is_rebuilt_from(bench: workbench.Workbench):
    """Of 50 versions the last is left, whole, in less space; what deleted runs of the graph had goes with them."""
    saver = WorkbenchSaver(bench)
    parent, messages = None, []
    for n in range(50):
        messages = [*messages, HumanMessage(f"{n} " * 300, id=f"m-{n}")]
        parent = put(saver, "t", parent, {"messages": messages}, {"messages": f"{n:05}"}, run_id=f"run-{n // 10}")
    count = "SELECT count(*) AS n FROM workbench.graph_values"
    before = bench.sql(count)["n"][0]

    saver.delete_for_runs(["run-4"])
    fewer = bench.sql(count)["n"][0]
    saver.prune(["t"])

    left = list(WorkbenchSaver(bench).list(graph_config("t")))
    assert [one.checkpoint["channel_values"]["messages"] for one in left] == [messages[:40]]
    assert left[0].parent_config is None
    assert before > fewer > bench.sql(count)["n"][0] > 1


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE workbench.graph_values SET data = overlay(data placing '\\xff'::bytea from 40)",
        "UPDATE workbench.graph_values SET data = substr(data, 1, 30)",
        "DELETE FROM workbench.graph_values WHERE base IS NULL",
    ],
)
def test_a_damaged_value_is_told_and_not_given(bench: workbench.Workbench, damage: str):
    """Bytes that changed, were cut or are gone raise; no checkpoint comes back that was not put."""
    saver, parent, xs = WorkbenchSaver(bench), None, []
    for n in range(3):
        xs = [*xs, random.Random(n).randbytes(400)]
        parent = put(saver, "t", parent, {"xs": xs}, {"xs": str(n)})
    saver.flush()
    with bench.store.raw() as connection:
        connection.execute(damage.encode())

    with pytest.raises(StoreError, match=r"is damaged.*backup"):
        WorkbenchSaver(bench).get_tuple(graph_config("t"))
