"""Two runs, or two states, side by side: what is equal is folded away, what differs is marked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import traitlets

from workbench._typing import RunDiff

from . import _table
from ._base import Widget
from ._diff_rows import Block, RunSource, Source, StateSource
from ._diff_static import static_view

SENT = 4_000  # characters of a side of a block that are sent when a row is opened
PIECE = 20_000  # characters of an answer to "show more"
CONTEXT = 160  # equal characters kept in front of the first difference of a long text
AHEAD_ROWS, AHEAD_BYTES = 300, 600_000  # differences whose insides are sent at once, so that they open without a kernel

_MISSING: Any = object()


class DiffView(Widget):
    """Show the difference of two runs or of two JSON states.

    Parameters
    ----------
    a, b
        ``DiffView(diff)`` shows what ``bench.compare(a, b)`` gives. ``DiffView(a, b)`` shows two JSON documents, for
        example two results of ``bench.state(run, step)``; :meth:`of_states` does the same and gives them names.
    kinds
        The kinds of difference that are shown; all others are folded away like equal rows. Of runs: ``tool arguments
        result structure text`` (all but ``text``, the wording, are on); of states: ``changed added removed``.
    position
        The selected row; None: no row.

    Attributes
    ----------
    selected
        The selected row as a frame, empty when there is none.
    code
        Python that reproduces view and selection.

    Raises
    ------
    TypeError
        The one argument is not a comparison, or an option is unknown.
    """

    _name = "diff_view"

    kinds = traitlets.List(traitlets.Unicode()).tag(sync=True)
    position = traitlets.Int(None, allow_none=True).tag(sync=True)

    _head = traitlets.Dict().tag(sync=True)
    _header = traitlets.Dict().tag(sync=True)
    _rows = traitlets.Bytes().tag(sync=True)
    _ahead = traitlets.Dict().tag(sync=True)

    def __init__(self, a: RunDiff | Any, b: Any = _MISSING, **options: Any) -> None:
        self._check_options(options)
        if isinstance(a, Source):
            self._source = a
        elif b is not _MISSING:
            self._source = StateSource.of(a, b, "A", "B")
        elif isinstance(a, RunDiff):
            self._source = RunSource.of(a)
        else:
            raise TypeError(
                "DiffView takes bench.compare(a, b), or two states: DiffView(a, b)."
                f" It was given one {type(a).__name__}."
            )
        source = self._source
        options.setdefault("kinds", [name for name in source.kinds if name not in source.hidden])
        # Before the comm opens, so that they travel with its first message.
        self._header, self._rows = _table.pack(source.rows)
        self._head, self._ahead = self._facts_for_browser(), self._opened_ahead()
        super().__init__(**options)

    @classmethod
    def of_states(cls, a: Any, b: Any, *, names: tuple[str, str] = ("A", "B"), **options: Any) -> DiffView:
        """Show the difference of two JSON documents under the given names."""
        return cls(StateSource.of(a, b, *names), **options)

    @property
    def selected(self) -> pl.DataFrame:
        """The selected row: of runs as in ``diff.steps``, of states ``pointer kind a b`` (JSON texts)."""
        frame = self._source.selectable
        return frame.clear() if self.position is None else frame.slice(self.position, 1)

    @property
    def code(self) -> str:
        """Python that makes this view again, with this filter and this selection."""
        source = self._source
        arguments = ["diff"] if source.mode == "runs" else ["a", "b"]
        if self.kinds != [name for name in source.kinds if name not in source.hidden]:
            arguments.append(f"kinds={self.kinds!r}")
        if self.position is not None:
            arguments.append(f"position={self.position}")
        return f"workbench.DiffView({', '.join(arguments)})"

    def static_html(self) -> str:
        """The sentence and a table of what differs, equal rows as counts."""
        return static_view(self._source)

    @traitlets.validate("kinds")
    def _valid_kinds(self, proposal: Mapping[str, Any]) -> list[str]:
        known = self._source.kinds
        unknown = [name for name in proposal["value"] if name not in known]
        if unknown:
            raise traitlets.TraitError(f"DiffView has no kind {unknown[0]!r} here; it has: {', '.join(known)}.")
        return [name for name in known if name in proposal["value"]]

    @traitlets.validate("position")
    def _valid_position(self, proposal: Mapping[str, Any]) -> int | None:
        position, n = proposal["value"], len(self._source.rows)
        if position is not None and not 0 <= position < n:
            raise traitlets.TraitError(f"DiffView has no row {position}; its rows are 0 to {n - 1}.")
        return position

    def _facts(self) -> dict[str, Any]:
        source = self._source
        return {"a": source.n_a, "b": source.n_b, "differences": source.n_differences, "first": source.first_name}

    def _facts_for_browser(self) -> dict[str, Any]:
        source = self._source
        return {
            "mode": source.mode,
            "names": [source.a, source.b],
            "titles": list(source.titles),
            "sizes": [source.n_a, source.n_b],
            "summary": source.summary,
            "first": source.first,
            "kinds": [
                {"name": name, "label": label, "count": source.counts[name]} for name, label in source.kinds.items()
            ],
        }

    def _opened_ahead(self) -> dict[str, Any]:
        rows = self._source.rows.with_row_index("position")
        positions = rows.filter(~pl.col("category").is_in(["equal", "parent"]))["position"].head(AHEAD_ROWS)
        ahead: dict[str, Any] = {}
        size = 0
        for position in positions:
            blocks = [_wire_block(block) for block in self._source.blocks(position)]
            size += sum(len(block[side] or "") for block in blocks for side in "ab")
            if size > AHEAD_BYTES:
                break
            ahead[str(position)] = blocks
        return ahead

    def _handlers(self) -> dict[str, Any]:
        return {"open": self._open, "more": self._more}

    def _open(self, position: int) -> dict[str, Any]:
        """Answer what is inside a row."""
        return {"blocks": [_wire_block(block) for block in self._source.blocks(position)]}

    def _more(self, position: int, block: int, side: str, start: int, stop: int) -> dict[str, Any]:
        """Answer a piece of a text that was cut."""
        found = self._source.blocks(position)[block]
        text = (found.a if side == "a" else found.b) or ""
        return {"text": text[start : min(stop, start + PIECE)]}


def _wire_block(block: Block) -> dict[str, Any]:
    """Cut a block around its first difference, so that what differs is seen even in a very long text."""
    a, b = block.a, block.b
    is_equal = a == b
    skip = 0
    if a is not None and b is not None and not is_equal and max(len(a), len(b)) > SENT:
        common = next((k for k, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
        skip = max(0, common - CONTEXT)
    return {
        "title": block.title,
        "skip": skip,
        "equal": is_equal,
        "a": None if a is None else a[skip : skip + SENT],
        "b": None if b is None or is_equal else b[skip : skip + SENT],
        "sizes": [len(a or ""), len(b or "")],
    }
