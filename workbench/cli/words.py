"""Advice in the words of the shell: our errors name what to do in Python's."""

from __future__ import annotations

import re

# Python's spelling → the shell's; what has no twin here (DuckDB over frames) stays Python's.
_SPELT = {
    r"(?<!runs=)bench\.(executions|tasks|environments|imports|quarantine)\(\)": r"workbench \1",
    r"\bbench\.(events|snapshots)\(run\)": r"workbench \1 RUN",
    r"\bingest\(path, format='([\w-]+)'\)": r"workbench ingest PATH --format \1",
    r"\bingest\(path, format=…\)": "workbench ingest PATH --format NAME",
    r"\bingest\(path, columns=\{'text': ('message'|…)\}\)": "workbench ingest PATH --column text=COLUMN",
    r"\bbench\.records, bench\.record\(\) or bench\.ingest\(\)": "workbench tasks, environments or ingest",
    r"\bconnect\('(postgresql://…)'\)": r"--url \1",
    r"\bconnect\(home=…\)": "--home DIR",
    r"\bGive params one value": "Give --param one value",
    r"\bparams=\['failed', 10\]": "--param failed --param 10",
    r"\bsql\(\) only reads": "sql only reads",
    r"\bwith redact=False \(originals=True of a bundle\)": "with --originals (export: --no-redact)",
}


def in_shell(text: str) -> str:
    """The text, its advice spelt as commands and options."""
    for python, shell in _SPELT.items():
        text = re.sub(python, shell, text)
    return text
