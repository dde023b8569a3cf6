"""One line of a Claude Code session as a step, with what pairing and nesting need to know of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from workbench.data.ingest.normal import Step
from workbench.data.ingest.reading.chat import number

_SEVERITIES = {"warning": "warning", "warn": "warning", "error": "error"}
# Placed elsewhere in the step; `message` is taken apart.
_PLACED = frozenset({"type", "uuid", "timestamp", "message", "costUSD"})
INTERRUPTED = "[Request interrupted by user"
# Written by the program in the user's name. A slash command (<command-name>) was typed, and opens a turn.
WRAPPERS = ("<local-command-", "Caveat: The messages below", INTERRUPTED)
_NOT_SAID = (*WRAPPERS, "<command-name>", "<command-message>")


@dataclass(slots=True)
class Line:
    """A line: its step and its links."""

    step: Step
    uuid: str | None = None
    parent: str | None = None
    is_sidechain: bool = False
    is_prompt: bool = False  # typed by the user: opens a turn
    is_conversation: bool = False  # of type user or assistant
    agent_id: str | None = None
    message_id: str | None = None
    usage: dict[str, Any] | None = None
    cost_usd: float | None = None
    calls: list[dict[str, Any]] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    starts: list[dict[str, Any]] = field(default_factory=list)  # sub-agents started: {prompt, kind}
    title: str | None = None
    title_of: str | None = None  # uuid of a line of the session the title is for
    api_error: str | None = None
    answers: str | None = None  # uuid of the line whose call it answers
    continues: str | None = None  # uuid of the line that a compacted conversation goes on from
    forked_from: tuple[str, str | None] | None = None  # the session it was copied from, and its uuid there
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def is_interruption(self) -> bool:
        """The user stopped the agent here."""
        text = self.step.text
        return text is not None and text.startswith(INTERRUPTED)

    @property
    def is_work(self) -> bool:
        """Whether the session went on with it: no word of the program's own, and no slash command such as /exit."""
        if not self.is_conversation or self.step.severity == "debug":
            return False
        if self.step.model == "<synthetic>":
            return self.api_error is not None
        return not (self.step.text or "").startswith(_NOT_SAID)


def read_line(value: dict[str, Any]) -> Line:
    """Any JSON object; what has no place goes into ``extra``."""
    message = value.get("message")
    kind = value.get("type")
    if kind is None and isinstance(message, dict):
        kind = message.get("role")  # older usage logs carry no type
    line = Line(
        Step("log", name=kind if isinstance(kind, str) else None, category=kind if isinstance(kind, str) else None),
        uuid=_text(value.get("uuid")),
        parent=_text(value.get("parentUuid")),
        is_sidechain=value.get("isSidechain") is True,
        agent_id=_text(value.get("agentId")),
        extra={name: item for name, item in value.items() if name not in _PLACED and item is not None},
    )
    if kind in ("user", "assistant") and message is not None:
        _conversation(line, kind, message, value)
    else:
        _other(line, value)
        if message is not None:
            line.extra["message"] = message
    copied = value.get("forkedFrom")
    if isinstance(copied, dict) and isinstance(copied.get("sessionId"), str):
        line.forked_from = copied["sessionId"], _text(copied.get("messageUuid"))
    return line


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _conversation(line: Line, role: Any, message: Any, value: dict[str, Any]) -> None:
    step = line.step
    step.event_type, step.role = "message", role
    line.is_conversation = True
    if not isinstance(message, dict):
        step.text = message if isinstance(message, str) else None
        if step.text is None:
            line.extra["message"] = message
        return
    _content(line, message)
    line.message_id = _text(message.get("id"))
    step.model = _text(message.get("model"))
    if isinstance(message.get("usage"), dict):
        line.usage, line.cost_usd = message["usage"], number(value.get("costUSD"))
    elif number(value.get("costUSD")) is not None:
        step.cost_usd = number(value["costUSD"])
    left = {
        name: item for name, item in message.items() if name not in ("content", "model", "role") and item is not None
    }
    if left:
        line.extra["message"] = left
    if value.get("isApiErrorMessage") is True:
        line.api_error = step.text or "API error"
        step.severity, step.error = "error", {"type": "api_error", "message": line.api_error}
    is_plain = role == "user" and step.event_type == "message" and value.get("isMeta") is not True
    line.is_prompt = is_plain and bool(step.text) and not (step.text or "").startswith(WRAPPERS)
    if value.get("isMeta") is True:
        step.severity = "debug"
    elif line.is_interruption:
        step.severity = "warning"


