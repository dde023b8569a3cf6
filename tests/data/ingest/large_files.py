"""Files larger than what is held: read twice and compared with the same lines held, and read in a fresh process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from workbench.data.ingest.normal import BadLine, Run, Steps
from workbench.data.ingest.reading.marks import mark
from workbench.data.ingest.reading.source import Source
from workbench.data.store.engine import Store


def check_read_again(reader: Any, sources: Iterable[tuple[bytes, str]]) -> Iterator[Run]:
    """Assert that each file gives the same, held and read twice, and the marks that its steps deserve; the runs."""
    for data, name in sources:
        held, held_source = _read(reader, data, name)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reader, "HELD_BYTES", 0)
            again, source = _read(reader, data, name)
            told = [(vars_of(run), list(run.steps)) for run in _runs(again)]
            assert all(isinstance(run.steps, Steps) and len(list(run.steps)) == len(run.steps) for run in _runs(again))
        assert [repr(run) for run in told] == [repr((vars_of(run), run.steps)) for run in _runs(held)]
        assert [item for item in again if isinstance(item, BadLine)] == [i for i in held if isinstance(i, BadLine)]
        assert source.notes == held_source.notes
        for run in _runs(held):
            marks = [step.mark for step in run.steps]
            mark(run.steps)
            assert marks == [step.mark for step in run.steps]
            yield run


def _read(reader: Any, data: bytes, name: str) -> tuple[list[Run | BadLine], Source]:
    source = Source.from_bytes(data, name)
    return list(reader.read(source)), source


def _runs(found: list[Run | BadLine]) -> list[Run]:
    return [item for item in found if isinstance(item, Run)]


def vars_of(run: Run) -> dict[str, Any]:
    return {name: getattr(run, name) for name in run.__slots__ if name != "steps"}


def peak_of(store: Store, path: Path) -> tuple[int, int]:
    """Ingest a file in a process of its own: how many events, and the most memory the process held, in MB."""
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, store.url, str(path)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ.copy(),
    )
    n_events, peak = map(int, done.stdout.split())
    return n_events, peak


_PEAK = """
import resource, sys
from workbench.data.ingest import ingest
from workbench.data.store.engine import Store
from workbench.settings import Settings
report = ingest(Store.open(Settings.load(database_url=sys.argv[1])), sys.argv[2], progress=False)
print(report.totals.events, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
