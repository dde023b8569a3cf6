"""What is stored of a run, as the normal form that it was made of."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import orjson
import psycopg

from workbench.data.ingest.normal import Run, Step, Usage

StepRow = Sequence[Any]  # in the order of _STEPS
TIMESTAMP = 7  # the place of a step's time in its row


def step_rows(connection: psycopg.Connection, execution: uuid.UUID) -> Sequence[StepRow]:
    """The stored events of a run in the order of time."""
    return connection.execute(_STEPS, {"run": execution}).fetchall()


def step_of(row: StepRow) -> Step:
    """A stored event as the step it was made of; its ``source_id`` is the id of the event."""
    own, _, *columns, text = row
    data = orjson.loads(text)
    fields = {
        key: data.get(key) for key in ("role", "text", "tool", "tool_calls", "model", "cost_usd", "error", "extra")
    }
    names = ("event_type", "name", "agent", "category", "severity", "timestamp", "duration_ms", "trace_id", "span_id")
    usage = Usage(**data["usage"]) if "usage" in data else None
    columns_by_name = dict(zip((*names, "parent_span_id", "mark"), columns, strict=True))
    return Step(**columns_by_name, source_id=str(own), usage=usage, **fields)


def stored_run(connection: psycopg.Connection, execution: uuid.UUID, part: Run) -> Run:
    """What is stored of a run beside its steps; ``part`` where nothing is."""
    row = connection.execute(_TOLD, {"run": execution}).fetchone()
    if row is None:
        return part
    *fields, given, answered, about = row
    names = ("agent_type", "name", "trace_id")
    told = Run(part.source_id, **dict(zip(names, fields, strict=True)), metadata=orjson.loads(about))
    told.input, told.output = (value and orjson.loads(value) for value in (given, answered))
    return told


_TOLD = """
SELECT agent_type, name, trace_id, input::text, output::text, metadata::text
FROM workbench.agent_executions WHERE id = %(run)s
"""

_STEPS = """
SELECT id, step_number, event_type, name, agent, category, severity, timestamp, duration_ms, trace_id, span_id,
  parent_span_id, mark, data::text
FROM workbench.observability_events WHERE execution_id = %(run)s ORDER BY timestamp NULLS FIRST, step_number, id
"""
