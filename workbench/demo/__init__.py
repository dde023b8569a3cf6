"""A small real agent to look at: it serves customers of an in-memory shop by rules, without an LLM, and is captured.

``shop`` is the world and its tools, ``tasks`` what customers ask and what a right end looks like, ``agent`` the
planner, the clerk and the reviewer with their injectable faults, ``run`` lets them work some 200 times under
``bench.record()``.
Nothing here is a stored result: every event, time and failure is of a run that happened when you called it.
"""

from __future__ import annotations

from .run import DemoReport, run

__all__ = ["DemoReport", "run"]
