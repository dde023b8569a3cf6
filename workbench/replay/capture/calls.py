"""Steps with a beginning and an end: spans, tool calls, model calls.

Each is written at its beginning, marked ``unfinished``, and again at its end. What was under way when a process was
killed is therefore known.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from contextvars import Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from workbench.replay.capture.place import Place, enter, leave
from workbench.replay.capture.values import described

if TYPE_CHECKING:
    from workbench.replay.capture.recording import Recording

UNFINISHED = "unfinished"


class Span:
    """A step under way; use it in a ``with``. An exception marks it as an error and goes on.

    Parameters
    ----------
    recording
        Whose step it is.
    event_type
        As in :meth:`~workbench.replay.capture.recording.Recording.event`.
    about
        More arguments of ``event``.
    input
        What it was given; kept as ``data.extra.input``.

    Attributes
    ----------
    output
        What came out; set it before the ``with`` ends. Kept as ``data.extra.output``.
    """

    def __init__(self, recording: Recording, event_type: str, *, input: Any = None, **about: Any) -> None:
        self._recording = recording
        self._event_type = event_type
        self._about: dict[str, Any] = about
        self.input = input
        self.output: Any = None
        self.span_id = uuid.uuid4().hex[:16]
        self.number = -1
        self._token: Token[Place | None] | None = None
        self._parent: str | None = None
        self._at: Any = None
        self._clock = 0.0

    def __enter__(self) -> Self:
        self.begin()
        self._token = enter(Place(self._recording, self.number, self.span_id, self.call))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        leave(self._token)
        self._token = None
        self.end(error)

    @property
    def call(self) -> tuple[str, str | None]:
        """What is under way in it: event type and name."""
        return self._event_type, self._about.get("name")

    def begin(self) -> None:
        """Write that it has begun; for what is no ``with``."""
        self._clock = time.perf_counter()
        self._parent = self._recording.span_here()
        self.number, self._at = self._recording.put(
            self._event_type, span_id=self.span_id, parent_span_id=self._parent, mark=UNFINISHED, **self._told()
        )

    def end(self, error: BaseException | None = None) -> None:
        """Write that it has ended, with an error or without."""
        about = self._told(is_end=True)
        if error is not None and not isinstance(error, GeneratorExit):
            about |= {"severity": "error", "error": described(error)}
        lasted = round((time.perf_counter() - self._clock) * 1000, 3)  # whole microseconds: what lies below is noise
        self._recording.put(
            self._event_type, span_id=self.span_id, parent_span_id=self._parent, number=self.number, at=self._at,
            duration_ms=lasted, **about,
        )  # fmt: skip
        self._ended(error)

    def _told(self, *, is_end: bool = False) -> dict[str, Any]:
        extra = {name: value for name, value in (("input", self.input), ("output", self.output)) if value is not None}
        data = self._about.get("data")
        return {**self._about, "data": {**(data or {}), **extra} or None}

    def _ended(self, error: BaseException | None) -> None:
        """What else is to be written at the end."""


class ToolCall(Span):
    """A call of a tool: one event for the call with its duration, one for the result or the error.

    Attributes
    ----------
    result
        What the tool answered; set it before the ``with`` ends.
    """

    def __init__(self, recording: Recording, name: str, arguments: Any = None, **about: Any) -> None:
        self.name = name
        self.call_id = f"call_{uuid.uuid4().hex[:12]}"
        tool = {"name": name, "call_id": self.call_id, "arguments": arguments}
        super().__init__(recording, "tool_call", name=name, category="tool", role="assistant", tool=tool, **about)
        self.result: Any = None

    def _told(self, *, is_end: bool = False) -> dict[str, Any]:
        return self._about

    def _ended(self, error: BaseException | None) -> None:
        tool: dict[str, Any] = {"name": self.name, "call_id": self.call_id, "result": self.result, "is_error": False}
        about: dict[str, Any] = {"tool": tool}
        if error is not None and not isinstance(error, GeneratorExit):
            why = described(error)
            tool |= {"result": why["message"], "is_error": True}
            about |= {"severity": "error", "error": why}
        self._recording.put("tool_result", name=self.name, category="tool", role="tool", parent_span_id=self._parent,
                            agent=self._about.get("agent"), **about)  # fmt: skip


class ModelCall(Span):
    """A request to a model: one event.

    Attributes
    ----------
    output
        What the model answered: text, or any value.
    model
        The model; may be set when the answer tells it.
    usage, cost_usd
        As in :meth:`~workbench.replay.capture.recording.Recording.event`; set them before the ``with`` ends.
    """

    def __init__(self, recording: Recording, model: str | None = None, *, input: Any = None, **about: Any) -> None:
        about = {"name": model, "category": "llm", "role": "assistant", **about}
        super().__init__(recording, "llm_call", input=input, **about)
        self.model = model
        self.usage: Mapping[str, int] | None = None
        self.cost_usd: float | None = None

    def _told(self, *, is_end: bool = False) -> dict[str, Any]:
        told = super()._told(is_end=is_end) | {"model": self.model}
        if is_end:
            told |= {"usage": self.usage, "cost_usd": self.cost_usd}
        if issubclass(type(self.output), str):  # isinstance would ask the value for its class
            told |= {"text": self.output}
        return told
