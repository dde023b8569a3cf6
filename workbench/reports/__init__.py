"""Reports: a parameterised notebook, executed and saved as one HTML file that works with the network off.

``report(bench, run, output="report.html")`` writes about one run, without ``run`` about all of them;
``export_html(notebook, title=…)`` saves any executed notebook the same way; ``Table``, ``Facts``, ``Note``,
``duration`` and ``run_label`` show values in it. The report notebooks lie in ``notebooks/reports/`` and are ordinary
notebooks: open one, set its parameters, run it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .export import export_html
    from .run import report
    from .table import Facts, Note, Table
    from .words import duration, run_label

__all__ = ["Facts", "Note", "Table", "duration", "export_html", "report", "run_label"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    homes = {
        "Facts": ".table",
        "Note": ".table",
        "Table": ".table",
        "duration": ".words",
        "export_html": ".export",
        "report": ".run",
        "run_label": ".words",
    }
    if name not in homes:
        raise AttributeError(f"module 'workbench.reports' has no attribute {name!r}. It has: {', '.join(__all__)}")
    value = getattr(import_module(homes[name], __name__), name)
    globals()[name] = value
    return value
