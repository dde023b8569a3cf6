"""Ids for what has none in its source: a digest of what it says, the same wherever and however often it is read."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from workbench.data.ingest.reading.source import Source

_CHARS = 12


class Ids:
    """Ids of the lines of one file, each different.

    Parameters
    ----------
    field
        What the source calls its id; noted in its report where a line repeats one.
    """

    def __init__(self, source: Source, field: str = "id") -> None:
        self._source = source
        self._field = field
        self._seen: set[int] = set()  # hashes: a file may have a million lines
        self._repeats: Counter[str] = Counter()

    def of(self, own: str | None, data: bytes) -> str:
        """The line's own id; without one its bytes tell, which stay when the file grows before or behind it."""
        found = own or line_id(data)
        key = hash(found)
        if key not in self._seen:
            self._seen.add(key)
            return found
        self._repeats[found] += 1
        if own:
            why = f"a line repeats the {self._field} of an earlier one: both kept, the later under an id of its own"
            self._source.changed(self._field, why)
        return f"{found}#{self._repeats[found] + 1}"

    def __contains__(self, own: object) -> bool:
        """Whether a line of this id was met."""
        return hash(own) in self._seen


def line_id(data: bytes) -> str:
    """The id of a line, or of a session that has none, told by bytes."""
    return f"line:{hashlib.blake2b(data, digest_size=12).hexdigest()}"


def digest(value: Any) -> str:
    """Twelve hex digits that tell one JSON value from another; the order of keys does not matter."""
    try:
        text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS, default=str)
    except TypeError:  # lone surrogates, integers beyond 64 bits
        text = json.dumps(value, sort_keys=True, default=str).encode()
    return hashlib.sha256(text).hexdigest()[:_CHARS]


def opening(records: Iterable[Any], is_act: Callable[[Any], bool]) -> list[Any]:
    """The records up to the first that the agent itself wrote, and that one.

    Runs of one task begin with the same prompt; what the agent says to it tells them apart. It stays as it is when the
    file grows.
    """
    begun = []
    for record in records:
        begun.append(record)
        if is_act(record):
            break
    return begun
