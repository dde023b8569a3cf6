"""What the operators say of two JSON values. The one place: searching and watching both ask here."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from typing import Any

from workbench._patch import same
from workbench._predicates.paths import MISSING

Operator = Callable[[Any, Any], Any]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _ordered(compare: Operator) -> Operator:
    def holds(a: Any, b: Any) -> bool:
        if (_is_number(a) and _is_number(b)) or (isinstance(a, str) and isinstance(b, str)):
            return compare(a, b)
        return False

    return holds


def _contains(a: Any, b: Any) -> bool:
    if isinstance(a, str):
        return isinstance(b, str) and b in a
    if isinstance(a, list):
        return any(same(item, b) for item in a)
    return isinstance(a, dict) and isinstance(b, str) and b in a


def _matches(a: Any, pattern: str) -> bool:
    return isinstance(a, str) and re.search(pattern, a) is not None


#: Of two values that are there; of a missing one nothing is true.
COMPARISONS: dict[str, Operator] = {
    "==": same,
    "!=": lambda a, b: not same(a, b),
    "<": _ordered(operator.lt),
    "<=": _ordered(operator.le),
    ">": _ordered(operator.gt),
    ">=": _ordered(operator.ge),
    "contains": _contains,
    "is_in": lambda a, b: isinstance(b, list) and any(same(a, item) for item in b),
    "matches": _matches,
    "exists": lambda a, b: True,
}


def _number(compute: Operator) -> Operator:
    def result(a: Any, b: Any) -> Any:
        if not _is_number(a) or not _is_number(b):
            return MISSING
        try:
            made = compute(a, b)
            return made if math.isfinite(made) else MISSING
        except (ZeroDivisionError, OverflowError):
            return MISSING

    return result


#: Of numbers; anything else has no result.
ARITHMETIC: dict[str, Operator] = {
    "+": _number(operator.add),
    "-": _number(operator.sub),
    "*": _number(operator.mul),
    "/": _number(operator.truediv),
    "%": _number(operator.mod),
}
