"""The rows a :class:`DiffView` shows, of two runs or of two JSON states, and what is inside each.

Both sources give the same: a frame of rows (``category kind a_step b_step depth a_label b_label``), the kinds of
difference one can filter by, and for each row its :class:`Block` s: the texts that stand side by side when it is open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
import polars as pl

from workbench._delta import same, unequal_items
from workbench._typing import RunDiff

from ._text import one_line

LABEL = 160
_MISSING: Any = object()


class Block(NamedTuple):
    """One part of a row: the same part of both sides, as text; None where a side has none."""

    title: str
    a: str | None
    b: str | None


@dataclass(frozen=True)
class Source:
    """Rows and facts of one comparison.

    Attributes
    ----------
    rows
        ``category``: equal, parent (holds differences), or one of `kinds`; ``kind``: equal · changed · added · removed.
    kinds
        Name → what its filter is called, in the order of the filters.
    first
        Row of the first difference that matters; None where there is none.
    """

    mode: str
    a: str
    b: str
    titles: tuple[str, str]
    n_a: Any
    n_b: Any
    rows: pl.DataFrame
    kinds: dict[str, str]
    hidden: frozenset[str]
    first: int | None
    summary: str

    def blocks(self, position: int) -> list[Block]:
        """What is inside a row."""
        raise NotImplementedError

    @property
    def selectable(self) -> pl.DataFrame:
        """The rows as a user gets them when they select some."""
        raise NotImplementedError

    @property
    def first_name(self) -> Any:
        """How the repr names the first difference."""
        raise NotImplementedError

    @property
    def counts(self) -> dict[str, int]:
        """Kind → rows of it."""
        found = Counter(self.rows["category"])
        return {name: found[name] for name in self.kinds}

    @property
    def n_differences(self) -> int:
        """Differences that matter."""
        return sum(n for name, n in self.counts.items() if name not in self.hidden)


# ---------------------------------------------------------------- two runs


@dataclass(frozen=True)
class RunSource(Source):
    """Rows of two aligned runs."""

    diff: RunDiff

    @classmethod
    def of(cls, diff: RunDiff) -> RunSource:
        """Take what is needed from the comparison."""
        steps = diff.steps
        category = (
            pl.when(pl.col("kind") == "equal").then(pl.lit("equal")).otherwise(pl.col("what").fill_null("structure"))
        )
        rows = steps.select(
            "kind",
            "a_step",
            "b_step",
            "a_label",
            category.alias("category"),
            pl.lit(0).alias("depth"),
            # The labels of equal steps are equal but for what is volatile: one is enough.
            pl.when(pl.col("kind") != "equal").then(pl.col("b_label")).alias("b_label"),
        )
        first = diff.first_divergence
        kinds = {
            "tool": "Tool",
            "arguments": "Arguments",
            "result": "Result",
            "structure": "Only in one",
            "text": "Wording",
        }
        return cls(
            mode="runs",
            a=diff.a,
            b=diff.b,
            titles=diff.titles,
            n_a=steps["a_step"].count(),
            n_b=steps["b_step"].count(),
            rows=rows,
            kinds=kinds,
            hidden=frozenset({"text"}),
            first=first["position"] if first else None,
            summary=diff.summary,
            diff=diff,
        )

    def blocks(self, position: int) -> list[Block]:
        detail = self.diff.detail(position)
        a, b = _parts(detail["a"]), _parts(detail["b"])
        blocks = [Block(name, a.get(name), b.get(name)) for name in dict.fromkeys([*a, *b])]
        # The tool is in the row's own line already.
        return [block for block in blocks if not block.title.startswith("tool") or block.a != block.b]

    @property
    def selectable(self) -> pl.DataFrame:
        return self.diff.steps

    @property
    def first_name(self) -> Any:
        row = self.diff.first_divergence
        return row and (row["b_step"] if row["a_step"] is None else row["a_step"])


def _parts(side: dict[str, Any] | None) -> dict[str, str]:
    if side is None:
        return {}
    parts: dict[str, str] = {}
    if side["text"]:
        parts["text"] = side["text"]
    for k, call in enumerate(side["calls"]):
        number = f" {k + 1}" if len(side["calls"]) > 1 else ""
        parts[f"tool{number}"] = call["tool"]
        parts[f"arguments{number}"] = pretty(call["arguments"])
    if side["result"] is not None or side["is_error"]:
        parts["result"] = pretty(side["result"])
    if side["is_error"]:
        parts["outcome"] = "error"
    return parts


def pretty(value: Any) -> str:
    """JSON with one member a line and keys in order; a text as it is."""
    if isinstance(value, str):
        return value
    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode()
    except TypeError:  # not JSON, an integer of more than 64 bits, or nested too deeply for it
        return repr(value)


# ---------------------------------------------------------------- two states


class _Row(NamedTuple):
    kind: str
    category: str
    depth: int
    pointer: str
    key: str
    a: Any
    b: Any


@dataclass(frozen=True)
class StateSource(Source):
    """Rows of two JSON documents: one per difference, per equal part beside one, and per container on the way."""

    tree: tuple[_Row, ...]

    @classmethod
    def of(cls, a: Any, b: Any, name_a: str, name_b: str) -> StateSource:
        """Compare two documents."""
        tree = tuple(_tree(a, b))
        schema = [(name, pl.String) for name in ("kind", "category", "a_label", "b_label")]
        labels = [(_label(row, row.a), None if row.category == "equal" else _label(row, row.b)) for row in tree]
        rows = pl.DataFrame(
            [(row.kind, row.category, *label) for row, label in zip(tree, labels, strict=True)],
            schema=schema,
            orient="row",
        ).with_columns(
            pl.Series("depth", [row.depth for row in tree], dtype=pl.Int64),
            pl.lit(None, dtype=pl.Int64).alias("a_step"),
            pl.lit(None, dtype=pl.Int64).alias("b_step"),
        )
        first = next((k for k, row in enumerate(tree) if row.category not in ("equal", "parent")), None)
        return cls(
            mode="states",
            a=name_a,
            b=name_b,
            titles=("", ""),
            n_a=_what(a),
            n_b=_what(b),
            rows=rows,
            kinds={"changed": "Changed", "added": "Added", "removed": "Removed"},
            hidden=frozenset(),
            first=first,
            summary=_sentence(tree, first),
            tree=tree,
        )

    def blocks(self, position: int) -> list[Block]:
        row = self.tree[position]
        a, b = (None if side is _MISSING else pretty(side) for side in (row.a, row.b))
        return [Block(row.pointer or "document", a, b)]

    @property
    def selectable(self) -> pl.DataFrame:
        schema = [(name, pl.String) for name in ("pointer", "kind", "a", "b")]
        return pl.DataFrame(
            [(r.pointer, r.kind, *(None if v is _MISSING else _compact(v) for v in (r.a, r.b))) for r in self.tree],
            schema=schema,
            orient="row",
        )

    @property
    def first_name(self) -> Any:
        return None if self.first is None else self.tree[self.first].pointer


def _tree(a: Any, b: Any, pointer: str = "", key: str = "", depth: int = 0) -> Iterator[_Row]:
    if same(a, b):
        yield _Row("equal", "equal", depth, pointer, key, a, b)
    elif depth < 60 and isinstance(a, dict) and isinstance(b, dict):
        yield _Row("equal", "parent", depth, pointer, key, a, b)
        for name in dict.fromkeys([*a, *b]):
            below = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
            yield from _member(a.get(name, _MISSING), b.get(name, _MISSING), below, name, depth + 1)
    elif depth < 60 and isinstance(a, list) and isinstance(b, list):
        yield _Row("equal", "parent", depth, pointer, key, a, b)
        yield from _items(a, b, pointer, depth + 1)
    else:
        yield _Row("changed", "changed", depth, pointer, key, a, b)


def _member(a: Any, b: Any, pointer: str, key: str, depth: int) -> Iterator[_Row]:
    if a is _MISSING or b is _MISSING:
        kind = "added" if a is _MISSING else "removed"
        yield _Row(kind, kind, depth, pointer, key, a, b)
    else:
        yield from _tree(a, b, pointer, key, depth)


def _items(a: list[Any], b: list[Any], pointer: str, depth: int) -> Iterator[_Row]:
    i = j = 0
    # A last change behind both ends, so that what is equal there is met too.
    for x, y, _ in [*unequal_items(a, b), (len(a), None, 0)]:
        n_equal = x - i if x is not None else (y or 0) - j
        for k in range(n_equal):
            yield _Row("equal", "equal", depth, f"{pointer}/{j + k}", str(j + k), a[i + k], b[j + k])
        i, j = i + n_equal, j + n_equal
        if x == len(a):
            return
        index = x if y is None else y
        old, new = _MISSING if x is None else a[x], _MISSING if y is None else b[y]
        yield from _member(old, new, f"{pointer}/{index}", str(index), depth)
        i, j = i + (x is not None), j + (y is not None)


def _label(row: _Row, value: Any) -> str | None:
    if value is _MISSING:
        return None
    key = f"{one_line(row.key, 60)}: " if row.depth else ""
    if row.category == "parent":
        return f"{key}{_what(value)}"
    return one_line(
        key + (_compact(value[:LABEL]) + "…" if isinstance(value, str) and len(value) > LABEL else _compact(value)),
        LABEL,
    )


def _compact(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return repr(value)


def _what(value: Any) -> str:
    if isinstance(value, dict):
        return f"object of {len(value)}"
    return f"array of {len(value)}" if isinstance(value, list) else one_line(_compact(value), 20)


def _sentence(tree: tuple[_Row, ...], first: int | None) -> str:
    if first is None:
        return "The states are equal."
    found = Counter(row.category for row in tree)
    parts = [f"{found[name]:,} {name}" for name in ("changed", "added", "removed") if found[name]]
    n = sum(found[name] for name in ("changed", "added", "removed"))
    where = tree[first].pointer or "the whole document"
    return f"{n:,} difference{'' if n == 1 else 's'} ({', '.join(parts)}); the first at {where}."
