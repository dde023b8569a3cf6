"""One thread of LangGraph as runs: one for the graph, and one for each call of a subgraph.

A checkpoint is a step that holds the state it recorded. Before it stand the messages that are new in it; after it the
tasks that were run from it, each with what it wrote, asked (interrupt), was answered (resume) or failed of. The tables
hold no times but those of checkpoints: a task bears that of the checkpoint it was run from. A message is a step once in
the whole thread, where it was first seen: a subgraph hands its messages on to the graph around it.

The branch that the newest checkpoint stands on is the run; checkpoints of other branches (time travel) stay in the
order of their making, marked ``is_off_branch``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from workbench._delta import diff
from workbench.data.ingest.formats.langgraph_branch import Point, branch, judge, n_branches, set_durations
from workbench.data.ingest.formats.langgraph_message import message_step
from workbench.data.ingest.formats.langgraph_tables import Encoded, Row, Tables, Write
from workbench.data.ingest.formats.langgraph_values import TYPE, Memo, decode, is_message, opaque
from workbench.data.ingest.normal import BadLine, Run, State, Step, total
from workbench.data.ingest.reading.chat import count, elements, known, last_answer, mapping, text_or_none, title
from workbench.data.ingest.reading.identity import digest
from workbench.data.ingest.reading.parse import parse
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.reading.times import when

FORMAT = "langgraph"

_ERROR, _INTERRUPT, _RESUME = "__error__", "__interrupt__", "__resume__"
_TASKS, _START = "__pregel_tasks", "__start__"
_NO_TASK = "00000000-0000-0000-0000-000000000000"  # writes that no task made: the answer to an interrupt, a command
_UUID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
_RAISED = re.compile(r"([A-Za-z_][\w.]*)\((.*)\)\Z", re.DOTALL)  # repr of an exception
# Channels by which a graph steers itself; what is in them is no state of the agent.
_STEERING = ("branch:", "start:", "join:", "__pregel_", "__start__", "__input__", "__resume__", "__interrupt__")
_OFF = "not on the branch of the newest checkpoint: kept and marked is_off_branch"
_DELTA = "kept by the graph as changes for its own reducer: the state has the channel only where a snapshot was stored"


def read_thread(
    tables: Tables, thread: str, source: Source, *, names: Callable[[str], str] | None = None
) -> Iterator[Run | BadLine]:
    """The runs of a thread, the graph's own first, after what could not be read of it.

    ``names`` gives the run of a namespace its id, where the thread's own would not do.
    """
    found = _Thread(thread, source, names)
    for row in tables.rows(thread):
        found.take(row)
        yield from found.bad
        found.bad.clear()
    yield from found.runs()


@dataclass(slots=True)
class _Space:
    """A namespace: the graph itself, or one call of a subgraph."""

    name: str
    steps: list[Step] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    points: dict[str, Point] = field(default_factory=dict)
    document: Any = None
    decoded: dict[str, tuple[str, Any]] = field(default_factory=dict)  # channel → (version, value)
    wrote: dict[str, Step] = field(default_factory=dict)  # message → the task that wrote it
    unnamed: set[str] = field(default_factory=set)  # messages without an id
    input: Any = None
    about: dict[str, Any] = field(default_factory=dict)
    sources: Counter[str] = field(default_factory=Counter)
    versions: set[int] = field(default_factory=set)


class _Thread:
    """The runs of one thread while its checkpoints come in."""

    def __init__(self, thread: str, source: Source, names: Callable[[str], str] | None = None) -> None:
        self._thread = thread
        self._names = names
        self._memo = Memo()
        self._source = source
        self._spaces: dict[str, _Space] = {}
        self._said: dict[str, set[str]] = {}  # message id → digests of what it said
        self._first: str | None = None
        self.bad: list[BadLine] = []

    # One checkpoint

    def take(self, row: Row) -> None:
        """Make the steps of a checkpoint."""
        self._first = self._first or row.id
        space = self._spaces.setdefault(row.namespace, _Space(row.namespace))
        document = self._document(row)
        metadata = self._metadata(row)
        values = self._values(row, document, space)
        at = when(document.get("ts"), self._source)
        point = space.points[row.id] = Point(row.parent, at)
        before = len(space.steps)
        self._messages(values, row, point, space)
        self._checkpoint(row, document, metadata, values, point, space)
        self._tasks(row, values, point, space)
        point.steps = space.steps[before:]
        point.is_waiting = _START in values or bool(values.get(_TASKS)) or any(n.startswith("branch:") for n in values)

    def _document(self, row: Row) -> Mapping[str, Any]:
        if isinstance(row.document, dict):
            return row.document
        found = self._decode(row.document, f"checkpoint {row.id}")
        return mapping(found)

    def _metadata(self, row: Row) -> Mapping[str, Any]:
        if row.metadata is None:
            return {}
        try:
            text = row.metadata
            return mapping(parse(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")).value)
        except ValueError as error:
            self._is_bad(f"metadata of checkpoint {row.id}", str(error))
            return {}

    def _values(self, row: Row, document: Mapping[str, Any], space: _Space) -> dict[str, Any]:
        """The values of the channels: those in the document, and those that lie elsewhere."""
        values = dict(mapping(document.get("channel_values")))
        decoded: dict[str, tuple[str, Any]] = {}
        for name, (version, encoded) in row.values.items():
            if encoded[0] == "empty":
                continue
            before = space.decoded.get(name)
            if before is not None and before[0] == version:
                decoded[name] = before
            else:
                decoded[name] = version, self._decode(encoded, f"channel {name!r} of checkpoint {row.id}")
            values[name] = decoded[name][1]
        space.decoded = decoded
        return values

    def _decode(self, encoded: Encoded, what: str) -> Any:
        try:
            return decode(*encoded, self._noted, self._memo)
        except ValueError as error:
            self._is_bad(what, str(error), encoded[1])
            return opaque(*encoded, str(error))

    def _noted(self, why: str) -> None:
        self._source.changed("value", why)

    def _is_bad(self, what: str, reason: str, data: bytes | None = None) -> None:
        self.bad.append(BadLine(None, f"thread {self._thread!r}, {what}: {reason}", data and bytes(data)))

    def _checkpoint(
        self,
        row: Row,
        document: Mapping[str, Any],
        metadata: Mapping[str, Any],
        values: dict[str, Any],
        point: Point,
        space: _Space,
    ) -> None:
        made_by = text_or_none(metadata.get("source"))
        number = metadata.get("step")
        inner = {name: value for name, value in values.items() if _is_steering(name, value, document)}
        step = Step(
            "state",
            source_id=row.id,
            name=made_by or "checkpoint",
            category="checkpoint",
            timestamp=point.at,
            span_id=row.id,
            extra=known(
                checkpoint_id=row.id,
                parent_checkpoint_id=row.parent,
                metadata=dict(metadata) or None,
                channels=inner or None,
                **{key: value for key, value in document.items() if key not in ("channel_values", "id", "ts")},
            ),
        )
        self._seen_delta(metadata, values)
        if made_by is not None:
            space.sources[made_by] += 1
        version = count(document.get("v"))
        if version is not None:
            space.versions.add(version)
        if space.input is None and _START in values:
            space.input = values[_START]
        for name, value in metadata.items():
            if name not in ("source", "step", "parents", "writes", "counters_since_delta_snapshot"):
                space.about.setdefault(name, value)
        space.steps.append(step)
        after = {name: value for name, value in values.items() if name not in inner}
        whole = space.document is None
        patch: list[Mapping[str, Any]] | None = None if whole else [*diff(space.document, after)]
        what = f"step {number}" if number is not None else None
        space.states.append(
            State(
                len(space.steps) - 1,
                document=after if whole else None,
                patch=patch,
                timestamp=point.at,
                description=" · ".join(part for part in (what, made_by) if part) or None,
                checkpoint=True,
            )
        )
        space.document = after

    def _seen_delta(self, metadata: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        for name in mapping(metadata.get("counters_since_delta_snapshot")):
            if name not in values:
                self._source.changed("state", f"channel {name}: {_DELTA}")

    # Messages

    def _messages(self, values: Mapping[str, Any], row: Row, point: Point, space: _Space) -> None:
        for channel, value in values.items():
            if channel.startswith("__"):
                continue
            for position, message in enumerate(value if isinstance(value, list) else [value]):
                if is_message(message):
                    self._message(message, f"{channel}:{position}", row, point, space)

    def _message(self, message: dict[str, Any], place: str, row: Row, point: Point, space: _Space) -> None:
        content = self._memo.digest(message)
        own = text_or_none(message.get("id"))
        if own is None:
            key = f"{place}:{content}"
            if key in space.unnamed:
                return
            space.unnamed.add(key)
            source_id, is_changed = f"{row.id}/{place}", False
        else:
            said = self._said.setdefault(own, set())
            if content in said:
                return
            is_changed = bool(said)
            said.add(content)
            source_id = f"{own}@{row.id}" if is_changed else own
        step = message_step(message, self._source)
        step.source_id, step.timestamp = source_id, point.at
        if is_changed:
            self._source.changed("message", "changed later under the same id: both kept, its tokens counted once")
            step.extra = {**(step.extra or {}), "replaces": own}
            step.usage = None
        task = next((space.wrote.pop(key) for key in _keys(message) if key in space.wrote), None)
        if task is not None:
            step.parent_span_id = task.span_id
            step.agent = task.name if step.role not in ("user", "system") else None
        space.steps.append(step)

    # Tasks

    def _tasks(self, row: Row, values: Mapping[str, Any], point: Point, space: _Space) -> None:
        space.wrote.clear()
        by_task: dict[str, list[tuple[Write, Any]]] = {}
        for write in row.writes:
            what = f"write of task {write.task_id} into {write.channel!r} at checkpoint {row.id}"
            by_task.setdefault(write.task_id, []).append((write, self._decode(write.value, what)))
        commands = by_task.pop(_NO_TASK, [])
        for task, wrote in by_task.items():
            # What was asked comes before the answer; their indexes say it the other way round.
            wrote.sort(key=lambda item: (item[0].channel == _RESUME, item[0].index))
            self._task(task, wrote, row, values, point, space)
        self._commands(commands, row, point, space)

    def _task(
        self,
        task: str,
        wrote: list[tuple[Write, Any]],
        row: Row,
        values: Mapping[str, Any],
        point: Point,
        space: _Space,
    ) -> None:
        path = wrote[0][0].task_path
        node = _node(path, values) or next((w.channel for w, value in wrote if value == w.channel), None)
        step = Step(
            "span",
            source_id=f"{row.id}/{task}",
            name=node or "task",
            agent=node if node != _START else None,
            category="task",
            severity="debug" if node == _START else "info",
            timestamp=point.at,
            span_id=task,
            parent_span_id=row.id,
            extra=known(
                task_id=task,
                task_path=path or None,
                writes=[self._written(write.channel, value) for write, value in wrote],
            ),
        )
        space.steps.append(step)
        for _, value in wrote:
            for message in value if isinstance(value, list) else [value]:
                if is_message(message):
                    for key in _keys(message):
                        space.wrote[key] = step
        for write, value in wrote:
            if write.channel == _ERROR:
                step.severity, step.error = "error", _raised(value)
            elif write.channel in (_INTERRUPT, _RESUME):
                space.steps.append(self._pause(write, value, step, row, point))

    def _written(self, channel: str, value: Any) -> dict[str, Any]:
        """A write as it was; a message that has an id of its own is a step, and only named here."""
        is_list = isinstance(value, list)
        items = [
            {"message_id": item["id"]} if is_message(item) and text_or_none(item.get("id")) in self._said else item
            for item in (value if is_list else [value])
        ]
        return {"channel": channel, "value": items if is_list else items[0]}

    def _pause(self, write: Write, value: Any, task: Step, row: Row, point: Point) -> Step:
        is_question = write.channel == _INTERRUPT
        said = [item.get("value") if isinstance(item, dict) and TYPE in item else item for item in elements(value)]
        return Step(
            "log",
            source_id=f"{row.id}/{write.task_id}/{write.index}",
            name="interrupt" if is_question else "resume",
            agent=task.agent,
            category="interrupt" if is_question else "resume",
            severity="warning" if is_question else "info",
            timestamp=point.at,
            parent_span_id=task.span_id,
            text=_text(said if said else value),
            extra={"value": value, "checkpoint_id": row.id},
        )

    def _commands(self, wrote: list[tuple[Write, Any]], row: Row, point: Point, space: _Space) -> None:
        """What came from outside while the graph waited: the answer to an interrupt, an update of the state."""
        for write, value in wrote:
            name = "resume" if write.channel == _RESUME else "command"
            space.steps.append(
                Step(
                    "log",
                    source_id=f"{row.id}/{write.task_id}/{write.index}",
                    name=name,
                    agent="user",
                    category=name,
                    timestamp=point.at,
                    parent_span_id=row.id,
                    text=_text(value),
                    extra={"channel": write.channel, "value": value, "checkpoint_id": row.id},
                )
            )

    # The whole

    def runs(self) -> Iterator[Run]:
        """The runs, those around others first."""
        for name in sorted(self._spaces, key=lambda name: (name.count("|") + bool(name), name)):
            yield self._run(self._spaces[name])

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
            if above in self._spaces:
                return self._id(above)
        return self._id("")

    def _run(self, space: _Space) -> Run:
        main = branch(space.points)
        n_off = self._mark(space, main)
        newest = space.points[max(space.points)]
        kept = [step for step in space.steps if not (step.extra or {}).get("is_off_branch")]
        times = [point.at for point in space.points.values() if point.at is not None]
        set_durations(space.points)
        node, _, task = space.name.rpartition("|")[2].partition(":")
        asked = next((step.text for step in kept if step.role == "user" and step.text), None)
        run = Run(
            source_id=self._id(space.name),
            agent_type=text_or_none(space.about.get("graph_id")) or (f"{FORMAT}/{node}" if space.name else FORMAT),
            name=title(asked) or node or f"thread {self._thread}",
            model=next((step.model for step in kept if step.model), None),
            started_at=min(times, default=None),
            completed_at=max(times, default=None),
            input=space.input,
            output=last_answer(kept) or space.document,
            usage=total(step.usage for step in space.steps),
            parent_source_id=self._parent(space.name),
            spawned_by=task or None,
            link="spawned" if space.name else None,
            metadata=known(
                thread_id=self._thread,
                checkpoint_ns=space.name or None,
                conversation_id=self._thread,
                n_checkpoints=len(space.points),
                n_branches=n_branches(space.points),
                n_off_branch=n_off or None,
                sources=dict(space.sources) or None,
                checkpoint_versions=sorted(space.versions) or None,
                **{key: value for key, value in space.about.items() if key not in ("thread_id", "checkpoint_ns")},
            ),
            steps=space.steps,
            states=space.states,
        )
        judge(run, newest)
        return run

    def _mark(self, space: _Space, main: set[str]) -> int:
        off = [point for checkpoint, point in space.points.items() if checkpoint not in main]
        for point in off:
            for step in point.steps:
                step.extra = {**(step.extra or {}), "is_off_branch": True}
        if off:
            self._source.kept("checkpoint", _OFF, len(off))
        return len(off)


def _node(path: str, values: Mapping[str, Any]) -> str | None:
    """The node of a task by its path: ``~__pregel_pull, NODE``, or the place of what was sent to it."""
    kind, *parts = path.removeprefix("~").split(", ")
    if kind == "__pregel_pull" and parts:
        return ", ".join(parts)
    if kind == "__pregel_push" and parts and parts[0].isdigit():
        sent = elements(values.get(_TASKS))
        index = int(parts[0]) if len(parts[0]) <= 10 else len(sent)
        return text_or_none(mapping(sent[index]).get("node")) if index < len(sent) else None
    return None


def _is_steering(name: str, value: Any, document: Mapping[str, Any]) -> bool:
    """Whether a channel is the graph's own; older graphs have one for each node, that holds the node's name."""
    return name.startswith(_STEERING) or (value == name and name in mapping(document.get("versions_seen")))


def _keys(message: Mapping[str, Any]) -> list[str]:
    """By what a message that a task wrote is known again in the channel: its id, or what it says.

    LangGraph gives an id to a message that has none when it comes into the channel, while another thread writes down
    what the task wrote: it may stand there with its id or without.
    """
    said = digest({key: value for key, value in message.items() if key != "id"})
    own = text_or_none(message.get("id"))
    return [said] if own is None else [own, said]


def _raised(value: Any) -> dict[str, Any]:
    text = value if isinstance(value, str) else _text(value) or ""
    found = _RAISED.match(text)
    if found is None:
        return {"type": "Error", "message": text}
    return {"type": found[1], "message": found[2].strip("'\"") or text}


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    if isinstance(value, list) and len(value) == 1:
        return _text(value[0])
    try:
        return orjson.dumps(value, default=str).decode()
    except TypeError:
        return str(value)
