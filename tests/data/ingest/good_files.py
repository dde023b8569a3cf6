"""Good files of every format, to be spoilt: made ones, and the real ones of the shared data cut to a bearable size."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
from google.protobuf.json_format import Parse
from histories import KINDS, dumps, hub_chat
from inspect_logs import in_pieces, zip_of
from mutations import Seed
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from otlp_requests import log_request, metric_request, protobuf_of, request, span

from workbench.data.ingest.detect import choose
from workbench.data.ingest.reading.source import Source
from workbench.errors import IngestError

_FORMATS = {"inspect-json": "inspect", "inspect-eval": "inspect"}
_BYTES = 200_000  # of a real file: more costs time and shows nothing new
_DOCUMENT_ITEMS = 6
COLUMNS = {
    "run": "session", "time": "ts", "role": "who", "text": "said", "tool": "tool", "arguments": "args",
    "result": "out", "error": "err", "model": "model", "input_tokens": "in", "cost_usd": "cost", "task": "task",
    "score": "score", "status": "state", "parent": "above", "duration_ms": "ms",
}  # fmt: skip
_ROWS: list[dict[str, Any]] = [
    {"session": "a", "ts": "2025-05-01T12:00:00Z", "who": "user", "said": "List, please.", "note": "n1"},
    {"session": "a", "ts": "1746100801", "who": "gpt", "tool": "bash", "args": '{"command": "ls"}', "model": "gpt-4o",
     "in": "10", "cost": "0.5", "ms": "1.5"},
    {"session": "a", "who": "tool", "tool": "bash", "out": "a.py\nb.py", "task": "t1", "score": "1", "state": "done"},
    {"session": "b", "who": "assistant", "said": 'Say "hi".', "err": "boom", "state": "error", "above": "a"},
]  # fmt: skip
_NAMES = (*COLUMNS.values(), "note")


def good_files() -> list[Seed]:
    """Made files of every format, and small real ones where the environment names their folder."""
    return [*_made(), *_packed(), *_real()]


def _made() -> Iterator[Seed]:
    for kind, made in KINDS.items():
        yield Seed(_FORMATS.get(kind, kind), made.name, made.make())
        yield Seed(_FORMATS.get(kind, kind), made.name, made.make(12, "a longer text, over\nseveral lines: é ü 漢 🎉"))
    yield Seed("claude-code", "session.jsonl.gz", gzip.compress(KINDS["claude-code"].make(20)))
    yield Seed("tau2", "results.json.gz", gzip.compress(KINDS["tau2"].make()))


def _packed() -> Iterator[Seed]:
    """What no history of the others is: tables, protobuf, Parquet, SQLite."""
    yield from _tables()
    agent = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 7}
    spans = request(span("00f067aa0ba902b7", attributes=agent), span("00f067aa0ba902b8", "00f067aa0ba902b7", at=1))
    said = [{"key": "session.id", "value": {"stringValue": "s1"}}]
    at = {"timeUnixNano": "1700000000000000000", "attributes": said}
    log = log_request(body={"stringValue": "said"}, **at)
    points = metric_request(0)
    tokens = {"name": "claude_code.token.usage", "sum": {"dataPoints": [{"asInt": "7", **at}, {"asDouble": 0.5, **at}]}}
    points["resourceMetrics"][0]["scopeMetrics"][0]["metrics"] = [tokens]
    yield Seed("otlp", "trace.pb", protobuf_of(spans))
    yield Seed("otlp", "logs.pb", Parse(dumps(log), ExportLogsServiceRequest()).SerializeToString())
    yield Seed("otlp", "metrics.pb", Parse(dumps(points), ExportMetricsServiceRequest()).SerializeToString())
    yield Seed("otlp", "all.jsonl", b"".join(dumps(each) + b"\n" for each in (spans, log, points)))
    chats = [json.loads(line) for line in hub_chat(6).splitlines()]
    yield Seed("hub-chat", "train.parquet", _parquet(chats))
    yield Seed(
        "hub-chat", "texts.parquet", _parquet([{**row, "messages": json.dumps(row["messages"])} for row in chats])
    )
    runs = [json.loads(line) for line in KINDS["langsmith"].make().splitlines()]
    bulk = [{**row, "inputs": json.dumps(row["inputs"]), "outputs": "{}", "extra": "{}"} for row in runs]
    yield Seed("langsmith", "runs.parquet", _parquet(bulk))
    spans_of_phoenix = [
        {
            "name": f"span {n}", "span_kind": "LLM", "parent_id": None, "status_code": "OK", "status_message": "",
            "start_time": f"2025-05-01T12:00:0{n}+00:00", "end_time": f"2025-05-01T12:00:0{n}+00:00",
            "context.span_id": f"{n + 1:016x}", "context.trace_id": "0af7651916cd43dd8448eb211c80319c",
            "attributes.llm.model_name": "gpt-4o", "attributes.input.value": "why?",
        }
        for n in range(4)
    ]  # fmt: skip
    yield Seed("openinference", "spans.parquet", _parquet(spans_of_phoenix))
    yield Seed("langgraph", "memory.sqlite", _sqlite())
    yield Seed("inspect", "pieces.eval", zip_of(in_pieces()))
    said = [json.loads(line)["payload"] for line in KINDS["codex"].make().splitlines()][1:]
    first = {"session": {"timestamp": "2025-05-17T10:00:00Z", "id": "s1", "instructions": ""}, "items": said}
    yield Seed("codex", "rollout.json", dumps(first))


def _tables() -> Iterator[Seed]:
    full = [{name: row.get(name, "") for name in _NAMES} for row in _ROWS]
    for name, delimiter in (("log.csv", ","), ("log.tsv", "\t"), ("log.txt", ";")):
        out = io.StringIO()
        writer = csv.DictWriter(out, _NAMES, delimiter=delimiter)
        writer.writeheader()
        writer.writerows(full)
        yield Seed("columns", name, out.getvalue().encode(), COLUMNS)
    yield Seed("columns", "log.jsonl", b"".join(dumps(row) + b"\n" for row in _ROWS), COLUMNS)
    yield Seed("columns", "log.json", dumps(_ROWS), COLUMNS)
    yield Seed("columns", "log.parquet", _parquet([{k: v or None for k, v in row.items()} for row in full]), COLUMNS)


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    out = io.BytesIO()
    pl.DataFrame(rows).write_parquet(out)
    return out.getvalue()


@cache
def _sqlite() -> bytes:
    """What the SQLite checkpointer of LangGraph writes of two threads."""
    import graphs
    from langgraph.checkpoint.sqlite import SqliteSaver

    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
        saver = SqliteSaver(connection)
        connection.execute("PRAGMA journal_mode = DELETE")
        for thread in ("1", "2"):
            graphs.agent(saver, (1, 2), (3, 4)).invoke(graphs.asked("Add."), graphs.config(thread))  # type: ignore[arg-type]
        connection.commit()
        return connection.serialize()


# -- real files --------------------------------------------------------------------------------------------------------


def _real() -> Iterator[Seed]:
    folder = os.environ.get("WORKBENCH_TEST_DATA")
    if not folder:
        return
    for path in sorted(Path(folder).rglob("*")):
        if not path.is_file() or path.name.startswith(".") or not re.search(r"\.(jsonl?|eval|pb|traj|gz)$", path.name):
            continue
        name, data = path.name, _shortened(path.read_bytes())
        try:
            yield Seed(choose(Source.from_bytes(data, name)).FORMAT, name, data)
        except IngestError:  # no history: of another part of the product
            continue


def _shortened(data: bytes) -> bytes:
    """As much of a long file as is whole: its first lines, or the first elements of its long lists."""
    is_packed = data.startswith(b"\x1f\x8b")
    content = gzip.decompress(data) if is_packed else data
    if len(content) > _BYTES and content[:1] in b"{[":
        lines = content[:_BYTES].splitlines(keepends=True)
        if len(lines) > 3 and lines[0].rstrip().endswith(b"}"):
            content = b"".join(lines[:-1])
        else:
            content = dumps(_pruned(json.loads(content)))
    return gzip.compress(content, 1) if is_packed else content


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _pruned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_pruned(item) for item in value[:_DOCUMENT_ITEMS]]
    return value[:2000] if isinstance(value, str) else value
