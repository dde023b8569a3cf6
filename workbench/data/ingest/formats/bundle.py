"""A run that another workbench wrote with ``bench.export_bundle()``: a zip of a manifest and JSON lines.

Keys read of the run: those of ``agent_executions``; of an event: those of ``observability_events``. The run's own id
and format are kept in its metadata as ``bundled_from``.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import orjson

from workbench.data.ingest.normal import BadLine, Run, State, Step, TaskRef, Usage
from workbench.data.ingest.reading.source import Head, Source
from workbench.errors import IngestError

FORMAT = "workbench-bundle"
TITLE = "Workbench bundle"

_RUN, _VERSION = "run.jsonl", 1
_DATA = ("role", "text", "tool", "tool_calls", "model", "cost_usd", "error", "extra")
_COLUMNS = (
    "event_type", "name", "agent", "category", "severity", "duration_ms", "trace_id", "span_id", "parent_span_id",
    "mark",
)  # fmt: skip
_RUN_FIELDS = (
    "agent_type", "status", "name", "model", "score", "execution_time_ms", "input", "output", "error", "error_type",
    "trace_id",
)  # fmt: skip


def detect(head: Head) -> float:
    """A zip whose first entry is ours."""
    return 1.0 if head.data[:4] == b"PK\3\4" and head.data[30 : 30 + len(_RUN)] == _RUN.encode() else 0.0


def read(source: Source) -> Iterator[Run | BadLine]:
    """Yield the one run.

    Raises
    ------
    IngestError
        The zip is damaged, or its first line is no run.
    """
    run: Run | None = None
    try:
        with source.open() as file, zipfile.ZipFile(file) as archive, archive.open(_RUN) as lines:
            for number, line in enumerate(lines, 1):
                try:
                    given = orjson.loads(line)
                    run = _taken(run, given)
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    if run is None:
                        raise IngestError(f"{source.name}: line 1 is no run: {error}.", path=source.name) from None
                    yield BadLine(number, f"no event or state of a bundle: {error}")
    except (zipfile.BadZipFile, KeyError, EOFError, zlib.error, OSError) as error:
        if run is None:
            raise IngestError(f"{source.name} cannot be read: {error}.", path=source.name) from None
        yield BadLine(None, f"the zip is damaged: {error}")
    if run is None:
        raise IngestError(f"{source.name} holds no run.", path=source.name)
    yield run


def _taken(run: Run | None, given: dict[str, Any]) -> Run:
    kind = given.pop("kind")
    if run is None:
        if kind != "run":
            raise ValueError(f"it is of the kind {kind!r}")
        return _run(given)
    if kind == "event":
        run.steps.append(_step(given))  # pyright: ignore[reportAttributeAccessIssue]
    elif kind == "state":
        run.states.append(
            State(
                int(given["step_number"]),
                given["document"],
                timestamp=_time(given.get("timestamp")),
                description=given.get("description"),
                checkpoint=bool(given.get("checkpoint")),
            )
        )
    elif kind == "pruned":
        run.gaps.append(_gap(run, int(given["first_step"]), int(given["last_step"]), int(given["n_states"])))
    else:
        raise ValueError(f"unknown kind {kind!r}")
    return run


def _gap(run: Run, first: int, last: int, n_states: int) -> tuple[int, int, int]:
    """Steps without a state; the bundle tells of its states before."""
    if not 0 <= first <= last < 2**31 or not 0 < n_states < 2**31:
        raise ValueError(f"steps {first} to {last} are none that were pruned")
    if any(first <= state.step_number <= last for state in run.states):
        raise ValueError(f"a state stands among the steps {first} to {last}, which are said to have none")
    return first, last, n_states


def _run(given: Mapping[str, Any]) -> Run:
    reported = given.get("reported") or {}
    is_given = given.get("cost_source") == "source" and given.get("cost") is not None
    return Run(
        f"{given['source']}:{given['source_id']}",
        started_at=_time(given.get("started_at")),
        completed_at=_time(given.get("completed_at")),
        usage=_usage(given.get("token_usage")),
        cost_usd=float(given["cost"]) if is_given else None,
        reported_usage=_usage(reported.get("usage")),
        reported_cost_usd=reported.get("cost_usd"),
        task=_task(given.get("task")),
        metadata={**(given.get("metadata") or {}), "bundled_from": given["source"]},
        **_given(given, _RUN_FIELDS),
    )


def _task(given: Mapping[str, Any] | None) -> TaskRef | None:
    if not given:
        return None
    return TaskRef(str(given["id"]), str(given["title"]), given.get("description"), given.get("metadata") or {})


def _step(given: Mapping[str, Any]) -> Step:
    data = given.get("data") or {}
    return Step(
        source_id=str(given["id"]),
        timestamp=_time(given.get("timestamp")),
        usage=_usage(data.get("usage")),
        **_given(given, _COLUMNS),
        **_given(data, _DATA),
    )


def _given(values: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: values[name] for name in names if values.get(name) is not None}


def _usage(given: Mapping[str, Any] | None) -> Usage | None:
    return Usage(**{name: given[name] for name in Usage.__slots__ if name in given}) if given else None


def _time(given: str | None) -> datetime | None:
    return None if given is None else datetime.fromisoformat(given)
