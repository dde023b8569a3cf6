"""What an agent says of an event or a run, as the columns of the store take it."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

import orjson

from workbench.data.ingest.normal import Usage
from workbench.data.store.storable import storable_text
from workbench.data.store.tables import SEVERITIES
from workbench.replay.capture.usage import usage_of
from workbench.replay.capture.values import plain

log = logging.getLogger(__name__)

LABEL_CHARS = 10_000  # of a name in a column of its own
MAX_COST = 1e10  # what the column holds
_USUAL = 2_000  # bytes of an event's columns, below which none is too long
_CLASSES = Usage.__slots__
_MAX_TOKENS = 2**53


def columns(header: list[Any], lane: str) -> bytes:
    """The columns of an event, as they are where all are what they should be."""
    duration = header[6]
    is_right = duration is None or (type(duration) in (int, float) and 0 <= duration < math.inf)
    if is_right and all(_is_label(value) for value in header[:5]) and header[0] and header[4] in SEVERITIES:
        try:
            data = orjson.dumps(header)
        except TypeError:  # a lone surrogate
            data = b"\\u0000"
        if len(data) < _USUAL and b"\\u0000" not in data:
            return data
    kind, name, agent, category, severity, at, duration, trace, span, parent, mark = header
    return orjson.dumps([
        label(kind) or "log", label(name), label(agent) or lane, label(category),
        severity if type(severity) is str and severity in SEVERITIES else "info", at, positive(duration, math.inf),
        trace, label(span), label(parent), mark,
    ])  # fmt: skip


def _is_label(value: Any) -> bool:
    return value is None or type(value) is str


def label(value: Any) -> str | None:
    """A short text for a column of its own."""
    text = text_of(value)
    return storable_text(text, limit=LABEL_CHARS) if text else None


def text_of(value: Any) -> str | None:
    """A value as text; ``None`` stays."""
    if value is None or type(value) is str:
        return value
    said = plain(value)
    return said if isinstance(said, str) else orjson.dumps(said).decode()


def number_of(value: Any) -> float | None:
    """A value as a finite number; ``None`` where it is none."""
    try:
        number = float(value)
    except Exception:  # noqa: BLE001 (whatever an agent's values do must not reach the agent)
        return None
    return number if math.isfinite(number) else None


def positive(value: Any, end: float) -> float | None:
    """A value as a number from 0 to below ``end``; ``None`` where it is none."""
    number = number_of(value)
    return number if number is not None and 0 <= number < end else None


def tokens_of(usage: Any) -> tuple[dict[str, int], dict[str, Any]]:
    """The classes of tokens that are ours, and the rest."""
    told = usage if type(usage) is dict and all(type(name) is str for name in usage) else plain(usage)
    if not isinstance(told, Mapping):
        return {}, {"usage": told}
    known = {name: n for name, n in told.items() if name in _CLASSES and type(n) is int and 0 <= n < _MAX_TOKENS}
    rest = {name: n for name, n in told.items() if name not in known and n is not None}
    if not rest:
        return known, rest
    _, theirs = usage_of({"usage": told})
    if theirs and theirs != known:
        return theirs, rest
    if not _warned:
        _warned.append(True)
        names = ", ".join(map(repr, rest))
        log.warning("usage has %s, which is counted nowhere. Classes are: %s.", names, ", ".join(_CLASSES))
    return known, rest


_warned: list[bool] = []
