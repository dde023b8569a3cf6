""":class:`Replay`: a cursor over the steps of a run, what ``bench.replay(run)`` gives."""

from __future__ import annotations

import time
import uuid
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

import orjson
import polars as pl

from workbench._delta import Patch, apply, diff, same
from workbench._predicates import parse
from workbench._predicates.nodes import State
from workbench.data.secrets.known import cleared
from workbench.data.store.course import course
from workbench.errors import ConfigurationError, NotFoundError, PrunedError

from . import branches, notes
from .restore import restored
from .states import States

if TYPE_CHECKING:
    from workbench._predicates.nodes import Predicate
    from workbench.data.frames.load import Frames

T = TypeVar("T")

_COLUMNS = ("id", "execution_id", "step_number", "event_type", "name", "agent", "category", "severity", "timestamp",
            "duration_ms", "mark")  # fmt: skip
_MAX_WAIT_S = 5.0  # between two steps at play: nobody watches an agent sleep


class Replay:
    """A cursor over the steps of one run, from its first on; of a fork also over those before the fork.

    Cursors know nothing of each other: several on one run, or on two branches, stand side by side. Nothing but
    :meth:`fork`, :meth:`rollback` and the notes writes, and those destroy nothing.

    Parameters
    ----------
    frames
        The store's frames.
    run
        Id of the run.

    Attributes
    ----------
    id
        The run.
    steps : polars.DataFrame
        The events of the whole course without their data: one row per step, in order. A step of which there is a state
        and no event has no ``id``.

    Examples
    --------
    ::

        replay = bench.replay(run)
        replay.seek(12).state["plan"]
        replay.next_error().event["data"]["tool"]
        replay.step_back().diff()
    """

    def __init__(self, frames: Frames, run: str) -> None:
        self.id = run
        self._frames = frames
        self._states = States(frames.store, run)
        self._stated = _stated(frames, run)
        self.steps = _steps(frames, run, self._stated)
        self._numbers: list[int] = self.steps["step_number"].to_list()
        if not self._numbers:
            raise NotFoundError(f"Execution {run} has no steps to replay. See bench.events(run).", execution_id=run)
        self.position = 0

    def __repr__(self) -> str:
        return f"Replay({self.id[:8]}, step={self.step_number} of {self._numbers[-1]})"

    def __len__(self) -> int:
        return len(self._numbers)

    @classmethod
    def of(cls, frames: Frames, run: Any) -> Replay:
        """A cursor on a run, as :meth:`Frames.run_id` takes it; of a row that tells a step, on that step.

        ::

            found = bench.find(wb.event("tool").then(wb.event(severity="error"), within=3))
            wb.ReplayPlayer(bench.replay(found[0]))  # the first match, in the player
        """
        replay = cls(frames, frames.run_id(run))
        row = row_of(run) if not isinstance(run, pl.DataFrame) or run.height == 1 else None
        return replay if row is None or row.get("step_number") is None else replay.goto(row)

    # -- where it stands ---------------------------------------------------------------------------------------------

    @property
    def step_number(self) -> int:
        """The step that the cursor stands on."""
        return self._numbers[self.position]

    @property
    def state(self) -> Any:
        """What the agent's state was after this step; ``None`` where none is known. Shared: copy it before a change.

        Raises
        ------
        PrunedError
            It was pruned: see ``bench.prune()``.
        """
        return self._state_at(self.step_number)

    @property
    def state_step(self) -> int | None:
        """The step whose state this is: the last until here that a state is known of; ``None`` where none is."""
        kept = self._kept()
        return None if kept is None else kept[0]

    @property
    def is_derived(self) -> bool:
        """Whether nobody recorded this state: it was made from the conversation."""
        kept = self._kept()
        return False if kept is None else kept[1]

    @property
    def event(self) -> dict[str, Any] | None:
        """The event of this step, its ``data`` parsed; ``None`` where there is only a state."""
        row = self.steps.row(self.position, named=True)
        if row["id"] is None:
            return None
        told = self._frames.events(row["execution_id"], ids=[row["id"]]).row(0, named=True)
        return {**told, "data": orjson.loads(told["data"])}

    @property
    def events(self) -> pl.DataFrame:
        """The events up to this step, as :meth:`Frames.course` gives them."""
        return self._frames.course(self.id, where=f"step_number <= {self.step_number}")

    @property
    def is_at_end(self) -> bool:
        """Whether no step comes after this one."""
        return self.position == len(self._numbers) - 1

    def diff(self, step: int | None = None) -> Patch:
        """What changed in the state: since the step before, or since another step, as an RFC 6902 patch."""
        if step is None and self.position == 0:
            before: Any = {}
        else:
            before = self._state_at(self._numbers[self.position - 1] if step is None else self._found(step))
        return diff({} if before is None else before, self.state)

    # -- moving ------------------------------------------------------------------------------------------------------

    def seek(self, step: int) -> Self:
        """Go to a step by its number.

        Raises
        ------
        NotFoundError
            There is no such step; the cursor stays.
        """
        self.position = self._numbers.index(self._found(step))
        return self

    def goto(self, place: Any) -> Self:
        """Go to an event or a step.

        Parameters
        ----------
        place
            The id of an event; or a row, as a dict or a frame of one row, that tells a step: of ``bench.find(…)``,
            ``bench.events(…)``, ``bench.suspects(…)``, ``bench.notes(…)`` and others with ``step_number``.

        Raises
        ------
        NotFoundError
            The event or step is none of this run's; the cursor stays.
        ConfigurationError
            The row tells no step, or a frame has several rows.
        """
        row = row_of(place)
        if row is None or (row.get("step_number") is None and row.get("id") is not None):
            return self._goto_event(str(getattr(place, "id", place) if row is None else row["id"]))
        if row.get("step_number") is None:
            raise ConfigurationError(
                f"This row tells no step, only {', '.join(row)}. Give one of bench.find(…) or bench.events(…).",
                value=row,
            )
        owner = row.get("execution_id")
        if owner is not None and str(owner) not in {self.id, *self.steps["execution_id"]}:
            raise NotFoundError(
                f"The row is of execution {owner}, and this is a replay of {self.id}. bench.replay(row) opens the other"
                " at that step.",
                execution_id=str(owner),
            )
        # A step may hold several events.
        is_event = row.get("id") is not None and str(row["id"]) in self.steps["id"]
        return self._goto_event(str(row["id"])) if is_event else self.seek(row["step_number"])

    def _goto_event(self, event_id: str) -> Self:
        place = self.steps["id"].index_of(event_id)
        if place is None:
            raise NotFoundError(f"Event {event_id} is none of execution {self.id}.", event_id=event_id)
        self.position = place
        return self

    def step_forward(self, n: int = 1) -> Self:
        """Go `n` steps on, at most to the last."""
        self.position = min(max(self.position + n, 0), len(self._numbers) - 1)
        return self

    def step_back(self, n: int = 1) -> Self:
        """Go `n` steps back, at most to the first."""
        return self.step_forward(-n)

    def play(self, *, speed: float | None = None, until: Predicate | str | None = None) -> Iterator[Self]:
        """Yield the cursor at this step and each one after it.

        Parameters
        ----------
        speed
            Times as fast as it happened (1 = at its own pace, no wait longer than 5 s); ``None`` = without waiting.
        until
            A breakpoint, as :meth:`Frames.find` takes it: the first step behind this one at which it holds is the last.

        Raises
        ------
        ConfigurationError
            The speed is not above 0.
        """
        if speed is not None and not speed > 0:
            raise ConfigurationError(f"speed={speed!r} must be above 0, or None to play without waiting.", value=speed)
        breaks = () if until is None else self._matches(until)
        yield self
        while not self.is_at_end:
            before = self.steps["timestamp"][self.position]
            self.step_forward()
            now = self.steps["timestamp"][self.position]
            if speed is not None and before is not None and now is not None:
                time.sleep(min(max((now - before).total_seconds(), 0) / speed, _MAX_WAIT_S))
            yield self
            if self.step_number in breaks:
                return

    def next_error(self) -> Self:
        """Go to the next step of severity error or critical."""
        return self._next(pl.col("severity").is_in(["error", "critical"]), "error")

    def previous_error(self) -> Self:
        """Go back to the last such step before this one."""
        return self._previous(pl.col("severity").is_in(["error", "critical"]), "error")

    def next_tool_call(self, name: str | None = None) -> Self:
        """Go to the next call of a tool, or of the one named."""
        return self._next(_calls(name), f"call of {name}" if name else "tool call")

    def previous_tool_call(self, name: str | None = None) -> Self:
        """Go back to the last such call before this one."""
        return self._previous(_calls(name), f"call of {name}" if name else "tool call")

    def next_match(self, predicate: Predicate | str) -> Self:
        """Go to the next step at which a predicate holds: ``wb.state("cart.total") > 100``, or the same as text.

        Raises
        ------
        NotFoundError
            It holds at no step behind this one; the cursor stays.
        """
        return self._next(pl.col("step_number").is_in(sorted(self._matches(predicate))), f"step where {predicate}")

    def previous_match(self, predicate: Predicate | str) -> Self:
        """Go back to the last such step before this one."""
        return self._previous(pl.col("step_number").is_in(sorted(self._matches(predicate))), f"step where {predicate}")

    def next_change(self, path: str = "") -> Self:
        """Go to the next step after which the value at a path of the state is another one.

        Parameters
        ----------
        path
            A JSON pointer, like ``/cart/total``; the whole state where it is left out.

        Raises
        ------
        NotFoundError
            It does not change any more; the cursor stays.
        """
        return self._change(path, range(self.position + 1, len(self._numbers)), f"after step {self.step_number}")

    def previous_change(self, path: str = "") -> Self:
        """Go back to the last step before this one after which the value at a path had become another one."""
        return self._change(path, range(self.position - 1, -1, -1), f"before step {self.step_number}")

    def changes(self, path: str = "") -> list[int]:
        """The numbers of all steps after which the value at a path of the state had become another one.

        Parameters
        ----------
        path
            A JSON pointer, like ``/cart/total``; the whole state where it is left out.
        """
        found, before = [], None
        for place, step in enumerate(self._numbers):
            now = self._last_known(place)
            if now is not before and not same(value_at(now, path), value_at(before, path)):
                found.append(step)
            before = now
        return found

    # -- asking ------------------------------------------------------------------------------------------------------

    def state_at(self, step: int) -> Any:
        """The state after another step; the cursor stays. See :attr:`state`."""
        return self._state_at(self._found(step))

    def context(self, **options: Any) -> pl.DataFrame:
        """The messages as the model saw them at this step. See :func:`workbench.replay.context.context`."""
        from .context import context

        return context(self._frames, self.id, self.step_number, **options)

    def origin(self, path: str, **options: Any) -> pl.DataFrame:
        """Who wrote a value of this state. See :func:`workbench.replay.provenance.origin`."""
        from .provenance import origin

        return origin(self._frames, self.id, path, step=self.step_number, **options)

    # -- using it ----------------------------------------------------------------------------------------------------

    def restore(self, into: type[T] | T, *, path: str = "") -> T:
        """The state, or a part of it, as an object of the user's own. See :func:`workbench.replay.restore.restored`."""
        return restored(value_at(self.state, path), into)

    def fork(
        self,
        *,
        state: Any = branches.SAME,
        patch: Patch | None = None,
        name: str | None = None,
    ) -> Replay:
        """Go on from this step in a branch of its own; this run is never changed.

        Parameters
        ----------
        state
            The whole state that the branch begins with; left out, as it is here.
        patch
            RFC 6902 operations on the state instead.
        name
            What a person calls the branch.

        Returns
        -------
        Replay
            A cursor on the branch, at its beginning. Its ``id`` is the new run.

        Raises
        ------
        ConfigurationError
            Both `state` and `patch` are given.
        PatchError
            The patch does not apply.
        """
        if patch is not None:
            if state is not branches.SAME:
                raise ConfigurationError("state and patch exclude each other: the whole state, or changes to it.")
            state = apply(self.state, patch)
        made = branches.fork(self._frames.store, self.id, self.step_number, state=state, name=name)
        return self._on(made)

    def rollback(self, *, reason: str | None = None) -> Replay:
        """Return here: a branch from this step becomes the head. What came after stays, in this run."""
        return self._on(branches.rollback(self._frames.store, self.id, self.step_number, reason=reason))

    def on(self, run: str, *, step: int | None = None) -> Replay:
        """A cursor on another branch, or a fresh one on this run; this cursor stays.

        Parameters
        ----------
        run
            Id of the run.
        step
            The step that it stands on, or the last one before that; left out, the first.
        """
        replay = Replay(self._frames, self._frames.run_id(run))
        if step is not None:
            replay.position = max(bisect_right(replay._numbers, step) - 1, 0)
        return replay

    @property
    def branches(self) -> pl.DataFrame:
        """All branches of this run's root. See :meth:`workbench.data.frames.load.Frames.branches`."""
        return self._frames.branches(self.id)

    @property
    def notes(self) -> pl.DataFrame:
        """Notes, pins and checkpoints on the steps. See :meth:`workbench.data.frames.load.Frames.notes`."""
        return self._frames.notes(self.id)

    def note(self, text: str, *, author: str | None = None) -> uuid.UUID:
        """Write a note on this step."""
        return notes.add_note(self._frames.store, self.id, self.step_number, text=text, author=author)

    def pin(self, *, author: str | None = None) -> uuid.UUID:
        """Mark this step."""
        return notes.add_note(self._frames.store, self.id, self.step_number, kind="pin", author=author)

    def checkpoint(self, name: str, *, author: str | None = None) -> uuid.UUID:
        """Name this step, so that one may return to it by :meth:`to_checkpoint`."""
        return notes.add_note(
            self._frames.store, self.id, self.step_number, text=name, kind="checkpoint", author=author
        )

    def edit_note(self, note: uuid.UUID | str, text: str) -> None:
        """Change the text of a note, pin or checkpoint that a person made."""
        notes.edit_note(self._frames.store, note, text)

    def remove_note(self, note: uuid.UUID | str) -> None:
        """Take a note, pin or checkpoint away that a person made."""
        notes.remove_note(self._frames.store, note)

    def to_checkpoint(self, name: str) -> Self:
        """Go to a checkpoint by its name, whether the agent or a person made it.

        Raises
        ------
        NotFoundError
            There is none of this name; the text lists those there are.
        """
        known = self.notes.filter(pl.col("kind") == "checkpoint")
        found = known.filter(pl.col("text") == name)
        if found.is_empty():
            there_are = ", ".join(map(repr, known["text"])) or "none"
            raise NotFoundError(f"Execution {self.id} has no checkpoint {name!r}. It has: {there_are}.", name=name)
        return self.seek(found["step_number"][-1])

    # -- how ---------------------------------------------------------------------------------------------------------

    def _kept(self) -> tuple[int, bool] | None:
        """Step of the snapshot that says this state, and whether it is derived."""
        until = self._stated.filter(pl.col("step_number") <= self.step_number)
        return until.select("step_number", "is_derived").row(-1) if until.height else None

    def _on(self, run: uuid.UUID) -> Replay:
        replay = Replay(self._frames, str(run))
        replay.position = len(replay) - 1
        return replay

    def _state_at(self, step: int) -> Any:
        state = self._states.at(step)
        if self._frames.store.settings.redact:
            return cleared(self._frames.store, orjson.loads(orjson.dumps(state)))  # it clears in place
        return state

    def _last_known(self, place: int) -> Any:
        """The state after a step, or the last one before it that was not pruned."""
        while place >= 0:
            try:
                return self._states.at(self._numbers[place])
            except PrunedError as gone:
                place = bisect_left(self._numbers, gone.first_step) - 1
        return None

    def _found(self, step: int) -> int:
        if step in self._numbers:
            return step
        raise NotFoundError(
            f"Execution {self.id} has no step {step!r}; its steps are {self._numbers[0]} to {self._numbers[-1]}.",
            step=step,
        )

    def _matches(self, predicate: Predicate | str) -> set[int]:
        """The steps at which a predicate holds; of a fork also those that it shares."""
        if (self.steps["execution_id"] == self.id).all():
            return set(self._frames.find(predicate, self.id, labels=False)["step_number"])
        # A search of all runs tells a shared step of the run that holds it, where the state may be another one.
        asked = parse(predicate) if isinstance(predicate, str) else predicate
        row = self._frames.executions(ids=[self.id]).row(0, named=True)
        matcher, found = asked.watch(row), set()
        asks_states = any(isinstance(column, State) for column in asked.columns())
        events = self._frames.course(self.id).partition_by("step_number", as_dict=True)
        for number in self._numbers:
            told = events[number,].to_dicts() if (number,) in events else None
            try:
                holds = matcher.feed(number, told, self._states.at(number))
            except PrunedError:  # what it says of events counts; of a state that is gone it can say nothing
                holds = matcher.feed(number, told) and not asks_states
            if holds:
                found.add(number)
        return found

    def _next(self, condition: pl.Expr, what: str) -> Self:
        places = self.steps.select(condition.arg_true()).to_series()
        found = places.filter(places > self.position)
        if found.is_empty():
            raise NotFoundError(f"No {what} after step {self.step_number}.", step=self.step_number)
        self.position = found[0]
        return self

    def _previous(self, condition: pl.Expr, what: str) -> Self:
        places = self.steps.select(condition.arg_true()).to_series()
        found = places.filter(places < self.position)
        if found.is_empty():
            raise NotFoundError(f"No {what} before step {self.step_number}.", step=self.step_number)
        self.position = found[-1]
        return self

    def _change(self, path: str, places: range, where: str) -> Self:
        for place in places:
            before = None if place == 0 else self._last_known(place - 1)
            now = self._last_known(place)
            if now is not before and not same(value_at(now, path), value_at(before, path)):
                self.position = place
                return self
        raise NotFoundError(f"The value at {path or 'the state'!r} does not change {where}.", path=path)


