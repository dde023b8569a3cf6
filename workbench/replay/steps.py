"""Steps of a run as comparison sees them: what was decided, what came back, what was said; ids made comparable.

A :class:`Step` is one row of an events frame with its ``data`` opened up. What does not count as a difference:

* *Volatile members* of results (:data:`VOLATILE_KEYS`: ``call_id``, ``uuid``, ``timestamp`` and the like).
* *Identifiers inside values* (UUIDs, ``call_…``, ``toolu_…``) that are only renamed, see :class:`Renaming`. Times
  with a zone or a fraction of a second are treated the same way, except in arguments: there a time is a decision.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson
import polars as pl

from workbench._delta import same
from workbench.errors import ConfigurationError

# fmt: off
VOLATILE_KEYS = frozenset({
    "call_id", "tool_call_id", "tool_use_id", "toolUseId", "uuid", "parentUuid", "parent_uuid", "request_id",
    "requestId", "response_id", "message_id", "trace_id", "traceId", "span_id", "spanId", "parent_span_id",
    "session_id", "sessionId", "run_id", "timestamp", "created_at", "updated_at", "started_at", "completed_at",
    "duration_ms", "durationMs", "elapsed_ms", "latency_ms",
})
# fmt: on

_ID = (
    r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b"
    r"|\b[0-9a-f]{32}\b"
    r"|\b(?:call|toolu|chatcmpl|msg|req|resp|rs|fc|run)[_-][A-Za-z0-9]{12,}\b"
)
_TIME = r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+(?:Z|[+-]\d\d:?\d\d)?|Z|[+-]\d\d:?\d\d)"
_ids = re.compile(_ID)
_ids_and_times = re.compile(f"{_ID}|{_TIME}")
_blank = re.compile(r"\s+")

LABEL_LENGTH = 160
_NEEDED = ("step_number", "event_type", "data")


@dataclass(slots=True)
class Step:
    """One event, opened up for comparison."""

    number: int
    event_type: str
    role: str | None
    name: str | None  # of the tool, span or author
    calls: list[tuple[str, Any]]  # (tool, arguments) for a tool_call
    result: Any  # of a tool_result, score or state
    is_error: bool
    text: str | None
    kind: tuple[Any, ...] = field(init=False)  # steps of one kind may be aligned whatever they say
    arguments_form: Form = field(init=False)
    result_form: Form = field(init=False)
    text_form: Form = field(init=False)
    key: tuple[Any, ...] = field(init=False)  # equal for steps that are the same but for volatile parts

    def __post_init__(self) -> None:
        tools = tuple(tool for tool, _ in self.calls)
        is_message = self.event_type in ("message", "reasoning")
        self.kind = (self.event_type, self.role, tools or (None if is_message else self.name))
        self.arguments_form = Form.of([arguments for _, arguments in self.calls], decided=True) if self.calls else EMPTY
        self.result_form = Form.of([self.result, self.is_error]) if self.has_result else EMPTY
        self.text_form = Form.of(_blank.sub(" ", self.text).strip()) if self.text else EMPTY
        self.key = (self.kind, self.arguments_form.skeleton, self.result_form.skeleton, self.text_form.skeleton)

    @property
    def has_result(self) -> bool:
        """Whether something came back in this step."""
        return self.result is not None or self.is_error

    @property
    def is_call(self) -> bool:
        """Whether the step asks for a tool or is a tool's answer: these may be aligned across different tools."""
        return self.event_type in ("tool_call", "tool_result")

    @property
    def content(self) -> str:
        """What likeness is measured on: the beginning and the end of what the step says."""
        text = self.arguments_form.skeleton + self.result_form.skeleton + self.text_form.skeleton
        return text if len(text) <= 256 else text[:192] + text[-64:]

    @property
    def label(self) -> str:
        """One line, at most :data:`LABEL_LENGTH` characters."""
        if self.calls:
            line = ", ".join(f"{tool}({_arguments(arguments)})" for tool, arguments in self.calls)
        elif self.event_type == "tool_result":
            line = f"{self.name or 'tool'} {'✗' if self.is_error else '→'} {_one_line(self.result)}"
        elif self.text:
            line = f"{self.role or self.name or self.event_type}: {_blank.sub(' ', self.text[:400]).strip()}"
        else:
            line = " ".join(filter(None, (self.event_type, self.name or self.role, _one_line(self.result))))
        return line if len(line) <= LABEL_LENGTH else line[: LABEL_LENGTH - 1] + "…"


