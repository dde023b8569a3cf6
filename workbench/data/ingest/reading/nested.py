"""Runs whose source is a tree of steps: order, lanes, tokens counted once, the outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from math import fsum
from typing import Any

from workbench.data.ingest.normal import Run, Step, Usage, total
from workbench.data.ingest.reading.chat import known, text_or_none
from workbench.data.ingest.reading.conversation import answer, conversation
from workbench.data.ingest.reading.identity import digest
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.reading.tree import Tree

_REPEATED = "repeats that of what is inside it: counted once, the source's own numbers kept in data.extra"
_UNPRICED = "no price for a call that used tokens: the sum of the others is not taken for the run's"
_NO_PRICE = "recorded as 0 although tokens were used: the recorder knew no price, stored as null"
_LAST = datetime.max.replace(tzinfo=UTC)


class Steps(Tree[Step]):
    """The steps of one run, each with its own ``span_id`` and ``parent_span_id``.

    Parameters
    ----------
    steps
        In any order, for exports list them in any.
    order
        A text for each by which the source sorts those that start together; their ids where it has none.
    """

    def __init__(self, steps: list[Step], order: list[str] | None = None) -> None:
        super().__init__(steps)
        self._order = {id(step): text for step, text in zip(steps, order or [""] * len(steps), strict=True)}

    def outermost(self) -> list[Step]:
        """The steps that have none around them, in order."""
        return sorted(self.tops, key=self._place)

    def in_order(self) -> list[Step]:
        """By start; what starts together: outer before inner, then as the source sorts them, then by id."""
        return sorted(self.items, key=self._place)

    def _place(self, step: Step) -> tuple[Any, ...]:
        return step.timestamp or _LAST, self.depth(step), self._order[id(step)], step.source_id or ""

    def count_once(self, source: Source | None) -> None:
        """Take away tokens and cost of a step around others that have them: it repeats their sum."""
        for what in ("usage", "cost_usd"):
            around = self.around(lambda step, what=what: getattr(step, what) is not None)
            for step in self.items:
                if id(step) in around and getattr(step, what) is not None:
                    setattr(step, what, None)
                    if source is None:
                        continue
                    source.changed("tokens" if what == "usage" else "cost", _REPEATED)

    def set_lanes(self, agent: Callable[[Step], str | None]) -> None:
        """Put each step into the lane of the agent it is, or of the nearest one around it."""
        lanes = self.inherited(agent)
        for step in self.items:
            step.agent = lanes[id(step)]

    def failure(self) -> Step | None:
        """The step that made the run fail: an outermost one, or the last one inside it.

        An error inside that was retried or caught is not the end of a run.
        """
        outermost = self.outermost()
        for top in outermost:
            if top.severity in ("error", "critical"):
                return top
        for top in outermost:
            last = max(self.children(top), key=lambda step: (_end(step), step.source_id or ""), default=None)
            if last is not None and last.severity in ("error", "critical"):
                return last
        return None

    def fill(self, run: Run, source: Source | None) -> None:
        """Give a run its steps and what follows from them: times, model, tokens and cost."""
        # Others on top are orphans: what is around them may lie in a file that comes later.
        roots = [step for step in self.tops if step.parent_span_id is None]
        top = roots[0] if len(roots) == 1 else None
        told = (top.usage, top.cost_usd) if top is not None else (None, None)
        self.count_once(source)
        if top is not None:  # what it repeats of the steps inside it is what the source gives as the whole
            run.reported_usage = told[0] if top.usage is None else None
            run.reported_cost_usd = told[1] if top.cost_usd is None else None
        run.steps = self.in_order()
        starts = [step.timestamp for step in run.steps if step.timestamp is not None]
        run.started_at = run.started_at or min(starts, default=None)
        run.completed_at = run.completed_at or max(
            (end for step in run.steps if (end := _end(step)) > _NEVER), default=None
        )
        calls = [step for step in run.steps if step.event_type == "llm_call"]
        run.model = run.model or next((step.model for step in (*calls, *run.steps) if step.model), None)
        run.usage = total(step.usage for step in run.steps)
        run.cost_usd = self._cost(source)

    def _cost(self, source: Source | None) -> float | None:
        """The sum of the prices; null where a call that used tokens has none, in itself or in what is around it."""
        priced = [step.cost_usd for step in self.items if step.cost_usd is not None]
        covered = self.inherited(lambda step: "yes" if step.cost_usd is not None else None)
        inside = self.around(lambda step: step.cost_usd is not None)
        unpriced = [s for s in self.items if s.usage is not None and not covered[id(s)] and id(s) not in inside]
        if unpriced and source is None:
            return None
        if unpriced and source is not None:
            source.changed("cost", _UNPRICED, len(unpriced))
            return None
        return fsum(priced) if priced else None


def united(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """What two parts say of one trace; where they differ, one of both, the same whichever came first."""
    both = {**a, **b}
    for name in a.keys() & b.keys():
        if a[name] != b[name]:
            both[name] = max((a[name], b[name]), key=lambda value: (value not in (None, "", [], {}), digest(value)))
    return both


def add_call(step: Step, given: Any, answered: Any, raw: Any, extra: dict[str, Any]) -> None:
    """Make a step a model call: what it was given as messages, its answer as text and tool calls.

    Both also stay in ``extra`` as they were, where messages and text do not say it all. ``raw`` is the answer before it
    was decoded.
    """
    asked = conversation(given, "user")
    said = conversation(answered, "assistant")
    step.role = "assistant"
    step.text, calls = answer(said)
    step.tool_calls = calls or None
    if said is None:
        step.text = text_or_none(answered if isinstance(answered, str) else raw)
    extra |= known(
        input_messages=asked,
        input=given if given != asked else None,
        output=answered if answered != step.text and raw != step.text else None,
    )


def add_tool(step: Step, call_id: Any, given: Any, result: Any) -> None:
    """Make a step a call of the tool it is named after."""
    is_error = True if step.severity == "error" else None
    step.role = "tool"
    step.tool = known(name=step.name, call_id=call_id, arguments=given, result=result, is_error=is_error)


def misfits(record: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The fields that should be texts and are none, as they were."""
    return {name: record[name] for name in names if record.get(name) is not None and not isinstance(record[name], str)}


def priced(cost: float | None, usage: Usage | None, source: Source) -> float | None:
    """The price of a step; 0 for a call that used tokens means that the recorder knew none."""
    if cost == 0 and usage is not None:
        source.changed("cost", _NO_PRICE)
    return cost or None


_NEVER = datetime.min.replace(tzinfo=UTC)


def _end(step: Step) -> datetime:
    if step.timestamp is None:
        return _NEVER
    try:
        return step.timestamp + timedelta(milliseconds=step.duration_ms or 0)
    except (OverflowError, ValueError):
        return step.timestamp
