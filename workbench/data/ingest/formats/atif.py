"""Agent Trajectory Interchange Format, v1.0 to v1.8: one object ``{schema_version, session_id, agent, steps, …}``.

One step of the trajectory is one step of the run; it may hold several calls and their results. Four readings need care.
A session id belongs to a run, not to a file: files that share one are parts of one run, unless they name a
``trajectory_id``; an id without any digit (``NORMALIZED_SESSION_ID``) is a placeholder and is told apart by what the
agent said first. Trajectories of sub-agents are runs of their own, linked to the one that started them: those inside
the file by place, those in files of their own by the session id that is built on their parent's, or by their path.
``prompt_tokens`` include the cached ones. And ``final_metrics`` may include what the steps do not show: the run's
tokens are the sum of its steps, and every difference is noted.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from workbench.data.ingest.formats.atif_step import own_id, read_step
from workbench.data.ingest.normal import BadLine, FileLink, Run, Step, Usage, total
from workbench.data.ingest.reading.chat import (
    count,
    elements,
    known,
    last_answer,
    mapping,
    number,
    rest,
    text_or_none,
    title,
)
from workbench.data.ingest.reading.identity import digest, opening
from workbench.data.ingest.reading.openai_usage import disjoint, inclusive, price
from workbench.data.ingest.reading.source import Head, Source, kind_of

FORMAT = "atif"
TITLE = "Agent Trajectory Interchange Format (.json)"
HAS_PARENTS = True  # a sub-agent's file may be read before or after that of its parent
NAMES_FILES = True  # … and be named by its path alone

_VERSION = re.compile(rb'"schema_version"\s*:\s*"ATIF-v')
_KNOWN = {f"ATIF-v1.{minor}" for minor in range(9)}
_CONTINUATION = re.compile(r"(?P<parent>.+)-cont-\d+")
_CHILD = re.compile(r"(?P<parent>.+)-summarization-\d+-[a-z]+")  # as the format's own agent names them
_TOTALS = {"prompt_tokens": "total_prompt_tokens", "completion_tokens": "total_completion_tokens",
           "cached_tokens": "total_cached_tokens"}  # fmt: skip

_HUGE = 1e300  # a number of any length may stand in a file; a float ends a little above


def detect(head: Head) -> float:
    """How surely the file is one of these."""
    if not head.data.lstrip().startswith(b"{") or "schema_version" not in head.keys:
        return 0.0
    if _VERSION.search(head.data):
        return 0.95
    return 0.8 if {"agent.name", "steps.step_id", "steps.source"} <= head.keys else 0.0


@dataclass
class _Document:
    """One trajectory and its place among those of the file."""

    record: Mapping[str, Any]
    source_id: str
    parent: str | None = None
    where: str = ""  # shown before the reason of what cannot be read
    started_by: Mapping[str, Any] | None = None
    spawned_by: str | None = None
    is_continued: bool = False
    children: list[_Document] = field(default_factory=list)

    def below(self) -> Iterator[_Document]:
        """The trajectories inside this one, at every depth."""
        pending = list(self.children)
        while pending:
            child = pending.pop()
            pending += child.children
            yield child


def read(source: Source) -> Iterator[Run | BadLine]:
    """One run for the trajectory and one for each that it holds; what cannot be read is reported with its place."""
    source.is_strict = True
    value = source.document().value
    if not isinstance(value, dict) or not isinstance(value.get("steps"), list):
        yield BadLine(None, f"expected an object with a list steps, found {kind_of(value)}")
        return
    session = str(value.get("session_id"))
    parent = _CHILD.fullmatch(session) or _CONTINUATION.fullmatch(session)
    documents = [_Document(value, _source_id(value, source), parent.group("parent") if parent else None)]
    documents[0].is_continued = parent is not None and parent.re is _CONTINUATION
    for document in documents:  # grows while it is walked: no trajectory is too deep
        for item in _children(document, source):
            if isinstance(item, BadLine):
                yield item
            else:
                document.children.append(item)
                documents.append(item)
    for document in documents:
        yield from _run(document, source)


def _source_id(record: Mapping[str, Any], source: Source) -> str:
    """The id of a trajectory that is a file of its own."""
    session, trajectory = text_or_none(record.get("session_id")), text_or_none(record.get("trajectory_id"))
    if trajectory is not None:
        return trajectory if session in (None, trajectory) else f"{session}/{trajectory}"
    if session is not None and any(sign.isdigit() for sign in session):
        return session
    source.kept("run id", "no session id that could be one: made from the steps up to the agent's first")
    begun = digest(_opening(record))
    return f"{session}/{begun}" if session else begun


def _opening(record: Mapping[str, Any]) -> list[Any]:
    steps = [mapping(step) for step in elements(record.get("steps"))]
    begun = opening(steps, lambda step: step.get("source") == "agent")
    return [[step.get(key) for key in ("source", "message", "tool_calls", "timestamp")] for step in begun]


def _children(document: _Document, source: Source) -> Iterator[_Document | BadLine]:
    """The trajectories of sub-agents that lie in another."""
    references, spawns = _references(document.record), _spawns(document.record)
    seen: Counter[str] = Counter()
    for index, record in enumerate(elements(document.record.get("subagent_trajectories"))):
        where = f"{document.where}sub-agent {index}: "
        if not isinstance(record, dict) or not isinstance(record.get("steps"), list):
            yield BadLine(None, f"{where}expected an object with a list steps, found {kind_of(record)}")
            continue
        own = text_or_none(record.get("trajectory_id")) or text_or_none(record.get("session_id"))
        if own is None:
            source.kept("run id", "a sub-agent without id: made from its steps up to its first own")
        key = own or digest(_opening(record))
        seen[key] += 1
        if seen[key] > 1:
            source.changed("run id", "repeated among the sub-agents of a run: the later has an id of its own")
            key = f"{key}#{seen[key]}"
        yield _Document(
            {"session_id": document.record.get("session_id"), **record},
            f"{document.source_id}/{key}",
            document.source_id,
            where,
            references.get(own or ""),
            spawned_by=spawns.get(own or ""),
        )


def _references(record: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Which step and call started the sub-agent of an id."""
    found: dict[str, Mapping[str, Any]] = {}
    for step in map(mapping, elements(record.get("steps"))):
        for result in map(mapping, elements(mapping(step.get("observation")).get("results"))):
            for reference in map(mapping, elements(result.get("subagent_trajectory_ref"))):
                for key in ("session_id", "trajectory_id"):
                    if isinstance(reference.get(key), str):
                        call = result.get("source_call_id")
                        found[reference[key]] = known(step_id=step.get("step_id"), source_call_id=call)
    return found


