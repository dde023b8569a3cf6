"""RFC 6902 JSON Patch: :func:`diff` makes one, :func:`apply` makes the new document. Pure; nothing is changed in place.

Values are compared as JSON values, not as Python values:

* ``True`` is not ``1`` and ``None`` is not ``False``;
* ``1`` and ``1.0`` are the same number (RFC 6902 section 4.6: "numerically equal"), so no operation is made of them;
* the order of an object's keys means nothing, the order of an array's items does.

Unchanged parts are shared between the input, the patch and the result: treat documents as frozen values, or copy them
before changing them by hand.

Pointers are RFC 6901: ``/a~1b/0`` (``~1`` = ``/``, ``~0`` = ``~``), ``""`` is the whole document, ``-`` is behind the
last item of an array.
"""

from __future__ import annotations

import contextlib
from typing import Any

from workbench._patch import apply, apply_owned, same
from workbench.errors import PatchError

__all__ = ["Patch", "PatchError", "apply", "apply_owned", "diff", "item_key", "same", "unequal_items"]

Patch = list[dict[str, Any]]

# Below this a changed container is replaced as a whole: a level is up to three Python frames of the 1000 allowed.
MAX_DEPTH = 100
# Gaps of an array in which items are paired by likeness; larger gaps pair by position.
MAX_PAIRED_CELLS = 4_096

_MISSING: Any = object()


def diff(a: Any, b: Any) -> Patch:
    """Return the patch that turns `a` into `b`: operations ``add``, ``remove`` and ``replace`` in the order to apply.

    Arrays are aligned by longest common subsequence, so an item put into a long list is one ``add``; an item that
    changed inside is patched inside. The patch holds parts of `b`, not copies.

    Examples
    --------
    >>> diff({"plan": ["look", "buy"]}, {"plan": ["look", "ask", "buy"]})
    [{'op': 'add', 'path': '/plan/1', 'value': 'ask'}]
    """
    out: Patch = []
    _diff_value(a, b, None, out, 0)
    return out


# ---------------------------------------------------------------- diff

# A path on the way down is a linked list (parent, key): a pointer is written only for what changed.
_Path = Any


def _pointer(path: _Path) -> str:
    parts: list[str] = []
    while path is not None:
        path, key = path
        parts.append(key.replace("~", "~0").replace("/", "~1") if isinstance(key, str) else str(key))
    if not parts:
        return ""
    parts.append("")
    return "/".join(reversed(parts))


def _diff_value(a: Any, b: Any, path: _Path, out: Patch, depth: int) -> None:
    # Comparing first looks like double work, but C does it 20 times faster than this walk, and most parts are equal.
    if same(a, b):
        return
    if depth < MAX_DEPTH:
        if isinstance(a, dict) and isinstance(b, dict):
            return _diff_object(a, b, path, out, depth)
        if isinstance(a, list) and isinstance(b, list):
            return _diff_array(a, b, path, out, depth)
    out.append({"op": "replace", "path": _pointer(path), "value": b})


def _diff_object(a: dict[str, Any], b: dict[str, Any], path: _Path, out: Patch, depth: int) -> None:
    get = b.get
    n_common = 0
    start = len(out)
    for key, old in a.items():
        new = get(key, _MISSING)
        if new is _MISSING:
            out.append({"op": "remove", "path": _pointer((path, key))})
            continue
        n_common += 1
        if old is not new:
            _diff_value(old, new, (path, key), out, depth + 1)
    if a and b and not n_common:
        # Nothing in common: one replace is smaller and says what happened.
        del out[start:]
        out.append({"op": "replace", "path": _pointer(path), "value": b})
    elif n_common != len(b):
        for key, new in b.items():
            if key not in a:
                out.append({"op": "add", "path": _pointer((path, key)), "value": new})


def _diff_array(a: list[Any], b: list[Any], path: _Path, out: Patch, depth: int) -> None:
    start = len(out)
    n_kept = len(b)
    for i, j, at in unequal_items(a, b):
        if j is None:
            out.append({"op": "remove", "path": _pointer((path, at))})
            continue
        if i is None:
            out.append({"op": "add", "path": _pointer((path, at)), "value": b[j]})
        else:
            _diff_value(a[i], b[j], (path, at), out, depth + 1)
        n_kept -= i is None or not isinstance(b[j], (dict, list)) or type(a[i]) is not type(b[j])
    if not n_kept and a and b and len(out) - start >= len(b):
        # No item survived and every item costs an operation: one replace is smaller.
        del out[start:]
        out.append({"op": "replace", "path": _pointer(path), "value": b})


