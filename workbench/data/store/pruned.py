"""Steps whose states were pruned: gaps, of which nobody may say that the state before goes on through them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import NamedTuple

import psycopg

from workbench.errors import PrunedError


class Gap(NamedTuple):
    """Steps of a run, both ends included, after which no state is known; the state after the next step is stored."""

    first_step: int
    last_step: int
    n_states: int  # that were stored there


def gaps(connection: psycopg.Connection, runs: Iterable[uuid.UUID | str]) -> dict[uuid.UUID, list[Gap]]:
    """The gaps of some runs, in the order of the steps; runs without one are not in it."""
    found: dict[uuid.UUID, list[Gap]] = {}
    for run, *gap in connection.execute(_GAPS, [[str(run) for run in runs]]):
        found.setdefault(run, []).append(Gap(*gap))
    return found


def check_kept(connection: psycopg.Connection, run: uuid.UUID | str, step: int) -> None:
    """Refuse a step whose state was pruned.

    Raises
    ------
    PrunedError
        It was.
    """
    found = connection.execute(_AROUND, {"run": str(run), "step": step}).fetchone()
    if found is None:
        return
    first, last, at = found
    steps = f"step {first}" if first == last else f"steps {first} to {last}"
    raise PrunedError(
        f"The state of execution {run} after step {step} is gone: those of {steps} were pruned on {at:%Y-%m-%d}."
        f" The next one that is kept is that of step {last + 1}.",
        execution_id=str(run),
        step=step,
        first_step=first,
        last_step=last,
    )


def joined(found: Iterable[Gap]) -> list[Gap]:
    """Gaps in the order of the steps, those that meet made one: no state is stored between them.

    >>> joined([Gap(1, 9, 9), Gap(11, 19, 9), Gap(10, 19, 1), Gap(30, 30, 1)])
    [Gap(first_step=1, last_step=19, n_states=19), Gap(first_step=30, last_step=30, n_states=1)]
    """
    whole: list[Gap] = []
    for gap in sorted(found):
        if whole and gap.first_step <= whole[-1].last_step + 1:
            last = whole.pop()
            gap = Gap(last.first_step, max(last.last_step, gap.last_step), last.n_states + gap.n_states)
        whole.append(gap)
    return whole


def add_gaps(connection: psycopg.Connection, run: uuid.UUID, found: Iterable[Gap]) -> None:
    """Note gaps of a run beside those that are known."""
    write_gaps(connection, run, joined([*gaps(connection, [run]).get(run, []), *found]))


def write_gaps(connection: psycopg.Connection, run: uuid.UUID, found: Iterable[Gap], *, is_new: bool = True) -> None:
    """Replace what is noted of a run's gaps; ``is_new``: states were pruned now, else they stand elsewhere now."""
    row = connection.execute("SELECT max(pruned_at) FROM workbench.pruned_states WHERE execution_id = %s", [run])
    (at,) = row.fetchone() or (None,)
    connection.execute("DELETE FROM workbench.pruned_states WHERE execution_id = %s", [run])
    at = None if is_new else at
    connection.cursor().executemany(_ADD, [(run, *gap, at) for gap in found])


_ADD = """
INSERT INTO workbench.pruned_states (execution_id, first_step, last_step, n_states, pruned_at)
VALUES (%s, %s, %s, %s, coalesce(%s, clock_timestamp()))
"""

_GAPS = """
SELECT execution_id, first_step, last_step, n_states FROM workbench.pruned_states
WHERE execution_id = ANY(%s::uuid[]) ORDER BY execution_id, first_step
"""

_AROUND = """
SELECT first_step, last_step, pruned_at FROM workbench.pruned_states
WHERE execution_id = %(run)s AND %(step)s BETWEEN first_step AND last_step LIMIT 1
"""
