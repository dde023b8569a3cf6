"""Rollouts of the first Codex CLI: one JSON document that is written again as a whole with every item."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from mutations import mutations, survives

from workbench.data.ingest import ingest
from workbench.data.ingest.detect import choose
from workbench.data.ingest.formats import codex
from workbench.data.ingest.normal import BadLine, Run
from workbench.data.ingest.reading.source import Source
from workbench.data.store.engine import Store
from workbench.errors import IngestError

SESSION = "5e551000-0000-4000-8000-00000000000a"
ITEMS: list[dict[str, Any]] = [
    {"role": "user", "content": [{"type": "input_text", "text": "List the files"}], "type": "message"},
    {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Look."}], "duration_ms": 812},
    {"id": "fc_1", "type": "function_call", "status": "completed", "call_id": "c1", "name": "shell",
     "arguments": '{"command": ["ls"]}'},
    {"type": "function_call_output", "call_id": "c1",
     "output": '{"output": "a.py", "metadata": {"exit_code": 1, "duration_seconds": 0.5}}'},
    {"role": "user", "content": [{"type": "input_text", "text": "List the files"}], "type": "message"},
    {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant",
     "content": [{"type": "output_text", "annotations": [], "text": "One: a.py"}]},
]  # fmt: skip


def document(n: int | None = None, *, saved: str = "2025-05-17T10:00:09.000Z", more: tuple[Any, ...] = ()) -> bytes:
    session = {"timestamp": saved, "id": SESSION, "instructions": "Be brief."}
    return json.dumps({"session": session, "items": [*ITEMS[:n], *more]}, indent=2).encode()


def notice(kind: str, text: str) -> dict[str, Any]:
    content = [{"type": "input_text", "text": text}]
    return {"id": f"{kind}-1747476009000", "type": "message", "role": "system", "content": content}


def one(content: bytes) -> Run:
    (run,) = codex.read(Source.from_bytes(content, "rollout-2025-05-17.json"))
    assert isinstance(run, Run)
    return run


def test_the_items_of_a_document_are_the_steps_that_lines_would_be() -> None:
    """The same session by lines, as the next release wrote it, gives the same steps."""
    first = {"id": SESSION, "timestamp": "2025-05-17T10:00:00.000Z", "instructions": "Be brief."}
    lines = b"\n".join(json.dumps(line).encode() for line in (first, *ITEMS))
    by_lines, run = one(lines), one(document())

    def told(run: Run) -> list[Any]:
        return [(s.event_type, s.name, s.role, s.text, s.tool, s.duration_ms, s.error, s.mark) for s in run.steps[1:]]

    assert told(run) == told(by_lines)
    assert [step.event_type for step in run.steps] == [
        "log", "message", "reasoning", "tool_call", "tool_result", "message", "message"
    ]  # fmt: skip
    assert (run.source_id, run.input, run.output) == (SESSION, {"prompt": "List the files"}, {"text": "One: a.py"})
    assert (run.steps[2].duration_ms, run.steps[4].severity) == (812, "error")
    assert run.steps[0].extra == {"id": SESSION, "instructions": "Be brief.", "saved_at": "2025-05-17T10:00:09.000Z"}


def test_a_document_says_when_it_was_saved_and_not_when_it_began() -> None:
    """Its time is that of the last save; one by lines knows its beginning only."""
    run = one(document())

    assert (run.started_at, run.completed_at) == (None, datetime(2025, 5, 17, 10, 0, 9, tzinfo=UTC))
    first = {"id": SESSION, "timestamp": "2025-05-17T10:00:00.000Z", "instructions": None}
    by_lines = one(b"\n".join(json.dumps(line).encode() for line in (first, *ITEMS)))
    assert (by_lines.started_at, by_lines.completed_at) == (datetime(2025, 5, 17, 10, 0, tzinfo=UTC), None)


def test_a_document_is_recognised() -> None:
    """With items, and where its instructions are longer than what is looked at."""
    long = document().replace(b"Be brief.", b"x" * 100_000)
    compact = json.dumps(json.loads(document())).encode()

    for content in (document(), long, compact):
        assert choose(Source.from_bytes(content, "a.json")).FORMAT == "codex"
    first = json.dumps({"id": "s", "timestamp": "t", "instructions": "y" * 99_999}).encode()
    assert codex.detect(Source.from_bytes(first).head) >= 0.5
    assert codex.detect(Source.from_bytes(b'{"session": {"id": "x", "timestamp": "t"}, "items": []}').head) < 0.5


@pytest.mark.parametrize(
    ("last", "status", "error_type"),
    [
        (notice("error", "Rate limit reached."), "failed", "error"),
        (notice("interrupt", "Execution interrupted by user."), "cancelled", "interrupted"),
        (notice("switch-model", "Switched model to o3"), "completed", None),
    ],
)
def test_what_the_program_told_its_user_decides_how_it_ended(last: Any, status: str, error_type: str | None) -> None:
    """An error or an Escape at the end is the outcome; with an answer behind it, it is not."""
    run = one(document(more=(last,)))

    assert (run.status, run.error_type) == (status, error_type)
    assert run.steps[-1].severity == {"failed": "error", "cancelled": "warning"}.get(status, "info")
    assert one(document(more=(last, {**ITEMS[-1], "id": "msg_2"}))).status == "completed"


def test_what_is_no_item_is_named() -> None:
    """Each is reported by its number; the others are read."""
    found = list(codex.read(Source.from_bytes(document(more=(7, None)), "rollout.json")))

    assert [bad.reason for bad in found if isinstance(bad, BadLine)] == [
        "item 7: expected an object, found a number",
        "item 8: expected an object, found null",
    ]
    assert isinstance(found[-1], Run)


def test_a_cut_document_is_refused() -> None:
    """The text names the file and where it breaks off."""
    with pytest.raises(IngestError, match=r"rollout\.json cannot be read: cut off"):
        list(codex.read(Source.from_bytes(document()[:-20], "rollout.json")))


def test_a_document_that_was_saved_again_grows_in_place(store: Store, tmp_path: Any) -> None:
    """A later save adds what is new; an earlier one read behind it changes nothing."""
    path = tmp_path / "rollout-2025-05-17.json"
    states = []
    for content in (document(3, saved="2025-05-17T10:00:05.000Z"), document(), document(3)):
        path.write_bytes(content)
        file = ingest(store, path, progress=False).files[0]
        states.append((file.new.events, file.outcome))

    assert [n for n, _ in states] == [4, 3, 0]
    with store.raw() as connection:
        row = connection.execute("SELECT count(*), max(step_number) FROM workbench.observability_events").fetchone()
    assert row == (7, 6)


def test_spoilt_documents_are_survived() -> None:
    """Whatever is flipped, cut, deleted or replaced, nothing but a refusal of the file is raised."""
    results = [survives(codex, data, "rollout.json") for data in mutations(document(), n=300)]

    assert sum(bool(runs) for runs, _ in results) > 30
