"""The steps of a session of which several files held parts, finished as if one file had held them all.

A reader of sessions says by ``settle(run)`` what the parts make together: ``run`` has the steps of all of them, in the
order of time, each as the file it was first read from told it. A part does not see the prompt, the call or the answer
that stands in another one, and counts only what it holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from workbench.data.ingest.normal import Run, Step, total
from workbench.data.ingest.reading.chat import known
from workbench.data.ingest.reading.times import elapsed_ms


def is_copied(step: Step) -> bool:
    """Whether a step is the copy of another session's: it counts there."""
    return "is_copied" in (step.extra or {})


def pair(steps: list[Step]) -> None:
    """Put results under their calls, and give them the name of the tool; a call lasts until its last result."""
    calls = {
        call["call_id"]: (step, call) for step in steps if step.event_type != "tool_result" for call in _calls(step)
    }
    lasted: dict[int, tuple[Step, float]] = {}
    for step in steps:
        for result in _calls(step) if step.event_type == "tool_result" else ():
            asked, call = calls.get(result["call_id"], (None, None))
            if asked is None or call is None:
                continue
            step.parent_span_id = asked.span_id or step.parent_span_id
            if result.get("name") is None and call.get("name") is not None:
                _name(step, result["call_id"], call["name"])
            took = elapsed_ms(asked.timestamp, step.timestamp)
            if asked.duration_ms is None and took is not None and not _has_answer(call):
                lasted[id(asked)] = asked, max(took, lasted.get(id(asked), (asked, took))[1])
    for asked, took in lasted.values():
        asked.duration_ms = took


def nest(steps: list[Step], is_prompt: Callable[[Step], bool]) -> None:
    """Put what stands under nothing, or under a prompt, under the prompt before it: a later part may bring that."""
    prompts = {step.span_id for step in steps if is_prompt(step)}
    turn = None
    for step in steps:
        if is_prompt(step):
            turn = step.span_id
        elif step.parent_span_id is None or step.parent_span_id in prompts:
            step.parent_span_id = turn


def sum_up(run: Run, n_prompts: int, n_tool_calls: int, models: Counter[str]) -> None:
    """Set what is counted of the steps: tokens, cost, the model, and the counts of the metadata."""
    used = [step for step in run.steps if step.usage is not None]
    costs = [step.cost_usd for step in run.steps if step.cost_usd is not None]
    run.usage = total(step.usage for step in used)
    run.cost_usd = sum(costs) if costs and all(step.cost_usd is not None for step in used) else None
    run.model = models.most_common(1)[0][0] if models else None
    run.metadata |= {"n_prompts": n_prompts, "n_tool_calls": n_tool_calls}
    run.metadata |= known(models=dict(models) if len(models) > 1 else None)


def _calls(step: Step) -> Iterator[Mapping[str, Any]]:
    for call in (step.tool, *(step.tool_calls or ())):
        if isinstance(call, Mapping) and isinstance(call.get("call_id"), str):
            yield call


def _name(step: Step, call_id: str, name: str) -> None:
    def named(call: Any) -> Any:
        return {**call, "name": name} if isinstance(call, Mapping) and call.get("call_id") == call_id else call

    step.tool = named(step.tool)
    step.tool_calls = step.tool_calls and [named(call) for call in step.tool_calls]
    step.name = step.name or name


def _has_answer(call: Mapping[str, Any]) -> bool:
    return "result" in call or "is_error" in call
