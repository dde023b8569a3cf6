"""The spool: torn and spoilt records, limits, full disks, forks, and what the database refuses."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import psycopg
import pytest

import workbench
from workbench.errors import ReadOnlyError
from workbench.replay.capture import spool as spools
from workbench.replay.capture.spool import Spool, framed, left, unframed


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spool folder of this test's own."""
    monkeypatch.setenv("WORKBENCH_SPOOL", str(tmp_path / "spool"))
    return tmp_path / "spool"


def run_agent(code: str, url: str) -> subprocess.CompletedProcess[str]:
    """Run an agent that gets the URL to its end, without complaint."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code), url], capture_output=True, text=True, timeout=200
    )


def test_a_torn_or_spoilt_record_costs_itself_only():
    """At every length of the last line, and for any byte of one in the middle."""
    records = [framed(b"E", b"%d" % n, json.dumps({"n": n, "tab": "\t"}).encode()) for n in range(3)]
    whole = b"".join(records)
    for end in range(len(whole)):
        kept = [fields for fields in unframed(whole[:end]) if fields is not None]
        assert len(kept) == sum(end >= len(b"".join(records[: n + 1])) - 1 for n in range(3))
    for at in range(len(records[0]), len(records[0]) + len(records[1]) - 1):
        spoilt = bytearray(whole)
        spoilt[at] ^= 1
        kept = [fields[1] for fields in unframed(bytes(spoilt)) if fields is not None]
        assert kept == [b"0", b"2"]


def test_a_spool_is_one_owners(tmp_path: Path):
    """What a living process holds is nobody else's; what is let go with records in it is found once."""
    spool = Spool(tmp_path, limit=1000)
    spool.append(framed(b"R", b"x"))
    assert list(left(tmp_path)) == []

    spool.close()

    ((path, lock),) = left(tmp_path)
    assert list(left(tmp_path)) == []
    lock.close()
    assert path.stat().st_mode & 0o077 == 0


def test_a_spool_gives_its_space_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Delivered records leave a long file; what waits and what is to be kept stay, in this order."""
    monkeypatch.setattr(spools, "_COMPACT", 1000)
    spool = Spool(tmp_path, limit=10**6)
    for n in range(100):
        spool.append(framed(b"E", b"%d" % n))
    spool.advance(len(b"".join(framed(b"E", b"%d" % n) for n in range(98))))
    spool.shrink([framed(b"R", b"open")])

    (path,) = spools.spools(tmp_path)
    assert [fields and fields[1] for fields in unframed(path.read_bytes())] == [b"open", b"98", b"99"]
    assert [fields and fields[1] for fields in unframed(spool.read())] == [b"98", b"99"]
    assert list(left(tmp_path)) == []
    spool.advance(spool.waiting)
    spool.close()
    assert spools.spools(tmp_path) == []


def test_a_full_spool_costs_records_and_not_the_agent(database_url: str, folder: Path, caplog):
    """What has no room is counted, in the log once and in the run; numbers have no gap; later there is room again."""
    with workbench.connect(database_url, spool_limit_mb=1) as bench:
        delivery = None
        with bench.record(agent_type="a") as run:
            delivery = run.delivery
            with delivery._delivering:  # the database is slow
                for _ in range(30):
                    run.event("log", text="x" * 100_000)
                run.step({"big": "y" * 900_000})
            assert run.flush()
            run.event("log", text="room again")
        row = bench.executions().row(0, named=True)
        dropped = bench.execution(run.id).metadata["capture"]["n_dropped"]
        assert dropped == 30 - (row["n_events"] - 1) + 1
        assert 5 < row["n_events"] < 12
        assert bench.events(run.id)["step_number"].to_list() == list(range(row["n_events"]))
    assert caplog.text.count("is not kept, only counted") == 1


def test_a_full_disk_costs_records_and_not_the_agent(database_url: str, folder: Path):
    """The kernel refuses to let the file grow: the agent ends well, and what came before is there."""
    code = """
    import resource, sys, workbench
    bench = workbench.connect(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    with bench.record(agent_type="a") as run, run.delivery._delivering:
        for n in range(100):
            run.event("log", text="x" * 10_000)
    print(run._account.n_events, run._account.n_dropped)
    bench.close()
    """
    done = run_agent(code, database_url)
    assert done.returncode == 0, done.stderr
    n_events, n_dropped = map(int, done.stdout.split())

    with workbench.connect(database_url) as bench:
        assert n_events + n_dropped == 100
        assert 15 <= n_events < 20
        assert bench.events(run=bench.executions()["id"][0]).height == n_events


def test_without_a_folder_the_agent_records_all_the_same(database_url: str, tmp_path: Path, monkeypatch, caplog):
    """A spool that cannot be made is held in memory, and the log says what that means."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WORKBENCH_SPOOL", str(tmp_path / "file" / "spool"))
    with workbench.connect(database_url) as bench:
        with bench.record(agent_type="a") as run:
            run.event("log")
        assert bench.events(run.id).height == 1
    assert "is lost if this process is killed" in caplog.text


