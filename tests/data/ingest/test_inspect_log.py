"""Inspect logs: what samples, events and recorded state of every layout become."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
import zlib
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import zstandard

from workbench._delta import apply
from workbench.data.ingest import inspect_attachments, inspect_log
from workbench.data.ingest.inspect_events import usage_of
from workbench.data.ingest.normal import BadLine, Run, Usage
from workbench.data.ingest.source import Source
from workbench.errors import IngestError

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


# -- the files of formats.md -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "n_runs", "n_steps", "n_states", "scores", "usage"),
    [
        ("browser.json.gz", 1, 43, 7, [1.0], Usage(15235 - 9088, 9088, None, 281, 0)),
        ("popularity-mj7k.eval", 10, 110, 30, [1.0] * 8 + [0.0] * 2, Usage(620, None, None, 20)),
        ("log_formats.eval", 1, 11, 3, [0.0], Usage(66, None, None, 2)),
        # formats.md counts 0 steps for these two: their samples have no `events`. The first has the same eleven under
        # its older name `transcript`; the second has eleven messages and nothing else. A run without steps would show
        # its user nothing, so both are read.
        ("log_formats.json", 1, 11, 3, [0.0], Usage(66, None, None, 2)),
        ("log_tool_call_error.json", 1, 11, 0, [], None),
    ],
)
def test_counts_of_real_files(
    shared_data: Path, name: str, n_runs: int, n_steps: int, n_states: int, scores: list[float], usage: Usage | None
) -> None:
    """Every real Inspect log gives the runs, events, grades and tokens counted from it by hand."""
    source = Source.of(shared_data / "inspect" / name)

    assert inspect_log.detect(source.head) >= 0.9
    runs, bad = read(source)

    assert bad == []
    assert len(runs) == n_runs
    assert sum(len(run.steps) for run in runs) == n_steps
    assert sum(len(run.states) for run in runs) == n_states
    assert sorted((run.score for run in runs if run.score is not None), reverse=True) == scores
    usages = [run.usage for run in runs if run.usage is not None]
    assert (sum(usages, Usage()) if usages else None) == usage
    assert [run.status for run in runs].count("failed") == scores.count(0.0)


def test_replayed_state_of_real_files_is_the_recorded_one(shared_data: Path) -> None:
    """After all changes, the state has the sample's messages and its store; nothing is reported as different."""
    path = shared_data / "inspect" / "browser.json.gz"
    source = Source.of(path)
    recorded = json.loads(gzip.decompress(path.read_bytes()))["samples"][0]

    run = only_run(source)

    state = last_state(run)
    assert state["messages"] == recorded["messages"]
    assert state["store"] == recorded["store"]
    assert not [note for note in source.notes if note.kind == "changed"]


@pytest.mark.parametrize("name", ["browser.json.gz", "popularity-mj7k.eval", "log_formats.eval", "log_formats.json"])
def test_no_reference_is_left_in_real_files(shared_data: Path, name: str) -> None:
    """Attachments of both spellings are replaced by their texts everywhere."""
    runs, _ = read(Source.of(shared_data / "inspect" / name))

    text = "".join(repr(run) for run in runs)
    assert "attachment://" not in text
    assert "tc://" not in text


def test_both_layouts_of_one_sample_are_one_run(shared_data: Path) -> None:
    """The same sample logged as .eval and as .json is the same in everything, so reading both changes nothing."""
    in_zip = only_run(Source.of(shared_data / "inspect" / "log_formats.eval"))
    in_json = only_run(Source.of(shared_data / "inspect" / "log_formats.json"))

    assert in_zip == in_json


def test_a_log_without_events_gives_its_messages(shared_data: Path) -> None:
    """Where there is no event log, messages are the steps and the report says so."""
    source = Source.of(shared_data / "inspect" / "log_tool_call_error.json")

    run = only_run(source)

    assert {step.event_type for step in run.steps} == {"tool_result"}
    assert [step.error["type"] for step in run.steps if step.error][:3] == ["parsing", "timeout", "parsing"]
    assert {step.severity for step in run.steps} == {"error"}
    assert notes(source)["kept: messages: no event log; the sample's messages are read as steps"] == 11


# -- events ------------------------------------------------------------------------------------------------------------


