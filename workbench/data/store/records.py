"""Records: one row as a frozen, validated object. ``New…`` is what is needed to make one.

A record is never changed: ``records.tasks.update(task.id, row_version=task.row_version, title="…")`` gives a new one.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from workbench.data.store.storable import storable
from workbench.errors import InvalidRecordError

TaskStatus = Literal["pending", "in_progress", "paused", "completed", "failed", "cancelled"]
Priority = Literal["low", "medium", "high", "urgent"]
ExecutionStatus = Literal["pending", "running", "completed", "failed", "cancelled"]
Severity = Literal["debug", "info", "warning", "error", "critical"]


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("has no time zone; use datetime(…, tzinfo=timezone.utc)")
    return value


def _whole(value: str) -> str:
    if "\0" in value:
        raise ValueError("holds a NUL character, which Postgres cannot store")
    return value


def _json(value: Any) -> Any:
    changed = storable(value).changed
    if changed:
        raise ValueError(f"cannot be stored as JSON unchanged ({', '.join(changed)})")
    return value


Time = Annotated[datetime, AfterValidator(_aware)]
Text = Annotated[str, AfterValidator(_whole)]
Name = Annotated[str, Field(min_length=1, max_length=10_000), AfterValidator(_whole)]
Json = Annotated[Any, AfterValidator(_json)]
JsonObject = Annotated[dict[str, Any], AfterValidator(_json)]
Step = Annotated[int, Field(ge=0, le=2**31 - 1)]
Milliseconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NewTask(_Record):
    """A task to be made."""

    title: Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_whole)]
    description: Text | None = None
    status: TaskStatus = "pending"
    priority: Priority = "medium"
    user_id: Text | None = None
    metadata: JsonObject = Field(default_factory=dict)


class NewEnvironment(_Record):
    """An environment to be made; it is not active until it is activated."""

    name: Name
    config: JsonObject = Field(default_factory=dict)
    user_id: Text = ""
    schema_version: Annotated[int, Field(ge=1)] = 1


class NewExecution(_Record):
    """An execution to be made."""

    agent_type: Name
    task_id: uuid.UUID | None = None
    parent_execution_id: uuid.UUID | None = None
    name: Text | None = None
    model: Text | None = None
    status: ExecutionStatus = "pending"
    score: float | None = None
    started_at: Time | None = None
    completed_at: Time | None = None
    input: Json = None
    output: Json = None
    error: Text | None = None
    error_type: Text | None = None
    metadata: JsonObject = Field(default_factory=dict)
    trace_id: Text | None = None
    execution_time_ms: Milliseconds | None = None
    token_usage: dict[str, Annotated[int, Field(ge=0)]] | None = None
    cost: Annotated[float, Field(ge=0, lt=1e10)] | None = None


class NewEvent(_Record):
    """An event to be made."""

    execution_id: uuid.UUID
    step_number: Step
    event_type: Name
    name: Text | None = None
    agent: Text | None = None
    category: Text | None = None
    severity: Severity = "info"
    timestamp: Time | None = None
    duration_ms: Milliseconds | None = None
    trace_id: Text | None = None
    span_id: Text | None = None
    parent_span_id: Text | None = None
    data: JsonObject = Field(default_factory=dict)


class NewSnapshot(_Record):
    """A whole state to be kept."""

    execution_id: uuid.UUID
    step_number: Step
    state: Json
    timestamp: Time | None = None
    description: Text | None = None
    checkpoint: bool = False


class Task(NewTask):
    """A task."""

    id: uuid.UUID
    created_at: Time
    updated_at: Time
    row_version: int


class Environment(NewEnvironment):
    """An environment: named settings, one of them active per user."""

    id: uuid.UUID
    is_active: bool
    created_at: Time
    updated_at: Time
    row_version: int


class Execution(NewExecution):
    """One agent run. ``source`` is the format it was read from, ``record`` for a captured run."""

    id: uuid.UUID
    source: str | None
    source_id: str | None
    created_at: Time
    row_version: int


class Event(NewEvent):
    """Something that happened in a run."""

    id: uuid.UUID
    row_version: int


class Snapshot(NewSnapshot):
    """The state after a step, whole, however it is stored."""

    id: uuid.UUID
    is_derived: bool
    row_version: int


R = TypeVar("R", bound=BaseModel)


def validated(kind: type[R], values: Any) -> R:
    """A record of these values.

    Raises
    ------
    InvalidRecordError
        ``fields`` says for each wrong field what is wrong; the text lists the values and what is allowed.
    """
    if isinstance(values, kind):
        return values
    if isinstance(values, BaseModel):
        values = values.model_dump(exclude_unset=True)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        fields = {}
        for problem in error.errors(include_url=False):
            name = ".".join(map(str, problem["loc"])) or kind.__name__
            said = problem["msg"].removeprefix("Value error, ")
            if problem["type"] == "extra_forbidden":
                said = f"no such field; there are {', '.join(kind.model_fields)}"
            elif problem["type"] != "missing":
                said += f" (got {_short(problem['input'])})"
            fields[name] = said
        text = "; ".join(f"{name}: {said}" for name, said in fields.items())
        raise InvalidRecordError(f"{kind.__name__} does not validate: {text}.", fields=fields) from None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}… ({len(text):,} characters)"
