"""Link runs that are named by the path of their file alone, whichever of the two files is read first.

A run names the file of another as its source does, from the folder of its own (``Run.linked_files``). Where files lay
is told by the imports. A path is no id: files are moved, and written anew with other runs. So a link is only made where
the path names one run, that hangs on nothing else, and where the ids of their sessions, if the reference gives one, are
the same; a reference leads to one run, the first that fits.
"""

from __future__ import annotations

import os.path
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from workbench.data.ingest.ids import event_id


class _Reference(NamedTuple):
    parent: uuid.UUID
    path: str  # of the file that is referred to
    step: str
    link: str | None
    session: str | None


def link_files(connection: psycopg.Connection, format: str, own: Iterable[uuid.UUID]) -> None:
    """Link runs of one file to those of files that it names, or that name it."""
    own = set(own)
    about: dict[str, Any] = {"format": format, "own": list(own)}
    paths = {_plain(path) for (path,) in connection.execute(_PATHS, about)}
    about["names"] = sorted({name for path in paths for name in (Path(path).name, f"{Path(path).name}.gz")})
    about["folders"] = sorted({path.removesuffix(Path(path).name) for path in paths})
    for reference in _references(connection.execute(_NAMING, about).fetchall()):
        if reference.parent in own or reference.path in paths:
            _link(connection, format, reference)


def _references(rows: list[tuple[Any, ...]]) -> Iterator[_Reference]:
    for parent, at, name, told in rows:
        step = told.get("step") if isinstance(told, Mapping) else None
        if isinstance(step, str) and Path(at).is_absolute():
            path = os.path.normpath(Path(at).parent / name)
            link = "continued" if told.get("link") == "continued" else None
            yield _Reference(parent, _plain(path), step, link, told.get("session_id"))


def _plain(path: str) -> str:
    return path.removesuffix(".gz")


def _link(connection: psycopg.Connection, format: str, reference: _Reference) -> None:
    parent = reference.parent
    about = {"format": format, "paths": [reference.path, f"{reference.path}.gz"], "parent": parent}
    found = [
        (child, above)
        for child, above, session in connection.execute(_AT, about)
        if reference.session is None or session is None or session == reference.session
    ]
    linked = [child for child, above in found if above == parent]
    free = [child for child, above in found if above is None]
    for child in linked or (free if len(free) == 1 else []):
        event = event_id(parent, reference.step)
        connection.execute(_HANG, {"child": child, "parent": parent, "event": event, "link": reference.link})


_PATHS = """
SELECT DISTINCT import.path FROM workbench.import_runs AS held JOIN workbench.imports AS import
  ON import.id = held.import_id
WHERE held.execution_id = ANY(%(own)s) AND import.source = %(format)s
"""

# Most references are the bare name of a file in the same folder, and the same in every folder.
_NAMING = """
WITH parent AS MATERIALIZED (
  SELECT id, told.key, told.value FROM workbench.agent_executions
  CROSS JOIN LATERAL jsonb_each(CASE WHEN jsonb_typeof(metadata->'linked_files') = 'object'
    THEN metadata->'linked_files' ELSE '{}' END) AS told
  WHERE source = %(format)s AND metadata ? 'linked_files' AND (id = ANY(%(own)s)
    OR EXISTS (SELECT FROM unnest(%(names)s::text[]) AS name WHERE right(told.key, length(name)) = name)))
SELECT DISTINCT parent.id, import.path, parent.key, parent.value
FROM parent
JOIN workbench.import_runs AS held ON held.execution_id = parent.id
JOIN workbench.imports AS import ON import.id = held.import_id AND import.source = %(format)s
WHERE parent.id = ANY(%(own)s) OR parent.key ~ '[/\\\\]'
  OR regexp_replace(import.path, '[^/\\\\]*$', '') = ANY(%(folders)s)
ORDER BY parent.id, parent.key, import.path
"""

# The run that a file is about: one inside another of the same file is named by that one.
_AT = """
SELECT DISTINCT child.id, child.parent_execution_id, child.metadata->>'session_id'
FROM workbench.imports AS import
JOIN workbench.import_runs AS held ON held.import_id = import.id
JOIN workbench.agent_executions AS child ON child.id = held.execution_id
WHERE import.path = ANY(%(paths)s) AND import.source = %(format)s AND child.id <> %(parent)s
  AND NOT EXISTS (SELECT FROM workbench.import_runs AS beside
    JOIN workbench.agent_executions AS above ON above.id = beside.execution_id
    WHERE beside.import_id = import.id AND above.id <> child.id
      AND above.source_id = child.metadata->>'parent_source_id')
ORDER BY child.id
"""

_HANG = """
UPDATE workbench.agent_executions AS child SET parent_execution_id = %(parent)s,
  parent_event_id = coalesce((SELECT id FROM workbench.observability_events WHERE id = %(event)s), parent_event_id),
  metadata = CASE WHEN %(link)s::text IS NULL THEN metadata
    ELSE metadata || jsonb_build_object('link', %(link)s::text) END
WHERE id = %(child)s
"""