def _run(document: _Document, source: Source) -> Iterator[Run | BadLine]:
    record = document.record
    agent = mapping(record.get("agent"))
    model = text_or_none(agent.get("model_name"))
    steps: list[Step] = []
    for index, step in enumerate(record["steps"]):
        if isinstance(step, dict):
            steps.append(read_step(step, len(steps) + 1, model, source))
        else:
            yield BadLine(None, f"{document.where}step {index}: expected an object, found {kind_of(step)}")
    version = record.get("schema_version")
    if not isinstance(version, str) or version not in _KNOWN:
        source.kept("schema_version", "not one of ATIF-v1.0 to v1.8: read as those are")
    asked = next((step.text for step in steps if step.role == "user" and step.text), None)
    times = [step.timestamp for step in steps if step.timestamp is not None]
    models = Counter(step.model for step in steps if step.model)
    run = Run(
        source_id=document.source_id,
        agent_type=text_or_none(agent.get("name")) or FORMAT,
        name=title(asked) or document.source_id,
        model=model or (models.most_common(1)[0][0] if models else None),
        started_at=min(times, default=None),
        completed_at=max(times, default=None),
        input={"prompt": asked} if asked else None,
        output=last_answer(steps),
        parent_source_id=document.parent,
        spawned_by=document.spawned_by,
        link="continued" if document.is_continued else None,
        spawns=_spawns(record),
        linked_files=_files(record),
        metadata=_metadata(document),
        steps=steps,
    )
    run.usage, run.cost_usd = _totals(document, steps, source)
    final = mapping(document.record.get("final_metrics"))
    given, made, read = (
        count(final.get(_TOTALS[key])) for key in ("prompt_tokens", "completion_tokens", "cached_tokens")
    )
    run.reported_usage = inclusive(given, read, made)
    run.reported_cost_usd = number(final.get("total_cost_usd"))
    yield run


def _spawns(record: Mapping[str, Any]) -> dict[str, str]:
    """The trajectories in files of their own that a step refers to, by the ids that they may have there."""
    found: dict[str, str] = {}
    for step in map(mapping, elements(record.get("steps"))):
        for result in map(mapping, elements(mapping(step.get("observation")).get("results"))):
            for reference in map(mapping, elements(result.get("subagent_trajectory_ref"))):
                ids = [text_or_none(reference.get(key)) for key in ("session_id", "trajectory_id")]
                found |= {name: own_id(step) for name in (*ids, "/".join(filter(None, ids))) if name}
    return found


