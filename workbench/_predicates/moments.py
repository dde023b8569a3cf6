"""A step as a predicate sees it when it is fed step by step, and what sequences remember from one to the next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]  # an event, as in a frame of events, its data parsed
Said = Mapping[str, bool]  # what each part of the predicate says of the step; by its text


@dataclass(slots=True)
class Moment:
    """A step."""

    step: int
    events: Sequence[Row]
    state: Any
    has_snapshot: bool
    run: Mapping[str, Any]


Test = Callable[[Moment], bool]  # asked once for each step, in order


def is_of(row: Row, event_types: Sequence[str], where: Sequence[tuple[str, Sequence[str]]]) -> bool:
    """Whether an event is of one of these types (none = all) and has one of these values in each column."""
    if event_types and row.get("event_type") not in event_types:
        return False
    return all(
        row.get(column) in values or (column == "name" and any(name in values for name in _called(row)))
        for column, values in where
    )


def _called(row: Row) -> list[Any]:
    """The tools of a step that holds several calls."""
    data = row.get("data")
    calls = data.get("tool_calls") if isinstance(data, Mapping) else None
    return [call.get("name") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []


def then(said: Said, first: str, second: str, within: int | None) -> Test:
    """See :meth:`workbench._predicates.nodes.Predicate.then`."""
    last: list[int] = []

    def test(moment: Moment) -> bool:
        holds = said[second] and bool(last) and (within is None or moment.step - last[0] <= within)
        if said[first]:
            last[:] = [moment.step]
        return holds

    return test


def before(said: Said, first: str, second: str) -> Test:
    """See :meth:`workbench._predicates.nodes.Predicate.before`."""
    is_over = False

    def test(moment: Moment) -> bool:
        nonlocal is_over
        is_over = is_over or said[second]
        return said[first] and not is_over

    return test


def without(said: Said, first: str, second: str, within: int) -> Test:
    """See :meth:`workbench._predicates.nodes.Predicate.without`."""
    waiting: deque[int] = deque()  # steps that something has to follow

    def test(moment: Moment) -> bool:
        n = len(waiting)
        while waiting and waiting[0] + within < moment.step:  # its time was over before this step
            waiting.popleft()
        is_late = len(waiting) < n
        if said[second]:
            waiting.clear()
        if waiting and waiting[0] + within == moment.step:
            waiting.popleft()
            is_late = True
        if said[first]:
            waiting.append(moment.step)
        return is_late

    return test


def repeats(said_of: Callable[[Moment], set[Any]], n: int, within: int | None) -> Test:
    """See :meth:`workbench._predicates.nodes.Event.repeats`."""
    times: dict[Any, deque[int]] = {}

    def test(moment: Moment) -> bool:
        holds = False
        for key in said_of(moment):
            of_key = times.setdefault(key, deque(maxlen=n))
            of_key.append(moment.step)
            holds |= len(of_key) == n and (within is None or moment.step - of_key[0] <= within)
        return holds

    return test


def at_least(said: Said, inner: str, n: int, within: int | None) -> Test:
    """See :meth:`workbench._predicates.nodes.Predicate.at_least`."""
    times: deque[int] = deque(maxlen=n)

    def test(moment: Moment) -> bool:
        if not said[inner]:
            return False
        times.append(moment.step)
        return len(times) == n and (within is None or moment.step - times[0] <= within)

    return test


def begins(said: Said, inner: str) -> Test:
    """See :meth:`workbench._predicates.nodes.Predicate.begins`."""
    held = False

    def test(moment: Moment) -> bool:
        nonlocal held
        holds, held = said[inner] and not held, said[inner]
        return holds

    return test


def never(said: Said, inner: str, release: str | None) -> Test:
    """See :func:`workbench._predicates.makers.never`."""
    is_released = is_broken = False

    def test(moment: Moment) -> bool:
        nonlocal is_released, is_broken
        is_released = is_released or (release is not None and said[release])
        is_broken = is_broken or (said[inner] and not is_released)
        return not is_broken

    return test