@dataclass(slots=True, frozen=True)
class Form:
    """A value as text with identifiers taken out."""

    skeleton: str
    ids: tuple[str, ...]
    value: Any

    @classmethod
    def of(cls, value: Any, *, decided: bool = False) -> Form:
        """Take the volatile parts out of a JSON value; of what an agent `decided`, only its identifiers."""
        value = value if decided else without_volatile(value)
        text = value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
        found: list[str] = []

        def take(match: re.Match[str]) -> str:
            found.append(match[0])
            return "⟨id⟩"

        skeleton = (_ids if decided else _ids_and_times).sub(take, text)
        return cls(skeleton, tuple(found), value)


EMPTY = Form("", (), None)


class Renaming:
    """Which identifier of one run stands for which of the other.

    An identifier that occurs in both runs names the same thing in both, so another one in its place is a difference.
    Any other may be renamed, but one to one: an agent that asks for the wrong one of two new ids differs.
    """

    def __init__(self, a: Iterable[Step], b: Iterable[Step]) -> None:
        self._shared = _all_ids(a) & _all_ids(b)
        self._to_b: dict[str, str] = {}
        self._to_a: dict[str, str] = {}

    def same(self, x: Form, y: Form) -> bool:
        """Whether two forms say the same, and note the renaming this takes."""
        if x.skeleton != y.skeleton:
            return not x.ids and not y.ids and same(x.value, y.value)  # 1 and 1.0 are written differently
        pairs = [(p, q) for p, q in zip(x.ids, y.ids, strict=True) if p != q]
        if any(p in self._shared or q in self._shared for p, q in pairs):
            return False
        if any(self._to_b.get(p, q) != q or self._to_a.get(q, p) != p for p, q in pairs):
            return False
        for p, q in pairs:
            self._to_b[p], self._to_a[q] = q, p
        return True


def steps_of(events: pl.DataFrame) -> list[Step]:
    """Open up an events frame: one :class:`Step` per row, in the order of the steps.

    Raises
    ------
    ConfigurationError
        A column that is needed is missing.
    """
    missing = [name for name in _NEEDED if name not in events.columns]
    if missing:
        raise ConfigurationError(
            f"The events to compare have no column {', '.join(missing)}. Load them with bench.events(run), without"
            " columns= or with these three in it: step_number, event_type, data.",
            columns=missing,
        )
    names = events["name"] if "name" in events.columns else pl.repeat(None, len(events), eager=True)
    rows = zip(events["step_number"], events["event_type"], names, events["data"], strict=True)
    return sorted((_step(*row) for row in rows), key=lambda step: step.number)


def without_volatile(value: Any) -> Any:
    """Leave out :data:`VOLATILE_KEYS` at every level."""
    if isinstance(value, dict):
        return {key: without_volatile(item) for key, item in value.items() if key not in VOLATILE_KEYS}
    if isinstance(value, list):
        return [without_volatile(item) for item in value]
    return value


def opened(value: Any) -> Any:
    """Parse a string that holds a JSON object or array, as many tools answer and some models call; else as it is."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value


def _step(number: int, event_type: str, name: str | None, data: str | None) -> Step:
    document = orjson.loads(data) if data else {}
    tool = document.get("tool") or {}
    calls, result, is_error = [], None, False
    if event_type == "tool_call":
        given = [tool, *(document.get("tool_calls") or [])]
        calls = [(str(call.get("name") or name or "tool"), opened(call.get("arguments"))) for call in given if call]
        # Some sources tell a call and its result as one.
        result, is_error = _answered([call for call in given if "result" in call])
    elif event_type == "tool_result":
        answers = [tool, *(document.get("tool_calls") or [])]
        result, is_error = _answered(answers)
        name = ", ".join(dict.fromkeys(str(answer["name"]) for answer in answers if answer.get("name"))) or name
    elif event_type in ("score", "state"):
        result = document.get("extra")
    error = document.get("error")
    if error:
        is_error, result = True, error if result is None else result
    return Step(number, event_type, document.get("role"), name, calls, result, is_error, document.get("text"))


def _answered(answers: list[dict[str, Any]]) -> tuple[Any, bool]:
    """What came back, and whether any of it is an error."""
    results = [opened(answer.get("result")) for answer in answers]
    result = (results[0] if len(results) == 1 else results) if results else None
    return result, any(answer.get("is_error") for answer in answers)


def _all_ids(steps: Iterable[Step]) -> set[str]:
    return {
        found
        for step in steps
        for form in (step.arguments_form, step.result_form, step.text_form)
        for found in form.ids
    }


def _arguments(arguments: Any) -> str:
    if isinstance(arguments, dict):
        return ", ".join(f"{key}={_one_line(value)}" for key, value in arguments.items())
    return "" if arguments is None else _one_line(arguments)


def _one_line(value: Any) -> str:
    if value is None:
        return ""
    text = value[: 2 * LABEL_LENGTH] if isinstance(value, str) else orjson.dumps(value).decode()[: 2 * LABEL_LENGTH]
    return _blank.sub(" ", text).strip()
