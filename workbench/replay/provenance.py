"""Who wrote this value? From a path of the state back to the event that brought the value into the run.

Three questions, one after the other:

1. *Which step set it?* Told by the patches, see :mod:`workbench.replay.changes`.
2. *Where did it stand before?* In messages, reasoning, arguments and results of tools, the input of model calls and of
   the run: every event up to that step that holds the value, see :mod:`workbench.replay.holders`. The one that brought
   it in is the earliest whose match is no accident: the value is specific enough, or (then the nearest) it stands there
   under the same name. An agent that writes what nothing before it held made it up, and is named itself.
3. *And where did that come from?* Of a tool's result: what its arguments held, and the run of the sub-agent that it
   started. Of what a run holds from its start on: the run that it hangs on.

Nothing is guessed: where no event holds the value, or only by accident, a row says ``unknown``.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from workbench.data.secrets.known import cleared
from workbench.data.store.course import course
from workbench.data.store.snapshots import check_step, last_step
from workbench.errors import ConfigurationError
from workbench.replay.changes import Change, last_change
from workbench.replay.holders import Needle, shown
from workbench.replay.paths import keys_of, pointer
from workbench.replay.sources import Row, Search, name_in

if TYPE_CHECKING:
    from workbench._typing import Recall
    from workbench.data.frames.load import Frames

SCHEMA: dict[str, Any] = {
    "depth": pl.Int64,  # 0: the change of the state; 1: what held the value; 2, …: what that came from
    "of": pl.String,  # the value explained: its pointer in the state when it was set, or in the event of depth − 1
    "source": pl.String,  # state change · tool result · tool arguments · user message · run input · unknown · …
    "is_origin": pl.Boolean,  # this one brought the value in, of all rows of its depth and value
    "execution_id": pl.String,
    "step_number": pl.Int64,  # null: the input of a run, a memory, unknown
    "event_id": pl.String,
    "event_type": pl.String,
    "name": pl.String,
    "agent": pl.String,
    "place": pl.String,  # JSON pointer into the event's data; into the state at depth 0
    "match": pl.String,  # exact · path · number · substring; null at depth 0 and where unknown
    "same_key": pl.Boolean,  # it stands there under the name it has in the state
    "specificity": pl.Float64,  # 0 to 1: how much it says that the value stands there
    "value": pl.String,  # cut
    "text": pl.String,  # what stands around it, cut
}
_DEEPEST = 20


def origin(
    frames: Frames,
    run: Any,
    path: str,
    *,
    step: int | None = None,
    depth: int = 3,
    limit: int = 20,
    memory: Recall | None = None,
) -> pl.DataFrame:
    """Walk back from a value of the state to what brought it into the run.

    Parameters
    ----------
    run
        A run, as in :meth:`workbench.data.frames.load.Frames.events`.
    path
        ``cart.items[0].price`` or a JSON pointer, ``/cart/items/0/price``.
    step
        Look at the state after this step; ``None`` = after the last.
    depth
        How many steps to walk back: 0 the change of the state alone, 1 what held the value, 2 what that came from, ….
    limit
        Rows of one depth and value at most: the origin, the matches that are no accident, and the others, by step.
    memory
        What a run recalled, ``memory(run_id, until_step)`` → memories with ``content`` and maybe ``id``,
        ``step_number``, ``name``: they are searched like events.

    Returns
    -------
    polars.DataFrame
        Columns of :data:`SCHEMA`. The first row is the change of the state (``state edit``: by who forked the run,
        where the walk ends). Of the rows of one ``depth`` and ``of``, one ``is_origin``; its ``source`` is ``unknown``
        where nothing holds the value, or only what may be an accident. Values and texts are cut for showing; they were
        compared whole.

    Raises
    ------
    NotFoundError
        No such run or step, a run without states, or nothing at the path (the text names paths that are near).
    ConfigurationError
        What is given is no path, or ``depth`` or ``limit`` is no such number.
    """
    for name, value, most in (("depth", depth, _DEEPEST), ("limit", limit, 10_000)):
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            raise ConfigurationError(f"{name}={value!r} must be a whole number, 0 to {most}.", value=value)
    run_id, keys = frames.run_id(run), keys_of(path)
    change = last_change(frames.store, _lineage(frames, run_id, step), keys)
    change = replace(change, value=cleared(frames.store, change.value))
    rows = [_changed(frames, change)]
    if depth and not change.is_edit:
        needle = Needle(change.value, name_in(change.keys))
        search = Search(frames, deepest=depth, limit=limit, memory=memory)
        rows += search.back(change.run, change.step_number, {pointer(change.keys): needle}, 1)
    return pl.DataFrame([{name: value for name, value in asdict(row).items() if name in SCHEMA} for row in rows],
                        schema=SCHEMA)  # fmt: skip


def _changed(frames: Frames, change: Change) -> Row:
    """The row of depth 0."""
    columns = ["id", "event_type", "name", "agent"]
    events = frames.events(change.run, columns=columns, where=f"step_number = {change.step_number}")
    event = events.row(0, named=True) if events.height else dict.fromkeys(columns)
    place = pointer(change.keys)
    text = "there from the first snapshot that is kept on" if change.is_first else None
    text = "or at a step before: the states before this one were pruned" if change.is_pruned else text
    source = "state edit" if change.is_edit else "state change"
    return Row(
        0, place, source, change.run, change.step_number, event["id"], event["event_type"], event["name"],
        event["agent"], place, specificity=Needle(change.value, None).specificity, value=shown(change.value),
        is_origin=True, text="edited when the run was forked" if change.is_edit else text,
    )  # fmt: skip


def _lineage(frames: Frames, run: str, step: int | None) -> list[tuple[str, int]]:
    """The run and the step asked for; of a fork, then the runs it left, each with the step where it did."""
    with frames.store.raw() as connection:
        if step is None:
            step = last_step(connection, run) or 0
        else:
            check_step(connection, run, step)
        stretches = course(connection, run)
    return [(str(one.execution_id), step if one.until is None else min(step, one.until)) for one in reversed(stretches)]
