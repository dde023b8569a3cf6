"""Link runs to the run and the step that they hang on, the same in whatever order their files are read.

Either side may tell it: the child names its parent (``Run.parent_source_id``) and the step there (``Run.spawned_by``),
or the parent names its children with the step that started each (``Run.spawns``), or the files of those
(``Run.linked_files``). All of that is kept with the runs, and a link follows from all that is stored of it: whenever a
run comes, grows or goes, the links that it may have a part in are decided anew, and moved where they belong then.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import orjson
import psycopg

from workbench.data.ingest.detect import Reader
from workbench.data.ingest.ids import execution_id, key
from workbench.data.ingest.ledger.turns import Turn
from workbench.data.ingest.normal import Run
from workbench.data.ingest.writing.claims import Child, Claims, Place, children_of
from workbench.data.ingest.writing.file_links import Files

POSSIBLE = "possible_parents"  # in the metadata of a run that hangs on nobody, for several could be it
AMBIGUOUS = f"several runs could be it, by the path of a file alone: linked to none, named in metadata.{POSSIBLE}"


class Links:
    """What the runs of one file say of parents and children, and the linking of it all at the file's end."""

    def __init__(self, reader: Reader) -> None:
        self._format = reader.FORMAT
        self._is_wanted = getattr(reader, "HAS_PARENTS", False)
        self._names_files = getattr(reader, "NAMES_FILES", False)
        self._own: dict[str, uuid.UUID] = {}
        self._also: set[uuid.UUID] = set()

    def add(self, run: Run) -> None:
        """Take note of a run of the file."""
        self._own[key(run.source_id)] = execution_id(self._format, run.source_id)

    def add_stored(self, source_id: str, run: uuid.UUID) -> None:
        """Take note of a run that is in the store."""
        self._own[source_id] = run

    def go(self, connection: psycopg.Connection) -> None:
        """Take note of what the runs of the file have a part in, before they go."""
        if self._is_wanted and self._own:
            self._also |= self._concerned(connection)

    def write(self, connection: psycopg.Connection, turn: Turn) -> int:
        """Link what can be linked: runs of this file to any, and any to runs of this file.

        Returns
        -------
        int
            How many of them several runs could have started: they hang on none.
        """
        if not self._is_wanted or not (self._own or self._also):
            return 0
        turn.take_links()
        concerned = self._concerned(connection) | self._also
        claims = Claims(connection, self._format, own=self._own.values(), searched=concerned)
        concerned |= claims.met()
        files = Files(connection, self._format) if self._names_files else None
        if files is not None:
            concerned = files.around(concerned)
        if not concerned:
            return 0
        children = children_of(connection, self._format, concerned)
        places = claims.places(children)
        found = files.places(children, places) if files is not None else {}
        changes = [
            change
            for child in children
            if (change := _change(child, places.get(child.id), found.get(child.id))) is not None
        ]
        if changes:
            connection.cursor().executemany(_HANG, changes)
        return sum(1 for place in found.values() if place.possible)

    def _concerned(self, connection: psycopg.Connection) -> set[uuid.UUID]:
        """The runs whose links runs of the file may have a part in, as far as ids tell."""
        about = {"format": self._format, "own": [*self._own], "ids": [*self._own.values()]}
        found = {run for (run,) in connection.execute(_CONCERNED, about)}
        if self._names_files:
            found |= Files(connection, self._format).named_by(self._own.values())
        return found


def _change(child: Child, by_ids: Place | None, by_files: Place | None) -> Mapping[str, Any] | None:
    """What of a run's link is not as it is stored; ``None`` where nothing is."""
    place = by_files or by_ids or Place()
    if place.parent is None and child.is_held_elsewhere:
        place = Place(child.parent, child.event, possible=place.possible)
    metadata = dict(child.told)
    if not child.says_link:
        if place.link is not None:
            metadata["link"] = place.link
        elif metadata.get("link") == "continued":
            del metadata["link"]
    metadata.pop(POSSIBLE, None)
    if place.possible:
        metadata[POSSIBLE] = list(place.possible)
    if (place.parent, place.event, metadata) == (child.parent, child.event, child.told):
        return None
    return {
        "child": child.id,
        "parent": place.parent,
        "event": place.event,
        "metadata": orjson.dumps(metadata).decode(),
    }


_CONCERNED = """
SELECT id FROM workbench.agent_executions WHERE source = %(format)s AND source_id = ANY(%(own)s)
UNION
SELECT id FROM workbench.agent_executions WHERE source = %(format)s AND parent_execution_id = ANY(%(ids)s)
UNION
SELECT id FROM workbench.agent_executions
WHERE source = %(format)s AND metadata ? 'parent_source_id' AND metadata->>'parent_source_id' = ANY(%(own)s)
UNION
SELECT child.id FROM workbench.agent_executions AS parent
CROSS JOIN LATERAL jsonb_object_keys(CASE WHEN jsonb_typeof(parent.metadata->'spawns') = 'object'
  THEN parent.metadata->'spawns' ELSE '{}' END) AS told
JOIN workbench.agent_executions AS child ON child.source = parent.source AND child.source_id = told
WHERE parent.source = %(format)s AND parent.source_id = ANY(%(own)s) AND parent.metadata ? 'spawns'
"""

_HANG = """
UPDATE workbench.agent_executions SET parent_execution_id = %(parent)s, parent_event_id = %(event)s,
  metadata = (metadata - '{link,possible_parents}'::text[]) || %(metadata)s::jsonb
WHERE id = %(child)s
"""
