"""Trajectories that are lists of messages: a SWE-agent file with ``history`` alone, and mini-SWE-agent.

A message is one step. An answer asks for a command in one of three ways: as tool calls, as ``action`` or ``actions``
beside its text, or (mini-SWE-agent, version 1) as the one fenced block in its text. The message after it is the result,
though its role may be ``user``; its return code says whether it failed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from workbench.data.ingest.formats.swe_agent_outcome import finish, instance_of, task
from workbench.data.ingest.normal import BadLine, Run, Step
from workbench.data.ingest.reading.chat import (
    arguments,
    elements,
    known,
    mapping,
    message_step,
    number,
    rest,
    result_step,
    text_or_none,
    title,
)
from workbench.data.ingest.reading.identity import digest, opening
from workbench.data.ingest.reading.openai_usage import openai_usage, price
from workbench.data.ingest.reading.parts import plain_text
from workbench.data.ingest.reading.source import Source, kind_of
from workbench.data.ingest.reading.times import elapsed_ms, when

_BLOCK = re.compile(r"```(?:mswea_bash_command|bash)\s*\n(.*?)\n```", re.DOTALL)
_RETURN_CODE = re.compile(r"\s*<returncode>(-?\d{1,9})</returncode>")
_RUN_ID = "not in the file: made from the messages up to the agent's first"


def history_run(document: Mapping[str, Any], source: Source) -> Iterator[Run | BadLine]:
    """The run of a SWE-agent file that holds only its history."""
    info = document.get("info")
    more = rest(document, "history", *(["info"] if isinstance(info, dict) else [])) or {}
    about = rest(info, "submission") if isinstance(info, dict) else None
    yield from _run("swe-agent", document["history"], info, {**more, **known(info=about)}, source)


def mini_run(document: Mapping[str, Any], source: Source) -> Iterator[Run | BadLine]:
    """The run of a mini-SWE-agent file."""
    info = mapping(document.get("info"))
    more = rest(document, "messages", *(["info"] if info else [])) or {}
    for item in _run(
        "mini-swe-agent",
        document["messages"],
        info,
        {**more, **known(info=rest(info, "submission") if info else None)},
        source,
        instance=document.get("instance_id"),
    ):
        if isinstance(item, Run):
            named = text_or_none(mapping(mapping(info.get("config")).get("model")).get("model_name"))
            item.model = named or next((step.model for step in item.steps if step.model), None)
        yield item


def _run(
    agent_type: str, records: list[Any], info: Any, metadata: dict[str, Any], source: Source, *, instance: Any = None
) -> Iterator[Run | BadLine]:
    messages: list[Mapping[str, Any]] = []
    for index, record in enumerate(records):
        if isinstance(record, dict):
            messages.append(record)
        else:
            yield BadLine(None, f"message {index}: expected an object, found {kind_of(record)}")
    steps = _steps(messages, source)
    times = [step.timestamp for step in steps if step.timestamp is not None]
    asked = next((step.text for step in steps if step.role == "user" and step.text and step.category != "demo"), None)
    named = instance_of(instance, source)
    source.kept("run id", _RUN_ID)
    begun = opening(messages, lambda record: _plain(record).get("role") == "assistant" and not record.get("is_demo"))
    run = Run(
        source_id=digest([agent_type, begun]),
        agent_type=agent_type,
        name=named or title(asked) or None,
        started_at=min(times, default=None),
        completed_at=max(times, default=None),
        input={"prompt": asked} if asked else None,
        task=task(named),
        metadata=metadata,
        steps=steps,
    )
    finish(run, info, source)
    yield run


def _steps(messages: list[Mapping[str, Any]], source: Source) -> list[Step]:
    steps: list[Step] = []
    waiting: Step | None = None  # a call whose result is the next message, whatever its role
    by_id: dict[str, Step] = {}
    for record in messages:
        message = _plain(record)
        call = None
        if message.get("role") == "tool" or (waiting is not None and message.get("role") == "user"):
            answers = message.get("tool_call_id") or next(iter(elements(message.get("tool_call_ids"))), None)
            call = by_id.get(answers) if isinstance(answers, str) else None
            call, waiting = call or waiting, None
            step = _result(message, answers, call)
        else:
            step = _message(message)
            waiting = step if step.event_type == "tool_call" else None
            by_id |= {each["call_id"]: step for each in _asked(step) if isinstance(each.get("call_id"), str)}
        step.source_id = digest(record)
        step.category = "demo" if message.get("is_demo") is True else step.category
        _measure(step, message, source)
        if call is not None:
            lasted = elapsed_ms(call.timestamp, step.timestamp)
            call.duration_ms = lasted if call.duration_ms is None else max(call.duration_ms, lasted or 0.0)
        steps.append(step)
    return steps


def _asked(step: Step | None) -> list[Mapping[str, Any]]:
    return [] if step is None or step.tool is None else [step.tool, *(step.tool_calls or ())]


def _plain(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """The answers and results of OpenAI's responses in the form of its chat."""
    if "role" in record:
        return record
    if record.get("type") == "function_call_output":
        more = rest(record, "type", "call_id", "output") or {}
        return {**more, "role": "tool", "tool_call_id": record.get("call_id"), "content": record.get("output")}
    if record.get("object") == "response":
        parts = [plain_text(mapping(item).get("content")) for item in elements(record.get("output"))]
        return {**record, "role": "assistant", "content": "\n".join(text for text in parts if text)}
    return record


