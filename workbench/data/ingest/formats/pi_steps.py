"""The entries of a pi session, one after the other, finished with what the whole session says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from workbench.data.ingest.formats.pi_entry import Entry
from workbench.data.ingest.formats.pi_session import Session
from workbench.data.ingest.normal import Mark, Step
from workbench.data.ingest.reading.chat import known, mapping
from workbench.data.ingest.reading.times import elapsed_ms


class Finisher:
    """Finishes the entries in their order: copies, pairs, nests, marks."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._prompts: dict[int, str | None] = {}  # those that later entries stand under

    def steps(self, entries: Iterable[tuple[int, Entry]]) -> Iterator[Step]:
        """The steps of the entries, given with their numbers."""
        for n, entry in entries:
            if self._session.is_copied[n]:
                _copied(entry)
            self._pair(n, entry)
            self._nest(n, entry)
            entry.step.extra = entry.extra or None
            entry.step.mark = self._mark(entry)
            yield entry.step

    def _pair(self, n: int, entry: Entry) -> None:
        """Put a result under its call; a call lasts until its last result."""
        step, calls = entry.step, self._session.calls
        for told in entry.calls:
            call_id = told.get("call_id")
            call = calls.get(call_id) if isinstance(call_id, str) else None
            if call is not None and call.n == n:
                lasted = elapsed_ms(call.at, call.answered_at)
                if lasted is not None:
                    step.duration_ms = max(lasted, step.duration_ms or 0.0)
        call = calls.get(entry.answers) if entry.answers is not None else None
        if call is not None and call.n >= 0:
            step.parent_span_id = call.span

    def _nest(self, n: int, entry: Entry) -> None:
        """Put what answers no call under the prompt of its branch; abandoned branches into lanes."""
        step, tree = entry.step, self._session.tree
        turn = int(tree.turns[n])
        if turn == n and tree.until[n] > n:
            self._prompts[n] = step.span_id
        if turn >= 0 and turn != n:
            if step.parent_span_id is None:
                step.parent_span_id = self._prompts[turn]
            if tree.until[turn] == n:
                del self._prompts[turn]
        if lane := int(tree.lanes[n]):
            step.agent = f"abandoned branch {lane}"
            entry.extra["is_off_branch"] = True

    def _mark(self, entry: Entry) -> Mark | None:
        """What the place of an entry lacks: the answer of a call, the call of an answer."""
        calls = self._session.calls
        if entry.answers is not None:
            return None if calls[entry.answers].n >= 0 else "orphaned"
        if entry.step.duration_ms is not None:
            return None
        asked = [call_id for told in entry.calls if isinstance(call_id := told.get("call_id"), str)]
        is_open = any(call_id not in calls or not calls[call_id].is_answered for call_id in asked)
        return "unfinished" if is_open else None


def _copied(entry: Entry) -> None:
    """The tokens and the cost of a copy are counted in the session it was copied from."""
    step, extra = entry.step, entry.extra
    extra["is_copied"] = True
    if step.usage is not None:
        told = {**step.usage.as_dict(), **known(cost_usd=step.cost_usd)}
        extra["usage"] = {**told, **mapping(extra.get("usage"))}
    step.usage = step.cost_usd = None
