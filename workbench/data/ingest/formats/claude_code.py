"""Claude Code sessions: ``~/.claude/projects/<project>/<session>.jsonl``, and the web export ``{"loglines": […]}``.

One line is one step, whatever its type: new types come with each release and are kept as they are. Three readings need
care. One answer of the model is written as several lines that repeat its ``usage``, so tokens count once per
``message.id``, at its last line. A sub-agent in the same file is a lane; a file of its own (``agent-<id>.jsonl``) is a
run of its own, linked to the session by ``sessionId``. And ``parentUuid`` links each line to the one before, so for
nesting a result is put under its call, a sub-agent under the call that started it, the rest under the user's prompt;
``parentUuid`` itself stays in ``data.extra``.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import Any

import orjson

from workbench.data.ingest.formats.claude_line import WRAPPERS, Line
from workbench.data.ingest.formats.claude_session import Session, usage_of
from workbench.data.ingest.formats.claude_steps import Finisher
from workbench.data.ingest.normal import BadLine, Run, Step, Steps, total
from workbench.data.ingest.reading.chat import mapping, number, text_or_none, title
from workbench.data.ingest.reading.identity import line_id
from workbench.data.ingest.reading.source import Head, Ordered, Record, Source
from workbench.data.ingest.reading.times import when
from workbench.data.ingest.reading.together import nest, pair, sum_up
from workbench.data.store.storable import storable

FORMAT = "claude-code"
TITLE = "Claude Code sessions (.jsonl) and web exports (.json)"
MARKS = True  # set here, line by line: the writer cannot walk a session larger than memory to set them
HAS_PARENTS = True  # a sub-agent's file may be read before or after that of its session
SHARED = ("sessionId", "cwd", "gitBranch", "version", "userType")  # of COMMON what every line of a conversation has

_TYPES = {"user", "assistant", "system", "summary", "file-history-snapshot", "queue-operation"}
HELD_BYTES = 64_000_000  # of lines that are kept for the second pass; those of a longer file are read again
_IS_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_COMMAND = re.compile(r"<command-name>(.+?)</command-name>(?:.*?<command-args>(.*?)</command-args>)?", re.DOTALL)
_COSTS = "some model calls have no costUSD: the sum of the others is not taken for the run's"


def detect(head: Head) -> float:
    """How surely the file is one of these."""
    if "loglines" in head.keys:
        return 0.9
    if not head.records and {"sessionId", "parentUuid", "isSidechain"} <= head.keys:
        return 0.9  # the first line is longer than the head
    return max((_likeness(record) for record in head.records if isinstance(record, dict)), default=0.0)


def _likeness(record: dict[str, Any]) -> float:
    kind, message = record.get("type"), record.get("message")
    if "sessionId" in record and {"parentUuid", "isSidechain"} <= record.keys():
        return 0.95
    if kind == "file-history-snapshot" and "snapshot" in record:
        return 0.95
    if "sessionId" in record and isinstance(message, dict) and {"uuid", "requestId"} & record.keys():
        return 0.9
    if kind == "summary" and {"summary", "leafUuid"} <= record.keys():
        return 0.85
    if kind == "queue-operation" and "operation" in record:
        return 0.8
    # A cut-down transcript: typed lines that carry an Anthropic message.
    is_typed = isinstance(kind, str) and kind in _TYPES
    return 0.6 if is_typed and isinstance(message, dict) and "content" in message else 0.0


def read(source: Source) -> Iterator[Run | BadLine]:
    """The one run of the file, after what could not be read of it."""
    source.is_strict = True
    session = Session(source)
    held: list[Line] | None = []  # the lines of a file small enough
    n_bytes = 0
    for record in _records(source):
        if isinstance(record, BadLine):
            yield record
            continue
        line = session.take(record)
        n_bytes += len(record.data)
        if held is not None:
            held.append(line)
            if n_bytes > HELD_BYTES:
                held = None
    if session.n_lines:
        yield _run(session, _steps(session, held))


def lines(source: Source) -> Iterator[Ordered]:
    """Its lines, or the entries of a web export as the lines that they would be."""
    for record in _records(source):
        if isinstance(record, Record):
            own, above = (text_or_none(record.value.get(name)) for name in ("uuid", "parentUuid"))
            yield Ordered(record.data, own, above, when(record.value.get("timestamp"), source))


def _steps(session: Session, held: list[Line] | None) -> Sequence[Step]:
    order = session.order()
    if held is not None:
        return list(Finisher(session).steps(enumerate(held) if order is None else ((n, held[n]) for n in order)))

    def lines() -> Iterator[tuple[int, Line]]:
        records = (record for record in _again(session, order) if isinstance(record, Record))
        for n, record in zip(count() if order is None else order, records, strict=False):
            yield n, session.reread(n, record)

    return Steps(session.n_lines, lambda: Finisher(session).steps(session.source.again(lines())))


def _again(session: Session, order: array[int] | None) -> Iterator[Record | BadLine]:
    """What there is once more, in the order of time."""
    if order is None:
        return _records(session.source)
    if _is_document(session.source):  # which is in memory as a whole
        entries = [item for item in _entries(session.source) if isinstance(item, tuple)]
        return (_entry(*entries[n]) for n in order)
    return session.source.records(session.places.lines(session.source, order))


def _is_document(source: Source) -> bool:
    return "loglines" in source.head.keys


def _records(source: Source) -> Iterator[Record | BadLine]:
    if _is_document(source):
        return (item if isinstance(item, BadLine) else _entry(*item) for item in _entries(source))
    return source.records()


def _entries(source: Source) -> Iterator[tuple[int, dict[str, Any]] | BadLine]:
    document = source.document().value
    entries = document.get("loglines") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        yield BadLine(None, "expected an object with a list loglines")
        return
    for index, entry in enumerate(entries):
        if isinstance(entry, dict):
            yield index, entry
        else:
            yield BadLine(None, f"logline {index}: expected a JSON object")


def _entry(index: int, entry: dict[str, Any]) -> Record:
    """An entry of a document as the line that it would be; of one that no JSON holds, in Python's way."""
    try:
        data = orjson.dumps(entry)
    except TypeError:  # an integer of more than 64 bits, a lone surrogate, nesting beyond its depth
        data = storable(entry, limit=2**62).text.encode()
    return Record(index + 1, entry, data)


