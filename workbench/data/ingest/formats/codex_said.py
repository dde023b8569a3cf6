"""What is said in the items of a Codex rollout and in its events: which event repeats an item, what the user typed.

Of each text a number is kept that tells it from others, so that a rollout larger than memory can be gone through.
"""

from __future__ import annotations

from array import array

import numpy as np

from workbench.data.ingest.formats.codex_event import Line


class Said:
    """Takes the lines of one file, in order."""

    def __init__(self) -> None:
        self.has_prompts = False  # what the user typed is told by its events, not by how it begins
        self._items, self._item_lines = array("q"), array("q")
        self._events, self._event_lines = array("q"), array("q")

    def take(self, line: Line, n: int) -> None:
        """Note what the line of that number says."""
        if not line.said:
            return
        author, *texts = line.said
        if line.kind == "response_item":
            for text in dict.fromkeys(text for text in texts if isinstance(text, str)):
                self._items.append(hash((author, text)))
                self._item_lines.append(n)
        elif line.kind == "event_msg":
            self._events.append(hash((author, texts[0] or "")))
            self._event_lines.append(n)
            self.has_prompts = self.has_prompts or line.type == "user_message"

    def match(self) -> tuple[np.ndarray, np.ndarray]:
        """The lines of events that repeat an item, and the lines of items that no event repeats.

        Of items and events that say the same, the first event repeats the first item, and so on.
        """
        items, item_lines, events, event_lines = (
            np.frombuffer(values, dtype=np.int64) if values else np.empty(0, dtype=np.int64)
            for values in (self._items, self._item_lines, self._events, self._event_lines)
        )
        is_echo = _nth(events) < _n_of(events, items)
        is_repeated = _nth(items) < _n_of(items, events)
        # An item says several things: its whole text and its parts.
        return event_lines[is_echo], np.setdiff1d(item_lines, item_lines[is_repeated])


def _nth(values: np.ndarray) -> np.ndarray:
    """By value: how many of the same stand before it."""
    if not values.size:
        return values
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    places = np.arange(values.size)
    is_first = np.concatenate(([True], ordered[1:] != ordered[:-1]))
    out = np.empty(values.size, dtype=np.int64)
    out[order] = places - np.maximum.accumulate(np.where(is_first, places, 0))
    return out


def _n_of(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    """By value: how many others are the same."""
    ordered = np.sort(among)
    return np.searchsorted(ordered, values, "right") - np.searchsorted(ordered, values, "left")
