"""Codex rollouts larger than memory: read in two passes, finished exactly as those that are held."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from large_files import check_read_again, peak_of
from mutations import mutations

from workbench.data.ingest.formats import codex
from workbench.data.ingest.normal import Run
from workbench.data.ingest.reading.source import Source
from workbench.data.store.engine import Store

START = datetime(2026, 1, 2, 10, tzinfo=UTC)
SESSION = "5e551000-0000-4000-8000-000000000002"
TEXTS = ("a", "b", "hello", "", "<environment_context>x", "Fix it")
CALLS = ("c1", "c2", "c3", "c4", None, "")


def lines_of(seed: int) -> list[dict[str, Any]]:
    """Items and events in any order, few texts and few calls: echoes, ends and answers before and behind each other."""
    dice = random.Random(seed)
    meta = {"id": SESSION, "cwd": "/repo", **dice.choice(({}, {}, {"forked_from_id": "f"}))}
    said = [("session_meta", meta), *(_line(dice, k) for k in range(dice.randint(5, 60)))]
    lines, at = [], START
    for kind, payload in said:
        at += timedelta(seconds=dice.choice((0, 1, 1, 20, -5)))
        lines.append(
            {"timestamp": dice.choice((*[at.isoformat()] * 20, "bad", None)), "type": kind, "payload": payload}
        )
        lines += [lines[-1]] * (dice.random() < 0.05)
    return lines


def _line(dice: random.Random, k: int) -> tuple[str, Any]:
    text, call = dice.choice(TEXTS), dice.choice(CALLS)
    named = {} if call is None else {"call_id": call}
    parts = [{"type": dice.choice(("input_text", "weird")), "text": text}, {"type": "input_text", "text": "a"}]
    failed = '{"output": "o", "metadata": {"exit_code": 1, "duration_seconds": 0.5}}'
    end = {"exit_code": dice.choice((0, 1, None)), "aggregated_output": f"out {k}", "command": ["ls"], **named}
    item, event = "response_item", "event_msg"
    return dice.choice(
        (
            (item, {"type": "message", "role": dice.choice(("user", "assistant")), "content": parts[: k % 3]}),
            (item, {"type": "message", "role": "assistant", "content": parts[1:]}),
            (item, {"type": "reasoning", "summary": [{"type": "summary_text", "text": text}]}),
            (item, {"type": "function_call", "name": f"tool {k}", "arguments": "{}", **named}),
            (item, {"type": "function_call", "name": f"tool {k}", "arguments": "{}", **named}),
            (item, {"type": "function_call_output", "output": dice.choice(("ok", failed)), **named}),
            (item, {"type": "function_call_output", "output": "ok", **named}),
            (item, {"type": "image_generation_call", "result": dice.choice(("data", None)), **named}),
            (event, {"type": "user_message", "message": text}),
            (event, {"type": "agent_message", "message": text}),
            (event, {"type": "agent_reasoning", "text": text}),
            (event, {"type": "exec_command_end", "duration": {"secs": k, "nanos": 5}, **end}),
            (event, {"type": "patch_apply_end", "success": False, "stderr": f"no {k}", **named}),
            (event, {"type": "item_completed", "item": {"id": call or 7, "status": "failed", "error": f"e {k}"}}),
            (event, {"type": "task_started", **named}),
            (event, {"type": "task_complete", "last_agent_message": dice.choice((None, "x"))}),
            (event, {"type": "turn_aborted", "reason": dice.choice(("interrupted", None))}),
            (event, {"type": "error", "message": text, "codex_error_info": "usage_limit"}),
            (event, {"type": "token_count", "info": {"total_token_usage": {"input_tokens": k, "output_tokens": 1}}}),
            (event, {"type": "collab_agent_spawn_end", "new_thread_id": dice.choice(("t1", "t2")), **named}),
            (
                event,
                {"type": "thread_name_updated", "thread_id": dice.choice((SESSION, "x", None)), "thread_name": text},
            ),
            ("turn_context", {"model": dice.choice(("m1", "m2"))}),
            ("compacted", {"message": "so far"}),
            ("session_meta", {"id": "other"}),
        )
    )


def written(lines: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def test_lines_read_again_are_the_lines_held() -> None:
    """A rollout that is read twice gives the run, the marks and the notes of one that is held, whatever its order."""
    runs = list(check_read_again(codex, ((written(lines_of(seed)), "x.jsonl") for seed in range(150))))

    steps = [step for run in runs for step in run.steps]
    assert len(runs) == 150
    assert {step.mark for step in steps} == {None, "unfinished", "orphaned"}
    assert {run.status for run in runs} == {"running", "completed", "failed", "cancelled"}
    assert sum(step.severity == "debug" and step.event_type == "log" for step in steps) > 100
    assert sum(step.duration_ms is not None for step in steps) > 100


def test_spoilt_lines_read_again_are_the_lines_held() -> None:
    """The same of rollouts that hold anything: wrong types, lone surrogates, numbers of any size, cut lines."""
    spoilt = mutations(written(lines_of(3)), n=150)

    assert len(list(check_read_again(codex, ((data, "x.jsonl") for data in spoilt)))) > 130


def test_real_rollouts_read_again_are_the_rollouts_held(shared_data: Path) -> None:
    """The same of every real rollout."""
    paths = sorted((shared_data / "codex").rglob("*.jsonl"))

    runs = list(check_read_again(codex, ((path.read_bytes(), path.name) for path in paths)))
    assert len(runs) == len(paths) >= 8


def test_what_is_not_kept_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The prompt and the answer are found where many lines that might be them stand before or behind."""
    item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Done."}]}
    asked = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Not typed."}]}
    said = [
        ("session_meta", {"id": SESSION}),
        *[("response_item", asked)] * 30,
        ("event_msg", {"type": "user_message", "message": "Typed."}),
        ("event_msg", {"type": "agent_message", "message": "Shown only."}),
        *[("event_msg", {"type": "agent_message", "message": "Done."})] * 2,
        ("response_item", {**item, "content": [{"type": "weird", "text": "Done."}]}),
        ("response_item", {**item, "content": [{"type": "weird", "text": "Done."}]}),
    ]
    monkeypatch.setattr(codex, "HELD_BYTES", 0)
    [run] = codex.read(Source.from_bytes(written([{"type": kind, "payload": payload} for kind, payload in said])))

    assert isinstance(run, Run)
    assert (run.input, run.output) == ({"prompt": "Typed."}, {"text": "Shown only."})