def test_a_forked_child_has_a_run_of_its_own(database_url: str, folder: Path):
    """Child and parent go on recording into what was one recording; each event is in the run of its process, once."""
    code = """
    import os, sys, workbench
    bench = workbench.connect(sys.argv[1])
    with bench.record(agent_type="a", name="forks") as run:
        run.event("log", text="before")
        with run.span("fork"):
            child = os.fork()
            run.event("log", text="child" if child == 0 else "parent")
            if child == 0:
                run.step({"in": "child"})
                os._exit(0)
        os.waitpid(child, 0)
        run.event("log", text="after")
    bench.close()
    """
    done = run_agent(code, database_url)
    assert done.returncode == 0, done.stderr

    with workbench.connect(database_url) as bench:
        runs = {row["parent_execution_id"]: row for row in bench.executions().iter_rows(named=True)}
        (parent,) = [row for of, row in runs.items() if of is None]
        child = runs[parent["id"]]
        assert bench.events(parent["id"])["event_type"].to_list() == ["log", "span", "log", "log"]
        texts = [json.loads(data).get("text") for data in bench.events(parent["id"])["data"]]
        assert texts == ["before", None, "parent", "after"]
        assert [json.loads(data)["text"] for data in bench.events(child["id"])["data"]] == ["child"]
        assert child["parent_event_id"] == bench.events(parent["id"])["id"][1]
        assert (parent["status"], child["status"], child["error_type"]) == ("completed", "failed", "abandoned")
        assert bench.state(child["id"], 0) == {"in": "child"}


def test_a_fork_amid_many_threads_does_not_hang(database_url: str, folder: Path):
    """Locks that other threads held at the fork are not the child's."""
    code = """
    import os, sys, threading, time, workbench
    bench = workbench.connect(sys.argv[1])
    with bench.record(agent_type="first"):
        pass  # a child that is forked while another thread imports a module waits for it for ever: that is Python's
    stop = threading.Event()
    def work():
        with bench.record(agent_type="busy") as run:
            while not stop.is_set():
                run.event("log")
                time.sleep(0.0005)
    threads = [threading.Thread(target=work) for _ in range(3)]
    [thread.start() for thread in threads]
    for n in range(10):
        child = os.fork()
        if child == 0:
            with bench.record(agent_type="child") as run:
                run.event("log")
                run.flush(30)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    stop.set()
    [thread.join() for thread in threads]
    bench.close()
    """
    done = run_agent(code, database_url)
    assert done.returncode == 0, done.stderr

    with workbench.connect(database_url) as bench:
        counts = bench.executions().filter(agent_type="child")
        assert (counts.height, counts["n_events"].to_list()) == (10, [1] * 10)
        for run in bench.executions().filter(agent_type="busy")["id"]:
            events = bench.events(run)
            assert events["step_number"].to_list() == list(range(events.height))


SLOW = """
import importlib.abc, os, signal, sys, threading, time, workbench

class Slow(importlib.abc.MetaPathFinder):
    "Makes the import of a module slow, and says when it is under way."
    def __init__(self, name): self.name, self.begun = name, threading.Event()
    def find_spec(self, name, path=None, target=None):
        if name == self.name and not self.begun.is_set():
            self.begun.set()
            time.sleep(3.0)

def forked():
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # a child that hangs is ended
        workbench.connect(sys.argv[1]).close()
        with bench.record(agent_type="child") as run:
            run.event("log")
            is_there = run.flush(20)
        os._exit(0 if is_there else 3)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

slow = Slow(sys.argv[2])
sys.meta_path.insert(0, slow)
bench = workbench.connect(sys.argv[1], lazy=True)
"""


