"""Runs and the runs that they start, delivered in any order and at the same moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from itertools import permutations
from pathlib import Path

import pytest

import workbench
from workbench.data.store.engine import Store
from workbench.replay.capture import writing
from workbench.replay.capture.recording import Recording
from workbench.settings import Settings


class Kept:
    """Takes what a recording captures, as a delivery does, and keeps it, to be written when the test wants it."""

    is_down = True

    def __init__(self) -> None:
        self.records: list[bytes] = []

    def take(self, record: bytes) -> bool:
        self.records.append(record)
        return True

    def add(self, recording: Recording) -> None: ...
    def discard(self, recording: Recording) -> None: ...
    def flush(self, timeout_s: float | None = None) -> bool:
        return True


def family() -> tuple[Recording, Recording, list[bytes], list[bytes]]:
    """A run that starts another one in its second step; the records of each: the run, its events, its end."""
    above, below = Kept(), Kept()
    with Recording(above, agent_type="parent") as parent:  # type: ignore[arg-type]
        parent.event("log")
        with parent.span("work"), Recording(below, agent_type="child", parent=parent) as child:  # type: ignore[arg-type]
            child.event("log")
    return parent, child, above.records, below.records


def hung(store: Store, child: Recording) -> tuple[str, int] | None:
    """The run and the number of the step that a run hangs on."""
    with store.raw() as connection:
        return connection.execute(
            "SELECT x.parent_execution_id::text, e.step_number FROM workbench.agent_executions x"
            " JOIN workbench.observability_events e ON e.id = x.parent_event_id WHERE x.id = %s",
            [child.id],
        ).fetchone()


def test_a_child_is_linked_whatever_comes_first(store: Store):
    """The parent's row, its step and the child in every order, by one deliverer each: linked once both are there."""
    for order in sorted(set(permutations(["parent", "parent", "parent", "parent", "child"]))):
        parent, child, above, below = family()
        parts = iter([above[:1], above[1:2], above[2:3], above[3:]])
        writers = {"parent": writing.Writer(), "child": writing.Writer()}
        for name in order:
            lines = below if name == "child" else next(parts)
            batch = writers[name].batch(b"".join(lines))
            writing.write(store, batch)
            writers[name].wrote(batch)

        assert hung(store, child) == (str(parent.id), 1), order


def test_both_at_the_same_moment(store: Store, database_url: str):
    """Two deliverers commit parent and child together, again and again: no child is left alone."""
    other = Store.open(Settings.load(database_url=database_url))
    errors: list[Exception] = []
    families = [family() for _ in range(40)]
    lines = [[b"".join(one) for one in (above, below)] for _, _, above, below in families]
    together = threading.Barrier(2)

    def deliver(of: Store, n: int) -> None:
        try:
            for one in lines:
                together.wait()
                writing.write(of, writing.Writer().batch(one[n]))
        except Exception as error:  # noqa: BLE001 (told by the thread of the test)
            errors.append(error)
            together.abort()

    threads = [threading.Thread(target=deliver, args=about) for about in ((store, 0), (other, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()

    assert errors == []
    assert [hung(store, child) for _, child, _, _ in families] == [(str(parent.id), 1) for parent, *_ in families]


@pytest.mark.parametrize("first", ["parent", "child"])
def test_spools_of_killed_processes_in_either_order(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
):
    """A parent and its child in another process, both killed before anything was delivered."""
    monkeypatch.setenv("WORKBENCH_SPOOL", str(tmp_path / "spool"))
    code = """
    import os, signal, sys, workbench
    bench = workbench.connect(sys.argv[1], lazy=True)
    about = {"parent": sys.argv[2]} if len(sys.argv) > 2 else {}
    with bench.record(agent_type="child" if about else "parent", **about) as run, run.delivery._delivering:
        run.event("log")
        print(run.id, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    ids = []
    for name in ("parent", "child"):
        command = [sys.executable, "-c", textwrap.dedent(code), database_url, *ids]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        assert done.returncode == -signal.SIGKILL
        ids.append(done.stdout.strip())
        (spool,) = [path for path in tmp_path.rglob("*.spool") if not path.name.startswith("at-")]
        spool.rename(spool.with_name(f"at-{0 if name == first else 1}-{os.getpid()}.spool"))

    with workbench.connect(database_url) as bench:
        row = bench.executions(ids=[ids[1]]).row(0, named=True)
        assert (row["parent_execution_id"], row["error_type"]) == (ids[0], "abandoned")
    assert list(tmp_path.rglob("*.spool")) == []
