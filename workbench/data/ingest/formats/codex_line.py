"""One line of a Codex rollout as a step, with what pairing, nesting and counting need to know of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from workbench.data.ingest.formats.codex_event import ENDS, End, Line, nonzero, read_event
from workbench.data.ingest.normal import Step
from workbench.data.ingest.reading.chat import arguments, elements, known, mapping, number, rest, text_or_none
from workbench.data.ingest.reading.parse import parse
from workbench.data.ingest.reading.source import kind_of
from workbench.data.ingest.reading.times import milliseconds

KINDS = ("session_meta", "turn_context", "response_item", "event_msg", "compacted", "world_state")
# Written by the program in the user's name: what the model is told of the project, the machine and the turn.
_WRAPPERS = (
    "<environment_context>", "<user_instructions>", "<permissions instructions>", "<turn_aborted>", "<skill>",
    "<user_shell_command>", "<subagent_notification>", "<INSTRUCTIONS>", "# AGENTS.md instructions",
)  # fmt: skip
_TEXTS = {"input_text", "output_text", "text", "summary_text", "reasoning_text"}
_STATES = {"compacted", "world_state", "ghost_snapshot"}
# What a call of the model is named that has no name: web_search_call → web_search.
_NAMED = {"local_shell_call": "local_shell", "web_search_call": "web_search", "tool_search_call": "tool_search"}
# What the first CLI told its user of a request that failed, or of his own Escape: error-<milliseconds since 1970>.
_NOTICE = re.compile(r"(error|interrupt|cancel)-\d+")
_EXIT = re.compile(r"^(?:Process exited with code|Exit code:)\s*(-?\d{1,9})\s*$", re.MULTILINE)
_WALL = re.compile(r"^Wall time:\s*(\d{1,9}(?:\.\d{1,9})?)\s*s", re.MULTILINE)


def read_line(value: Mapping[str, Any]) -> Line | str:
    """A JSON object of a rollout, in the layout with or without an envelope; or why it is none."""
    kind, payload, envelope = _layout(value)
    if not isinstance(payload, dict):
        if kind in KINDS:
            return f"expected an object as payload of {kind}, found {kind_of(payload)}"
        payload = {} if payload is None else {"payload": payload}
    found = payload.get("type")
    type_ = found if isinstance(found, str) else "message" if kind == "response_item" and "role" in payload else None
    step = Step("log", name=type_ or kind, category=kind)
    line = Line(step, kind, type_, payload, call_id=_call_id(payload))
    used: tuple[str, ...] = ()
    if kind == "response_item":
        used = _item(line)
    elif kind == "event_msg":
        used = read_event(line)
    elif kind in _STATES:
        step.event_type = "state"
        step.text = text_or_none(payload.get("message"))
        used = ("message",) if step.text else ()
    line.own_id = _own_id(line)
    if step.name == found:
        used += ("type",)
    left = rest(payload, *used) or {}
    # The envelope holds a number of the line at most; where its words are those of the payload, it stays apart.
    step.extra = ({**envelope, **left} if envelope.keys().isdisjoint(left) else {**left, "line": envelope}) or None
    return line


def own_id(value: Mapping[str, Any]) -> str | None:
    """The source's own id of a line."""
    line = read_line(value)
    return line.own_id if isinstance(line, Line) else None


def _layout(value: Mapping[str, Any]) -> tuple[str, Any, dict[str, Any]]:
    """The kind of a line, its payload and what else its envelope holds. The first rollouts had no envelope."""
    kind = value.get("type")
    if "payload" in value:
        if isinstance(kind, str):
            return kind, value["payload"], rest(value, "type", "payload", "timestamp") or {}
        return "unknown", value["payload"], rest(value, "payload", "timestamp") or {}
    bare = {key: item for key, item in value.items() if key != "timestamp"}
    if isinstance(kind, str):
        return (kind if kind in KINDS else "response_item"), bare, {}
    if isinstance(value.get("record_type"), str):
        return value["record_type"], bare, {}
    return ("session_meta" if "id" in value else "unknown"), bare, {}


def _call_id(payload: Mapping[str, Any]) -> str | None:
    # A web search is called by the id of its item.
    for name in ("call_id", "callId", "id"):
        if isinstance(payload.get(name), str) and payload[name]:
            return payload[name]
    return None


def _own_id(line: Line) -> str | None:
    if line.kind == "response_item":
        own = text_or_none(line.payload.get("id"))
        return own or (f"{line.type}:{line.call_id}" if line.call_id else None)
    return f"{line.type}:{line.call_id}" if line.type in ENDS and line.call_id else None


def texts(content: Any) -> tuple[str | None, list[Any] | None]:
    """The text of a content, and the parts of it that are more than text."""
    if isinstance(content, str):
        return content or None, None
    found, others = [], []
    for part in elements(content):
        if isinstance(part, dict) and str(part.get("type")) in _TEXTS and isinstance(part.get("text"), str):
            found.append(part["text"])
            if part.keys() - {"type", "text"}:
                others.append(part)
        elif isinstance(part, str):
            found.append(part)
        else:
            others.append(part)
    return "\n\n".join(found) or None, others or None


