"""The frame of secrets: where they stand, never what they are."""

from __future__ import annotations

from typing import Any

import polars as pl
from psycopg import sql

from workbench.data.frames import filters
from workbench.data.frames.runs import run_ids
from workbench.data.frames.transport import Transport

SCHEMA = {
    "execution_id": pl.String,
    "event_id": pl.String,
    "step_number": pl.Int64,
    "place": pl.String,
    "rule": pl.String,
    "digest": pl.String,
    "shown": pl.String,
}

_QUERY = """
SELECT s.execution_id, s.event_id,
  coalesce(e.step_number, CASE WHEN s.place LIKE 'state/%' THEN split_part(s.place, '/', 2)::int END)::bigint
    AS step_number,
  s.place, s.rule, s.digest, s.shown
FROM workbench.secrets s LEFT JOIN workbench.observability_events e ON e.id = s.event_id
"""


def secrets(transport: Transport, run: Any = None) -> pl.DataFrame:
    """The secrets of a run, of several, or of all; see :meth:`workbench.Workbench.secrets`."""
    query = sql.SQL(_QUERY)  # pyright: ignore[reportArgumentType]
    if run is not None:
        query += sql.SQL("WHERE ") + filters.ids(sql.SQL("s.execution_id"), run_ids(transport, run))
    query += sql.SQL(" ORDER BY s.execution_id, step_number NULLS FIRST, s.place, s.rule, s.digest")
    return transport.fetch(query, SCHEMA)
