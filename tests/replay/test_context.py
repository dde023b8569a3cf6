"""What the model saw: on small runs whose truth is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workbench import Workbench
from workbench.data.ingest.normal import Run, Step, Usage
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.writing.rows import EVENT_COLUMNS, EXECUTION_COLUMNS, RowMaker
from workbench.data.store.copy import copy_rows
from workbench.data.store.tables import agent_executions, observability_events
from workbench.errors import ConfigurationError, NotFoundError
from workbench.replay.turns import estimated


def stored(bench: Workbench, steps: list[Step]) -> str:
    """Write a run with these steps."""
    run = Run("one", "clerk", steps=steps)
    maker = RowMaker("test", Source("test", content=b""), None)
    with bench.store.raw() as connection:
        copy_rows(connection, agent_executions, EXECUTION_COLUMNS, [maker.execution(run)])
        copy_rows(connection, observability_events, EVENT_COLUMNS, maker.events(run))
    return str(maker.id_of(run))


def said(role: Any, text: str, *usage: int, **more: Any) -> Step:
    """A message; of a model's the uncached, cache-read and cache-written input, and the output."""
    used = Usage(usage[0], usage[1], usage[2], usage[3]) if usage else None
    return Step("message", role=role, text=text, usage=used, **more)


def call(call_id: str, **more: Any) -> Step:
    return Step("tool_call", name="look", role="assistant", tool={"name": "look", "call_id": call_id}, **more)


def result(call_id: str, text: str, **more: Any) -> Step:
    tool = {"name": "look", "call_id": call_id, "result": text}
    return Step("tool_result", name="look", role="tool", tool=tool, **more)


def texts(frame: Any) -> list[tuple[Any, ...]]:
    return frame.select("kind", "text", "change").rows()


def test_reconstructed(bench: Workbench):
    """What was said before an answer is its context; tokens are the source's, the rest is unrecorded."""
    steps = [
        said("user", "u" * 400),
        said("assistant", "a" * 40, 10, 0, 990, 5),
        said("user", "v" * 800),
        said("assistant", "fine", 5, 1_000, 295, 7),
    ]
    run = stored(bench, steps)

    calls = bench.context(run)
    assert calls.select("step_number", "n_messages", "tokens", "unrecorded_tokens", "user_tokens").rows() == [
        (1, 1, 1_000, 1_000 - estimated("u" * 400), estimated("u" * 400)),
        (3, 3, 1_300, 1_000 - estimated("u" * 400), calls["user_tokens"][1]),
    ]
    assert calls.select("added_tokens", "prefix_kept_tokens", "broke_at", "cache_lost_tokens").rows() == [
        (estimated("u" * 400), None, None, None),
        (300, 1_000, None, 0),
    ]
    assert calls["is_reconstructed"].all()
    frame = bench.context(run, 3)
    assert texts(frame)[1:] == [
        ("user", "u" * 400, "kept"),
        ("assistant", "a" * 40, "added"),
        ("user", "v" * 800, "added"),
    ]
    assert frame["step_number"].to_list() == [None, 0, 1, 2]
    assert frame["in_prefix"].to_list() == [True, True, False, False]
    assert sum(frame["tokens"]) == 1_300


def test_a_cache_that_expired(bench: Workbench):
    """Where the prompt grew and the provider read nothing from its cache, what was lost is counted."""
    steps = [said("user", "hi"), said("assistant", "yes", 0, 0, 500, 1), said("user", "go"),
             said("assistant", "ok", 0, 0, 510, 1)]  # fmt: skip
    run = stored(bench, steps)

    last = bench.context(run).row(-1, named=True)
    assert (last["broke_at"], last["prefix_kept_tokens"], last["cache_lost_tokens"]) == (None, 500, 500)


def test_one_answer_of_several_steps(bench: Workbench):
    """Steps that share the id of an answer are one model call; the next answer without a prompt is another."""
    part: Any = {"extra": {"message": {"id": "m1"}}}
    steps = [
        said("user", "go"),
        Step("reasoning", role="assistant", text="hm", **part),
        call("c1", **part),
        call("c2", usage=Usage(100), **part),
        result("c1", "one"),
        result("c2", "two"),
        said("assistant", "done", extra={"message": {"id": "m2"}}),
        said("assistant", "really", extra={"message": {"id": "m3"}}),
    ]
    run = stored(bench, steps)

    calls = bench.context(run)
    assert calls.select("step_number", "last_step", "n_messages").rows() == [(1, 3, 1), (6, 6, 6), (7, 7, 7)]
    assert bench.context(run, 2).equals(bench.context(run, 1))
    assert bench.context(run, 5).equals(bench.context(run, 1))
    assert bench.context(run, 6)["kind"].to_list() == [
        "unrecorded", "user", "reasoning", "assistant", "assistant", "tool result", "tool result"
    ][-6:]  # fmt: skip


