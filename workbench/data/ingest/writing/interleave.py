"""The order of the steps of a run of which two files hold parts, as one file with all of them would have it.

Each part is in order. A step that stands in both holds them together; what one part alone has goes by time. Of a step
without a time its own part tells the place: behind the step before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

Times = Mapping[str, datetime | None]


def interleave(one: Sequence[str], other: Sequence[str], times: Times) -> list[str]:
    """The ids of both parts in one order, the same whichever part comes first.

    Parameters
    ----------
    times
        When the step of an id was, of all ids.
    """
    first, second = sorted((one, other), key=lambda part: _begin(part, times))
    in_first, in_second = set(first), set(second)
    reached = {**_reached(second, times), **_reached(first, times)}
    order: dict[str, None] = {}
    i = j = 0
    while i < len(first) and j < len(second):
        a, b = first[i], second[j]
        if a in order:
            i += 1
        elif b in order:
            j += 1
        elif (a in in_second) != (b in in_first):  # what stands in both waits for what stands before it
            order[b if a in in_second else a] = None
        else:
            order[a if reached[a] <= reached[b] else b] = None
    return [*dict.fromkeys([*order, *first[i:], *second[j:]])]


def _begin(part: Sequence[str], times: Times) -> tuple[float, str]:
    moment = next((moment for own in part if (moment := times[own]) is not None), None)
    return _NEVER if moment is None else moment.timestamp(), part[0] if part else ""


def _reached(part: Sequence[str], times: Times) -> dict[str, float]:
    """By step: how far the clock of its part had gone."""
    clock, _ = _begin(part, times)
    reached = {}
    for own in part:
        moment = times[own]
        # A step that stands behind a later one stays there; the part began no later than its first time.
        clock = max(clock, moment.timestamp()) if moment is not None else clock
        reached[own] = clock
    return reached


_NEVER = float("-inf")
