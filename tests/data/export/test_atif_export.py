"""Any run as an ATIF trajectory: valid by the format's models, nothing said otherwise than it was, and read back."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from atif import Trajectory

import workbench
from workbench.data.export import atif
from workbench.data.store.engine import Store
from workbench.errors import ConfigurationError, NotFoundError, UnknownFormatError

_RUNS = """
SELECT id::text, token_usage::text AS u, CASE WHEN cost_source = 'source' THEN cost::float8 END AS c
FROM workbench.agent_executions
"""
FOLDERS = (
    "atif", "claude-code", "codex", "gemini-cli", "inspect", "langfuse", "openhands", "openinference", "otlp", "pi",
    "swe-agent", "who-and-when",
)  # fmt: skip


def differences(a: Any, b: Any, path: str = "") -> Iterator[str]:
    """Where two JSON values differ, as paths."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in a.keys() | b.keys():
            yield from differences(a.get(key), b.get(key), f"{path}/{key}")
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for n, (x, y) in enumerate(zip(a, b, strict=True)):
            yield from differences(x, y, f"{path}/{n}")
    elif a != b:
        yield path


def document(store: Store, run: str, **options: Any) -> dict[str, Any]:
    """The run as a trajectory that the format's own models accept."""
    found = json.loads(atif.export(store, run, **options))
    Trajectory.model_validate(found)
    return found


def write(folder: Path, name: str, *lines: Any) -> Path:
    path = folder / name
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return path


def ingested(bench: workbench.Workbench, path: Path, **options: Any) -> list[str]:
    """The ids of the runs of a file, outermost first."""
    bench.ingest(path, progress=False, **options)
    rows = bench.sql(
        "SELECT id::text FROM workbench.agent_executions ORDER BY parent_execution_id NULLS FIRST, created_at"
    )
    return rows["id"].to_list()


def told(bench: workbench.Workbench, run: str) -> dict[str, Counter[str]]:
    """The texts, calls and results of a run, however they lie in its steps; of a call told twice, the first."""
    found: dict[str, Counter[str]] = {"texts": Counter(), "calls": Counter(), "results": Counter()}
    ids: set[str] = set()
    for kind, text in bench.events(run).select("event_type", "data").iter_rows():
        data = json.loads(text)
        for said in (data.get("text"), (data.get("extra") or {}).get("reasoning_content")):
            if said and kind != "tool_result":
                found["texts"][said] += 1
        for call in (data.get("tool"), *(data.get("tool_calls") or ())):
            if call and kind != "tool_result" and call.get("call_id") not in ids:
                found["calls"][json.dumps([call.get("name"), call.get("arguments")], sort_keys=True)] += 1
                ids |= {call["call_id"]} if call.get("call_id") else set()
            if call and "result" in call:
                found["results"][json.dumps([call.get("call_id"), call["result"]], sort_keys=True)] += 1
    return found


def session(*lines: tuple[str, Any], **usage: int) -> list[dict[str, Any]]:
    """A Claude Code session: one line per author and content."""
    return [
        {
            "type": author,
            "uuid": f"00000000-0000-4000-8000-{n:012d}",
            "parentUuid": f"00000000-0000-4000-8000-{n - 1:012d}" if n else None,
            "isSidechain": False,
            "sessionId": "5e551000-0000-4000-8000-000000000001",
            "version": "2.0.1",
            "timestamp": f"2025-05-01T12:00:{n:02d}.500Z",
            "message": {"role": author, "content": content}
            | ({"id": f"msg_{n}", "model": "claude-x", "usage": usage} if author == "assistant" else {}),
        }
        for n, (author, content) in enumerate(lines)
    ]


ASKED = {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}}
ANSWERED = {"type": "tool_result", "tool_use_id": "t1", "content": "a.txt", "is_error": False}


