"""A SWE-agent ``.traj``: ``{trajectory, history, info, environment, replay_config}``.

An entry of ``trajectory`` is one step: what was thought, the action, what came back. ``history`` tells the same once
more, as messages: those that belong to a step are kept with it (they hold the tool calls), those before the first step
in the run's metadata.

The state beside each entry is the recorded one, and it has two meanings: written as an object (SWE-agent 1.0 on) it is
the state *after* the action, written as JSON text (before that) the state *before* it. The latter is stored as the
state after the step before; that of the first entry is ``initial_state`` in the metadata, and the state after the last
step is not known.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import Any

from workbench.data.ingest.formats.swe_agent_messages import command_call, function_call
from workbench.data.ingest.formats.swe_agent_outcome import finish, instance_of, task
from workbench.data.ingest.normal import BadLine, Run, State, Step
from workbench.data.ingest.reading.chat import arguments, elements, known, mapping, number, rest, text_or_none, title
from workbench.data.ingest.reading.identity import digest
from workbench.data.ingest.reading.parts import plain_text
from workbench.data.ingest.reading.source import Source, kind_of
from workbench.data.ingest.reading.times import milliseconds

_RUN_ID = "not in the file: made from what was asked and from the first step"
_BEFORE = "written before the action (JSON text): stored as the state after the step before"
_NO_STATE = "no JSON object: kept in data.extra"
_REPEATED = ("query", "messages")  # what was sent so far, which a step that is written again may tell otherwise


def trajectory_run(document: Mapping[str, Any], source: Source) -> Iterator[Run | BadLine]:
    """The run of a file, after the entries that are none."""
    entries: list[Mapping[str, Any]] = []
    for index, entry in enumerate(document["trajectory"]):
        if isinstance(entry, dict):
            entries.append(entry)
        else:
            yield BadLine(None, f"trajectory {index}: expected an object, found {kind_of(entry)}")
    before, told = _aligned(entries, elements(document.get("history")))
    steps = [_step(entry, said, after) for entry, (said, after) in zip(entries, told, strict=True)]
    config = arguments(document.get("replay_config"))
    statement = mapping(mapping(config).get("problem_statement"))
    instance = instance_of(statement.get("id"), source)
    prompts = [m for m in map(mapping, before) if m.get("role") == "user" and m.get("is_demo") is not True]
    asked = plain_text(prompts[-1].get("content")) if prompts else None
    source.kept("run id", _RUN_ID)
    asked_with = list(takewhile(lambda message: not _is_answer(message), elements(document.get("history"))))
    run = Run(
        source_id=digest([document.get("environment"), config, asked_with, *map(_lasting, entries[:1])]),
        agent_type="swe-agent",
        name=instance or title(asked) or None,
        model=text_or_none(mapping(mapping(mapping(config).get("agent")).get("model")).get("name")),
        input={"prompt": asked} if asked else None,
        task=task(instance, statement.get("text")),
        metadata={
            **(rest(document, "trajectory", "history", "info", "replay_config") or {}),
            **known(replay_config=config, info=_info(document), history=before or None),
        },
        steps=steps,
    )
    _states(run, entries, source)
    finish(run, document.get("info"), source)
    yield run


def _info(document: Mapping[str, Any]) -> Any:
    info = document.get("info")
    return (
        rest(info, "submission" if isinstance(info.get("submission"), str) else "") if isinstance(info, dict) else info
    )


def _lasting(entry: Mapping[str, Any]) -> Any:
    return {key: value for key, value in entry.items() if key not in _REPEATED}


# -- the messages of each step -----------------------------------------------------------------------------------------


def _aligned(
    entries: list[Mapping[str, Any]], history: list[Any]
) -> tuple[list[Any], list[tuple[Mapping[str, Any], list[Any]]]]:
    """The messages before the first step, and for each step the model's own and those that follow it.

    An entry may have no message (one that was asked again, the last one), and a message no entry.
    """
    places: dict[str, list[int]] = {}
    for index, message in enumerate(history):
        if _is_answer(message):
            text = plain_text(message.get("content"))
            places.setdefault(text or "", []).append(index)
    found: list[int | None] = []
    position = 0
    for entry in entries:
        response = entry.get("response")
        candidates = places.get(response if isinstance(response, str) else "", [])
        next_one = bisect_left(candidates, position)
        found.append(candidates[next_one] if next_one < len(candidates) else None)
        position = position if found[-1] is None else found[-1] + 1
    starts = [index for index in found if index is not None]
    ends = dict(zip(starts, [*starts[1:], len(history)], strict=False))
    told: list[tuple[Mapping[str, Any], list[Any]]] = [
        ({}, []) if index is None else (history[index], history[index + 1 : ends[index]]) for index in found
    ]
    return history[: starts[0]] if starts else history, told


def _is_answer(message: Any) -> bool:
    return isinstance(message, dict) and message.get("role") == "assistant" and message.get("is_demo") is not True


def _step(entry: Mapping[str, Any], said: Mapping[str, Any], after: list[Any]) -> Step:
    response, thought, action = (text_or_none(entry.get(key)) for key in ("response", "thought", "action"))
    step = Step(
        "message",
        source_id=digest(_lasting(entry)),
        name="assistant",
        category="assistant",
        role="assistant",
        text=thought or response,
        duration_ms=milliseconds(number(entry.get("execution_time"))),
    )
    placed = {key for key in ("response", "thought") if entry.get(key) in (step.text, "")}
    placed |= {"execution_time"} if step.duration_ms is not None else set()
    calls = [function_call(call) for call in elements(said.get("tool_calls")) if isinstance(call, dict)]
    if not calls and action and action.strip():
        calls = [command_call(action)]
        placed.add("action")
    if calls:
        step.event_type = "tool_call"
        step.tool, *more = calls
        step.name, step.tool_calls = step.tool["name"], more or None
        if entry.get("observation") is not None:
            step.tool = {**step.tool, "result": entry["observation"]}
            placed.add("observation")
    step.extra = {**(rest(entry, *placed) or {}), **_messages(entry, said, after)} or None
    return step


def _messages(entry: Mapping[str, Any], said: Mapping[str, Any], after: list[Any]) -> dict[str, Any]:
    """What the messages of a step say beyond its entry, and those that came back as they were."""
    same = [key for key in ("thought", "action") if key in said and said[key] == entry.get(key)]
    same += ["content"] if said.get("content") == entry.get("response") else []
    calls = said.get("tool_calls")
    same += ["tool_calls"] if isinstance(calls, list) and all(isinstance(call, dict) for call in calls) else []
    return known(message=rest(said, "role", *same), history=after or None)


# -- the recorded states -----------------------------------------------------------------------------------------------


def _states(run: Run, entries: list[Mapping[str, Any]], source: Source) -> None:
    for number_, (entry, step) in enumerate(zip(entries, run.steps, strict=True)):
        raw = entry.get("state")
        if raw is None or raw == "":
            continue
        state = arguments(raw.strip()) if isinstance(raw, str) else raw
        if not isinstance(state, dict):
            source.changed("state", _NO_STATE)
            continue
        extra = dict(step.extra or {})
        extra.pop("state", None)
        step.extra = extra or None
        if isinstance(raw, str):
            source.changed("state", _BEFORE)
            if number_ == 0:
                run.metadata["initial_state"] = state
            else:
                run.states.append(State(number_ - 1, document=state))
        elif state:
            run.states.append(State(number_, document=state))
