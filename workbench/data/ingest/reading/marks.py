"""Mark the steps whose place in the tree lacks something: orphaned, unfinished.

``out_of_order`` is set by readers, for only they see where a step was written: those that place steps by their times
(Claude Code, tables). Spans are placed by their times too, but the order in which they are exported says nothing.

What is marked is placed all the same: under its run, in its lane, by its time, and its own claim (``parent_span_id``,
the id of its call) stays with it. Marks are made of what is known so far. When the missing part is read, from the same
file grown or from another one, they are made again from all of it, so they are the same in whatever order files come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from workbench.data.ingest.normal import Mark, Step

IsOpen = Callable[[Step], bool]

_SPANS = ("span", "llm_call", "tool_call")
_ENDS = ("end_time_unix_nano", "end_time_ns", "end_time", "endTime")
_ACTS = ("tool_call", "message")  # where a call is an act; in a model call or a span it is a part of an answer


class Known:
    """What the steps of one run hold: spans, calls and answers. Steps may be taken one by one, from a first pass.

    Parameters
    ----------
    is_open
        Says of a step that its source wrote down no end of it although such steps have one.
    """

    def __init__(self, is_open: IsOpen | None = None) -> None:
        self._is_open = is_open or _never
        self._spans: set[str] = set()
        self._calls: set[str] = set()
        self._answers: set[str] = set()

    def take(self, step: Step) -> None:
        """Note what a step brings."""
        if step.span_id is not None:
            self._spans.add(step.span_id)
        if step.tool is None and not step.tool_calls:
            return
        known = self._answers if step.event_type == "tool_result" else self._calls
        known.update(_ids(step))

    def mark_of(self, step: Step) -> Mark | None:
        """The mark of a step, when all have been taken."""
        if self._is_open(step) or (
            step.event_type in _ACTS and any(call not in self._answers for call in _open_calls(step))
        ):
            return "unfinished"
        if step.parent_span_id and step.parent_span_id not in self._spans:
            return "orphaned"
        if step.event_type == "tool_result":
            # One of several results is enough to place the step that holds them.
            ids = list(_ids(step))
            if ids and self._calls.isdisjoint(ids):
                return "orphaned"
        return "out_of_order" if step.mark == "out_of_order" else None


def mark(steps: Iterable[Step], is_open: IsOpen | None = None) -> None:
    """Set the marks of all steps of a run."""
    steps = list(steps)
    known = Known(is_open)
    for step in steps:
        known.take(step)
    for step in steps:
        step.mark = known.mark_of(step)


def has_no_end(step: Step) -> bool:
    """Of formats whose steps are spans: one that began and has no end; ``extra`` keeps an end that cannot be used."""
    if step.timestamp is None or step.duration_ms is not None or step.event_type not in _SPANS:
        return False
    return not any(name in (step.extra or {}) for name in _ENDS)


def _ids(step: Step) -> Iterator[str]:
    for call in (step.tool, *(step.tool_calls or ())):
        if isinstance(call, Mapping) and isinstance(found := call.get("call_id"), str) and found:
            yield found


def _open_calls(step: Step) -> Iterator[str]:
    """The calls of a step that do not hold their answer themselves."""
    if step.duration_ms is not None:
        return
    for call in (step.tool, *(step.tool_calls or ())):
        if isinstance(call, Mapping) and not _has_answer(call) and isinstance(found := call.get("call_id"), str):
            yield found


def _has_answer(call: Mapping[str, Any]) -> bool:
    return "result" in call or "is_error" in call


def _never(_: Step) -> bool:
    return False