def test_a_result_stands_with_its_call(bench: workbench.Workbench, tmp_path: Path) -> None:
    """However much later a tool answers, its result is in the observation of the step that asked, with its time."""
    lines = session(
        ("user", "List."), ("assistant", [ASKED]), ("user", "Hurry."), ("user", [ANSWERED]), ("assistant", "One file."),
        input_tokens=3, cache_read_input_tokens=50, cache_creation_input_tokens=7, output_tokens=5,
    )  # fmt: skip

    found = document(bench.store, ingested(bench, write(tmp_path, "s.jsonl", *lines))[0])

    assert [(step["step_id"], step["source"], step["message"]) for step in found["steps"]] == [
        (1, "user", "List."), (2, "agent", ""), (3, "user", "Hurry."), (4, "agent", "One file."),
    ]  # fmt: skip
    acted = found["steps"][1]
    assert acted["tool_calls"] == [{"tool_call_id": "t1", "function_name": "Bash", "arguments": {"command": "ls"}}]
    (result,) = acted["observation"]["results"]
    assert (result["source_call_id"], result["content"]) == ("t1", "a.txt")
    assert result["extra"]["workbench"]["timestamp"] == "2025-05-01T12:00:03.500Z"
    assert (acted["timestamp"], acted["model_name"]) == ("2025-05-01T12:00:01.500Z", "claude-x")
    assert found["agent"] == {"name": "claude-code", "version": "2.0.1", "model_name": "claude-x"}
    assert found["extra"]["workbench"]["fidelity"] == {"results: told with the call they answer, not as steps": 1}


def test_prompt_tokens_hold_the_cached_ones(bench: workbench.Workbench, tmp_path: Path) -> None:
    """Prompt tokens are all input, cached ones those read from a cache; totals are the sums, and come back disjoint."""
    usage = {
        "input_tokens": 3, "cache_read_input_tokens": 50, "cache_creation_input_tokens": 7, "output_tokens": 5,
        "cache_creation": {"ephemeral_1h_input_tokens": 2, "ephemeral_5m_input_tokens": 5},
    }  # fmt: skip
    lines = session(("user", "Hi."), ("assistant", "Hello."), ("assistant", "There."), **usage)  # pyright: ignore[reportArgumentType]
    (run,) = ingested(bench, write(tmp_path, "s.jsonl", *lines))

    found = document(bench.store, run)
    bench.export(run, tmp_path / "t.json", format="atif")
    bench.ingest(tmp_path / "t.json", progress=False)

    assert found["steps"][1]["metrics"] == {
        "prompt_tokens": 60, "completion_tokens": 5, "cached_tokens": 50,
        "extra": {"cache_creation_input_tokens": 7, "cache_creation": {"ephemeral_1h_input_tokens": 2}},
    }  # fmt: skip
    assert found["final_metrics"] == {
        "total_prompt_tokens": 120, "total_completion_tokens": 10, "total_cached_tokens": 100, "total_steps": 3,
        "extra": {"total_cache_creation_input_tokens": 14},
    }  # fmt: skip
    there, back = bench.sql("SELECT token_usage::text AS u FROM workbench.agent_executions")["u"]
    assert json.loads(there) == json.loads(back) == {
        "input_tokens": 6, "cache_read_tokens": 100, "cache_write_tokens": 14, "cache_write_1h_tokens": 4,
        "output_tokens": 10,
    }  # fmt: skip


def test_a_sub_agent_lies_inside_and_is_named_by_its_step(bench: workbench.Workbench, tmp_path: Path) -> None:
    """A child run is embedded under an id of its own, which the result of the call that started it names."""
    step = {"step_id": 1, "source": "agent", "message": "Do.", "tool_calls": [
        {"tool_call_id": "c1", "function_name": "delegate", "arguments": {}}
    ], "observation": {"results": [{"source_call_id": "c1", "content": "Done.",
        "subagent_trajectory_ref": [{"trajectory_id": "child"}]}]}}  # fmt: skip
    child = {"schema_version": "ATIF-v1.7", "trajectory_id": "child", "agent": {"name": "helper", "version": "1"},
             "steps": [{"step_id": 1, "source": "agent", "message": "Yes."}]}  # fmt: skip
    given = {"schema_version": "ATIF-v1.7", "session_id": "s1", "agent": {"name": "acme", "version": "1"},
             "steps": [step], "subagent_trajectories": [child]}  # fmt: skip

    found = document(bench.store, ingested(bench, write(tmp_path, "t.json", given))[0])

    (inside,) = found["subagent_trajectories"]
    assert (inside["agent"]["name"], [s["message"] for s in inside["steps"]]) == ("helper", ["Yes."])
    (result,) = found["steps"][0]["observation"]["results"]
    assert result["subagent_trajectory_ref"] == [{"trajectory_id": inside["trajectory_id"]}]
    assert list(differences(given, found)) == ["/subagent_trajectories/0/session_id"]  # inherited, now said