def test_every_kind_of_event_is_one_step() -> None:
    """Each event becomes one step of the right type, with its text, severity, duration and place in the tree."""
    run = only_run(
        json_source(
            sample(
                [
                    begin("a", 0, name="plan", kind="agent"),
                    init(),
                    model(second=1, span_id="a", completed=at(3)),
                    event(
                        "tool", 3, span_id="a", id="c1", function="add", arguments={"x": 1}, result="2", completed=at(4)
                    ),
                    event(
                        "tool",
                        4,
                        span_id="a",
                        id="c2",
                        function="div",
                        arguments={},
                        error={"type": "timeout", "message": "late"},
                    ),
                    event("sandbox", 5, span_id="a", action="exec", cmd="ls", result=2, output="no"),
                    event("info", 6, span_id="a", source="me", data="note"),
                    event("logger", 6, message={"level": "http", "message": "GET /", "name": "httpx"}),
                    event("error", 6, error={"message": "RuntimeError('bad')", "traceback": "Traceback …"}),
                    event("input", 6, input="go on"),
                    event("score", 7, score={"value": "C", "explanation": "right"}),
                    event("approval", 7, approver="auto", decision="approve", message="fine"),
                    event("sample_limit", 8, type="token", message="too many"),
                    end("a", 9),
                    "not an object",
                ]
            )
        )
    )

    found = [(s.event_type, s.name, s.severity, s.duration_ms, s.text) for s in run.steps]
    assert found == [
        ("span", "plan", "info", 9000.0, None),
        ("state", "sample_init", "info", None, None),
        ("llm_call", "acme/m", "info", 2000.0, "because"),
        ("tool_call", "add", "info", 1000.0, None),
        ("tool_call", "div", "error", None, None),
        ("log", "exec", "warning", None, "ls"),
        ("log", "me", "info", None, "note"),
        ("log", "httpx", "debug", None, "GET /"),
        ("log", None, "error", None, "RuntimeError('bad')"),
        ("message", "user", "info", None, "go on"),
        ("score", None, "info", None, "right"),
        ("log", "approval", "info", None, "fine"),
        ("log", "token", "warning", None, "too many"),
        ("span", "plan", "debug", None, None),
        ("log", "unreadable event", "warning", None, None),
    ]
    assert run.steps[3].tool == {"name": "add", "call_id": "c1", "arguments": {"x": 1}, "result": "2"}
    assert run.steps[4].tool == {"name": "div", "call_id": "c2", "arguments": {}, "is_error": True}
    assert run.steps[4].error == {"type": "timeout", "message": "late"}
    assert run.steps[8].error == {"type": "RuntimeError", "message": "RuntimeError('bad')", "stack": "Traceback …"}
    assert {s.parent_span_id for s in run.steps[2:7]} == {"a"}
    assert {s.agent for s in run.steps[2:7]} == {"plan"}


def test_steps_without_ids_nest_by_their_order() -> None:
    """Logs of 2024 say only begin and end: the nesting is that of brackets."""
    run = only_run(
        json_source(
            sample(
                [
                    event("step", 0, action="begin", name="outer", type="solver"),
                    event("step", 1, action="begin", name="inner", type="solver"),
                    model(second=2),
                    event("step", 3, action="end", name="inner", type="solver"),
                    event("step", 4, action="end", name="outer", type="solver"),
                ]
            )
        )
    )

    outer, inner, call, *_ = run.steps
    assert (outer.duration_ms, inner.duration_ms) == (4000.0, 2000.0)
    assert (outer.parent_span_id, inner.parent_span_id) == (None, outer.span_id)
    assert call.parent_span_id == inner.span_id


def test_events_inside_tool_events_are_steps_too() -> None:
    """Older logs keep a tool's own events inside it; none is lost."""
    inner = [model("inside"), event("info", data="x")]
    run = only_run(json_source(sample([event("tool", id="c", function="ask", arguments={}, events=inner)])))

    assert [step.event_type for step in run.steps] == ["tool_call", "llm_call", "log"]


def test_repeated_event_ids_fall_back_to_the_position() -> None:
    """Two events with one uuid are both kept, with different identities."""
    run = only_run(json_source(sample([model("a", uuid="u1"), model("b", uuid="u1"), model("c", uuid="u2")])))

    assert [step.source_id for step in run.steps] == ["u1", None, "u2"]


# -- state -------------------------------------------------------------------------------------------------------------


def test_recorded_patches_are_passed_on_as_they_are() -> None:
    """A state change is stored as the very patch of the log (without the old values that it repeats)."""
    change = {"op": "replace", "path": "/tools", "value": ["t"], "replaced": []}

    run = only_run(
        json_source(sample([init(tools=[]), changes("state", change), changes("store", put("/k", 1))], store={"k": 1}))
    )

    first, second, third = run.states
    assert first.document == {"messages": [], "store": {}, "tools": []}
    assert second.patch == [{"op": "replace", "path": "/tools", "value": ["t"]}]
    assert third.patch == [put("/store/k", 1)]
    assert [state.step_number for state in run.states] == [0, 1, 2]
    assert run.steps[1].extra is not None
    assert run.steps[1].extra["changes"] == [{"op": "replace", "path": "/tools"}]


