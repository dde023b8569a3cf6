"""LangGraph's checkpoint tables: real graphs run with the real checkpointers, read back over a connection."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import graphs
import msgpack_values
import ormsgpack
import psycopg
import pytest
from graphs import asked, config
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langgraph.checkpoint.postgres import PostgresSaver, ShallowPostgresSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command
from psycopg.conninfo import conninfo_to_dict

import workbench
from workbench.data.ingest.formats import langgraph_checkpoint
from workbench.data.ingest.formats.langgraph_values import decode
from workbench.data.ingest.reading.database import Address
from workbench.data.store.server import EmbeddedServer
from workbench.errors import ConfigurationError, IngestError, UnknownFormatError


@pytest.fixture
def url(server: EmbeddedServer, request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of an empty database for checkpoints, beside the one of the store."""
    with graphs.checkpoints(server, f"graphs_{abs(hash(request.node.name)) % 10**9}") as found:
        yield found


@pytest.fixture
def saver(url: str) -> Iterator[PostgresSaver]:
    with graphs.saver(url) as found:
        yield found


def plain(value: Any) -> Any:
    """A value of LangGraph as JSON, by its own classes."""
    if isinstance(value, BaseMessage):
        return plain(value.model_dump())
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def run_of(bench: workbench.Workbench, name: str = "", agent_type: str | None = None) -> dict[str, Any]:
    rows = [
        row
        for row in bench.executions().to_dicts()
        if row["name"].startswith(name) and (agent_type is None or row["agent_type"] == agent_type)
    ]
    assert len(rows) == 1, [row["name"] for row in rows]
    return rows[0]


def steps(bench: workbench.Workbench, run: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**row, "data": json.loads(row["data"])} for row in bench.events(run["id"]).to_dicts()]


def metadata(bench: workbench.Workbench, run: dict[str, Any]) -> dict[str, Any]:
    return dict(bench.execution(run["id"]).metadata)


def recorded(bench: workbench.Workbench, run: dict[str, Any]) -> dict[str, Any]:
    """The state of every checkpoint of a run, by its id."""
    return {
        step["data"]["extra"]["checkpoint_id"]: bench.state(run["id"], step["step_number"])
        for step in steps(bench, run)
        if step["category"] == "checkpoint"
    }


def history(graph: CompiledStateGraph, thread: str, space: str = "") -> dict[str, Any]:
    """What LangGraph says of the same checkpoints; an empty list is what a channel without a value begins with."""
    about = config(thread)
    about["configurable"]["checkpoint_ns"] = space
    return {
        found.config["configurable"]["checkpoint_id"]: {
            key: value for key, value in plain(found.values).items() if value != []
        }
        for found in graph.get_state_history(about)
    }


# -- what a thread becomes ---------------------------------------------------------------------------------------------


def test_an_agent_that_calls_tools_is_read_with_its_states(
    bench: workbench.Workbench, saver: PostgresSaver, url: str
) -> None:
    """Messages, calls and results stand once, in order, under the task that made them; states are LangGraph's own."""
    graph = graphs.agent(saver, (1, 2), (13, 4))
    graph.invoke(asked("Add them."), config("1"))

    report = bench.ingest(url, format="langgraph", progress=False)

    run = run_of(bench, "Add them.")
    told = [step for step in steps(bench, run) if step["event_type"] in ("message", "tool_call", "tool_result")]
    assert [(step["event_type"], step["agent"]) for step in told] == [
        ("message", "langgraph"),
        ("tool_call", "agent"),
        ("tool_result", "tools"),
        ("tool_call", "agent"),
        ("tool_result", "tools"),
        ("message", "agent"),
    ]
    assert told[1]["data"]["tool"] == {"name": "add", "call_id": "call-1-2", "arguments": {"a": 1, "b": 2}}
    assert told[2]["data"]["tool"] == {"name": "add", "call_id": "call-1-2", "result": "3", "is_error": False}
    assert (told[4]["severity"], "thirteen" in told[4]["data"]["tool"]["result"]) == ("error", True)
    assert recorded(bench, run) == history(graph, "1")
    assert len(recorded(bench, run)) == 7
    assert (report.files[0].outcome, report.files[0].bad, report.files[0].lost) == ("new", (), ())
    assert (run["status"], run["model"]) == ("completed", "acme-1")


