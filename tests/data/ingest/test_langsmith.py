"""LangSmith runs. Fixtures are written after LangSmith's documented schema; there is no real file of it here."""

from __future__ import annotations

import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from histories import rows as stored
from mutations import mutations, survives

from workbench.data.ingest import ingest
from workbench.data.ingest.formats import langsmith
from workbench.data.ingest.normal import BadLine, Run, Usage
from workbench.data.ingest.reading.source import Source
from workbench.data.store.engine import Store

ASKED = {"messages": [[{"id": ["langchain", "HumanMessage"], "lc": 1, "type": "constructor",
                        "kwargs": {"content": "Weather?", "type": "human"}}]]}  # fmt: skip
SAID = {"generations": [[{"text": "Let me look.", "message": {
    "id": ["langchain", "AIMessage"], "lc": 1, "type": "constructor", "kwargs": {
        "content": "Let me look.",
        "tool_calls": [{"id": "c1", "name": "look", "args": {"at": "sky"}, "type": "tool_call"}]}}}]]}  # fmt: skip


def uuid(n: int) -> str:
    return f"00000000-0000-4000-8000-{n:012d}"


def row(n: int, parent: int | None = None, kind: str = "chain", **fields: Any) -> dict[str, Any]:
    """One row, a second long, of the trace of row 0."""
    path = ([] if parent is None else [0] if parent == 0 else [0, parent]) + [n]
    return {
        "id": uuid(n),
        "trace_id": uuid(0),
        "parent_run_id": None if parent is None else uuid(parent),
        "dotted_order": ".".join(f"20250501T1200{i:02d}000000Z{uuid(i)}" for i in path),
        "name": f"step {n}",
        "run_type": kind,
        "start_time": f"2025-05-01T12:00:{n:02d}+00:00",
        "end_time": f"2025-05-01T12:00:{n + 1:02d}+00:00",
        "status": "success",
        "error": None,
        "inputs": {},
        "outputs": {},
        "extra": {"metadata": {}},
        **fields,
    }


def model(n: int, parent: int | None = 0, **fields: Any) -> dict[str, Any]:
    """A model call of 100 tokens in, 70 of them from the cache, and 20 out, for 0.25 USD."""
    about = {"metadata": {"ls_model_name": "m-1", "ls_provider": "acme"}, "invocation_params": {"model": "m"}}
    counts = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120, "total_cost": "0.25"}
    details = {"prompt_token_details": {"cache_read": 70}, "completion_token_details": {"reasoning": 5}}
    return row(n, parent, "llm", **{"extra": about, "inputs": ASKED, "outputs": SAID, **counts, **details, **fields})


def tool(n: int, parent: int | None = 0, **fields: Any) -> dict[str, Any]:
    answer = {"output": {"type": "tool", "content": "blue", "tool_call_id": "c1"}}
    return row(n, parent, "tool", **{"name": "look", "inputs": {"input": '{"at": "sky"}'}, "outputs": answer, **fields})


def lines(*rows: Any) -> bytes:
    return b"\n".join(json.dumps(row).encode() for row in rows) + b"\n"


def read(content: Any) -> tuple[list[Run], list[BadLine], Source]:
    source = Source.from_bytes(content if isinstance(content, bytes) else json.dumps(content).encode(), "runs.jsonl")
    items = list(langsmith.read(source))
    return [i for i in items if isinstance(i, Run)], [i for i in items if isinstance(i, BadLine)], source


def one(*rows: Any) -> Run:
    (run,), bad, _ = read(lines(*rows))
    assert not bad
    return run