def test_memory_does_not_grow_with_the_file(store: Store, tmp_path: Path) -> None:
    """A rollout three times as long takes hardly more memory: what is kept of a line does not hold its text."""
    peaks = []
    for n in (4_000, 12_000):
        path = tmp_path / f"{n}.jsonl"
        with path.open("wb") as file:
            session = f"5e551000-0000-4000-8000-{n:012d}"
            file.write(written([{"type": "session_meta", "payload": {"id": session, "cli_version": "1"}}]))
            for k in range(n):
                file.write(written(_turn(k)))
        n_events, peak = peak_of(store, path)
        assert n_events == 4 * n + 1
        peaks.append(peak)

    small, large = peaks
    grown = 8_000 * 6_000 / 1e6
    assert large - small < grown / 2, f"{small} MB, then {large} MB for {grown} MB more"


def _turn(k: int) -> list[dict[str, Any]]:
    """What was said twice, a call and its answer: 6 kB."""
    at = (START + timedelta(seconds=k)).isoformat()
    said = f"{k} " + "word " * 300
    payloads = (
        ("event_msg", {"type": "agent_message", "message": said}),
        ("response_item", {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": said}]}),
        ("response_item", {"type": "function_call", "name": "shell", "call_id": f"c{k}", "arguments": "{}"}),
        ("response_item", {"type": "function_call_output", "call_id": f"c{k}", "output": "word " * 600}),
    )
    return [{"timestamp": at, "type": kind, "payload": payload} for kind, payload in payloads]
