"""Fewer rows of a run's states: some states are left out, all others are rebuilt as they were."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import orjson

from workbench._delta import apply, diff
from workbench.data.store.pruned import Gap
from workbench.data.store.snapshots import Encoder, SnapshotRow
from workbench.data.store.storable import dumped

_Ops = list[Mapping[str, Any]]
_Row = tuple[int, int, Any]


def thinned(rows: Iterable[_Row], is_dropped: Callable[[int], bool], gaps: list[Gap]) -> Iterator[SnapshotRow]:
    """Yield rows of the states that stay, and put the steps that have none then into ``gaps``.

    The same rows and steps give the same result, so a file that is read again changes nothing. The last state stays,
    whatever is asked: a run has to end somewhere.

    Parameters
    ----------
    rows
        ``(step_number, keyframe_step, state)`` of a whole run, in the order of the steps; states as JSON text.
    is_dropped
        Whether the state after a step is left out.
    gaps
        Is added to.

    Examples
    --------
    >>> rows = [(0, 0, '{"n": 0, "policy": "no refunds after 30 days"}')]
    >>> rows += [(step, 0, f'[{{"op": "replace", "path": "/n", "value": {step}}}]') for step in (1, 2, 3)]
    >>> gaps = []
    >>> [row.step_number for row in thinned(rows, {1, 2}.__contains__, gaps)], gaps
    ([0, 3], [Gap(first_step=1, last_step=2, n_states=2)])
    """
    encoder = Encoder(dumps=dumped)
    document: Any = None
    before: Any = None  # the last state that stays
    is_first = True
    since: _Ops | None = []  # what was changed since; None: a whole state came between
    first_gone, n_gone = -1, 0
    for (step, keyframe_step, text), is_last in _with_last(rows):
        told = orjson.loads(text)
        if keyframe_step == step:
            document, since = told, None
        else:
            document = apply(document, told)
            if since is not None:
                since += told
        if is_dropped(step) and not is_last:
            first_gone, n_gone = first_gone if n_gone else step, n_gone + 1
            continue
        if is_first:
            encoder.add(step, document=document)
        elif since is None or (n_gone and not _only_adds(since)):
            encoder.add(step, patch=diff(before, document))
        else:
            encoder.add(step, patch=since)
        if n_gone:
            gaps.append(Gap(first_gone, step - 1, n_gone))
        before, since, n_gone, is_first = document, [], 0, False
        yield from encoder.take()
    yield from encoder.finish()


def _only_adds(ops: _Ops) -> bool:
    """Whether what a patch does cannot be said in fewer words: nothing in it is taken back by it."""
    paths = [op["path"] for op in ops if not op["path"].endswith("/-")]
    return all(op["op"] == "add" for op in ops) and len(set(paths)) == len(paths)


def _with_last(rows: Iterable[_Row]) -> Iterator[tuple[_Row, bool]]:
    """Each row, and whether it is the last."""
    held: _Row | None = None
    for row in rows:
        if held is not None:
            yield held, False
        held = row
    if held is not None:
        yield held, True
