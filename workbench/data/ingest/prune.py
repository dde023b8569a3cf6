""":func:`prune`: leave out stored states that nobody needs any more; every state that stays is rebuilt as it was.

Events, notes, checkpoints, branches and what runs cost stay. A step whose state was pruned is known as such: asking for
its state is refused, and never answered by the state before it.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl
import psycopg

from workbench.data.ingest.ledger.turns import Turn, exclusive
from workbench.data.ingest.writing.absent import thin
from workbench.data.secrets.marks import Marks
from workbench.errors import ConfigurationError, ConflictError

if TYPE_CHECKING:
    from workbench.data.frames.load import Frames

#: Name → dtype of the plan, one row per state.
SCHEMA: dict[str, Any] = {
    "execution_id": pl.String,
    "step_number": pl.Int64,
    "is_kept": pl.Boolean,
    # last · checkpoint · noted · forked · begun with · recent · every · not asked for; null where it goes
    "kept_as": pl.String,
    "size_bytes": pl.Int64,
}
_LIVE = ("record", "fork")  # sources of runs that are written while they go on, state by state


@dataclass(slots=True, frozen=True)
class Pruned:
    """What pruning did, or (``is_preview``) would do.

    Attributes
    ----------
    plan : polars.DataFrame
        Every state of the runs: columns of :data:`SCHEMA`.
    n_removed, n_kept
        States that went, and that stay.
    freed_bytes
        What the rows take less; the server gives it to other rows once it has vacuumed (which it does by itself).
    """

    plan: pl.DataFrame = field(repr=False)
    n_removed: int
    n_kept: int
    freed_bytes: int
    is_preview: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        names = ("n_removed", "n_kept", "freed_bytes", "is_preview")
        return {name: getattr(self, name) for name in names} | {"plan": self.plan.to_dicts()}

    def __str__(self) -> str:
        does = "Would remove" if self.is_preview else "Removed"
        kept = self.plan.filter("is_kept")["kept_as"].value_counts(sort=True).rows()
        why = ", ".join(f"{n:,} {what}" for what, n in kept)
        n_runs = self.plan["execution_id"].n_unique()
        return (
            f"{does} {self.n_removed:,} of {len(self.plan):,} states of {n_runs:,} run{'s' * (n_runs != 1)}:"
            f" {self.freed_bytes:,} bytes. Stays: {why or 'nothing'}. No event is touched."
        )


def prune(
    frames: Frames,
    runs: Sequence[str],
    *,
    every: int | None = None,
    last: int | None = None,
    before: int | None = None,
    checkpoints: bool = True,
    abandoned: bool = False,
    dry_run: bool = False,
) -> Pruned:
    """Leave out stored states of runs. What is left out is gone: states that were recorded cannot be had again.

    Whatever is asked, these stay: the last state of each run, checkpoints, the states at notes and pins, those that
    branches were forked at, and those that branches begin with. Of a run that was imported, the states stay away when
    its file is read again or has grown; states of steps that are new come in. Undo its import and import it again to
    have all of them back.

    Parameters
    ----------
    runs
        Their ids. Only their own states are looked at, not those that a fork shares with the run it left.
    every
        Keep the first state in each stretch of so many steps: 10 keeps those of steps 0, 10, 20, ….
    last
        Keep the last so many states of each run.
    before
        Only states of steps before this one go.
    checkpoints
        ``False`` lets go of checkpoints that the agent made too, as LangGraph does after each step; what its saver
        goes on from is kept apart, and stays. Those that people named stay as well.
    abandoned
        Look at what a rollback left behind instead, in all branches of the runs. Else that is not touched.
    dry_run
        Change nothing: do it all and roll it back.

    Returns
    -------
    Pruned
        What went and what stays; ``.plan`` says it of each state.

    Raises
    ------
    ConfigurationError
        Nothing says which states go, or a number is too small.
    ConflictError
        A run is still going on, or all of it was left behind by a rollback and `abandoned` is not asked for.
    """
    for name, value, least in (("every", every, 2), ("last", last, 1), ("before", before, 1)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise ConfigurationError(f"{name}={value!r} must be a whole number, {least} or more.", value=value)
    if every is None and last is None and before is None and not abandoned:
        raise ConfigurationError(
            "Say which states may go: every=10 keeps one in ten steps, last=20 the last twenty, before=100 lets go of"
            " those before step 100, abandoned=True of what rollbacks left behind. dry_run=True only shows it."
        )
    spans = _spans(frames, runs, abandoned=abandoned)
    with frames.store.raw() as connection, connection.transaction() as transaction:
        connection.execute("SET LOCAL statement_timeout = 0")
        connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        _take_turns(connection, list(spans))
        rule = _Rule(every, last, before, checkpoints)
        plans = [_plan(connection, run, span, rule) for run, span in spans.items()]
        plan = pl.concat([pl.DataFrame(schema=SCHEMA), *plans])
        size = int(plan["size_bytes"].sum())
        n_removed = 0
        marks = Marks(connection)
        for (run,), gone in plan.filter(~pl.col("is_kept")).group_by("execution_id", maintain_order=True):
            n_removed += thin(connection, uuid.UUID(str(run)), set(gone["step_number"]))
            marks.renew([run])
        marks.write()
        left = connection.execute(_SIZE, [list(spans)]).fetchone()
        if dry_run:
            raise psycopg.Rollback(transaction)
    return Pruned(plan, n_removed, len(plan) - n_removed, size - (left[0] if left else 0), dry_run)


@dataclass(slots=True, frozen=True)
class _Rule:
    every: int | None
    last: int | None
    before: int | None
    checkpoints: bool


def _spans(frames: Frames, runs: Sequence[str], *, abandoned: bool) -> dict[str, tuple[int, int | None]]:
    """The runs to look at, each with its steps: behind the first number, up to the second (``None``: to the end)."""
    spans: dict[str, tuple[int, int | None]] = {}
    for run in runs:
        # Behind this step the head has left a run that it once went through; -1: all of it.
        left = {
            row["id"]: -1 if row["head_until_step"] is None else row["head_until_step"]
            for row in frames.branches(run).iter_rows(named=True)
            if row["was_head"] and not row["is_head"]
        }
        if abandoned:
            spans |= {branch: (until, None) for branch, until in left.items()}
        elif left.get(run) == -1:
            raise ConflictError(
                f"Execution {run} was left behind by a rollback. abandoned=True prunes what rollbacks left behind.",
                execution_id=run,
            )
        else:
            spans[run] = (-1, left.get(run))
    return spans


def _take_turns(connection: psycopg.Connection, runs: list[str]) -> None:
    """Let nobody else write these runs until the end of the transaction."""
    rows = connection.execute(_RUNS, [runs]).fetchall()
    for format in sorted({source for _, source, _, _ in rows if source is not None}):
        Turn(connection, format, is_alone=True).take()
    for run, source, status, thread in rows:
        if source in _LIVE and status == "running":
            raise ConflictError(
                f"Execution {run} is still going on: its next states build on the last. Prune it when it has ended.",
                execution_id=str(run),
            )
        if thread is not None:
            exclusive(connection, f"graph {thread}")


def _plan(connection: psycopg.Connection, run: str, span: tuple[int, int | None], rule: _Rule) -> pl.DataFrame:
    """Each state of a run, and why it stays if it does."""
    rows = connection.execute(_STATES, [run]).fetchall()
    steps = [row[0] for row in rows]
    needed = {step: "checkpoint" for step, is_checkpoint, _ in rows if is_checkpoint and rule.checkpoints}
    for at, why in connection.execute(_NEEDED, {"run": run}):
        until = [step for step in steps if step <= at]  # the state after a step is that of the last one until then
        if until:
            needed.setdefault(until[-1], why)
    if steps:
        needed[steps[-1]] = "last"
    recent = set(steps[-rule.last :]) if rule.last else set()
    stretch = -1
    plan = []
    for step, _, size in rows:
        is_first = rule.every is not None and step // rule.every != stretch
        stretch = step // rule.every if rule.every else -1
        is_asked = span[0] < step and (span[1] is None or step <= span[1])
        is_asked = is_asked and (rule.before is None or step < rule.before)
        kept = "not asked for" if not is_asked else "recent" if step in recent else "every" if is_first else None
        kept = needed.get(step, kept)
        plan.append((run, step, kept is not None, kept, size))
    return pl.DataFrame(plan, schema=SCHEMA, orient="row")


# Locked, so that nothing is told of them meanwhile.
_RUNS = """
SELECT x.id, x.source, x.status, (SELECT id FROM workbench.graph_threads WHERE executions @> ARRAY[x.id] LIMIT 1)
FROM workbench.agent_executions x WHERE x.id = ANY(%s::uuid[]) ORDER BY x.id FOR UPDATE OF x
"""

_STATES = """
SELECT step_number, checkpoint, (pg_column_size(state) + coalesce(pg_column_size(raw), 0))::bigint
FROM workbench.execution_snapshots WHERE execution_id = %s ORDER BY step_number
"""

_SIZE = """
SELECT coalesce(sum(pg_column_size(state) + coalesce(pg_column_size(raw), 0)), 0)::bigint
FROM workbench.execution_snapshots WHERE execution_id = ANY(%s::uuid[])
"""

_NEEDED = """
SELECT coalesce(event.step_number, note.step_number), CASE note.kind WHEN 'checkpoint' THEN note.kind ELSE 'noted' END
FROM workbench.step_notes note LEFT JOIN workbench.observability_events event ON event.id = note.event_id
WHERE note.execution_id = %(run)s
UNION ALL
SELECT coalesce(event.step_number, fork.forked_at_step), 'forked'
FROM workbench.agent_executions fork LEFT JOIN workbench.observability_events event ON event.id = fork.parent_event_id
WHERE fork.parent_execution_id = %(run)s AND fork.metadata->>'link' = 'forked'
  AND coalesce(event.step_number, fork.forked_at_step) IS NOT NULL
UNION ALL
SELECT forked_at_step, 'begun with' FROM workbench.agent_executions
WHERE id = %(run)s AND forked_at_step IS NOT NULL
ORDER BY 1
"""
