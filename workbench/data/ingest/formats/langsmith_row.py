"""One LangSmith row as a step: its kind, texts, tool, tokens and cost."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from workbench.data.ingest.normal import EventType, Step, Usage
from workbench.data.ingest.reading.chat import count, known, mapping, number, text_or_none
from workbench.data.ingest.reading.conversation import decoded
from workbench.data.ingest.reading.nested import add_call, add_tool, misfits, priced
from workbench.data.ingest.reading.openai_usage import kept_an_hour
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.reading.times import elapsed_ms, when

_EVENT_TYPES: dict[str, EventType] = {"llm": "llm_call", "embedding": "llm_call", "tool": "tool_call"}
_PLACED = {
    "id", "run_id", "name", "run_type", "trace_id", "parent_run_id", "start_time", "end_time", "inputs", "outputs",
    "error",
}  # fmt: skip
# "ValueError('no such order')Traceback …": the class, and where its words end.
_CLASS = re.compile(r"(?:\w+\.)*(\w+)(?=[(:])")


def is_row(row: Mapping[str, Any]) -> bool:
    """Whether an object is a run of LangSmith."""
    return isinstance(row.get("run_type"), str) and isinstance(row.get("id", row.get("run_id")), str)


def step_of(row: Mapping[str, Any], source: Source) -> Step:
    """The step of a row; what has no place is in ``extra``."""
    kind, about = str(row["run_type"]), mapping(row.get("extra"))
    metadata, parameters = mapping(about.get("metadata")), mapping(about.get("invocation_params"))
    start, end = when(row.get("start_time"), source), when(row.get("end_time"), source)
    error = row.get("error")
    step = Step(
        _EVENT_TYPES.get(kind, "span"),
        source_id=str(row.get("id", row.get("run_id"))),
        name=text_or_none(row.get("name")),
        category=kind,
        severity="error" if error or row.get("status") == "error" else "info",
        timestamp=start,
        duration_ms=elapsed_ms(start, end),
        trace_id=text_or_none(row.get("trace_id")),
        parent_span_id=_parent(row),
        model=next(
            (m for place in (metadata.get("ls_model_name"), parameters.get("model"), parameters.get("model_name"))
             if (m := text_or_none(place))), None,
        ),
    )  # fmt: skip
    step.span_id = step.source_id
    if step.severity == "error":
        step.error = _error(error)
    extra = {key: value for key, value in row.items() if key not in _PLACED and value is not None}
    extra |= misfits(row, "name", "trace_id", "parent_run_id", "error")
    for name, moment in (("start_time", start), ("end_time", end)):
        # An end that gives no duration, for it lies before the start or there is no start, is kept as it is.
        is_told = moment is not None and (name == "start_time" or step.duration_ms is not None)
        if not is_told and row.get(name) is not None:
            extra[name] = row[name]
    given, answered = decoded(row.get("inputs")), decoded(row.get("outputs"))
    if step.event_type == "tool_call":
        result = _only(answered, "output")
        call_id = mapping(mapping(result).get("kwargs") or result).get("tool_call_id")
        add_tool(step, text_or_none(call_id), decoded(_only(given, "input")), result)
    elif step.event_type == "llm_call":
        add_call(step, given, answered, row.get("outputs"), extra)
    else:
        extra |= known(input=given, output=answered)
    step.usage = _usage(row, answered)
    step.cost_usd = _cost(row, step.usage, source)
    step.extra = extra or None
    return step


def _parent(row: Mapping[str, Any]) -> str | None:
    """The parent as the row names it, else the last but one in its dotted order."""
    named = text_or_none(row.get("parent_run_id"))
    path = str(row.get("dotted_order") or "").split(".")
    return named or (path[-2][-36:] if len(path) > 1 and len(path[-2]) > 36 else None)


def _only(value: Any, key: str) -> Any:
    """What LangChain wraps into an object of one key."""
    return value[key] if isinstance(value, dict) and set(value) == {key} else value


def _error(error: Any) -> dict[str, Any]:
    text = text_or_none(error) or ""
    found = _CLASS.match(text)
    message, mark, stack = text.partition("Traceback (most recent call last)")
    return known(
        type=found[1] if found else "Error",
        message=message.strip() or text or None,
        stack=mark + stack if mark else None,
    )


def _usage(row: Mapping[str, Any], answered: Any) -> Usage | None:
    """Tokens in disjoint classes; a row of which nothing was counted has zeros. Details are parts of the counts."""
    given, made = count(row.get("prompt_tokens")), count(row.get("completion_tokens"))
    sent, said = row.get("prompt_token_details"), row.get("completion_token_details")
    if not given and not made:
        own = mapping(mapping(answered).get("usage_metadata"))
        given, made = count(own.get("input_tokens")), count(own.get("output_tokens"))
        sent, said = own.get("input_token_details"), own.get("output_token_details")
    if not given and not made:
        return None
    read, written = count(mapping(sent).get("cache_read")), count(mapping(sent).get("cache_creation"))
    # Where LangChain tells the lifetimes, it sets the whole to 0.
    written = written or _sum(
        [written, *(count(mapping(sent).get(f"ephemeral_{t}_input_tokens")) for t in ("5m", "1h"))]
    )
    cached = (read or 0) + (written or 0)
    return Usage(
        input_tokens=given - cached if given is not None and cached <= given else given,
        cache_read_tokens=read,
        cache_write_tokens=written,
        output_tokens=made,
        reasoning_tokens=count(mapping(said).get("reasoning")),
        cache_write_1h_tokens=kept_an_hour(sent),
    )


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [n for n in counts if n is not None]
    return sum(known) if known else None


def _cost(row: Mapping[str, Any], usage: Usage | None, source: Source) -> float | None:
    """The recorded total, a number or its text."""
    value = row.get("total_cost")
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = None
    cost = number(value)
    return priced(cost, usage, source)