def test_tokens_are_counted_once_in_disjoint_classes(
    bench: workbench.Workbench, saver: PostgresSaver, url: str
) -> None:
    """Each answer's usage counts once, however many checkpoints hold its message; cached tokens are no input."""
    graphs.agent(saver, (1, 2)).invoke(asked("Add."), config("1"))

    bench.ingest(url, progress=False)

    usages = [step["data"].get("usage") for step in steps(bench, run_of(bench)) if step["data"].get("usage")]
    one = {
        "input_tokens": 5,
        "cache_read_tokens": 4,
        "cache_write_tokens": 1,
        "output_tokens": 3,
        "reasoning_tokens": 2,
    }
    assert usages == [one, one]


def test_a_message_without_an_id_of_its_own_is_one_step(
    bench: workbench.Workbench, saver: PostgresSaver, url: str
) -> None:
    """Messages in a channel that gives them no ids stand once each, also where they say the same."""
    graph = graphs.parallel(saver)
    graph.invoke({"xs": [HumanMessage("twice"), HumanMessage("twice")], "q": "?"}, config("1"))

    bench.ingest(url, progress=False)

    told = [step for step in steps(bench, run_of(bench)) if step["event_type"] == "message"]
    assert [step["data"]["text"] for step in told] == ["twice", "twice"]


def test_parallel_nodes_are_tasks_of_one_checkpoint(bench: workbench.Workbench, saver: PostgresSaver, url: str) -> None:
    """Nodes run at once, and workers that were sent for, are steps with the node's name under their checkpoint."""
    graph = graphs.parallel(saver)
    graph.invoke({"xs": ["begin"], "q": "?"}, config("1"))

    bench.ingest(url, progress=False)

    run = run_of(bench)
    tasks = [step for step in steps(bench, run) if step["category"] == "task"]
    assert [step["name"] for step in tasks] == ["__start__", "left", "right", "worker", "worker"]
    assert tasks[1]["parent_span_id"] == tasks[2]["parent_span_id"] != tasks[3]["parent_span_id"]
    assert tasks[4]["data"]["extra"]["writes"] == [{"channel": "xs", "value": [2]}]
    assert recorded(bench, run) == history(graph, "1")


def test_a_subgraph_is_a_run_under_that_of_its_graph(
    bench: workbench.Workbench, saver: PostgresSaver, url: str
) -> None:
    """An interrupted subgraph waits for an answer; once it has got it, the same runs go on, with what was asked."""
    graph = graphs.nested(saver)
    graph.invoke({"xs": ["begin"], "q": "?"}, config("1"))
    bench.ingest(url, progress=False)

    before = run_of(bench, "sub")
    graph.invoke(Command(resume="yes"), config("1"))
    [again] = bench.ingest(url, progress=False).files

    above, below = run_of(bench, "thread 1"), run_of(bench, "sub")
    assert (before["status"], below["status"], above["status"]) == ("pending", "completed", "completed")
    assert (before["id"], below["parent_execution_id"]) == (below["id"], above["id"])
    assert again.outcome == "extended"
    pauses = [(s["name"], s["data"]["text"]) for s in steps(bench, below) if s["event_type"] == "log"]
    assert pauses == [("interrupt", '{"question":"go on?"}'), ("resume", "yes")]
    assert [s["name"] for s in steps(bench, above) if s["event_type"] == "log"] == ["interrupt", "resume"]
    assert recorded(bench, above) == history(graph, "1")
    about = metadata(bench, below)
    assert recorded(bench, below) == history(graph, "1", about["checkpoint_ns"])
    [task] = [s for s in steps(bench, above) if s["id"] == str(below["parent_event_id"])]
    assert (task["category"], task["name"]) == ("task", "sub")


