"""Chat datasets as the Hugging Face Hub holds them: one conversation a row, as JSON lines, a JSON list or Parquet.

A row is a run, a message is a step. The conversation is in ``messages``, ``conversations``, ``conversation``,
``trajectory`` or ``traj``, as a list or as the text of one. Read are messages of OpenAI (``role``, ``content``,
``tool_calls``), of ShareGPT (``from``, ``value``), and of SWE-agent's datasets (``role``, ``text``, ``system_prompt``;
SWE-smith's ``messages`` text with ``thought`` and ``action``). Of the other columns those that are known by name give
the run its model, task and score; all of them are kept in its metadata.

The columns were confirmed from the datasets' own pages for SWE-smith-trajectories, nebius SWE-agent-trajectories,
Open-SWE-Traces and SWE-Hero; no file of them was at hand. Datasets with a step in each row are tables: read them by
naming their columns. Not read: conversations in separate columns (``prompt``, ``chosen``, ``rejected``) and trees of
messages (OpenAssistant).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from workbench.data.ingest.formats.hub_message import ROLES, author, is_message, step_of
from workbench.data.ingest.normal import BadLine, Run, Step, TaskRef, total
from workbench.data.ingest.reading.chat import known, last_answer, mapping, number, rest, title
from workbench.data.ingest.reading.conversation import decoded
from workbench.data.ingest.reading.identity import digest, opening
from workbench.data.ingest.reading.openai_usage import openai_usage
from workbench.data.ingest.reading.parquet import is_parquet, parquet_names, parquet_rows
from workbench.data.ingest.reading.source import Head, Source, kind_of
from workbench.data.ingest.reading.values import Value, values

FORMAT = "hub-chat"
TITLE = "Chat datasets of the Hugging Face Hub, one conversation a row (.jsonl, .json, .parquet)"

TALKS = ("messages", "conversations", "conversation", "trajectory", "traj")
_IDS = ("trajectory_id", "traj_id", "conversation_id", "session_id", "id", "uuid")
_MODELS = ("model", "model_name", "model_id")
_TASKS = ("instance_id", "task_id", "problem_id")
_SCORES = ("score", "reward", "resolved", "target", "success")
_AGENTS = ("harness", "agent", "agent_name", "scaffold")
_RUN_ID = "not in the row alone: made from its ids, its task, its model and the messages up to the agent's first"
_UNJUDGED = "a score below 0 is taken as not judged: kept in metadata"


def detect(head: Head) -> float:
    """How surely the file is one of these; less than any format that has its own mark."""
    if is_parquet(head):
        names = set(parquet_names(head))
        return 0.7 if any(f"{talk}.{said}" in names for talk in TALKS for said in ("role", "from")) else (
            0.6 if names & {"messages", "conversations"} else 0.0
        )  # fmt: skip
    if head.data.lstrip()[:1] not in (b"{", b"["):
        return 0.0
    rows = [record for record in head.records if isinstance(record, dict)]
    if rows:
        return 0.6 if any(_talk(row) for row in rows) and not any(_FOREIGN & row.keys() for row in rows) else 0.0
    keys = head.keys
    if keys & _FOREIGN:
        return 0.0
    found = any(
        {f"{talk}.role", f"{talk}.{said}"} <= keys for talk in TALKS for said in ("content", "text", "tool_calls")
    ) or any({f"{talk}.from", f"{talk}.value"} <= keys for talk in TALKS)
    return 0.55 if found else 0.0


# Of documents that other tools write around a list of messages; their own readers know them, or nobody does.
_FOREIGN = {"sessionId", "schema_version", "eval", "simulations", "info", "history", "spans", "run_type", "environment"}


def read(source: Source) -> Iterator[Run | BadLine]:
    """One run per row; a row without a conversation is reported."""
    seen: Counter[str] = Counter()
    source.is_strict = not is_parquet(source.head)
    rows = parquet_rows(source) if is_parquet(source.head) else values(source, "data", "rows")
    for item in rows:
        if isinstance(item, BadLine):
            yield item
            continue
        if not isinstance(item.value, dict):
            yield BadLine(item.line, f"expected a JSON object, found {kind_of(item.value)}")
            continue
        name = _talk(item.value)
        if name is None:
            yield BadLine(item.line, f"no conversation: expected a list of messages in one of {', '.join(TALKS)}")
            continue
        yield from _run(name, item, source, seen)


def _talk(row: Mapping[str, Any]) -> str | None:
    """The column that holds the conversation."""
    for name in TALKS:
        talk = decoded(row.get(name)) if row.get(name) else None
        if isinstance(talk, list) and any(is_message(message) for message in talk):
            return name
    return None


def _run(talk: str, item: Value, source: Source, seen: Counter[str]) -> Iterator[Run | BadLine]:
    row = item.value
    messages: list[dict[str, Any]] = []
    for n, message in enumerate(decoded(row[talk])):
        if isinstance(message, dict):
            messages.append(rest(message) or {})  # Parquet gives every message the fields of all
        else:
            yield BadLine(item.line, f"message {n}: expected an object, found {kind_of(message)}")
    tools: dict[str, str] = {}
    steps = [step_of(message, source, tools) for message in messages]
    for number_, step in enumerate(steps):
        step.source_id = str(number_)
    if item.data is not None and steps:
        steps[0].raw = item.data
    score = _score(row, source)
    asked = next((step.text for step in steps if step.role == "user" and step.text), None)
    named = _text(row, _TASKS)
    times = [step.timestamp for step in steps if step.timestamp is not None]
    usage = total(step.usage for step in steps) or openai_usage(row.get("usage"), source)
    yield Run(
        source_id=_identity(row, messages, seen, source),
        agent_type=_text(row, _AGENTS) or "chat",
        status="failed" if score == 0 else "completed",
        name=named or title(asked) or None,
        model=_text(row, _MODELS) or next((step.model for step in steps if step.model), None),
        score=score,
        started_at=min(times, default=None),
        completed_at=max(times, default=None),
        input={"prompt": asked} if asked else None,
        output=last_answer(steps),
        usage=usage,
        task=TaskRef(named, named) if named else None,
        metadata={**(rest(row, talk) or {}), **known(conversation_column=talk if talk != "messages" else None)},
        steps=_numbered(steps),
    )


def _numbered(steps: list[Step]) -> list[Step]:
    """Link each result to the call it answers."""
    calls: dict[str, Step] = {}
    for step in steps:
        step.span_id = step.source_id
        if step.event_type == "tool_call":
            for call in (step.tool or {}, *(step.tool_calls or ())):
                if isinstance(call.get("call_id"), str):
                    calls[call["call_id"]] = step
        elif step.event_type == "tool_result":
            call = calls.get((step.tool or {}).get("call_id") or "")
            step.parent_span_id = call.span_id if call is not None else None
    return steps


def _identity(row: Mapping[str, Any], messages: list[dict[str, Any]], seen: Counter[str], source: Source) -> str:
    """Ids of datasets are often numbers of rows: only with the conversation's opening do they tell one from another."""
    source.kept("run id", _RUN_ID)
    begun = opening(messages, lambda message: ROLES.get((author(message) or "").lower()) == "assistant")
    about = {name: row[name] for name in (*_IDS, *_TASKS, *_MODELS) if isinstance(row.get(name), (str, int))}
    found = digest([about, begun])
    seen[found] += 1
    return found if seen[found] == 1 else f"{found}#{seen[found]}"


def _score(row: Mapping[str, Any], source: Source) -> float | None:
    for name in _SCORES:
        value = row.get(name)
        if isinstance(value, bool):
            return float(value)
        score = number(value)
        if score is not None:
            if score < 0 and name in ("resolved", "target", "success"):
                source.changed("score", _UNJUDGED)
                return None
            return score
    score = number(mapping(row.get("metadata")).get("reward"))
    return score


def _text(row: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    for name in names:
        value = row.get(name)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
    return None
