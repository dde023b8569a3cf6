"""Small made-up files of every format, and what the store holds: shared by the tests of bad and interrupted input."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from workbench.data.store.engine import Store

SECOND_NS = 1_000_000_000
START_NS = 1_700_000_000 * SECOND_NS


def dumps(value: Any) -> bytes:
    return json.dumps(value).encode()


# -- claude-code: one line is one step ---------------------------------------------------------------------------------


def claude_line(n: int, text: Any = "hello", **fields: Any) -> dict[str, Any]:
    return {
        "type": "user",
        "uuid": f"00000000-0000-4000-8000-{n:012d}",
        "parentUuid": None,
        "isSidechain": False,
        "sessionId": "5e551000-0000-4000-8000-000000000001",
        "timestamp": f"2025-05-01T12:00:{n % 60:02d}Z",
        "message": {"role": "user", "content": text},
        **fields,
    }


def claude(n: int = 4, text: Any = "hello") -> bytes:
    return b"\n".join(dumps(claude_line(i, text)) for i in range(n)) + b"\n"


# -- otlp: one span is one step ----------------------------------------------------------------------------------------


def otlp_span(n: int, text: Any = "hello", **fields: Any) -> dict[str, Any]:
    return {
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": f"{n + 1:016x}",
        "name": f"span {n}",
        "startTimeUnixNano": str(START_NS + n * SECOND_NS),
        "endTimeUnixNano": str(START_NS + (n + 1) * SECOND_NS),
        "attributes": [{"key": "text", "value": {"stringValue": text}}],
        **fields,
    }


def otlp_request(*spans: dict[str, Any]) -> dict[str, Any]:
    service = [{"key": "service.name", "value": {"stringValue": "shop"}}]
    return {"resourceSpans": [{"resource": {"attributes": service}, "scopeSpans": [{"spans": list(spans)}]}]}


def otlp(n: int = 4, text: Any = "hello") -> bytes:
    return b"\n".join(dumps(otlp_request(otlp_span(i, text))) for i in range(n)) + b"\n"


# -- inspect: one event is one step ------------------------------------------------------------------------------------

EVAL = {"run_id": "r", "task_id": "t", "task": "riddles", "model": "acme/m"}


def inspect_sample(n: int, events: int = 2, text: Any = "hello") -> dict[str, Any]:
    begin = {"event": "sample_init", "timestamp": "2025-05-01T12:00:00Z", "state": {"messages": [], "store": {}}}
    notes = [{"event": "info", "timestamp": f"2025-05-01T12:00:{i:02d}Z", "data": text} for i in range(1, events)]
    return {"id": n, "epoch": 1, "input": "why?", "messages": [], "store": {}, "events": [begin, *notes]}


def inspect_json(n: int = 2, text: Any = "hello") -> bytes:
    samples = [inspect_sample(i, text=text) for i in range(n)]
    return dumps({"version": 2, "status": "success", "eval": EVAL, "samples": samples})


def inspect_eval(n: int = 2, text: Any = "hello") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("_journal/start.json", dumps({"version": 2, "eval": EVAL}))
        for i in range(n):
            archive.writestr(f"samples/{i}_epoch_1.json", dumps(inspect_sample(i, text=text)))
        archive.writestr("header.json", dumps({"version": 2, "status": "success", "eval": EVAL}))
    return out.getvalue()


# -- tau-bench and tau2: one message is one step -----------------------------------------------------------------------


def tau_run(task: int, text: Any = "hello") -> dict[str, Any]:
    policy = {"role": "system", "content": "# Airline Agent Policy"}
    return {
        "task_id": task,
        "trial": 0,
        "reward": 1.0,
        "info": {"task": {"user_id": "u"}},
        "traj": [policy, {"role": "user", "content": text}],
    }


def tau_bench(n: int = 2, text: Any = "hello") -> bytes:
    return dumps([tau_run(i, text) for i in range(n)])


def tau2(n: int = 2, text: Any = "hello") -> bytes:
    simulations = [
        {
            "id": f"s{i}",
            "task_id": str(i),
            "trial": 0,
            "start_time": "2025-05-01T12:00:00",
            "end_time": "2025-05-01T12:00:09",
            "termination_reason": "user_stop",
            "reward_info": {"reward": 1.0},
            "messages": [
                {"role": "assistant", "content": "hi", "timestamp": "2025-05-01T12:00:01"},
                {"role": "user", "content": text, "timestamp": "2025-05-01T12:00:02"},
            ],
        }
        for i in range(n)
    ]
    info = {"agent_info": {"llm": "m"}, "environment_info": {"domain_name": "airline"}}
    return dumps({"timestamp": "2025-05-01", "info": info, "tasks": [], "simulations": simulations})


# -- codex, pi, gemini-cli: what the session is, then messages ---------------------------------------------------------


def codex(n: int = 4, text: Any = "hello") -> bytes:
    """A line that says what the session is, and n - 1 messages."""
    at = {"timestamp": "2025-05-01T12:00:00Z"}
    meta = {**at, "type": "session_meta", "payload": {"id": "5e551000-0000-4000-8000-000000000002", "cwd": "/"}}
    said = {"type": "message", "role": "user", "content": text}
    lines = [{**at, "type": "response_item", "payload": {**said, "id": f"m{i}"}} for i in range(1, n)]
    return b"".join(dumps(line) + b"\n" for line in (meta, *lines))


def pi(n: int = 4, text: Any = "hello") -> bytes:
    """A line that says what the session is, and n - 1 messages."""
    at = {"timestamp": "2025-05-01T12:00:00Z"}
    header = {**at, "type": "session", "version": 3, "id": "5e551000-0000-4000-8000-000000000003", "cwd": "/"}
    said = {"role": "user", "content": text}
    lines = [{**at, "type": "message", "id": f"m{i}", "parentId": f"m{i - 1}", "message": said} for i in range(1, n)]
    return b"".join(dumps(line) + b"\n" for line in (header, *lines))


def gemini(n: int = 4, text: Any = "hello") -> bytes:
    at = "2025-05-01T12:00:00Z"
    said = [{"id": f"m{i}", "timestamp": at, "type": "user", "content": text} for i in range(n)]
    return dumps({"sessionId": "5e551000", "projectHash": "x", "startTime": at, "lastUpdated": at, "messages": said})


# -- atif, swe-agent, openhands, who-and-when: one step, entry, event or message is one step ---------------------------


def atif(n: int = 4, text: Any = "hello") -> bytes:
    steps = [{"step_id": i, "source": "user", "message": text} for i in range(1, n + 1)]
    agent = {"name": "acme", "version": "1"}
    return dumps({"schema_version": "ATIF-v1.7", "session_id": "session-1", "agent": agent, "steps": steps})


def swe_agent(n: int = 4, text: Any = "hello") -> bytes:
    entries = [{"action": f"ls {i}", "observation": text, "response": "Look.", "thought": "Look."} for i in range(n)]
    return dumps({"environment": "main", "trajectory": entries, "history": [], "info": {"exit_status": "submitted"}})


def openhands(n: int = 4, text: Any = "hello") -> bytes:
    at = {"timestamp": "2025-05-01T12:00:00", "source": "user", "message": "", "action": "message"}
    return dumps([{"id": i, **at, "args": {"content": text}} for i in range(n)])


def who_and_when(n: int = 4, text: Any = "hello") -> bytes:
    history = [{"content": text, "role": "Solver"} for _ in range(n)]
    about = {"question": "Why?", "question_ID": "q1", "is_correct": False}
    return dumps({**about, "history": history, "mistake_agent": "Solver", "mistake_step": "1"})


# -- langfuse, openinference, mlflow, langsmith: one observation, span or row is one step ------------------------------


def langfuse(n: int = 4, text: Any = "hello") -> bytes:
    observations = [
        {
            "id": f"o{i}",
            "traceId": "t1",
            "parentObservationId": None,
            "type": "SPAN",
            "name": f"step {i}",
            "startTime": f"2025-05-01T12:00:{i % 60:02d}Z",
            "endTime": f"2025-05-01T12:00:{i % 60:02d}Z",
            "statusMessage": text,
        }
        for i in range(n)
    ]
    return dumps({"trace": {"id": "t1", "projectId": "p", "name": "shop"}, "observations": observations})


def openinference(n: int = 4, text: Any = "hello") -> bytes:
    spans = [
        {
            "name": f"span {i}",
            "spanContext": {"traceId": "0af7651916cd43dd8448eb211c80319d", "spanId": f"{i + 1:016x}"},
            "startTime": [1_700_000_000 + i, 0],
            "endTime": [1_700_000_001 + i, 0],
            "attributes": {"text": text},
        }
        for i in range(n)
    ]
    return b"".join(dumps(span) + b"\n" for span in spans)


def mlflow(n: int = 4, text: Any = "hello") -> bytes:
    spans = [
        {
            "span_id": f"{i + 1:016x}",
            "otel_trace_id": "0af7651916cd43dd8448eb211c80319e",
            "name": f"span {i}",
            "start_time_unix_nano": START_NS + i * SECOND_NS,
            "end_time_unix_nano": START_NS + (i + 1) * SECOND_NS,
            "attributes": {"text": text},
        }
        for i in range(n)
    ]
    return dumps({"info": {"trace_id": "tr-1", "state": "OK", "trace_metadata": {}}, "data": {"spans": spans}})


def langsmith(n: int = 4, text: Any = "hello") -> bytes:
    lines = [
        {
            "id": f"00000000-0000-4000-8000-{i:012d}",
            "trace_id": "00000000-0000-4000-8000-000000000000",
            "name": f"step {i}",
            "run_type": "chain",
            "start_time": f"2025-05-01T12:00:{i % 60:02d}Z",
            "end_time": f"2025-05-01T12:00:{i % 60:02d}Z",
            "inputs": {"text": text},
        }
        for i in range(n)
    ]
    return b"".join(dumps(line) + b"\n" for line in lines)


# -- sts: what the session is, then messages; hub-chat: one row is one run, one message one step ----------------------


def sts(n: int = 4, text: Any = "hello") -> bytes:
    """A line that says what the session is, and n - 1 messages."""
    header = {"type": "session", "harness": "acme", "id": "5e551000-sts", "name": "Say hello"}
    said = [{"type": "message", "message": {"role": "user", "content": text, "id": f"m{i}"}} for i in range(1, n)]
    return b"".join(dumps(line) + b"\n" for line in (header, *said))


def hub_chat(n: int = 2, text: Any = "hello") -> bytes:
    said = [{"role": "user", "content": text}, {"role": "assistant", "content": "hi"}]
    return b"".join(dumps({"instance_id": f"task-{i}", "resolved": True, "messages": said}) + b"\n" for i in range(n))


@dataclass(frozen=True)
class Kind:
    """A format: a maker of files, the file name, and the rows of a file made with its defaults."""

    make: Callable[..., bytes]
    name: str
    n_runs: int
    n_events: int


KINDS = {
    "claude-code": Kind(claude, "session.jsonl", 1, 4),
    "otlp": Kind(otlp, "trace.jsonl", 1, 4),
    "inspect-json": Kind(inspect_json, "log.json", 2, 4),
    "inspect-eval": Kind(inspect_eval, "log.eval", 2, 4),
    "tau-bench": Kind(tau_bench, "gpt-4o-airline.json", 2, 4),
    "tau2": Kind(tau2, "results.json", 2, 4),
    "codex": Kind(codex, "rollout.jsonl", 1, 4),
    "pi": Kind(pi, "session.jsonl", 1, 4),
    "gemini-cli": Kind(gemini, "session.json", 1, 4),
    "atif": Kind(atif, "trajectory.json", 1, 4),
    "swe-agent": Kind(swe_agent, "run.traj", 1, 4),
    "openhands": Kind(openhands, "events.json", 1, 4),
    "who-and-when": Kind(who_and_when, "1.json", 1, 4),
    "langfuse": Kind(langfuse, "export.trace.json", 1, 4),
    "openinference": Kind(openinference, "spans.jsonl", 1, 4),
    "mlflow": Kind(mlflow, "trace.json", 1, 4),
    "langsmith": Kind(langsmith, "runs.jsonl", 1, 4),
    "sts": Kind(sts, "trace.jsonl", 1, 4),
    "hub-chat": Kind(hub_chat, "train.jsonl", 2, 4),
}
LINES = ("claude-code", "otlp", "codex", "pi", "openinference", "langsmith", "sts")
DOCUMENTS = (
    "inspect-json",
    "tau-bench",
    "tau2",
    "gemini-cli",
    "atif",
    "swe-agent",
    "openhands",
    "who-and-when",
    "langfuse",
    "mlflow",
)

# -- what the store holds ----------------------------------------------------------------------------------------------

_TABLES = {
    "imports": "id, source, path, sha256, size_bytes",
    "tasks": "id, title, description, metadata::text, source, source_id, import_id, row_version",
    "agent_executions": "id, task_id, parent_execution_id, agent_type, name, model, status, score, started_at, "
    "completed_at, input::text, output::text, error, error_type, metadata::text, trace_id, execution_time_ms, "
    "token_usage::text, cost, source, source_id, row_version",
    "observability_events": "id, execution_id, step_number, event_type, name, agent, category, severity, timestamp, "
    "duration_ms, trace_id, span_id, parent_span_id, data::text, raw, row_version",
    "execution_snapshots": "id, execution_id, step_number, timestamp, state::text, keyframe_step, is_derived, "
    "row_version",
}


def rows(store: Store, *, without_versions: bool = False) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the tables that an ingest writes, without the columns that hold the clock of the writing."""
    tables = {
        name: columns.replace(", row_version", "") if without_versions else columns for name, columns in _TABLES.items()
    }
    with store.raw() as connection:
        return {
            name: connection.execute(f"SELECT {columns} FROM workbench.{name} ORDER BY id").fetchall()  # type: ignore[arg-type]
            for name, columns in tables.items()
        }


def counts(store: Store) -> tuple[int, int]:
    """Executions and events in the store."""
    with store.raw() as connection:
        row = connection.execute(
            "SELECT (SELECT count(*) FROM workbench.agent_executions), "
            "(SELECT count(*) FROM workbench.observability_events)"
        ).fetchone()
    assert row is not None
    return row[0], row[1]


def texts(store: Store) -> list[str]:
    """The JSON of every event, in order."""
    with store.raw() as connection:
        found = connection.execute(
            "SELECT data::text FROM workbench.observability_events ORDER BY execution_id, step_number, id"
        ).fetchall()
    return [text for (text,) in found]