def _content(line: Line, message: dict[str, Any]) -> None:
    step, content = line.step, message.get("content")
    if isinstance(content, str):
        step.text = content
        return
    texts: list[str] = []
    thoughts: list[str] = []
    others: list[Any] = []
    for block in content if isinstance(content, list) else [] if content is None else [content]:
        _block(line, block, texts, thoughts, others)
    if line.calls:
        step.event_type, step.tool, step.name = "tool_call", line.calls[0], line.calls[0]["name"]
        step.tool_calls = line.calls[1:] or None
    elif line.results:
        step.event_type, step.role, step.tool = "tool_result", "tool", line.results[0]
        step.tool_calls = line.results[1:] or None
        _error(step, line.results)
    elif thoughts and not texts:
        step.event_type, texts, thoughts = "reasoning", thoughts, []
    step.text = "\n\n".join(texts) or None
    if thoughts:
        line.extra["thinking"] = "\n\n".join(thoughts)
    if others:
        line.extra["content"] = others


def _block(line: Line, block: Any, texts: list[str], thoughts: list[str], others: list[Any]) -> None:
    if isinstance(block, str):
        texts.append(block)
        return
    kind = block.get("type") if isinstance(block, dict) else None
    if kind == "text" and isinstance(block.get("text"), str):
        texts.append(block["text"])
    elif kind == "thinking" and isinstance(block.get("thinking"), str):
        if block["thinking"]:
            thoughts.append(block["thinking"])
        if block.get("signature"):
            others.append({"type": "thinking", "signature": block["signature"]})
    elif kind == "tool_use":
        line.calls.append({"name": block.get("name"), "call_id": block.get("id"), "arguments": block.get("input")})
        given = block.get("input")
        if isinstance(given, dict) and isinstance(given.get("prompt"), str):
            line.starts.append({"prompt": given["prompt"], "kind": _text(given.get("subagent_type"))})
    elif kind == "tool_result":
        line.results.append(_result(block))
    else:
        others.append(block)


def _result(block: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {"name": None, "call_id": block.get("tool_use_id"), "result": block.get("content")}
    if block.get("is_error") is not None:
        out["is_error"] = block["is_error"]
    return out


def _error(step: Step, results: list[dict[str, Any]]) -> None:
    failed = next((result for result in results if result.get("is_error") is True), None)
    if failed is not None:
        said = failed["result"]
        step.severity = "error"
        step.error = {"type": "ToolError", "message": said if isinstance(said, str) else str(said)}


def _other(line: Line, value: dict[str, Any]) -> None:
    step, kind = line.step, value.get("type")
    if kind == "summary":
        step.text = _text(value.get("summary"))
        line.title, line.title_of = step.text, _text(value.get("leafUuid"))
        line.extra.pop("summary", None)
    elif kind == "ai-title":
        line.title = _text(value.get("aiTitle")) or _text(value.get("title"))
    elif kind == "file-history-snapshot":
        step.event_type = "state"
    else:
        step.text = _text(value.get("content"))
        if step.text is not None:
            line.extra.pop("content", None)
        if kind == "system":
            step.name = _text(value.get("subtype")) or "system"
            step.severity = _SEVERITIES.get(str(value.get("level")), "info")  # type: ignore[assignment]
            if value.get("subtype") == "api_error":
                step.severity = "error"
            elif value.get("subtype") == "compact_boundary":
                line.continues = _text(value.get("logicalParentUuid"))
