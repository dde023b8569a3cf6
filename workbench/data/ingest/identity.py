"""Ids for what has none in its source: a digest of what it says, the same wherever and however often it is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any

import orjson

_CHARS = 12


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
