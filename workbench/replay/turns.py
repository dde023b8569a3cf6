"""The model calls of a run and what each was given: as the source recorded it, else put together from the conversation.

A source that records the input of its model calls is believed. Elsewhere a model call is what an agent says between two
inputs, one answer of the model (some sources write it as several steps), and its context is what was said before in the
same lane: prompts, answers, calls, results. Four things are not in it: other lanes (sub-agents, side chains), abandoned
branches, what a compaction took out, and the reasoning of earlier turns, which providers drop when the next prompt
comes. What a source never tells (most coding agents keep their system prompt and the definitions of tools to
themselves) is no message here; :mod:`workbench.replay.context` counts its tokens as ``unrecorded``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

KINDS = ("system", "tool definitions", "user", "assistant", "reasoning", "tool result", "summary")
BOUNDARIES = ("compact_boundary", "compacted", "compaction")  # Claude Code; Codex; pi
CONVERSATION = ("message", "reasoning", "tool_call", "tool_result", "llm_call")
#: A condition on events: a model answers there, on no abandoned branch.
ANSWERS = """
(event_type IN ('llm_call', 'reasoning') OR (event_type = 'message' AND data->>'role' = 'assistant')
  OR (event_type = 'tool_call' AND coalesce(data->>'role', 'assistant') = 'assistant'))
