"""One event of an OpenHands history as a step: what an agent did, or what came back.

Events of 2024's first resolvers are flat, ``{action, command, thought, …}``, without id, time and author; later ones
are ``{id, timestamp, source, action, args, tool_call_metadata}`` and ``{…, cause, observation, content, extras}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench.data.ingest.formats.openhands_delegates import Delegates
from workbench.data.ingest.formats.openhands_sdk import is_sdk_act, is_sdk_event, sdk_child, sdk_state, sdk_step
from workbench.data.ingest.normal import Step
from workbench.data.ingest.reading.chat import arguments, elements, mapping, rest, result_step, text_or_none
from workbench.data.ingest.reading.identity import digest
from workbench.data.ingest.reading.openai_usage import openai_usage
from workbench.data.ingest.reading.parts import plain_text
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.reading.times import elapsed_ms, when

_AUTHORS = {"user": "user", "agent": "assistant"}
# What the agent says, and what the environment notes for itself; every other action of an agent is a call of a tool.
_SPOKEN = {"message", "system"}
_NOTES = {"change_agent_state", "null", "recall", "condensation", "condensation_request"}
_REPEATED = "repeated on every event of one answer: kept at the first of them, and its tokens counted there"
_NO_AUTHOR = "not in the file: the first message is taken for the user's, everything else for the agent's"
_NO_CAUSE = "names no action in the source: taken as the answer of the action before it"


def is_act(event: Any) -> bool:
    """Whether an event is something that the agent did."""
    event = mapping(event)
    if is_sdk_event(event):
        return is_sdk_act(event)
    kind = event.get("action")
    return isinstance(kind, str) and event.get("source", "agent" if kind != "message" else None) == "agent"


@dataclass
class Events:
    """Reads the events of one run in order, and remembers what later ones refer to."""

    source: Source
    steps: list[Step] = field(default_factory=list)
    agent_state: str | None = None  # the last that was noted
    agent_state_reason: str | None = None
    metrics: Mapping[str, Any] | None = None  # the last that an update of the state told
    acts: list[Step] = field(default_factory=list)  # what the agent did, in order
    delegates: Delegates = field(default_factory=Delegates)
    spawns: dict[str, str] = field(default_factory=dict)  # id of a conversation that was started → id of the step
    _actions: dict[Any, Step] = field(default_factory=dict)  # event id → its step
    _calls: dict[Any, Step] = field(default_factory=dict)  # call id → its step
    _last: Step | None = None
    _responses: dict[str, Any] = field(default_factory=dict)

    def take(self, event: Mapping[str, Any]) -> None:
        """Read the next event."""
        if is_sdk_event(event):
            self._of_sdk(event)
            return
        if isinstance(event.get("action"), str):
            step = self._action(event)
        elif isinstance(event.get("observation"), str):
            step = self._observation(event)
        else:
            step = Step("log", extra=dict(event))
        number = event.get("id")
        has_id = isinstance(number, (int, str)) and not isinstance(number, bool)
        step.source_id = str(number)[:100] if has_id else digest(event)
        step.timestamp = when(event.get("timestamp"), self.source)
        extra = dict(step.extra or {})
        for name, is_placed in (("id", number == len(self.steps)), ("timestamp", step.timestamp is not None)):
            if is_placed:
                extra.pop(name, None)
        self._metadata(step, event, extra)
        step.extra = extra or None
        if isinstance(event.get("action"), str):
            step.span_id = step.source_id if has_id else None
            if has_id:
                self._actions[number] = step
            self._last = step
            if is_act(event):
                self.acts.append(step)
            if event["action"] == "delegate":
                self.delegates.begin(len(self.steps), _agent(event), (self.agent_state, self.agent_state_reason))
        elif (call := self._cause(event, is_noted=False)) is not None:
            step.parent_span_id = call.span_id
            if step.event_type == "tool_result":
                call.duration_ms = elapsed_ms(call.timestamp, step.timestamp)
        self.steps.append(step)
        if event.get("observation") == "delegate" and (before := self.delegates.end(len(self.steps) - 1)) is not None:
            self.agent_state, self.agent_state_reason = before  # what was noted since is of the delegate

    def nest(self) -> None:
        """Put the steps of delegates into lanes of their own, when all events are read."""
        self.delegates.nest(self.steps)

    def _of_sdk(self, event: Mapping[str, Any]) -> None:
        step = sdk_step(event)
        step.source_id = str(event["id"])[:100] if isinstance(event.get("id"), str) else digest(event)
        step.timestamp = when(event.get("timestamp"), self.source)
        if step.timestamp is None and event.get("timestamp") is not None:
            step.extra = {**(step.extra or {}), "timestamp": event["timestamp"]}
        step.span_id = step.source_id
        cause = event.get("action_id")
        call = self._actions.get(cause if isinstance(cause, str) else None)
        if call is None and step.event_type == "tool_result":
            call = self._calls.get(text_or_none((step.tool or {}).get("call_id")))
        if isinstance(cause, str):
            step.parent_span_id = cause[:100]
        elif call is not None:
            step.parent_span_id = call.span_id
        if call is not None and step.event_type == "tool_result":
            call.duration_ms = elapsed_ms(call.timestamp, step.timestamp)
        self._actions[step.source_id] = step
        if step.event_type == "tool_call" and isinstance((step.tool or {}).get("call_id"), str):
            self._calls[(step.tool or {})["call_id"]] = step
        if (child := sdk_child(event)) is not None and (started_by := step.parent_span_id) is not None:
            # A conversation's folder is named by its id without the dashes.
            self.spawns |= {child: started_by, child.replace("-", ""): started_by}
        status, metrics = sdk_state(event)
        self.agent_state = status or self.agent_state
        self.metrics = metrics or self.metrics
        if is_sdk_act(event):
            self.acts.append(step)
        self.steps.append(step)

    # What was done

    def _action(self, event: Mapping[str, Any]) -> Step:
        kind: str = event["action"]
        is_flat = "args" not in event
        args = rest(event, "action") or {} if is_flat else mapping(event.get("args"))
        author = event.get("source")
        if author is None and kind == "message":
            self.source.kept("author", _NO_AUTHOR)
        by = author if isinstance(author, str) else "user" if kind == "message" and not self.steps else "agent"
        role = "system" if kind == "system" else _AUTHORS.get(by)
        said = plain_text(args.get("content")) if kind in _SPOKEN else text_or_none(args.get("thought"))
        if kind == "finish":
            said = said or text_or_none(args.get("final_thought"))  # the answer, beside a thought that may be empty
        step = Step(
            "message" if kind in _SPOKEN else "log",
            name=role if kind in _SPOKEN else text_or_none(kind),
            agent="user" if role == "user" else None,
            category=role or by,
            role=role,  # pyright: ignore[reportArgumentType]
            text=said,
        )
        if kind in _SPOKEN:
            told = rest(args, *(["content"] if isinstance(args.get("content"), str) else []))
        elif by == "agent" and kind not in _NOTES:
            told = self._call(step, event, args, is_flat=is_flat)
        else:
            told = rest(args, *(["thought"] if said and said == args.get("thought") else []))
            step.role, step.agent = None, None
        step.extra = self._left(event, told, said, is_flat=is_flat)
        return step

    def _left(
        self, event: Mapping[str, Any], told: dict[str, Any] | None, said: str | None, *, is_flat: bool
    ) -> dict[str, Any] | None:
        """What of an action has found no place; a flat one's fields are its arguments."""
        if is_flat:
            return told
        placed = ["action", *(["source"] if event.get("source") in ("user", "agent") else [])]
        placed += ["message"] if event.get("message") in (said, "") else []
        placed += ["args"] if isinstance(event.get("args"), dict) else []
        left = rest(event, *placed) or {}
        return {**left, **({"args": told} if told else {})} or None

    def _call(
        self, step: Step, event: Mapping[str, Any], args: Mapping[str, Any], *, is_flat: bool
    ) -> dict[str, Any] | None:
        """Make the step a call of a tool; what of the action's own arguments is not told by that."""
        metadata = mapping(event.get("tool_call_metadata"))
        name, call_id = text_or_none(metadata.get("function_name")), metadata.get("tool_call_id")
        given = _given(metadata, call_id)
        own = rest(args, *(["thought"] if step.text and step.text == args.get("thought") else [])) or {}
        tool: dict[str, Any] = {"name": name or event["action"]}
        if call_id is not None:
            tool["call_id"] = call_id
        tool["arguments"] = own if given is None else given
        step.event_type, step.name, step.tool = "tool_call", tool["name"], tool
        # Beside what the model asked for stands what OpenHands made of it.
        return None if given is None or is_flat else own

    # What came back

    def _observation(self, event: Mapping[str, Any]) -> Step:
        kind: str = event["observation"]
        is_flat = "extras" not in event
        content, extras = event.get("content"), mapping(event.get("extras"))
        if kind == "agent_state_changed" and isinstance(extras.get("agent_state"), str):
            self.agent_state, self.agent_state_reason = extras["agent_state"], text_or_none(extras.get("reason"))
        call = None if kind in ("agent_state_changed", "null") else self._cause(event, is_noted=True)
        placed = ["content", *(["cause"] if call is not None else [])]
        placed += ["message"] if event.get("message") in (content, "") else []
        extra = rest(event, *placed) or {}
        if call is not None and call.event_type == "tool_call":
            tool = call.tool or {}
            if not is_flat and isinstance(event.get("success"), bool):
                extra.pop("success", None)
            is_error = _is_error(event, extras, kind)
            step = result_step(tool.get("name"), tool.get("call_id"), content, extra, is_error=is_error)
            if step.error is not None and not content:
                step.error = {**step.error, "message": event.get("message")}
            return step
        step = Step("log", name=text_or_none(kind), category="observation", text=plain_text(content), extra=extra)
        if content is not None and not isinstance(content, str):
            extra["content"] = content
        if kind == "error":
            step.severity, step.error = "error", {"type": "ErrorObservation", "message": content}
        return step

    def _cause(self, event: Mapping[str, Any], *, is_noted: bool) -> Step | None:
        cause = event.get("cause")
        if isinstance(cause, (int, str)):
            return self._actions.get(cause)
        if event.get("observation") == "delegate" and (begun := self.delegates.begun) is not None:
            return self.steps[begun]  # it never names one
        if "id" in event or "source" in event:
            return None  # it could have named one
        if is_noted and self._last is not None:
            self.source.kept("cause", _NO_CAUSE)
        return self._last

    # What the model was billed for

    def _metadata(self, step: Step, event: Mapping[str, Any], extra: dict[str, Any]) -> None:
        """Count the tokens of an answer once, and keep its record at the first event that has it."""
        metadata = event.get("tool_call_metadata")
        if not isinstance(metadata, dict):
            return
        response = mapping(metadata.get("model_response"))
        key = response.get("id")
        known = self._responses.get(key) if isinstance(key, str) else None
        if known is None and (isinstance(key, str) or step.event_type == "tool_call"):
            step.usage = openai_usage(response.get("usage"), self.source)
            step.model = text_or_none(response.get("model"))
        placed = ["function_name", "tool_call_id"] if step.tool is not None else []
        if known is not None and known == response:
            placed.append("model_response")
            self.source.kept("model_response", _REPEATED)
        elif isinstance(key, str):
            self._responses[key] = response
        extra.pop("tool_call_metadata", None)
        if left := rest(metadata, *placed):
            extra["tool_call_metadata"] = left


def _agent(event: Mapping[str, Any]) -> str | None:
    """Whom an action delegates to."""
    return text_or_none((mapping(event.get("args")) if "args" in event else event).get("agent"))


def _given(metadata: Mapping[str, Any], call_id: Any) -> Any:
    """The arguments that the model wrote for a call; ``None`` where its answer is not kept."""
    for choice in elements(mapping(metadata.get("model_response")).get("choices")):
        for call in elements(mapping(mapping(choice).get("message")).get("tool_calls")):
            if mapping(call).get("id") == call_id and call_id is not None:
                return arguments(mapping(mapping(call).get("function")).get("arguments"))
    return None


def _is_error(event: Mapping[str, Any], extras: Mapping[str, Any], kind: Any) -> bool | None:
    """Whether an action failed by the source's own word, else by its exit code; ``None`` where there is neither."""
    if kind == "error":
        return True
    if isinstance(event.get("success"), bool):
        return not event["success"]
    code = mapping(extras.get("metadata")).get("exit_code", extras.get("exit_code", event.get("exit_code")))
    return code != 0 if isinstance(code, int) and not isinstance(code, bool) else None
