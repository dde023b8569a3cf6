"""Which step gave a value of the state: read from the patches, newest first, without rebuilding every state.

A path is followed back through the operations of the patches (RFC 6902): an item put in before it or taken out moves
its position, a ``move`` or ``copy`` gives it another path, and the first operation (seen from the end) that made the
value what it is ends the search. Where a source writes a whole object again and our value in it stays the same, that is
no change of it. Rows are read from the newest keyframe back, as many as it takes.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from workbench._delta import apply, diff, same
from workbench.data.store.pruned import gaps
from workbench.data.store.snapshots import chain_to, rebuild, without_keyframe
from workbench.errors import NotFoundError
from workbench.replay.paths import find, keys_of, located, pointer

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

_BATCH = 8_000_000  # bytes of stored states read at once
_MISSING: Any = object()

_Row = tuple[int, int, Any]
_Ops = Sequence[Mapping[str, Any]]


@dataclass(slots=True, frozen=True)
class Change:
    """The last change of a value.

    Attributes
    ----------
    run
        Whose snapshot it is: a fork goes on from the states of the run that it was forked from.
    step_number
        The step after which the value was what it is.
    keys
        Where it stood then.
    is_first
        It is there from the first snapshot that is kept on: it was given at this step, or before.
    is_pruned
        The states right before this step were pruned: it was given at this step, or at one of theirs.
    is_edit
        Nothing that happened changed it: who forked the run gave it.
    """

    run: str
    step_number: int
    keys: list[str]
    value: Any
    is_first: bool = False
    is_edit: bool = False
    is_pruned: bool = False


def last_change(store: Store, lineage: Sequence[tuple[str, int]], keys: Sequence[str]) -> Change:
    """The change that made the value at `keys` what it is.

    Parameters
    ----------
    lineage
        The run and the step to look back from; then, for a fork, the run it came from and the step where it left it.

    Raises
    ------
    NotFoundError
        There is no value at `keys`, or no snapshot.
    PrunedError
        The state to look into was pruned.
    PatchError
        A snapshot is damaged, or gone.
    """
    with store.raw() as connection:
        chain_to(connection, *lineage[0])
    change = _last_change(store, lineage, keys)
    with store.raw() as connection:
        gone = gaps(connection, [change.run]).get(uuid.UUID(change.run), [])
    return replace(change, is_pruned=any(gap.last_step == change.step_number - 1 for gap in gone))


def _last_change(store: Store, lineage: Sequence[tuple[str, int]], keys: Sequence[str]) -> Change:
    trail: _Trail | None = None
    last: tuple[str, int] | None = None
    for run, rows in _chains(store, lineage):
        end = rebuild(rows, rows[-1][0])
        if trail is None:
            plain, value = located(end, keys, what=f"The state after step {lineage[0][1]}")
            trail = _Trail(plain, value, end)
        elif last is not None:
            # From one keyframe to the next no patch is stored: it is made, along the path alone.
            found = trail.back(_difference(end, trail.document, trail.keys), lambda n, end=end: end, end)
            if found:
                return Change(*last, trail.keys, trail.value, is_edit=run != last[0])
            trail.settle(end)
        for at in range(len(rows) - 1, 0, -1):
            ops = orjson.loads(rows[at][2])

            def before(n: int, at: int = at, ops: _Ops = ops, rows: list[_Row] = rows) -> Any:
                return apply(rebuild(rows[:at], rows[at - 1][0]), ops[:n])

            if trail.back(ops, before):
                return Change(run, rows[at][0], trail.keys, trail.value)
        last = (run, rows[0][0])
        trail.document = orjson.loads(rows[0][2])
    if trail is None or last is None:
        run, step = lineage[0]
        raise NotFoundError(
            f"Execution {run} has no snapshot at or before step {step}: there is no state to look into."
            " See bench.snapshots(run).",
            execution_id=run,
            step=step,
        )
    return Change(*last, trail.keys, trail.value, is_first=True)


class _Trail:
    """A path on its way back, with the lengths of the lists that it goes through."""

    def __init__(self, keys: list[str], value: Any, document: Any) -> None:
        self.value = value
        self.document = document  # the keyframe that was reached last
        self.keys = list(keys)
        self._lengths: dict[int, int] = {}
        self.settle(document)

    def settle(self, document: Any) -> None:
        """Note the lengths of the lists on the way, as they are in a document."""
        self._lengths = {}
        for depth, key in enumerate(self.keys):
            if isinstance(document, list):
                self._lengths[depth] = len(document)
            document = find(document, [key], None)

    def back(self, ops: _Ops, before: Any, start: Any = _MISSING) -> bool:
        """Undo a patch; whether it made the value what it is. ``before(n)``: the document before its operation n."""
        for n in range(len(ops) - 1, -1, -1):
            op = ops[n]
            kind, path = op["op"], keys_of(op["path"])
            if kind == "test":
                continue
            if kind in ("move", "copy"):
                if self._covers(path):
                    self.keys = [*keys_of(op["from"]), *self.keys[len(path) :]]
                    self.settle(before(n))
                    continue
                touched = self._added(path) or (kind == "move" and self._removed(keys_of(op["from"])))
            elif kind == "add":
                touched = self._added(path)
            elif kind == "remove":
                touched = self._removed(path)
            else:
                touched = self._covers(path) or self._is_inside(path)
            if touched:
                if kind == "add" and len(path) - 1 in self._lengths:
                    return True  # an item that was put in is new, whatever it pushed aside
                was = before(0) if start is _MISSING else start
                if not same(find(was, self.keys, _MISSING), self.value):
                    return True
                self.settle(was)
                return False
        return False

    def _covers(self, path: list[str]) -> bool:
        """Whether the value stands at the path, or below it."""
        depth = len(path) - 1
        if path and path[-1] == "-" and depth in self._lengths:
            path = [*path[:-1], str(self._lengths[depth] - 1)]
        return path == self.keys[: len(path)]

    def _is_inside(self, path: list[str]) -> bool:
        return len(path) > len(self.keys) and path[: len(self.keys)] == self.keys

    def _position(self, path: list[str]) -> int | None:
        """The depth at which the path names an item of a list that we go through."""
        depth = len(path) - 1
        if depth in self._lengths and depth < len(self.keys) and path[:-1] == self.keys[:depth]:
            return depth
        return None

    def _added(self, path: list[str]) -> bool:
        depth = self._position(path)
        if depth is None:
            return self._covers(path) or self._is_inside(path)
        if self._covers(path):
            return True
        at, ours = self._lengths[depth] - 1 if path[-1] == "-" else int(path[-1]), int(self.keys[depth])
        self.keys[depth] = str(ours - (at < ours))
        self._lengths[depth] -= 1
        return False

    def _removed(self, path: list[str]) -> bool:
        depth = self._position(path)
        if depth is None:
            return self._is_inside(path)
        ours = int(self.keys[depth])
        self.keys[depth] = str(ours + (int(path[-1]) <= ours))
        self._lengths[depth] += 1
        return False


def _difference(a: Any, b: Any, keys: Sequence[str]) -> _Ops:
    """The patch from one state to the next, of the part that the path goes through."""
    way: list[str] = []
    for key in keys:
        if not (isinstance(a, dict) and isinstance(b, dict) and key in a and key in b):
            break
        way.append(key)
        a, b = a[key], b[key]
    front = pointer(way)
    return [
        {**op, "path": front + op["path"], **({"from": front + op["from"]} if "from" in op else {})}
        for op in diff(a, b)
    ]


_PARTS = """
SELECT keyframe_step, max(step_number), sum(pg_column_size(state))
FROM workbench.execution_snapshots
WHERE execution_id = %s AND step_number <= %s
GROUP BY keyframe_step ORDER BY keyframe_step DESC
"""
_ROWS = """
SELECT step_number, keyframe_step, state::text
FROM workbench.execution_snapshots
WHERE execution_id = %s AND step_number BETWEEN %s AND %s
ORDER BY step_number
"""


def _chains(store: Store, lineage: Sequence[tuple[str, int]]) -> Iterator[tuple[str, list[_Row]]]:
    """The rows from each keyframe to the next, the newest first, some megabytes at a time."""
    for run, step in lineage:
        with store.raw() as connection:
            parts = connection.execute(_PARTS, [run, step]).fetchall()
        for first, last in _batches(parts):
            with store.raw() as connection:
                rows = connection.execute(_ROWS, [run, first, last]).fetchall()
            if rows[0][0] != rows[0][1]:
                raise without_keyframe(*rows[0][:2])
            starts = [n for n, row in enumerate(rows) if row[0] == row[1]]
            for start, end in reversed(list(zip(starts, [*starts[1:], len(rows)], strict=True))):
                yield run, rows[start:end]


def _batches(parts: Sequence[tuple[int, int, int]]) -> Iterator[tuple[int, int]]:
    weight, last = 0, None
    for number, (first, end, size) in enumerate(parts):
        last = end if last is None else last
        weight += int(size)
        if weight >= _BATCH or number == len(parts) - 1:
            yield first, last
            weight, last = 0, None
