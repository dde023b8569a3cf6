"""Files and lines read in any order make the same tree: seeded permutations, compared row by row."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.data.ingest import histories, linked_files
from tests.data.ingest.linked_files import jsonl
from workbench.data.ingest import ingest
from workbench.data.store.engine import Store

_ORDERS = range(6)
_SPANS = 14


def tree(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """All rows but those of the imports, without what tells when and from which file they came."""
    wanted = {
        "agent_executions": "id, task_id, parent_execution_id, parent_event_id, agent_type, name, model, status, score,"
        " started_at, completed_at, input::text, output::text, error, error_type, metadata::text, trace_id,"
        " execution_time_ms, token_usage::text, cost, source, source_id, reported::text",
        "observability_events": "id, execution_id, step_number, event_type, name, agent, category, severity, timestamp,"
        " duration_ms, trace_id, span_id, parent_span_id, data::text, mark",
        "execution_snapshots": "id, execution_id, step_number, timestamp, state::text, is_derived",
    }
    with store.raw() as connection:
        return {
            name: connection.execute(f"SELECT {columns} FROM workbench.{name} ORDER BY id").fetchall()  # type: ignore[arg-type]
            for name, columns in wanted.items()
        }


def empty(store: Store) -> None:
    with store.raw() as connection:
        connection.execute("TRUNCATE workbench.imports, workbench.tasks, workbench.agent_executions CASCADE")


def attribute(name: str, value: Any) -> dict[str, Any]:
    kind = "intValue" if isinstance(value, int) else "stringValue"
    return {"key": name, "value": {kind: str(value) if isinstance(value, int) else value}}


def otlp_spans(chance: random.Random) -> list[dict[str, Any]]:
    """A trace with agents, model calls that a span around them sums, ties in time, a span without end, an orphan."""
    spans = []
    for n in range(_SPANS):
        parent = chance.randrange(n) if n else None
        start = histories.START_NS + (n // 3) * histories.SECOND_NS
        said = [attribute("gen_ai.operation.name", chance.choice(["chat", "invoke_agent", "execute_tool"]))]
        said.append(attribute("gen_ai.agent.name", f"agent {chance.randrange(3)}"))
        said += [attribute("gen_ai.usage.input_tokens", chance.randrange(1, 9))] if chance.random() < 0.6 else []
        span = histories.otlp_span(n, startTimeUnixNano=str(start), attributes=said)
        span["endTimeUnixNano"] = "0" if n == 5 else str(start + chance.randrange(5) * histories.SECOND_NS)
        span["parentSpanId"] = "" if parent is None else f"{parent + 1:016x}"
        if n == 7:
            span["parentSpanId"] = "00000000deadbeef"
        spans.append(span)
    return spans


def otlp_line(span: dict[str, Any]) -> bytes:
    return histories.dumps(histories.otlp_request(span)) + b"\n"


def dumped_line(span: dict[str, Any]) -> bytes:
    """A span as OpenTelemetry JS dumps it."""
    said = {a["key"]: int(v["intValue"]) if "intValue" in (v := a["value"]) else v["stringValue"]
            for a in span["attributes"]}  # fmt: skip
    record = {
        "name": span["name"],
        "spanContext": {"traceId": span["traceId"], "spanId": span["spanId"]},
        "parentSpanId": span["parentSpanId"] or None,
        "startTime": [int(span["startTimeUnixNano"]) // histories.SECOND_NS, 0],
        "endTime": [int(span["endTimeUnixNano"]) // histories.SECOND_NS, 0] if span["endTimeUnixNano"] != "0" else None,
        "attributes": said,
    }
    return histories.dumps(record) + b"\n"


def langsmith_line(span: dict[str, Any]) -> bytes:
    """A span as a row of LangSmith."""
    said = {a["key"]: int(v["intValue"]) if "intValue" in (v := a["value"]) else v["stringValue"]
            for a in span["attributes"]}  # fmt: skip

    def when(ns: str) -> str | None:
        return f"2025-05-01T12:{(int(ns) - histories.START_NS) // histories.SECOND_NS:02d}:00Z" if ns != "0" else None

    def uuid(span_id: str) -> str:
        return f"00000000-0000-4000-8000-{span_id[4:]}"

    kind = {"chat": "llm", "invoke_agent": "chain", "execute_tool": "tool"}[str(said["gen_ai.operation.name"])]
    record = {
        "id": uuid(span["spanId"]),
        "trace_id": "00000000-0000-4000-8000-000000000001",
        "parent_run_id": uuid(span["parentSpanId"]) if span["parentSpanId"] else None,
        "name": span["name"],
        "run_type": kind,
        "start_time": when(span["startTimeUnixNano"]),
        "end_time": when(span["endTimeUnixNano"]),
        "inputs": {"question": f"what about {span['name']}?"},
        "outputs": {"answer": f"{span['name']} is fine"},
        "session_name": f"project {span['spanId'][-1]}",
        "prompt_tokens": said.get("gen_ai.usage.input_tokens"),
    }
    return histories.dumps(record) + b"\n"


LINES: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "otlp": otlp_line,
    "openinference": dumped_line,
    "langsmith": langsmith_line,
}


def orders(lines: list[bytes]) -> Iterator[list[bytes]]:
    """The lines as they are, then shuffled."""
    yield lines
    for seed in _ORDERS:
        shuffled = lines[:]
        random.Random(seed).shuffle(shuffled)
        yield shuffled


@pytest.mark.parametrize("format", LINES)
def test_spans_of_one_file_in_any_order(store: Store, tmp_path: Path, format: str) -> None:
    """A file of spans in any order makes the same rows."""
    lines = [LINES[format](span) for span in otlp_spans(random.Random(1))]
    found = []
    for n, shuffled in enumerate(orders(lines)):
        empty(store)
        path = tmp_path / f"{n}.jsonl"
        path.write_bytes(b"".join(shuffled))
        ingest(store, path, format=format, progress=False)
        found.append(tree(store))

    assert len(found[0]["observability_events"]) == _SPANS
    assert [rows == found[0] for rows in found] == [True] * len(found)


@pytest.mark.parametrize("format", LINES)
def test_spans_over_several_files_in_any_order(store: Store, tmp_path: Path, format: str) -> None:
    """A trace split over files, read in any order, makes the rows that one file makes: marks are taken away again."""
    lines = [LINES[format](span) for span in otlp_spans(random.Random(2))]
    whole = tmp_path / "whole.jsonl"
    whole.write_bytes(b"".join(lines))
    ingest(store, whole, format=format, progress=False)
    expected = tree(store)
    for seed, shuffled in enumerate(orders(lines)):
        empty(store)
        n_files = random.Random(seed).randrange(2, 6)
        for n in range(n_files):
            path = tmp_path / f"{seed}-{n}.jsonl"
            path.write_bytes(b"".join(shuffled[n::n_files]))
            ingest(store, path, format=format, progress=False)

        assert tree(store) == expected


@pytest.mark.parametrize("format", LINES)
def test_marks_say_what_is_missing_and_go_when_it_comes(store: Store, tmp_path: Path, format: str) -> None:
    """A child without its parent is orphaned, a span without end unfinished; both are whole once the rest is read."""
    spans = otlp_spans(random.Random(3))[:4]
    for n, span in enumerate(spans):
        span["parentSpanId"] = spans[n - 1]["spanId"] if n else ""
        span["endTimeUnixNano"] = str(int(span["startTimeUnixNano"]) + 2 * histories.SECOND_NS)
    begun = {**spans[2], "endTimeUnixNano": "0"}

    def marks(*given: dict[str, Any]) -> dict[str, str | None]:
        path = tmp_path / f"{random.random()}.jsonl"
        path.write_bytes(b"".join(LINES[format](span) for span in given))
        ingest(store, path, format=format, progress=False)
        with store.raw() as connection:
            rows = connection.execute("SELECT name, mark FROM workbench.observability_events ORDER BY step_number")
            return dict(rows.fetchall())

    assert marks(begun, spans[3]) == {"span 2": "unfinished", "span 3": None}
    assert marks(spans[1]) == {"span 1": "orphaned", "span 2": "unfinished", "span 3": None}
    assert marks(spans[2]) == {"span 1": "orphaned", "span 2": None, "span 3": None}
    assert marks(spans[0]) == dict.fromkeys(["span 0", "span 1", "span 2", "span 3"])
    assert marks(begun, spans[3]) == dict.fromkeys(["span 0", "span 1", "span 2", "span 3"])


def test_circles_self_parents_and_skewed_clocks_are_placed(store: Store, tmp_path: Path) -> None:
    """Spans in a circle, under themselves, before their parent or past its end: each is a row, in any order."""
    links = {0: 1, 1: 2, 2: 0, 3: 3, 4: None, 5: 4, 6: 4, 7: None}
    spans = [
        histories.otlp_span(n, parentSpanId="" if parent is None else f"{parent + 1:016x}")
        for n, parent in links.items()
    ]
    spans[5]["startTimeUnixNano"] = str(histories.START_NS)  # before its parent
    spans[6]["endTimeUnixNano"] = str(histories.START_NS + 100 * histories.SECOND_NS)  # long after its parent's end
    spans.append({**spans[7], "name": "the same id again"})
    found = []
    for n, lines in enumerate(orders([otlp_line(span) for span in spans])):
        empty(store)
        path = tmp_path / f"{n}.jsonl"
        path.write_bytes(b"".join(lines))
        ingest(store, path, progress=False)
        found.append(tree(store))

    assert len(found[0]["observability_events"]) == len(spans)
    assert [rows == found[0] for rows in found] == [True] * len(found)


def test_a_chain_of_ten_thousand_spans(store: Store, tmp_path: Path) -> None:
    """Parent after child, ten thousand deep, and in two files: every span is there, in order, none is marked."""
    spans = [histories.otlp_span(n, parentSpanId=f"{n:016x}" if n else "") for n in range(10_000)]
    for n, part in enumerate((spans[5_000:], spans[:5_000])):
        path = tmp_path / f"{n}.jsonl"
        path.write_bytes(b"".join(otlp_line(span) for span in reversed(part)))
        ingest(store, path, progress=False)

    with store.raw() as connection:
        rows = connection.execute("SELECT name, mark FROM workbench.observability_events ORDER BY step_number")
        assert rows.fetchall() == [(f"span {n}", None) for n in range(10_000)]


def claude_session() -> dict[str, bytes]:
    """A session and the files of two sub-agents that it started."""
    agents = ("a1b2c3d4", "e5f6a7b8")
    main = [histories.claude_line(0, "do it")]
    files = {}
    for n, agent in enumerate(agents):
        call = {"type": "tool_use", "id": f"toolu_{n}", "name": "Task", "input": {"prompt": f"part {n}"}}
        asked = histories.claude_line(10 + n, type="assistant", parentUuid=main[0]["uuid"])
        asked["message"] = {"role": "assistant", "id": f"msg_{n}", "model": "m", "content": [call]}
        result = [{"type": "tool_result", "tool_use_id": f"toolu_{n}", "content": "done"}]
        told = histories.claude_line(20 + n, result, toolUseResult={"agentId": agent, "status": "completed"})
        main += [asked, told]
        lines = [histories.claude_line(30 + 10 * n + i, f"part {n}", isSidechain=True, agentId=agent) for i in range(2)]
        files[f"agent-{agent}.jsonl"] = b"".join(histories.dumps(line) + b"\n" for line in lines)
    name = f"{main[0]['sessionId']}.jsonl"
    return {name: b"".join(histories.dumps(line) + b"\n" for line in main), **files}


@pytest.mark.parametrize("seed", _ORDERS)
def test_a_session_and_its_sub_agents_in_any_order(store: Store, tmp_path: Path, seed: int) -> None:
    """A sub-agent's run hangs on the very call that started it, whichever file is read first."""
    files = list(claude_session().items())
    random.Random(seed).shuffle(files)
    for name, data in files:
        (tmp_path / name).write_bytes(data)
        ingest(store, tmp_path / name, progress=False)

    with store.raw() as connection:
        rows = connection.execute(
            "SELECT right(child.source_id, 8), parent.source_id, event.event_type, event.data->'tool'->>'call_id'"
            " FROM workbench.agent_executions child"
            " JOIN workbench.agent_executions parent ON parent.id = child.parent_execution_id"
            " JOIN workbench.observability_events event ON event.id = child.parent_event_id ORDER BY 1"
        ).fetchall()
    session = "5e551000-0000-4000-8000-000000000001"
    assert rows == [("a1b2c3d4", session, "tool_call", "toolu_0"), ("e5f6a7b8", session, "tool_call", "toolu_1")]


