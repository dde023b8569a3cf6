"""Which run and step a run hangs on, as far as the ids tell that the runs of a store name.

What a run says of its parent counts most, if that is stored; then the step that it says it goes on from; then the runs
that say they started it. Of several, it is the one that is no fork and began first: the others hold a copy of the step.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import psycopg

from workbench.data.ingest.ids import event_id

_LATEST = datetime.max.replace(tzinfo=UTC)


class Child(NamedTuple):
    """A run that may hang on another: what it says, and how it hangs now."""

    id: uuid.UUID
    source_id: str
    parent: uuid.UUID | None
    event: uuid.UUID | None
    is_held_elsewhere: bool  # on a run of another format: recorded here, and no reader says it
    parent_source_id: str | None
    spawned_by: str | None
    session: str | None
    started_at: datetime | None
    completed_at: datetime | None
    told: Mapping[str, Any]  # of its metadata: what linking writes there

    @property
    def says_link(self) -> bool:
        """Whether its own reader says how it hangs on its parent."""
        return self.parent_source_id is not None or self.spawned_by is not None


class Place(NamedTuple):
    """Where a run hangs: on which run and step, and how; or the runs it could hang on."""

    parent: uuid.UUID | None = None
    event: uuid.UUID | None = None
    link: str | None = None
    possible: tuple[str, ...] = ()


class _Step(NamedTuple):
    run: uuid.UUID
    rank: tuple[bool, datetime, uuid.UUID]


def children_of(connection: psycopg.Connection, format: str, ids: Collection[uuid.UUID]) -> list[Child]:
    """The runs of these ids that are stored."""
    rows = connection.execute(_CHILDREN, {"format": format, "ids": list(ids)})
    return [Child(*row) for row in rows]


class Claims:
    """What the ids say that runs name.

    Parameters
    ----------
    own
        The runs of the file that is read.
    searched
        Runs for which the step that they go on from is looked for everywhere; for all others, in ``own`` and the run
        they hang on already.
    """

    def __init__(
        self, connection: psycopg.Connection, format: str, *, own: Iterable[uuid.UUID], searched: Collection[uuid.UUID]
    ) -> None:
        self._connection = connection
        self._format = format
        self._own = list(own)
        self._searched = set(searched)
        self._begun: dict[uuid.UUID, _Step] = {}  # by run: the step that it goes on from, as far as it was looked for
        self._seek()

    def met(self) -> set[uuid.UUID]:
        """The runs that go on from a step of ``own``."""
        own = set(self._own)
        return {child for child, step in self._begun.items() if step.run in own}

    def places(self, children: Iterable[Child]) -> dict[uuid.UUID, Place]:
        """By run: where it hangs; nothing of those of which no id tells it."""
        children = list(children)
        told = {child.parent_source_id for child in children if child.parent_source_id is not None}
        about = {"format": self._format, "told": list(told), "children": [child.source_id for child in children]}
        parents = dict(self._connection.execute(_PARENTS, about).fetchall())
        spawns: dict[str, list[tuple[uuid.UUID, str]]] = {}
        for parent, child, step in self._connection.execute(_SPAWNS, about):
            spawns.setdefault(child, []).append((parent, step))
        events = [event_id(parent, step) for claims in spawns.values() for parent, step in claims]
        for child in children:
            if child.spawned_by is not None and (parent := parents.get(child.parent_source_id or "")) is not None:
                events.append(event_id(parent, child.spawned_by))
        steps = self._steps(events)
        found: dict[uuid.UUID, Place] = {}
        for child in children:
            claims = [claim for claim in spawns.get(child.source_id, []) if claim[0] != child.id]
            place = self._place(child, parents.get(child.parent_source_id or ""), claims, steps)
            if place is not None:
                found[child.id] = place
        return found

    def _place(
        self,
        child: Child,
        parent: uuid.UUID | None,
        claims: list[tuple[uuid.UUID, str]],
        steps: Mapping[uuid.UUID, _Step],
    ) -> Place | None:
        if child.parent_source_id is not None and parent is not None and parent != child.id:
            named = [event_id(parent, step) for run, step in claims if run == parent]
            if child.spawned_by is not None:
                named.append(event_id(parent, child.spawned_by))
            event = next((own for own in named if own in steps), None)
            return Place(parent, event or self._named(parent, child.spawned_by))
        if child.parent_source_id is None and (begun := self._begun.get(child.id)) is not None:
            return Place(begun.run, event_id(begun.run, child.spawned_by or ""))
        told = [own for run, step in claims if (own := event_id(run, step)) in steps]
        if not told:
            return None
        first = min(told, key=lambda own: steps[own].rank)
        return Place(steps[first].run, first)

    def _named(self, parent: uuid.UUID, step: str | None) -> uuid.UUID | None:
        """The step of a run that is not known by its own id, but by that of its span or its call."""
        row = step and self._connection.execute(_NAMED, {"run": parent, "step": step}).fetchone()
        return row[0] if row else None

    def _seek(self) -> None:
        """Find the steps that runs go on from without saying of which run these are."""
        waiting = self._connection.execute(_WAITING, {"format": self._format}).fetchall()
        everywhere: list[uuid.UUID] | None = None
        near: dict[uuid.UUID, set[uuid.UUID]] = {}
        for child, parent, step in waiting:
            if child in self._searched:
                if everywhere is None:
                    everywhere = [row[0] for row in self._connection.execute(_RUNS, {"format": self._format})]
                among = everywhere
            else:
                among = [*self._own, *([parent] if parent else [])]
            # The id of an event is made of its run's and its own source's: no search through all events is needed.
            near[child] = {event_id(run, step) for run in among if run != child}
        steps = self._steps(event for events in near.values() for event in events)
        for child, events in near.items():
            if ranked := [steps[event] for event in events if event in steps]:
                self._begun[child] = min(ranked, key=lambda step: step.rank)

    def _steps(self, events: Iterable[uuid.UUID]) -> dict[uuid.UUID, _Step]:
        """Of these events, those that are stored."""
        events = list(set(events))
        rows = self._connection.execute(_STEPS, [events]) if events else ()
        return {
            event: _Step(run, (bool(is_fork), started_at or _LATEST, run)) for event, run, is_fork, started_at in rows
        }


# Runs of other formats are recorded here; on those a run was hung by hand.
_CHILDREN = """
SELECT child.id, child.source_id, child.parent_execution_id, child.parent_event_id,
  coalesce(above.source, '') <> child.source AND above.id IS NOT NULL, child.metadata->>'parent_source_id',
  child.metadata->>'spawned_by', child.metadata->>'session_id', child.started_at, child.completed_at,
  jsonb_strip_nulls(jsonb_build_object('link', child.metadata->'link',
    'possible_parents', child.metadata->'possible_parents'))