def unequal_items(a: list[Any], b: list[Any]) -> list[tuple[int | None, int | None, int]]:
    """Align two arrays and return what is not equal as ``(i, j, at)``, from left to right.

    ``i`` is None for an item that only `b` has, ``j`` for one that only `a` has. ``at`` is the index at which the
    change stands in the array once all changes before it are made.
    """
    from workbench._align import gaps, matching_blocks

    n = min(len(a), len(b))
    head = 0
    while head < n and same(a[head], b[head]):
        head += 1
    tail = 0
    while tail < n - head and same(a[-1 - tail], b[-1 - tail]):
        tail += 1
    old, new = a[head : len(a) - tail], b[head : len(b) - tail]
    blocks = []
    if len(old) * len(new) > 1:
        # Items nested deeper than the interpreter's stack are not aligned; the patch is longer, and still right.
        with contextlib.suppress(RecursionError):
            blocks = matching_blocks([item_key(item) for item in old], [item_key(item) for item in new])
    out: list[tuple[int | None, int | None, int]] = []
    for (i1, i2, j1, j2), _ in gaps(blocks, len(old), len(new)):
        at = head + j1
        for i, j in _paired(old[i1:i2], new[j1:j2]):
            out.append((None if i is None else head + i1 + i, None if j is None else head + j1 + j, at))
            at += j is not None
    return out


_Pair = tuple[int | None, int | None]


def _paired(old: list[Any], new: list[Any]) -> list[_Pair]:
    """Pair the items of a gap, none of which is equal to another, so that the patch inside them stays small.

    An alignment that maximises likeness (Needleman & Wunsch 1970, without gap cost) where the gap is small.
    """
    n, m = len(old), len(new)
    if n == m == 1:
        return [(0, 0)]
    pairs: list[_Pair] = []
    i = j = 0
    if n * m > MAX_PAIRED_CELLS:
        i = j = min(n, m)
        pairs.extend((k, k) for k in range(i))
    elif n and m:
        i, j = _paired_by_likeness(old, new, pairs)
    pairs.extend((k, None) for k in range(i, n))
    pairs.extend((None, k) for k in range(j, m))
    return pairs


def _paired_by_likeness(old: list[Any], new: list[Any], pairs: list[_Pair]) -> tuple[int, int]:
    """Append the best pairs; return where either side ends and the rest of the other begins."""
    n, m = len(old), len(new)
    like = [[_likeness(x, y) for y in new] for x in old]
    best = [[0.0] * (m + 1) for _ in range(n + 1)]
    for i in range(n - 1, -1, -1):
        row, below = best[i], best[i + 1]
        for j in range(m - 1, -1, -1):
            row[j] = max(below[j], row[j + 1], below[j + 1] + like[i][j])
    i = j = 0
    while i < n and j < m:
        if best[i][j] == best[i + 1][j + 1] + like[i][j]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            pairs.append((i, None))
            i += 1
        else:
            pairs.append((None, j))
            j += 1
    return i, j


def _likeness(x: Any, y: Any) -> float:
    """0.01 … 1: the share of equal members; scalars replace each other at no gain, but rather than remove and add."""
    if isinstance(x, dict) and isinstance(y, dict):
        equal = sum(1 for key, value in x.items() if key in y and same(value, y[key]))
        return 0.02 + equal / max(len(x), len(y), 1)
    if isinstance(x, list) and isinstance(y, list):
        equal = sum(1 for p, q in zip(x, y, strict=False) if same(p, q))
        return 0.02 + equal / max(len(x), len(y), 1)
    return 0.01 if not isinstance(x, (dict, list)) and not isinstance(y, (dict, list)) else 0.0


def item_key(value: Any) -> Any:
    """Return a hashable that is equal for the same JSON value, so that arrays can be aligned by it."""
    if value is True or value is False:
        return (value,)  # else True would meet 1 as a dict key
    if isinstance(value, dict):
        return frozenset((key, item_key(item)) for key, item in value.items())
    if isinstance(value, list):
        return (None, *map(item_key, value))
    return value