def resumed_session() -> dict[str, bytes]:
    """A session, and one that goes on from its second line."""
    first = [histories.claude_line(n) for n in range(3)]
    again = {"sessionId": "5e551000-0000-4000-8000-00000000000b"}
    more = [histories.claude_line(10 + n, "and on", **again) for n in range(2)]
    more[0]["parentUuid"] = first[1]["uuid"]
    return {f"{first[0]['sessionId']}.jsonl": jsonl(*first), f"{again['sessionId']}.jsonl": jsonl(*more)}


def codex_line(n: int, kind: str, **payload: Any) -> dict[str, Any]:
    return {"timestamp": f"2025-05-01T12:00:{n:02d}Z", "type": kind, "payload": payload}


def codex_threads() -> dict[str, bytes]:
    """A Codex session that starts a thread by a call, and the thread."""
    parent, child = (f"5e551000-0000-4000-8000-00000000000{n}" for n in (1, 2))
    call = {"type": "function_call", "name": "spawn_agent", "call_id": "call_9", "arguments": "{}"}
    end = {"type": "collab_agent_spawn_end", "call_id": "call_9", "sender_thread_id": parent, "new_thread_id": child}
    spawn = {"subagent": {"thread_spawn": {"parent_thread_id": parent, "depth": 1}}}
    return {
        "parent.jsonl": jsonl(
            codex_line(0, "session_meta", id=parent, cwd="/"),
            codex_line(1, "response_item", **call),
            codex_line(2, "event_msg", **end),
        ),
        "child.jsonl": jsonl(
            codex_line(3, "session_meta", id=child, cwd="/", source=spawn),
            codex_line(4, "response_item", type="message", role="user", content="part"),
        ),
    }


