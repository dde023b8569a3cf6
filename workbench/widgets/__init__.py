"""The widgets: a frame in, a view out. Each is one Python file beside one JavaScript module of the same name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cohort_view import CohortView
    from .dashboard import Dashboard
    from .diff_view import DiffView
    from .execution_browser import ExecutionBrowser
    from .replay_player import ReplayPlayer
    from .timeline import Timeline

__all__ = ["CohortView", "Dashboard", "DiffView", "ExecutionBrowser", "ReplayPlayer", "Timeline"]

_HOMES = {
    "CohortView": "cohort_view",
    "Dashboard": "dashboard",
    "DiffView": "diff_view",
    "ExecutionBrowser": "execution_browser",
    "ReplayPlayer": "replay_player",
    "Timeline": "timeline",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'workbench.widgets' has no attribute {name!r}. It has: {', '.join(__all__)}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value
