"""Inspect logs: what samples, events, scores and times become."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from inspect_logs import at, begin, end, event, init, json_source, last_state, model, notes, only_run, read, sample

from workbench.data.ingest.formats import inspect_log
from workbench.data.ingest.formats.inspect_events import usage_of
from workbench.data.ingest.normal import Usage
from workbench.data.ingest.reading.source import Source

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


def test_the_sums_of_an_evaluation_are_kept_and_reported_for_its_only_sample() -> None:
    """Of one sample they are the reported total, beside the tokens of its events; of several they are only kept."""
    spent = {"input_tokens": 9, "output_tokens": 1, "total_tokens": 10, "total_cost": 0.5}
    stats = {"model_usage": {"a": spent}}

    of_one = only_run(json_source(sample([init(), model("yes")]), stats=stats, results={"total_samples": 1}))
    silent = only_run(json_source(sample([]), stats=stats, results={"total_samples": 1}))
    of_two = only_run(json_source(sample([]), stats=stats, results={"total_samples": 2}))

    assert (of_one.reported_usage, of_one.reported_cost_usd) == (Usage(9, output_tokens=1), 0.5)
    assert of_one.usage != of_one.reported_usage
    assert (silent.usage, silent.cost_usd) == (Usage(9, output_tokens=1), 0.5)
    assert (of_two.usage, of_two.reported_usage) == (None, None)
    assert of_two.metadata["eval_stats"] == stats


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