def atif_files() -> dict[str, bytes]:
    """An ATIF trajectory that refers to a sub-agent's in a file of its own."""
    about = {"schema_version": "ATIF-v1.7", "agent": {"name": "acme", "version": "1"}}
    call = {"tool_call_id": "c1", "function_name": "summarize", "arguments": {}}
    result = {
        "source_call_id": "c1",
        "subagent_trajectory_ref": [{"session_id": "sub-7", "trajectory_path": "sub.json"}],
    }
    acted = {"step_id": 2, "source": "agent", "message": "", "tool_calls": [call], "observation": {"results": [result]}}
    asked = {"step_id": 1, "source": "user", "message": "do it"}
    return {
        "main.json": histories.dumps({**about, "session_id": "main-1", "steps": [asked, acted]}),
        "sub.json": histories.dumps({**about, "session_id": "sub-7", "steps": [asked]}),
    }


def linked_traces() -> dict[str, bytes]:
    """A trace, and another whose outermost span links to a span of it."""
    link = [{"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": f"{2:016x}"}]
    other = [histories.otlp_span(9, traceId="0af7651916cd43dd8448eb211c8031ff", links=link)]
    first = [histories.otlp_span(n) for n in range(3)]
    return {"first.jsonl": jsonl(histories.otlp_request(*first)), "other.jsonl": jsonl(histories.otlp_request(*other))}


