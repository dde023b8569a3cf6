"""Codex CLI rollouts: ``~/.codex/sessions/<date>/rollout-<time>-<uuid>.jsonl``, and the ``.json`` of early 2025.

One line is one step, whatever its type; the first rollouts of 2025 had no envelope around it, and the very first were
one document (``codex_document``). Steps stand in the order of the lines, whatever their times say, so none is marked
out of order: one program writes them one after the other. Four readings need care.
What was said stands in two lines, an item (what the model was given or answered) and an event (what the program
showed): the item is the message and the event a log line, a step of its own only where no item says the same.
``token_count`` repeats itself: see ``codex_tokens``. A forked session begins with a copy of the session it came from:
the copy is kept and marked (``is_copied``), its tokens belong to the parent. And a trimmed rollout has no times.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from workbench.data.ingest.formats import codex_document
from workbench.data.ingest.formats.codex_course import UUID
from workbench.data.ingest.formats.codex_event import Line
from workbench.data.ingest.formats.codex_line import own_id
from workbench.data.ingest.formats.codex_parts import settle
from workbench.data.ingest.formats.codex_session import Session
from workbench.data.ingest.formats.codex_steps import Finisher
from workbench.data.ingest.normal import BadLine, Run, Step, Steps
from workbench.data.ingest.reading.chat import known, mapping, rest, text_or_none, title
from workbench.data.ingest.reading.identity import line_id
from workbench.data.ingest.reading.source import Head, Ordered, Record, Source
from workbench.data.ingest.reading.times import when

FORMAT = "codex"
TITLE = "Codex CLI rollouts (.jsonl, .json)"
MARKS = True  # set here, line by line: the writer cannot walk a session larger than memory to set them
HAS_PARENTS = True  # a fork or a sub-agent may be read before or after the session it came from

__all__ = ["FORMAT", "HAS_PARENTS", "MARKS", "TITLE", "detect", "lines", "read", "settle"]

HELD_BYTES = 64_000_000  # of lines that are kept for the second pass; those of a longer file are read again
_BEGINS = {"id", "timestamp", "instructions"}  # the first line of a rollout of 2025
_BARE = {"message", "reasoning", "function_call", "function_call_output", "local_shell_call"}


def detect(head: Head) -> float:
    """How surely the file is one of these."""
    if not head.records and {"type", "payload"} <= head.keys:  # the first line is longer than the head
        return 0.9 if {"payload.cli_version", "payload.originator"} & head.keys else 0.0
    if not head.records and head.keys >= _BEGINS and "type" not in head.keys and not head.is_whole:
        return 0.7  # the same of the first layout by lines
    lines = max((_likeness(record) for record in head.records if isinstance(record, dict)), default=0.0)
    return max(lines, codex_document.likeness(head))


def _likeness(record: dict[str, Any]) -> float:
    kind = record.get("type")
    if "payload" in record:
        if kind == "session_meta":
            return 0.95
        return 0.9 if kind in ("response_item", "event_msg", "turn_context") else 0.0
    if record.get("record_type") == "state":
        return 0.9
    if kind is None and record.keys() >= _BEGINS:
        return 0.8
    if (
        isinstance(kind, str)
        and kind in _BARE
        and ("call_id" in record or "encrypted_content" in record or _has_parts(record.get("content")))
    ):
        return 0.7
    return 0.0


def _has_parts(content: Any) -> bool:
    return isinstance(content, list) and any(
        isinstance(part, dict) and part.get("type") in ("input_text", "output_text") for part in content
    )


def read(source: Source) -> Iterator[Run | BadLine]:
    """The one run of the file, after what could not be read of it.

    Raises
    ------
    IngestError
        It is one document, and that is not JSON.
    """
    source.is_strict = True
    is_document = codex_document.likeness(source.head) > 0
    session = Session(source, codex_document.records(source) if is_document else None)
    held: list[Line] | None = []  # the lines of a file small enough
    n_bytes = 0
    for record in session.records():
        line = record if isinstance(record, BadLine) else session.take(record)
        if isinstance(line, BadLine):
            yield BadLine(None, f"item {line.line}: {line.reason}", line.data) if is_document and line.line else line
            continue
        assert isinstance(record, Record)
        n_bytes += len(record.data)
        if held is not None:
            held.append(line)
            if n_bytes > HELD_BYTES:
                held = None
    if session.n_lines:
        session.close()
        yield _run(session, _steps(session, held))


def lines(source: Source) -> Iterator[Ordered] | None:
    """Its lines; ``None`` of a document."""
    if codex_document.likeness(source.head) > 0:
        return None
    records = (record for record in source.records() if isinstance(record, Record))
    return (
        Ordered(record.data, own_id(record.value), at=when(record.value.get("timestamp"), source)) for record in records
    )


def _steps(session: Session, held: list[Line] | None) -> Sequence[Step]:
    if held is not None:
        return list(Finisher(session).steps(enumerate(held)))
    return Steps(session.n_lines, lambda: Finisher(session).steps(session.source.again(session.again())))


def _run(session: Session, steps: Sequence[Step]) -> Run:
    course, source_id = session.course, _session_id(session)
    about = mapping(course.meta.get("source"))
    parent = mapping(mapping(about.get("subagent")).get("thread_spawn"))
    spawned = text_or_none(course.meta.get("parent_thread_id")) or text_or_none(parent.get("parent_thread_id"))
    above, asked, answer = spawned or course.parent, session.prompt, session.answer
    is_fork = not spawned and above not in (None, source_id)
    run = Run(
        source_id=source_id,
        agent_type=f"{FORMAT}/sub-agent" if spawned is not None or "subagent" in about else FORMAT,
        name=title(session.name(source_id) or asked) or source_id,
        model=course.models.most_common(1)[0][0] if course.models else course.model,
        started_at=session.started_at,
        completed_at=session.completed_at or when(course.meta.get(codex_document.SAVED_AT), session.source),
        input={"prompt": asked} if asked else None,
        output={"text": answer} if answer else None,
        usage=session.usage,
        reported_usage=course.tokens.reported,
        parent_source_id=above if above != source_id else None,
        spawned_by=session.last_copied if is_fork else None,
        link="forked" if is_fork else None,
        spawns=_spawns(session),
        metadata=_metadata(session),
        steps=steps,
    )
    verdict = session.verdict
    if verdict is not None:
        run.status, run.error_type, run.error = verdict.status, verdict.error_type, verdict.error
    return run


def _session_id(session: Session) -> str:
    for name in ("id", "session_id"):
        if own := text_or_none(session.course.meta.get(name)):
            return own
    if named := UUID.search(session.source.file_name.rsplit(".", 1)[0]):
        session.source.kept("session id", "not in the file: taken from its name")
        return named.group().lower()
    session.source.kept("session id", "not in the file: made from its first line")
    return line_id(str(session.first_id).encode())


def _spawns(session: Session) -> dict[str, str]:
    """The threads that were started here, and the call that started each."""
    found = {}
    for thread, call_id, own in session.threads:
        call = session.calls.of(call_id)
        found[thread] = (call.span if call is not None else None) or own
    return found


def _metadata(session: Session) -> dict[str, Any]:
    course = session.course
    told = rest(course.meta, "type", "timestamp", "base_instructions", "instructions", "dynamic_tools", "record_type")
    return (told or {}) | known(
        forked_from=course.parent,
        n_prompts=session.n_prompts,
        n_tool_calls=session.n_tool_calls,
        n_interruptions=session.n_interruptions or None,
        models=dict(course.models) if len(course.models) > 1 else None,
    )
