"""Inspect logs of every layout, made by hand, and the runs that become of them."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from datetime import datetime, timedelta, timezone
from typing import Any

import zstandard

from workbench._delta import apply
from workbench.data.ingest.formats import inspect_log
from workbench.data.ingest.normal import BadLine, Run
from workbench.data.ingest.reading.source import Source

EVAL = {"run_id": "run1", "task_id": "task1", "task": "riddles", "model": "acme/m", "config": {}}


def at(second: float) -> str:
    return (datetime(2025, 5, 1, 12, tzinfo=timezone(timedelta(hours=-4))) + timedelta(seconds=second)).isoformat()


def event(kind: str, second: float = 0, **fields: Any) -> dict[str, Any]:
    return {"event": kind, "timestamp": at(second), "working_start": second, **fields}


def begin(span_id: str, second: float = 0, parent: str | None = None, kind: str = "solver", name: str = "s") -> dict:
    return event("span_begin", second, id=span_id, span_id=span_id, parent_id=parent, type=kind, name=name)


def end(span_id: str, second: float = 0) -> dict[str, Any]:
    return event("span_end", second, id=span_id, span_id=span_id)


def init(**state: Any) -> dict[str, Any]:
    return event("sample_init", sample={"input": "why?"}, state={"messages": [], "store": {}, **state})


def changes(kind: str, *ops: dict[str, Any], span: str | None = None, second: float = 0) -> dict[str, Any]:
    return event(kind, second, changes=list(ops), span_id=span)


def put(path: str, value: Any) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}


def model(text: str = "because", second: float = 0, **fields: Any) -> dict[str, Any]:
    usage = {"input_tokens": 10, "output_tokens": 2, "total_tokens": 12}
    output = {"model": "m-1", "choices": [{"message": {"role": "assistant", "content": text}}], "usage": usage}
    return event("model", second, model="acme/m", input=[], tools=[], config={}, output=output, **fields)


def sample(events: list[Any] | None = None, **fields: Any) -> dict[str, Any]:
    made = {"id": 1, "epoch": 1, "input": "why?", "target": "because", "messages": [], "store": {}, **fields}
    return made if events is None else {**made, "events": events}


def log_of(*samples: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"version": 2, "status": "success", "eval": EVAL, "samples": list(samples), **fields}


def json_source(*samples: dict[str, Any], **fields: Any) -> Source:
    return Source.from_bytes(json.dumps(log_of(*samples, **fields)).encode(), "log.json")


def entries(n: int) -> dict[str, bytes]:
    """The entries of a ``.eval`` file in the order in which Inspect writes them."""
    start = {"version": 2, "eval": EVAL, "plan": {}}
    samples = {
        f"samples/{i}_epoch_1.json": json.dumps(sample([init(), model(f"answer {i}")], id=i)).encode() for i in range(n)
    }
    header = {"version": 2, "status": "success", "eval": EVAL, "plan": {}}
    return {
        "_journal/start.json": json.dumps(start).encode(),
        **samples,
        "summaries.json": b"[]",
        "header.json": json.dumps(header).encode(),
    }


def zip_of(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def packed_zip_of(files: dict[str, bytes], methods: dict[str, int]) -> bytes:
    """A zip written by hand, with compression methods that :mod:`zipfile` cannot write; 93 is zstd."""
    body, directory = b"", b""
    for name, data in files.items():
        method = methods.get(name, 0)
        packed = zstandard.ZstdCompressor().compress(data) if method == 93 else data
        common = struct.pack(
            "<HHHHHLLLHH", 20, 0, method, 0, 33, zlib.crc32(data), len(packed), len(data), len(name), 0
        )
        directory += b"PK\x01\x02\x14\x00" + common + struct.pack("<HHHLL", 0, 0, 0, 0, len(body)) + name.encode()
        body += b"PK\x03\x04" + common + name.encode() + packed
    n = len(files)
    return body + directory + b"PK\x05\x06" + struct.pack("<HHHHLLH", 0, 0, n, n, len(directory), len(body), 0)


def zstd_zip_of(files: dict[str, bytes]) -> bytes:
    """A zip as newer Inspect writes it."""
    return packed_zip_of(files, dict.fromkeys(files, 93))


def read(source: Source) -> tuple[list[Run], list[BadLine]]:
    found = list(inspect_log.read(source))
    return [f for f in found if isinstance(f, Run)], [f for f in found if isinstance(f, BadLine)]


def only_run(source: Source) -> Run:
    (run,), bad = read(source)
    assert bad == []
    return run


def notes(source: Source) -> dict[str, int]:
    return {f"{note.kind}: {note.what}: {note.why}": n for note, n in source.notes.items()}


def last_state(run: Run) -> Any:
    document: Any = {}
    for state in run.states:
        document = apply(document, state.patch) if state.patch is not None else state.document
    return document


def streamed_zip_of(files: dict[str, bytes]) -> bytes:
    """A zip written to a pipe: the sizes stand behind each member, not before it."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: Any) -> int:
            raise io.UnsupportedOperation

        def tell(self) -> int:
            raise io.UnsupportedOperation

    out = Pipe()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


