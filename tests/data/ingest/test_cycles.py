"""While a file is read nobody looks for cycles among its values, so there must be none."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from good_files import good_files

from workbench.data.ingest.detect import reader
from workbench.data.ingest.normal import Run
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.writing.rows import RowMaker

_SEEDS = good_files()


@contextmanager
def garbage() -> Iterator[Counter[str]]:
    """What of ours only the collector would find, by class, when the ``with`` is left."""
    found: Counter[str] = Counter()
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield found
        gc.collect()
        found.update(type(item).__qualname__ for item in gc.garbage if type(item).__module__.startswith("workbench"))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


@pytest.mark.parametrize("format", sorted({seed.format for seed in _SEEDS}))
def test_no_run_keeps_itself_alive(format: str) -> None:
    """What a run held goes when its rows are made, in every format."""
    chosen, n_rows = reader(format), 0
    with garbage() as found:
        for seed in _SEEDS:
            if seed.format == format:
                source = Source.from_bytes(seed.data, seed.name)
                source.columns = seed.columns
                maker = RowMaker(format, source, None)
                runs = (item for item in chosen.read(source) if isinstance(item, Run))
                n_rows += sum(len(chunk.events) + len(chunk.snapshots) for chunk in maker.chunks(runs))

    assert n_rows
    assert found == Counter()
