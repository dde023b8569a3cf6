"""Link runs to the run and the step that they hang on, whichever of the two files is read first.

Either side may tell it: the child names its parent (``Run.parent_source_id``) and the step there (``Run.spawned_by``),
or the parent names its children with the step that started each (``Run.spawns``), or the files of those
(``Run.linked_files``). All are kept with the run, so what cannot be linked today is linked when the other file comes.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import psycopg

from workbench.data.ingest.detect import Reader
from workbench.data.ingest.ids import event_id, execution_id, key
from workbench.data.ingest.ledger.turns import Turn
from workbench.data.ingest.normal import Run
from workbench.data.ingest.writing.file_links import link_files


class Links:
    """What the runs of one file say of parents and children, and the linking of it all at the file's end."""

    def __init__(self, reader: Reader) -> None:
        self._format = reader.FORMAT
        self._is_wanted = getattr(reader, "HAS_PARENTS", False)
        self._names_files = getattr(reader, "NAMES_FILES", False)
        self._own: dict[str, uuid.UUID] = {}
        self._parents: dict[str, None] = {}

    def add(self, run: Run) -> None:
        """Take note of a run of the file."""
        self._own[key(run.source_id)] = execution_id(self._format, run.source_id)
        if run.parent_source_id is not None:
            self._parents[key(run.parent_source_id)] = None

    def write(self, connection: psycopg.Connection, turn: Turn) -> None:
        """Link what can be linked: runs of this file to any, and any to runs of this file."""
        if not self._is_wanted or not self._own:
            return
        turn.take_links()
        about = {"format": self._format, "own": [*self._own], "parents": [*self._parents, *self._own]}
        connection.execute(_TO_PARENT, about)
        self._told_by_parents(connection, about)
        self._told_by_children(connection, about)
        if self._names_files:
            link_files(connection, self._format, self._own.values())

    def _told_by_parents(self, connection: psycopg.Connection, about: Mapping[str, Any]) -> None:
        for parent, child, step in connection.execute(_SPAWNS, about).fetchall():
            event = event_id(parent, step)
            connection.execute(_TO_STEP, {"child": child, "parent": parent, "event": event})

    def _told_by_children(self, connection: psycopg.Connection, about: Mapping[str, Any]) -> None:
        waiting = connection.execute(_WAITING, about).fetchall()
        everywhere: list[uuid.UUID] | None = None
        for child, source_id, parent, step, is_told in waiting:
            if is_told:
                among: Iterable[uuid.UUID] = [parent] if parent is not None else []
            elif source_id in self._own:
                if everywhere is None:
                    everywhere = [row[0] for row in connection.execute(_RUNS, about)]
                among = everywhere
            else:
                among = [*self._own.values(), *([parent] if parent else [])]
            # The id of an event is made of its run's and its own source's: no search through all events is needed.
            found = {event_id(run, step): run for run in among if run != child}
            event = connection.execute(_FIRST_OF, [list(found)]).fetchone()
            if event is None and parent is not None:
                event = connection.execute(_NAMED, {"run": parent, "step": step}).fetchone()
            if event is not None:
                run = found.get(event[0], parent)
                connection.execute(_TO_STEP, {"child": child, "parent": run, "event": event[0]})


_TO_PARENT = """
UPDATE workbench.agent_executions AS child SET parent_execution_id = parent.id
FROM workbench.agent_executions AS parent
WHERE child.source = %(format)s AND child.parent_execution_id IS NULL
  AND child.metadata->>'parent_source_id' = ANY(%(parents)s)
  AND parent.source = %(format)s AND parent.source_id = child.metadata->>'parent_source_id'
  AND child.id <> parent.id
"""

_SPAWNS = """
SELECT parent.id, child.id, told.value
FROM workbench.agent_executions AS parent
CROSS JOIN LATERAL jsonb_each_text(parent.metadata->'spawns') AS told
JOIN workbench.agent_executions AS child ON child.source = parent.source AND child.source_id = told.key
WHERE parent.source = %(format)s AND parent.metadata ? 'spawns' AND jsonb_typeof(parent.metadata->'spawns') = 'object'
  AND (parent.source_id = ANY(%(own)s) OR parent.metadata->'spawns' ?| %(own)s)
  AND child.parent_event_id IS NULL AND child.id <> parent.id
  AND (child.parent_execution_id IS NULL OR child.parent_execution_id = parent.id)
ORDER BY parent.id, child.id
"""

_WAITING = """
SELECT id, source_id, parent_execution_id, metadata->>'spawned_by', metadata ? 'parent_source_id'
FROM workbench.agent_executions
WHERE source = %(format)s AND metadata ? 'spawned_by' AND CASE WHEN metadata ? 'parent_source_id'
  THEN parent_event_id IS NULL AND (source_id = ANY(%(own)s) OR metadata->>'parent_source_id' = ANY(%(own)s))
  ELSE true END
ORDER BY id
"""

_RUNS = "SELECT id FROM workbench.agent_executions WHERE source = %(format)s"

# A step that two runs hold (a copy in a fork) is of the one that is no fork, and began first, whichever was read first.
_FIRST_OF = """
SELECT event.id FROM workbench.observability_events AS event
JOIN workbench.agent_executions AS run ON run.id = event.execution_id
WHERE event.id = ANY(%s)
ORDER BY run.metadata->>'link' IS NOT DISTINCT FROM 'forked', run.started_at NULLS LAST, run.id LIMIT 1
"""

_NAMED = """
SELECT id FROM workbench.observability_events
WHERE execution_id = %(run)s AND (span_id = %(step)s OR data->'tool'->>'call_id' = %(step)s
  OR data->'tool_calls' @> jsonb_build_array(jsonb_build_object('call_id', %(step)s::text)))
ORDER BY span_id = %(step)s DESC NULLS LAST, event_type = 'tool_call' DESC, step_number, id LIMIT 1
"""

_TO_STEP = """
UPDATE workbench.agent_executions SET parent_execution_id = %(parent)s, parent_event_id = %(event)s
WHERE id = %(child)s AND EXISTS (SELECT FROM workbench.observability_events WHERE id = %(event)s)
"""