def test_reasoning_ends_with_its_turn(bench: Workbench):
    """The next prompt drops the reasoning before it, which is no break of the prefix."""
    steps = [
        said("user", "go"),
        Step("reasoning", role="assistant", text="I think"),
        call("c1"),
        result("c1", "one"),
        said("assistant", "done"),
        said("user", "again"),
        said("assistant", "yes"),
    ]
    run = stored(bench, steps)

    calls = bench.context(run)
    assert calls["reasoning_tokens"].to_list() == [0, estimated("I think"), 0]
    assert calls["n_dropped"].to_list() == [0, 0, 1]
    assert calls["broke_at"].to_list() == [None, None, None]
    assert texts(bench.context(run, 6)) == [
        ("user", "go", "kept"),
        ("assistant", '{"arguments":null,"name":"look"}', "kept"),
        ("tool result", "one", "kept"),
        ("assistant", "done", "added"),
        ("user", "again", "added"),
        ("reasoning", "I think", "dropped"),
    ]


def test_recorded_input(bench: Workbench):
    """A recorded input is taken as it is: what changed, what was dropped, where the prefix broke."""

    def asked(*given: tuple[str, str], tokens: int) -> Step:
        messages = [{"role": role, "content": text} for role, text in given]
        return Step("llm_call", role="assistant", text="ok", extra={"input_messages": messages}, usage=Usage(tokens))

    rules, now = ("system", "Rules"), ("system", "It is 10:00")
    steps = [
        asked(rules, now, ("user", "hello"), tokens=90),
        asked(rules, ("system", "It is 10:01"), ("user", "hello"), ("assistant", "ok"), tokens=100),
        asked(rules, ("system", "It is 10:01"), ("assistant", "ok"), tokens=60),
    ]
    run = stored(bench, steps)

    calls = bench.context(run)
    assert calls["is_reconstructed"].to_list() == [False] * 3
    assert calls["broke_at"].to_list() == [None, 1, 2]
    assert calls.select("tokens", "n_added", "n_dropped").rows() == [(90, 3, 0), (100, 2, 1), (60, 0, 1)]
    assert texts(bench.context(run, 1)) == [
        ("system", "Rules", "kept"),
        ("system", "It is 10:01", "changed"),
        ("user", "hello", "kept"),
        ("assistant", "ok", "added"),
    ]
    frame = bench.context(run, 2)
    assert texts(frame)[-1] == ("user", "hello", "dropped")
    assert frame["position"].to_list() == [0, 1, 2, None]
    assert frame["step_number"].to_list() == [0, 1, 1, 0]
    assert abs(frame["tokens"].head(3).sum() - 60) <= 2


def test_lanes_and_branches_are_not_mixed(bench: Workbench):
    """A sub-agent has a context of its own, and an abandoned branch has none."""
    steps = [
        said("user", "go"),
        call("c1"),
        said("user", "sub task", agent="helper"),
        said("assistant", "sub answer", agent="helper"),
        said("user", "wrong way", extra={"is_off_branch": True}),
        said("assistant", "wrong answer", extra={"is_off_branch": True}),
        result("c1", "from the helper"),
        said("assistant", "done"),
    ]
    run = stored(bench, steps)

    calls = bench.context(run)
    assert calls.select("step_number", "agent", "n_messages").rows() == [
        (1, "clerk", 1), (3, "helper", 1), (7, "clerk", 3)
    ]  # fmt: skip
    assert bench.context(run, 7)["text"].to_list() == ["go", '{"arguments":null,"name":"look"}', "from the helper"]
    assert bench.context(run, 3)["text"].to_list() == ["sub task"]
    assert bench.context(run, 7, agent="helper")["text"].to_list() == ["sub task"]
    assert bench.context(run, agent="helper")["step_number"].to_list() == [3]
    with pytest.raises(NotFoundError, match="abandoned branch"):
        bench.context(run, 5)
    with pytest.raises(NotFoundError, match="There are: clerk, helper"):
        bench.context(run, agent="nobody")