def _stated(frames: Frames, run: str) -> pl.DataFrame:
    """The steps of the whole course after which there is a state; that which a fork begins with is behind its run's."""
    columns = ["execution_id", "step_number", "timestamp", "is_derived"]
    parts = []
    with frames.store.raw() as connection:
        stretches = course(connection, run)
    for one in stretches:
        where = None if one.until is None else f"step_number <= {one.until}"
        parts.append(frames.snapshots(str(one.execution_id), states=False, columns=columns, where=where))
    return pl.concat(parts).sort("step_number", maintain_order=True)


def _steps(frames: Frames, run: str, stated: pl.DataFrame) -> pl.DataFrame:
    steps = frames.course(run, columns=list(_COLUMNS))
    # At the step of a fork both runs have a state; as with events, the step is that of the run that was left.
    alone = stated.drop("is_derived").unique("step_number", keep="first", maintain_order=True)
    alone = alone.join(steps, on="step_number", how="anti")
    return pl.concat([steps, alone], how="diagonal").sort("step_number", maintain_order=True)


def row_of(place: Any) -> Mapping[str, Any] | None:
    """A row of a frame, given as a dict or as a frame of one row; ``None`` for anything else."""
    if isinstance(place, pl.DataFrame):
        if place.height != 1:
            raise ConfigurationError(
                f"One row is needed, and this frame has {place.height}. Try frame[0].", n_rows=place.height
            )
        return place.row(0, named=True)
    return place if isinstance(place, Mapping) else None


def value_at(state: Any, path: str) -> Any:
    """The value at a JSON pointer of a state; ``None`` where there is nothing."""
    for token in path.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(state, Mapping):
            state = state.get(key)
        elif isinstance(state, list) and key.isdecimal() and int(key) < len(state):
            state = state[int(key)]
        else:
            return None
    return state


def _calls(name: str | None) -> pl.Expr:
    is_call = pl.col("event_type") == "tool_call"
    return is_call if name is None else is_call & (pl.col("name") == name)
