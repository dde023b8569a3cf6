"""One step of an ATIF trajectory: its message, its tool calls with their results, its metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from workbench.data.ingest.normal import Step
from workbench.data.ingest.reading.chat import arguments, count, elements, known, mapping, number, rest, text_or_none
from workbench.data.ingest.reading.identity import digest
from workbench.data.ingest.reading.openai_usage import disjoint, price
from workbench.data.ingest.reading.parse import parse
from workbench.data.ingest.reading.parts import plain_text
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.reading.times import when

_ROLES = {"system": "system", "user": "user", "agent": "assistant"}
_COUNTED = ("prompt_tokens", "completion_tokens", "cached_tokens", "cost_usd")
_WRITTEN = ("cache_creation_input_tokens", "cache_write_input_tokens")  # part of the prompt
_REASONING = ("reasoning_output_tokens", "reasoning_tokens")
_COPIED = "of a step copied from an earlier trajectory: counted there, the source's own numbers kept in data.extra"
_UNNAMED = "names no call in the source: taken as the answer of the step's last open call"


def read_step(record: Mapping[str, Any], number: int, model: str | None, source: Source) -> Step:
    """The step of a number, from 1, with what of it has no place in ``extra``; ``model`` is that of the agent."""
    author, message = record.get("source"), record.get("message")
    role = _ROLES.get(author) if isinstance(author, str) else None
    step = Step(
        "message" if role else "log",
        source_id=own_id(record),
        name=role or text_or_none(author),
        agent="user" if role == "user" else None,
        category=role,
        role=role,  # pyright: ignore[reportArgumentType]
        text=plain_text(message),
        timestamp=when(record.get("timestamp"), source),
    )
    placed = [*(["source"] if role else []), *(["message"] if isinstance(message, str) else [])]
    placed += ["step_id"] if record.get("step_id") == number else []
    extra = rest(record, *placed) or {}
    if step.timestamp is not None:
        extra.pop("timestamp", None)
    _reason(step, extra)
    _act(step, record, extra, source)
    _count(step, record, extra, model, source)
    step.extra = extra or None
    return step


def own_id(record: Mapping[str, Any]) -> str:
    """The step's own number and what was said: trajectories that share a session id may both have a step 1."""
    said = [record.get(key) for key in ("source", "message", "reasoning_content", "tool_calls")]
    number = record.get("step_id")
    return digest(said) if number is None else f"{number}/{digest(said)}"


def _reason(step: Step, extra: dict[str, Any]) -> None:
    thought = extra.get("reasoning_content")
    if step.role == "assistant" and step.text is None and isinstance(thought, str) and thought:
        step.event_type, step.text = "reasoning", thought
        del extra["reasoning_content"]


def _act(step: Step, record: Mapping[str, Any], extra: dict[str, Any], source: Source) -> None:
    """Set the calls of the step, each with its result where there is one."""
    listed = elements(record.get("tool_calls"))
    calls = [_call(call) for call in listed if isinstance(call, dict)]
    if len(calls) == len(listed):
        extra.pop("tool_calls", None)
    results = elements(mapping(record.get("observation")).get("results"))
    if not calls and len(results) == 1 and _ours(record).get("event_type") == "tool_result":
        _result(step, mapping(results[0]))
    left = _answer(calls, results, source)
    for call in calls:
        if "call_id" in _ours(call):  # the id that a call without one was given
            call["call_id"] = _ours(call)["call_id"]
    _observed(mapping(record.get("observation")), left, extra)
    if calls:
        if step.event_type == "reasoning":
            extra["reasoning_content"], step.text = step.text, None
        step.event_type = "tool_call"
        step.tool, *more = calls
        step.name, step.tool_calls = step.tool["name"], more or None


def _result(step: Step, result: Mapping[str, Any]) -> None:
    """Make a step the answer to a call that is not in the trajectory, as it was when Workbench wrote it."""
    call = mapping(_ours(result).get("call"))
    step.event_type, step.role, step.category, step.name = "tool_result", "tool", "tool", text_or_none(call.get("name"))
    step.tool = known(name=step.name, call_id=call.get("call_id"), result=_content(result))
    step.agent = None


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    given = arguments(call.get("arguments"))
    how = _ours(call).get("arguments")
    if how in ("input", "none") and isinstance(given, dict):
        given = given.get("input") if how == "input" else None  # they were no object when Workbench wrote them
    return {
        **(rest(call, "function_name", "tool_call_id", "arguments") or {}),
        "name": call.get("function_name"),
        "call_id": call.get("tool_call_id"),
        "arguments": given,
    }


