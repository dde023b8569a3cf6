"""Files read by several processes: the rows of one process, reports in order, and no process left behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from histories import claude, counts, dumps, otlp_request, otlp_span, rows, tau2
from sessions import SESSION, put, session, tool_use

from workbench.data.ingest import ingest
from workbench.data.ingest.crew import n_processors, n_workers
from workbench.data.store.engine import Store
from workbench.errors import ConfigurationError, StoreUnavailableError

ROUNDS = int(os.environ.get("WORKBENCH_TEST_ROUNDS", "1"))
INGEST = """
import sys
from workbench.data.ingest import ingest
from workbench.data.store.engine import Store
from workbench.settings import Settings

print(ingest(Store.open(Settings.load(database_url=sys.stdin.readline().strip())), sys.argv[1:], workers=2))
"""


def otlp_file(folder: Path, number: int, n: int, *, chars: int = 600) -> Path:
    """One run of its own, of n spans."""
    lines = (otlp_span(i, os.urandom(chars // 2).hex(), traceId=f"{number + 1:032x}") for i in range(n))
    return put(folder, f"trace-{number}.jsonl", b"".join(dumps(otlp_request(line)) + b"\n" for line in lines))


def shared_runs(folder: Path) -> list[Path]:
    """Files that share runs and tasks: traces over eight files, a session and its agents', results of one benchmark."""
    paths = []
    for part in range(8):
        spans = [otlp_span(i, traceId=f"{i % 3 + 1:032x}") for i in range(part, 48, 8)]
        paths.append(put(folder, f"part-{part}.jsonl", b"".join(dumps(otlp_request(s)) + b"\n" for s in spans)))
    main = session()
    for name in ("abc", "def", "ghi"):
        main.assistant(f"msg-{name}", tool_use(f"call-{name}", "Task", prompt="go"))
        agent = session(agentId=name, isSidechain=True, sessionId=SESSION)
        paths.append(put(folder, f"agent-{name}.jsonl", agent.bytes()))
    paths += [put(folder, f"{SESSION}.jsonl", main.bytes()), put(folder, "older.jsonl", main.bytes(12))]
    paths += [put(folder, f"results-{n}.json", tau2(n)) for n in (2, 3, 4)]
    return paths


def emptied(store: Store) -> Store:
    with store.raw() as connection:
        connection.execute(
            "TRUNCATE workbench.imports, workbench.tasks, workbench.agent_executions, workbench.file_blocks CASCADE"
        )
    return store


