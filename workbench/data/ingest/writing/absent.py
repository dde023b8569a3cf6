"""Runs of which states were pruned, while they are written again: what was pruned stays away.

The steps of a run may get other numbers by what its file tells later, so what is pruned is remembered by the events.
"""

from __future__ import annotations

import uuid
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import psycopg

from workbench.data.ingest.writing.rows import SNAPSHOT_COLUMNS
from workbench.data.secrets.marks import Marks
from workbench.data.store.pruned import Gap, add_gaps, gaps, write_gaps
from workbench.data.store.thin import thinned

_Row = Sequence[Any]  # in the order of SNAPSHOT_COLUMNS
_STEP, _STATE, _KEYFRAME = map(SNAPSHOT_COLUMNS.index, ("step_number", "state", "keyframe_step"))


class Absent:
    """What was pruned of some runs; asked for before anything of them is written.

    Parameters
    ----------
    connection
        Its transaction is the one that writes.
    """

    def __init__(self, connection: psycopg.Connection, runs: Iterable[uuid.UUID]) -> None:
        self._connection = connection
        self._gaps = gaps(connection, runs)
        self._events: dict[uuid.UUID, list[uuid.UUID]] = {}
        self._others: dict[uuid.UUID, set[int]] = {}  # steps without an event keep their numbers
        self._found: dict[uuid.UUID, list[Gap]] = {}
        for run, known in self._gaps.items():
            steps = _steps(known)
            rows = connection.execute(_EVENTS, [run, list(steps)]).fetchall()
            self._events[run] = [event for event, _ in rows]
            self._others[run] = steps - {step for _, step in rows}

    def n_states(self, run: uuid.UUID) -> int:
        """How many states of a run are away."""
        return sum(gap.n_states for gap in self._gaps.get(run, ()))

    def without(self, run: uuid.UUID, rows: Iterable[_Row], *, is_part: bool = False) -> Iterable[_Row]:
        """The rows of the states of a run, or (``is_part``) of some of them, without those that were pruned.

        The events of the run are to be there, with the numbers that they have now.
        """
        if run not in self._gaps:
            return rows
        gone = self._gone(run)  # asked now: while rows are copied the connection does nothing else
        if is_part:
            return _without(rows, gone | _steps(self._gaps[run]), [])
        self._found[run] = []
        return _without(rows, gone, self._found[run])

    def add(self, run: uuid.UUID, told: Iterable[tuple[int, int, int]]) -> None:
        """Note what a file itself says is away: it was pruned where the file was written."""
        if told := list(told):
            add_gaps(self._connection, run, [Gap(*gap) for gap in told])

    def write(self) -> None:
        """Note where the gaps of the runs are now; their rows have been written."""
        for run, found in self._found.items():
            write_gaps(self._connection, run, found, is_new=False)
        self._found = {}

    def again(self) -> None:
        """Prune again what was written whole meanwhile."""
        marks = Marks(self._connection)
        for run in self._gaps:
            if thin(self._connection, run, self._gone(run)):
                marks.renew([run])
        marks.write()

    def _gone(self, run: uuid.UUID) -> set[int]:
        return self._others[run] | {step for (step,) in self._connection.execute(_NOW, [run, self._events[run]])}


def thin(connection: psycopg.Connection, run: uuid.UUID, dropped: set[int]) -> int:
    """Drop states of a stored run, and note the gaps that it has then; how many went. The last one stays."""
    own: dict[int, tuple[uuid.UUID, int]] = {}
    found: list[Gap] = []
    changed = []
    with connection.cursor(f"wb_thin_{uuid.uuid4().hex}") as stored:
        stored.execute(_STATES, [run])

        def rows() -> Iterator[tuple[int, int, str]]:
            for step, keyframe_step, state, id in stored:
                own[step] = id, keyframe_step
                yield step, keyframe_step, state

        for row in thinned(rows(), dropped.__contains__, found):
            id, keyframe_step = own.pop(row.step_number)
            if keyframe_step != row.keyframe_step or _is_behind(found, row.step_number):
                changed.append((row.keyframe_step, row.state.decode(), id))
    if own:
        connection.execute(
            "DELETE FROM workbench.execution_snapshots WHERE id = ANY(%s)", [[id for id, _ in own.values()]]
        )
        connection.cursor().executemany(_CHANGE, changed)
        add_gaps(connection, run, found)
    return len(own)


def _without(rows: Iterable[_Row], gone: set[int], found: list[Gap]) -> Iterator[_Row]:
    told: dict[int, _Row] = {}

    def given() -> Iterator[tuple[int, int, Any]]:
        for row in rows:
            told[row[_STEP]] = row
            yield row[_STEP], row[_KEYFRAME], row[_STATE]

    for row in thinned(given(), gone.__contains__, found):
        for step in [step for step in told if step < row.step_number]:
            del told[step]
        whole = list(told.pop(row.step_number))
        whole[_KEYFRAME], whole[_STATE] = row.keyframe_step, row.state.decode()
        yield whole


def _is_behind(found: list[Gap], step: int) -> bool:
    """Whether a gap ends right before a step."""
    place = bisect_left(found, step - 1, key=lambda gap: gap.last_step)
    return place < len(found) and found[place].last_step == step - 1


def _steps(known: Iterable[Gap]) -> set[int]:
    return {step for gap in known for step in range(gap.first_step, gap.last_step + 1)}


_EVENTS = """
SELECT id, step_number FROM workbench.observability_events WHERE execution_id = %s AND step_number = ANY(%s)
"""
_NOW = "SELECT step_number FROM workbench.observability_events WHERE execution_id = %s AND id = ANY(%s)"
_STATES = """
SELECT step_number, keyframe_step, state::text, id FROM workbench.execution_snapshots
WHERE execution_id = %s ORDER BY step_number
"""
_CHANGE = """
UPDATE workbench.execution_snapshots SET keyframe_step = %s, state = %s::jsonb, row_version = row_version + 1
WHERE id = %s
"""
