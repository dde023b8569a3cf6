"""The lines of a Codex rollout, one after the other, finished with what the whole rollout says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from workbench.data.ingest.formats.codex_calls import Call
from workbench.data.ingest.formats.codex_event import ENDS as TOLD
from workbench.data.ingest.formats.codex_event import End, Line, fail, stand_alone
from workbench.data.ingest.formats.codex_outcome import ENDS, STARTS
from workbench.data.ingest.formats.codex_session import ECHO, PROMPT, Session
from workbench.data.ingest.normal import Mark, Step
from workbench.data.ingest.reading.chat import known


class _Called(NamedTuple):
    """A line that calls."""

    span: str | None
    name: Any


class _Turn(NamedTuple):
    """The line that a turn stands under."""

    span: str | None
    is_prompt: bool


class Finisher:
    """Finishes the lines in their order: tells echoes, pairs, nests, marks."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._called: dict[str, _Called] = {}  # calls that later lines name
        self._messages: dict[str | None, str | None] = {}  # of the ends of calls that are not answered yet
        self._n_calls = 0
        self._turn: _Turn | None = None

    def steps(self, lines: Iterable[tuple[int, Line]]) -> Iterator[Step]:
        """The steps of the lines, given with their numbers."""
        for n, line in lines:
            self._tell(n, line)
            self._pair(n, line)
            self._nest(n, line)
            line.step.mark = self._mark(line)
            yield line.step

    def _tell(self, n: int, line: Line) -> None:
        """An event that no item repeats is the message, or the call, itself."""
        if line.kind == "event_msg":
            if line.said:
                line.is_echo = self._session.does(n, ECHO)
            else:
                line.is_echo = self._session.calls.has_item(line.call_id)
            if line.is_echo and line.said:
                line.step.severity = "debug"
            elif not line.is_echo:
                stand_alone(line)
        line.is_prompt = self._session.does(n, PROMPT)

    def _pair(self, n: int, line: Line) -> None:
        """Put results and events under their call; give results the name of the tool, calls their duration."""
        step, key, calls = line.step, line.call_id, self._session.calls
        call = calls.of(key)
        if call is None:
            return
        if step.event_type == "tool_call" or (line.kind == "event_msg" and line.type in TOLD):
            # Events that turned out to be echoes are counted too, as they were when nobody could know.
            if step.event_type == "tool_call" and key and calls.is_timed(self._n_calls):
                step.duration_ms = calls.duration_of(self._n_calls, call)
            self._n_calls += 1
        if step.event_type == "tool_call" and key:
            self._called[key] = _Called(step.span_id, step.name)
        if n == call.told_at:
            self._messages[key] = line.end.message
        called = self._called.get(key or "")
        if step.event_type == "tool_result":
            self._answer(line, called, call)
        elif called is not None and line.is_echo:
            step.parent_span_id = called.span
        if n == call.last:
            self._called.pop(key or "", None)
            self._messages.pop(key, None)

    def _answer(self, line: Line, called: _Called | None, call: Call) -> None:
        """Finish a result with what its call and the event of its end say."""
        step, end = line.step, line.end
        told = call.told if call.told is not None and call.is_item else End()
        end.is_error = told.is_error if end.is_error is None else end.is_error
        if call.is_item:
            end.message = end.message or self._messages.get(line.call_id) or told.message
        tool = dict(step.tool or {})
        if called is not None:
            step.name = tool["name"] = called.name
            step.parent_span_id = called.span
        step.tool = {**tool, **known(is_error=end.is_error)}
        if isinstance(tool.get("result"), str) and end.is_error and not end.message:
            end.message = tool["result"]
        fail(step, end)

    def _nest(self, n: int, line: Line) -> None:
        """Every line stands under its turn: the task that was started, or else the prompt."""
        step, turn = line.step, self._turn
        if line.type in STARTS:
            self._turn = _Turn(step.span_id, is_prompt=False)
            step.event_type = "span"
            if n in self._session.turns:
                step.duration_ms = self._session.turns[n]
        elif line.is_prompt and (turn is None or turn.is_prompt):
            self._turn = _Turn(step.span_id, is_prompt=True)
        elif turn is not None and step.parent_span_id is None:
            step.parent_span_id = turn.span
        if line.type in ENDS:
            self._turn = None

    def _mark(self, line: Line) -> Mark | None:
        """What the place of a line lacks: the answer of a call, the call of an answer."""
        step, call = line.step, self._session.calls.of(line.call_id)
        if not line.call_id or call is None or step.tool is None:
            return None
        if step.event_type == "tool_result":
            return None if call.is_call else "orphaned"
        is_open = step.duration_ms is None and step.tool.keys().isdisjoint(("result", "is_error"))
        return "unfinished" if is_open and not call.is_answered else None