def test_changes_of_nested_spans_are_counted_once() -> None:
    """An outer span repeats what changed inside it; a list that grew inside does not grow twice."""
    grown = put("/seen/0", "a")
    source = json_source(
        sample(
            [
                init(store={"seen": []}),
                begin("outer"),
                begin("inner", parent="outer"),
                changes("store", grown, span="inner"),
                end("inner"),
                changes("state", put("/store/seen/0", "a"), put("/messages/0", {"role": "user"}), span="outer"),
                changes("store", grown, span="outer"),
                end("outer"),
            ],
            store={"seen": ["a"]},
            messages=[{"role": "user"}],
        )
    )

    run = only_run(source)

    assert [state.patch for state in run.states[1:]] == [
        [put("/store/seen/0", "a")],
        [put("/messages/0", {"role": "user"})],
        [],
    ]
    assert last_state(run) == {"messages": [{"role": "user"}], "store": {"seen": ["a"]}}
    assert not [note for note in source.notes if note.kind == "changed"]


def test_state_changes_of_nested_solvers_are_counted_once() -> None:
    """A solver made of solvers repeats their messages in its own change; they are not added twice."""
    asked, answered = {"role": "user"}, {"role": "assistant"}
    source = json_source(
        sample(
            [
                init(),
                begin("chain"),
                begin("ask", parent="chain"),
                changes("state", put("/messages/0", asked), span="ask"),
                end("ask"),
                changes("state", put("/messages/0", asked), put("/messages/1", answered), span="chain"),
                end("chain"),
            ],
            messages=[asked, answered],
        )
    )

    run = only_run(source)

    assert last_state(run)["messages"] == [asked, answered]
    assert not [note for note in source.notes if note.kind == "changed"]


def test_a_replay_that_ends_elsewhere_is_reported() -> None:
    """Where the replayed messages or store are not the sample's, the report says so."""
    source = json_source(sample([init()], messages=[{"role": "user", "content": "x"}], store={"k": 1}))

    only_run(source)

    assert {note for note in notes(source) if note.startswith("changed")} == {
        "changed: state: the replayed state ends with 0 messages, the sample has 1",
        "changed: state: the replayed store is not the sample's store",
    }


def test_a_change_that_does_not_fit_keeps_its_values() -> None:
    """A patch that cannot be applied is reported, its values stay in the event, later states go on."""
    wrong = {"op": "remove", "path": "/nowhere", "value": None}
    source = json_source(sample([init(), changes("state", wrong), changes("store", put("/k", 1))], store={"k": 1}))

    run = only_run(source)

    assert run.steps[1].extra is not None
    assert run.steps[1].extra["changes"] == [wrong]
    assert last_state(run)["store"] == {"k": 1}
    assert any("does not fit" in note for note in notes(source))


# -- attachments and pools ---------------------------------------------------------------------------------------------


def test_pooled_messages_are_put_back() -> None:
    """Model calls that refer to a pool of messages show the messages themselves."""
    pool = [{"role": "user", "content": "attachment://h"}, {"role": "assistant", "content": "b"}]
    refers = {
        **model(),
        "input_refs": [[0, 1], [1, 2]],
        "call": {"request": {"n": 1}, "call_refs": [[0, 1]], "call_key": "m"},
    }
    events_data = {"messages": pool, "calls": ["wire"]}

    run = only_run(json_source(sample([refers], attachments={"h": "long"}, events_data=events_data)))

    assert run.steps[0].extra is not None
    assert run.steps[0].extra["input"] == [{"role": "user", "content": "long"}, {"role": "assistant", "content": "b"}]
    assert run.steps[0].extra["call"] == {"request": {"n": 1, "m": ["wire"]}}


