"""Protocols by which rooms that may not import each other speak, and the filters that frames take."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, TypeVar, runtime_checkable

if TYPE_CHECKING:
    import polars as pl

Some = str | Iterable[str] | None
When = str | date | datetime | None
Fields = Mapping[str, str | tuple[str, Any]] | None


class FrameFilters(TypedDict, total=False):
    """What every frame takes."""

    since: When
    until: When
    ids: Any
    where: str | None
    limit: int | None
    fields: Fields
    columns: Sequence[str] | None


class ExecutionFilters(FrameFilters, total=False):
    """What ``executions()`` takes."""

    status: Some
    agent_type: Some
    model: Some
    task: Some
    source: Some
    parent: Any


class RunFilters(TypedDict, total=False):
    """What chooses runs: ``executions()`` without what shapes its frame."""

    status: Some
    agent_type: Some
    model: Some
    task: Some
    source: Some
    parent: Any
    since: When
    until: When
    ids: Any
    where: str | None


class EventFilters(FrameFilters, total=False):
    """What ``events()`` takes."""

    event_type: Some
    name: Some
    agent: Some
    category: Some
    severity: Some


class SnapshotFilters(FrameFilters, total=False):
    """What ``snapshots()`` takes."""

    checkpoint: bool | None
    is_derived: bool | None


class TaskFilters(FrameFilters, total=False):
    """What ``tasks()`` takes."""

    status: Some
    priority: Some
    source: Some
    user_id: Some


class EnvironmentFilters(FrameFilters, total=False):
    """What ``environments()`` takes."""

    name: Some
    user_id: Some
    is_active: bool | None


class ImportFilters(FrameFilters, total=False):
    """What ``imports()`` takes."""

    format: Some
    path: Some
    has_original: bool | None


class QuarantineFilters(FrameFilters, total=False):
    """What ``quarantine()`` takes."""

    format: Some
    path: Some
    is_solved: bool | None


Method = TypeVar("Method", bound=Callable[..., Any])


def takes(filters: type) -> Callable[[Method], Method]:
    """Write the keys of a TypedDict into the signature of a method that ends in ``**filters: Unpack[…]``.

    ``help()`` and the TAB key of IPython read the signature; they know nothing of ``Unpack``.
    """
    own = [name for name in filters.__annotations__ if name not in FrameFilters.__annotations__]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None)
        for name in (*own, *(name for name in FrameFilters.__annotations__ if name in filters.__annotations__))
    ]

    def written(method: Method) -> Method:
        signature = inspect.signature(method)
        *named, _ = signature.parameters.values()
        method.__signature__ = signature.replace(parameters=[*named, *added])  # pyright: ignore[reportFunctionMemberAccess]
        return method

    return written


class Recall(Protocol):
    """What a run recalled from its memory: how the memory is a source of values, for rooms that do not know it."""

    def __call__(self, run: str, until: int, /) -> Iterable[Mapping[str, Any]]:
        """Memories with ``content`` and, where known, ``id``, ``step_number`` (when it was recalled) and ``name``."""
        ...


@runtime_checkable
class RunDiff(Protocol):
    """The aligned difference of two runs: what ``bench.compare(a, b)`` gives and ``DiffView`` shows."""

    @property
    def a(self) -> str:
        """What the first run is called."""
        ...

    @property
    def b(self) -> str:
        """What the second run is called."""
        ...

    @property
    def titles(self) -> tuple[str, str]:
        """What a heading says of either run."""
        ...

    @property
    def steps(self) -> pl.DataFrame:
        """One row per aligned pair: ``position a_step b_step kind what a_label b_label similarity``."""
        ...

    @property
    def first_divergence(self) -> dict[str, Any] | None:
        """The first row that differs in more than wording."""
        ...

    @property
    def summary(self) -> str:
        """One sentence."""
        ...

    def detail(self, position: int) -> dict[str, Any]:
        """Both sides of a row: ``a`` and ``b`` with ``calls result is_error text``, or None."""
        ...


@runtime_checkable
class ReplayCursor(Protocol):
    """A cursor over the steps of a run: what ``bench.replay(run)`` gives and ``ReplayPlayer`` shows."""

    id: str
    steps: pl.DataFrame
    """One row per step: ``id execution_id step_number event_type name agent severity timestamp …``, no data."""
    position: int
    """The row of :attr:`steps` that the cursor stands on."""

    @property
    def state(self) -> Any:
        """The state after this step; None where none is known."""
        ...

    @property
    def is_derived(self) -> bool:
        """Whether the state was made from the conversation, as nobody recorded one."""
        ...

    @property
    def event(self) -> Mapping[str, Any] | None:
        """The event of this step, ``data`` parsed."""
        ...

    @property
    def branches(self) -> pl.DataFrame:
        """All branches of this run's root, in the order of the tree."""
        ...

    @property
    def notes(self) -> pl.DataFrame:
        """Notes, pins and checkpoints on the steps."""
        ...

    def state_at(self, step: int) -> Any:
        """The state after another step."""
        ...

    def changes(self, path: str = "") -> list[int]:
        """The steps after which the value at a path had become another one."""
        ...

    def context(self) -> pl.DataFrame:
        """The messages as the model saw them at this step."""
        ...

    def origin(self, path: str) -> pl.DataFrame:
        """Who wrote a value of this state."""
        ...

    def on(self, run: str, *, step: int | None = None) -> ReplayCursor:
        """A cursor on another branch, or a fresh one."""
        ...

    def fork(self, *, patch: Any = None, name: str | None = None) -> ReplayCursor:
        """Go on from this step in a branch of its own."""
        ...

    def rollback(self, *, reason: str | None = None) -> ReplayCursor:
        """Return here; what came after stays."""
        ...

    def note(self, text: str, *, author: str | None = None) -> Any:
        """Write a note on this step."""
        ...

    def pin(self, *, author: str | None = None) -> Any:
        """Mark this step."""
        ...

    def checkpoint(self, name: str, *, author: str | None = None) -> Any:
        """Name this step."""
        ...

    def edit_note(self, note: Any, text: str) -> None:
        """Change the text of a note."""
        ...

    def remove_note(self, note: Any) -> None:
        """Take a note away."""
        ...


