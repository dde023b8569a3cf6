"""Execute a parameterised notebook against a store and save it as one HTML file."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError, MissingExtraError, ReportError

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from .._workbench import Workbench

# In a wheel the notebooks lie beside this module, in a checkout at its top.
_BUNDLED = Path(__file__).parent / "examples"
EXAMPLES = _BUNDLED if _BUNDLED.is_dir() else Path(__file__).parents[2] / "notebooks"
TEMPLATES = EXAMPLES / "reports"

# The whole name stands in the page's first table.
_HEADLINE = 160

# One cell of a report reads at most some thousand rows; longer than this it hangs.
_CELL_TIMEOUT_S = 600


def report(
    bench: Workbench,
    run: Any = None,
    *,
    output: str | Path,
    template: str | Path | None = None,
    title: str | None = None,
    redact: bool = True,
    **parameters: Any,
) -> Path:
    """Write one self-contained HTML file about a run, or about all runs.

    Parameters
    ----------
    bench
        Where the runs are.
    run
        Id, id prefix or record of one run; ``None`` for a cohort.
    output
        The HTML file; its folder has to exist, so that a misspelt path makes none.
    template
        ``"execution_report"`` (the default with a run), ``"cohort_report"`` (the default without) or the path of a
        notebook of your own with a cell tagged ``parameters``.
    title
        Heading of the page; else one made from the run.
    redact
        Replace every password, token and key by ``[redacted: rule]``. ``False`` writes the originals.
    **parameters
        Values for names that the template's ``parameters`` cell assigns, e.g. ``since="7d"``; ``None`` keeps its
        default.

    Returns
    -------
    Path
        The file written. Connection settings are passed to the notebook by environment and are not in it.

    Raises
    ------
    NotFoundError
        No such run.
    ConfigurationError
        No such template, or it has no such parameter.
    ReportError
        A cell failed; ``.cell`` is its number, ``.source`` its code, ``.traceback`` what it said. Or the file cannot be
        written; ``.path`` is its path. No file is written.
    DisclosureError
        A secret is left in the finished page; nothing is written.
    MissingExtraError
        The extra ``lab`` is not installed.
    """
    target = _place(Path(output))
    given = {name: value for name, value in parameters.items() if value is not None}
    if run is not None:
        given["run"] = bench.frames.run_id(run)
        about = bench.executions(ids=[given["run"]]).row(0, named=True)
        named = about["name"] or about["source_id"] or given["run"]
        title = title or f"Run {_headline(_cleared(bench, named) if redact else named)}"
    path = template_path(template or ("cohort_report" if run is None else "execution_report"))
    notebook = load(path, given)
    execute(notebook, environment={**_connection(bench), "WORKBENCH_REDACT": str(redact).lower()}, name=path.stem)
    from .export import export_html

    page = export_html(notebook, title=title or path.stem.replace("_", " ").capitalize())
    if redact:
        from ..data.secrets.leaks import refuse

        refuse(page.encode("utf-8", "replace"), target.name)
    return _written(page, target)


def _cleared(bench: Workbench, text: str) -> str:
    from ..data.secrets.known import redactor

    return redactor(bench.store).text(text)


def _headline(name: str) -> str:
    """A run's name as the page's title: cut, and without what would hide in it or turn its direction."""
    from .table import shown

    name = shown(name)
    return name if len(name) <= _HEADLINE else f"{name[:_HEADLINE]}…"


def _place(target: Path) -> Path:
    """A path that a file can have, asked before anything runs."""
    if os.path.isdir(target):  # noqa: PTH112 - it answers for a path that is too long or forbidden; Path.is_dir() raises
        problem = "that is a folder. Name a file in it"
    elif not os.path.isdir(target.parent):  # noqa: PTH112
        problem = f"there is no folder {target.parent}. Make it, or give the path of a file in one that exists"
    else:
        return target
    raise ReportError(f"The report could not be written to {target}: {problem}.", path=target)


def _written(page: str, target: Path) -> Path:
    """Write beside the target, then rename: a full disk leaves no half report under its name."""
    part = target.with_name(f".{target.name}.part")
    try:
        try:
            part.write_text(page, encoding="utf-8")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as problem:
        raise ReportError(f"The report could not be written to {target}: {problem.strerror}", path=target) from problem
    return target


def template_path(template: str | Path) -> Path:
    """The notebook of a template's name or path.

    Raises
    ------
    ConfigurationError
        There is none; the text lists the names.
    """
    for path in (TEMPLATES / f"{template}.ipynb", Path(template)):
        if path.is_file():
            return path
    names = ", ".join(sorted(path.stem for path in TEMPLATES.glob("*.ipynb")))
    raise ConfigurationError(f"No report template {str(template)!r}. There is: {names}; or give a notebook's path.")


def load(path: Path, parameters: Mapping[str, Any]) -> NotebookNode:
    """Read a notebook and put a cell with these values behind its ``parameters`` cell.

    Raises
    ------
    ConfigurationError
        The notebook has no such parameter.
    """
    nbformat = _lab("nbformat")
    notebook = nbformat.read(path, as_version=4)
    where, known = next(
        (
            (number, _assigned(cell.source))
            for number, cell in enumerate(notebook.cells)
            if "parameters" in cell.metadata.get("tags", [])
        ),
        (-1, []),
    )
    for name in parameters:
        if name not in known:
            allowed = f"It has: {', '.join(known)}." if known else "It has none (no cell is tagged 'parameters')."
            raise ConfigurationError(f"The report {path.stem} has no parameter {name!r}. {allowed}")
    if parameters:
        source = "\n".join(f"{name} = {_literal(name, value)}" for name, value in parameters.items())
        cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["injected-parameters"]})
        notebook.cells.insert(where + 1, cell)
    return notebook


def execute(notebook: NotebookNode, *, environment: Mapping[str, str], name: str = "notebook") -> None:
    """Run all cells in a kernel of this interpreter and keep outputs and widget state in ``notebook``.

    Raises
    ------
    ReportError
        A cell failed, took too long, or the kernel died.
    """
    client = _lab("nbclient")
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    reached = [0]
    runner = client.NotebookClient(
        notebook,
        km=_kernel(),
        timeout=_CELL_TIMEOUT_S,
        store_widget_state=True,
        allow_errors=False,
        on_cell_execute=lambda cell, cell_index: reached.append(cell_index),
    )
    try:
        # cleanup_kc: nbclient leaves a kernel alone whose manager it was given.
        runner.execute(env={**os.environ, **environment}, cleanup_kc=True)
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as problem:
        raise _failure(notebook, name, reached[-1], problem) from problem


def _failure(notebook: NotebookNode, name: str, number: int, problem: Exception) -> ReportError:
    """The error with the cell it came from."""
    cell = notebook.cells[number]
    error = next((output for output in cell.get("outputs", []) if output.output_type == "error"), None)
    said = f"{error.ename}: {error.evalue}" if error else str(problem)
    return ReportError(
        f"The report {name} failed in cell {number}: {said}",
        cell=number,
        source=cell.source,
        traceback="\n".join(error.traceback) if error else "",
    )


def _kernel() -> Any:
    """A kernel manager for this very interpreter, whatever kernelspecs are installed."""
    _lab("ipykernel")
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    class ThisInterpreter(KernelSpecManager):
        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=ERROR"]
            return KernelSpec(argv=argv, display_name="Python 3", language="python")

    return AsyncKernelManager(kernel_spec_manager=ThisInterpreter(), kernel_name="python3")


def _connection(bench: Workbench) -> dict[str, str]:
    return {"WORKBENCH_DATABASE_URL": bench.store.url}


def _assigned(source: str) -> list[str]:
    """The names a ``parameters`` cell assigns."""
    targets = [node.target for node in ast.parse(source).body if isinstance(node, ast.AnnAssign)]
    targets += [target for node in ast.parse(source).body if isinstance(node, ast.Assign) for target in node.targets]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _literal(name: str, value: Any) -> str:
    """Python source of a value.

    Raises
    ------
    ConfigurationError
        The value has no literal form.
    """
    text = repr(value.isoformat() if hasattr(value, "isoformat") else str(value) if isinstance(value, Path) else value)
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise ConfigurationError(
            f"The report parameter {name!r} is {value!r}; it must be a text, number, boolean, list or mapping of these."
        ) from None
    return text


def _lab(module: str) -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as missing:
        raise MissingExtraError("A report", "lab") from missing
