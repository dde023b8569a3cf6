"""An import of 20,000 lines that is killed again and again, and resumed each time.

``WORKBENCH_TEST_KILLS=80 pytest -s tests/data/ingest/test_kills.py`` kills it as often as that and prints the figures.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from histories import claude_line, dumps

from workbench.data.ingest import ingest
from workbench.data.store.engine import Store

N_KILLS = int(os.environ.get("WORKBENCH_TEST_KILLS", "4"))
SEED = int(os.environ.get("WORKBENCH_TEST_SEED", "2026"))
N_LINES, SMALL, LARGE = 20_000, 450, 2_000  # 40 files of 450 lines and one of 2,000
BAD_SHARE = 0.01
INGEST = """
import sys
from workbench.data.ingest import ingest
from workbench.data.store.engine import Store
from workbench.errors import WorkbenchError
from workbench.settings import Settings

try:
    ingest(Store.open(Settings.load(database_url=sys.stdin.readline().strip())), sys.argv[1], progress=False)
except WorkbenchError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""
# Sessions of others that have written something and have not committed it.
WRITING = (
    "FROM pg_stat_activity WHERE datname = current_database() AND backend_xid IS NOT NULL "
    "AND backend_type = 'client backend' AND application_name LIKE 'workbench/%'"
)


@dataclass
class History:
    """Files with a few bad lines, and what must come of them."""

    folder: Path
    good: list[str] = field(default_factory=list)  # the id of each valid line
    bad: set[tuple[str, int]] = field(default_factory=set)

    def write(self, chance: random.Random) -> None:
        sizes = [SMALL] * ((N_LINES - LARGE) // SMALL)
        sizes.insert(20, LARGE)
        for number, size in enumerate(sizes):
            path = self.folder / f"session-{number:02d}.jsonl"
            path.write_bytes(b"".join(self._line(chance, path.name, number, n) + b"\n" for n in range(1, size + 1)))

    def _line(self, chance: random.Random, name: str, number: int, n: int) -> bytes:
        own = f"{number:08x}-0000-4000-8000-{n:012d}"
        line = dumps(claude_line(n, "x" * 200, uuid=own, sessionId=f"5e551000-0000-4000-8000-{number:012d}"))
        if chance.random() < BAD_SHARE:
            self.bad.add((name, n))
            return line[: chance.randrange(1, len(line))]
        self.good.append(own)
        return line


@contextmanager
def importing(url: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", INGEST, str(folder)], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    process.stdin.write(url + "\n")
    process.stdin.flush()
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def one(connection: psycopg.Connection, query: str) -> int:
    row = connection.execute(query).fetchone()  # type: ignore[arg-type]
    return row[0] if row else 0


def wait_until_writing(connection: psycopg.Connection, process: subprocess.Popen[str]) -> bool:
    """Wait until the import writes; whether it does, and has not come to its end."""
    while process.poll() is None:
        if one(connection, f"SELECT count(*) {WRITING}"):
            return True
        time.sleep(0.002)
    return False


def interrupt(connection: psycopg.Connection, process: subprocess.Popen[str], how: str) -> bool:
    """Kill the client, or end its session in the server, in the middle of a file; whether it was still at one."""
    while wait_until_writing(connection, process):
        if how == "kill -9":
            process.kill()
            return process.wait() == -9
        if one(connection, f"SELECT count(pg_terminate_backend(pid)) {WRITING}"):
            process.wait()
            return process.returncode == 1
    return False


def committed(connection: psycopg.Connection) -> int:
    return one(connection, "SELECT count(*) FROM workbench.observability_events")


def test_killed_again_and_again(store: Store, database_url: str, tmp_path: Path) -> None:
    """Killed in mid file, each time resumed: the rows are the valid lines, none twice, each bad line is named."""
    chance = random.Random(SEED)
    history = History(tmp_path)
    history.write(chance)
    done = {"kill -9": 0, "pg_terminate_backend": 0}
    n_files = len(list(tmp_path.iterdir()))
    gained = []

    with psycopg.connect(database_url, autocommit=True) as connection:
        while sum(done.values()) < N_KILLS:
            how = min(done, key=lambda name: done[name])
            before = committed(connection)
            with importing(database_url, tmp_path) as process:
                if not wait_until_writing(connection, process):
                    said = process.stderr.read() if process.stderr else ""
                    pytest.fail(f"ended after {done}, exit code {process.returncode}: {said}")
                # Ahead of what is due after so many kills, hardly any file is let through; else a few.
                share = before / len(history.good)
                is_ahead = share > sum(done.values()) / N_KILLS * 0.9
                time.sleep(chance.random() * (0.02 if is_ahead else 0.4 * (1 - share)))
                if interrupt(connection, process, how):
                    done[how] += 1
                    gained.append(committed(connection) - before)

        left = len(history.good) - committed(connection)
        assert left > 0, "nothing was left to be imported after the last kill"
        report = ingest(store, tmp_path, progress=False, workers=1)
        stored = [row[0] for row in connection.execute("SELECT span_id FROM workbench.observability_events")]

    told = {(Path(file.path).name, bad.line) for file in report.files for bad in file.bad}
    figures = {
        "seed": SEED,
        "lines": N_LINES,
        "files": n_files,
        **done,
        "kills_after_which_more_was_stored": sum(n > 0 for n in gained),
        "rows_left_after_the_last_kill": left,
        "rows": len(stored),
        "valid_lines": len(history.good),
        "lost": len(set(history.good) - set(stored)),
        "twice": len(stored) - len(set(stored)),
        "bad_lines": len(history.bad),
        "bad_lines_listed": len(told & history.bad),
    }
    print(json.dumps(figures, indent=1))
    assert sorted(stored) == sorted(history.good)
    assert told == history.bad
    assert report.ok
