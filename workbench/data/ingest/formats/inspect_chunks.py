"""A sample of a ``.eval`` file that is stored in pieces, each an entry of its own (inspect_ai, from mid 2026).

Beside ``samples/<id>_epoch_<n>/sample.json``, which holds the small fields, there is a sequence each of ``messages``,
``events``, ``calls`` and ``attachments``: entries named by the number of their first item, ``events/1000.json``. Events
and the final conversation (``message_refs``) name messages and calls by ``[start, end)``, and texts by their number
(``attachment://3``). Put together, they are the sample as one entry would hold it. ``skeleton.json``,
``events/stats.json`` and ``events/uuids.json`` are made from the events and say nothing more. One log may hold samples
of both kinds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from workbench.data.ingest.formats.inspect_attachments import ranges
from workbench.data.ingest.reading.chat import elements

SEQUENCES = ("messages", "events", "calls", "attachments")

_PIECE = re.compile(
    r"(samples/.+_epoch_\d+)/(?:(messages|events|calls|attachments)/(\d{1,12})|sample|metadata)\.json", re.S
)
_DERIVED = re.compile(r"samples/.+_epoch_\d+/(?:skeleton|events/stats|events/uuids)\.json", re.S)
_MAX_GAP = 1_000_000  # items that a name may leave out before it is taken for damage


@dataclass(slots=True)
class Pieces:
    """The entries of one sample.

    Attributes
    ----------
    name
        What the entry would be called that held the whole sample, without ``.json``.
    chunks
        By sequence: number of the first item → entry.
    """

    name: str
    chunks: dict[str, dict[int, str]] = field(default_factory=lambda: {name: {} for name in SEQUENCES})
    has_metadata: bool = False

    def whole(self, load: Callable[[str], tuple[Any, str]]) -> tuple[dict[str, Any] | None, list[str]]:
        """The sample as one entry would hold it, and what is wrong with its pieces; ``None`` where it has no fields.

        Parameters
        ----------
        load
            Gives an entry as JSON, or says why there is none.
        """
        shell, problem = load(f"{self.name}/sample.json")
        if problem or not isinstance(shell, dict):
            return None, [f"{self.name}/sample.json: {problem or 'expected an object'}"]
        problems: list[str] = []
        found = {name: self._sequence(name, load, problems) for name in SEQUENCES}
        sample = {key: value for key, value in shell.items() if key != "message_refs"}
        refs = elements(shell.get("message_refs"))
        conversation = ranges(refs, found["messages"])
        if conversation is None:
            problems.append(f"{self.name}/sample.json: message_refs name the same messages again and again")
            sample["message_refs"] = refs
        sample["messages"] = conversation or []
        sample["events"] = [event for event in found["events"] if event is not None]
        sample["attachments"] = {str(n): text for n, text in enumerate(found["attachments"]) if text is not None}
        sample["events_data"] = {"messages": found["messages"], "calls": found["calls"]}
        if self.has_metadata:
            metadata, problem = load(f"{self.name}/metadata.json")
            if problem:
                problems.append(f"{self.name}/metadata.json: {problem}")
            else:
                sample["metadata"] = metadata
        return sample, problems

    def _sequence(self, name: str, load: Callable[[str], tuple[Any, str]], problems: list[str]) -> list[Any]:
        """The items of a sequence, each at its number; ``None`` where the entry that holds it is damaged."""
        items: list[Any] = []
        for start, entry in sorted(self.chunks[name].items()):
            found, problem = load(entry)
            if not problem and not isinstance(found, list):
                problem = "expected a list"
            if problem:
                problems.append(f"{entry}: {problem}")
            elif not len(items) <= start <= len(items) + _MAX_GAP:
                problems.append(f"{entry}: its first item is to be number {start}, {len(items)} are before it")
            else:
                if start > len(items) and not any(p.startswith(f"{self.name}/{name}/") for p in problems):
                    problems.append(f"{self.name}/{name}: items {len(items)} to {start - 1} are not in the archive")
                items += [None] * (start - len(items)) + found
        return items


def gather(names: Iterable[str]) -> tuple[dict[str, Pieces], int]:
    """The samples in pieces, by the name of each entry that belongs to one; and how many entries are only derived."""
    pieces: dict[str, Pieces] = {}
    by_entry: dict[str, Pieces] = {}
    n_derived = 0
    for name in names:
        if found := _PIECE.fullmatch(name):
            own = by_entry[name] = pieces.setdefault(found[1], Pieces(found[1]))
            if found[2]:
                own.chunks[found[2]][int(found[3])] = name
            own.has_metadata |= name.endswith("/metadata.json")
        else:
            n_derived += is_derived(name)
    return by_entry, n_derived


def is_derived(name: str) -> bool:
    """Whether an entry of a sample in pieces only repeats what its events say."""
    return _DERIVED.fullmatch(name) is not None
