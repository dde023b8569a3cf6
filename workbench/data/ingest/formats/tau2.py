"""tau2-bench results: one object ``{timestamp, info, tasks, simulations}``; one simulation is one run.

Three readings need care. Times carry no zone and are taken as UTC. A model call recorded at 0.0 USD was not free: the
recorder knew no price, so the cost is null. Tokens and cost of the run are those of the agent; the simulated user's
stay beside each of its messages (``data.extra``) and summed in the metadata.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from workbench.data.ingest.normal import BadLine, Run, Step, TaskRef, Usage, total
from workbench.data.ingest.reading.chat import (
    arguments,
    count,
    elements,
    known,
    last_answer,
    mapping,
    message_step,
    number,
    rest,
    result_step,
    text_or_none,
    title,
)
from workbench.data.ingest.reading.source import Head, Source
from workbench.data.ingest.reading.times import elapsed_ms, milliseconds, when

FORMAT = "tau2"
TITLE = "tau2-bench results (.json)"

_ENDED_WELL = {"user_stop", "agent_stop"}
_UNPRICED = "recorded as 0.0 although tokens were used: the recorder knew no price, stored as null"
_CACHE = "prompt_tokens stored as input_tokens: the source does not say how many were read from a cache"


def detect(head: Head) -> float:
    """How surely the file is one of these."""
    if not head.data.lstrip().startswith(b"{"):
        return 0.0
    if {"info.environment_info", "info.agent_info"} <= head.keys:
        return 0.95
    return 0.9 if {"simulations", "tasks"} <= head.keys else 0.0


def read(source: Source) -> Iterator[Run | BadLine]:
    """One run per simulation; a simulation that is none is reported with its index."""
    source.is_strict = True
    results = source.document().value
    simulations = results.get("simulations") if isinstance(results, dict) else None
    if not isinstance(simulations, list):
        yield BadLine(None, "expected an object with a list simulations")
        return
    info = mapping(results.get("info"))
    tasks = {str(task.get("id")): task for task in elements(results.get("tasks")) if isinstance(task, dict)}
    for index, simulation in enumerate(simulations):
        if not isinstance(simulation, dict) or not isinstance(simulation.get("messages"), list):
            yield BadLine(None, f"simulation {index}: expected an object with a list messages")
            continue
        yield _run(simulation, info, tasks, source)


def _run(simulation: dict[str, Any], info: Mapping[str, Any], tasks: dict[str, Any], source: Source) -> Run:
    environment, agent = mapping(info.get("environment_info")), mapping(info.get("agent_info"))
    domain, key, trial = environment.get("domain_name"), str(simulation.get("task_id")), simulation.get("trial")
    model = text_or_none(agent.get("llm"))
    messages = [m if isinstance(m, dict) else {"content": m} for m in simulation["messages"]]
    steps = _steps(messages, model, source)
    cost = _cost(simulation, messages, source)
    task = tasks.get(key)
    run = Run(
        source_id=str(simulation.get("id") or f"{domain}/{key}/{trial}/{simulation.get('seed')}"),
        agent_type=f"{FORMAT}/{domain}" if domain else FORMAT,
        name=f"task {key} · trial {trial}",
        model=model,
        started_at=when(simulation.get("start_time"), source),
        completed_at=when(simulation.get("end_time"), source),
        execution_time_ms=milliseconds(number(simulation.get("duration"))),
        input={"instructions": _instructions(task), "policy": environment.get("policy")},
        output=last_answer(steps),
        usage=total(step.usage for step in steps),
        cost_usd=cost,
        reported_cost_usd=cost,
        task=_task(key, domain, task),
        metadata=_metadata(simulation, info, messages),
        steps=steps,
    )
    _judge(run, simulation)
    return run


def _steps(messages: list[dict[str, Any]], model: str | None, source: Source) -> list[Step]:
    times = [when(message.get("timestamp"), source) for message in messages]
    answered: dict[Any, tuple[datetime | None, Mapping[str, Any]]] = {
        _id(message): (at, message)
        for message, at in zip(messages, times, strict=True)
        if message.get("role") == "tool"
    }
    names: dict[Any, Any] = {}
    steps = []
    for message, at in zip(messages, times, strict=True):
        step = _result(message, names) if message.get("role") == "tool" else _message(message, model, source)
        step.timestamp = at
        if step.tool and step.event_type == "tool_call":
            calls = [step.tool, *(step.tool_calls or [])]
            ids = [_id({"id": call["call_id"]}) for call in calls]
            names |= {own: call["name"] for own, call in zip(ids, calls, strict=True)}
            ends = [answered[own][0] for own in ids if own in answered]
            step.duration_ms = max((ms for end in ends if (ms := elapsed_ms(at, end)) is not None), default=None)
        if at is None and message.get("timestamp") is not None:
            step.extra = {**(step.extra or {}), "timestamp": message["timestamp"]}
        steps.append(step)
    return steps


def _id(record: Mapping[str, Any]) -> str | None:
    """The id of a call, or of the message that answers it: a text, whatever the file makes of it."""
    own = record.get("id")
    return own if own is None or isinstance(own, str) else repr(own)


def _message(record: Mapping[str, Any], model: str | None, source: Source) -> Step:
    is_agent = record.get("role") == "assistant"
    used = ("timestamp", "turn_idx", *(("usage", "cost") if is_agent else ()))
    step = message_step(record, [_call(mapping(call)) for call in elements(record.get("tool_calls"))], *used)
    if is_agent:
        step.usage = _usage(record, source)
        step.model = model if step.usage else None
        step.cost_usd = _price(record)
    return step


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": call.get("name"), "call_id": call.get("id"), "arguments": arguments(call.get("arguments"))}


def _result(record: Mapping[str, Any], names: Mapping[Any, Any]) -> Step:
    call_id, content = record.get("id"), record.get("content")
    extra = rest(record, "id", "role", "content", "error", "timestamp", "turn_idx")
    step = result_step(names.get(_id(record)), call_id, content, extra, is_error=record.get("error"))
    if record.get("requestor") == "user":  # in the telecom domain the simulated user has tools of its own
        step.agent = "user"
    return step


def _usage(message: Mapping[str, Any], source: Source) -> Usage | None:
    usage = mapping(message.get("usage"))
    found = Usage(
        input_tokens=count(usage.get("prompt_tokens")),
        output_tokens=count(usage.get("completion_tokens")),
    )
    if found == Usage():
        return None
    source.changed("tokens", _CACHE)
    return found


def _price(message: Mapping[str, Any]) -> float | None:
    """The cost of a message: 0.0 means "no price known" for a model call, and nothing for a canned greeting."""
    return number(message.get("cost")) or None


def _cost(simulation: Mapping[str, Any], messages: list[dict[str, Any]], source: Source) -> float | None:
    """The agent's cost, or null where any of its model calls has no price."""
    recorded = number(simulation.get("agent_cost"))
    billed = [m for m in messages if m.get("role") == "assistant" and mapping(m.get("usage"))]
    unpriced = [m for m in billed if not number(m.get("cost"))]
    if recorded is None:
        return None
    if unpriced or (recorded == 0 and not billed):
        source.changed("cost", _UNPRICED, max(len(unpriced), 1))
        return None
    return recorded


