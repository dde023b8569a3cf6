"""The tree of a pi session: which entry comes before which, and the branch where the session stands; in numbers."""

from __future__ import annotations

from array import array

import numpy as np

from workbench.data.ingest.formats.pi_entry import Entry

_NONE = -1


class Tree:
    """Takes the entries of one file, in order."""

    def __init__(self) -> None:
        self._own, self._above = array("q"), array("q")  # by entry: a number that tells its id, and its parent's
        self._is_session, self._has_id, self._has_parent = bytearray(), bytearray(), bytearray()

    def take(self, entry: Entry) -> None:
        """Note the place of an entry."""
        self._own.append(hash(entry.id))
        self._above.append(hash(entry.parent))
        self._is_session.append(entry.type == "session")
        self._has_id.append(entry.id is not None)
        self._has_parent.append(entry.parent is not None)

    def grow(self, is_prompt: np.ndarray) -> None:
        """All entries have been taken: by entry, its branch and the prompt above it."""
        parents = self._parents()
        self.is_active = self._branch(parents)
        n_lines = parents.size
        self.turns = np.full(n_lines, _NONE, dtype=np.int64)  # the prompt of its branch that an entry stands under
        self.until = np.full(n_lines, _NONE, dtype=np.int64)  # by prompt: the last entry under it
        self.lanes = np.zeros(n_lines, dtype=np.int64)  # of abandoned branches, from 1
        n_lanes = 0
        for n, before in enumerate(parents.tolist()):
            turn = n if is_prompt[n] else self.turns[before] if before >= 0 else _NONE
            self.turns[n] = turn
            if turn >= 0:
                self.until[turn] = n
            if not self.is_active[n]:
                lane = self.lanes[before] if before >= 0 else 0
                n_lanes += not lane
                self.lanes[n] = lane or n_lanes

    def _parents(self) -> np.ndarray:
        """By entry: the entry before it in the conversation.

        Without ids, and where the line of the parent could not be read, that is the line before. pi only ever appends:
        a parent further down is none.
        """
        is_session, has_id, has_parent = (
            np.frombuffer(flags, dtype=bool) for flags in (self._is_session, self._has_id, self._has_parent)
        )
        places = np.arange(is_session.size)
        before = np.maximum.accumulate(np.where(is_session, _NONE, places))
        last = np.concatenate(([_NONE], before[:-1]))
        found = np.where(has_parent, self._places(places[has_id]), places)
        parents = np.where((found >= 0) & (found < places), found, last)
        return np.where(is_session | (has_id & ~has_parent), _NONE, parents)

    def _places(self, with_id: np.ndarray) -> np.ndarray:
        """By entry: the last that has the id of its parent."""
        above = np.frombuffer(self._above, dtype=np.int64)
        if not with_id.size:
            return np.full(above.size, _NONE, dtype=np.int64)
        own = np.frombuffer(self._own, dtype=np.int64)[with_id]
        order = np.argsort(own, kind="stable")
        at = np.searchsorted(own[order], above, "right") - 1
        found = order[np.maximum(at, 0)]
        return np.where((at >= 0) & (own[found] == above), with_id[found], _NONE)

    def _branch(self, parents: np.ndarray) -> np.ndarray:
        """Where the last entry stands, and everything before it up to the root."""
        active = np.frombuffer(self._is_session, dtype=bool).copy()
        others = np.flatnonzero(~active)
        at = int(others[-1]) if others.size else _NONE
        while at >= 0 and not active[at]:
            active[at] = True
            at = int(parents[at])
        return active