def test_rows_of_a_trace_are_a_run() -> None:
    """Types of rows make the types of steps; messages, calls, tokens, cost and the tool's arguments are read."""
    root = row(0, name="weather", inputs={"question": "Weather?"}, outputs={"answer": "blue"}, session_name="demo",
               extra={"metadata": {"thread_id": "t"}}, tags=["a"])  # fmt: skip
    run = one(tool(2), model(1), root)

    _, call, look = run.steps
    assert [step.event_type for step in run.steps] == ["span", "llm_call", "tool_call"]
    assert [step.source_id for step in run.steps] == [uuid(0), uuid(1), uuid(2)]
    assert (run.source_id, run.name, run.agent_type, run.status) == (uuid(0), "weather", "weather", "completed")
    assert (run.model, run.usage, run.cost_usd) == ("m-1", Usage(30, 70, None, 20, 5), 0.25)
    assert (run.input, run.output) == ({"question": "Weather?"}, {"answer": "blue"})
    assert (run.metadata["conversation_id"], run.metadata["project"], run.metadata["tags"]) == ("t", "demo", ["a"])
    assert (call.text, call.tool_calls) == (
        "Let me look.", [{"name": "look", "call_id": "c1", "arguments": {"at": "sky"}}]
    )  # fmt: skip
    assert (call.extra or {})["input_messages"] == [{"role": "user", "content": "Weather?"}]
    assert look.tool == {
        "name": "look", "call_id": "c1", "arguments": {"at": "sky"},
        "result": {"type": "tool", "content": "blue", "tool_call_id": "c1"},
    }  # fmt: skip
    assert {step.duration_ms for step in run.steps} == {1000.0}


def test_chains_repeat_the_tokens_of_their_calls() -> None:
    """LangSmith sums tokens and cost up to the root; they count once, the sums stay in extra."""
    sums = {"prompt_tokens": 200, "completion_tokens": 40, "total_tokens": 240, "total_cost": 0.5}
    run = one(row(0, **sums), row(1, 0, **sums), model(2, 1), model(3, 1))

    assert (run.usage, run.cost_usd) == (Usage(60, 140, None, 40, 10), 0.5)
    assert [step.usage is None for step in run.steps] == [True, True, False, False]
    assert (run.steps[0].extra or {})["prompt_tokens"] == 200


@pytest.mark.parametrize(
    ("fields", "usage", "cost"),
    [
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_cost": 0}, None, None),
        ({"total_cost": None}, Usage(30, 70, None, 20, 5), None),
        ({"total_cost": 0}, Usage(30, 70, None, 20, 5), None),
        ({"prompt_token_details": None, "completion_token_details": None}, Usage(100, None, None, 20), 0.25),
        ({"prompt_tokens": 5}, Usage(5, 70, None, 20, 5), 0.25),  # the provider's uncached count, passed through
        ({"prompt_tokens": None, "completion_tokens": None, "outputs": {"usage_metadata": {
            "input_tokens": 9, "output_tokens": 2, "input_token_details": {"cache_creation": 4}}}},
         Usage(5, None, 4, 2), 0.25),
        ({"total_cost": "free"}, Usage(30, 70, None, 20, 5), None),
    ],
)  # fmt: skip
def test_tokens_and_cost(fields: dict, usage: Usage | None, cost: float | None) -> None:
    """Details are parts of the counts; zeros of what was never counted, or never priced, are null."""
    run = one(row(0), model(1, **fields))

    assert (run.usage, run.cost_usd) == (usage, cost)


@pytest.mark.parametrize(
    ("root", "inside", "status", "error_type"),
    [
        ({}, {}, "completed", None),
        ({}, {"error": "ValueError('x')", "status": "error"}, "completed", None),  # caught
        (
            {"error": "ValueError('x')Traceback (most recent call last): …", "status": "error"},
            {},
            "failed",
            "ValueError",
        ),
        ({"error": "openai.RateLimitError: slow down", "status": "error"}, {}, "failed", "RateLimitError"),
        ({"error": "CancelledError()", "status": "error"}, {}, "cancelled", "CancelledError"),
        ({"status": "error"}, {}, "failed", "Error"),
        ({"end_time": None, "status": "pending"}, {}, "running", None),
    ],
)
def test_the_root_decides(root: dict, inside: dict, status: str, error_type: str | None) -> None:
    """A trace ended as its root did; an error inside that was caught is an error of its step only."""
    run = one(row(0, **root), row(1, 0, **inside))

    assert (run.status, run.error_type) == (status, error_type)
    assert [step.severity for step in run.steps] == [
        "error" if fields.get("status") == "error" else "info" for fields in (root, inside)
    ]