def test_a_node_that_failed_makes_the_run_fail(bench: workbench.Workbench, saver: PostgresSaver, url: str) -> None:
    """The error of the last task is the run's, with its class and words."""
    with pytest.raises(ValueError, match="no such order"):
        graphs.failing(saver).invoke({"xs": [], "q": "?"}, config("1"))

    bench.ingest(url, progress=False)

    run = run_of(bench)
    assert (run["status"], run["error_type"], run["error"]) == ("failed", "ValueError", "no such order")
    [step] = [step for step in steps(bench, run) if step["severity"] == "error"]
    assert (step["name"], step["data"]["error"]) == ("fail", {"type": "ValueError", "message": "no such order"})


def test_time_travel_leaves_the_old_branch_marked(bench: workbench.Workbench, saver: PostgresSaver, url: str) -> None:
    """A fork goes on where it was made; what came after that point before is kept, marked, and no longer the run's."""
    graph = graphs.agent(saver, messages=[*graphs.answers((1, 2)), *graphs.answers()])
    graph.invoke(asked("Add."), config("1"))
    bench.ingest(url, progress=False)
    old = next(found for found in graph.get_state_history(config("1")) if found.next == ("tools",))
    fork = graph.update_state(old.config, {"messages": [HumanMessage("No, stop.", id="stop")]}, as_node="tools")
    graph.invoke(None, fork)

    bench.ingest(url, progress=False)

    run = run_of(bench)
    rows = steps(bench, run)
    off = {s["data"]["extra"]["checkpoint_id"] for s in rows if s["category"] == "checkpoint" and is_off(s)}
    kept = [s["data"].get("text") for s in rows if s["event_type"] == "message" and not is_off(s)]
    main = {found.config["configurable"]["checkpoint_id"] for found in branch(graph, "1")}
    assert recorded(bench, run) == history(graph, "1")
    assert off == set(recorded(bench, run)) - main
    assert len(off) == 2
    assert kept == ["Add.", "No, stop.", "done"]
    assert (metadata(bench, run)["n_branches"], run["status"]) == (2, "completed")


def is_off(step: dict[str, Any]) -> bool:
    return (step["data"].get("extra") or {}).get("is_off_branch") is True


def branch(graph: CompiledStateGraph, thread: str) -> Iterator[Any]:
    found = graph.get_state(config(thread))
    while True:
        yield found
        if found.parent_config is None:
            return
        found = graph.get_state(found.parent_config)


def test_a_changed_message_is_kept_beside_what_it_said_first(
    bench: workbench.Workbench, saver: PostgresSaver, url: str
) -> None:
    """A message edited under its id makes a second step that says so, and its tokens do not count again."""
    graph = graphs.agent(saver)
    graph.invoke(asked("Hello."), config("1"))
    [said] = [m for m in graph.get_state(config("1")).values["messages"] if isinstance(m, AIMessage)]
    edited = said.model_copy(update={"content": "edited"})
    graph.update_state(config("1"), {"messages": [edited]}, as_node="agent")

    bench.ingest(url, progress=False)

    told = [step for step in steps(bench, run_of(bench)) if step["event_type"] == "message"]
    assert [step["data"]["text"] for step in told] == ["Hello.", "done", "edited"]
    assert told[2]["data"]["extra"]["replaces"] == said.id
    assert [step["data"].get("usage") is not None for step in told] == [False, True, False]


def test_the_async_saver_writes_what_is_read(bench: workbench.Workbench, url: str) -> None:
    """A thread of the asynchronous checkpointer gives the same states."""

    async def run() -> tuple[dict[str, Any], list[str]]:
        async with AsyncPostgresSaver.from_conn_string(url) as saver:
            await saver.setup()
            graph = graphs.agent(saver, (1, 2))
            await graph.ainvoke(asked("Add."), config("1"))
            found = [state async for state in graph.aget_state_history(config("1"))]
        return {
            state.config["configurable"]["checkpoint_id"]: {k: v for k, v in plain(state.values).items() if v != []}
            for state in found
        }, []

    with ThreadPoolExecutor(1) as thread:  # Playwright's loop runs in this one, once a browser test has been here
        expected, _ = thread.submit(lambda: asyncio.run(run())).result()
    bench.ingest(url, progress=False)

    assert recorded(bench, run_of(bench)) == expected


# -- over a connection -------------------------------------------------------------------------------------------------