def _ours(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """What Workbench said beside a call or a result that it wrote."""
    return mapping(mapping(record.get("extra")).get("workbench"))


def _content(result: Mapping[str, Any]) -> Any:
    """What a call gave: the value itself where it was no text when Workbench wrote it as one."""
    content = result.get("content")
    if _ours(result).get("content") != "json" or not isinstance(content, str):
        return content
    try:
        parsed = parse(content.encode("utf-8", "surrogatepass"))
    except ValueError:
        return content
    return content if parsed.changed else parsed.value


def _answer(calls: list[dict[str, Any]], results: list[Any], source: Source) -> list[Any]:
    """Give each call its result; what of the results is not told by that."""
    by_id = {call["call_id"]: call for call in calls if isinstance(call["call_id"], str)}
    left: list[Any] = []
    unnamed: list[Any] = []
    for result in results:
        call_id = result.get("source_call_id") if isinstance(result, dict) else None
        call = by_id.get(call_id) if isinstance(call_id, str) else None
        if call is not None and "result" not in call:
            call["result"] = _content(result)
            if more := rest(result, "content", "source_call_id"):
                left.append({"source_call_id": call_id, **more})
        elif isinstance(result, dict) and call_id is None:
            unnamed.append(result)
        else:
            left.append(result)
    # A terminal answers several commands with one screen: that is what there was after the last of them.
    still_open = [call for call in calls if "result" not in call]
    if len(unnamed) <= len(still_open):
        for call, result in zip(still_open[len(still_open) - len(unnamed) :], unnamed, strict=True):
            call["result"], call["source_call_id"] = _content(result), None
            source.kept("result", _UNNAMED)
            if more := rest(result, "content"):
                left.append(more)
        return left
    return unnamed + left


def _observed(observation: Mapping[str, Any], left: list[Any], extra: dict[str, Any]) -> None:
    if not observation:
        return  # absent, or no object: then it stays as it is
    more = rest(observation, *(["results"] if isinstance(observation.get("results"), list) else [])) or {}
    if left:
        more["results"] = left
    extra.pop("observation", None)
    if more:
        extra["observation"] = more


def _details(
    metrics: Mapping[str, Any], prompt: int | None, read: int | None
) -> tuple[int | None, int | None, int | None]:
    """Tokens written to a cache, of reasoning, and kept for an hour: the format leaves them to ``metrics.extra``.

    The names are those of the format's own agents; as parts they are only taken where they fit into the whole.
    """
    extra = mapping(metrics.get("extra"))
    written = next((n for name in _WRITTEN if (n := count(extra.get(name))) is not None), None)
    if written is not None and (prompt is None or written + (read or 0) > prompt):
        written = None
    reasoning = next((n for name in _REASONING if (n := count(extra.get(name))) is not None), None)
    long = count(mapping(extra.get("cache_creation")).get("ephemeral_1h_input_tokens"))
    return written, reasoning, long if written is not None and (long or 0) <= written else None


def _count(step: Step, record: Mapping[str, Any], extra: dict[str, Any], model: str | None, source: Source) -> None:
    """Set model, tokens and cost, once: a copied step was counted where it was copied from."""
    metrics = mapping(record.get("metrics"))
    if step.role == "assistant":
        step.model = text_or_none(record.get("model_name")) or (model if metrics else None)
        if step.model == record.get("model_name"):
            extra.pop("model_name", None)
    if not metrics:
        return
    if record.get("is_copied_context") is True:
        source.changed("tokens", _COPIED)
        return
    prompt, read = count(metrics.get("prompt_tokens")), count(metrics.get("cached_tokens"))
    written, reasoning, long = _details(metrics, prompt, read)
    step.usage = disjoint(
        prompt=prompt,
        read=read,
        written=written,
        output=count(metrics.get("completion_tokens")),
        reasoning=reasoning,
        source=source,
    )
    if long is not None and step.usage is not None:
        step.usage = replace(step.usage, cache_write_1h_tokens=long)
    step.cost_usd = price(number(metrics.get("cost_usd")), step.usage, source)
    placed = [key for key in _COUNTED if key != "cost_usd" and count(metrics.get(key)) is not None]
    if prompt is not None and prompt < (read or 0):
        placed.remove("prompt_tokens")  # what is stored cannot tell how many there were
    placed += ["cost_usd"] if step.cost_usd is not None else []
    extra.pop("metrics", None)
    if more := rest(metrics, *placed):
        extra["metrics"] = more
