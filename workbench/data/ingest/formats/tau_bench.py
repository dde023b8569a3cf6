"""tau-bench ``historical_trajectories/*.json``: a list of runs of a tool-using agent with a simulated user.

One run is ``{task_id, trial, reward, info, traj}``; ``traj`` holds OpenAI chat messages, each of which becomes one
step. The files carry no times, no tokens and no cost of the agent: those stay null. ``user_cost`` is what the simulated
user cost and is kept in the metadata. The customer-service domain is not written down: it is told from the tools that
were called, else from the policy's headline, else from the file's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from workbench.data.ingest.normal import BadLine, Run, Step, TaskRef
from workbench.data.ingest.reading.chat import (
    arguments,
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
from workbench.data.ingest.reading.identity import digest
from workbench.data.ingest.reading.source import Head, Source

FORMAT = "tau-bench"
TITLE = "tau-bench historical trajectories (.json)"

_KEYS = {"task_id", "reward", "info", "traj"}
_HEADLINE = re.compile(r"#\s*(\w+)\s+agent\s+policy", re.IGNORECASE)
_NAME = re.compile(r"(?P<model>.+?)-(?P<domain>airline|retail|telecom)\b", re.IGNORECASE)
# Tools that exist in one of upstream's domains only.
_TOOLS = {
    "airline": {"get_reservation_details", "search_direct_flight", "search_onestop_flight", "book_reservation"},
    "retail": {"get_order_details", "get_product_details", "find_user_id_by_email", "find_user_id_by_name_zip"},
}


def detect(head: Head) -> float:
    """How surely the file is one of these."""
    if not head.data.lstrip().startswith(b"["):
        return 0.0
    found = len(_KEYS & head.keys)
    if found == len(_KEYS):
        return 0.95
    # A long `info` may push `traj` out of the head.
    return 0.8 if {"task_id", "info.task"} <= head.keys else 0.0


def read(source: Source) -> Iterator[Run | BadLine]:
    """One run per element of the list; an element that is none is reported with its index."""
    source.is_strict = True
    entries = source.document().value
    if not isinstance(entries, list):
        yield BadLine(None, "expected a list of runs")
        return
    named = _from_name(source)
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict) or not isinstance(entry.get("traj"), list) or "task_id" not in entry:
            yield BadLine(None, f"element {index}: expected an object with task_id and a list traj")
            continue
        yield _run(entry, source, named)


def _from_name(source: Source) -> dict[str, str]:
    match = _NAME.match(source.file_name)
    return match.groupdict() if match else {}


def _run(entry: dict[str, Any], source: Source, named: Mapping[str, str]) -> Run:
    info = mapping(entry.get("info"))
    task = mapping(info.get("task"))
    traj = [message if isinstance(message, dict) else {"content": message} for message in entry["traj"]]
    domain = _domain(traj, source, named)
    key, trial = entry["task_id"], entry.get("trial", 0)
    agent_type = f"{FORMAT}/{domain}" if domain else FORMAT
    if named.get("model"):
        source.kept("model", "not in the file: taken from the file's name")
    steps = [_step(message) for message in traj]
    score = number(entry.get("reward"))
    error_type, error = _failure(score, info)
    return Run(
        # The list's own key is (task_id, trial); a digest tells runs of two models from each other.
        source_id=f"{key}/{trial}/{digest(entry['traj'])}",
        agent_type=agent_type,
        status="failed" if score == 0 else "completed",
        name=f"task {key} · trial {trial}",
        model=named.get("model"),
        score=score,
        input={"instruction": task.get("instruction"), "user_id": task.get("user_id")},
        output=last_answer(steps),
        task=_task(key, domain, task),
        metadata=_metadata(entry, info),
        error_type=error_type,
        error=error,
        steps=steps,
    )


def _domain(traj: list[dict[str, Any]], source: Source, named: Mapping[str, str]) -> str | None:
    called = {message.get("name") for message in traj if message.get("role") == "tool"}
    for domain, tools in _TOOLS.items():
        if called & tools:
            source.kept("domain", f"not in the file: told to be {domain} from the tools that were called")
            return domain
    first = traj[0].get("content") if traj else None
    match = _HEADLINE.search(first[:500]) if isinstance(first, str) else None
    if match:
        domain = match.group(1).lower()
        source.kept("domain", f"not in the file: told to be {domain} from the headline of the policy")
        return domain
    if named.get("domain"):
        source.kept("domain", "not in the file: taken from the file's name")
        return named["domain"].lower()
    return None


def _step(record: Mapping[str, Any]) -> Step:
    if record.get("role") == "tool":
        return _result(record)
    return message_step(record, [_call(call) for call in elements(record.get("tool_calls"))])


def _call(call: Any) -> dict[str, Any]:
    function = mapping(mapping(call).get("function"))
    return {
        "name": function.get("name"),
        "call_id": mapping(call).get("id"),
        "arguments": arguments(function.get("arguments")),
    }


def _result(record: Mapping[str, Any]) -> Step:
    name, call_id, content = record.get("name"), record.get("tool_call_id"), record.get("content")
    is_error = isinstance(content, str) and content.startswith("Error")
    extra = rest(record, "role", "content", "name", "tool_call_id")
    return result_step(name, call_id, content, extra, is_error=is_error)


def _task(key: Any, domain: str | None, task: Mapping[str, Any]) -> TaskRef:
    name = f"{domain}/{key}" if domain else str(key)
    instruction = text_or_none(task.get("instruction"))
    return TaskRef(
        source_id=name,
        title=f"{FORMAT} {name}" + (f": {title(instruction)}" if instruction else ""),
        description=instruction,
        metadata=rest(task, "instruction") or {},
    )


def _metadata(entry: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, Any]:
    return known(
        task_id=entry["task_id"],
        trial=entry.get("trial"),
        ended_by=info.get("source"),
        user_cost_usd=info.get("user_cost"),
        reward_info=info.get("reward_info"),
        info=rest(info, "task", "source", "user_cost", "reward_info"),
        record=rest(entry, "task_id", "trial", "reward", "info", "traj"),
    )


def _failure(score: float | None, info: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Why the source judged the run unsuccessful: kind and text."""
    if score != 0:
        return None, None
    verdict = mapping(mapping(info.get("reward_info")).get("info"))
    if not verdict:
        return "broke_off", "Reward 0: the run was broken off before it was judged."
    if verdict.get("r_actions") == 0:
        return "wrong_actions", "Reward 0: the database is not as the task's own actions leave it."
    if verdict.get("r_outputs") == 0:
        return "wrong_outputs", "Reward 0: the user was not told what the task asks for."
    return "reward_zero", "Reward 0."
