"""A row of a table as a step: each named column in its place, everything else in ``extra``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

from workbench.data.ingest.formats.hub_message import ROLES
from workbench.data.ingest.normal import EventType, Step, Usage
from workbench.data.ingest.reading.cells import (
    NO_COUNT,
    NO_NUMBER,
    NO_TIME,
    Faults,
    lookup,
    moment,
    real,
    whole,
    without,
)
from workbench.data.ingest.reading.chat import arguments
from workbench.data.ingest.reading.columns import FIELDS
from workbench.data.ingest.reading.identity import line_id
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.reading.values import Value

_TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
_OF_RUN = ("task", "parent", "score", "status")
_TYPES: dict[str, EventType] = {
    **{name: name for name in get_args(EventType)},
    "tool": "tool_call", "tool_use": "tool_call", "function_call": "tool_call", "action": "tool_call",
    "tool_output": "tool_result", "tool_response": "tool_result", "function_call_output": "tool_result",
    "observation": "tool_result", "thought": "reasoning", "thinking": "reasoning",
    "llm": "llm_call", "generation": "llm_call", "completion": "llm_call",
    "text": "message", "user": "message", "assistant": "message", "system": "message",
}  # fmt: skip
_NO_TYPE = "no type of event that Workbench knows: inferred from the other columns, the word kept as category"
_NO_ROLE = "no role of a conversation: taken as the name of the agent that speaks"


class StepMaker:
    """Makes steps of rows.

    Parameters
    ----------
    columns
        Field → column.
    faults
        Takes the cells that are not what their column is said to hold.
    is_nested
        A column may be a path into an object.

    Attributes
    ----------
    told
        What the last row says of its run: task, parent, score, status.
    """

    def __init__(self, source: Source, columns: Mapping[str, str], faults: Faults, *, is_nested: bool) -> None:
        named = {field: columns[field] for field in FIELDS if field in columns}
        self._source = source
        self._faults = faults
        self._time_format = columns.get("time_format")
        self._columns = named
        self._paths = {column: tuple(column.split(".")) for column in named.values() if is_nested and "." in column}
        self._flat = [(field, column) for field, column in named.items() if column not in self._paths]
        self._used = {column for _, column in self._flat}
        self._has_tokens = any(name in named for name in _TOKENS)
        self.told: dict[str, Any] = {}

    def run_of(self, row: Mapping[str, Any]) -> str | None:
        """The run that a row belongs to, as text; ``None`` where no column is named for it or its cell is empty."""
        column = self._columns.get("run")
        if column is None:
            return None
        value = row.get(column)
        if value is None and column in self._paths:
            value = lookup(row, self._paths[column])
        return None if value is None or value == "" else _text(value)

    def step(self, item: Value, data_of: Callable[[Mapping[str, Any]], bytes]) -> Step:
        """The step of a row."""
        row: dict[str, Any] = item.value
        cells = {field: row.get(column) for field, column in self._flat}
        extra = {
            name: value for name, value in row.items() if value is not None and value != "" and name not in self._used
        }
        for field, column in self._columns.items() if self._paths else ():
            if column in self._paths and column not in row:
                cells[field] = lookup(row, self._paths[column])
                if cells[field] is not None:
                    extra = without(extra, self._paths[column])
            elif column in self._paths:
                cells[field] = row[column]
                extra.pop(column, None)
        told = {field: value for field, value in cells.items() if value is not None and value != ""}
        self.told = {field: told[field] for field in _OF_RUN if field in told}
        step = Step("log")
        own = told.get("id")
        step.source_id = line_id(data_of(row)) if own is None else _text(own)
        self._say(step, told, extra)
        self._act(step, told)
        self._measure(step, told, extra, item.line)
        self._classify(step, told)
        step.extra = extra or None
        step.raw = item.data
        return step

    def _say(self, step: Step, told: Mapping[str, Any], extra: dict[str, Any]) -> None:
        agent, role, text = told.get("agent"), told.get("role"), told.get("text")
        step.agent = None if agent is None else _text(agent)
        if role is not None:
            word = _text(role)
            step.role = ROLES.get(word.strip().lower())  # pyright: ignore[reportAttributeAccessIssue]
            step.name = step.category = step.role or word
            if step.role is None:
                self._source.changed(self._columns["role"], _NO_ROLE)
                step.role = "assistant"
                step.agent = step.agent or word
            elif step.role != word:
                extra[self._columns["role"]] = role
            if step.role == "user":
                step.agent = step.agent or "user"
        if text is not None:
            step.text = text if isinstance(text, str) else None
            if step.text is None:
                extra[self._columns["text"]] = text
        if "model" in told:
            step.model = _text(told["model"])
        for name in ("span_id", "parent_span_id"):
            if name in told:
                setattr(step, name, _text(told[name]))

    def _act(self, step: Step, told: Mapping[str, Any]) -> None:
        """What was called, answered or went wrong."""
        if not told.keys().isdisjoint(("tool", "call_id", "arguments", "result")):
            tool: dict[str, Any] = {"name": _text(told["tool"])} if "tool" in told else {}
            if "call_id" in told:
                tool["call_id"] = _text(told["call_id"])
            if "arguments" in told:
                tool["arguments"] = arguments(told["arguments"])
            if "result" in told:
                tool["result"] = told["result"]
            step.tool = tool
            step.name = tool.get("name") or step.name
        if "error" in told:
            said = told["error"]
            step.severity = "error"
            step.error = {"type": "Error", "message": said if isinstance(said, str) else _text(said)}
            if step.tool is not None:
                step.tool = {**step.tool, "is_error": True}

    def _measure(self, step: Step, told: Mapping[str, Any], extra: dict[str, Any], line: int | None) -> None:
        if "time" in told:
            step.timestamp = moment(told["time"], self._time_format, self._source)
            if step.timestamp is None:
                self._refuse("time", told, extra, NO_TIME, line)
        for name in ("duration_ms", "cost_usd"):
            if name in told:
                number = real(told[name])
                setattr(step, name, number if number is not None and number >= 0 else None)
                if getattr(step, name) is None:
                    self._refuse(name, told, extra, NO_NUMBER, line)
        if not self._has_tokens:
            return
        counted: dict[str, int] = {}
        for name in _TOKENS:
            if name in told:
                number = whole(told[name])
                if number is None:
                    self._refuse(name, told, extra, NO_COUNT, line)
                else:
                    counted[name] = number
        step.usage = Usage(**counted) if counted else None

    def _refuse(self, field: str, told: Mapping[str, Any], extra: dict[str, Any], why: str, line: int | None) -> None:
        column = self._columns[field]
        extra[column] = told[field]
        self._faults.add(field, column, why, line)

    def _classify(self, step: Step, told: Mapping[str, Any]) -> None:
        given = told.get("event_type")
        if given is not None:
            word = _text(given)
            step.category = word
            known = _TYPES.get(word.strip().lower().replace("-", "_").replace(" ", "_"))
            if known is not None:
                step.event_type = known
                return
            self._source.changed(self._columns["event_type"], _NO_TYPE)
        step.event_type = _inferred(step)


def _inferred(step: Step) -> EventType:
    tool = step.tool
    if tool is not None:
        is_result = step.role == "tool" or ("result" in tool and "arguments" not in tool)
        return "tool_result" if is_result else "tool_call"
    if step.role == "tool":
        step.tool = {"result": step.text}
        step.text = None
        return "tool_result"
    if step.role is not None and step.text is not None:
        return "message"
    if step.usage is not None or step.model is not None:
        return "llm_call"
    return "message" if step.text is not None and step.error is None else "log"


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))  # a column of whole numbers in which one is missing comes as floats
    return value if isinstance(value, str) else str(value)
