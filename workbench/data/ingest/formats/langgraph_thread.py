"""One thread of LangGraph as runs: one for the graph, and one for each call of a subgraph.

A checkpoint is a step that holds the state it recorded. Before it stand the messages that are new in it; after it the
tasks that were run from it, each with what it wrote, asked (interrupt), was answered (resume) or failed of. The tables
hold no times but those of checkpoints: a task bears that of the checkpoint it was run from. A message is a step once in
the whole thread, where it was first seen: a subgraph hands its messages on to the graph around it.

The branch that the newest checkpoint stands on is the run; checkpoints of other branches (time travel) stay in the
order of their making, marked ``is_off_branch``.

A thread may be read on (:class:`Thread`): what is settled of it is let go, up to its newest checkpoints; those are read
again where they changed. ``ReadAnew`` says where that would not be what a reading of the whole gives.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from workbench.data.ingest.formats.langgraph_branch import (
    Point,
    Told,
    branch,
    ends,
    judge,
    mark_branch,
    set_durations,
)
from workbench.data.ingest.formats.langgraph_checkpoint import Key, Moment, ReadAnew, Shared, read_checkpoint
from workbench.data.ingest.formats.langgraph_tables import Row, Tables
from workbench.data.ingest.normal import BadLine, Run, State, Step
from workbench.data.ingest.reading.chat import known, text_or_none, title
from workbench.data.ingest.reading.source import Source

FORMAT = "langgraph"

_UUID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
_OFF = "not on the branch of the newest checkpoint: kept and marked is_off_branch"


def read_thread(tables: Tables, thread: str, source: Source) -> Iterator[Run | BadLine]:
    """The runs of a thread, the graph's own first, after what could not be read of it."""
    found = Thread(thread, source)
    for number, row in enumerate(tables.rows(thread)):
        found.take(row, number)
        yield from found.bad()
    for part in found.changed():
        yield part.run


@dataclass(slots=True)
class Part:
    """A run of a thread from one of its steps on: what may have changed since it was settled."""

    namespace: str
    run: Run
    first_step: int = 0


@dataclass(slots=True)
class _Space:
    """A namespace: the graph itself, or one call of a subgraph."""

    name: str
    now: Moment = field(default_factory=Moment)
    points: dict[str, Point] = field(default_factory=dict)  # those that are not settled, by their ids
    settled: Told = field(default_factory=Told)
    main: set[str] = field(default_factory=set)  # of the points: those on the branch of the newest
    roots: set[tuple[str, str | None]] = field(default_factory=set)  # of the points: those whose parent is settled