@runtime_checkable
class RunCohort(Protocol):
    """Good and failed runs of a task on one graph: what ``bench.cohort(task=…)`` gives and ``CohortView`` shows.

    Frames that are computed once are ``Any``: type checkers do not take a ``cached_property`` for a property.
    """

    @property
    def task(self) -> str:
        """Title of the task."""
        ...

    @property
    def runs(self) -> pl.DataFrame:
        """One row per run: ``execution_id name outcome`` (good and failed ones are in the graph)."""
        ...

    @property
    def steps(self) -> pl.DataFrame:
        """One row per step: ``execution_id outcome step_number node position label is_repeat is_moved is_error``."""
        ...

    @property
    def nodes(self) -> Any:
        """One row per step of the graph: ``node position step event_type role name label``, runs and steps there."""
        ...

    @property
    def edges(self) -> Any:
        """Runs from one node straight to another: ``source target n_good n_failed n_runs is_back``."""
        ...

    @property
    def divergences(self) -> Any:
        """What divides the runs and goes with failing, the one to look at first on top."""
        ...

    @property
    def summary(self) -> str:
        """A sentence or two."""
        ...

    @property
    def is_stored(self) -> bool:
        """Whether :meth:`replay` can be asked."""
        ...

    def at(self, node: int) -> pl.DataFrame:
        """The rows of :attr:`steps` at a node."""
        ...

    def replay(self, run: str, step: int | None = None) -> ReplayCursor:
        """A cursor on one of the runs, at a step."""
        ...


def is_like(value: Any, protocol: type) -> bool:
    """Whether a value has all that a Protocol names. Properties are not asked, as ``isinstance`` does before 3.12."""
    names = {*vars(protocol), *protocol.__annotations__}
    absent: Any = object()
    return all(inspect.getattr_static(value, name, absent) is not absent for name in names if not name.startswith("_"))