def test_an_error_is_class_message_and_stack() -> None:
    """The text of an error holds all three."""
    error = "ValueError('no such order')Traceback (most recent call last):\n  File …"

    (step,) = one(row(0, error=error, status="error")).steps

    assert step.error == {
        "type": "ValueError", "message": "ValueError('no such order')",
        "stack": "Traceback (most recent call last):\n  File …",
    }  # fmt: skip


def test_rows_that_start_together_stand_in_their_dotted_order() -> None:
    """Where times are equal the source's own order decides, whatever the ids."""
    start = {"start_time": "2025-05-01T12:00:00+00:00"}
    first = row(9, 0, **start, dotted_order=f"a.20250501T120000000001Z{uuid(9)}")
    second = row(5, 0, **start, dotted_order=f"a.20250501T120000000002Z{uuid(5)}")

    assert [step.source_id for step in one(second, row(0), first).steps] == [uuid(0), uuid(9), uuid(5)]


def test_parents_come_from_the_dotted_order_where_no_field_names_them() -> None:
    """Exports without ``parent_run_id`` still hold the tree."""
    run = one(row(0), row(1, 0, parent_run_id=None), model(2, 1, parent_run_id=None))

    assert [step.parent_span_id for step in run.steps] == [None, uuid(0), uuid(1)]


def test_an_example_is_the_task() -> None:
    """Runs over one example of a dataset try the same task; feedback is kept under its keys, as nobody's score."""
    rows = [row(0, reference_example_id=uuid(7), inputs={"question": "Weather?"}, feedback_stats={"ok": {"avg": 1.0}})]
    (run,), _, source = read(lines(*rows))

    assert run.task is not None
    assert (run.task.source_id, run.task.title) == (uuid(7), f"LangSmith example {uuid(7)}: Weather?")
    assert (run.score, run.metadata["feedback_stats"]) == (None, {"ok": {"avg": 1.0}})
    assert any(note.what == "feedback" for note in source.notes)


def test_every_shape_of_a_file_gives_the_same_run() -> None:
    """JSON lines, a list, a page of the API, and children nested in their root."""
    rows = [row(0), row(1, 0), model(2, 1)]
    bare = [{k: v for k, v in r.items() if k not in ("trace_id", "parent_run_id", "dotted_order")} for r in rows]
    nested = {**rows[0], "child_runs": [{**bare[1], "child_runs": [bare[2]]}]}
    contents = [
        lines(*rows),
        lines(nested),
        *(json.dumps(s).encode() for s in (rows, {"runs": rows}, nested, [nested])),
    ]
    contents += [json.dumps(rows, indent=1).encode(), json.dumps(nested, indent=1).encode()]

    for content in contents:
        (run,), bad, source = read(content)
        assert langsmith.detect(source.head) > 0.5, content[:80]
        assert not bad
        assert [(step.source_id, step.parent_span_id) for step in run.steps] == [
            (uuid(0), None), (uuid(1), uuid(0)), (uuid(2), uuid(1))
        ]  # fmt: skip
        assert (run.source_id, run.usage, run.cost_usd) == (uuid(0), Usage(30, 70, None, 20, 5), 0.25)


def test_times_without_zone_are_utc_and_noted() -> None:
    """LangSmith's API writes UTC without saying so."""
    (run,), _, source = read(lines(row(0, start_time="2025-05-01T12:00:00.5", end_time="soon")))

    assert run.started_at is not None
    assert run.started_at.isoformat() == "2025-05-01T12:00:00.500000+00:00"
    assert (run.steps[0].extra or {})["end_time"] == "soon"
    assert {note.what for note in source.notes} == {"time"}