@pytest.mark.parametrize("version", [5, 7, 8])
def test_a_trajectory_comes_back_as_it_was(version: int, bench: workbench.Workbench, tmp_path: Path) -> None:
    """Every field of every version, parts of image and audio among them, is the same after reading and writing."""
    parts = [
        {"type": "text", "text": "See:"},
        {"type": "image", "source": {"media_type": "image/png", "path": "images/1.png"}},
        {"type": "audio", "source": {"media_type": "audio/wav", "path": "a.wav", "duration_sec": 1.5}},
    ]
    acted = {
        "step_id": 3, "timestamp": "2025-10-11T10:30:02Z", "source": "agent", "model_name": "m2", "message": "Look.",
        "reasoning_effort": 0.5, "reasoning_content": "Hm.", "llm_call_count": 2, "extra": {"mine": 1},
        "tool_calls": [
            {"tool_call_id": "c1", "function_name": "a", "arguments": {"x": [1, None]}, "extra": {"timeout": 3}},
            {"tool_call_id": "c2", "function_name": "b", "arguments": {}},
        ],
        "observation": {"results": [
            {"source_call_id": "c1", "content": parts[:2], "extra": {"score": 0.5}},
            {"content": "A screen.", "subagent_trajectory_ref": [{"trajectory_path": "s.json", "session_id": "s9"}]},
        ]},
        "metrics": {"prompt_tokens": 100, "completion_tokens": 9, "cached_tokens": 60, "cost_usd": 0.5,
                    "prompt_token_ids": [1, 2], "completion_token_ids": [3], "logprobs": [-0.25],
                    "extra": {"cache_creation_input_tokens": 10, "reasoning_output_tokens": 4}},
    }  # fmt: skip
    free = {"step_id": 4, "source": "agent", "message": "", "metrics": {"prompt_tokens": 5, "cached_tokens": 9,
            "completion_tokens": 1, "cost_usd": 0.0}}  # fmt: skip
    given = {
        "schema_version": f"ATIF-v1.{version}", "session_id": "s1", "trajectory_id": "t1",
        "agent": {"name": "acme", "version": "2", "model_name": "m2", "extra": {"parser": "json"},
                  "tool_definitions": [{"type": "function", "function": {"name": "a"}}]},
        "steps": [
            {"step_id": 1, "source": "system", "message": "Be kind.", "observation": {"results": [{"content": "up"}]}},
            {"step_id": 2, "source": "user", "message": parts if version == 8 else "Go."},
            acted, free | {"model_name": "m2"},
            {"step_id": 5, "source": "agent", "message": "Old.", "model_name": "m2", "is_copied_context": True,
             "metrics": {"prompt_tokens": 7}},
        ],
        "notes": "n", "continued_trajectory_ref": "next.json", "extra": {"k": {"v": []}},
        "final_metrics": {"total_prompt_tokens": 105, "total_cost_usd": 0.5, "total_steps": 5, "extra": {"n": 1}},
    }  # fmt: skip

    found = document(bench.store, ingested(bench, write(tmp_path, "t.json", given))[0])

    assert set(differences(given, found)) == ({"/schema_version"} if version < 7 else set())


def test_what_the_format_has_no_field_for_is_in_extra(bench: workbench.Workbench, tmp_path: Path) -> None:
    """Spans, arguments that are no object and results that are no text are wrapped, counted, and unwrapped again."""
    items = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Patch."}]},
        {"type": "custom_tool_call", "call_id": "c1", "name": "apply_patch", "input": "*** Begin Patch"},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "ok"}]},
        {"type": "function_call_output", "call_id": "lost", "output": "whose?"},
    ]
    about = {"id": "019a0000-0000-7000-8000-000000000001", "cwd": "/w", "cli_version": "0.50.0", "originator": "cli"}
    meta = {"type": "session_meta", "payload": {**about, "timestamp": "2025-10-01T00:00:00Z"}}
    lines = [meta, *({"type": "response_item", "payload": item} for item in items)]
    path = write(tmp_path, "rollout.jsonl", *({"timestamp": "2025-10-01T00:00:00Z", **line} for line in lines))
    (run,) = ingested(bench, path)

    found = document(bench.store, run)
    bench.export(run, tmp_path / "t.json", format="atif")
    again = ingested(bench, tmp_path / "t.json")[1]

    (acted,) = [step for step in found["steps"] if "tool_calls" in step]
    assert acted["tool_calls"][0]["arguments"] == {"input": "*** Begin Patch"}
    assert json.loads(acted["observation"]["results"][0]["content"]) == [{"type": "input_text", "text": "ok"}]
    fidelity = found["extra"]["workbench"]["fidelity"]
    assert fidelity["arguments that are no object: wrapped into one"] == 1
    assert fidelity["results that are no text: written as JSON"] == 1
    assert fidelity["results of calls that are not in the run: told without their call"] == 1
    assert told(bench, again) == told(bench, run)


