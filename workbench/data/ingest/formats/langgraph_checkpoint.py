"""One checkpoint of LangGraph as steps: the messages that are new in it, the state it recorded, the tasks run from it.

What a checkpoint becomes depends on the one before it in its graph (:class:`Moment`) and on the messages that were said
before anywhere in the thread (:class:`Said`), and on nothing else: it can be read again when a task writes late.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from workbench._delta import diff
from workbench.data.ingest.formats.langgraph_branch import Point
from workbench.data.ingest.formats.langgraph_message import message_step
from workbench.data.ingest.formats.langgraph_tables import Encoded, Row, Write
from workbench.data.ingest.formats.langgraph_values import TYPE, Memo, decode, is_message, opaque
from workbench.data.ingest.normal import BadLine, State, Step
from workbench.data.ingest.reading.chat import count, elements, known, mapping, text_or_none
from workbench.data.ingest.reading.identity import digest
from workbench.data.ingest.reading.parse import parse
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.reading.times import when

Key = Any  # what tells which of two checkpoints is read first

_ERROR, _INTERRUPT, _RESUME = "__error__", "__interrupt__", "__resume__"
_TASKS, _START = "__pregel_tasks", "__start__"
_NO_TASK = "00000000-0000-0000-0000-000000000000"  # writes that no task made: the answer to an interrupt, a command
_RAISED = re.compile(r"([A-Za-z_][\w.]*)\((.*)\)\Z", re.DOTALL)  # repr of an exception
# Channels by which a graph steers itself; what is in them is no state of the agent.
_STEERING = ("branch:", "start:", "join:", "__pregel_", "__start__", "__input__", "__resume__", "__interrupt__")
_OF_ONE = ("source", "step", "parents", "writes", "counters_since_delta_snapshot")  # metadata of one checkpoint alone
_CHANGED = "changed later under the same id: both kept, its tokens counted once"
_DELTA = "kept by the graph as changes for its own reducer: the state has the channel only where a snapshot was stored"


class ReadAnew(Exception):  # noqa: N818 (no error: the thread is read from its beginning)
    """What has come makes what was read before otherwise than it was read."""


class Said:
    """The messages of a thread: which were said, with what content, and in which checkpoint first.

    Checkpoints of different graphs may come in another order than they were made in. What was answered then has to be
    what is answered in their order: where it is not, ``ReadAnew`` is raised.
    """

    def __init__(self) -> None:
        self._by_message: dict[Any, dict[str, Key]] = {}
        self._missed: dict[str, Key] = {}  # message → the last checkpoint that asked for it in vain
        self._forgotten: dict[tuple[Any, str], Key] = {}

    def take(self, who: Any, content: str, key: Key) -> bool | None:
        """Note a message of a checkpoint: ``None`` where it was said before, else whether it said otherwise then.

        Raises
        ------
        ReadAnew
            A later checkpoint had it, or asked for it in vain, and was read first.
        """
        before = self._by_message.setdefault(who, {})
        if any(key < other for other in before.values()) or key < self._missed.get(who, key):
            raise ReadAnew(who)
        if content in before:
            return None
        is_changed = bool(before)
        before[content] = key
        if self._forgotten.get((who, content)) == key:
            del self._forgotten[who, content]
        return is_changed

    def forget(self, who: Any, content: str) -> None:
        """Its checkpoint is read again."""
        before = self._by_message[who]
        self._forgotten[who, content] = before.pop(content)
        if not before:
            del self._by_message[who]

    def check(self) -> None:
        """Raise ReadAnew where a checkpoint that was read again does not say what it said before."""
        if self._forgotten:
            raise ReadAnew(*self._forgotten)

    def has(self, who: str, key: Key) -> bool:
        """Whether a message was said up to a checkpoint."""
        if any(other <= key for other in self._by_message.get(who, {}).values()):
            return True
        self._missed[who] = max(key, self._missed.get(who, key))
        return False

    def __len__(self) -> int:
        return len(self._by_message)


@dataclass(slots=True)
class Shared:
    """What the checkpoints of a thread have in common while they are read."""

    thread: str
    source: Source
    memo: Memo = field(default_factory=Memo)
    said: Said = field(default_factory=Said)
    bad: list[BadLine] = field(default_factory=list)


@dataclass(slots=True)
class Moment:
    """What a checkpoint leaves to the next one of its graph; never changed once it is read."""

    document: Any = None  # the state; None before the first
    values: Mapping[str, Any] = field(default_factory=dict)  # of all channels
    decoded: Mapping[str, tuple[str, Any]] = field(default_factory=dict)  # channel → (version, value)
    wrote: Mapping[str, Step] = field(default_factory=dict)  # message → the task that wrote it
    input: Any = None
    about: Mapping[str, Any] = field(default_factory=dict)  # the graph's own metadata
    sources: Mapping[str, int] = field(default_factory=dict)  # what made a checkpoint → how many
    formats: frozenset[int] = frozenset()  # versions of the checkpoints' own form


def read_checkpoint(row: Row, key: Key, before: Moment, shared: Shared) -> tuple[Point, Moment]:
    """The steps of a checkpoint, and what it leaves to the next one of its graph."""
    reading = _Reading(row, key, before, shared)
    return reading.point, reading.after


class _Reading:
    """One checkpoint while it is read."""

    def __init__(self, row: Row, key: Key, before: Moment, shared: Shared) -> None:
        self._row = row
        self._key = key
        self._before = before
        self._shared = shared
        document = self._document()
        metadata = self._metadata()
        decoded = self._decoded()
        self._values = {
            **mapping(document.get("channel_values")),
            **{name: value for name, (_, value) in decoded.items()},
        }
        self.point = Point(row.parent, when(document.get("ts"), shared.source), before=before)
        self._messages()
        state = self._checkpoint(document, metadata)
        self.point.is_waiting = (
            _START in self._values
            or bool(self._values.get(_TASKS))
            or any(name.startswith("branch:") for name in self._values)
        )
        self.after = self._after(document, metadata, decoded, state)
        self._tasks()

    def _document(self) -> Mapping[str, Any]:
        if isinstance(self._row.document, dict):
            return self._row.document
        return mapping(self._decode(self._row.document, f"checkpoint {self._row.id}"))

    def _metadata(self) -> Mapping[str, Any]:
        text = self._row.metadata
        if text is None:
            return {}
        try:
            return mapping(parse(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")).value)
        except ValueError as error:
            self._is_bad(f"metadata of checkpoint {self._row.id}", str(error))
            return {}

    def _decoded(self) -> dict[str, tuple[str, Any]]:
        """The values of the channels that lie beside the document; one of a known version as it was decoded then."""
        decoded: dict[str, tuple[str, Any]] = {}
        for name, (version, encoded) in self._row.values.items():
            if encoded[0] == "empty":
                continue
            before = self._before.decoded.get(name)
            if before is not None and before[0] == version:
                decoded[name] = before
            else:
                decoded[name] = version, self._decode(encoded, f"channel {name!r} of checkpoint {self._row.id}")
        return decoded

    def _decode(self, encoded: Encoded, what: str) -> Any:
        try:
            return decode(*encoded, self._noted, self._shared.memo)
        except ValueError as error:
            self._is_bad(what, str(error), encoded[1])
            return opaque(*encoded, str(error))

    def _noted(self, why: str) -> None:
        self._shared.source.changed("value", why)

    def _is_bad(self, what: str, reason: str, data: bytes | None = None) -> None:
        about = f"thread {self._shared.thread!r}, {what}: {reason}"
        self._shared.bad.append(BadLine(None, about, data and bytes(data)))

    def _after(
        self,
        document: Mapping[str, Any],
        metadata: Mapping[str, Any],
        decoded: Mapping[str, tuple[str, Any]],
        state: Mapping[str, Any],
    ) -> Moment:
        before = self._before
        made_by, version = text_or_none(metadata.get("source")), count(document.get("v"))
        more = {name: value for name, value in metadata.items() if name not in (*_OF_ONE, *before.about)}
        return Moment(
            document=state,
            values=self._values,
            decoded=decoded,
            input=self._values.get(_START) if before.input is None else before.input,
            about={**before.about, **more} if more else before.about,
            sources=Counter(before.sources) + Counter([made_by] if made_by else []),
            formats=before.formats if version is None else before.formats | {version},
        )

    # The state

    def _checkpoint(self, document: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
        """Make the step of the checkpoint itself; the state it recorded."""
        row, point, values = self._row, self.point, self._values
        made_by = text_or_none(metadata.get("source"))
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
        for name in mapping(metadata.get("counters_since_delta_snapshot")):
            if name not in values:
                self._shared.source.changed("state", f"channel {name}: {_DELTA}")
        after = {name: value for name, value in values.items() if name not in inner}
        is_first, number = self._before.document is None, metadata.get("step")
        said = [f"step {number}" if number is not None else None, made_by]
        point.state = State(
            len(point.steps),
            document=after if is_first else None,
            patch=None if is_first else [*diff(self._before.document, after)],
            timestamp=point.at,
            description=" · ".join(part for part in said if part) or None,
            checkpoint=True,
        )
        point.steps.append(step)
        return after

    # Messages

    def _messages(self) -> None:
        wrote = dict(self._before.wrote)
        for channel, value in self._values.items():
            if channel.startswith("__"):
                continue
            items, old = _as_list(value), _as_list(self._before.values.get(channel))
            for position in range(_n_same(items, old), len(items)):
                if is_message(items[position]):
                    self._message(items[position], channel, position, wrote)

    def _message(self, message: dict[str, Any], channel: str, position: int, wrote: dict[str, Step]) -> None:
        content = self._shared.memo.digest(message)
        own = text_or_none(message.get("id"))
        # Without an id, a message is the one that stood at this place of this graph.
        who = own or (self._row.namespace, channel, position)
        is_changed = self._shared.said.take(who, content, self._key)
        if is_changed is None:
            return
        self.point.said.append((who, content))
        step = message_step(message, self._shared.source)
        step.timestamp = self.point.at
        step.source_id = own or f"{self._row.id}/{channel}:{position}"
        if own is not None and is_changed:
            self._shared.source.changed(
                "message", "changed later under the same id: both kept, its tokens counted once"
            )
            step.source_id = f"{own}@{self._row.id}"
            step.extra = {**(step.extra or {}), "replaces": own}
            step.usage = None
        task = next((wrote.pop(key) for key in keys_of(message) if key in wrote), None)
        if task is not None:
            step.parent_span_id = task.span_id
            step.agent = task.name if step.role not in ("user", "system") else None
        self.point.steps.append(step)

    # Tasks

    def _tasks(self) -> None:
        by_task: dict[str, list[tuple[Write, Any]]] = {}
        for write in self._row.writes:
            what = f"write of task {write.task_id} into {write.channel!r} at checkpoint {self._row.id}"
            by_task.setdefault(write.task_id, []).append((write, self._decode(write.value, what)))
        commands = by_task.pop(_NO_TASK, [])
        by_message: dict[str, Step] = {}
        for task, wrote in by_task.items():
            # What was asked comes before the answer; their indexes say it the other way round.
            wrote.sort(key=lambda item: (item[0].channel == _RESUME, item[0].index))
            step = self._task(task, wrote)
            for _, value in wrote:
                for message in filter(is_message, _as_list(value)):
                    by_message |= dict.fromkeys(keys_of(message), step)
        self._commands(commands)
        self.after.wrote = by_message

    def _task(self, task: str, wrote: list[tuple[Write, Any]]) -> Step:
        path = wrote[0][0].task_path
        node = _node(path, self._values) or next((w.channel for w, value in wrote if value == w.channel), None)
        step = Step(
            "span",
            source_id=f"{self._row.id}/{task}",
            name=node or "task",
            agent=node if node != _START else None,
            category="task",
            severity="debug" if node == _START else "info",
            timestamp=self.point.at,
            span_id=task,
            parent_span_id=self._row.id,
            extra=known(
                task_id=task,
                task_path=path or None,
                writes=[self._written(write.channel, value) for write, value in wrote],
            ),
        )
        self.point.steps.append(step)
        for write, value in wrote:
            if write.channel == _ERROR:
                step.severity, step.error = "error", _raised(value)
            elif write.channel in (_INTERRUPT, _RESUME):
                self._pause(write, value, step)
        return step

    def _written(self, channel: str, value: Any) -> dict[str, Any]:
        """A write as it was; a message that has an id of its own is a step, and only named here."""
        items = [self._named(item) for item in _as_list(value)]
        return {"channel": channel, "value": items if isinstance(value, list) else items[0]}

    def _named(self, item: Any) -> Any:
        own = text_or_none(item.get("id")) if is_message(item) else None
        return {"message_id": own} if own is not None and self._shared.said.has(own, self._key) else item

    def _pause(self, write: Write, value: Any, task: Step) -> None:
        is_question = write.channel == _INTERRUPT
        said = [item.get("value") if isinstance(item, dict) and TYPE in item else item for item in elements(value)]
        self._log(
            write,
            "interrupt" if is_question else "resume",
            task.agent,
            task.span_id,
            _text(said if said else value),
            {"value": value},
            severity="warning" if is_question else "info",
        )

    def _commands(self, wrote: list[tuple[Write, Any]]) -> None:
        """What came from outside while the graph waited: the answer to an interrupt, an update of the state."""
        for write, value in wrote:
            name = "resume" if write.channel == _RESUME else "command"
            self._log(write, name, "user", self._row.id, _text(value), {"channel": write.channel, "value": value})

    def _log(
        self,
        write: Write,
        name: str,
        agent: str | None,
        parent: str | None,
        text: str | None,
        extra: dict[str, Any],
        severity: Literal["info", "warning"] = "info",
    ) -> None:
        self.point.steps.append(
            Step(
                "log",
                source_id=f"{self._row.id}/{write.task_id}/{write.index}",
                name=name,
                agent=agent,
                category=name,
                severity=severity,
                timestamp=self.point.at,
                parent_span_id=parent,
                text=text,
                extra={**extra, "checkpoint_id": self._row.id},
            )
        )


def keys_of(message: Mapping[str, Any]) -> list[str]:
    """By what a message that a task wrote is known again in the channel: its id, or what it says.

    LangGraph gives an id to a message that has none when it comes into the channel, while another thread writes down
    what the task wrote: it may stand there with its id or without.
    """
    said = digest({key: value for key, value in message.items() if key != "id"})
    own = text_or_none(message.get("id"))
    return [said] if own is None else [own, said]


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _n_same(items: list[Any], old: list[Any]) -> int:
    """How many of the first items are the very objects that stood there before."""
    if items is old:
        return len(items)
    return next((n for n, (a, b) in enumerate(zip(items, old, strict=False)) if a is not b), min(len(items), len(old)))


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
