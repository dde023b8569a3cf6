"""Who&When, failures of multi-agent systems with the step that caused them: one object per run, all of them failed.

``{question, question_ID, ground_truth, history, mistake_agent, mistake_step, mistake_reason, …}``. One message of
``history`` is one step, and the step number is its index, which is what ``mistake_step`` counts in.

**The annotation is the answer to the question that an analysis is asked.** It is kept apart: every field that begins
with ``mistake`` is in ``metadata["annotation"]`` of the run and nowhere else, neither in a step nor in the state, the
error, the score or the task. Whoever looks for the cause of a failure must not read that key; whoever checks the
finding does. The ground truth of the question is in the task's metadata.

The agent is the ``name`` of a message, or, where it has none, its ``role`` up to a bracket: ``Orchestrator (thought)``.
The files hold no times, tokens or cost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from workbench.data.ingest.normal import BadLine, Run, Step, TaskRef
from workbench.data.ingest.reading.chat import known, mapping, rest, text_or_none, title
from workbench.data.ingest.reading.identity import digest
from workbench.data.ingest.reading.parts import plain_text
from workbench.data.ingest.reading.source import Head, Source, kind_of

FORMAT = "who-and-when"
TITLE = "Who&When annotated failures (.json)"

_ANNOTATION = "mistake"
_VERDICTS = ("is_correct", "is_corrected")
_BRACKET = re.compile(r"(?P<agent>.+?) \((?P<note>.+)\)", re.DOTALL)
_FIRST_ROLE = re.compile(rb'"role"\s*:\s*"(human|Orchestrator)')
_TERMINALS = {"Computer_terminal", "ComputerTerminal"}
_EXIT = re.compile(r"\s*exitcode: (-?\d{1,9})\b")
_PLACE_KEPT = "no message, kept in data.extra so that later step numbers stay what the source counts"


def detect(head: Head) -> float:
    """How surely the file is one of these."""
    if not head.data.lstrip().startswith(b"{"):
        return 0.0
    if {"mistake_agent", "mistake_step"} & head.keys or {"question_ID", "history"} <= head.keys:
        return 0.95
    # A long history may come first and push everything else out of the head.
    alone = not head.is_whole and head.keys == {"history", "history.content", "history.role"}
    return 0.8 if alone and _FIRST_ROLE.search(head.data) else 0.0


def read(source: Source) -> Iterator[Run | BadLine]:
    """The one run of the file, after what could not be read of it."""
    source.is_strict = True
    record = source.document().value
    if not isinstance(record, dict) or not isinstance(record.get("history"), list):
        yield BadLine(None, f"expected an object with a list history, found {kind_of(record)}")
        return
    for index, message in enumerate(record["history"]):
        if not isinstance(message, dict):
            source.kept("message", _PLACE_KEPT)
            yield BadLine(None, f"message {index}: expected an object, found {kind_of(message)}")
    yield _run(record)


def _run(record: Mapping[str, Any]) -> Run:
    history = record["history"]
    steps = [_step(message) for message in history]
    question, key = text_or_none(record.get("question")), record.get("question_ID")
    is_named = any("name" in mapping(message) for message in history)
    said = [step.text for step in steps if step.role == "assistant" and step.text]
    run = Run(
        # The same question was put to several systems; these are finished records that do not grow.
        source_id=f"{key}/{digest(history)}" if isinstance(key, str) else digest([question, history]),
        agent_type=f"{FORMAT}/{'algorithm-generated' if is_named else 'hand-crafted'}",
        name=title(question) or None,
        input={"question": question} if question else None,
        output={"text": said[-1]} if said else None,
        task=_task(record, key, question),
        metadata=_metadata(record),
        steps=steps,
    )
    verdict = next((record[name] for name in _VERDICTS if isinstance(record.get(name), bool)), None)
    if verdict is not None:
        run.score = float(verdict)
    if verdict is False:
        run.status, run.error_type, run.error = "failed", "incorrect", "The answer was judged incorrect."
    return run


def _step(message: Any) -> Step:
    if not isinstance(message, dict):
        return Step("log", extra={"record": message})
    role, name, content = (message.get(key) for key in ("role", "name", "content"))
    bracket = _BRACKET.fullmatch(role) if isinstance(role, str) and not isinstance(name, str) else None
    agent = text_or_none(name) or (bracket.group("agent") if bracket else text_or_none(role))
    step = Step(
        "reasoning" if bracket and bracket.group("note") == "thought" else "message",
        name=agent,
        agent="user" if agent == "human" else agent,
        category="user" if agent == "human" else "assistant",
        role="user" if agent == "human" else "assistant",
        text=plain_text(content),
        extra=rest(message, "name" if agent == name else "", *(["content"] if isinstance(content, str) else [])),
    )
    if agent in _TERMINALS:
        _answer(step, content)
    return step


def _answer(step: Step, content: Any) -> None:
    """What a terminal says of the code it was given is a result: failed where its exit code says so."""
    step.event_type, step.role, step.category, step.text = "tool_result", "tool", "tool", None
    code = _EXIT.match(content) if isinstance(content, str) else None
    is_error = None if code is None else int(code.group(1)) != 0
    step.tool = known(name=step.name, result=content, is_error=is_error)
    if is_error:
        step.severity, step.error = "error", {"type": "ToolError", "message": content}


def _task(record: Mapping[str, Any], key: Any, question: str | None) -> TaskRef | None:
    if not isinstance(key, str):
        return None
    return TaskRef(
        source_id=key,
        title=f"{FORMAT}: {title(question)}" if question else f"{FORMAT} {key}",
        description=question,
        metadata=known(ground_truth=record.get("ground_truth"), level=record.get("level")),
    )


def _metadata(record: Mapping[str, Any]) -> dict[str, Any]:
    annotation = {key: value for key, value in record.items() if key.startswith(_ANNOTATION)}
    has_task = isinstance(record.get("question_ID"), str)
    placed = ("history", *annotation, *(("ground_truth", "level") if has_task else ()))
    return {**(rest(record, *placed) or {}), **({"annotation": annotation} if annotation else {})}
