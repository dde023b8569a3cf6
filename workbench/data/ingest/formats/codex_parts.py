"""What the parts of a Codex session make together of which several files hold some."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container

from workbench.data.ingest.formats import codex_tokens
from workbench.data.ingest.formats.codex_outcome import ENDS, STARTS
from workbench.data.ingest.normal import Run, Step
from workbench.data.ingest.reading.chat import mapping, text_or_none
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.reading.together import is_copied, pair, sum_up


def settle(run: Run) -> None:
    """Count the running total once over all parts, pair and nest as the lines of one file."""
    steps = list(run.steps)
    _count(steps)
    pair(steps)
    typed = {step.text for step in steps if step.category == "event_msg" and _type(step) == "user_message"}
    prompts = [step for step in steps if _is_prompt(step, typed)]
    _nest(steps, {id(step) for step in prompts})
    sum_up(
        run,
        n_prompts=sum(not is_copied(step) for step in prompts),
        n_tool_calls=sum(step.event_type == "tool_call" and not is_copied(step) for step in steps),
        models=Counter(step.model for step in steps if step.usage is not None and step.model),
    )


def _count(steps: list[Step]) -> None:
    """A part begins with a total that counts earlier calls too; where those are there, its growth is what was used."""
    counter, model = codex_tokens.Counter(Source.from_bytes(b"")), None
    for step in steps:
        extra = step.extra or {}
        settings = extra if step.category == "turn_context" else mapping(extra.get("thread_settings"))
        model = text_or_none(settings.get("model")) or model
        if step.category == "event_msg" and step.name == "token_count":
            step.usage = counter.take(extra, is_copied=is_copied(step))
            step.event_type = "log" if step.usage is None else "llm_call"
            step.model = step.model if step.usage is None else model or step.model
        elif step.role == "assistant":
            step.model = step.model or model


def _is_prompt(step: Step, typed: set[str | None]) -> bool:
    is_said = step.event_type == "message" and step.role == "user" and bool(step.text) and step.severity != "debug"
    return is_said and (not typed or step.text in typed)


def _nest(steps: list[Step], prompts: set[int]) -> None:
    turns = {step.span_id for step in steps if id(step) in prompts or _is_event(step, STARTS)}
    turn, is_of_prompt = None, True
    for step in steps:
        if _is_event(step, STARTS):
            turn, is_of_prompt = step.span_id, False
        elif id(step) in prompts and (turn is None or is_of_prompt):
            turn, is_of_prompt = step.span_id, True
        elif step.parent_span_id is None or step.parent_span_id in turns:
            step.parent_span_id = turn
        if _is_event(step, ENDS):
            turn, is_of_prompt = None, True


def _is_event(step: Step, types: Container[str | None]) -> bool:
    return step.category == "event_msg" and _type(step) in types


def _type(step: Step) -> str | None:
    """The type of a line's payload."""
    return text_or_none((step.extra or {}).get("type")) or step.name