AND coalesce(data->'extra'->'is_off_branch', 'null') IN ('null', 'false', '0', '""', '[]', '{}')
"""
_KIND = {"system": "system", "developer": "system", "user": "user", "human": "user", "tool": "tool result",
         "function": "tool result"}  # fmt: skip


@dataclass(slots=True)
class Message:
    """One message of a context."""

    kind: str
    role: str
    text: str  # all of it: cut where it is shown
    name: str | None = None  # of the tool
    step_number: int | None = None  # that added it; None where the source records the whole input at once
    event_id: str | None = None
    key: int = field(init=False)  # equal for equal messages
    estimate: int = field(init=False)
    tokens: float = field(init=False)

    def __post_init__(self) -> None:
        self.key = hash((self.kind, self.name, self.text))
        self.estimate = estimated(self.text)
        self.tokens = float(self.estimate)


@dataclass(slots=True)
class Call:
    """One model call.

    Attributes
    ----------
    step_number, last_step
        The first and the last step of its answer.
    messages
        What it was given, in order.
    is_reconstructed
        Put together from the conversation.
    n_known
        So many messages at the front are those of the call before in this lane; behind them one has to compare.
    old
        What the call before was given behind those.
    compacted_at
        The step that compacted the conversation since the call before in this lane.
    """

    step_number: int
    last_step: int
    agent: str
    event_id: str
    model: str | None
    usage: Mapping[str, int]
    messages: Sequence[Message]
    n_messages: int
    is_reconstructed: bool
    n_known: int = 0
    old: Sequence[Message] = ()
    compacted_at: int | None = None


def estimated(text: str) -> int:
    """Tokens of a text, estimated: a token is about four bytes of UTF-8, and a message costs four more.

    The rule of thumb of OpenAI's documentation; no tokenizer of a hosted model can be had without a download.
    """
    n = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return (n + 3) // 4 + 4


def calls(events: Iterable[Mapping[str, Any]], models: Collection[str]) -> Iterator[Call]:
    """The model calls of a run, in order, from its events with ``data`` parsed; no more events than that takes.

    The ``messages`` of a reconstructed context go on to grow and change: a call's own are the first ``n_messages``, as
    long as the next call is not asked for.

    Parameters
    ----------
    models
        The lanes in which a model answers (:func:`is_answer`) somewhere in the run, in that order.
    """
    lanes: dict[str, _Lane] = {}
    main = next(iter(models), "")
    for event in events:
        data = event["data"]
        if is_off_branch(data):
            continue
        # Prompts often stand in a lane of their own ("user"), which never asks a model: they go to the main one.
        name = event["agent"] if event["agent"] in models else main
        lane = lanes.setdefault(name, _Lane(name))
        yield from lane.take(event, data)
    for lane in lanes.values():
        yield from lane.finish()


def is_off_branch(data: Mapping[str, Any]) -> bool:
    """Whether an event is on a branch that was abandoned."""
    extra = data.get("extra")
    return isinstance(extra, dict) and bool(extra.get("is_off_branch"))


def is_answer(event_type: str, data: Mapping[str, Any]) -> bool:
    """Whether a model says this event. :data:`ANSWERS` says the same in SQL, of model calls too."""
    if event_type in ("reasoning", "tool_call"):
        return data.get("role") in (None, "assistant") or event_type == "reasoning"
    return event_type == "message" and data.get("role") == "assistant"


class _Lane:
    """The conversation of one agent."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._messages: list[Message] = []
        self._reasoning: list[int] = []  # positions of what the next prompt drops
        self._open: Call | None = None  # its answer may go on
        self._answer: list[Message] = []
        self._answer_id: str | None = None
        self._has_usage = False
        self._compacted_at: int | None = None
        self._steps: dict[str, int] = {}  # of pi's entries, which a compaction names
        self._n_known = 0  # messages at the front that the call before was given too
        self._old: list[Message] = []  # what it was given behind them
        self._has_calls = False  # model calls are events of their own here

    def take(self, event: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[Call]:
        """Take the next event; the call that it ends, if it does."""
        kind, step = event["event_type"], event["step_number"]
        if event["span_id"]:
            self._steps[event["span_id"]] = step
        if event["name"] in BOUNDARIES and kind in ("state", "log"):
            yield from self.finish()
            self._compact(event, data)
        elif kind not in CONVERSATION or data.get("model") == "<synthetic>":
            return
        elif kind == "llm_call":
            yield from self._model_call(event, data)
        elif is_answer(kind, data):
            yield from self._said(event, data)
        else:
            yield from self.finish()
            for message in _messages(event, data):
                self._add(message, step)

    def finish(self) -> Iterator[Call]:
        """The call whose answer is complete."""
        if self._open is not None:
            call, self._open = self._open, None
            yield call
            for message in self._answer:
                self._add(message, message.step_number)
            self._answer, self._answer_id, self._has_usage = [], None, False

    def _said(self, event: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[Call]:
        """A step of an answer: a new call, unless the answer before goes on."""
        extra = data.get("extra") if isinstance(data.get("extra"), dict) else {}
        inner = extra.get("message") if isinstance(extra, dict) else None
        answer_id = inner.get("id") if isinstance(inner, dict) else None
        if answer_id != self._answer_id or (answer_id is None and self._has_usage):
            yield from self.finish()
        if self._open is None and not self._has_calls:
            self._begin(event, data, self._messages, is_reconstructed=True)
        if self._open is not None:
            self._open.last_step = event["step_number"]
            self._answer_id = answer_id
            if data.get("usage"):
                self._open.usage, self._has_usage = data["usage"], True
            self._open.model = self._open.model or data.get("model")
        told = _messages(event, data)
        self._answer += [one for one in told if one.kind != "tool result"]
        results = [one for one in told if one.kind == "tool result"]
        if self._open is None or results:
            yield from self.finish()
            for message in [*(self._answer if self._has_calls else ()), *results]:
                self._add(message, event["step_number"])
            self._answer = []

    def _model_call(self, event: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[Call]:
        given = _given(data)
        if self._open is not None and given is None and data.get("text") is None and not data.get("tool_calls"):
            # Codex: the tokens of the answer that was told before.
            self._open.usage, self._has_usage = data.get("usage") or {}, True
            self._open.last_step = event["step_number"]
            yield from self.finish()
            return
        yield from self.finish()
        if given is None and not data.get("text") and not data.get("tool_calls") and not self._messages:
            return  # nothing is known of what it was given
        self._has_calls = True
        self._begin(event, data, self._messages if given is None else given, is_reconstructed=given is None)
        self._answer = [one for one in _messages(event, data) if one.kind != "tool result"]
        yield from self.finish()

    def _begin(
        self, event: Mapping[str, Any], data: Mapping[str, Any], given: Sequence[Message], *, is_reconstructed: bool
    ) -> None:
        step = event["step_number"]
        self._open = Call(
            step, step, self.name, event["id"], data.get("model"), data.get("usage") or {}, given, len(given),
            is_reconstructed, self._n_known, self._old, self._compacted_at,
        )  # fmt: skip
        self._compacted_at = None
        # A recorded input is no part of the conversation here: the next call is compared with all of it.
        self._n_known, self._old = (len(given), []) if is_reconstructed else (0, list(given))

    def _add(self, message: Message, step: int | None) -> None:
        if message.kind == "user" and self._reasoning:
            first = self._reasoning[0]
            self._forget(first)
            self._messages[first:] = [one for one in self._messages[first:] if one.kind != "reasoning"]
            self._reasoning = []
        if message.kind == "reasoning":
            self._reasoning.append(len(self._messages))
        self._messages.append(message)

    def _forget(self, first: int) -> None:
        """The messages from a position on change: keep what the call before was given of them."""
        if first < self._n_known:
            self._old = [*self._messages[first : self._n_known], *self._old]
            self._n_known = first

    def _compact(self, event: Mapping[str, Any], data: Mapping[str, Any]) -> None:
        """The conversation begins anew, with what the source says was kept of it."""
        extra = data.get("extra") if isinstance(data.get("extra"), dict) else {}
        history = extra.get("replacement_history") if isinstance(extra, dict) else None
        kept = [one for one in self._messages if one.kind in ("system", "tool definitions")]
        step, event_id = event["step_number"], event["id"]
        if isinstance(history, list):
            kept += [one for item in history if (one := _of_item(item, step, event_id)) is not None]
        elif event["name"] != "compact_boundary" and data.get("text"):
            kept.append(Message("summary", "user", data["text"], None, step, event_id))
            first = self._steps.get(str(extra.get("firstKeptEntryId"))) if isinstance(extra, dict) else None
            if first is not None:
                kept += [m for m in self._messages if m.step_number is not None and m.step_number >= first]
        self._forget(0)
        self._messages, self._reasoning, self._compacted_at = kept, [], step


# ---------------------------------------------------------------- messages


def _messages(event: Mapping[str, Any], data: Mapping[str, Any]) -> list[Message]:
    """What a step of the conversation adds to it."""
    kind, step, event_id = event["event_type"], event["step_number"], event["id"]
    tools = [one for one in (data.get("tool"), *(data.get("tool_calls") or ())) if isinstance(one, dict)]
    text, role = data.get("text"), data.get("role") or "assistant"
    if kind == "reasoning":
        return [Message("reasoning", "assistant", text or "", None, step, event_id)]
    if kind == "tool_result":
        results = tools or [{"result": text}]
        return [_result(tool, event["name"], step, event_id) for tool in results]
    found: list[Message] = []
    if role in _KIND and kind == "message":
        extra = data.get("extra")
        is_summary = isinstance(extra, dict) and extra.get("isCompactSummary") is True
        said = "summary" if is_summary else _KIND[role]
        return [Message(said, role, text or _text(_content(extra)), None, step, event_id)]
    asked = [{"name": tool.get("name"), "arguments": tool.get("arguments")} for tool in tools]
    if text or asked:
        whole = "\n".join([*([text] if text else []), *(_text(call) for call in asked)])
        name = ", ".join(str(call["name"]) for call in asked) or None
        found.append(Message("assistant", "assistant", whole, name, step, event_id))
    return found + [_result(tool, event["name"], step, event_id) for tool in tools if "result" in tool]


def _result(tool: Mapping[str, Any], name: str | None, step: int, event_id: str) -> Message:
    return Message("tool result", "tool", _text(tool.get("result")), tool.get("name") or name, step, event_id)


def _content(extra: Any) -> Any:
    return extra.get("content") if isinstance(extra, dict) else None


def _given(data: Mapping[str, Any]) -> list[Message] | None:
    """The input of a model call as its source records it; ``None`` where it does not."""
    extra = data.get("extra")
    if not isinstance(extra, dict):
        return None
    given = extra.get("input_messages")
    given = given if isinstance(given, list) else extra.get("input")
    if not isinstance(given, list) or not given or not all(isinstance(one, dict) for one in given):
        return None
    tools = next((extra[name] for name in ("tools", "toolDefinitions", "tool_definitions") if extra.get(name)), None)
    messages = [Message("tool definitions", "system", _text(tools))] if tools else []
    return messages + [one for item in given if (one := _of_item(item, None, None)) is not None]


def _of_item(item: Any, step: int | None, event_id: str | None) -> Message | None:
    """One message of a recorded input, in whatever shape its provider has."""
    if not isinstance(item, dict):
        return None
    role = str(item.get("role") or item.get("type") or "user")
    rest = {k: v for k, v in item.items() if k not in _VOLATILE and v not in (None, [], "")}
    content = rest.pop("content", rest.pop("parts", rest.pop("text", None)))
    calls = rest.get("tool_calls")
    text = "\n".join(part for part in (_text(content), _text(calls)) if part)
    kind = "reasoning" if item.get("type") == "reasoning" else _KIND.get(role, "assistant")
    name = item.get("name") if isinstance(item.get("name"), str) else None
    return Message(kind, role, text or _text(rest), name, step, event_id)


# Ids that are made anew for each call tell nothing of what the model saw.
_VOLATILE = ("id", "role", "source", "model", "metadata", "internal_chat_message_metadata_passthrough",
             "encrypted_content")  # fmt: skip


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(_is_text(part) for part in value):
        return "\n".join(str(part.get("text", part.get("content", ""))) for part in value)
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") in ("text", "input_text", "output_text")
