"""The order of what several files hold parts of, as one file with all of it would have it.

Each part is in order. What stands in several parts holds them together; what one part alone has goes behind the entry
that it names, and by time. Of an entry without a time its own part tells the place: behind the entry before it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence

Time = float | None
_NEVER = float("-inf")


def interleave(parts: Sequence[Sequence[int]], times: Sequence[Time], above: Mapping[int, int]) -> Iterator[int]:
    """The entries of all parts in one order, each once.

    Parameters
    ----------
    parts
        Numbers of entries, none twice in a part. Of parts that begin and end at the same times the first goes first.
    times
        By number: when it was, in any unit.
    above
        By number: the entry that it says it stands behind. Asked only where no part holds both.
    """
    n_held = array("q", [0]) * len(times)
    for part in parts:
        for own in part:
            n_held[own] += 1
    parts = sorted(parts, key=lambda part: _span(times[own] for own in part if n_held[own] < len(parts)))
    held, clocks = [0] * len(times), array("d", [_NEVER]) * len(times)  # bits of the parts; how far the clock had gone
    for place, part in enumerate(parts):
        clock, _ = _span(times[own] for own in part)
        for own in part:
            # An entry that stands behind a later one stays there; the part began no later than its first time.
            clock = max(clock, _NEVER if (at := times[own]) is None else at)
            held[own] |= 1 << place
            clocks[own] = max(clocks[own], clock)
    taken = bytearray(len(times))
    left = [iter(part) for part in parts]
    heads = [next(part, None) for part in left]

    def urgency(own: int) -> tuple[bool, bool, float, float, int]:
        waits = any(held[own] >> place & 1 and head != own for place, head in enumerate(heads))
        named = above.get(own)
        is_under = named is not None and not taken[named] and not held[named] & held[own]
        at = times[own]
        return waits, is_under, clocks[own], clocks[own] if at is None else at, held[own] & -held[own]

    while waiting := {head for head in heads if head is not None}:
        # Parts that contradict each other leave none that waits for nobody: then the one that would be next.
        own = min(waiting, key=urgency) if len(waiting) > 1 else waiting.pop()
        taken[own] = True
        yield own
        for place, head in enumerate(heads):
            while head is not None and taken[head]:
                head = next(left[place], None)
            heads[place] = head


def _span(times: Iterable[Time]) -> tuple[float, float]:
    """When a part begins and ends: its header, which all parts may repeat, says nothing of that."""
    begin, end = None, _NEVER
    for at in times:
        if at is not None:
            begin = at if begin is None else begin
            end = max(end, at)
    return _NEVER if begin is None else begin, end