FROM workbench.agent_executions AS child
LEFT JOIN workbench.agent_executions AS above ON above.id = child.parent_execution_id
WHERE child.id = ANY(%(ids)s) AND child.source = %(format)s ORDER BY child.id
"""

_PARENTS = (
    "SELECT source_id, id FROM workbench.agent_executions WHERE source = %(format)s AND source_id = ANY(%(told)s)"
)

_SPAWNS = """
SELECT parent.id, told.key, told.value FROM workbench.agent_executions AS parent
CROSS JOIN LATERAL jsonb_each_text(CASE WHEN jsonb_typeof(parent.metadata->'spawns') = 'object'
  THEN parent.metadata->'spawns' ELSE '{}' END) AS told
WHERE parent.source = %(format)s AND parent.metadata ? 'spawns' AND parent.metadata->'spawns' ?| %(children)s
  AND told.key = ANY(%(children)s)
ORDER BY parent.id, told.key
"""

_WAITING = """
SELECT id, parent_execution_id, metadata->>'spawned_by' FROM workbench.agent_executions
WHERE source = %(format)s AND metadata ? 'spawned_by' AND NOT metadata ? 'parent_source_id' ORDER BY id
"""

_RUNS = "SELECT id FROM workbench.agent_executions WHERE source = %(format)s"

_STEPS = """
SELECT event.id, run.id, run.metadata->>'link' = 'forked', run.started_at
FROM workbench.observability_events AS event JOIN workbench.agent_executions AS run ON run.id = event.execution_id
WHERE event.id = ANY(%s)
"""

_NAMED = """
SELECT id FROM workbench.observability_events
WHERE execution_id = %(run)s AND (span_id = %(step)s OR data->'tool'->>'call_id' = %(step)s
  OR data->'tool_calls' @> jsonb_build_array(jsonb_build_object('call_id', %(step)s::text)))
ORDER BY span_id = %(step)s DESC NULLS LAST, event_type = 'tool_call' DESC, step_number, id LIMIT 1
"""