LINKED = {
    "resumed": (resumed_session, ("resumed", 1)),
    "codex": (codex_threads, ("spawned", 1)),
    "atif": (atif_files, ("spawned", 1)),
    "atif by path": (linked_files.atif_by_path, ("spawned", 1)),
    "atif continued": (linked_files.atif_continued, ("continued", 2)),
    "otlp": (linked_traces, ("continued", 1)),
    "compacted": (linked_files.compacted_session, ("continued", 2)),
    "forked": (linked_files.forked_session, ("forked", 1)),
    "gemini": (linked_files.gemini_sub_agents, ("spawned", 1)),
    "openhands": (linked_files.openhands_conversations, ("spawned", 3)),
}


@pytest.mark.parametrize("kind", LINKED)
def test_linked_runs_in_either_order(store: Store, tmp_path: Path, kind: str) -> None:
    """The later run hangs on the step of the earlier one that it names, or that names it."""
    make, (link, step) = LINKED[kind]
    files = make()
    found = []
    for order in (list(files), list(files)[::-1]):
        empty(store)
        for name in (*order, *order):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(files[name])
            ingest(store, tmp_path / name, progress=False)
        found.append(tree(store))
        with store.raw() as connection:
            rows = connection.execute(
                "SELECT child.metadata->>'link', event.step_number FROM workbench.agent_executions child"
                " JOIN workbench.observability_events event ON event.id = child.parent_event_id"
                " AND event.execution_id = child.parent_execution_id"
            ).fetchall()
        assert [(told or "spawned", at) for told, at in rows] == [(link, step)]

    assert found[0] == found[1]


@pytest.mark.parametrize("kind", LINKED)
def test_linked_runs_whose_files_grow(store: Store, tmp_path: Path, kind: str) -> None:
    """A file that is read after its first line, and again with all of them, is linked as one that was read once."""
    files = LINKED[kind][0]()
    found = []
    for is_growing in (False, True):
        empty(store)
        for name, data in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            first, more = data[: data.find(b"\n") + 1], data.rstrip(b"\n").find(b"\n") > 0
            for part in [*([first] if is_growing and more and path.suffix == ".jsonl" else []), data]:
                path.write_bytes(part)
                ingest(store, path, progress=False)
        found.append(tree(store))

    assert found[0] == found[1]