def _message(message: Mapping[str, Any]) -> Step:
    extra = mapping(message.get("extra"))
    calls, placed = _calls(message, extra)
    text, listed = message.get("content"), message.get("tool_calls")
    step = message_step(message, calls, *placed, *(["thought"] if message.get("thought") == text else []), "extra")
    if not isinstance(text, str):
        step.text = plain_text(text)
    if listed is not None and (not isinstance(listed, list) or len(listed) != len(calls)):
        step.extra = {**(step.extra or {}), "tool_calls": listed}
    if step.role is None:
        step.event_type = "log"  # mini-SWE-agent ends with a message of the role exit
    return step


def _calls(message: Mapping[str, Any], extra: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """The commands an answer asks for, and the fields of the message that hold nothing else."""
    if message.get("role") != "assistant":
        return [], []
    listed = [function_call(call) for call in elements(message.get("tool_calls")) if isinstance(call, dict)]
    if listed:
        return listed, []
    action = message.get("action")
    if isinstance(action, str) and action.strip():
        return [command_call(action)], ["action"]
    actions = [each if isinstance(each, dict) else {"command": each} for each in elements(extra.get("actions"))]
    if actions and all(isinstance(each.get("command"), str) for each in actions):
        return [_bash(each["command"], each.get("tool_call_id")) for each in actions], []
    blocks = _BLOCK.findall(plain_text(message.get("content")) or "")
    return ([_bash(blocks[0].strip())] if len(blocks) == 1 else []), []


def function_call(call: Mapping[str, Any]) -> dict[str, Any]:
    """An OpenAI tool call."""
    function = mapping(call.get("function"))
    return {
        "name": function.get("name"),
        "call_id": call.get("id"),
        "arguments": arguments(function.get("arguments")),
    }


def command_call(action: str) -> dict[str, Any]:
    """A command line of the agent's shell: its first word is the tool."""
    return {"name": action.split(maxsplit=1)[0], "arguments": {"command": action}}


def _bash(command: str, call_id: Any = None) -> dict[str, Any]:
    return known(name="bash", call_id=call_id, arguments={"command": command})


def _result(message: Mapping[str, Any], call_id: Any, call: Step | None) -> Step:
    content, extra = message.get("content"), mapping(message.get("extra"))
    names = {each.get("call_id"): each.get("name") for each in _asked(call) if isinstance(each.get("call_id"), str)}
    step = result_step(
        names.get(call_id) if isinstance(call_id, str) and call_id in names else call.name if call else None,
        call_id,
        content,
        rest(message, "content", "role", "tool_call_id", "extra"),
        is_error=_is_error(content, extra),
    )
    if message.get("role") != "tool":
        step.extra = {**(step.extra or {}), "role": message.get("role")}
    if extra.get("exception_info"):
        step.error = {"type": "ToolError", "message": extra["exception_info"]}
    return step


def _is_error(content: Any, extra: Mapping[str, Any]) -> bool | None:
    """Whether the command failed, by its return code; ``None`` where there is none."""
    if extra.get("exception_info"):
        return True
    code = extra.get("returncode")
    if not isinstance(code, int):
        match = _RETURN_CODE.match(plain_text(content) or "")
        code = int(match.group(1)) if match else None
    return None if code is None else code != 0


def _measure(step: Step, message: Mapping[str, Any], source: Source) -> None:
    """Set what mini-SWE-agent keeps beside a message: time, tokens, cost; the rest of it stays."""
    extra = message.get("extra")
    if not isinstance(extra, dict):
        if extra is not None:
            step.extra = {**(step.extra or {}), "extra": extra}
        return
    step.timestamp = when(extra.get("timestamp"), source)
    # A call whose answer could not be parsed was billed too: it is beside the message that says so.
    response = mapping(extra.get("response")) or message
    step.usage = openai_usage(response.get("usage"), source)
    step.model = text_or_none(response.get("model")) if step.usage is not None else None
    step.cost_usd = price(number(extra.get("cost")), step.usage, source)
    placed = ["timestamp"] if step.timestamp is not None else []
    placed += ["cost"] if step.cost_usd is not None else []
    if more := rest(extra, *placed):
        step.extra = {**(step.extra or {}), "extra": more}
