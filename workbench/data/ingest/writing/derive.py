"""The state of a run whose source recorded none: the conversation and the tool results so far.

``{"messages": [{"role", "content", "tool_calls"}], "tool_results": {call_id: result}}``. Each step of the conversation
only adds to it, so its patch is known without comparing anything and the whole stays linear in the length of the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from workbench.data.ingest.normal import State, Step

_CONVERSATION = frozenset({"message", "reasoning", "tool_call", "tool_result", "llm_call"})
_START: tuple[Mapping[str, Any], ...] = (
    {"op": "add", "path": "/messages", "value": []},
    {"op": "add", "path": "/tool_results", "value": {}},
)


def derived_states(steps: Iterable[Step]) -> Iterator[State]:
    """One patch per step of the conversation; the first builds the document on ``{}``."""
    deriver = Deriver()
    for number, step in enumerate(steps):
        state = deriver.state(number, step)
        if state is not None:
            yield state


class Deriver:
    """Derives the states of one run, step by step."""

    def __init__(self) -> None:
        self._is_first = True
        self._told: set[str] = set()  # calls that are in the conversation already

    @classmethod
    def behind(cls, state: Any) -> Self | None:
        """One that goes on from a state that was derived; ``None`` where the state is none of these."""
        if not isinstance(state, Mapping) or set(state) != {"messages", "tool_results"}:
            return None
        if not isinstance(state["messages"], list) or not isinstance(state["tool_results"], Mapping):
            return None
        deriver = cls()
        deriver._is_first = False
        calls = (message.get("tool_calls") for message in state["messages"] if isinstance(message, Mapping))
        told = (call for some in calls if isinstance(some, list) for call in some if isinstance(call, Mapping))
        deriver._told = {str(call.get("call_id")) for call in told}
        return deriver

    def state(self, number: int, step: Step) -> State | None:
        """What a step changes; ``None`` where it is no part of the conversation."""
        patch = _changes(step, number, self._told, is_first=self._is_first)
        if not patch:
            return None
        if self._is_first:
            patch, self._is_first = [*_START, *patch], False
        return State(number, patch=patch, timestamp=step.timestamp)


def _changes(step: Step, number: int, told: set[str], *, is_first: bool) -> list[Mapping[str, Any]]:
    if step.event_type not in _CONVERSATION or (step.extra or {}).get("is_off_branch"):
        return []  # what was said on an abandoned branch is not what the agent saw
    if step.event_type == "tool_result":
        return _results(
            [step.tool, *(step.tool_calls or [])] if step.tool is not None else [{"result": step.text}], number
        )
    if step.event_type == "llm_call":
        return _model_call(step, told, is_first=is_first)
    calls = [call for call in (step.tool, *(step.tool_calls or ())) if call is not None]
    if step.event_type == "tool_call" and any("result" in call for call in calls):
        return _answered_calls(step, calls, number, told)
    return [_message(step)]


def _model_call(step: Step, told: set[str], *, is_first: bool) -> list[Mapping[str, Any]]:
    """A model call as a trace records it: its answer, and with the first one what it was given."""
    if step.text is None and not step.tool_calls:
        return []
    told.update(str(call.get("call_id")) for call in step.tool_calls or ())
    given = (step.extra or {}).get("input_messages") if is_first else None
    message = {"role": step.role or "assistant", "content": step.text, "tool_calls": step.tool_calls}
    answer = {key: value for key, value in message.items() if value}
    return [_added(value) for value in (*(given if isinstance(given, list) else ()), answer)]


def _answered_calls(step: Step, calls: list[Mapping[str, Any]], number: int, told: set[str]) -> list[Mapping[str, Any]]:
    """Calls that hold their results: the results, and what was said unless the model's answer told of it."""
    results = _results([call for call in calls if "result" in call], number)
    if all(str(call.get("call_id")) in told for call in calls):
        return results
    asked = [{key: value for key, value in call.items() if key not in ("result", "is_error")} for call in calls]
    said = {"content": step.text} if step.text else {}
    return [_added({"role": "assistant", **said, "tool_calls": asked}), *results]


def _added(message: Any) -> Mapping[str, Any]:
    return {"op": "add", "path": "/messages/-", "value": message}


def _message(step: Step) -> Mapping[str, Any]:
    message: dict[str, Any] = {"role": step.role or step.name or "assistant"}
    if step.event_type == "reasoning":
        message["reasoning"] = step.text
    elif step.text is not None:
        message["content"] = step.text
    if step.tool is not None:
        message["tool_calls"] = [step.tool, *(step.tool_calls or [])]
    return _added(message)


def _results(results: Iterable[Mapping[str, Any]], number: int) -> list[Mapping[str, Any]]:
    return [
        {"op": "add", "path": f"/tool_results/{_pointer(result.get('call_id'), number)}", "value": result.get("result")}
        for result in results
    ]


def _pointer(call_id: Any, number: int) -> str:
    """A JSON pointer token (RFC 6901); a result that answers no named call stands under its step."""
    name = call_id if isinstance(call_id, str) and call_id else f"step {number}"
    return name.replace("~", "~0").replace("/", "~1")