def test_what_is_no_row_is_reported() -> None:
    """Lines that are no rows are reported with their number; the rest is read."""
    nested = {**row(0), "child_runs": [row(1, 0), 7, {"id": uuid(3)}]}
    (run,), bad, _ = read(lines(nested, {"id": "x"}, 5))

    assert [step.source_id for step in run.steps] == [uuid(0), uuid(1)]
    assert [(b.line, b.reason.rpartition(" ")[2]) for b in bad] == [
        (1, "number"), (1, "object"), (2, "object"), (3, "number")
    ]  # fmt: skip


def test_traces_of_one_file_are_runs_and_a_second_ingest_adds_nothing(store: Store, tmp_path: Path) -> None:
    """Two traces are two runs; reading again writes nothing; a grown export adds what is new."""
    path = tmp_path / "runs.jsonl"
    other = row(0, id=uuid(50), trace_id=uuid(50), dotted_order="")
    path.write_bytes(lines(row(0), model(1), other))
    (first,) = ingest(store, path, progress=False).files
    before = stored(store)
    (again,) = ingest(store, path, progress=False).files
    after = stored(store)
    path.write_bytes(lines(row(0), model(1), other, tool(2)))

    (grown,) = ingest(store, path, progress=False).files

    assert (first.format, first.executions, first.events) == ("langsmith", 2, 3)
    assert (again.outcome, after) == ("already there", before)
    assert (grown.new.executions, grown.new.events) == (0, 1)


def test_any_damage_is_survived() -> None:
    """Hundreds of files with values of wrong types, keys missing, bytes cut or flipped: no other error, runs kept."""
    nested = {**row(0), "child_runs": [row(1, 0), model(2, 1), tool(3, 0)]}
    documents = [lines(row(0, feedback_stats={"a": {}}, reference_example_id="e"), model(1), tool(2)),
                 json.dumps([nested]).encode()]  # fmt: skip

    kept = [survives(langsmith, d, "runs.jsonl")[0] for data in documents for d in mutations(data, n=400)]

    assert sum(bool(runs) for runs in kept) > 400


def test_no_real_file_of_another_format_is_taken(shared_data: Path) -> None:
    """No file of another format is taken for LangSmith's."""
    heads = [(path, Source.of(path).head) for path in sorted(shared_data.rglob("*")) if path.is_file()]

    assert [str(path) for path, head in heads if langsmith.detect(head) > 0] == []


# -- bulk exports ------------------------------------------------------------------------------------------------------


def test_a_bulk_export_is_the_same_as_its_rows() -> None:
    """A Parquet file, in which objects are JSON texts and times are times, gives the run that the rows give."""
    given = [row(0), model(1), tool(2)]
    texts = ("inputs", "outputs", "extra", "prompt_token_details", "completion_token_details")
    table = pa.Table.from_pylist(
        [
            {
                **dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens", "total_cost", *texts)),
                **{name: json.dumps(value) if name in texts else value for name, value in one.items()},
                "start_time": datetime.fromisoformat(one["start_time"]),
                "end_time": datetime.fromisoformat(one["end_time"]),
                "tags": "[]",
            }
            for one in given
        ]
    )
    out = io.BytesIO()
    pq.write_table(table, out)
    plain = Source.from_bytes(b"".join(json.dumps(one).encode() + b"\n" for one in given), "runs.jsonl")
    export = Source.from_bytes(out.getvalue(), "runs.parquet")

    [expected] = langsmith.read(plain)
    [run] = langsmith.read(export)

    assert langsmith.detect(export.head) > 0.5
    assert isinstance(run, Run)
    assert isinstance(expected, Run)
    assert (run.source_id, run.usage, run.cost_usd) == (expected.source_id, expected.usage, expected.cost_usd)
    assert [(s.event_type, s.text, s.timestamp, s.usage, s.tool) for s in run.steps] == [
        (s.event_type, s.text, s.timestamp, s.usage, s.tool) for s in expected.steps
    ]
