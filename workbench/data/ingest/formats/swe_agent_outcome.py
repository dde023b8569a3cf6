"""What the layouts of SWE-agent share: the instance that was tried, how the run ended, what it cost."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from workbench.data.ingest.normal import Run, TaskRef, Usage, total
from workbench.data.ingest.reading.chat import count, last_answer, mapping, number, text_or_none, title
from workbench.data.ingest.reading.openai_usage import disjoint, price
from workbench.data.ingest.reading.source import Source

# owner__repository-number, as SWE-bench names its instances and the agents their files.
_INSTANCE = re.compile(r"[\w.-]+?__[\w.-]+?-\d+")
_REPLAYED = "recorded as 0, and so are the tokens: a replay or a person, not a model, stored as null"


def instance_of(given: Any, source: Source) -> str | None:
    """The instance that the source names, or else the one the file is named after."""
    if isinstance(given, str) and given:
        return given
    match = _INSTANCE.match(source.file_name)
    if match is None:
        return None
    source.kept("instance", "not in the file: taken from the file's name")
    return match.group()


def task(instance: str | None, issue: Any = None) -> TaskRef | None:
    """The task of an instance; ``None`` where it is not known."""
    if instance is None:
        return None
    text = text_or_none(issue)
    return TaskRef(instance, f"swe-agent {instance}" + (f": {title(text)}" if text else ""), text)


def finish(run: Run, info: Any, source: Source) -> None:
    """Set outcome, output, tokens and cost from the ``info`` of a trajectory."""
    info = mapping(info)
    _judge(run, info)
    submission = text_or_none(info.get("submission"))
    run.output = {"submission": submission} if submission else last_answer(run.steps)
    stats = mapping(info.get("model_stats"))
    calls, cost = count(stats.get("api_calls")), number(stats.get("instance_cost"))
    sent, received = count(stats.get("tokens_sent")), count(stats.get("tokens_received"))
    run.usage = total(step.usage for step in run.steps)
    is_counted = bool(sent or received) or run.usage is not None
    if cost == 0 and not is_counted and (sent == 0 or not calls):
        source.changed("cost", _REPLAYED)
        return
    if run.usage is None:
        run.usage = disjoint(prompt=sent, read=None, output=received, source=source)
    run.cost_usd = run.reported_cost_usd = price(cost, run.usage, source, is_call=True)
    if sent or received:  # 0 where nobody counted
        run.reported_usage = Usage(input_tokens=sent, output_tokens=received)


def _judge(run: Run, info: Mapping[str, Any]) -> None:
    """Submitted is completed; what stopped it otherwise is its error; without a word it is still going on."""
    if not info:
        return  # this layout does not say
    status = info.get("exit_status")
    if status is None or status == "":
        run.status = "running"
    elif str(status).lower() != "submitted":
        run.status, run.error_type, run.error = "failed", str(status), f"The run ended with {status}."
        told = text_or_none(info.get("traceback")) or text_or_none(info.get("exception_str"))
        run.error = f"{run.error}\n{told}" if told else run.error