# A sample in pieces ---------------------------------------------------------------------------------------------------

LONG = "a long answer " * 30
MESSAGES = [
    {"role": "user", "content": "why?"},
    {"role": "assistant", "content": LONG},
    {"role": "user", "content": "?"},
]


def call(text: str, second: float, **fields: Any) -> dict[str, Any]:
    return {**model(text, second), **fields}


def sample_of(events: list[Any], **fields: Any) -> dict[str, Any]:
    return sample(events, id="a/b", uuid="u1", metadata={"difficulty": "hard", "note": LONG}, **fields)


EVENTS = [init(), begin("s1"), call(LONG, 1), changes("store", put("/n", 1), span="s1"), call("yes", 2), end("s1", 3)]


def whole() -> dict[str, bytes]:
    """The log as one entry holds its sample."""
    events = [dict(event) for event in EVENTS]
    events[2] |= {"input": MESSAGES[:1], "call": {"request": {"model": "m", "messages": ["wire 0"]}, "response": LONG}}
    events[4] |= {"input": MESSAGES, "call": {"request": {"model": "m", "messages": ["wire 0", "wire 1"]}}}
    made = sample_of(events, messages=MESSAGES[:2], store={"n": 1})
    return {**entries(0), "samples/a/b_epoch_1.json": json.dumps(made).encode()}


def in_pieces(n: int = 2) -> dict[str, bytes]:
    """The same log with its sample in pieces of ``n`` items each."""
    events = [dict(event) for event in EVENTS]
    request = {"request": {"model": "m"}, "call_key": "messages"}
    events[2] |= {"input_refs": [[0, 1]], "call": {**request, "call_refs": [[0, 1]], "response": "attachment://0"}}
    events[2]["output"] = {**model("attachment://0")["output"]}
    events[4] |= {"input_refs": [[0, 3]], "call": {**request, "call_refs": [[0, 2]]}}
    pool = [MESSAGES[0], {"role": "assistant", "content": "attachment://0"}, MESSAGES[2]]
    fields = sample_of([], store={"n": 1})
    shell = {k: v for k, v in fields.items() if k not in ("events", "messages", "metadata")} | {
        "message_refs": [[0, 2]]
    }
    root = "samples/a/b_epoch_1"
    files: dict[str, Any] = {
        f"{root}/sample.json": shell,
        f"{root}/metadata.json": {**fields["metadata"], "note": "attachment://0"},
        f"{root}/skeleton.json": {"version": 1},
        f"{root}/events/stats.json": {"version": 1, "chunks": []},
        f"{root}/events/uuids.json": [],
    }
    sequences = {"messages": pool, "events": events, "calls": ["wire 0", "wire 1"], "attachments": [LONG, "not named"]}
    for name, items in sequences.items():
        files |= {f"{root}/{name}/{start}.json": items[start : start + n] for start in range(0, len(items), n)}
    return {**entries(0), **{name: json.dumps(value).encode() for name, value in files.items()}}
