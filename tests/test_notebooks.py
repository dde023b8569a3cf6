"""The example notebooks run, and the numbers in them are the ones they show. Report templates keep no outputs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import psycopg
import pytest

import workbench
from workbench import demo
from workbench.data.store.server import EmbeddedServer

FOLDER = Path(__file__).parent.parent / "notebooks"
EXAMPLES = sorted(FOLDER.glob("[0-9]*.ipynb"))
TEMPLATES = sorted((FOLDER / "reports").glob("*.ipynb"))


@pytest.fixture(scope="module")
def demo_url(server: EmbeddedServer) -> Iterator[str]:
    """One database with the runs of `make demo`, which all kernels attach to."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE notebooks TEMPLATE workbench_template")
    url = server.url(database="notebooks")
    with workbench.connect(url) as bench:
        demo.run(bench, progress=False)
    yield url
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("DROP DATABASE notebooks WITH (FORCE)")


@pytest.mark.parametrize("notebook", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs_and_shows_what_it_says(notebook: Path, demo_url: str):
    """Every cell runs under nbval; the outputs of cells tagged nbval-check-output are compared, unsanitized."""
    # A process of its own: nbval collects notebooks with its own options, which this run does not have.
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=120", "-q",
               "-p", "no:cacheprovider", "-p", "no:playwright", "--override-ini=addopts=", str(notebook)]  # fmt: skip
    done = subprocess.run(
        command, env={**os.environ, "WORKBENCH_DATABASE_URL": demo_url}, capture_output=True, text=True, check=False
    )

    cells = sum(cell.cell_type == "code" for cell in nbformat.read(notebook, 4).cells)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert f"{cells} passed" in done.stdout


@pytest.mark.parametrize("path", [*EXAMPLES, *TEMPLATES], ids=lambda path: path.stem)
def test_notebook_is_clean(path: Path):
    """No widget state is stored, and outputs only where they are checked (nbval wants an execution count there)."""
    notebook = nbformat.read(path, 4)

    nbformat.validate(notebook)
    assert "widgets" not in notebook.metadata
    for cell in notebook.cells:
        if cell.cell_type == "code":
            is_checked = "nbval-check-output" in cell.metadata.get("tags", [])
            assert bool(cell.outputs) == is_checked, cell.source
            assert (cell.execution_count is not None) == is_checked, cell.source


def test_examples_are_checked():
    """Each example compares some numbers; a notebook without a checked cell proves little."""
    unchecked = [path.name for path in EXAMPLES if "nbval-check-output" not in path.read_text("utf-8")]

    assert len(EXAMPLES) >= 3
    assert unchecked == []
