"""A long Claude Code session into committed rows, beside reading its lines and beside copying them as they are."""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks._bench import in_fresh_process, interleaved, median, scratch_store, table
from workbench.data.ingest import ingest
from workbench.data.store.engine import Store
from workbench.settings import Settings

MEGABYTES = 200
WAYS: dict[str, Callable[[dict[str, Any]], int]] = {}


def _way(name: str) -> Callable[[Callable[[dict[str, Any]], int]], Callable[[dict[str, Any]], int]]:
    def register(function: Callable[[dict[str, Any]], int]) -> Callable[[dict[str, Any]], int]:
        WAYS[name] = function
        return function

    return register


@_way("json.loads, rows thrown away")
def _read(given: dict[str, Any]) -> int:
    with Path(given["path"]).open("rb") as lines:
        return sum(1 for line in lines if json.loads(line))


@_way("COPY of the lines into one jsonb column")
def _copy(given: dict[str, Any]) -> int:
    """The floor: no ids, no pairing, no states, no index."""
    with _store(given).raw() as connection:
        connection.execute("SET LOCAL statement_timeout = 0")
        connection.execute("CREATE TEMPORARY TABLE floor (line jsonb) ON COMMIT DROP")
        n_rows = 0
        with Path(given["path"]).open() as lines, connection.cursor().copy("COPY floor FROM STDIN") as copy:
            for line in lines:
                copy.write_row([line])
                n_rows += 1
        return n_rows


@_way("ingest")
def _ingest(given: dict[str, Any]) -> int:
    report = ingest(_store(given), given["path"], progress=False)
    assert report.files[0].outcome == "new"
    return report.totals.events + report.totals.snapshots


@_way("ingest again")
def _again(given: dict[str, Any]) -> int:
    report = ingest(_store(given), given["path"], progress=False)
    assert report.files[0].outcome == "already there"
    return report.totals.events + report.totals.snapshots


def _store(given: dict[str, Any]) -> Store:
    return Store.open(Settings.load(database_url=given["url"]))


def run(quick: bool = False) -> None:
    """Print one table."""
    megabytes = 5 if quick else MEGABYTES
    with tempfile.TemporaryDirectory() as folder, scratch_store() as store:
        path = Path(folder, "session.jsonl")
        _write(path, megabytes * 1_000_000)
        given = {"path": str(path), "url": store.url}

        def measure(way: str) -> Any:
            if way == "ingest":
                with store.raw() as connection:
                    connection.execute("TRUNCATE workbench.imports, workbench.agent_executions CASCADE")
            return in_fresh_process("benchmarks.ingest", way, given)

        found = interleaved(list(WAYS), measure, rounds=1 if quick else 3)
    reference = median(found["json.loads, rows thrown away"])
    lines = [
        (
            way,
            f"{median(measured):.2f}",
            f"{median(measured, 'cpu_s'):.2f}",
            f"{megabytes / median(measured):.0f}",
            f"{measured[0].rows / median(measured):,.0f}",
            f"{median(measured, 'rss_mb'):.0f}",
            f"{median(measured) / reference:.1f}",
        )
        for way, measured in found.items()
    ]
    head = ("way", "wall s", "client CPU s", "MB/s", "rows/s", "peak MB more", "× json.loads")
    table(f"One Claude Code session of {megabytes} MB (ingest: one event and one state per line)", head, lines)


def _write(path: Path, size: int) -> None:
    """A session in the layout of the program: answers over several lines, calls, results repeated in toolUseResult."""
    rnd = random.Random(1)
    words = ["".join(rnd.choices("abcdefghijklmnopqrstuvwxyz", k=rnd.randint(2, 9))) for _ in range(5000)]
    at, written, n, parent = datetime(2026, 1, 1, tzinfo=UTC), 0, 0, None

    def text(length: int) -> str:
        return " ".join(rnd.choices(words, k=length // 6))

    with path.open("w") as out:

        def line(kind: str, message: dict[str, Any], **more: Any) -> None:
            nonlocal at, written, parent
            at += timedelta(milliseconds=rnd.randint(5, 4000))
            uuid = f"{rnd.getrandbits(128):032x}"
            common = {"parentUuid": parent, "isSidechain": False, "cwd": "/repo", "sessionId": "s", "version": "2.1.4"}
            stamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            record = common | {"type": kind, "uuid": uuid, "timestamp": stamp, "message": message} | more
            parent = uuid
            written += out.write(json.dumps(record, separators=(",", ":")) + "\n")

        while written < size:
            n += 1
            if n % 30 == 1:
                line("user", {"role": "user", "content": text(300)})
            usage = {"input_tokens": 5, "output_tokens": rnd.randint(1, 900), "cache_read_input_tokens": 90_000}
            answer = {"id": f"msg_{n}", "role": "assistant", "model": "m", "stop_reason": None, "usage": usage}
            for block in (
                {"type": "thinking", "thinking": text(300)},
                {"type": "text", "text": text(400)},
                {"type": "tool_use", "id": f"call_{n}", "name": "Bash", "input": {"command": text(200)}},
            ):
                line("assistant", answer | {"content": [block]}, requestId=f"req_{n}")
            result = text(rnd.choice([200, 2000, 6000]))
            block = {"type": "tool_result", "tool_use_id": f"call_{n}", "content": result}
            line("user", {"role": "user", "content": [block]}, toolUseResult={"stdout": result, "stderr": ""})


if __name__ == "__main__":
    run("--quick" in sys.argv)