def test_long_conversations_do_not_grow_with_their_square(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a bound, repeated inputs keep their references and the texts stay in the metadata."""
    monkeypatch.setattr(inspect_attachments, "MAX_REPEATED", 1000)
    asks = {**model(), "input": [{"role": "user", "content": "attachment://h"}]}

    run = only_run(json_source(sample([asks, asks, asks], attachments={"h": "x" * 900})))

    inputs = [step.extra["input"][0]["content"] for step in run.steps if step.extra]
    assert [len(text) for text in inputs] == [900, 900, len("attachment://h")]
    assert run.metadata["attachments"] == {"h": "x" * 900}


def test_a_missing_attachment_is_reported() -> None:
    """A reference whose text is not in the log stays as it is and is counted as lost."""
    source = json_source(sample([event("info", data="attachment://gone")]))

    assert only_run(source).steps[0].text == "attachment://gone"
    assert notes(source)["lost: attachments: named in the log, their texts are not in it"] == 1


# -- scores, tokens, times ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "score", "status"),
    [
        ("C", 1.0, "completed"),
        ("I", 0.0, "failed"),
        ("P", 0.5, "completed"),
        ("N", 0.0, "failed"),
        (0.3, 0.3, "completed"),
        ("0.75", 0.75, "completed"),
        (True, 1.0, "completed"),
        (False, 0.0, "failed"),
        (float("nan"), None, "completed"),
        ({"a": 1}, None, "completed"),
        ("splendid", None, "completed"),
    ],
)
def test_grades_are_numbers(value: Any, score: float | None, status: str) -> None:
    """Letters are read as Inspect reads them, numbers as they are, anything else is no score."""
    run = only_run(json_source(sample([], scores={"judge": {"value": value}, "other": {"value": "I"}})))

    assert (run.score, run.status) == (score, status)
    assert set(run.metadata["sample"]["scores"]) == {"judge", "other"}


def test_an_error_of_the_sample_fails_the_run() -> None:
    """A sample that raised is failed whatever its score, with the exception's name and text."""
    error = {"message": "ValueError('no')", "traceback": "Traceback …"}
    run = only_run(json_source(sample([], error=error, scores={"judge": {"value": "C"}})))

    assert (run.status, run.error_type, run.error) == ("failed", "ValueError", "ValueError('no')")


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        # Inside: input + output = total (OpenAI before inspect_ai#3341).
        ((100, 10, 110, 60, None), Usage(40, 60, None, 10)),
        # Beside: input + cached + output = total (Anthropic, and everybody since).
        ((40, 10, 110, 60, None), Usage(40, 60, None, 10)),
        ((40, 10, 115, 60, 5), Usage(40, 60, 5, 10)),
        # A proxy that leaves the cached part out of the total: it cannot lie inside, it is larger.
        ((40, 10, 50, 60, None), Usage(40, 60, None, 10)),
        ((100, 10, 110, None, None), Usage(100, None, None, 10)),
    ],
)
def test_cached_tokens_are_counted_once(counts: tuple[int | None, ...], usage: Usage) -> None:
    """Whether a provider put the cached input inside the input is told by the total."""
    names = ("input_tokens", "output_tokens", "total_tokens", "input_tokens_cache_read", "input_tokens_cache_write")

    assert usage_of(dict(zip(names, counts, strict=True))) == usage


def test_tokens_and_cost_of_several_models_are_summed() -> None:
    """The sample's own sums are taken; a model without a price leaves the cost unknown."""
    priced = {"input_tokens": 5, "output_tokens": 1, "total_tokens": 6, "total_cost": 0.5}
    unpriced = {"input_tokens": 7, "output_tokens": 2, "total_tokens": 9}

    both = only_run(json_source(sample([], model_usage={"a": priced, "b": priced})))
    one = only_run(json_source(sample([], model_usage={"a": priced, "b": unpriced})))

    assert (both.usage, both.cost_usd) == (Usage(10, output_tokens=2), 1.0)
    assert (one.usage, one.cost_usd) == (Usage(12, output_tokens=3), None)


def test_times_keep_their_zone_and_odd_ones_are_reported() -> None:
    """Offsets are kept, a missing zone is taken as UTC, an unreadable time is null; each with a note."""
    naive, odd = {**model("a"), "timestamp": "2025-05-01T16:00:01"}, {**model("b"), "timestamp": "yesterday"}
    source = json_source(sample([model("c", 0), naive, odd], total_time=1.0019999999999998))

    run = only_run(source)

    first, second, third = run.steps
    assert first.timestamp == datetime(2025, 5, 1, 16, tzinfo=UTC)
    assert second.timestamp == datetime(2025, 5, 1, 16, 0, 1, tzinfo=UTC)
    assert third.timestamp is None
    assert run.execution_time_ms == 1002.0
    assert len([note for note in source.notes if note.what == "time"]) == 2