def _files(record: Mapping[str, Any]) -> dict[str, FileLink]:
    """The files that hold a sub-agent's trajectory, or what comes after the last step."""
    found: dict[str, FileLink] = {}
    steps = [step for step in elements(record.get("steps")) if isinstance(step, dict)]
    for step in steps:
        for result in map(mapping, elements(mapping(step.get("observation")).get("results"))):
            for reference in map(mapping, elements(result.get("subagent_trajectory_ref"))):
                if path := text_or_none(reference.get("trajectory_path")):
                    session = text_or_none(reference.get("session_id"))
                    found.setdefault(path, FileLink(own_id(step), session_id=session))
    if steps and (path := text_or_none(record.get("continued_trajectory_ref"))):
        found[path] = FileLink(own_id(steps[-1]), "continued")
    return found


def _metadata(document: _Document) -> dict[str, Any]:
    record = document.record
    placed = [
        name for name, kind in (("steps", list), ("subagent_trajectories", list)) if type(record.get(name)) is kind
    ]
    out = rest(record, *placed) or {}
    if isinstance(record.get("agent"), dict):
        out["agent"] = rest(record["agent"], "name") or {}
    if document.started_by:
        out["started_by"] = document.started_by
    return out


def _totals(document: _Document, steps: list[Step], source: Source) -> tuple[Usage | None, float | None]:
    """Tokens and cost of a run: those of its steps, compared with what the trajectory gives as its totals."""
    final = mapping(document.record.get("final_metrics"))
    usage = total(step.usage for step in steps)
    told = {key: count(final.get(name)) for key, name in _TOTALS.items()}
    if usage is None:
        if any(value is not None for value in told.values()):
            source.kept("tokens", "of no step in the source: those of final_metrics are the run's")
        usage = disjoint(
            prompt=told["prompt_tokens"], read=told["cached_tokens"], output=told["completion_tokens"], source=source
        )
    else:
        for key, name in _TOTALS.items():
            _compare(name, told[key], _sum(document, key), sum(filter(None, _below(document, key))), source)
        cached, uncached = told["cached_tokens"], usage.input_tokens
        if usage.cache_read_tokens is None and cached is not None and uncached is not None and cached <= uncached:
            source.kept("tokens", "read from the cache: of no step in the source, taken from final_metrics")
            usage = replace(usage, input_tokens=uncached - cached, cache_read_tokens=cached)
    n_steps = count(final.get("total_steps"))
    _compare("total_steps", n_steps, len(document.record["steps"]), 0, source)
    return usage, _cost(document, steps, usage, source)


def _cost(document: _Document, steps: list[Step], usage: Usage | None, source: Source) -> float | None:
    recorded = number(mapping(document.record.get("final_metrics")).get("total_cost_usd"))
    billed = [step for step in steps if step.usage is not None or step.cost_usd is not None]
    costs = [step.cost_usd for step in billed if step.cost_usd is not None]
    if costs and len(costs) == len(billed):
        summed = sum(costs)
        _compare("total_cost_usd", recorded, summed, sum(filter(None, _below(document, "cost_usd"))), source)
        return summed
    if recorded is None:
        if costs:
            source.changed("cost", "some steps have no cost: the sum of the others is not taken for the run's")
        return None
    if document.children:
        source.changed("cost", "total_cost_usd includes sub-agents: kept in metadata, the run's own is null")
        return None
    source.kept("cost", "not of every step in the source: that of final_metrics is the run's")
    return price(recorded, usage, source)


def _sum(document: _Document, key: str) -> int | float | None:
    """The sum of a number over the steps that are the trajectory's own."""
    steps = map(mapping, elements(document.record.get("steps")))
    own = [mapping(step.get("metrics")).get(key) for step in steps if step.get("is_copied_context") is not True]
    if key == "cost_usd":
        costs = [value for value in map(number, own) if value is not None]
        return sum(costs) if costs else None
    counts = [value for value in map(count, own) if value is not None]
    return sum(counts) if counts else None


def _below(document: _Document, key: str) -> Iterator[int | float | None]:
    return (_sum(child, key) for child in document.below())


def _compare(name: str, told: float | None, summed: float | None, below: float, source: Source) -> None:
    """Note a total that neither the steps nor those with the sub-agents' add up to."""
    if told is None or summed is None:
        return
    told, summed, below = (value if abs(value) < _HUGE else math.inf for value in (told, summed, below))
    if any(math.isclose(told, value, rel_tol=1e-9, abs_tol=1e-12) for value in (summed, summed + below)):
        return
    why = f"the source says {told:,.10g}, its steps add up to {summed:,.10g}: the sum is stored, its own is in metadata"
    source.changed(f"final_metrics.{name}", why)
