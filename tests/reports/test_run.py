"""A report notebook is executed with parameters, against a store it is told of by environment only."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest

from workbench.errors import ConfigurationError, ReportError
from workbench.reports import run as reports

PARAMETERS = "a = 1\nb: str | None = None"


def template(folder: Path, *sources: str) -> Path:
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in (PARAMETERS, *sources)]
    notebook.cells[0].metadata["tags"] = ["parameters"]
    path = folder / "mine.ipynb"
    nbformat.write(notebook, path)
    return path


def printed(notebook: nbformat.NotebookNode) -> str:
    return "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))


def test_parameters_go_behind_the_tagged_cell(tmp_path: Path):
    """Values are injected as literals after the defaults, whatever quotes they hold."""
    notebook = reports.load(template(tmp_path, "print(a, b)"), {"b": 'it\'s "so"\n'})

    assert notebook.cells[1].source == "b = 'it\\'s \"so\"\\n'"
    assert notebook.cells[1].metadata["tags"] == ["injected-parameters"]
    assert len(reports.load(template(tmp_path), {}).cells) == 1


def test_unknown_parameter_is_named_with_the_known_ones(tmp_path: Path):
    """A misspelt parameter is an error before anything runs."""
    with pytest.raises(ConfigurationError, match=r"no parameter 'c'. It has: b, a"):
        reports.load(template(tmp_path), {"c": 1})


def test_a_parameter_must_have_a_literal_form(tmp_path: Path):
    """An object cannot be written into a cell."""
    with pytest.raises(ConfigurationError, match="'a' is <object"):
        reports.load(template(tmp_path), {"a": object()})


def test_unknown_template_lists_the_known_ones():
    """The error names the templates that come with Workbench."""
    with pytest.raises(ConfigurationError, match="There is: cohort_report, execution_report"):
        reports.template_path("nope")


def test_runs_in_this_interpreter_with_this_environment(tmp_path: Path):
    """The kernel is this Python, and finds what it was given in its environment."""
    code = "import sys, os\nprint(sys.executable, os.environ['WB_TEST'], a, b)"
    notebook = reports.load(template(tmp_path, code), {"a": 7})

    reports.execute(notebook, environment={"WB_TEST": "given"})

    assert printed(notebook) == f"{sys.executable} given 7 None\n"


def test_runs_inside_a_running_event_loop(tmp_path: Path):
    """A report can be written from a notebook, where an event loop runs already."""
    notebook = reports.load(template(tmp_path, "print(a)"), {})

    async def from_a_notebook() -> None:
        reports.execute(notebook, environment={})

    # In a thread of its own: the browser tests of the same run keep a loop running in this one.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(from_a_notebook())).result()

    assert printed(notebook) == "1\n"


def test_failing_cell_is_carried(tmp_path: Path):
    """The error names the cell, its code and what it said."""
    notebook = reports.load(template(tmp_path, "x = 1", "1 / 0", "print('never')"), {"a": 2})

    with pytest.raises(ReportError, match=r"The report mine failed in cell 3: ZeroDivisionError") as caught:
        reports.execute(notebook, environment={}, name="mine")

    assert vars(caught.value)["cell"] == 3
    assert vars(caught.value)["source"] == "1 / 0"
    assert "ZeroDivisionError" in vars(caught.value)["traceback"]


def test_dead_kernel_is_a_report_error(tmp_path: Path):
    """A kernel that dies is reported, with the cell that killed it."""
    notebook = reports.load(template(tmp_path, "import os", "os._exit(9)"), {})

    with pytest.raises(ReportError, match="failed in cell 2") as caught:
        reports.execute(notebook, environment={})

    assert vars(caught.value)["source"] == "os._exit(9)"


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("mispelt/report.html", "there is no folder .*mispelt"),
        ("file/report.html", "there is no folder .*file"),
        ("taken", "that is a folder. Name a file in it"),
        ("x" * 300 + "/report.html", "there is no folder"),
    ],
)
def test_a_place_no_file_can_have_is_told_before_anything_runs(tmp_path: Path, place: str, said: str):
    """The error names the path and what to do; no folder is made and the store is not asked."""
    (tmp_path / "file").write_text("")
    (tmp_path / "taken").mkdir()

    with pytest.raises(ReportError, match=said) as caught:
        reports.report(None, output=tmp_path / place)  # pyright: ignore[reportArgumentType]

    assert vars(caught.value)["path"] == tmp_path / place
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken"]


def test_a_file_that_cannot_be_written_leaves_nothing_half(tmp_path: Path):
    """A name that the disk refuses is an error; a good one is the page, and no part file stays."""
    with pytest.raises(ReportError, match="could not be written"):
        reports._written("page", tmp_path / ("x" * 300))

    assert reports._written("page", tmp_path / "report.html").read_text() == "page"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