def test_compaction_of_claude_code(bench: Workbench, tmp_path: Path):
    """After ``/compact`` the model sees the summary alone; what it no longer sees is named."""
    base = {"sessionId": "s", "isSidechain": False, "cwd": "/", "version": "2.0.0", "userType": "external"}

    def line(n: int, kind: str, **more: Any) -> str:
        return json.dumps({**base, "type": kind, "uuid": f"l{n}", "parentUuid": f"l{n - 1}" if n else None,
                           "timestamp": f"2026-01-01T00:00:{n:02}Z", **more})  # fmt: skip

    def answer(n: int, text: str, read: int, new: int) -> str:
        usage = {"input_tokens": new, "output_tokens": 5, "cache_read_input_tokens": read}
        return line(n, "assistant", message={"id": f"m{n}", "type": "message", "role": "assistant", "model": "claude-x",
                                             "content": [{"type": "text", "text": text}], "usage": usage})  # fmt: skip

    lines = [
        line(0, "user", message={"role": "user", "content": "first prompt " * 40}),
        answer(1, "first answer", 0, 900),
        line(2, "system", subtype="compact_boundary", content="Conversation compacted", logicalParentUuid="l1"),
        line(3, "user", isCompactSummary=True, message={"role": "user", "content": "So far: a prompt."}),
        line(4, "user", message={"role": "user", "content": "go on"}),
        answer(5, "second answer", 0, 600),
    ]
    file = tmp_path / "s.jsonl"
    file.write_text("\n".join(lines) + "\n")
    bench.ingest(file, progress=False)
    run = bench.executions()["id"][0]

    last = bench.context(run).row(-1, named=True)
    assert (last["compacted_at"], last["broke_at"], last["n_messages"], last["n_dropped"]) == (2, 0, 2, 1)
    assert last["summary_tokens"] > 0
    assert texts(bench.context(run, 5))[1:] == [
        ("summary", "So far: a prompt.", "added"),
        ("user", "go on", "added"),
        ("user", "first prompt " * 40, "compacted"),
    ]


def test_compaction_of_codex_and_pi(bench: Workbench):
    """Codex says what the conversation was replaced by, pi how it was summed up."""
    history = [{"role": "user", "type": "message", "content": [{"type": "input_text", "text": "kept"}]}]
    steps = [
        said("system", "rules"),
        said("user", "one"),
        said("assistant", "two"),
        Step("state", name="compacted", extra={"replacement_history": history}),
        said("user", "three"),
        said("assistant", "four"),
        Step("state", name="compaction", text="summed up", extra={"firstKeptEntryId": "e5"}),
        said("user", "five"),
        said("assistant", "six"),
    ]
    steps[5].span_id = "e5"
    run = stored(bench, steps)

    now = bench.context(run, 5).filter(bench.context(run, 5)["position"].is_not_null())
    assert texts(now) == [("system", "rules", "kept"), ("user", "kept", "added"), ("user", "three", "added")]
    later = bench.context(run, 8)
    assert later.filter(later["position"].is_not_null())["text"].to_list() == ["rules", "summed up", "four", "five"]
    assert bench.context(run)["broke_at"].to_list() == [None, 1, 1]


def test_codex_counts_behind_the_answer(bench: Workbench):
    """A count of tokens that follows an answer is that answer's, and no call of its own."""
    steps = [
        said("user", "go"),
        call("c1"),
        Step("llm_call", name="token_count", usage=Usage(700, 300)),
        result("c1", "one"),
        said("assistant", "done"),
        Step("llm_call", name="token_count", usage=Usage(100, 1_000)),
    ]
    run = stored(bench, steps)

    calls = bench.context(run)
    assert calls.select("step_number", "last_step", "tokens", "cache_read_tokens").rows() == [
        (1, 2, 1_000, 300), (4, 5, 1_100, 1_000)
    ]  # fmt: skip


def test_prompts_and_reasoning_in_turn(bench: Workbench):
    """Over many turns the context of a call is what its prompts, answers and this turn's reasoning say."""
    steps: list[Step] = []
    seen: list[str] = []
    expected: dict[int, list[str]] = {}
    for n in range(12):
        seen = [text for text in seen if not text.startswith("r")] + [f"u{n}"]
        steps.append(said("user", f"u{n}"))
        expected[len(steps)] = list(seen)
        if n % 3:
            steps += [Step("reasoning", role="assistant", text=f"r{n}"), call("c"), result("c", f"t{n}")]
            seen += [f"r{n}", '{"arguments":null,"name":"look"}', f"t{n}"]
            expected[len(steps)] = list(seen)
        steps.append(said("assistant", f"a{n}"))
        seen.append(f"a{n}")
    run = stored(bench, steps)

    calls = bench.context(run)
    assert calls["step_number"].to_list() == list(expected)
    for at, texts_then in expected.items():
        frame = bench.context(run, at)
        assert frame.filter(frame["position"].is_not_null())["text"].to_list() == texts_then
    assert calls["broke_at"].null_count() == len(calls)
    assert calls["n_dropped"].sum() == 7  # no prompt follows the last turn


