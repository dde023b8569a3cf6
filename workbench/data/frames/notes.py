"""Notes, pins and checkpoints of a run's course, those that people put there and those that were recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from psycopg import sql

from workbench.data.store.course import course

if TYPE_CHECKING:
    from workbench.data.frames.transport import Transport

UTC = pl.Datetime("us", "UTC")

schema: dict[str, Any] = {
    "id": pl.String,
    "execution_id": pl.String,
    "step_number": pl.Int64,
    "kind": pl.String,
    "text": pl.String,
    "author": pl.String,
    "created_at": UTC,
    "updated_at": UTC,
    "is_recorded": pl.Boolean,  # a checkpoint of the agent's own, which nobody edits
}

_QUERY = """
WITH stretch (run, after, until) AS (SELECT * FROM unnest({runs}::uuid[], {after}::int[], {until}::int[])),
told AS (
  SELECT note.id, note.execution_id, coalesce(event.step_number, note.step_number) AS step, note.kind, note.text,
    note.author, note.created_at, note.updated_at, false AS is_recorded
  FROM workbench.step_notes note LEFT JOIN workbench.observability_events event ON event.id = note.event_id
  WHERE note.execution_id IN (SELECT run FROM stretch)
  UNION ALL
  SELECT id, execution_id, step_number, 'checkpoint', coalesce(description, ''), NULL, "timestamp", "timestamp", true
  FROM workbench.execution_snapshots WHERE checkpoint AND execution_id IN (SELECT run FROM stretch)
)
SELECT id::text AS id, execution_id::text AS execution_id, step::bigint AS step_number, kind, text, author, created_at,
  updated_at, is_recorded
FROM told JOIN stretch ON run = execution_id AND step > after AND (until IS NULL OR step <= until)
ORDER BY step, created_at NULLS FIRST, id
"""


def notes(transport: Transport, run: str) -> pl.DataFrame:
    """What is noted on the steps of a run, of a fork also on those it shares.

    Returns
    -------
    polars.DataFrame
        Columns of :data:`schema`, by step: ``kind`` (note · pin · checkpoint), ``text`` (of a checkpoint: its name).
    """
    with transport.reading() as connection:
        stretches = course(connection, run)
    query = sql.SQL(_QUERY).format(
        runs=sql.Literal([one.execution_id for one in stretches]),
        after=sql.Literal([one.after for one in stretches]),
        until=sql.Literal([one.until for one in stretches]),
    )
    return transport.fetch(query, schema)
