"""One event of the OpenHands SDK (``{id, timestamp, source, kind, …}``) as a step.

``kind`` is the class of the event: ``MessageEvent`` holds ``llm_message``, ``ActionEvent`` the ``tool_call`` as the
model wrote it and the ``action`` made of it, ``ObservationEvent`` what came back under ``action_id`` and
``tool_call_id``. Tokens stand apart, under ``stats`` of the conversation's state, and are joined by
``llm_response_id``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.data.ingest.normal import Step
from workbench.data.ingest.reading.chat import arguments, count, elements, known, mapping, number, rest, text_or_none
from workbench.data.ingest.reading.parts import plain_text

_ABOUT = ("id", "timestamp", "source", "kind")
_RESULTS = {"ObservationEvent", "UserRejectObservation", "AgentErrorEvent"}
_KNOWN = {
    *_RESULTS, "MessageEvent", "ActionEvent", "SystemPromptEvent", "ConversationStateUpdateEvent", "PauseEvent",
    "ConversationErrorEvent", "Condensation", "CondensationRequest", "CondensationSummaryEvent", "TokenEvent",
}  # fmt: skip
_ROLES = {"user": "user", "agent": "assistant"}
_TOKENS = ("prompt_tokens", "completion_tokens", "cache_read_tokens", "cache_write_tokens")


def is_sdk_event(event: Any) -> bool:
    """Whether an event is one of the SDK's; new classes come with releases and are told by their shape."""
    if not isinstance(event, Mapping) or not isinstance(event.get("kind"), str):
        return False
    has_shape = all(isinstance(event.get(name), str) for name in ("id", "timestamp", "source"))
    return "action" not in event or not isinstance(event["action"], str) if has_shape else event["kind"] in _KNOWN


def is_sdk_act(event: Mapping[str, Any]) -> bool:
    """Whether an event is something that the agent did."""
    return event["kind"] == "ActionEvent" or (event["kind"] == "MessageEvent" and event.get("source") == "agent")


def sdk_step(event: Mapping[str, Any]) -> Step:
    """The step of an event; what has no place is in ``extra``."""
    kind = event["kind"]
    if kind == "MessageEvent":
        return _message(event)
    if kind == "ActionEvent":
        return _call(event)
    if kind in _RESULTS:
        return _result(event)
    if kind == "SystemPromptEvent":
        prompt = mapping(event.get("system_prompt"))
        step = Step("message", name="system", category="system", role="system", text=text_or_none(prompt.get("text")))
        step.extra = rest(
            event, *_ABOUT, *(["system_prompt"] if set(prompt) <= {"text", "type", "cache_prompt"} else [])
        )
        return step
    step = Step("log", name=kind, category=text_or_none(event.get("source")), extra=rest(event, *_ABOUT))
    if kind == "ConversationErrorEvent":
        step.severity = "error"
        step.text = text_or_none(event.get("detail"))
        step.error = known(type=text_or_none(event.get("code")) or kind, message=step.text)
    elif kind == "CondensationSummaryEvent":
        step.text = text_or_none(event.get("summary"))
    return step


def sdk_state(event: Mapping[str, Any]) -> tuple[str | None, dict[str, Any] | None]:
    """The status and the metrics that an update of the conversation's state tells."""
    if event.get("kind") != "ConversationStateUpdateEvent":
        return None, None
    key, value = event.get("key"), event.get("value")
    whole = mapping(value) if key == "full_state" else {key: value}
    return text_or_none(whole.get("execution_status")), sdk_metrics(whole.get("stats"))


def sdk_child(event: Mapping[str, Any]) -> str | None:
    """The conversation that an observation says was started."""
    seen = mapping(event.get("observation"))
    is_start = seen.get("kind") == "StartChildConversationObservation"
    return text_or_none(seen.get("conversation_id")) if is_start else None


def sdk_metrics(stats: Any) -> dict[str, Any] | None:
    """The metrics of all models that a conversation used, as one."""
    each = [mapping(item) for item in mapping(mapping(stats).get("usage_to_metrics")).values()]
    if not each:
        return None
    costs = [number(item.get("accumulated_cost")) for item in each]
    summed: dict[str, int] = {}
    for item in each:
        for name in _TOKENS:
            tokens = count(mapping(item.get("accumulated_token_usage")).get(name))
            if tokens is not None:
                summed[name] = summed.get(name, 0) + tokens
    return known(
        accumulated_cost=None if None in costs else sum(cost or 0.0 for cost in costs),
        accumulated_token_usage=summed or None,
        token_usages=[usage for item in each for usage in elements(item.get("token_usages"))] or None,
    )


def _message(event: Mapping[str, Any]) -> Step:
    message = mapping(event.get("llm_message"))
    role = text_or_none(message.get("role")) or _ROLES.get(str(event.get("source")))
    role = role if role in ("user", "assistant", "system") else None
    content = message.get("content")
    is_told = isinstance(content, str) or _is_text(content)
    left = rest(message, "role", *(["content"] if is_told else []))
    return Step(
        "message",
        name=role,
        agent="user" if event.get("source") == "user" else None,
        category=role or text_or_none(event.get("source")),
        role=role,  # pyright: ignore[reportArgumentType]
        text=plain_text(content),
        extra={**(rest(event, *_ABOUT, "llm_message") or {}), **({"llm_message": left} if left else {})} or None,
    )


def _call(event: Mapping[str, Any]) -> Step:
    asked = mapping(event.get("tool_call"))
    function = mapping(asked.get("function")) or asked
    given = arguments(function.get("arguments"))
    own = event.get("action")
    thought = event.get("thought")
    name = text_or_none(event.get("tool_name")) or text_or_none(function.get("name"))
    placed = [*_ABOUT, "tool_name", "tool_call_id", *(["thought"] if _is_text(thought) else [])]
    placed += ["tool_call"] if given is not None else ["action"]
    step = Step(
        "tool_call",
        name=name,
        category="assistant",
        role="assistant",
        text=plain_text(thought),
        tool=known(name=name, call_id=event.get("tool_call_id"), arguments=own if given is None else given),
        extra=rest(event, *placed),
    )
    return step


def _result(event: Mapping[str, Any]) -> Step:
    kind, seen = event["kind"], mapping(event.get("observation"))
    content = seen.get("content", seen.get("output"))
    is_error: bool | None = None
    if kind == "AgentErrorEvent":
        content, is_error = event.get("error"), True
    elif kind == "UserRejectObservation":
        content, is_error = event.get("rejection_reason"), True
    elif isinstance(seen.get("is_error"), bool):
        is_error = seen["is_error"]
    told = plain_text(content) or "" if isinstance(content, str) or _is_text(content) else content
    left = rest(seen, *(["content" if "content" in seen else "output"] if seen else []), "is_error")
    more = rest(event, *_ABOUT, "observation", "tool_name", "tool_call_id", "error", "rejection_reason")
    name = text_or_none(event.get("tool_name"))
    return Step(
        "tool_result",
        name=name,
        category="tool",
        severity="error" if is_error else "info",
        role="tool",
        tool=known(name=name, call_id=event.get("tool_call_id"), result=told, is_error=is_error),
        error={"type": kind if seen == {} else "ToolError", "message": told} if is_error else None,
        extra={**(more or {}), **({"observation": left} if left else {})} or None,
    )


def _is_text(parts: Any) -> bool:
    """Whether parts are texts and nothing more, apart from hints to a cache."""
    return isinstance(parts, list) and all(
        isinstance(part, dict) and isinstance(part.get("text"), str) and set(part) <= {"text", "type", "cache_prompt"}
        for part in parts
    )