def without_firsts(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Every row, without what says which of several files was the first: records of imports, and a task's import."""
    found = rows(store, without_versions=True)
    del found["imports"]
    found["tasks"] = [row[:-1] for row in found["tasks"]]
    return found


def workers_of(process: int) -> list[psutil.Process]:
    return [child for child in psutil.Process(process).children() if "workbench.data.ingest.worker" in child.cmdline()]


def wait_until(found: Callable[[], Any]) -> Any:
    """Wait until something is found."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if value := found():
            return value
        time.sleep(0.005)
    return pytest.fail("nothing within 120 s")


def copying(store: Store, n_rows: int = 500) -> list[int]:
    """The sessions of the server that are writing events."""
    with store.raw() as connection:
        found = connection.execute(
            "SELECT pid FROM pg_stat_progress_copy WHERE tuples_processed >= %s AND datname = current_database()",
            [n_rows],
        ).fetchall()
    return [pid for (pid,) in found]


def start(store: Store, *paths: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", INGEST, *map(str, paths)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(store.url + "\n")
    process.stdin.flush()
    return process


def test_reports_come_in_the_order_of_the_files(store: Store, tmp_path: Path) -> None:
    """Read by three processes, largest first, files report in the order given, failed ones at their place."""
    paths = [otlp_file(tmp_path, n, 5 + 40 * n) for n in range(4)]
    paths.insert(1, put(tmp_path, "bad.json", b'[{"task_id": 1, "traj": ['))
    paths.insert(3, put(tmp_path, "half.jsonl", claude(3) + b"{broken\n"))

    report = ingest(store, paths, progress=False, workers=3)
    parallel = rows(store)
    alone = ingest(emptied(store), paths, progress=False, workers=1)

    assert report == alone
    assert [file.path for file in report.files] == [str(path) for path in paths]
    assert [file.outcome for file in report.files] == ["new", "failed", "new", "new", "new", "new"]
    assert [bad.line for bad in report.files[3].bad] == [4]
    assert parallel == rows(store)


def test_files_that_share_runs_in_any_order(store: Store, tmp_path: Path) -> None:
    """Four processes leave the rows of one, whatever the order of files that share runs, tasks and parents."""
    paths = shared_runs(tmp_path)
    ingest(store, paths, progress=False, workers=1)
    expected = without_firsts(store)
    assert any(row[2] is not None for row in expected["agent_executions"])

    for number in range(ROUNDS):
        random.Random(number).shuffle(paths)
        report = ingest(emptied(store), paths, progress=False, workers=4)

        assert report.ok, str(report)
        assert without_firsts(store) == expected, f"round {number}"


def test_a_killed_process_is_replaced(store: Store, tmp_path: Path) -> None:
    """The file of a process that was killed is read again by another, and everything is stored once."""
    paths = [otlp_file(tmp_path, 0, 8_000), otlp_file(tmp_path, 1, 10)]
    process = start(store, *paths)
    wait_until(lambda: copying(store))

    for worker in workers_of(process.pid):
        worker.kill()
    said, _ = process.communicate(timeout=120)

    assert process.returncode == 0
    assert "failed" not in said
    assert counts(store) == (2, 8_010)


def test_a_process_that_is_killed_each_time(store: Store, tmp_path: Path) -> None:
    """A file whose process is killed twice has failed, clearly; the other files are stored."""
    paths = [otlp_file(tmp_path, 0, 8_000), otlp_file(tmp_path, 1, 10)]
    process = start(store, *paths)
    killed: set[int] = set()
    for _ in range(2):
        wait_until(lambda: copying(store))
        for worker in workers_of(process.pid):
            if worker.pid not in killed:
                worker.kill()
                killed.add(worker.pid)
        wait_until(lambda: not copying(store))
    said, _ = process.communicate(timeout=120)

    assert "trace-0.jsonl: failed: the process that read it was killed twice (SIGKILL)" in said
    assert "Ingest it again, with workers=1" in said
    assert counts(store) == (1, 10)


@pytest.mark.parametrize("how", ["SIGINT", "SIGKILL"])
def test_no_process_is_left(store: Store, tmp_path: Path, how: str) -> None:
    """When the ingest is interrupted, or killed, its processes end and what they were writing is rolled back."""
    process = start(store, *(otlp_file(tmp_path, n, 8_000) for n in range(2)))
    wait_until(lambda: copying(store))
    workers = workers_of(process.pid)
    assert workers
    assert not any("postgresql://" in word for worker in workers for word in worker.cmdline())

    process.send_signal(signal.Signals[how])
    _, said = process.communicate(timeout=120)
    psutil.wait_procs(workers, timeout=120)

    assert process.returncode != 0
    assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)
    assert ("KeyboardInterrupt" in said) == (how == "SIGINT")
    wait_until(lambda: not copying(store, 0))
    assert counts(store)[0] < 2


def test_a_database_that_goes_away(store: Store, database_url: str, tmp_path: Path) -> None:
    """When the database ends the session of a process, the error names the file and those that are complete."""
    small = otlp_file(tmp_path, 0, 3)
    ingest(store, small, progress=False)
    paths = [otlp_file(tmp_path, 1, 8_000), small]

    def end_sessions() -> None:
        for pid in wait_until(lambda: copying(store)):
            with psycopg.connect(database_url) as connection:
                connection.execute("SELECT pg_terminate_backend(%s)", [pid])

    killer = threading.Thread(target=end_sessions, daemon=True)
    killer.start()
    with pytest.raises(StoreUnavailableError, match=r"trace-1\.jsonl.*Nothing of that file was stored") as caught:
        ingest(store, paths, progress=False, workers=2)
    killer.join(60)

    assert set(caught.value.complete) <= {str(small)}  # type: ignore[attr-defined]
    assert not workers_of(os.getpid())
    assert ingest(store, paths, progress=False, workers=2).ok
    assert counts(store) == (2, 8_003)


@pytest.mark.parametrize(
    ("wanted", "sizes", "n"),
    [
        (None, [10**9], 1),
        (None, [100] * 50, 1),
        (None, [10**7] * 50, n_processors()),
        (1, [10**7] * 50, 1),
        (3, [100] * 50, 3),
        (8, [100] * 2, 2),
        (4, [], 1),
    ],
)
def test_how_many_processes(wanted: int | None, sizes: list[int], n: int) -> None:
    """Small work is done in this process; else there are as many as processors, files or as were asked for."""
    assert n_workers(wanted, sizes) == n


def test_no_process_at_all_is_refused(store: Store) -> None:
    """A number of processes below one is an error that says what it may be."""
    with pytest.raises(ConfigurationError, match=r"workers is 0; it must be 1"):
        ingest(store, [], workers=0)