def _run(session: Session, steps: Sequence[Step]) -> Run:
    common, own = session.common, _session_id(session)
    is_agent = session.is_agent_file
    openings = session.prompts if session.n_prompts else session.conversation
    answer = session.own_lane.last_answer
    run = Run(
        source_id=f"{own}/agent-{common['agentId']}" if is_agent else own,
        agent_type=f"{FORMAT}/sub-agent" if is_agent else FORMAT,
        name=title(session.title) or _called(openings.texts) or own,
        model=session.models.most_common(1)[0][0] if session.models else None,
        started_at=session.started_at,
        completed_at=session.completed_at,
        input={"prompt": openings.first.text} if openings.first else None,
        output={"text": answer.text} if answer else None,
        usage=total(bill.usage for bill in session.paid),
        cost_usd=_cost(session),
        reported_usage=usage_of(mapping(session.reported.get("usage"))),
        reported_cost_usd=number(session.reported.get("total_cost_usd")),
        parent_source_id=own if is_agent else None,
        metadata=_metadata(session),
        steps=steps,
    )
    if not is_agent:
        run.parent_source_id, run.spawned_by, run.link = session.before(own)
        run.spawns = {
            f"{own}/agent-{agent}": call.uuid
            for agent, call_id in session.agents.items()
            if (call := session.calls.get(call_id)) is not None and call.uuid is not None
        }
    _judge(run, session)
    return run


