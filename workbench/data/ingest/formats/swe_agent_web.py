"""One run of SWE-agent's ``web_trajs.json``: ``{instance_id, model, resolved, history, submission, …}``.

``history`` holds thoughts, actions and outputs one after the other; each is one step. ``resolved`` is the judgement of
the instance's tests. ``created_at`` is when the issue's fix was proposed, long before the run, so it is no time of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from workbench.data.ingest.formats.swe_agent_messages import command_call
from workbench.data.ingest.formats.swe_agent_outcome import instance_of, task
from workbench.data.ingest.normal import BadLine, Run, Step
from workbench.data.ingest.reading.chat import elements, known, rest, text_or_none, title
from workbench.data.ingest.reading.identity import digest
from workbench.data.ingest.reading.source import Source, kind_of


def web_run(record: Mapping[str, Any], index: int, source: Source) -> Iterator[Run | BadLine]:
    """The run of a record, after the parts of its history that are none."""
    steps: list[Step] = []
    tool = None
    for place, part in enumerate(record["history"]):
        if not isinstance(part, dict):
            yield BadLine(None, f"run {index}: history {place}: expected an object, found {kind_of(part)}")
            continue
        steps.append(_step(part, tool))
        tool = steps[-1].name if steps[-1].event_type == "tool_call" else tool
    instance = instance_of(record.get("instance_id"), source)
    model, issue = text_or_none(record.get("model")), text_or_none(record.get("issue_text"))
    submission = text_or_none(record.get("submission"))
    run = Run(
        # Finished records, which do not grow; several runs of one instance may be published.
        source_id=f"{instance}/{model}/{digest(record['history'])}",
        agent_type="swe-agent",
        name=instance or title(issue) or None,
        model=model,
        input={"prompt": issue} if issue else None,
        output={"submission": submission} if submission else None,
        task=task(instance, issue),
        metadata=rest(record, "history", "instance_id", "model", *_placed(issue, submission)) or {},
        steps=steps,
    )
    _judge(run, record)
    yield run


def _placed(issue: str | None, submission: str | None) -> list[str]:
    return [name for name, text in (("issue_text", issue), ("submission", submission)) if text is not None]


def _step(part: Mapping[str, Any], tool: str | None) -> Step:
    kind = part.get("type")
    if kind == "thought":
        text = part.get("thought")
        placed = ["thought"] if isinstance(text, str) else []
        return Step(
            "message",
            name="assistant",
            category="assistant",
            role="assistant",
            text=text_or_none(text),
            extra=rest(part, "type", *placed),
        )
    action = part.get("action")
    if kind == "action" and isinstance(action, str) and action.strip():
        call = command_call(action)
        extra = rest(part, "type", "action")
        return Step("tool_call", name=call["name"], category="assistant", role="assistant", tool=call, extra=extra)
    if kind == "output":
        result = known(name=tool, result=part.get("output_terminal"))
        extra = rest(part, "type", "output_terminal")
        return Step("tool_result", name=tool, category="tool", role="tool", tool=result, extra=extra)
    return Step("log", name=kind if isinstance(kind, str) else None, extra=dict(part))


def _judge(run: Run, record: Mapping[str, Any]) -> None:
    resolved = record.get("resolved")
    if not isinstance(resolved, bool):
        return
    run.score = float(resolved)
    if not resolved:
        failed = [*elements(record.get("fail_f2p")), *elements(record.get("fail_p2p"))]
        tests = f": {len(failed)} of its tests fail" if failed else ""
        run.status, run.error_type, run.error = "failed", "unresolved", f"The instance is not resolved{tests}."
