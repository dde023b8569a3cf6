"""Runs written as short words: ``say:text``, ``tool?arguments``, ``tool=result`` and ``tool!error``."""

from __future__ import annotations

import json
from typing import Any

import polars as pl

SCHEMA = ["execution_id", "step_number", "event_type", "name", "data"]


def events(*runs: list[str]) -> pl.DataFrame:
    """The events of runs ``run-0``, ``run-1``, …, each given as its steps."""
    rows = [(f"run-{number}", at, *_event(word)) for number, words in enumerate(runs) for at, word in enumerate(words)]
    return pl.DataFrame(rows, schema=dict.fromkeys(SCHEMA, pl.String) | {"step_number": pl.Int64}, orient="row")


def outcomes(*words: str) -> pl.DataFrame:
    """The outcomes of ``run-0``, ``run-1`` and so on."""
    return pl.DataFrame({"execution_id": [f"run-{number}" for number in range(len(words))], "outcome": list(words)})


def _event(word: str) -> tuple[str, str, str]:
    if ":" in word:
        role, text = word.split(":", 1)
        return "message", role, json.dumps({"role": role, "text": text})
    for sign, made in (("?", _call), ("=", _result), ("!", _error)):
        if sign in word:
            name, rest = word.split(sign, 1)
            return made(name, rest)
    raise AssertionError(word)


def _call(name: str, rest: str) -> tuple[str, str, str]:
    arguments: dict[str, Any] = dict(pair.split("=") for pair in rest.split(",") if pair)
    return "tool_call", name, json.dumps({"role": "assistant", "tool": {"name": name, "arguments": arguments}})


def _result(name: str, rest: str) -> tuple[str, str, str]:
    return "tool_result", name, json.dumps({"role": "tool", "tool": {"name": name, "result": rest}})


def _error(name: str, rest: str) -> tuple[str, str, str]:
    tool = {"name": name, "result": rest, "is_error": True}
    return "tool_result", name, json.dumps({"role": "tool", "tool": tool})