@pytest.mark.parametrize("module", ["workbench.replay.capture.recording", "alembic.script.revision"])
def test_a_child_that_is_forked_during_an_import_of_ours(server, folder: Path, module: str):
    """Forked while another thread imports what a first record or the first delivery needs: the child records all."""
    name = f"fork_{module.rpartition('.')[2]}"
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
    code = """
    def work():
        with bench.record(agent_type="parent") as run:
            run.event("log")
            run.flush()

    thread = threading.Thread(target=work)
    thread.start()
    assert slow.begun.wait(20)
    code = forked()
    thread.join()
    bench.close()
    sys.exit(code)
    """
    done = subprocess.run(
        [sys.executable, "-c", SLOW + textwrap.dedent(code), server.url(database=name), module],
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    with workbench.connect(server.url(database=name)) as bench:
        assert sorted(bench.executions()["agent_type"]) == ["child", "parent"]
        assert bench.executions()["n_events"].to_list() == [1, 1]
    with psycopg.connect(server.url(user="postgres", database="postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]


def test_what_the_database_refuses_is_put_aside(database_url: str, folder: Path, caplog):
    """A run that is deleted while it is recorded: the others are delivered, its records are kept in a file."""
    with (
        workbench.connect(database_url) as bench,
        bench.record(agent_type="deleted") as gone,
        bench.record(agent_type="other") as other,
    ):
        gone.event("log")
        gone.flush()
        with bench.store.raw() as connection:
            connection.execute("DELETE FROM workbench.agent_executions WHERE agent_type = 'deleted'")
        gone.event("log", text="to nowhere")
        other.event("log", text="stays")
        assert other.flush()
        assert bench.events(other.id).height == 1
    (aside,) = folder.rglob(f"refused/{gone.id}.spool")
    assert b"to nowhere" in aside.read_bytes()
    assert "put aside" in caplog.text


def test_a_process_that_ends_in_the_middle_of_a_run(database_url: str, folder: Path):
    """A recording that nobody ended is told as abandoned when its process ends; sys.exit() is an end like any other."""
    code = """
    import sys, workbench
    bench = workbench.connect(sys.argv[1])
    bench.record(agent_type="open").__enter__().event("log", usage={"input_tokens": 3}, cost_usd=0.5)
    with bench.record(agent_type="exits") as run:
        sys.exit()
    """
    done = run_agent(code, database_url)
    assert done.returncode == 0, done.stderr
    with workbench.connect(database_url) as bench:
        rows = {row["agent_type"]: row for row in bench.executions().iter_rows(named=True)}
        told = [rows["open"][name] for name in ("status", "error_type", "input_tokens", "cost_usd")]
        assert told == ["failed", "abandoned", 3, 0.5]
        assert rows["exits"]["status"] == "completed"
    assert list(folder.rglob("*.spool")) == []


def test_many_runs_in_many_threads(bench):
    """Each thread's runs are whole, and none is another's child."""
    ids: list[str] = []

    def work(n: int) -> None:
        for _ in range(5):
            with bench.record(agent_type="threaded", name=str(n)) as run:
                for _ in range(20):
                    run.event("log", text=str(n), usage={"input_tokens": 1})
            ids.append(str(run.id))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    runs = bench.executions()
    assert sorted(runs["id"]) == sorted(ids)
    assert (set(runs["n_events"]), set(runs["input_tokens"])) == ({20}, {20})
    assert runs["parent_execution_id"].null_count() == 30


def test_a_reader_records_nothing(database_url: str):
    """A read-only workbench says so before the run begins."""
    with workbench.connect(database_url, read_only=True) as bench, pytest.raises(ReadOnlyError, match="to record"):
        bench.record(agent_type="a")


def test_the_folder_is_private(bench):
    """What agents say is for nobody else on the machine."""
    with bench.record(agent_type="a") as run:
        path = run.delivery._spool.path
        assert path.stat().st_mode & 0o077 == 0
        assert path.parent.stat().st_mode & 0o077 == 0
