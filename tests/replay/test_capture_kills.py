"""What was acknowledged is stored once, whatever becomes of the process or of the database."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import workbench
from workbench.data.store.server import EmbeddedServer

KILLS = int(os.environ.get("WORKBENCH_KILLS", "6"))
AGENT = """
import sys, workbench
bench = workbench.connect(sys.argv[1])
with bench.record(agent_type="victim", name=sys.argv[2]) as run:
    print("run", run.id, flush=True)
    n = 0
    while True:
        with run.tool("work", {"n": n}) as call:
            call.result = "x" * (n % 700)
        run.step({"n": n, "done": list(range(n % 50))})
        n += 1
        print(n, flush=True)
"""


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spool folder of this test's own."""
    monkeypatch.setenv("WORKBENCH_SPOOL", str(tmp_path / "spool"))
    return tmp_path / "spool"


def agent(code: str, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), *args], stdout=subprocess.PIPE, text=True)


def killed(process: subprocess.Popen[str], after_s: float | None = None) -> tuple[str, int]:
    """Kill an agent some time after its run began; the run, and how many turns were acknowledged."""
    assert process.stdout is not None
    run = process.stdout.readline().split()[1]
    if after_s is not None:
        time.sleep(after_s)
        process.send_signal(signal.SIGKILL)
    lines = [line for line in process.stdout.read().split("\n") if line]
    process.wait()
    process.stdout.close()
    return run, int(lines[-1]) if lines else 0


def stored(bench: workbench.Workbench, run: str) -> tuple[int, int]:
    """How many turns a run has in full, and how many events; each step once, in order, the last state as recorded."""
    events = bench.events(run)
    assert events["step_number"].to_list() == list(range(events.height))
    results = events.filter(event_type="tool_result")
    snapshots = bench.snapshots(run)
    assert snapshots["step_number"].to_list() == list(range(1, 2 * snapshots.height, 2))
    for at in {0, snapshots.height // 2, snapshots.height - 1} if snapshots.height else ():
        assert bench.state(run, 2 * at + 1) == {"n": at, "done": list(range(at % 50))}
    return min(results.height, snapshots.height), events.height


def test_what_was_acknowledged_survives_kill_9(database_url: str, spool: Path):
    """Agents killed at random moments: every acknowledged turn is there once, the run is told as abandoned."""
    rng = random.Random(7)
    acknowledged = [killed(agent(AGENT, database_url, f"victim {n}"), rng.uniform(0.0, 1.2)) for n in range(KILLS)]

    with workbench.connect(database_url) as bench:
        bench.deliver()

        for run, n in acknowledged:
            turns, events = stored(bench, run)
            assert n <= turns <= n + 1
            assert 2 * turns <= events <= 2 * turns + 2
            row = bench.executions().filter(id=run).row(0, named=True)
            assert (row["status"], row["error_type"], row["n_events"]) == ("failed", "abandoned", events)
    assert list(spool.rglob("*.spool")) == []


def test_a_deliverer_that_is_killed_delivers_nothing_twice(database_url: str, spool: Path):
    """Who delivers what was left is killed again and again; the next begins anew, and all is there once."""
    fills = """
    import os, signal, sys, workbench
    bench = workbench.connect(sys.argv[1])
    with bench.record(agent_type="victim") as run:
        print("run", run.id, flush=True)
        for n in range(20000):
            run.event("log", text=str(n))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    run, _ = killed(agent(fills, database_url))
    for pause in (0.5, 0.8, 1.1, 1.4):
        deliverer = agent("import sys, workbench; workbench.connect(sys.argv[1])", database_url)
        time.sleep(pause)
        deliverer.kill()
        deliverer.wait()
        assert deliverer.stdout is not None
        deliverer.stdout.close()

    with workbench.connect(database_url) as bench:
        bench.deliver()
        assert bench.events(run)["step_number"].to_list() == list(range(20_000))
        assert bench.executions()["status"].to_list() == ["failed"]


@pytest.fixture
def own_server() -> Iterator[EmbeddedServer]:
    """A server that the test may stop."""
    with tempfile.TemporaryDirectory(prefix="wb-tests-", ignore_cleanup_errors=True) as home:
        server = EmbeddedServer(Path(home))
        server.start()
        yield server
        server.stop()


def test_a_database_that_goes_and_comes_back(own_server: EmbeddedServer, spool: Path, caplog):
    """The agent goes on while the server is gone; when it is back, all is delivered, each event once."""
    bench = workbench.connect(own_server.url(), connect_timeout_s=2)
    with bench.record(agent_type="planner") as run:
        run.event("log", text="before")
        assert run.flush()
        own_server.stop()
        for n in range(500):
            run.event("log", text=f"away {n}")
            run.step({"n": n})
        assert run.flush(5) is False
        own_server.start()
        run.event("log", text="after")
        while not run.flush(10):
            pass

    assert bench.events(run.id)["step_number"].to_list() == list(range(502))
    assert bench.state(run.id, 500) == {"n": 499}
    assert bench.executions()["status"].to_list() == ["completed"]
    assert caplog.text.count("the spool keeps what is recorded") == 1
    bench.close()
    assert list(spool.rglob("*.spool")) == []


def test_a_database_that_is_not_there_yet(own_server: EmbeddedServer, spool: Path):
    """An agent starts, works and ends while there is no server; the next to connect finds its run."""
    url = own_server.url()
    own_server.stop()
    with workbench.connect(url, lazy=True, connect_timeout_s=2) as bench:
        with bench.record(agent_type="planner", task="Book") as run:
            run.event("message", text="nobody listens")
        assert len(list(spool.rglob("*.spool"))) == 1
    own_server.start()

    with workbench.connect(url) as bench:
        assert bench.executions().select("id", "status", "task").row(0) == (str(run.id), "completed", "Book")
        assert bench.events(run.id).height == 1
    assert list(spool.rglob("*.spool")) == []
