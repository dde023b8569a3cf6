"""Constants in predicates: JSON values that can be stored, and how they are written as Python."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from workbench._predicates.paths import Keys
from workbench.errors import ConfigurationError

_MAX_STEPS = 2**31  # no step has a greater number


def frozen(value: Any) -> Any:
    """A copy of a JSON value."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, str):
        return stored(value)
    if isinstance(value, (list, tuple)):
        return [frozen(item) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {stored(key): frozen(item) for key, item in value.items()}
    raise ConfigurationError(
        f"{value!r} ({type(value).__name__}) is no JSON value: None, True, False, a finite number, text, a list or a"
        " dict with text as keys. For times use since= and until= of bench.find().",
        value=value,
    )


def stored(text: str) -> str:
    """A text, if the store can hold it."""
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise ConfigurationError(
            f"{text!r} holds a NUL or half a character (a lone surrogate), which no stored text has.", value=text
        )
    return text


def written(value: Any) -> str:
    """A JSON value as Python writes it, texts in double quotes."""
    import json

    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{written(key)}: {written(item)}" for key, item in value.items()) + "}"
    return repr(value)


def stored_keys(keys: Keys) -> Keys:
    """The keys of a path, if the store can hold them."""
    return tuple(stored(key) for key in keys)


def count(given: Any, name: str, *, may_be_none: bool = False) -> int | None:
    """A number of steps or times, if it is one."""
    if given is None and may_be_none:
        return None
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given < _MAX_STEPS:
        raise ConfigurationError(f"{name}={given!r} must be a whole number of 1 or more, below 2³¹.", value=given)
    return given
