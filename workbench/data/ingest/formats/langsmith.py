"""LangSmith runs: rows as the API, the SDK and the exports write them, one a line or a list; children may be nested.

What LangSmith calls a run is a span: rows of one ``trace_id`` are one run here, one row one step.
The rows of chains repeat the tokens and cost of the model calls inside them; those count once, at the innermost.
Rows are placed by their times (``dotted_order``); the order in which they are exported says nothing, so none is marked
out of order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from workbench.data.ingest.formats.langsmith_row import is_row, step_of
from workbench.data.ingest.normal import BadLine, Run, Step, TaskRef
from workbench.data.ingest.reading.chat import known, mapping, rest, text_or_none, title
from workbench.data.ingest.reading.complete import Complete, trace_ids
from workbench.data.ingest.reading.conversation import decoded
from workbench.data.ingest.reading.marks import has_no_end
from workbench.data.ingest.reading.nested import Steps
from workbench.data.ingest.reading.parquet import is_parquet, parquet_names, parquet_rows
from workbench.data.ingest.reading.parse import parse
from workbench.data.ingest.reading.source import Head, Source, kind_of
from workbench.data.ingest.reading.values import Value, values

FORMAT = "langsmith"
TITLE = "LangSmith runs (.jsonl, .json), bulk exports (.parquet)"

_JSON_COLUMNS = {
    "inputs", "outputs", "extra", "events", "tags", "feedback_stats", "parent_run_ids", "child_run_ids",
    "direct_child_run_ids", "prompt_token_details", "completion_token_details",
}  # fmt: skip
_SCORES = "kept in metadata.feedback_stats: a key alone says whether high is good, so none is the run's score"
_CANCELLED = re.compile(r"(?:\w+\.)*(?:CancelledError|KeyboardInterrupt)\b")


def detect(head: Head) -> float:
    """How surely the file is one of these."""
    if is_parquet(head):
        return 0.95 if {"run_type", "trace_id", "dotted_order"} <= set(parquet_names(head)) else 0.0
    if head.data.lstrip()[:1] not in (b"{", b"["):
        return 0.0
    keys = {key.removeprefix("runs.").removeprefix("data.") for key in head.keys}
    if "run_type" in keys and keys & {"dotted_order", "trace_id", "parent_run_id", "child_runs"}:
        return 0.95
    return 0.0


is_open = has_no_end


def read(source: Source) -> Iterator[Run | BadLine]:
    """One run per trace, in the order in which they first appear (of a long file: end); what is no row is reported."""
    source.is_strict = True
    traces: dict[str, list[dict[str, Any]]] = {}
    raw: dict[int, bytes] = {}  # by the identity of the first row of a line whose text is not what was parsed
    complete = Complete(source, _traces_of)

    def run(trace_id: str) -> Run:
        rows = traces.pop(trace_id)
        steps = [step_of(row, source) for row in rows]
        for row, step in zip(rows, steps, strict=True):
            step.raw = raw.pop(id(row), None)
        return _run(trace_id, steps, source)

    for item in _cells(source) if is_parquet(source.head) else values(source, "runs", "data"):
        yield from (run(trace_id) for trace_id in complete.before(item.line) if trace_id in traces)
        if isinstance(item, BadLine):
            yield item
            continue
        for n, row in enumerate(_flat(item.value)):
            if isinstance(row, dict) and is_row(row):
                traces.setdefault(_trace_id(row), []).append(row)
                if n == 0 and item.data is not None:
                    raw[id(row)] = item.data
            else:
                yield BadLine(item.line, f"expected a run with id and run_type, found {kind_of(row)}")
    yield from map(run, list(traces))


def _cells(source: Source) -> Iterator[Value | BadLine]:
    """The rows of a bulk export, in which objects and lists are JSON texts."""
    for item in parquet_rows(source):
        if isinstance(item, BadLine):
            yield item
            continue
        row = {
            name: decoded(cell) if name in _JSON_COLUMNS else cell.isoformat() if isinstance(cell, datetime) else cell
            for name, cell in item.value.items()
        }
        yield Value(item.line, {name: str(cell) if isinstance(cell, Decimal) else cell for name, cell in row.items()})


def _traces_of(line: bytes) -> set[str]:
    named = set(trace_ids(line))
    if named:
        return named
    try:
        record = parse(line).value
    except ValueError:
        return set()
    return {_trace_id(row) for row in _flat(record) if isinstance(row, dict) and is_row(row)}


def _flat(record: Any) -> Iterator[Any]:
    """A row and the rows nested in it, which take over its trace and name it as their parent."""
    pending = [record]
    while pending:
        row = pending.pop()
        inside = row.get("child_runs") if isinstance(row, dict) else None
        if isinstance(inside, list) and isinstance(row, dict):
            about = known(trace_id=_trace_id(row), parent_run_id=row.get("id"))
            pending += [
                {**about, **(rest(child) or {})} if isinstance(child, dict) else child for child in inside[::-1]
            ]
            row = {key: value for key, value in row.items() if key != "child_runs"}
        yield row


def _trace_id(row: Mapping[str, Any]) -> str:
    """The trace of a row; a row that names none, nor a parent, is one of its own."""
    found = row.get("trace_id") or str(row.get("dotted_order") or "").partition(".")[0][-36:] or row.get("id")
    return str(found)


def rejoin(trace_id: str, steps: list[Step]) -> Run:
    """The run of a trace of which several pages held rows, from all its stored steps."""
    for step in steps:
        step.agent = None
    return _run(trace_id, steps, None)


def _run(trace_id: str, steps: list[Step], source: Source | None) -> Run:
    tree = Steps(steps, order=[str((step.extra or {}).get("dotted_order") or "") for step in steps])
    top = tree.outermost()[0]
    run = Run(trace_id, agent_type=top.name or FORMAT, name=top.name, trace_id=trace_id)
    tree.fill(run, source)
    extra, tool = top.extra or {}, top.tool or {}
    run.input = _first(extra.get("input"), extra.get("input_messages"), tool.get("arguments"))
    run.output = _first(extra.get("output"), top.text, tool.get("result"))
    _judge(run, top, tree)
    example = text_or_none(extra.get("reference_example_id"))
    if example is not None:
        asked = _said(run.input)
        run.task = TaskRef(example, f"LangSmith example {example}" + (f": {title(asked)}" if asked else ""))
    run.metadata = _metadata(extra, source)
    return run


def _judge(run: Run, top: Step, tree: Steps) -> None:
    extra, failed = top.extra or {}, tree.failure()
    status, error = extra.get("status"), text_or_none((top.error or {}).get("message"))
    if failed is not None and (failed is top or status != "success"):
        said = failed.error or {}
        run.status = "cancelled" if error and _CANCELLED.match(error) else "failed"
        run.error_type = text_or_none(said.get("type"))
        run.error = text_or_none(said.get("message")) or f"{failed.name or 'A run'} ended with an error."
    elif status == "pending" or (status is None and top.duration_ms is None and "end_time" not in extra):
        run.status = "running"


def _metadata(root: Mapping[str, Any], source: Source | None) -> dict[str, Any]:
    about = mapping(mapping(root.get("extra")).get("metadata"))
    conversation = next((about[k] for k in ("session_id", "thread_id", "conversation_id") if about.get(k)), None)
    feedback = root.get("feedback_stats")
    if feedback and source is not None:
        source.kept("feedback", _SCORES)
    return known(
        conversation_id=conversation,
        provider=about.get("ls_provider"),
        feedback_stats=feedback or None,
        project=root.get("session_name") or root.get("session_id"),
        tags=root.get("tags") or None,
        metadata=dict(about) or None,
        reference_example_id=root.get("reference_example_id"),
    )


def _said(inputs: Any) -> str | None:
    """The first text among the inputs."""
    values = list(inputs.values()) if isinstance(inputs, dict) else [inputs]
    return next((value for value in values if isinstance(value, str) and value), None)


def _first(*values: Any) -> Any:
    return next((value for value in values if value not in (None, "", {}, [])), None)
