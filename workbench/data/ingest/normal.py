"""The normal form: what every format is read into, and the only thing that is written.

A reader turns one source file into :class:`Run` objects (and :class:`BadLine` for what it could not read). One source
unit (a chat message, a transcript line, a span, a log event) is one :class:`Step`; nothing is merged, so counts can be
compared with the source. Whatever of a source record has no place here goes into ``Step.extra``: nothing is dropped
silently.

Token classes are disjoint: ``input_tokens`` is the uncached input. Absent is ``None``, never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Literal, overload

EventType = Literal[
    "message",  # text of a system, user or assistant author
    "reasoning",  # thinking text
    "tool_call",  # an agent asks for a tool; `tool` holds name, arguments, call_id
    "tool_result",  # what the tool answered; `tool` holds name, call_id, result, is_error
    "llm_call",  # one model request as the source records it (span or log event)
    "span",  # any other span: agent, chain, workflow
    "state",  # a change of recorded state
    "score",  # a grade or reward
    "metric",  # one data point of a metric; `extra` holds value, unit, attributes. Never counted: spans say the same
    "log",  # anything else the source wrote down
]


Mark = Literal[
    "orphaned",  # names a parent or a call that no file read so far holds
    "unfinished",  # begun, and no end of it is known
    "out_of_order",  # its source wrote it at another place than its time says; it stands where its time says
]
Link = Literal[
    "spawned",  # started by a step of the parent
    "forked",  # went another way from a step of the parent
    "resumed",  # the same conversation, taken up again later
    "continued",  # the same work, in a new file
]


@dataclass(slots=True, frozen=True)
class Usage:
    """Tokens of one model call or one run, in disjoint classes; ``None`` where the source says nothing.

    Two are parts of another class: ``reasoning_tokens``, the part of ``output_tokens`` spent on reasoning, and
    ``cache_write_1h_tokens``, the part of ``cache_write_tokens`` that is kept for an hour and not for five minutes.
    """

    input_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    cache_write_1h_tokens: int | None = None

    def __add__(self, other: Usage) -> Usage:
        """Add class by class; ``None`` + n = n, ``None`` + ``None`` = ``None``."""

        def add(a: int | None, b: int | None) -> int | None:
            return b if a is None else a if b is None else a + b

        return Usage(
            add(self.input_tokens, other.input_tokens),
            add(self.cache_read_tokens, other.cache_read_tokens),
            add(self.cache_write_tokens, other.cache_write_tokens),
            add(self.output_tokens, other.output_tokens),
            add(self.reasoning_tokens, other.reasoning_tokens),
            add(self.cache_write_1h_tokens, other.cache_write_1h_tokens),
        )

    def as_dict(self) -> dict[str, int]:
        """The classes that are known."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}


def total(usages: Iterable[Usage | None]) -> Usage | None:
    """The sum of the usages that are known; ``None`` where none is."""
    known = [usage for usage in usages if usage is not None]
    return sum(known, Usage()) if known else None


@dataclass(slots=True)
class Step:
    """One source unit, one row of ``observability_events``. Its position in ``Run.steps`` is its step number."""

    event_type: EventType
    source_id: str | None = None  # the source's own id of this unit; its position is used where there is none
    name: str | None = None  # tool, span or author
    agent: str | None = None  # lane; None = the run's agent_type
    category: str | None = None
    severity: Literal["debug", "info", "warning", "error", "critical"] = "info"
    timestamp: datetime | None = None  # aware
    duration_ms: float | None = None
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    role: Literal["system", "user", "assistant", "tool"] | None = None
    text: str | None = None
    tool: Mapping[str, Any] | None = None  # {name, call_id, arguments} or {name, call_id, result, is_error}
    tool_calls: Sequence[Mapping[str, Any]] | None = None  # further calls (or results), where one unit holds several
    model: str | None = None
    usage: Usage | None = None
    cost_usd: float | None = None
    error: Mapping[str, Any] | None = None  # {type, message, stack?}
    extra: Mapping[str, Any] | None = None  # the rest of the source's record, as it was
    raw: bytes | None = None  # the record's own bytes; kept only where the stored form had to change them
    mark: Mark | None = None  # what its place in the tree lacks


class Steps(Sequence[Step]):
    """The steps of a run too long for memory: made anew, one after the other, whenever they are walked.

    Each has a ``source_id`` of its own, and no two of them are alike.

    Parameters
    ----------
    count
        How many there are.
    walk
        Makes them, in order.
    """

    def __init__(self, count: int, walk: Callable[[], Iterator[Step]]) -> None:
        self._count = count
        self._walk = walk

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Step]:
        return self._walk()

    @overload
    def __getitem__(self, at: int) -> Step: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Step]: ...
    def __getitem__(self, at: int | slice) -> Step | Sequence[Step]:
        """Walks all steps up to there: for looking at a few, not for going through them."""
        if isinstance(at, slice):
            return list(self)[at]
        at = at + self._count if at < 0 else at
        return next(islice(self, at, None))


@dataclass(slots=True)
class State:
    """The state after a step that the *source* recorded: a whole document, or an RFC 6902 patch on the one before."""

    step_number: int
    document: Any = None
    patch: list[Mapping[str, Any]] | None = None
    timestamp: datetime | None = None
    description: str | None = None
    checkpoint: bool = False


@dataclass(slots=True)
class TaskRef:
    """The task a run tried, so that runs of one task can be compared."""

    source_id: str  # unique within the format, e.g. 'airline/7'
    title: str
    description: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True, frozen=True)
class FileLink:
    """How the run of another file, known by its path alone, hangs on a run."""

    step: str  # source_id of the step it hangs on
    link: Link | None = None  # None = spawned
    session_id: str | None = None  # the session that the file should be of

    def as_dict(self) -> dict[str, str]:
        """What is known."""
        told = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in told.items() if value is not None}


@dataclass(slots=True)
class Run:
    """One source run; becomes one row of ``agent_executions`` with its events and snapshots.

    ``status`` is ``failed`` when the run ended in an error or its source judged it unsuccessful (``score`` 0).
    Where ``states`` is empty, the writer derives one state per conversation step and marks it ``is_derived``.
    """

    source_id: str
    agent_type: str
    status: Literal["pending", "running", "completed", "failed", "cancelled"] = "completed"
    name: str | None = None
    model: str | None = None
    score: float | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    execution_time_ms: float | None = None  # None: completed_at − started_at
    input: Any = None
    output: Any = None
    error: str | None = None
    error_type: str | None = None
    trace_id: str | None = None
    usage: Usage | None = None
    cost_usd: float | None = None
    reported_usage: Usage | None = None  # what the source itself gives as its total; beside usage, never instead of it
    reported_cost_usd: float | None = None
    parent_source_id: str | None = None  # run of the same format that this one hangs on
    spawned_by: str | None = None  # the step of the parent it hangs on: its source_id, span_id or call_id
    link: Link | None = None  # how it hangs on its parent; None with a parent = spawned
    spawns: Mapping[str, str] = field(default_factory=dict)  # source_id of a run it started → source_id of the step
    linked_files: Mapping[str, FileLink] = field(default_factory=dict)  # path, from the folder of its own → its run
    task: TaskRef | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    steps: Sequence[Step] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    gaps: list[tuple[int, int, int]] = field(default_factory=list)  # first and last step without a state, and how many


@dataclass(slots=True, frozen=True)
class BadLine:
    """A part of a file that could not be read.

    ``line`` is 1-based; ``None`` where the format has no lines. ``data`` is the line itself, for the quarantine.
    """

    line: int | None
    reason: str
    data: bytes | None = field(default=None, compare=False, repr=False)
