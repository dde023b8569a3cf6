"""The ``workbench`` command: the verbs of the API in a shell.

``--json``, ``--home`` and ``--url`` may stand before or after the verb. Results go to stdout (``--json``: JSON and
nothing else), progress and errors to stderr; an error is one line, or with ``--json`` one object ``{"error": {"type",
"message", …}}``, also where the error is none of ours; ``WORKBENCH_TRACEBACK=1`` adds the traceback. Exit codes: 0
done · 1 the work failed (a file that cannot be read, nothing found, a check that failed) · 2 the command was wrong
(usage, settings) · 130 stopped by Ctrl+C.

A table fits the terminal, its values cut with "…"; into a file or a pipe (without ``COLUMNS``) values are whole, and
a row is a line all the same.
"""

from __future__ import annotations

from .app import main

__all__ = ["main"]
