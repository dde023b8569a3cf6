"""Files of agent history of any size, one maker per format: the same work each time, an agent that calls one tool."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

START = datetime(2026, 1, 1, tzinfo=UTC)
TURNS_PER_RUN = 40  # where a file holds many runs


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn: what is said and done, and when."""

    session: str
    n: int
    at: datetime
    prompt: str | None  # every thirtieth turn
    thought: str
    text: str
    arguments: dict[str, str]
    result: str
    output_tokens: int

    def stamp(self, seconds: float = 0) -> str:
        """A moment of the turn as ISO text."""
        return (self.at + timedelta(seconds=seconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def ns(self, seconds: float = 0) -> int:
        """The same in nanoseconds since 1970."""
        return int((self.at + timedelta(seconds=seconds)).timestamp() * 1e9)

    @property
    def run(self) -> int:
        """The run it belongs to, where a file holds many."""
        return self.n // TURNS_PER_RUN


def turns(session: str) -> Iterator[Turn]:
    """Turns without end, always the same."""
    rnd = random.Random(1)
    words = ["".join(rnd.choices("abcdefghijklmnopqrstuvwxyz", k=rnd.randint(2, 9))) for _ in range(5000)]

    def text(length: int) -> str:
        return " ".join(rnd.choices(words, k=length // 6))

    at, n = START, 0
    while True:
        at += timedelta(seconds=rnd.randint(1, 10))
        prompt = text(300) if n % 30 == 0 else None
        result = text(rnd.choice([200, 2000, 6000]))
        yield Turn(session, n, at, prompt, text(300), text(400), {"command": text(200)}, result, rnd.randint(1, 900))
        n += 1


def claude_code(turn: Turn) -> Iterator[Any]:
    """Answers over several lines, results repeated in ``toolUseResult``."""
    common = {"isSidechain": False, "cwd": "/repo", "sessionId": turn.session, "version": "2.1.4"}

    def line(part: int, kind: str, message: dict[str, Any], **more: Any) -> dict[str, Any]:
        own = {"parentUuid": f"{turn.n:024x}{part - 1:08x}", "uuid": f"{turn.n:024x}{part:08x}"}
        return {**own, **common, "type": kind, "timestamp": turn.stamp(part / 8), "message": message, **more}

    if turn.prompt is not None:
        yield line(0, "user", {"role": "user", "content": turn.prompt})
    usage = {"input_tokens": 5, "output_tokens": turn.output_tokens, "cache_read_input_tokens": 90_000}
    answer = {"id": f"msg_{turn.n}", "role": "assistant", "model": "m", "stop_reason": None, "usage": usage}
    blocks = (
        {"type": "thinking", "thinking": turn.thought},
        {"type": "text", "text": turn.text},
        {"type": "tool_use", "id": f"call_{turn.n}", "name": "Bash", "input": turn.arguments},
    )
    for part, block in enumerate(blocks, 1):
        yield line(part, "assistant", {**answer, "content": [block]}, requestId=f"req_{turn.n}")
    result = {"type": "tool_result", "tool_use_id": f"call_{turn.n}", "content": turn.result}
    told = {"stdout": turn.result, "stderr": ""}
    yield line(4, "user", {"role": "user", "content": [result]}, toolUseResult=told)


def codex(turn: Turn) -> Iterator[Any]:
    """Items and the count of tokens behind each turn."""

    def line(kind: str, payload: dict[str, Any]) -> dict[str, Any]:
        return {"timestamp": turn.stamp(), "type": kind, "payload": payload}

    if turn.n == 0:
        yield line("session_meta", {"id": "5e551000-0000-4000-8000-000000000002", "cwd": "/repo", "cli_version": "1"})
        yield line("turn_context", {"model": "m", "cwd": "/repo"})
    if turn.prompt is not None:
        content = [{"type": "input_text", "text": turn.prompt}]
        yield line("response_item", {"type": "message", "role": "user", "content": content})
    yield line("response_item", {"type": "reasoning", "summary": [{"type": "summary_text", "text": turn.thought}]})
    content = [{"type": "output_text", "text": turn.text}]
    yield line("response_item", {"type": "message", "role": "assistant", "content": content})
    call = {"type": "function_call", "name": "shell", "call_id": f"c{turn.n}", "arguments": json.dumps(turn.arguments)}
    yield line("response_item", call)
    output = {"type": "function_call_output", "call_id": f"c{turn.n}", "output": turn.result}
    yield line("response_item", output)
    total = {"input_tokens": 100 * (turn.n + 1), "output_tokens": 50 * (turn.n + 1), "total_tokens": 150 * (turn.n + 1)}
    yield line("event_msg", {"type": "token_count", "info": {"total_token_usage": total}})


def pi(turn: Turn) -> Iterator[Any]:
    """Entries of a tree that never branches."""

    def entry(part: int, message: dict[str, Any]) -> dict[str, Any]:
        own = {"id": f"{turn.n}.{part}", "parentId": f"{turn.n}.{part - 1}" if part else f"{turn.n - 1}.2"}
        return {"type": "message", **own, "timestamp": turn.stamp(part), "message": message}

    if turn.n == 0:
        yield {"type": "session", "version": 3, "id": turn.session, "timestamp": turn.stamp(), "cwd": "/repo"}
    yield entry(0, {"role": "user", "content": turn.prompt or "Go on."})
    usage = {"input": 5, "output": turn.output_tokens, "cacheRead": 90_000, "cacheWrite": 0, "cost": {"total": 0.01}}
    blocks = [
        {"type": "thinking", "thinking": turn.thought},
        {"type": "text", "text": turn.text},
        {"type": "toolCall", "id": f"c{turn.n}", "name": "bash", "arguments": turn.arguments},
    ]
    answer = {"role": "assistant", "content": blocks, "model": "m", "usage": usage, "stopReason": "toolUse"}
    yield entry(1, answer)
    result = {"role": "toolResult", "toolCallId": f"c{turn.n}", "toolName": "bash", "content": turn.result}
    yield entry(2, {**result, "isError": False})


def otlp(turn: Turn) -> Iterator[Any]:
    """One request a line with the spans of a turn; forty turns are a trace."""

    def span(part: int, name: str, **attributes: Any) -> dict[str, Any]:
        parent = {} if part == 0 else {"parentSpanId": f"{turn.n * 4 + 1:016x}"}
        values = [
            {"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}
            for key, value in attributes.items()
        ]
        times = {"startTimeUnixNano": str(turn.ns(part / 4)), "endTimeUnixNano": str(turn.ns(part / 4 + 0.2))}
        own = {"traceId": f"{turn.run + 1:032x}", "spanId": f"{turn.n * 4 + part + 1:016x}", "name": name}
        return {**own, **parent, **times, "kind": 1, "attributes": values}

    said = json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": turn.text}]}])
    chat = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m",
        "gen_ai.output.messages": said,
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": turn.output_tokens,
    }
    tool = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "bash",
        "gen_ai.tool.call.arguments": json.dumps(turn.arguments),
        "gen_ai.tool.call.result": turn.result,
    }
    agent = span(0, "invoke_agent", **{"gen_ai.operation.name": "invoke_agent", "thought": turn.thought})
    spans = [agent, span(1, "chat", **chat), span(2, "execute_tool bash", **tool)]
    yield {"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"spans": spans}]}]}


def langsmith(turn: Turn) -> Iterator[Any]:
    """A row for the turn, its model call and its tool call; forty turns are a trace."""
    top = f"00000000-0000-4000-8000-{turn.run * TURNS_PER_RUN * 4:012d}"

    def row(part: int, kind: str, inputs: Any, outputs: Any, **more: Any) -> dict[str, Any]:
        own = f"00000000-0000-4000-8000-{turn.n * 4 + part:012d}"
        times = {"start_time": turn.stamp(part / 4), "end_time": turn.stamp(part / 4 + 0.2)}
        parent = None if own == top else top
        return {
            "id": own,
            "trace_id": top,
            "parent_run_id": parent,
            "name": kind,
            "run_type": kind,
            **times,
            "inputs": inputs,
            "outputs": outputs,
            "status": "success",
            **more,
        }

    yield row(0, "chain", {"input": turn.prompt or "Go on."}, {"output": turn.text})
    usage = {"input_tokens": 100, "output_tokens": turn.output_tokens, "total_tokens": 100 + turn.output_tokens}
    said = {"messages": [{"role": "assistant", "content": turn.text}], "usage_metadata": usage}
    yield row(1, "llm", {"messages": [{"role": "user", "content": turn.thought}]}, said)
    yield row(2, "tool", turn.arguments, {"output": turn.result})


def _messages(turn: Turn) -> list[dict[str, Any]]:
    call = {
        "id": f"c{turn.n}",
        "type": "function",
        "function": {"name": "bash", "arguments": json.dumps(turn.arguments)},
    }
    return [
        *([{"role": "user", "content": turn.prompt}] if turn.prompt else []),
        {"role": "assistant", "content": turn.text, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": f"c{turn.n}", "name": "bash", "content": turn.result},
    ]


def tau_bench(turn: Turn) -> Iterator[Any]:
    """Each turn is a run of its own in one list."""
    policy = {"role": "system", "content": "# Airline Agent Policy"}
    info = {"task": {"user_id": "u", "instruction": turn.thought}}
    yield {"task_id": turn.n, "trial": 0, "reward": 1.0, "info": info, "traj": [policy, *_messages(turn)]}


#: format → what a turn makes, what stands around all of it, and what between
LINES: dict[str, Callable[[Turn], Iterator[Any]]] = {
    "claude-code": claude_code,
    "codex": codex,
    "pi": pi,
    "otlp": otlp,
    "langsmith": langsmith,
}
LISTS: dict[str, Callable[[Turn], Iterator[Any]]] = {"tau-bench": tau_bench}
FORMATS = (*LINES, *LISTS)


def write(format: str, path: Path, size: int, *, session: str = "s") -> None:
    """Write a file of about ``size`` bytes."""
    is_list = format in LISTS
    make = LISTS[format] if is_list else LINES[format]
    written = 0
    with path.open("w") as out:
        out.write("[" if is_list else "")
        for turn in turns(session):
            for value in make(turn):
                out.write(", " if is_list and written else "")
                written += out.write(json.dumps(value, separators=(",", ":")) + ("" if is_list else "\n"))
            if written >= size:
                break
        out.write("]" if is_list else "")
