"""`watch`: a real process that imports what grows, ended by Ctrl+C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from answer import Answer

LINE = {
    "type": "user", "uuid": "u1", "sessionId": "s1", "timestamp": "2026-01-01T00:00:00Z", "version": "2.0.0",
    "message": {"role": "user", "content": "hello"},
}  # fmt: skip


def test_lines_come_until_ctrl_c(database_url: str, tmp_path: Path):
    """Each change is one JSON object on stdout; Ctrl+C ends it with exit code 0."""
    path = tmp_path / "s.jsonl"
    path.write_text(json.dumps(LINE) + "\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "workbench", "--url", database_url, "watch", str(tmp_path), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    with path.open("a") as file:
        file.write(json.dumps({**LINE, "uuid": "u2"}) + "\n")
    second = json.loads(process.stdout.readline())

    process.send_signal(signal.SIGINT)
    rest, said = process.communicate(timeout=120)

    assert [(file["outcome"], file["events"]) for file in (first, second)] == [("new", 1), ("extended", 2)]
    assert (process.returncode, rest) == (0, "")
    assert "Stop with Ctrl+C" in said


def test_once_in_words(ask: Callable[..., Answer], tmp_path: Path):
    """With `--once` a line for each file that brought something, then the end."""
    (tmp_path / "s.jsonl").write_text(json.dumps(LINE) + "\n{half")

    answer = ask("watch", str(tmp_path), "--once")

    assert answer.code == 0
    assert answer.out == f"{tmp_path}/s.jsonl [claude-code] new: +1 events · 1 line could not be read\n"