def _judge(run: Run, simulation: Mapping[str, Any]) -> None:
    """Set score and status: failed when the episode broke off or the reward is 0."""
    reward = mapping(simulation.get("reward_info"))
    reason = simulation.get("termination_reason")
    run.score = number(reward.get("reward"))
    if reason is not None and not (isinstance(reason, str) and reason in _ENDED_WELL):
        run.status, run.error_type, run.error = "failed", str(reason), f"The episode ended with {reason}."
    elif run.score == 0:
        missed = [name for name, value in mapping(reward.get("reward_breakdown")).items() if value == 0]
        run.status = "failed"
        run.error_type = f"reward_zero: {', '.join(missed)}" if missed else "reward_zero"
        run.error = f"Reward 0: not fulfilled: {', '.join(missed)}." if missed else "Reward 0."


def _instructions(task: Any) -> Any:
    return mapping(mapping(task).get("user_scenario")).get("instructions")


def _task(key: str, domain: Any, task: Any) -> TaskRef:
    name = f"{domain}/{key}" if domain else key
    instructions = _instructions(task)
    asked = mapping(instructions).get("reason_for_call") or instructions
    asked = asked if isinstance(asked, str) else None
    return TaskRef(
        source_id=name,
        title=f"{FORMAT} {name}" + (f": {title(asked)}" if asked else ""),
        description=asked,
        metadata=rest(mapping(task)) or {},
    )


def _metadata(simulation: Mapping[str, Any], info: Mapping[str, Any], messages: list[dict[str, Any]]) -> dict[str, Any]:
    user = [mapping(m.get("usage")) for m in messages if m.get("role") == "user"]
    environment = rest(mapping(info.get("environment_info")), "policy")
    return known(
        task_id=simulation.get("task_id"),
        trial=simulation.get("trial"),
        seed=simulation.get("seed"),
        ended_by=simulation.get("termination_reason"),
        user_cost_usd=simulation.get("user_cost"),
        user_input_tokens=_sum(usage.get("prompt_tokens") for usage in user),
        user_output_tokens=_sum(usage.get("completion_tokens") for usage in user),
        reward_info=simulation.get("reward_info"),
        info={**(rest(info, "environment_info") or {}), "environment_info": environment},
        record=rest(simulation, *_PLACED),
    )


def _sum(values: Iterator[Any]) -> int | None:
    known = [value for value in map(count, values) if value is not None]
    return sum(known) if known else None


_PLACED = (
    "id",
    "task_id",
    "trial",
    "seed",
    "start_time",
    "end_time",
    "duration",
    "termination_reason",
    "agent_cost",
    "user_cost",
    "reward_info",
    "messages",
)
