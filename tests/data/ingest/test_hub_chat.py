"""Chat datasets of the Hub. Fixtures are written after the datasets' own pages; no real file of them is here."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from histories import counts
from histories import rows as stored
from mutations import mutations, survives

from workbench.data.ingest import ingest
from workbench.data.ingest.detect import SURE_ENOUGH
from workbench.data.ingest.formats import hub_chat
from workbench.data.ingest.normal import BadLine, Run, Usage
from workbench.data.ingest.reading.source import Source
from workbench.data.store.engine import Store
from workbench.errors import IngestError

CALL = {"id": "c1", "type": "function", "function": {"name": "bash", "arguments": '{"command": "ls"}'}}
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "List the files."},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "a.py", "tool_call_id": "c1"},
    {"role": "assistant", "content": "One file: a.py."},
]


def lines(*rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def parquet(*rows: dict[str, Any], **options: Any) -> bytes:
    out = io.BytesIO()
    pl.DataFrame(list(rows)).write_parquet(out, **options)
    return out.getvalue()


def read(content: bytes, name: str = "train.jsonl") -> tuple[list[Run], list[BadLine], Source]:
    source = Source.from_bytes(content, name)
    assert hub_chat.detect(source.head) >= SURE_ENOUGH
    items = list(hub_chat.read(source))
    return [i for i in items if isinstance(i, Run)], [i for i in items if isinstance(i, BadLine)], source


def one(row: Any) -> Run:
    [run], bad, _ = read(lines(row))
    assert bad == []
    return run


def test_messages_of_openai() -> None:
    """A row is a run: its columns give task, model and score, its messages the steps, the rest is metadata."""
    run = one({"instance_id": "a__b-1", "traj_id": "t", "model": "m", "resolved": True, "patch": "+", "messages": TALK})

    assert [step.event_type for step in run.steps] == ["message", "message", "tool_call", "tool_result", "message"]
    assert (run.name, run.model, run.score, run.status, run.agent_type) == ("a__b-1", "m", 1.0, "completed", "chat")
    assert run.task is not None
    assert run.task.source_id == "a__b-1"
    assert run.metadata == {"instance_id": "a__b-1", "traj_id": "t", "model": "m", "resolved": True, "patch": "+"}
    assert run.steps[2].tool == {"name": "bash", "call_id": "c1", "arguments": {"command": "ls"}}
    assert run.steps[3].tool == {"name": "bash", "call_id": "c1", "result": "a.py"}
    assert run.steps[3].parent_span_id == run.steps[2].span_id
    assert (run.input, run.output) == ({"prompt": "List the files."}, {"text": "One file: a.py."})


def test_sharegpt() -> None:
    """`from` and `value` are author and text; calls and observations are calls and results."""
    run = one(
        {
            "id": 7,
            "conversations": [
                {"from": "human", "value": "List."},
                {"from": "function_call", "value": '{"name": "bash", "arguments": {"command": "ls"}}'},
                {"from": "observation", "value": "a.py"},
                {"from": "gpt", "value": "One.", "loss": 1},
            ],
        }
    )

    assert [(step.event_type, step.role) for step in run.steps] == [
        ("message", "user"), ("tool_call", "assistant"), ("tool_result", "tool"), ("message", "assistant"),
    ]  # fmt: skip
    assert run.steps[1].tool == {"name": "bash", "call_id": None, "arguments": {"command": "ls"}}
    assert [step.extra for step in run.steps] == [
        {"from": "human"}, {"from": "function_call"}, {"from": "observation"}, {"from": "gpt", "loss": 1},
    ]  # fmt: skip
    assert run.metadata == {"id": 7, "conversation_column": "conversations"}


def test_columns_of_swe_agent() -> None:
    """`text` and `system_prompt` are what was said; `target` false is a failed run."""
    run = one(
        {
            "instance_id": "x-1", "model_name": "swe-agent-llama-8b", "target": False, "exit_status": "submitted",
            "trajectory": [
                {"role": "system", "system_prompt": "SETTING", "text": None, "mask": False},
                {"role": "user", "text": "Fix it.", "system_prompt": None, "mask": False},
                {"role": "ai", "text": "I look.", "mask": True},
            ],
        }
    )  # fmt: skip

    assert [(step.role, step.text) for step in run.steps] == [
        ("system", "SETTING"), ("user", "Fix it."), ("assistant", "I look."),
    ]  # fmt: skip
    assert (run.model, run.score, run.status) == ("swe-agent-llama-8b", 0.0, "failed")
    assert run.steps[2].extra == {"mask": True, "role": "ai"}
    assert run.metadata["exit_status"] == "submitted"


def test_messages_as_text() -> None:
    """SWE-smith holds the messages as one text, with the action beside the words."""
    said = [
        {"role": "user", "content": [{"type": "text", "text": "Fix it."}], "agent": "main"},
        {"role": "assistant", "content": "I look.", "thought": "I look.", "action": "ls -l", "agent": "main"},
    ]
    run = one({"messages": json.dumps(said), "instance_id": "x", "resolved": False})

    assert run.steps[0].text == "Fix it."
    assert run.steps[1].tool == {"name": "ls", "arguments": {"command": "ls -l"}}
    assert run.steps[1].extra == {"agent": "main", "action": "ls -l"}


def test_parquet_is_read_as_json_lines_are() -> None:
    """The same rows in Parquet give the same runs; it is recognised by the index at its end, however long it is."""
    noise = [{"instance_id": f"i{n}", "resolved": n % 2, "messages": TALK, "pad": str(n) * 5_000} for n in range(60)]
    content = parquet(*noise, compression="uncompressed", row_group_size=20)

    as_parquet, bad, source = read(content, "train-00000.parquet")
    as_lines, _, _ = read(lines(*noise))

    assert len(content) > 64 * 1024
    assert not source.head.is_whole
    assert bad == []
    assert [run.source_id for run in as_parquet] == [run.source_id for run in as_lines]
    assert [run.steps for run in as_parquet] == [run.steps for run in as_lines]
    assert [run.score for run in as_parquet[:2]] == [0.0, 1.0]


def test_a_cut_parquet_file_is_one_error() -> None:
    """Without its end nothing of a Parquet file can be read, and the error says so."""
    content = parquet({"messages": TALK})[:-20]

    with pytest.raises(IngestError, match=r"cut\.parquet cannot be read as Parquet: .* at the end"):
        list(hub_chat.read(Source.from_bytes(content, "cut.parquet")))


def test_damaged_rows_of_parquet_are_bad_lines() -> None:
    """A row group that cannot be decompressed costs its own rows, named by number; the others are read."""
    rows = [{"instance_id": f"i{n}", "messages": json.dumps(TALK) + " " * n} for n in range(30)]
    content = bytearray(parquet(*rows, compression="zstd", row_group_size=10, statistics=False))
    content[4:200] = bytes(byte ^ 0x55 for byte in content[4:200])

    source = Source.from_bytes(bytes(content), "train.parquet")
    items = list(hub_chat.read(source))

    assert [item.line for item in items if isinstance(item, BadLine)] == [1]
    assert sum(isinstance(item, Run) for item in items) == 20


def test_rows_that_are_none_are_reported() -> None:
    """A row without conversation and a message that is no object are named; everything else is read."""
    runs, bad, _ = read(lines({"messages": TALK}, {"messages": []}, {"messages": ["x", *TALK]}) + b"[1]\n")

    assert [len(run.steps) for run in runs] == [5, 5]
    assert [(item.line, item.reason.partition(":")[0]) for item in bad] == [
        (2, "no conversation"), (3, "message 0"), (4, "expected a JSON object, found a list"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "score", "status"),
    [
        ({"reward": 0.5}, 0.5, "completed"),
        ({"reward": 0}, 0.0, "failed"),
        ({"resolved": -1}, None, "completed"),
        ({"resolved": "yes"}, None, "completed"),
        ({}, None, "completed"),
    ],
)
def test_scores(columns: dict[str, Any], score: float | None, status: str) -> None:
    """A number or a truth is a score; what was not judged has none."""
    run = one({"messages": TALK, **columns})

    assert (run.score, run.status) == (score, status)


def test_tokens_of_a_message_and_of_a_row() -> None:
    """A count beside a message is that message's; one beside the conversation is the run's."""
    usage = {"prompt_tokens": 10, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}

    assert one({"messages": [*TALK[:4], {**TALK[4], "usage": usage}]}).usage == Usage(6, 4, None, 2)
    assert one({"messages": TALK, "usage": usage}).usage == Usage(6, 4, None, 2)


@pytest.mark.parametrize(
    "document",
    [
        {"sessionId": "x", "projectHash": "y", "messages": TALK},
        {"eval": {"task": "t"}, "messages": TALK},
        {"messages": "see above"},
        {"messages": [{"role": "user"}]},
        {"text": "not a chat"},
    ],
)
def test_what_is_no_chat_dataset(document: Any) -> None:
    """Documents of other tools, and rows that hold no conversation, are left alone."""
    assert hub_chat.detect(Source.from_bytes(lines(document), "x.jsonl").head) < SURE_ENOUGH


def test_a_grown_dataset_adds_its_new_rows(store: Store, tmp_path: Path) -> None:
    """Rows appended to a dataset are new runs; those before, equal ones among them, are known."""
    path = tmp_path / "train.jsonl"
    row = {"id": 0, "messages": TALK}
    path.write_bytes(lines(row, row))
    ingest(store, path, progress=False)
    before = stored(store)["observability_events"]

    path.write_bytes(lines(row, row, {"id": 1, "messages": TALK}))
    [file] = ingest(store, path, progress=False).files

    assert counts(store) == (3, 15)
    assert file.new.executions == 1
    assert set(before) < set(stored(store)["observability_events"])


@pytest.mark.parametrize("seed", range(3))
def test_spoilt_files(seed: int) -> None:
    """Whatever is wrong in a file, only a readable error is raised."""
    asked = {"from": "function_call", "value": '{"name": "f", "arguments": {}}'}
    row = {"id": 0, "reward": 1.0, "usage": {"prompt_tokens": 1}, "messages": TALK}
    whole = lines(row, {"conversations": [{"from": "human", "value": "a"}, asked]})

    found = [survives(hub_chat, data, "train.jsonl") for data in mutations(whole, n=200, seed=seed)]
    assert sum(bool(runs) for runs, _ in found) > 150


def test_spoilt_parquet_files() -> None:
    """Flipped bits and missing pieces of a Parquet file are a readable error or bad rows."""
    content = parquet(*({"instance_id": f"i{n}", "messages": TALK} for n in range(20)))
    rows = [survives(hub_chat, data, "train.parquet") for data in _spoilt(content)]

    assert any(bad for _, bad in rows)
    assert any(runs for runs, _ in rows)


def _spoilt(content: bytes) -> list[bytes]:
    """One byte in eleven turned over, one after the other, and the file cut at each of these places."""
    places = range(4, len(content), 11)
    flipped = [content[:at] + bytes([content[at] ^ 0x5A]) + content[at + 1 :] for at in places]
    return [*flipped, *(content[:at] for at in places)]