# Items: what the model was given and what it answered ---------------------------------------------------------------


def _item(line: Line) -> tuple[str, ...]:
    kind = line.type or ""
    if kind == "message" or (kind == "agent_message" and "content" in line.payload):
        return _message(line)
    if kind == "reasoning":
        return _reasoning(line)
    if kind.endswith("_call"):
        return _call(line)
    if kind.endswith("_output"):
        return _output(line)
    if kind in _STATES:
        line.step.event_type = "state"
    return ()


def _message(line: Line) -> tuple[str, ...]:
    step, payload = line.step, line.payload
    role = payload.get("role")
    step.event_type = "message"
    step.text, others = texts(payload.get("content"))
    if role in ("user", "assistant", "system"):
        step.role = role
    elif role == "developer":  # what OpenAI calls the system's word since 2025
        step.role = "system"
    step.name = role if isinstance(role, str) else line.type
    if isinstance(role, str):  # an event repeats the whole text, or one part of it
        parts = (mapping(part).get("text") for part in elements(payload.get("content")))
        line.said = (role, step.text, *parts)
    if role == "user":
        step.agent = "user"
        line.is_prompt = bool(step.text) and not (step.text or "").lstrip().startswith(_WRAPPERS)
    if role in ("user", "developer") and not line.is_prompt:
        step.severity = "debug"
    if role == "system" and (notice := _NOTICE.fullmatch(str(payload.get("id")))):
        kind = notice[1]
        step.severity = "error" if kind == "error" else "warning"
        step.error = {"type": kind, "message": step.text} if kind == "error" else None
    is_placed = others is None and isinstance(payload.get("content"), (str, list, type(None)))
    return (*(("content",) if is_placed else ()), *(("role", "type") if isinstance(role, str) else ()))


def _reasoning(line: Line) -> tuple[str, ...]:
    step, payload = line.step, line.payload
    step.event_type, step.role = "reasoning", "assistant"
    summary, others = texts(payload.get("summary"))
    content, more = texts(payload.get("content"))
    step.text = summary or content
    line.said = ("reasoning", *(mapping(part).get("text") for part in elements(payload.get("summary"))))
    step.duration_ms = number(payload.get("duration_ms"))  # of the first CLI: how long it thought
    used = ("summary",) if others is None and isinstance(payload.get("summary"), list) else ()
    used += ("duration_ms",) if step.duration_ms is not None else ()
    return (*used, "content") if more is None and not (summary and content) else used


def _call(line: Line) -> tuple[str, ...]:
    step, payload = line.step, line.payload
    step.event_type, step.role = "tool_call", "assistant"
    kind = line.type or ""
    name = text_or_none(payload.get("name"))
    given = next((key for key in ("arguments", "input", "action") if payload.get(key) is not None), None)
    step.name = name or _NAMED.get(kind) or kind.removesuffix("_call")
    step.tool = {
        "name": step.name,
        "call_id": line.call_id,
        "arguments": arguments(payload[given]) if given else None,
    }
    if kind == "image_generation_call" and payload.get("result") is not None:
        step.tool |= {"result": payload["result"]}
        given = "result"
    used = [key for key in ("name" if name else None, given, "call_id" if "call_id" in payload else None) if key]
    return tuple(used)


def _output(line: Line) -> tuple[str, ...]:
    step, payload = line.step, line.payload
    step.event_type, step.role = "tool_result", "tool"
    key = "output" if "output" in payload or "tools" not in payload else "tools"
    output = payload.get(key)
    line.end = _ended(output)
    step.name = None
    step.tool = known(call_id=line.call_id) | {"result": output, "name": None}
    return ("call_id", key)


def _ended(output: Any) -> End:
    """What an answer says of its own call: JSON with an exit code, the text of a shell, or a flag of success."""
    if isinstance(output, dict):
        success = output.get("success")
        return End(not success if isinstance(success, bool) else None, text_or_none(output.get("content")))
    if not isinstance(output, str):
        return End()
    if output.startswith("{"):
        try:
            value = mapping(parse(output.encode("utf-8", "surrogatepass")).value)
        except ValueError:
            return End()
        told = mapping(value.get("metadata"))
        return End(nonzero(told.get("exit_code")), text_or_none(value.get("output")), _seconds(told))
    head = output.partition("\nOutput:")[0] if "\nOutput:" in output else ""
    code, wall = _EXIT.search(head), _WALL.search(head)
    message = output.partition("\nOutput:")[2].strip() or None
    return End(int(code.group(1)) != 0 if code else None, message, milliseconds(float(wall.group(1))) if wall else None)


def _seconds(told: Mapping[str, Any]) -> float | None:
    return milliseconds(number(told.get("duration_seconds")))
