"""`ExecutionBrowser`: a table of runs to sort, filter, search and pick from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import anywidget
import numpy as np
import polars as pl
import traitlets

from ..errors import ConfigurationError
from ._base import Widget
from ._filters import assigned, calls, checked, checked_sort, sort_code, with_imports
from ._rows import TILE_ROWS, Rows, trends
from ._run_columns import SHOWN, check_runs, describe, number
from ._text import escape, one_line
from ._wire import Answer

# More ids than this in one selection would be a message near the server's limit of 10 MB.
MOST_SELECTED = 200_000
_STATIC_ROWS = 30


class ExecutionBrowser(Widget):
    """A table of runs.

    Every row is within reach however long the frame is: the browser gets typed columns of the first rows (at most 1
    MB) and asks for the rest as it scrolls. What one filters, sorts and selects comes back as traits, frames and
    code.

    Parameters
    ----------
    runs
        ``bench.executions()`` or any frame with ``id``, ``status`` and ``agent_type``; further columns can be shown
        too.
    on_open
        Called with a run's id when it is opened (Enter, double click). A widget it returns is shown below the table:
        ``on_open=lambda id: wb.Timeline(bench.events(id))``.
    **options
        ``filters``, ``sort``, ``selected_ids``, ``columns``, ``height``, see below.

    Raises
    ------
    ConfigurationError
        Not such a frame, or a filter, sort key or column it does not have.

    Examples
    --------
    >>> import polars as pl
    >>> runs = pl.DataFrame({"id": ["a", "b"], "status": ["completed", "failed"], "agent_type": ["clerk", "clerk"]})
    >>> browser = ExecutionBrowser(runs, filters={"status": ["failed"]}, selected_ids=["b"])
    >>> browser
    ExecutionBrowser(executions=2, selected=1)
    >>> browser.visible["id"].to_list()
    ['b']
    """

    _name: ClassVar[str] = "execution_browser"

    filters = traitlets.Dict().tag(sync=True)
    """What passes: ``{"search": "timeout", "status": ["failed"], "cost_usd": {"min": 0.1}, "model": [None]}``."""
    sort = traitlets.List().tag(sync=True)
    """Keys in order: ``[{"column": "cost_usd", "descending": True}]``, or for short ``["-cost_usd", "task"]``."""
    selected_ids = traitlets.List(traitlets.Unicode()).tag(sync=True)
    """Ids of the selected runs."""
    columns = traitlets.List(traitlets.Unicode()).tag(sync=True)
    """Names of the columns that are shown, in order."""
    height = traitlets.Int(440, min=160, help="px").tag(sync=True)
    """Height of the table in px."""

    _meta = traitlets.Dict().tag(sync=True)
    _header = traitlets.Dict().tag(sync=True)
    _data = traitlets.Bytes().tag(sync=True)
    _opened = anywidget.WidgetTrait().tag(sync=True)

    def __init__(
        self, runs: pl.DataFrame, *, on_open: Callable[[str], anywidget.AnyWidget | None] | None = None, **options: Any
    ) -> None:
        self._check_options(options)
        self._frame = check_runs(runs, "ExecutionBrowser")
        self._rows = Rows(self._frame, self._frame.columns)
        self._scales = self._rows.scales()
        self._described = describe(self._frame, self._scales)
        self._callbacks = [on_open] if on_open else []
        filters = checked(options.pop("filters", None), self._frame)
        sort = checked_sort(options.pop("sort", None), self._frame)
        columns = options.pop("columns", None) or [name for name in SHOWN if self._has_values(name)]
        meta = {
            "rows": self._frame.height,
            "columns": self._described,
            "scales": self._scales,
            "facets": self._rows.facet_columns,
            "trends": {
                name: trends(self._frame, name, "execution_time_ms") for name in ("agent_type", "task", "model")
            },
            "initial": {"filters": filters, "sort": sort, "summary": self._rows.summary(filters, self._scales)},
            "tile_rows": TILE_ROWS,
            "most_selected": MOST_SELECTED,
        }
        header, data = self._rows.first(filters, sort, beside=len(json.dumps(meta)))
        # Before the comm opens, so that the first message already has the rows.
        self._header, self._data, self._meta = header, data, meta
        super().__init__(filters=filters, sort=sort, columns=columns, **options)

    def _has_values(self, name: str) -> bool:
        return name in self._frame.columns and (
            self._frame.is_empty()
            or name in ("status", "cost_usd")
            or self._frame[name].null_count() < self._frame.height
        )

    # -- what the view gives back --------------------------------------------------------------------------------

    @property
    def selected(self) -> pl.DataFrame:
        """The selected runs: rows of the frame this was made of, in its order."""
        return self._frame.filter(pl.col("id").cast(pl.String).is_in(self.selected_ids))

    @property
    def visible(self) -> pl.DataFrame:
        """The runs that pass the filters, in the order of the view."""
        return self._frame[self._rows.order(self.filters, self.sort).to_list()]

    @property
    def code(self) -> str:
        """Python that makes ``visible`` (and ``selected``) from ``runs``, the frame this was made of."""
        chain = [*calls(self.filters, self._frame), *filter(None, [sort_code(self.sort)])]
        lines = [assigned("visible", "runs", chain)]
        if self.selected_ids:
            lines.append(f'selected = runs.filter(pl.col("id").is_in({list(self.selected_ids)!r}))')
        return with_imports("\n".join(lines))

    def on_open(self, callback: Callable[[str], anywidget.AnyWidget | None]) -> None:
        """Call this with the id of every run that is opened; a widget it returns is shown below the table."""
        self._callbacks.append(callback)

    # -- traits --------------------------------------------------------------------------------------------------

    @traitlets.validate("filters")
    def _valid_filters(self, proposal: Mapping[str, Any]) -> dict[str, Any]:
        return checked(proposal["value"], self._frame)

    @traitlets.validate("sort")
    def _valid_sort(self, proposal: Mapping[str, Any]) -> list[dict[str, Any]]:
        return checked_sort(proposal["value"], self._frame)

    @traitlets.validate("columns")
    def _valid_columns(self, proposal: Mapping[str, Any]) -> list[str]:
        for name in proposal["value"]:
            if name not in self._frame.columns:
                raise ConfigurationError(
                    f"No column {name!r} to show. The frame has: {', '.join(self._frame.columns)}.", column=name
                )
        return list(dict.fromkeys(proposal["value"]))

    # -- requests ------------------------------------------------------------------------------------------------

    def _handlers(self) -> dict[str, Callable[..., Answer | Mapping[str, Any] | None]]:
        return {
            "view": self._answer_view,
            "tile": self._answer_tile,
            "ids": self._answer_ids,
            "open": self._answer_open,
        }

    def _answer_view(self, filters: Mapping[str, Any], sort: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        self._rows.order(filters, sort)
        return self._rows.summary(filters, self._scales)

    def _answer_tile(self, filters: Mapping[str, Any], sort: Sequence[Mapping[str, Any]], start: int) -> Answer:
        return table_answer(*self._rows.tile(filters, sort, start))

    def _answer_ids(
        self, filters: Mapping[str, Any], sort: Sequence[Mapping[str, Any]], start: int, stop: int
    ) -> dict[str, Any]:
        if stop - start > MOST_SELECTED:
            raise ConfigurationError(
                f"{stop - start:,} runs are too many to select; filter to {MOST_SELECTED:,} or fewer."
            )
        return {"ids": self._rows.ids(filters, sort, start, stop)}

    def _answer_open(self, id: str) -> dict[str, Any]:
        shown = None
        for callback in self._callbacks:
            shown = callback(id) or shown
        if isinstance(shown, anywidget.AnyWidget):
            self._opened = shown
        return {"callbacks": len(self._callbacks)}

    # -- without a kernel ----------------------------------------------------------------------------------------

    def _facts(self) -> dict[str, Any]:
        return {"executions": self._frame.height, "selected": len(self.selected_ids)}

    def static_html(self) -> str:
        """The first rows of the view as an escaped table, durations as bars."""
        rows = self._frame[self._rows.order(self.filters, self.sort).head(_STATIC_ROWS).to_list()]
        shown = [c for c in self._described if c["name"] in self.columns]
        total = self._rows.order(self.filters, self.sort).len()
        head = "".join(f'<th style="{_TH};text-align:{_side(c)}">{escape(_heading(c))}</th>' for c in shown)
        body = "".join(
            f"<tr>{''.join(self._still_cell(row, c) for c in shown)}</tr>" for row in rows.iter_rows(named=True)
        )
        more = f", the first {rows.height} shown" if rows.height < total else ""
        summary = f"{total:,} of {self._frame.height:,} runs{more}"
        return (
            f'<div style="font:13px/1.5 system-ui,sans-serif;overflow:auto"><p style="margin:4px 0">{summary}</p>'
            f'<table style="border-collapse:collapse;font-variant-numeric:tabular-nums"><thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>"
        )

    def _still_cell(self, row: Mapping[str, Any], column: Mapping[str, Any]) -> str:
        return f'<td style="{_TD};text-align:{_side(column)}">{self._still_value(row, column)}</td>'

    def _still_value(self, row: Mapping[str, Any], column: Mapping[str, Any]) -> str:
        value = row[column["name"]]
        if column["kind"] == "number":
            return escape(number(value, dict(column))) + _bar(value, self._scales.get(column["name"]))
        if value is None:
            return "–"
        if column["kind"] == "time":
            return f"{value:%Y-%m-%d %H:%M}"
        sign = {"completed": "✓ ", "failed": "✕ ", "running": "◐ ", "cancelled": "⊘ ", "pending": "○ "}
        prefix = sign.get(str(value), "") if column["kind"] == "status" else ""
        return prefix + escape(one_line(value, 48))


_TH = "padding:3px 10px;border-bottom:2px solid #8c959f;white-space:nowrap"
_TD = "padding:3px 10px;border-bottom:1px solid #8c959f55;vertical-align:top;white-space:nowrap"


def _side(column: Mapping[str, Any]) -> str:
    """Said in every cell: JupyterLab puts all cells of an output's table to the right."""
    return "right" if column["kind"] == "number" else "left"


def _heading(column: Mapping[str, Any]) -> str:
    return f"{column['label']} ({column['unit']})" if column["unit"] else str(column["label"])


def _bar(value: Any, scale: Mapping[str, Any] | None) -> str:
    if value is None or scale is None:
        return ""
    width = 60 * max(0.0, min(1.0, (value - scale["low"]) / (scale["high"] - scale["low"])))
    return (
        '<svg width="60" height="4" aria-hidden="true" style="display:block;margin-left:auto">'
        f'<rect width="{width:.1f}" height="4" fill="#2f6fab"/></svg>'
    )


def table_answer(header: Mapping[str, Any], data: bytes) -> Answer:
    """A packed table as an answer on the wire."""
    return Answer({"header": header}, {"data": np.frombuffer(data, dtype="u1")})
