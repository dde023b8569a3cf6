"""Run the example notebooks on fresh demo runs and keep the outputs that tests compare.

Cells tagged ``nbval-check-output`` keep what they show, all others nothing; no widget state is stored. Look at the
difference before committing it: a changed number is a changed promise.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import nbformat

import workbench
from workbench import demo
from workbench.reports.run import execute

FOLDER = Path(__file__).parent.parent / "notebooks"


def refresh(path: Path, url: str) -> None:
    """Execute one notebook against the store at ``url`` and write it back."""
    notebook = nbformat.read(path, as_version=4)
    execute(notebook, environment={"WORKBENCH_DATABASE_URL": url}, name=path.stem)
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python"}
    number = 0
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        number += 1
        is_checked = "nbval-check-output" in cell.metadata.get("tags", [])
        cell.execution_count = number if is_checked else None  # nbval takes a cell without a count for one never run
        cell.outputs = cell.outputs if is_checked else []
        for output in cell.outputs:
            if "execution_count" in output:
                output["execution_count"] = number
    nbformat.validate(notebook)
    path.write_text(nbformat.writes(notebook).rstrip("\n") + "\n", encoding="utf-8")


def main() -> None:
    """Refresh all example notebooks."""
    with tempfile.TemporaryDirectory() as home, workbench.connect(home=home) as bench:
        demo.run(bench, progress=False)
        for path in sorted(FOLDER.glob("[0-9]*.ipynb")):
            refresh(path, bench.store.url)
            print(path.name)


if __name__ == "__main__":
    main()
