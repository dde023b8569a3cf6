"""pi sessions larger than memory: read in two passes, finished exactly as those that are held."""

from __future__ import annotations

import gzip
import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from large_files import check_read_again, peak_of
from mutations import mutations

from workbench.data.ingest.formats import pi
from workbench.data.ingest.normal import Run
from workbench.data.ingest.reading.source import Source
from workbench.data.store.engine import Store

START = datetime(2026, 1, 2, 10, tzinfo=UTC)
SESSION = "d703a1a9-1b7b-4fb1-b512-c9738b1fe617"
PARENT = "aaaaaaaa-1b7b-4fb1-b512-c9738b1fe617"


def header(**fields: Any) -> dict[str, Any]:
    return {"type": "session", "id": SESSION, "timestamp": START.isoformat(), "cwd": "/repo", **fields}


def lines_of(seed: int) -> list[dict[str, Any]]:
    """A tree with branches, broken links and repeated ids, or none; copies; answers before and behind their calls."""
    dice = random.Random(seed)
    n = dice.randint(3, 50)
    began = (START + timedelta(seconds=dice.choice((0, 15)))).isoformat()
    first = header(timestamp=began, **dice.choice(({}, {"parentSession": f"x_{PARENT}.jsonl"})))
    header_at = dice.choice((0, 0, 0, dice.randrange(n), None))
    lines, ids, at, is_tree = [], [], START, dice.random() < 0.8
    for k in range(n):
        lines += [first] * (k == header_at)
        at += timedelta(seconds=dice.choice((0, 1, 2, -3)))
        links = {}
        if is_tree and dice.random() < 0.95:
            own = dice.choice((*[f"e{k}"] * 20, *ids[-1:]))
            above = dice.choice((*[ids[-1] if ids else None] * 7, *ids[:2], None, "gone", f"e{k + 2}"))
            links = {"id": own, "parentId": above}
            ids.append(own)
        entry = {**_entry(dice), **links}
        lines.append({**entry, "timestamp": dice.choice((*[at.isoformat()] * 20, "bad", None))})
    return lines


def _entry(dice: random.Random) -> dict[str, Any]:
    said = dice.choice(("a", "b", "Fix it", ""))
    text, call = {"type": "text", "text": said}, dice.choice(("c1", "c2", "c3", "c4", None))
    calls = [{"type": "toolCall", "id": own, "name": "read", "arguments": {}} for own in (call, "c1")]
    cost = {"cost": {"total": dice.choice((0, 0.1, 0.25, 0.3))}} if dice.random() < 0.9 else {}
    usage = {"usage": {"input": dice.randint(0, 5), "output": dice.randint(0, 5), **cost}}
    stop = {"stopReason": dice.choice(("stop", "aborted", "error")), "errorMessage": said}
    result = {"role": "toolResult", "toolCallId": call, "toolName": "read", "isError": dice.random() < 0.3}
    message = dice.choice(
        (
            {"role": "user", "content": [text]},
            {"role": "user", "content": [text]},
            {"role": "assistant", "model": dice.choice(("m1", "m2")), "content": [text], **stop, **usage},
            {"role": "assistant", "content": [text, *calls[: dice.randint(1, 2)]], **usage},
            {**result, "content": [text]},
            {**result, "content": said},
            {"role": "bashExecution", "command": "ls", "output": "x", "exitCode": dice.choice((0, 1))},
            None,
        )
    )
    if message is not None:
        return {"type": "message", "message": message}
    return dice.choice(({"type": "session_info", "name": said}, {"type": "compaction", "summary": "s"}, header()))