def test_forks(bench: Workbench):
    """A fork's context holds what was said before it, in the run that it left."""
    run = stored(bench, [said("user", "go"), said("assistant", "left"), said("user", "no, right")])
    branch = bench.fork(run, 1)
    steps = [said("user", "never mind"), said("assistant", "ok")]
    maker = RowMaker("test", Source("test", content=b""), None)
    with bench.store.raw() as connection:
        rows = [list(row) for row in maker.events(Run("one", "clerk", steps=steps), first=2)]
        for n, row in enumerate(rows):
            row[0], row[1] = f"00000000-0000-4000-8000-00000000000{n}", str(branch)
        copy_rows(connection, observability_events, EVENT_COLUMNS, [tuple(row) for row in rows])

    assert bench.context(branch, 3)["text"].to_list() == ["go", "left", "never mind"]


def test_what_is_shown_is_cut(bench: Workbench):
    """Texts that differ in their last letter differ, though what is shown of them does not."""
    long = "<script>" + "x" * 50_000
    steps = []
    for letter in "ab":
        given = [{"role": "user", "content": long + letter}]
        steps.append(Step("llm_call", role="assistant", text="ok", extra={"input_messages": given}))
    run = stored(bench, steps)

    frame = bench.context(run, 1)
    assert frame["change"].to_list() == ["changed"]
    assert frame.select(frame["text"].str.len_chars(), "n_chars").rows() == [(2_000, 50_009)]
    assert bench.context(run)["broke_at"].to_list() == [None, 0]


def test_errors(bench: Workbench):
    """No model call, no such step, no such number."""
    run = stored(bench, [said("user", "a"), said("user", "b"), said("assistant", "c")])

    with pytest.raises(NotFoundError, match=r"no model call at or before step 1; the first is at step 2\."):
        bench.context(run, 1)
    with pytest.raises(NotFoundError, match="has no step 9; its steps are 0 to 2"):
        bench.context(run, 9)
    with pytest.raises(NotFoundError, match="has no step 9"):
        bench.context(run, 9, agent="clerk")
    with pytest.raises(ConfigurationError, match="chars=0 must be"):
        bench.context(run, chars=0)
    with bench.record(agent_type="x") as other:
        other.event("log", text="nothing")
    assert bench.context(other.id).is_empty()
    with pytest.raises(NotFoundError, match="it has none at all"):
        bench.context(other.id, 0)


def test_real_totals(bench: Workbench, shared_data: Path):
    """On a real session the tokens of the classes make the source's own total, call by call."""
    bench.ingest(shared_data / "pi", progress=False)
    run = bench.executions()["id"][0]
    calls = bench.context(run)
    classes = [name for name in calls.columns if name.endswith("_tokens")][:8]

    known = calls.filter(calls["tokens_from"] == "source")
    assert known.height > 400
    assert all(abs(sum(row[:-1]) - row[-1]) <= len(classes) for row in known.select(*classes, "tokens").rows())
    rows = known.select("prefix_kept_tokens", "cache_read_tokens", "tokens").drop_nulls().rows()
    near = [abs(kept - read) < 0.02 * tokens for kept, read, tokens in rows if read]
    assert sum(near) > 0.9 * len(near)
    for call in calls.sort("step_number")[::40].iter_rows(named=True):
        seen = bench.context(run, call["last_step"])
        assert set(seen["call_step"]) == {call["step_number"]}
        assert sum(seen["position"].is_not_null()) == call["n_messages"] + bool(call["unrecorded_tokens"])
        assert abs(seen.filter(seen["position"].is_not_null())["tokens"].sum() - call["tokens"]) <= len(seen)


def test_a_step_is_told_from_what_was_until_then(bench: Workbench):
    """What the model saw at a step is the same whatever comes after, prompts that drop reasoning too."""
    turn = [
        said("user", "q"),
        Step("reasoning", text="hm"),
        call("c"),
        result("c", "r" * 90),
        said("assistant", "a", 9, 0, 0, 1),
    ]
    short = stored(bench, turn * 3)
    frames = [bench.context(short, step) for step in range(1, 15)]
    with bench.store.raw() as connection:
        connection.execute("DELETE FROM workbench.agent_executions")
    long = stored(bench, turn * 300)

    found = [bench.context(long, step) for step in range(1, 15)]

    assert [f.drop("event_id").rows() for f in found] == [f.drop("event_id").rows() for f in frames]
    assert len({len(frame) for frame in found}) > 4
