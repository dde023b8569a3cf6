"""Workbench: the notebook-native debugger for AI agents. Your runs, in your Postgres, in your kernel.

::

    import workbench as wb

    bench = wb.connect()                                 # embedded Postgres; or connect("postgresql://…")
    bench.ingest("traces/")                              # any known format, detected; returns a report
    runs = bench.executions(status="failed", since="7d") # polars.DataFrame
    run = runs["id"][0]

    wb.ExecutionBrowser(runs)                            # a frame in, a widget out
    wb.Timeline(bench.events(run))
    wb.DiffView(bench.compare(run, other))
    wb.ReplayPlayer(bench.replay(run))                   # step by step: state, changes, messages, notes, branches
    wb.Dashboard(bench.executions())
    wb.CohortView(bench.cohort(task="…"))                # where good and failed runs of a task part
    bench.find(wb.state("cart.total") > 100)             # every step of every run; see workbench._predicates

The rooms: ``workbench.data`` (store, frames, ingest), ``workbench.replay`` (capture, compare, delta),
``workbench.memory`` (search), ``workbench.widgets``, ``workbench.reports`` and the door: this module, the ``workbench``
command and ``%load_ext workbench``. Importing this module loads none of the heavy libraries; they come with the first
use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import errors
from .errors import WorkbenchError

if TYPE_CHECKING:
    from ._predicates import event, never, run, state
    from ._workbench import Workbench, connect
    from .data.frames.columns import columns
    from .magics import load_ipython_extension as load_ipython_extension
    from .widgets import CohortView, Dashboard, DiffView, ExecutionBrowser, ReplayPlayer, Timeline

__version__ = "0.1.0"

__all__ = [
    "CohortView",
    "Dashboard",
    "DiffView",
    "ExecutionBrowser",
    "ReplayPlayer",
    "Timeline",
    "Workbench",
    "WorkbenchError",
    "__version__",
    "columns",
    "connect",
    "errors",
    "event",
    "never",
    "run",
    "state",
]

_LAZY = {
    "CohortView": "workbench.widgets",
    "Dashboard": "workbench.widgets",
    "DiffView": "workbench.widgets",
    "ExecutionBrowser": "workbench.widgets",
    "ReplayPlayer": "workbench.widgets",
    "Timeline": "workbench.widgets",
    "Workbench": "workbench._workbench",
    "connect": "workbench._workbench",
    "columns": "workbench.data.frames.columns",
    "event": "workbench._predicates",
    "never": "workbench._predicates",
    "run": "workbench._predicates",
    "state": "workbench._predicates",
    "load_ipython_extension": "workbench.magics",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'workbench' has no attribute {name!r}. It has: {', '.join(__all__)}")
    from importlib import import_module

    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(__all__) | set(globals()))
