"""What is remembered of a live thread, so that mirroring a turn costs what the turn is, however long the thread.

The newest checkpoints of each graph are *open*: a task may write late, another branch begin. They are read again where
they changed. What is before them is *settled*: of it stay the messages' ids and digests, the ids of its events and the
state it came to. :class:`LiveThread` finds in the store what has come, and :class:`LiveRun` makes the rows of it.
``ReadAnew`` says that what is settled has changed (a thread was pruned, an old checkpoint went another way): then the
thread is read from its beginning, by the same code that knows nothing yet.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson
import psycopg

from workbench.data.ingest.formats.langgraph_checkpoint import ReadAnew
from workbench.data.ingest.formats.langgraph_tables import Row, Write
from workbench.data.ingest.formats.langgraph_thread import Part, Thread
from workbench.data.ingest.formats.langgraph_values import TYPE, decode
from workbench.data.ingest.normal import Mark, Step
from workbench.data.ingest.reading.marks import Known
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.writing.rows import RowMaker, SnapshotRows
from workbench.data.store.graph_values import Encoded
from workbench.data.store.graphs import Graphs, Point, Version

FORMAT = "langgraph-live"
_OPEN_POINTS = 8  # of each graph: writes that come late, and edits of what was just said, go to these
_OPEN_SPACES = 64  # graphs and calls of subgraphs of one thread that may go on
_MESSAGE_BYTES = 500  # about what remembering a message takes
_LAST = "\U0010ffff"  # after every id
_READABLE = ("msgpack", "json", "null", "empty", "bytes", "bytearray")


class Told(NamedTuple):
    """What of a run is to be written."""

    part: Part
    execution: uuid.UUID
    events: list[tuple[Any, ...]]
    snapshots: list[tuple[Any, ...]]
    marks: list[tuple[Mark | None, str]]  # of older events, by their ids, where they changed


class LiveRun:
    """What is remembered of a run that is stored."""

    def __init__(self, part: Part, maker: RowMaker) -> None:
        self.execution = maker.id_of(part.run)
        self.agent_type = part.run.agent_type
        self.calls: list[Any] = []  # of models: what a run is priced by
        self._maker = maker
        self._ids: set[str] = set()  # of settled events
        self._known = Known()
        self._open: dict[str, Step] = {}  # settled events that lack something, by their ids
        self._states = SnapshotRows(maker, self.execution)
        self._part = part
        self._events: list[tuple[Any, ...]] = []

    def tell(self, part: Part) -> Told:
        """The rows of what is not settled."""
        steps = part.run.steps
        for step in steps:
            self._known.take(step)
        for step in steps:
            step.mark = self._known.mark_of(step)
        self._part = part
        self._events = [*self._maker.events(part.run, first=part.first_step, taken=self._ids)]
        return Told(part, self.execution, self._events, self._snapshots(part), self._marks())

    def _snapshots(self, part: Part) -> list[tuple[Any, ...]]:
        ahead = self._states.fork()
        for state in part.run.states:
            ahead.add(state)
        return ahead.finish()

    def _marks(self) -> list[tuple[Mark | None, str]]:
        changed = []
        for event, step in self._open.items():
            mark = self._known.mark_of(step)
            if mark != step.mark:
                step.mark = mark
                changed.append((mark, event))
        for _, event in changed:
            if self._open[event].mark is None:
                del self._open[event]
        return changed

    def settle(self, n_steps: int) -> None:
        """The steps before this one will not change."""
        part = self._part
        n = n_steps - part.first_step
        for step, row in zip(part.run.steps[:n], self._events[:n], strict=True):
            self._ids.add(row[0])
            if step.mark is not None:
                self._open[row[0]] = step
        for state in part.run.states:
            if state.step_number < n_steps:
                self._states.add(state)
        self._states.take()
        self._part, self._events = Part(part.namespace, part.run, n_steps), []
        part.run.steps, part.run.states = [], []


class LiveThread:
    """What is remembered of a thread.

    Parameters
    ----------
    own
        Its id in the store.
    thread_id
        As the agent's own code calls it.
    """

    def __init__(self, own: uuid.UUID, thread_id: str) -> None:
        names = {"": thread_id}
        source = Source(FORMAT, content=b"")
        self.is_new = True
        self.runs: dict[str, LiveRun] = {}
        self.unlinked: set[uuid.UUID] = set()  # calls of subgraphs whose step in the graph around is not there yet
        self._own = own
        self._maker = RowMaker(FORMAT, source, None)
        self._thread = Thread(thread_id, source, names=lambda namespace: names.get(namespace, f"{own}/{namespace}"))
        self._open: dict[str, dict[str, Version]] = {}
        self._closed: set[str] = set()
        self._settled = Version(0, 0, 0)
        self._sizes: dict[str, int] = {}  # bytes of the newest checkpoint

    @property
    def size_bytes(self) -> int:
        """About how much is remembered."""
        return sum(self._sizes.values()) + self._thread.n_messages * _MESSAGE_BYTES

    def advance(self, connection: psycopg.Connection, graphs: Graphs, agent_type: str | None) -> list[Told]:
        """Read what has come since, and say what is to be written.

        Raises
        ------
        ReadAnew
            What is settled has changed; nothing is written yet, and this is of no use any more.
        """
        firsts = {name: min(versions) for name, versions in self._open.items()} | dict.fromkeys(self._closed, _LAST)
        settled, found = graphs.versions(connection, self._own, firsts)
        if settled != self._settled:
            raise ReadAnew(self._own)
        places = self._changed(found)
        for point in graphs.history(connection, self._own, places):
            self._take(point)
        self._thread.bad()
        return [self._told(part, agent_type) for part in self._thread.changed()]

    def _changed(self, found: Mapping[str, Mapping[str, Version]]) -> list[tuple[str, str]]:
        """The namespaces and ids of the checkpoints to be read, in their order; what was read of them is undone."""
        places: list[tuple[str, str]] = []
        for name, known in self._open.items():
            if not known.keys() <= found.get(name, {}).keys():
                raise ReadAnew(name)
        for name, versions in found.items():
            known = self._open.get(name, {})
            changed = [own for own, version in versions.items() if known.get(own) != version]
            if not changed:
                continue
            if known:
                self._thread.rewind(name, min(changed))
            places += [(name, own) for own in versions if own >= min(changed)]
            self._open[name] = dict(versions)
        return sorted(places, key=lambda place: place[::-1])

    def _take(self, point: Point) -> None:
        row = _row(point)
        self._thread.take(row, (row.id, row.namespace))
        self._sizes[row.namespace] = sum(len(value.data) for value in point.values.values())

    def _told(self, part: Part, agent_type: str | None) -> Told:
        if part.namespace == self._thread.first_namespace:
            part.run.agent_type = agent_type or part.run.agent_type
        run = self.runs.get(part.namespace)
        if run is None:
            run = self.runs[part.namespace] = LiveRun(part, self._maker)
            if part.namespace:
                self.unlinked.add(run.execution)
        if run.agent_type != part.run.agent_type:
            raise ReadAnew(part.namespace)  # the lane of all its steps
        return run.tell(part)

    def execution(self, told: Told) -> tuple[Any, ...]:
        """The row of a run."""
        return self._maker.execution(told.part.run)

    def settle(self, told: Iterable[Told]) -> None:
        """What was told is stored: only the newest of it is open."""
        self._thread.settle(_OPEN_POINTS)
        for one in told:
            name = one.part.namespace
            self.runs[name].settle(self._thread.n_settled_steps(name))
            versions = self._open.pop(name)  # those that changed last stand last
            first = self._thread.first_open(name)
            for own in [own for own in versions if own < first]:
                self._settled = self._settled.plus(versions.pop(own))
            self._open[name] = versions
        for name in [*self._open][:-_OPEN_SPACES]:
            if name != self._thread.first_namespace:
                self._close(name)
        self.is_new = False

    def _close(self, name: str) -> None:
        for version in self._open.pop(name).values():
            self._settled = self._settled.plus(version)
        self._thread.close(name)
        self._closed.add(name)
        self._sizes.pop(name, None)
        del self.runs[name]


def _row(point: Point) -> Row:
    """A checkpoint as the reader of LangGraph's tables wants it."""
    document, metadata = _document(point)
    return Row(
        point.place.namespace,
        point.place.checkpoint_id,
        point.parent_id,
        document,
        metadata,
        {name: ((point.digests[name] or b"").hex(), _shown(value)) for name, value in point.values.items()},
        [Write(w.task_id, w.task_path, w.idx, w.channel, _shown(w.value)) for w in point.writes],
    )


def _document(point: Point) -> tuple[dict[str, Any], bytes | None]:
    """Checkpoint and metadata; where they cannot be read (they are encrypted), when it was put."""
    unread: dict[str, Any] = {"ts": point.created_at.isoformat()}
    if point.document.kind not in _READABLE:
        return unread, None
    try:
        both = decode(*point.document, lambda _: None)
        return {**both["checkpoint"]}, orjson.dumps(both["metadata"], default=str)
    except (ValueError, TypeError, KeyError):
        return unread, None


def _shown(value: Encoded) -> tuple[str, bytes]:
    """A value that people may read; of an encrypted one that it is there, and how large."""
    if value.kind in _READABLE:
        return value
    return "json", orjson.dumps({TYPE: value.kind, "size_bytes": len(value.data)})