def test_reading_again_adds_only_what_is_new(bench: workbench.Workbench, saver: PostgresSaver, url: str) -> None:
    """Unchanged threads are already there; a thread that went on is extended by its new checkpoints."""
    graph = graphs.agent(saver, messages=[answer for _ in range(3) for answer in graphs.answers()])
    for thread in ("a", "b"):
        graph.invoke(asked(f"Hello {thread}."), config(thread))
    first = bench.ingest(url, progress=False)
    second = bench.ingest(url, progress=False)
    graph.invoke(asked("More."), config("b"))
    third = bench.ingest(url, progress=False)

    assert [file.outcome for file in first.files] == ["new", "new"]
    assert [file.outcome for file in second.files] == ["already there", "already there"]
    assert [file.outcome for file in third.files] == ["already there", "extended"]
    assert (third.files[1].new.events, third.files[1].new.snapshots) == (7, 3)
    assert recorded(bench, run_of(bench, "Hello b.")) == history(graph, "b")


def test_read_in_parts_is_the_same_as_read_at_once(
    bench: workbench.Workbench, saver: PostgresSaver, url: str, server: EmbeddedServer
) -> None:
    """A thread read after each of its turns is, row by row, what it is when it is read once at the end."""
    graph = graphs.nested(saver)
    graph.invoke({"xs": ["begin"], "q": "?"}, config("1"))
    bench.ingest(url, progress=False)
    graph.invoke(Command(resume="yes"), config("1"))
    bench.ingest(url, progress=False)
    graph.update_state(config("1"), {"q": "changed"})
    bench.ingest(url, progress=False)
    before = {run["id"]: (steps(bench, run), recorded(bench, run)) for run in bench.executions().to_dicts()}

    name = "again_" + url.rpartition("graphs_")[2].partition("?")[0]
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE workbench_template")
    with workbench.connect(server.url(database=name)) as other:
        other.ingest(url, progress=False)
        after = {run["id"]: (steps(other, run), recorded(other, run)) for run in other.executions().to_dicts()}
    with psycopg.connect(server.url(user="postgres", database="postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")

    assert before == after


def test_threads_and_schema_are_chosen_in_the_url(bench: workbench.Workbench, saver: PostgresSaver, url: str) -> None:
    """Only the named threads are read; one that does not exist, or a schema without tables, is an error."""
    graph = graphs.agent(saver, messages=[answer for _ in range(3) for answer in graphs.answers()])
    for thread in ("a", "b", "c"):
        graph.invoke(asked(thread), config(thread))
    joint = "&" if "?" in url else "?"

    report = bench.ingest(f"{url}{joint}thread=a&thread=c&schema=public", progress=False)

    assert [file.path.rpartition("#")[2] for file in report.files] == ["a", "c"]
    with pytest.raises(IngestError, match=r"no thread 'x'\. There are 3 threads"):
        bench.ingest(f"{url}{joint}thread=x", progress=False)
    with pytest.raises(IngestError, match="no checkpoint tables of LangGraph in schema 'elsewhere'"):
        bench.ingest(f"{url}{joint}schema=elsewhere", progress=False)
    with pytest.raises(UnknownFormatError, match="'otlp' is read from files, not over a connection"):
        bench.ingest(url, format="otlp", progress=False)


def test_a_password_is_shown_and_stored_nowhere(bench: workbench.Workbench, saver: PostgresSaver, url: str) -> None:
    """Neither the report nor the store nor an error repeats the password of the URL."""
    graphs.agent(saver).invoke(asked("Hello."), config("1"))
    secret = conninfo_to_dict(url)["password"]

    report = bench.ingest(url, progress=False)

    with bench.store.raw() as connection:
        rows = connection.execute("SELECT path, report::text FROM workbench.imports").fetchall()
    assert secret
    assert str(secret) not in str(report) + str(report.as_dict()) + str(rows) + repr(Address.of(url))
    assert rows[0][0].startswith("postgresql://workbench@")
    for wrong in ("postgresql://me:s3cr3t@127.0.0.1:1/nowhere", "postgresql://me:s3cr3t@[oops/db"):
        with pytest.raises((IngestError, ConfigurationError)) as caught:
            bench.ingest(wrong, progress=False)
        assert "s3cr3t" not in str(caught.value) + str(getattr(caught.value, "report", ""))


def test_nothing_is_written_where_it_is_read(bench: workbench.Workbench, saver: PostgresSaver, url: str) -> None:
    """The connection is read-only: a statement that would write is refused by the server."""
    graphs.agent(saver).invoke(asked("Hello."), config("1"))

    with Address.of(url).connect() as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("DELETE FROM checkpoints")

    bench.ingest(url, progress=False)
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM checkpoints").fetchone()
    assert row == (3,)


# -- hostile and damaged values ----------------------------------------------------------------------------------------


def test_no_class_is_imported_and_no_pickle_opened(
    bench: workbench.Workbench, saver: PostgresSaver, url: str, tmp_path: Path
) -> None:
    """A value that names a class to call, or is a pickle, is shown as data; nothing runs and nothing is imported."""
    graphs.parallel(saver).invoke({"xs": [1], "q": "?"}, config("1"))
    mark = tmp_path / "executed"
    with psycopg.connect(url) as connection:
        for kind, blob in msgpack_values.hostile(mark):
            connection.execute(
                "UPDATE checkpoint_blobs SET type = %s, blob = %s WHERE ctid = (SELECT ctid FROM checkpoint_blobs "
                "WHERE channel = 'xs' AND type = 'msgpack' AND octet_length(blob) < 30 LIMIT 1)",
                [kind, blob],
            )

    [file] = bench.ingest(url, progress=False).files

    assert file.outcome == "new"
    assert not mark.exists()
    texts = "".join(str(state) for state in recorded(bench, run_of(bench)).values())
    assert "os.system" in texts
    assert "'__type__': 'pickle'" in texts


@pytest.mark.parametrize("seed", range(3))
def test_spoilt_values_are_named_and_cost_only_themselves(
    bench: workbench.Workbench, saver: PostgresSaver, url: str, seed: int
) -> None:
    """With a bit of every stored value turned, every checkpoint is read; values that no longer decode are named."""
    graphs.agent(saver, (1, 2), (3, 4)).invoke(asked("Add."), config("1"))
    dice = random.Random(seed)
    with psycopg.connect(url) as connection:
        for table in ("checkpoint_blobs", "checkpoint_writes"):
            for at, blob in connection.execute(f"SELECT ctid::text, blob FROM {table} WHERE octet_length(blob) > 0"):
                connection.execute(
                    f"UPDATE {table} SET blob = %s WHERE ctid = %s::tid", [msgpack_values.turned(blob, dice), at]
                )

    [file] = bench.ingest(url, progress=False).files

    assert (file.outcome, file.snapshots) == ("new", 7)
    assert file.n_bad > 0
    assert all("thread '1'" in bad.reason and "checkpoint" in bad.reason for bad in file.bad)


def test_no_value_however_spoilt_is_more_than_data() -> None:
    """Whatever bits of a value are turned, it decodes to JSON, or is refused with a reason that can be read."""
    whole = JsonPlusSerializer().dumps_typed(msgpack_values.everything())
    dice = random.Random(5)
    refused: list[str] = []
    for _ in range(5_000):
        data = whole[1]
        for _ in range(dice.choice((1, 1, 3))):
            data = msgpack_values.turned(data, dice)
        if dice.random() < 0.2:
            data = data[: dice.randrange(len(data))]
        try:
            json.dumps(decode(whole[0], data, str))
        except ValueError as error:
            refused.append(str(error))

    assert all(reason.startswith("not msgpack") for reason in refused)
    assert 500 < len(refused) < 4_500


def test_deep_and_boundless_values_are_refused_or_flattened() -> None:
    """Nesting without end and lengths that promise gigabytes end neither the process nor its memory."""
    for data in (b"\x91" * 2_000 + b"\xc0", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b""):
        with pytest.raises(ValueError, match="not msgpack"):
            decode("msgpack", data, str)
    nested = b"\xc0"
    for _ in range(200):
        nested = ormsgpack.packb(ormsgpack.Ext(7, nested))
    assert "msgpack extension 7" in json.dumps(decode("msgpack", nested, str))


def test_what_python_has_and_json_lacks_becomes_text_lists_and_fields() -> None:
    """Times, ids, sets, keys, enums, dataclasses and bytes can be read in the state, with the class where it tells."""
    kind, data = JsonPlusSerializer().dumps_typed(msgpack_values.everything())

    assert decode(kind, data, str) == msgpack_values.EVERYTHING


# -- older versions, and SQLite ----------------------------------------------------------------------------------------


def test_sqlite_files_are_read_like_the_tables(bench: workbench.Workbench, tmp_path: Path) -> None:
    """A file of the SQLite checkpointer is recognised by its content, and holds the same states and messages."""
    path = tmp_path / "memory.bin"
    with SqliteSaver.from_conn_string(str(path)) as saver:
        graph = graphs.agent(saver, (1, 2))
        graph.invoke(asked("Add."), config("1"))
        expected = history(graph, "1")

    [file] = bench.ingest(tmp_path, progress=False).files
    [again] = bench.ingest(path, progress=False).files

    run = run_of(bench, "Add.")
    assert (file.format, file.outcome, again.outcome, file.bad) == ("langgraph", "new", "already there", ())
    assert recorded(bench, run) == expected
    assert [s["event_type"] for s in steps(bench, run) if s["event_type"] in ("tool_call", "tool_result")] == [
        "tool_call",
        "tool_result",
    ]


def test_tables_of_the_first_version_are_read(bench: workbench.Workbench, url: str) -> None:
    """Checkpoints of version 1 steer by channels named after nodes: these are no state, and name the tasks."""
    graphs.first_version(url)

    [file] = bench.ingest(url, progress=False).files

    run = run_of(bench)
    tasks = [step["name"] for step in steps(bench, run) if step["category"] == "task"]
    assert (file.outcome, file.bad) == ("new", ())
    assert list(recorded(bench, run).values()) == [
        {},
        {"query": "why?"},
        {"query": "why?", "docs": ["a"]},
        {"query": "why?", "docs": ["a", "b"]},
    ]
    assert tasks == ["task", "think", "act", "act"]
    assert metadata(bench, run)["checkpoint_versions"] == [1]


@pytest.mark.filterwarnings("ignore:ShallowPostgresSaver is deprecated")
def test_a_shallow_checkpointer_holds_one_state(bench: workbench.Workbench, url: str) -> None:
    """Tables without ids and versions, that hold the newest checkpoint of a thread alone, are read as that one."""
    with ShallowPostgresSaver.from_conn_string(url) as saver:
        saver.setup()
        graph = graphs.agent(saver, (1, 2))
        graph.invoke(asked("Add."), config("1"))
        expected = plain(graph.get_state(config("1")).values)

    [file] = bench.ingest(url, progress=False).files

    assert (file.outcome, file.snapshots, file.bad) == ("new", 1, ())
    assert list(recorded(bench, run_of(bench, "Add.")).values()) == [expected]


def test_a_run_that_changed_in_its_middle_keeps_no_state_of_the_old_numbering(
    bench: workbench.Workbench, saver: PostgresSaver, url: str
) -> None:
    """Writes that come late to an old checkpoint move what follows; the states move with their steps."""
    graph = graphs.agent(saver, (1, 2))
    graph.invoke(asked("Add."), config("1"))
    bench.ingest(url, progress=False)
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO checkpoint_writes SELECT thread_id, checkpoint_ns, checkpoint_id, "
            "'11111111-0000-0000-0000-000000000000', 0, 'late', 'null', '', '~__pregel_pull, late' "
            "FROM checkpoints WHERE metadata->>'step' = '0'"
        )

    bench.ingest(url, progress=False)

    run = run_of(bench)
    assert "late" in [step["name"] for step in steps(bench, run)]
    assert recorded(bench, run) == history(graph, "1")
    assert len(bench.snapshots(run["id"])) == 5


def test_a_message_that_got_its_id_later_is_known_by_its_words() -> None:
    """What a task wrote may be written down before LangGraph gives it an id, and is that message all the same."""
    said = {"role": "tool", "content": "3", "tool_call_id": "call-1"}

    named, unnamed, other = (
        set(langgraph_checkpoint.keys_of(message)) for message in ({**said, "id": "m1"}, said, {**said, "content": "4"})
    )

    assert named & unnamed
    assert not (named & other)