def settle(run: Run) -> None:
    """What the parts of a session make together of which several files hold some."""
    steps = list(run.steps)
    pair(steps)
    bills = {own: step for step in steps if step.usage is not None and (own := _message_id(step)) is not None}
    for step in steps:  # an answer that goes on in another part told its tokens in both
        if step.usage is not None and bills.get(_message_id(step) or "", step) is not step:
            step.usage = step.cost_usd = None
    own = [step for step in steps if step.agent in (None, "user", run.agent_type)]
    resumed = next((_above(step) for step in own if not str(step.span_id).startswith("line:")), None)
    known = {None, resumed, *(step.span_id for step in steps)}
    for step in steps:
        if step.mark != "unfinished" and _above(step) not in known:
            step.mark = "orphaned"
    prompts = {id(step) for step in own if _is_prompt(step)}
    nest(own, lambda step: id(step) in prompts)
    run.name = title(_title(steps)) or None
    n_calls = sum((step.tool is not None) + len(step.tool_calls or ()) for step in steps if step.role == "assistant")
    models = Counter(step.model for step in steps if step.model and not step.model.startswith("<"))
    sum_up(run, len(prompts), n_calls, models)


def _title(steps: Iterable[Step]) -> str | None:
    """The title that the session was given last: one part may hold it, another the line that it is for."""
    steps = list(steps)
    own, given = {None, *(step.span_id for step in steps)}, None
    for step in steps:
        extra = step.extra or {}
        if step.category == "ai-title":
            given = text_or_none(extra.get("aiTitle")) or text_or_none(extra.get("title")) or given
        elif step.category == "summary" and step.text and text_or_none(extra.get("leafUuid")) in own:
            given = step.text
    return given


def _above(step: Step) -> str | None:
    return text_or_none((step.extra or {}).get("parentUuid"))


def _message_id(step: Step) -> str | None:
    return text_or_none(mapping((step.extra or {}).get("message")).get("id"))


def _is_prompt(step: Step) -> bool:
    is_plain = step.role == "user" and step.event_type == "message" and (step.extra or {}).get("isMeta") is not True
    return is_plain and bool(step.text) and not (step.text or "").startswith(WRAPPERS)


def _session_id(session: Session) -> str:
    """The id in the file's name if its lines carry it too (a resumed session may repeat lines of an older one)."""
    stem = session.source.file_name.rsplit(".", 1)[0]
    if stem in session.sessions:
        return stem
    if session.sessions:
        return next(iter(session.sessions))
    if _IS_ID.fullmatch(stem):  # a session that only begins: titles and snapshots of files carry no id
        return stem
    session.source.kept("session id", "not in the file: made from its first line")
    return line_id(orjson.dumps(session.first_id))


def _cost(session: Session) -> float | None:
    costs = [bill.cost_usd for bill in session.paid if bill.usage is not None]
    known = [cost for cost in costs if cost is not None]
    if known and len(known) < len(costs):
        session.source.changed("cost", _COSTS, len(costs) - len(known))
        return None
    return sum(known) if known else None


def _metadata(session: Session) -> dict[str, Any]:
    out: dict[str, Any] = {**session.common, "isSidechain": session.common.get("isSidechain") or None}
    out["n_prompts"] = session.n_prompts
    out["n_tool_calls"] = session.n_tool_calls
    out["n_interruptions"] = session.n_interruptions or None
    out["models"] = dict(session.models) if len(session.models) > 1 else None
    out["sessions"] = dict(session.sessions) if len(session.sessions) > 1 else None
    return {name: value for name, value in out.items() if value is not None}


def _judge(run: Run, session: Session) -> None:
    """How the session ended: the last line of its own conversation decides, whatever a sub-agent or /exit said."""
    last = session.own_lane.last_work
    if last is None:
        return
    if last.error is not None:
        run.status, run.error_type, run.error = "failed", "api_error", last.error
    elif last.is_interruption:
        run.status, run.error_type, run.error = "cancelled", "interrupted", last.text


def _called(prompts: Iterable[str]) -> str:
    """What a session without a title is called: its first prompt; its first slash command where there is only that."""
    commands = []
    for prompt in prompts:
        command = _COMMAND.search(prompt)
        if command is None:
            return title(prompt)
        name, words = command.groups()
        if words and words.strip():
            return title(f"{name} {words}")
        commands.append(name)
    return commands[0] if commands else ""