@pytest.mark.parametrize("folder", FOLDERS)
def test_real_runs_say_the_same_after_a_round_trip(
    folder: str, bench: workbench.Workbench, tmp_path: Path, shared_data: Path
) -> None:
    """Every run of every shared format is valid ATIF, and read back has the texts, calls, results, tokens and cost."""
    bench.ingest(shared_data / folder, progress=False)
    before = bench.sql(_RUNS)

    for run, usage, cost in before.iter_rows():
        found = document(bench.store, run)
        assert found["final_metrics"].get("total_steps", len(found["steps"])) == len(found["steps"])
        if folder != "atif":
            path = tmp_path / f"{run}.json"
            bench.export(run, path, format="atif")
            bench.ingest(path, format="atif", progress=False)
            own = f"{found['session_id']}/{found['trajectory_id']}"
            ((again, u, c),) = bench.sql(f"{_RUNS} WHERE source_id = $1", [own]).iter_rows()
            assert told(bench, again) == told(bench, run)
            assert (u and json.loads(u)) == (usage and json.loads(usage))
            assert c == pytest.approx(cost)

    assert len(before) > 0


@pytest.mark.parametrize("name", ["hello-world-timeout", "hello-world-invalid-json", "hello-world"])
def test_real_trajectories_come_back_as_they_were(name: str, bench: workbench.Workbench, shared_data: Path) -> None:
    """The only difference between a real trajectory of v1.5 and what is written of it is the version."""
    (path,) = (shared_data / "atif").glob(f"*.{name}.trajectory.json")

    found = document(bench.store, ingested(bench, path)[0])

    assert list(differences(json.loads(path.read_bytes()), found)) == ["/schema_version"]


def test_a_run_of_many_pages_is_written_whole(
    bench: workbench.Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls and results that lie pages apart are still brought together, and no step is skipped."""
    monkeypatch.setattr(atif, "_PAGE", 3)
    calls = [("assistant", [{**ASKED, "id": f"t{n}"}]) for n in range(20)]
    answers = [("user", [{**ANSWERED, "tool_use_id": f"t{n}", "content": str(n)}]) for n in range(20)]
    lines = session(("user", "Go."), *calls, *answers, ("assistant", "Done."))

    found = document(bench.store, ingested(bench, write(tmp_path, "s.jsonl", *lines))[0])

    assert [s["step_id"] for s in found["steps"]] == list(range(1, 23))
    assert [s["observation"]["results"][0]["content"] for s in found["steps"][1:-1]] == [str(n) for n in range(20)]


def test_a_run_without_steps_is_valid(bench: workbench.Workbench) -> None:
    """A trajectory has to have a step: one is made up, and said to be."""
    with bench.record(agent_type="planner") as recording:
        run = str(recording.id)

    found = document(bench.store, run)

    assert found["steps"][0]["extra"] == {"workbench": {"is_made_up": True}}


def test_what_may_be_shown_is_asked_of_every_part(bench: workbench.Workbench, tmp_path: Path) -> None:
    """A redaction sees every value before it is written."""
    lines = session(("user", "The key is s3cret."), ("assistant", "I know s3cret."))
    (run,) = ingested(bench, write(tmp_path, "s.jsonl", *lines))

    def redact(value: Any) -> Any:
        return json.loads(json.dumps(value).replace("s3cret", "***"))

    data = atif.export(bench.store, run, redact=redact)

    assert b"s3cret" not in data
    assert data.count(b"***") >= 2


def test_what_cannot_be_exported_is_said(bench: workbench.Workbench, tmp_path: Path) -> None:
    """An unknown version, format or run is an error that says what there is; a file that was there stays."""
    (run,) = ingested(bench, write(tmp_path, "s.jsonl", *session(("user", "Hi."))))
    kept = tmp_path / "kept.json"
    kept.write_text("mine")

    with pytest.raises(ConfigurationError, match=r"version 1\.7 or 1\.8, not '1\.2'"):
        bench.export(run, kept, format="atif", version="1.2")
    with pytest.raises(UnknownFormatError, match=r"'pdf'\. A run can be exported as: .*atif"):
        bench.export(run, format="pdf")
    with pytest.raises(NotFoundError, match="No execution"):
        atif.export(bench.store, "00000000-0000-4000-8000-000000000000")
    assert kept.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.json", "s.jsonl"]
