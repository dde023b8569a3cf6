"""The states of a run's course one after the other, rebuilt a block at a time: what a cursor steps through."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from workbench.data.store.snapshots import block_around, check_step, rebuild_all
from workbench.errors import PatchError

if TYPE_CHECKING:
    from workbench.data.store.engine import Store
    from workbench.data.store.pruned import Gap

_AHEAD = 256  # steps behind the one asked for that are read with it
_BLOCKS = 4  # kept, each a few times the weight of one whole state


class States:
    """States of one run by step. They share their unchanged parts: treat them as frozen.

    Stepping on costs one patch; a step far away costs the rows from its keyframe on.
    """

    def __init__(self, store: Store, run: str) -> None:
        self._store = store
        self._run = run
        self._blocks: list[_Block] = []

    def at(self, step: int) -> Any:
        """The state after a step, that of the last snapshot until then; ``None`` where there is none.

        Raises
        ------
        NotFoundError
            The run has no such step.
        PrunedError
            The state was pruned.
        PatchError
            A snapshot that it is rebuilt from is damaged, or gone.
        """
        block = next((one for one in self._blocks if one.holds(step)), None)
        if block is None:
            with self._store.raw() as connection:
                rows, gaps = block_around(connection, self._run, step, ahead=_AHEAD)
                if not rows or rows[-1][0] < step:
                    check_step(connection, self._run, step)
            if not rows:
                return None
            block = _Block(rows, gaps)
            self._blocks = [block, *self._blocks[: _BLOCKS - 1]]
        return block.at(step)


class _Block:
    """Rows from one keyframe up to the next, parsed and applied as far as they were asked for."""

    def __init__(self, rows: list[tuple[int, int, str]], gaps: list[Gap]) -> None:
        end = next((n for n, row in enumerate(rows) if n and row[0] == row[1]), None)
        self._steps = [row[0] for row in rows[:end]]
        self._rebuilt = rebuild_all(rows[:end])
        self._states: list[Any] = []
        self._first = self._steps[0]
        self._problem: PatchError | None = None  # none of the block's states is known from here on
        # Behind its last row a run that is still running may have got another since.
        self._last = self._steps[-1] if end is None else rows[end][0] - 1
        self._gaps = [gap for gap in gaps if gap.last_step >= self._first and gap.first_step <= self._last]

    def holds(self, step: int) -> bool:
        """Whether the state after a step is one of these."""
        is_inside = self._first <= step <= self._last
        return is_inside and not any(gap.first_step <= step <= gap.last_step for gap in self._gaps)

    def at(self, step: int) -> Any:
        place = bisect_right(self._steps, step) - 1
        while len(self._states) <= place:
            if self._problem is not None:
                raise self._problem
            try:
                self._states.append(next(self._rebuilt)[1])
            except PatchError as error:
                self._problem = error
                raise
        return self._states[place]