# -- archives ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, 93])
def test_every_compression_is_read(method: int) -> None:
    """Members may be stored, deflated, LZMA or zstd."""
    files = entries(3)
    body = zstd_zip_of(files) if method == 93 else zip_of(files, method)

    runs, bad = read(Source.from_bytes(body, "a.eval"))

    assert bad == []
    assert [run.steps[1].text for run in runs] == ["answer 0", "answer 1", "answer 2"]


def test_a_gzipped_archive_is_read() -> None:
    """A ``.eval.gz`` is an archive like any other."""
    source = Source.from_bytes(gzip.compress(zip_of(entries(2))), "a.eval.gz")

    assert inspect_log.detect(source.head) >= 0.9
    assert len(read(source)[0]) == 2


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


@pytest.mark.parametrize("pack", [zip_of, zstd_zip_of, streamed_zip_of])
def test_a_cut_archive_gives_its_whole_samples(pack: Any) -> None:
    """Without its directory, every sample that is whole is read; the one in which it breaks off is named."""
    body = pack(entries(4))
    cut = body[: body.index(b"samples/3_epoch_1.json") + 60]

    runs, bad = read(Source.from_bytes(cut, "killed.eval"))

    assert [run.source_id for run in runs] == [f"run1/task1/{n}/1" for n in range(3)]
    assert [line.reason.partition(":")[0].partition(" (")[0] for line in bad] == [
        "the zip file is cut off or damaged",
        "samples/3_epoch_1.json",
    ]
    assert "cut off" in bad[1].reason


def test_an_archive_cut_before_anything_is_one_error() -> None:
    """Where nothing can be read, one error names the file."""
    source = Source.from_bytes(zip_of(entries(1))[:25], "tiny.eval")

    with pytest.raises(IngestError, match=r"tiny\.eval cannot be read: the zip file is cut off or damaged"):
        list(inspect_log.read(source))


def test_a_damaged_sample_costs_only_itself() -> None:
    """Flipped bytes in one member are reported by its name; the others are kept."""
    body = bytearray(zip_of(entries(3)))
    where = body.index(b"samples/1_epoch_1.json") + 60
    body[where : where + 8] = b"\xff" * 8

    runs, bad = read(Source.from_bytes(bytes(body), "a.eval"))

    assert len(runs) == 2
    (line,) = bad
    assert line.reason.startswith("samples/1_epoch_1.json: its data is damaged")


def test_an_unknown_compression_is_named() -> None:
    """A method that cannot be read here is reported for each member that has it."""
    body = packed_zip_of(entries(2), {"samples/0_epoch_1.json": 97})

    runs, bad = read(Source.from_bytes(body, "a.eval"))

    assert [line.reason for line in bad] == [
        "samples/0_epoch_1.json: it is compressed by method 97, which cannot be read here"
    ]
    assert len(runs) == 1


def test_a_sample_that_is_not_json_costs_only_itself() -> None:
    """A member that breaks off in its JSON is reported; so is one that is no object."""
    files = entries(3)
    files["samples/0_epoch_1.json"] = files["samples/0_epoch_1.json"][:-5]
    files["samples/1_epoch_1.json"] = b"[]"

    runs, bad = read(Source.from_bytes(zip_of(files), "a.eval"))

    assert len(runs) == 1
    assert [line.reason.split(":")[1].strip() for line in bad] == ["cut off", "expected an object"]


def test_an_unfinished_log_is_read_from_its_journal() -> None:
    """A log that never got its header is read with what was written at the start."""
    files = entries(2)
    del files["header.json"]

    runs, bad = read(Source.from_bytes(zip_of(files), "a.eval"))

    assert (len(runs), bad) == (2, [])
    assert runs[0].model == "acme/m"


def test_chunked_samples_are_named_as_unread() -> None:
    """Samples in the chunked layout of log version 3 are reported, not passed over."""
    files = {**entries(1), "samples/9_epoch_1/sample.json": b"{}"}

    runs, bad = read(Source.from_bytes(zip_of(files), "a.eval"))

    assert len(runs) == 1
    assert [line.reason for line in bad] == [
        "sample 9_epoch_1: stored in chunks (log version 3), which cannot be read yet"
    ]


def test_other_zips_and_json_are_not_taken_for_logs() -> None:
    """Only an archive with Inspect's entries, or an object with its header, is a log."""
    assert inspect_log.detect(Source.from_bytes(zip_of({"a.txt": b"x"}), "a.zip").head) == 0
    assert inspect_log.detect(Source.from_bytes(b'{"eval": {"x": 1}}', "a.json").head) == 0
    assert inspect_log.detect(json_source().head) >= 0.9