@pytest.mark.parametrize("format", ["claude-code", "codex"])
def test_a_call_is_unfinished_until_its_result_comes(store: Store, tmp_path: Path, format: str) -> None:
    """In a growing file the last call is unfinished; when the result is appended the mark goes."""
    if format == "codex":
        lines = [
            codex_line(0, "session_meta", id="5e551000-0000-4000-8000-000000000001", cwd="/"),
            codex_line(1, "response_item", type="function_call", name="ls", call_id="c1", arguments="{}"),
            codex_line(2, "response_item", type="function_call_output", call_id="c1", output="."),
        ]
    else:
        lines = [histories.claude_line(n) for n in range(3)]
        call = {"type": "tool_use", "id": "c1", "name": "ls", "input": {}}
        lines[1] |= {"type": "assistant", "message": {"role": "assistant", "id": "m", "model": "m", "content": [call]}}
        lines[2]["message"]["content"] = [{"type": "tool_result", "tool_use_id": "c1", "content": "."}]
    path, found = tmp_path / "session.jsonl", []
    for n in (2, 3):
        path.write_bytes(jsonl(*lines[:n]))
        ingest(store, path, progress=False)
        with store.raw() as connection:
            rows = connection.execute("SELECT mark FROM workbench.observability_events ORDER BY step_number")
            found.append([mark for (mark,) in rows])

    assert found == [[None, "unfinished"], [None, None, None]]


def test_lines_of_a_session_out_of_order_are_placed_and_marked(store: Store, tmp_path: Path) -> None:
    """A line written behind a later one stands where its time says, marked; a result without its call is orphaned."""
    lines = [histories.claude_line(n) for n in range(4)]
    lines[3]["message"]["content"] = [{"type": "tool_result", "tool_use_id": "lost", "content": "."}]
    path = tmp_path / "session.jsonl"
    path.write_bytes(jsonl(lines[0], lines[2], lines[1], lines[3]))
    report = ingest(store, path, progress=False)
    kept = {item.what: item.count for item in report.files[0].kept}
    assert kept["orphaned steps, placed by their time"] == 1
    assert kept["steps written out of order, placed by their time"] == 1

    with store.raw() as connection:
        rows = connection.execute(
            "SELECT right(span_id, 1), mark FROM workbench.observability_events ORDER BY step_number"
        ).fetchall()
    assert rows == [("0", None), ("1", "out_of_order"), ("2", None), ("3", "orphaned")]


@pytest.mark.parametrize("seed", _ORDERS)
def test_tokens_of_an_answer_count_at_its_last_line_wherever_it_stands(store: Store, tmp_path: Path, seed: int) -> None:
    """An answer is written as several lines; the latest tells its tokens, and the first in time what the session is."""
    lines = [histories.claude_line(n, cwd="/a" if n else "/b") for n in range(4)]
    for n in (1, 2, 3):
        usage = {"input_tokens": 3, "output_tokens": 10 * n}
        said = [{"type": "text", "text": f"part {n}"}]
        lines[n] |= {"type": "assistant"}
        lines[n]["message"] = {"role": "assistant", "id": "m", "model": "m", "content": said, "usage": usage}
    lines[2]["timestamp"] = lines[3]["timestamp"]
    random.Random(seed).shuffle(lines)
    path = tmp_path / "session.jsonl"
    path.write_bytes(jsonl(*lines))
    ingest(store, path, progress=False)

    with store.raw() as connection:
        row = connection.execute("SELECT token_usage, metadata->>'cwd' FROM workbench.agent_executions").fetchone()
    assert row == ({"input_tokens": 3, "output_tokens": 30}, "/b")


def test_a_sample_interrupted_within_a_span(store: Store, tmp_path: Path) -> None:
    """A span of an Inspect sample that was begun and never ended is unfinished; one that ended is not."""
    sample = histories.inspect_sample(1)
    at = "2025-05-01T12:01:0"
    sample["events"] += [
        {"event": "span_begin", "id": "a", "name": "solvers", "timestamp": f"{at}1Z"},
        {"event": "span_begin", "id": "b", "parent_id": "a", "name": "generate", "timestamp": f"{at}2Z"},
        {"event": "span_end", "id": "b", "timestamp": f"{at}3Z"},
    ]
    path = tmp_path / "log.json"
    log = {"version": 2, "status": "cancelled", "eval": histories.EVAL, "samples": [sample]}
    path.write_bytes(histories.dumps(log))
    ingest(store, path, progress=False)

    with store.raw() as connection:
        rows = connection.execute(
            "SELECT name, mark FROM workbench.observability_events WHERE event_type = 'span' ORDER BY step_number"
        ).fetchall()
    assert rows == [("solvers", "unfinished"), ("generate", None), ("generate", None)]
