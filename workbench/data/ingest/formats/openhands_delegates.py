"""The delegates of an OpenHands run: which of its events are another agent's.

An agent may delegate a part of its task (``action: delegate``) to another. All events stand in one stream, and none
says whose it is; what stands between the action and the observation that ends it is the delegate's, for while it works
the one that called it does nothing. An observation ends the last delegate that was begun and not ended: a delegate may
have delegates. One without an end was cut off, or the agent went on without it, and nothing tells which: then no event
is taken for the delegate's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from workbench.data.ingest.normal import Step

Told = tuple[str | None, str | None]  # the last state of an agent, and why


class _Begun(NamedTuple):
    step: int
    agent: str | None
    before: Told


class Delegates:
    """Takes note of where delegates begin and end, by the numbers of the steps."""

    def __init__(self) -> None:
        self._open: list[_Begun] = []
        self._ended: list[tuple[_Begun, int]] = []  # and the number of the step that ended it

    @property
    def begun(self) -> int | None:
        """The step that began the delegate whose turn it is."""
        return self._open[-1].step if self._open else None

    def begin(self, step: int, agent: str | None, before: Told) -> None:
        """A delegate begins; ``before`` is the state of the agent that called it."""
        self._open.append(_Begun(step, agent, before))

    def end(self, step: int) -> Told | None:
        """A delegate ends: the state that the agent goes back to; ``None`` where none was begun."""
        if not self._open:
            return None
        begun = self._open.pop()
        self._ended.append((begun, step))
        return begun.before

    def nest(self, steps: Sequence[Step]) -> None:
        """Put what delegates did into lanes, named after them, under the step that called them."""
        seen: Counter[str] = Counter()
        lanes: list[tuple[str, int, int]] = []
        for begun, end in sorted(self._ended, key=lambda ended: ended[0].step):
            kind = begun.agent or "delegate"
            seen[kind] += 1
            lanes.append((f"{kind} #{seen[kind]}" if seen[kind] > 1 else kind, begun.step, end))
        taken: set[int] = set()
        for lane, begun, end in reversed(lanes):  # a delegate's own delegates before it
            for n in set(range(begun + 1, end)) - taken:
                steps[n].agent = lane
                if steps[n].parent_span_id is None:
                    steps[n].parent_span_id = steps[begun].span_id
            taken.update(range(begun + 1, end))

    def others(self, steps: Iterable[Step]) -> Iterator[Step]:
        """The steps that are of no delegate."""
        inside = {n for begun, end in self._ended for n in range(begun.step + 1, end)}
        return (step for n, step in enumerate(steps) if n not in inside)
