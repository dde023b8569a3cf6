"""The README's code runs as it stands, in a fresh folder with a fresh home."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def session(name: str, answer: str) -> str:
    """A short Claude Code session."""
    common = {"sessionId": name, "cwd": "/src", "version": "2.0.0", "userType": "external", "isSidechain": False}
    lines = [
        {**common, "type": "user", "uuid": f"{name}-1", "parentUuid": None, "timestamp": "2026-11-20T10:00:00Z",
         "message": {"role": "user", "content": "What is in a.txt?"}},
        {**common, "type": "assistant", "uuid": f"{name}-2", "parentUuid": f"{name}-1",
         "timestamp": "2026-11-20T10:00:02Z", "requestId": "r1",
         "message": {"id": f"{name}-m1", "type": "message", "role": "assistant", "model": "claude-x",
                     "content": [{"type": "tool_use", "id": f"{name}-t1", "name": "Read", "input": {"path": "a.txt"}}],
                     "usage": {"input_tokens": 10, "output_tokens": 5}}},
        {**common, "type": "user", "uuid": f"{name}-3", "parentUuid": f"{name}-2", "timestamp": "2026-11-20T10:00:03Z",
         "message": {"role": "user", "content": [{"type": "tool_result", "tool_use_id": f"{name}-t1",
                                                  "content": answer}]}},
    ]  # fmt: skip
    return "".join(json.dumps(line) + "\n" for line in lines)


SHOPPING = """
import workbench

with workbench.connect() as bench, bench.record(agent_type="shop", task="Buy a kettle") as run:
    for price in (20, 40, 80, 160, 320):
        with run.tool("price", {"item": "kettle"}) as call:
            call.result = {"price": price}
        run.event("message", role="assistant", text=f"It costs {price}.")
        run.step({"cart": {"items": [{"name": "kettle", "price": price}], "total": price}})
    run.finish(error="Too expensive.")
    print(run.id)
"""


@pytest.fixture
def place(tmp_path):
    """A folder with two transcripts, as a user has."""
    traces = tmp_path / "traces"
    traces.mkdir()
    (traces / "one.jsonl").write_text(session("one", "hello"), encoding="utf-8")
    (traces / "two.jsonl").write_text(session("two", "file not found"), encoding="utf-8")
    return tmp_path


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WORKBENCH_")}
    return {**kept, "WORKBENCH_HOME": str(home), "PATH": f"{Path(sys.executable).parent}:{kept['PATH']}"}


def test_the_ten_lines_work(place, home):
    """The Python block runs to its end and leaves the report it promises."""
    code = re.search(r"<!-- tested: readme -->\n```python\n(.*?)```", README, re.DOTALL)
    assert code is not None

    done = subprocess.run(
        [sys.executable, "-c", code[1]], cwd=place, env=environment(home), capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "claude-code" in done.stdout
    assert (place / "run.html").stat().st_size > 100_000


def test_the_shell_lines_work(place, home):
    """The shell block runs line by line, with the ids of runs put in: of two transcripts, and of a failed run."""
    lines = re.findall(r"^workbench .*$", README, re.MULTILINE)
    assert len(lines) >= 4
    env = environment(home)
    recorded = subprocess.run(
        [sys.executable, "-c", SHOPPING], cwd=place, env=env, capture_output=True, text=True, check=True
    )
    ids = {"RUN": recorded.stdout.strip()}
    for line in lines:
        line = line.partition(" #")[0]
        for word, run in ids.items():
            line = re.sub(rf"\b{word}\b", run, line)
        done = subprocess.run(shlex.split(line), cwd=place, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        if len(ids) == 1:
            listed = subprocess.run(
                ["workbench", "executions", "--json"], cwd=place, env=env, capture_output=True, text=True, check=True
            )
            read = [row["id"] for row in json.loads(listed.stdout) if row["source"] == "claude-code"]
            ids |= dict(zip(("RUN_A", "RUN_B"), read, strict=True))

    assert (place / "run.html").exists()