class Thread:
    """The runs of one thread while its checkpoints come in.

    Parameters
    ----------
    names
        Gives the run of a namespace its id, where the thread's own would not do.
    """

    def __init__(self, thread: str, source: Source, names: Callable[[str], str] | None = None) -> None:
        self._thread = thread
        self._names = names
        self._shared = Shared(thread, source)
        self._spaces: dict[str, _Space] = {}
        self._closed: set[str] = set()
        self._changed: set[str] = set()
        self._first: str | None = None
        self._is_told = False

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def take(self, row: Row, key: Key) -> None:
        """Read a checkpoint that comes after all others of its namespace; keys tell the order in the whole thread.

        Raises
        ------
        ReadAnew
            It changes what is settled.
        """
        self._first = self._first or row.id
        if row.namespace not in self._spaces:
            self._open(row.namespace)
        space = self._spaces[row.namespace]
        is_root = row.parent is not None and row.parent not in space.points
        if is_root and space.settled.n_points and (row.id, row.parent) not in space.roots:
            raise ReadAnew(row.namespace)  # what is settled goes on otherwise than it did
        self._changed.add(row.namespace)
        space.points[row.id], space.now = read_checkpoint(row, key, space.now, self._shared)

    def _open(self, namespace: str) -> None:
        known = self._spaces.keys() | self._closed
        if self._is_told and known:
            is_above = any(own.startswith(f"{namespace}|") for own in known)
            # Runs that were told would hang on this one; or it would be the first of all, which bears the agent's kind.
            if namespace in known or is_above or _order(namespace) < min(map(_order, known)):
                raise ReadAnew(namespace)
        self._spaces[namespace] = _Space(namespace)

    def rewind(self, namespace: str, checkpoint: str) -> None:
        """Forget the checkpoints of a namespace from one on: they are read again."""
        space = self._spaces[namespace]
        self._changed.add(namespace)
        for own in sorted((own for own in space.points if own >= checkpoint), reverse=True):
            point = space.points.pop(own)
            space.now = point.before
            for who, content in point.said:
                self._shared.said.forget(who, content)

    def bad(self) -> list[BadLine]:
        """What could not be read since this was last asked."""
        found, self._shared.bad = self._shared.bad, []
        return found

    @property
    def n_messages(self) -> int:
        """How many were said."""
        return len(self._shared.said)

    @property
    def first_namespace(self) -> str:
        """That of the graph itself."""
        return min(self._spaces.keys() | self._closed, key=_order)

    # -- runs --------------------------------------------------------------------------------------------------------

    def changed(self) -> list[Part]:
        """The runs that have changed since they were settled, those around others first.

        Raises
        ------
        ReadAnew
            The newest checkpoint goes on from one that is settled already: another branch is the run now.
        """
        self._shared.said.check()
        return [self._part(self._spaces[name]) for name in sorted(self._changed, key=_order)]

    def _part(self, space: _Space) -> Part:
        points, told = space.points, replace(space.settled)
        line = branch(points)
        if told.n_points and points[line[-1]].parent != told.tip:
            raise ReadAnew(space.name)
        space.main = set(line)
        mark_branch(points, space.main)
        set_durations(points)
        steps: list[Step] = []
        states: list[State] = []
        at_end = ends(points)
        for own, point in points.items():
            assert point.state is not None
            states.append(replace(point.state, step_number=told.n_steps + point.state.step_number))
            steps += point.steps
            told.add(own, point, is_on=own in space.main, is_end=own in at_end)
        if told.n_off:
            self._shared.source.kept("checkpoint", _OFF, told.n_off)
        run = self._run(space, told)
        run.steps, run.states = steps, states
        judge(run, points[line[0]])
        return Part(space.name, run, space.settled.n_steps)

    def _run(self, space: _Space, told: Told) -> Run:
        now = space.now
        node, _, task = space.name.rpartition("|")[2].partition(":")
        return Run(
            source_id=self._id(space.name),
            agent_type=text_or_none(now.about.get("graph_id")) or (f"{FORMAT}/{node}" if space.name else FORMAT),
            name=title(told.asked) or node or f"thread {self._thread}",
            model=told.model,
            started_at=told.first_at,
            completed_at=told.last_at,
            input=now.input,
            output={"text": told.answered} if told.answered else now.document,
            usage=told.usage,
            parent_source_id=self._parent(space.name),
            spawned_by=task or None,
            link="spawned" if space.name else None,
            metadata=known(
                thread_id=self._thread,
                checkpoint_ns=space.name or None,
                conversation_id=self._thread,
                n_checkpoints=told.n_points,
                n_branches=told.n_ends if told.n_ends > 1 else None,
                n_off_branch=told.n_off or None,
                sources=dict(now.sources) or None,
                checkpoint_versions=sorted(now.formats) or None,
                **{key: value for key, value in now.about.items() if key not in ("thread_id", "checkpoint_ns")},
            ),
        )

    def _id(self, namespace: str) -> str:
        """The id of a run. A short thread id ("1") is that of many databases: its first checkpoint tells them apart."""
        if self._names is not None:
            return self._names(namespace)
        own = self._thread if _UUID.fullmatch(self._thread) else f"{self._thread}@{self._first}"
        return f"{own}/{namespace}" if namespace else own

    def _parent(self, namespace: str) -> str | None:
        if not namespace:
            return None
        above = namespace
        while above:
            above = above.rpartition("|")[0]
            if above in self._spaces or above in self._closed:
                return self._id(above)
        return self._id("")

    # -- what is let go ----------------------------------------------------------------------------------------------

    def settle(self, keep: int) -> None:
        """Let go of all but the newest checkpoints of each run, what has changed having been told."""
        for name in self._changed:
            space = self._spaces[name]
            at_end = ends(space.points)
            points = [*space.points]
            kept = set(points[-keep:])
            # A checkpoint that says it goes on from a later one stays with that.
            n = next((n for n, own in enumerate(points) if own in kept or space.points[own].parent in kept), 0)
            for own in points[:n]:
                point = space.points.pop(own)
                space.settled.add(own, point, is_on=own in space.main, is_end=own in at_end)
            space.roots = {
                (own, point.parent) for own, point in space.points.items() if point.parent not in space.points
            }
        self._changed.clear()
        self._shared.memo.let_go()
        self._is_told = True

    def close(self, namespace: str) -> None:
        """Let go of all that is remembered of a call of a subgraph, but that it was there."""
        del self._spaces[namespace]
        self._closed.add(namespace)

    def n_settled_steps(self, namespace: str) -> int:
        """How many of a run's steps are settled."""
        return self._spaces[namespace].settled.n_steps

    def first_open(self, namespace: str) -> str:
        """The first checkpoint that is not settled."""
        return next(iter(self._spaces[namespace].points))


def _order(namespace: str) -> tuple[int, str]:
    """Those around others first."""
    return namespace.count("|") + bool(namespace), namespace