def written(lines: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def test_entries_read_again_are_the_entries_held() -> None:
    """A session that is read twice gives the run, the marks and the notes of one that is held, whatever its order."""
    runs = list(check_read_again(pi, ((written(lines_of(seed)), "x.jsonl") for seed in range(150))))

    steps = [step for run in runs for step in run.steps]
    assert len(runs) == 150
    assert {step.mark for step in steps} == {None, "unfinished", "orphaned"}
    assert {run.status for run in runs} == {"completed", "failed", "cancelled"}
    assert sum("is_copied" in (step.extra or {}) for step in steps) > 100
    assert sum("is_off_branch" in (step.extra or {}) for step in steps) > 100
    assert sum(step.duration_ms is not None for step in steps) > 100
    assert len({run.cost_usd for run in runs}) > 10


def test_spoilt_entries_read_again_are_the_entries_held() -> None:
    """The same of sessions that hold anything: wrong types, lone surrogates, numbers of any size, cut lines."""
    spoilt = mutations(written(lines_of(4)), n=150)

    assert len(list(check_read_again(pi, ((data, "x.jsonl") for data in spoilt)))) > 130


def test_the_real_session_read_again_is_the_session_held(shared_data: Path) -> None:
    """The same of the real session, and of its first half: a session that is cut off."""
    data = gzip.decompress((shared_data / "pi/large-session.jsonl.gz").read_bytes())

    whole, half = check_read_again(pi, [(data, "a.jsonl"), (data[: len(data) // 2], "a.jsonl")])
    assert (len(whole.steps), len(half.steps) < 1019) == (1019, True)


def test_what_is_not_kept_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The prompt, the answer and the error are found where what was said on abandoned branches stands around them."""

    def entry(own: str, above: str | None, role: str, text: str, **message: Any) -> dict[str, Any]:
        said = {"role": role, "content": [{"type": "text", "text": text}], **message}
        return {"type": "message", "id": own, "parentId": above, "message": said}

    off = {"stopReason": "error", "errorMessage": "Off."}
    lines = [
        header(),
        *(entry(f"u{k}", None, "user", "Abandoned.") for k in range(30)),
        entry("p", None, "user", "Fix it"),
        entry("a", "p", "assistant", "Broken off.", stopReason="error", errorMessage="Overloaded."),
        entry("x", "p", "assistant", "Abandoned too.", **off),
        {"type": "label", "id": "l", "parentId": "a", "label": "here"},
    ]
    monkeypatch.setattr(pi, "HELD_BYTES", 0)
    [run] = pi.read(Source.from_bytes(written(lines)))

    assert isinstance(run, Run)
    assert (run.input, run.output) == ({"prompt": "Fix it"}, {"text": "Broken off."})
    assert (run.status, run.error) == ("failed", "Overloaded.")


def test_memory_does_not_grow_with_the_file(store: Store, tmp_path: Path) -> None:
    """A session three times as long takes hardly more memory: what is kept of an entry does not hold its text."""
    peaks = []
    for n in (4_000, 12_000):
        path = tmp_path / f"{n}.jsonl"
        with path.open("wb") as file:
            file.write(written([header(id=f"session-{n}")]))
            for k in range(n):
                file.write(written(_turn(k)))
        n_events, peak = peak_of(store, path)
        assert n_events == 3 * n + 1
        peaks.append(peak)

    small, large = peaks
    grown = 8_000 * 6_000 / 1e6
    assert large - small < grown / 2, f"{small} MB, then {large} MB for {grown} MB more"


def _turn(k: int) -> list[dict[str, Any]]:
    """A prompt, a call and its answer: 6 kB."""
    text = {"type": "text", "text": f"{k} " + "word " * 300}
    call = {"type": "toolCall", "id": f"c{k}", "name": "bash", "arguments": {}}
    messages = (
        {"role": "user", "content": [text]},
        {"role": "assistant", "content": [text, call]},
        {"role": "toolResult", "toolCallId": f"c{k}", "toolName": "bash", "content": [text, text]},
    )
    links = [{"id": f"{k}.{part}", "parentId": f"{k}.{part - 1}" if part else f"{k - 1}.2"} for part in range(3)]
    at = (START + timedelta(seconds=k)).isoformat()
    return [
        {"type": "message", **link, "timestamp": at, "message": message}
        for link, message in zip(links, messages, strict=True)
    ]
