"""Link runs that are named by the path of their file alone, the same in whatever order the files are read.

A run names the file of another as its source does, from the folder of its own (``Run.linked_files``). Where files lay
is told by the imports. A path is no id: files are moved, copied, and written anew with other runs. So a link is only
made where it can be no other: the path names one run, and one run names it. Where there are several, those count that
are of the session that the reference gives, then those whose times allow it: a sub-agent begins while its parent runs,
what continues a run begins after it. Where that leaves several, or none, nobody is linked, and the run that could hang
on them says so.
"""

from __future__ import annotations

import os.path
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from workbench.data.ingest.ids import event_id
from workbench.data.ingest.normal import Link
from workbench.data.ingest.writing.claims import Child, Place


class _Reference(NamedTuple):
    parent: uuid.UUID
    source_id: str
    started_at: datetime | None
    completed_at: datetime | None
    path: str  # of the file that is referred to
    event: uuid.UUID
    link: Link | None
    session: str | None

    def could_be(self, child: Child) -> bool:
        """Whether the times of both say that it is this one."""
        begun = child.started_at
        if begun is None or self.completed_at is None:
            return False
        if self.link == "continued":
            return begun >= self.completed_at
        return self.started_at is not None and self.started_at <= begun <= self.completed_at


class Files:
    """The files that runs of a format lie in, and those that they name."""

    def __init__(self, connection: psycopg.Connection, format: str) -> None:
        self._connection = connection
        self._format = format

    def named_by(self, runs: Iterable[uuid.UUID]) -> set[uuid.UUID]:
        """The runs in files that some runs name, or lie in themselves."""
        runs = list(runs)
        paths = {reference.path for reference in self._references(_NAMING_RUNS, runs=runs)}
        paths.update(path for _, path in self._paths(runs))
        return {child for _, child in self._at(paths)}

    def around(self, runs: Iterable[uuid.UUID]) -> set[uuid.UUID]:
        """Some runs, and those that lay, at whatever time, at the paths of these: a reference may mean either."""
        found, known = set(runs), set()
        while fresh := found - known:
            known = set(found)
            found |= {child for _, child in self._at({path for _, path in self._paths(fresh)})}
        return found

    def places(self, children: Iterable[Child], by_ids: Mapping[uuid.UUID, Place]) -> dict[uuid.UUID, Place]:
        """By run: where it hangs by the paths of files, or could hang; ``children`` has all that lie at these paths.

        A run that hangs on another by the ids, and is not named by that one, is not what a path means.
        """
        known = {child.id: child for child in children}
        at: dict[str, list[Child]] = {}
        for path, child in self._at({path for _, path in self._paths(known)}):
            if child in known:
                at.setdefault(path, []).append(known[child])
        named: dict[uuid.UUID, list[tuple[_Reference, bool]]] = {}
        for reference in self._to(at):
            could = _meant(reference, at[reference.path], by_ids)
            one = could if len(could) == 1 else [child for child in could if reference.could_be(child)]
            for child in could:
                named.setdefault(child.id, []).append((reference, [child] == one))
        return {child: place for child, told in named.items() if (place := _place(known[child], told, by_ids))}

    def _to(self, paths: Collection[str]) -> Iterator[_Reference]:
        """The references to files."""
        names = sorted({name for path in paths for name in (Path(path).name, f"{Path(path).name}.gz")})
        folders = sorted({path.removesuffix(Path(path).name) for path in paths})
        for reference in self._references(_NAMING_FILES, names=names, folders=folders):
            if reference.path in paths:
                yield reference

    def _references(self, query: str, **about: Any) -> list[_Reference]:
        found: dict[_Reference, int] = {}
        for parent, source_id, started_at, completed_at, at, name, told in self._rows(query, **about):
            step = told.get("step") if isinstance(told, Mapping) else None
            if isinstance(step, str) and Path(at).is_absolute():
                path = _plain(os.path.normpath(Path(at).parent / name))
                link: Link | None = "continued" if told.get("link") == "continued" else None
                event, session = event_id(parent, step), told.get("session_id")
                found[_Reference(parent, source_id, started_at, completed_at, path, event, link, session)] = -1
        for event, number in self._rows(_STEPS, events=[reference.event for reference in found]):
            found |= {reference: number for reference in found if reference.event == event}
        return sorted(
            (reference for reference, number in found.items() if number >= 0),
            key=lambda reference: (reference.parent, found[reference], reference.path, reference.session or ""),
        )

    def _paths(self, runs: Iterable[uuid.UUID]) -> Iterator[tuple[uuid.UUID, str]]:
        for run, path in self._rows(_PATHS, runs=list(runs)):
            yield run, _plain(path)

    def _at(self, paths: Iterable[str]) -> Iterator[tuple[str, uuid.UUID]]:
        """The runs that files are about; one inside another of the same file is named by that one."""
        wanted = sorted({name for path in paths for name in (path, f"{path}.gz")})
        found = {(_plain(path), child): None for path, child in self._rows(_AT, paths=wanted)} if wanted else {}
        yield from found

    def _rows(self, query: str, **about: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(query.encode(), {"format": self._format, **about}).fetchall()


def _plain(path: str) -> str:
    return path.removesuffix(".gz")


def _meant(reference: _Reference, at: list[Child], by_ids: Mapping[uuid.UUID, Place]) -> list[Child]:
    """The runs at a path that a reference may mean."""
    could = [
        child
        for child in at
        if child.id != reference.parent
        and (reference.session is None or child.session is None or child.session == reference.session)
    ]
    hung = {child.id: place.parent for child in could if (place := by_ids.get(child.id)) is not None}
    own = [child for child in could if hung.get(child.id) == reference.parent]
    free = [child for child in could if child.id not in hung]
    exact = [child for child in free if reference.session is not None and child.session == reference.session]
    return own or exact or free


def _place(child: Child, told: list[tuple[_Reference, bool]], by_ids: Mapping[uuid.UUID, Place]) -> Place | None:
    """Where a run hangs of which paths tell; each reference comes with whether it can mean no other run."""
    hung = by_ids.get(child.id)
    if hung is not None:
        first = told[0][0]
        return hung._replace(event=hung.event or first.event, link=None if child.says_link else first.link)
    parents = {reference.parent: reference for reference, is_one in told if is_one}
    if len(parents) > 1:
        parents = {own: reference for own, reference in parents.items() if reference.could_be(child)}
    if len(parents) == 1:
        own = next(iter(parents))
        first = next(reference for reference, is_one in told if is_one and reference.parent == own)
        return Place(own, first.event, first.link)
    return Place(possible=tuple(sorted({reference.source_id for reference, _ in told})))


# A file of the same bytes may lie at several paths.
_LAY = """
(SELECT id, source, path FROM workbench.imports
 UNION ALL SELECT id, source, unnest(copies) FROM workbench.imports WHERE copies <> '{}')
"""

_PATHS = f"""
SELECT DISTINCT held.execution_id, import.path FROM workbench.import_runs AS held
JOIN {_LAY} AS import ON import.id = held.import_id
WHERE held.execution_id = ANY(%(runs)s) AND import.source = %(format)s ORDER BY 1, 2
"""

_TOLD = """
SELECT id, source_id, started_at, completed_at, told.key, told.value FROM workbench.agent_executions
CROSS JOIN LATERAL jsonb_each(CASE WHEN jsonb_typeof(metadata->'linked_files') = 'object'
  THEN metadata->'linked_files' ELSE '{}' END) AS told
WHERE source = %(format)s AND metadata ? 'linked_files'
"""

_NAMING = f"""
SELECT DISTINCT parent.id, parent.source_id, parent.started_at, parent.completed_at, import.path, parent.key,
  parent.value
FROM parent
JOIN workbench.import_runs AS held ON held.execution_id = parent.id
JOIN {_LAY} AS import ON import.id = held.import_id AND import.source = %(format)s
"""

_NAMING_RUNS = f"WITH parent AS MATERIALIZED ({_TOLD} AND id = ANY(%(runs)s)) {_NAMING}"

# Most references are the bare name of a file in the same folder, and the same in every folder.
_NAMING_FILES = f"""
WITH parent AS MATERIALIZED ({_TOLD}
  AND EXISTS (SELECT FROM unnest(%(names)s::text[]) AS name WHERE right(told.key, length(name)) = name))
{_NAMING}
WHERE parent.key ~ '[/\\\\]' OR regexp_replace(import.path, '[^/\\\\]*$', '') = ANY(%(folders)s)
"""

_STEPS = "SELECT id, step_number FROM workbench.observability_events WHERE id = ANY(%(events)s)"

_AT = f"""
SELECT DISTINCT import.path, child.id
FROM {_LAY} AS import
JOIN workbench.import_runs AS held ON held.import_id = import.id
JOIN workbench.agent_executions AS child ON child.id = held.execution_id
WHERE import.path = ANY(%(paths)s) AND import.source = %(format)s
  AND NOT EXISTS (SELECT FROM workbench.import_runs AS beside
    JOIN workbench.agent_executions AS above ON above.id = beside.execution_id
    WHERE beside.import_id = import.id AND above.id <> child.id
      AND above.source_id = child.metadata->>'parent_source_id')
ORDER BY 1, 2
"""
