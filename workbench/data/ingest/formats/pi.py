"""pi sessions: ``~/.pi/agent/sessions/<project>/<time>_<uuid>.jsonl``.

One line is one step. Since version 2 the entries form a tree (``parentId``) whose last entry is where the session
stands: what does not lie between it and the root was abandoned, and is kept, in a lane of its own and marked
(``is_off_branch``). ``parentId`` links each entry to the one before, so for nesting a result is put under its call and
the rest under the user's prompt; ``parentId`` itself stays in ``data.extra``. pi is the one format with a cost in USD
per call. A forked session begins with a copy of entries of the session it came from: marked (``is_copied``), their
tokens and cost belong to the parent. pi only ever appends, and ``parentId`` says what came before what: entries stay in
the order of the lines, whatever their times say, and none is marked out of order.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from workbench.data.ingest.formats.pi_entry import Entry, own_id
from workbench.data.ingest.formats.pi_session import Session
from workbench.data.ingest.formats.pi_steps import Finisher
from workbench.data.ingest.normal import BadLine, Run, Step, Steps
from workbench.data.ingest.reading.chat import known, mapping, rest, text_or_none, title
from workbench.data.ingest.reading.identity import line_id
from workbench.data.ingest.reading.source import Head, Ordered, Record, Source
from workbench.data.ingest.reading.times import when
from workbench.data.ingest.reading.together import is_copied, nest, pair, sum_up

FORMAT = "pi"
TITLE = "pi sessions (.jsonl)"
MARKS = True  # set here, entry by entry: the writer cannot walk a session larger than memory to set them
HAS_PARENTS = True  # a fork may be read before or after the session it came from

HELD_BYTES = 64_000_000  # of lines that are kept for the second pass; those of a longer file are read again
_ROLES = ("user", "assistant", "toolResult", "bashExecution")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_COPY = "copied from the session this one was forked from: marked is_copied, its tokens and cost count there"
_OFF = "not on the branch where the session stands: kept and marked is_off_branch"
_MISSING = "some model calls have no cost: the sum of the others is not taken for the run's"
_UNPRICED = "recorded as 0.0 although tokens were used: the recorder knew no price, stored as null"


def detect(head: Head) -> float:
    """How surely the file is one of these."""
    return max((_likeness(record) for record in head.records if isinstance(record, dict)), default=0.0)


def _likeness(record: dict[str, Any]) -> float:
    kind = record.get("type")
    if kind == "session" and {"id", "timestamp", "cwd"} <= record.keys():
        return 0.95
    if kind == "message" and "timestamp" in record and mapping(record.get("message")).get("role") in _ROLES:
        return 0.8
    if kind == "model_change" and "modelId" in record:
        return 0.8
    return 0.8 if kind == "thinking_level_change" and "thinkingLevel" in record else 0.0


def read(source: Source) -> Iterator[Run | BadLine]:
    """The one run of the file, after what could not be read of it."""
    source.is_strict = True
    session = Session(source)
    held: list[Entry] | None = []  # the entries of a file small enough
    n_bytes = 0
    for record in source.records():
        if isinstance(record, BadLine):
            yield record
            continue
        entry = session.take(record)
        n_bytes += len(record.data)
        if held is not None:
            held.append(entry)
            if n_bytes > HELD_BYTES:
                held = None
    if session.n_lines:
        session.close()
        yield _run(session, _steps(session, held))


def lines(source: Source) -> Iterator[Ordered]:
    """Its lines."""
    for record in source.records():
        if isinstance(record, Record):
            above = text_or_none(record.value.get("parentId"))
            yield Ordered(record.data, own_id(record.value), above, when(record.value.get("timestamp"), source))


def settle(run: Run) -> None:
    """What the parts of a session make together of which several files hold some."""
    steps = list(run.steps)
    pair(steps)
    prompts = [step for step in steps if step.category == "message" and step.role == "user" and not _is_off(step)]
    spans = {id(step) for step in prompts}
    nest([step for step in steps if step.category != "session" and not _is_off(step)], lambda step: id(step) in spans)
    sum_up(
        run,
        n_prompts=sum(not is_copied(step) for step in prompts),
        n_tool_calls=sum(
            (step.tool is not None) + len(step.tool_calls or ()) for step in steps if step.role == "assistant"
        ),
        models=Counter(step.model for step in steps if step.model),
    )


def _is_off(step: Step) -> bool:
    return "is_off_branch" in (step.extra or {})


def _steps(session: Session, held: list[Entry] | None) -> Sequence[Step]:
    if held is not None:
        return list(Finisher(session).steps(enumerate(held)))
    return Steps(session.n_lines, lambda: Finisher(session).steps(session.source.again(session.again())))


def _run(session: Session, steps: Sequence[Step]) -> Run:
    n_copied, n_off = int(session.is_copied.sum()), int((session.tree.lanes > 0).sum())
    for what, why, n in (("copied entry", _COPY, n_copied), ("entry off the branch", _OFF, n_off)):
        if n:
            session.source.kept(what, why, n)
    source_id, asked, answer = _session_id(session), session.prompt, session.answer
    named = _UUID.findall(session.above or "")
    above = named[-1].lower() if named and named[-1].lower() != source_id else None
    models = session.models
    started_at, completed_at = session.times
    run = Run(
        source_id=source_id,
        agent_type=FORMAT,
        name=title(session.name or asked) or source_id,
        model=models.most_common(1)[0][0] if models else text_or_none(session.header.get("modelId")),
        started_at=started_at,
        completed_at=completed_at,
        input={"prompt": asked} if asked else None,
        output={"text": answer} if answer else None,
        usage=session.usage,
        cost_usd=_cost(session),
        parent_source_id=above,
        spawned_by=session.last_copied if above else None,
        link="forked" if above else None,
        metadata=(rest(session.header, "type", "id", "timestamp") or {})
        | known(
            n_prompts=session.n_prompts,
            n_tool_calls=session.n_tool_calls,
            n_interruptions=session.n_interruptions or None,
            n_copied=n_copied or None,
            n_off_branch=n_off or None,
            models=dict(models) if len(models) > 1 else None,
        ),
        steps=steps,
    )
    _judge(run, session)
    return run


def _session_id(session: Session) -> str:
    if own := text_or_none(session.header.get("id")):
        return own
    if named := _UUID.findall(session.source.file_name):
        session.source.kept("session id", "not in the file: taken from its name")
        return named[-1].lower()
    session.source.kept("session id", "not in the file: made from its first line")
    return line_id(str(session.first_id).encode())


def _cost(session: Session) -> float | None:
    """What all calls cost, those of abandoned branches too; null where one of them has no price."""
    n_calls, unpriced, prices = session.n_billed, session.n_unpriced, session.prices
    if unpriced:
        session.source.changed("cost", _UNPRICED, unpriced)
    if prices and len(prices) + unpriced < n_calls:
        session.source.changed("cost", _MISSING, n_calls - len(prices) - unpriced)
    return sum(prices) if prices and len(prices) == n_calls else None


def _judge(run: Run, session: Session) -> None:
    """How the session ended: the last message of its branch decides."""
    failure = session.failure
    if failure is not None:
        run.status, run.error_type, run.error = "failed", "api_error", failure
    elif session.is_interrupted:
        run.status, run.error_type, run.error = "cancelled", "interrupted", "The user stopped the agent."
