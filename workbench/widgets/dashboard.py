"""`Dashboard`: how many runs, how good, how long, how dear, what failed, for whom and when; bars filter each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import anywidget
import polars as pl
import traitlets

from ..errors import ConfigurationError
from . import _plotly
from ._aggregate import (
    BROWSER_ROWS,
    GROUPS,
    NO_KIND,
    aggregate,
    fault_names,
    passing,
    plan,
    prepared,
)
from ._base import Widget
from ._dashboard_still import still_dashboard
from ._filters import assigned, calls, checked, with_imports
from ._run_columns import check_runs, describe
from ._table import pack
from ._wire import Answer

_EVENT_COLUMNS = ("execution_id", "name", "severity")
_BAD = ("error", "critical")
_LABELS = {"error_kind": "Failure", "fault": "Errors of", "started_at": "Started"}


class Dashboard(Widget):
    """Numbers and charts of a set of runs, filtered by each other.

    A success is a run with status ``completed``; the rate is over completed and failed runs, with Wilson's 95 %
    interval. Quantiles are exact. A run without a cost is *unpriced*: counted as such, never as 0. Runs without a
    start time have a bar of their own beside the time axis (UTC). Up to 200,000 runs the browser filters by itself,
    above that the kernel does.

    Parameters
    ----------
    runs
        ``bench.executions()`` or any frame with ``id``, ``status`` and ``agent_type``.
    events
        ``bench.events()`` of these runs: adds the errors by tool.
    **options
        ``filters`` (see below) and ``group``.

    Raises
    ------
    ConfigurationError
        Not such frames, or a filter or group they do not have.

    Examples
    --------
    >>> import polars as pl
    >>> runs = pl.DataFrame({"id": ["a", "b"], "status": ["completed", "failed"], "agent_type": ["clerk", "clerk"]})
    >>> board = Dashboard(runs, filters={"status": ["failed"]})
    >>> board
    Dashboard(executions=2, failed=1)
    >>> board.selected["id"].to_list()
    ['b']
    """

    _name: ClassVar[str] = "dashboard"

    filters = traitlets.Dict().tag(sync=True)
    """What is selected: ``status agent_type model task source error_kind fault`` (lists of values), ``started_at
    execution_time_ms cost_usd input_tokens …`` (``{"min": …, "below": …}`` or ``{"is_null": True}``)."""
    group = traitlets.Unicode("agent_type").tag(sync=True)
    """What the comparison is by: ``agent_type``, ``model``, ``task`` or ``source``."""

    _meta = traitlets.Dict().tag(sync=True)
    _header = traitlets.Dict().tag(sync=True)
    _data = traitlets.Bytes().tag(sync=True)
    _fault_data = traitlets.Bytes().tag(sync=True)
    _plotly = anywidget.WidgetTrait().tag(sync=True)

    def __init__(self, runs: pl.DataFrame, events: pl.DataFrame | None = None, **options: Any) -> None:
        self._check_options(options)
        self._runs = check_runs(runs, "Dashboard")
        self._frame = prepared(self._runs)
        self._faults = _faults(events, self._frame)
        self._plan = plan(self._frame)
        in_browser = self._frame.height <= BROWSER_ROWS
        self._meta = {
            "rows": self._frame.height,
            "in_browser": in_browser,
            "plan": self._plan,
            "columns": self._columns(),
            "groups": [name for name in GROUPS if self._frame[name].null_count() < self._frame.height],
            "values": {name: _values(self._frame[name]) for name in GROUPS},
            "faults": None if self._faults is None else self._fault_order(),
            "library": f"plotly@{_plotly.version()}",
        }
        if in_browser:
            self._header, self._data = pack(self._frame.drop("id"))
            self._fault_data = self._packed_faults()
        self._plotly = _plotly.library()
        super().__init__(**options)

    def _columns(self) -> list[dict[str, Any]]:
        described = describe(
            self._frame, {n: {"median": self._frame[n].median(), "high": 0} for n in _numbers(self._frame)}
        )
        named = [{**c, "label": _LABELS.get(c["name"], c["label"])} for c in described]
        return [*named, {"name": "fault", "label": _LABELS["fault"], "unit": "", "kind": "text"}]

    # -- what the view gives back --------------------------------------------------------------------------------

    @property
    def selected(self) -> pl.DataFrame:
        """The runs that pass every filter: rows of the frame this was made of."""
        return self._runs.filter(passing(self._frame, self.filters, self._faults))

    @property
    def numbers(self) -> dict[str, Any]:
        """What the panels show now, as plain values."""
        return aggregate(self._frame, self._plan, self.filters, group=self.group, faults=self._faults)

    @property
    def code(self) -> str:
        """Python that makes ``selected`` from ``runs`` (and ``events``), the frames this was made of."""
        plain = {k: v for k, v in self.filters.items() if k not in ("error_kind", "fault")}
        chain = calls(plain, self._frame)
        if "error_kind" in self.filters:
            chain.append(f".filter({_kind_code(self.filters['error_kind'])})")
        if "fault" in self.filters:
            bad = f"pl.col('severity').is_in({list(_BAD)!r}), pl.col('name').is_in({list(self.filters['fault'])!r})"
            chain.append(f".filter(pl.col('id').is_in(events.filter({bad})['execution_id'].to_list()))")
        return with_imports(assigned("selected", "runs", chain))

    # -- traits --------------------------------------------------------------------------------------------------

    @traitlets.validate("filters")
    def _valid_filters(self, proposal: Mapping[str, Any]) -> dict[str, Any]:
        given = dict(proposal["value"])
        fault = given.pop("fault", None)
        clean = checked(given, self._frame)
        if fault:
            if self._faults is None:
                raise ConfigurationError("Filtering by 'fault' needs the events: Dashboard(runs, events).")
            clean["fault"] = [fault] if isinstance(fault, str) else list(fault)
        return clean

    @traitlets.validate("group")
    def _valid_group(self, proposal: Mapping[str, Any]) -> str:
        if proposal["value"] not in GROUPS:
            raise ConfigurationError(f"Cannot group by {proposal['value']!r}. Choose one of: {', '.join(GROUPS)}.")
        return proposal["value"]

    # -- requests ------------------------------------------------------------------------------------------------

    def _handlers(self) -> dict[str, Callable[..., Answer | Mapping[str, Any] | None]]:
        return {"aggregate": self._answer_aggregate}

    def _answer_aggregate(self, filters: Mapping[str, Any], group: str) -> dict[str, Any]:
        clean = self._valid_filters({"value": filters})
        return aggregate(self._frame, self._plan, clean, group=group, faults=self._faults)

    def _fault_order(self) -> list[str]:
        assert self._faults is not None
        top = fault_names(self._faults)
        return [*top, *(n for n in self._faults["name"].unique(maintain_order=True).to_list() if n not in set(top))]

    def _packed_faults(self) -> bytes:
        """Row, name and number of each run's errors: u32 triples."""
        if self._faults is None:
            return b""
        rows = self._frame.select("id").with_row_index("row").rename({"id": "execution_id"})
        place = {name: i for i, name in enumerate(self._fault_order())}
        joined = self._faults.join(rows, on="execution_id").with_columns(
            pl.col("name").replace_strict(place, return_dtype=pl.UInt32)
        )
        return joined.select(pl.col("row", "name", "n").cast(pl.UInt32)).to_numpy().astype("<u4").tobytes()

    # -- without a kernel ----------------------------------------------------------------------------------------

    def _facts(self) -> dict[str, Any]:
        return {"executions": self._frame.height, "failed": int((self._frame["status"] == "failed").sum())}

    def _saved_states(self) -> list[dict[str, Any]]:
        return [_plotly.state(), self.get_state()]

    def static_html(self) -> str:
        """The numbers as text and tables, escaped, with bars as inline SVG."""
        return still_dashboard(self._meta, self.numbers, self.group)


def _numbers(frame: pl.DataFrame) -> list[str]:
    return [name for name, dtype in frame.schema.items() if dtype.is_numeric()]


def _values(values: pl.Series) -> list[list[Any]]:
    counts = values.alias("value").to_frame().group_by("value").len()
    return [
        list(row) for row in counts.sort(["len", "value"], descending=[True, False], nulls_last=True).head(500).rows()
    ]


def _kind_code(values: list[Any]) -> str:
    unnamed = "(pl.col('error_type').is_null() & (pl.col('status') == 'failed'))"
    parts = []
    if named := [value for value in values if value not in (None, NO_KIND)]:
        parts.append(f"pl.col('error_type').is_in({named!r})")
    if NO_KIND in values:
        parts.append(unnamed)
    if None in values:
        parts.append("(pl.col('error_type').is_null() & (pl.col('status') != 'failed'))")
    return " | ".join(parts)


def _faults(events: pl.DataFrame | None, frame: pl.DataFrame) -> pl.DataFrame | None:
    """Error events per run and name, of these runs."""
    if events is None:
        return None
    missing = [name for name in _EVENT_COLUMNS if name not in getattr(events, "columns", ())]
    if missing:
        raise ConfigurationError(
            f"Dashboard() needs the column{'s' if len(missing) > 1 else ''} {', '.join(missing)} in events. "
            "Get them with bench.events().",
            missing=missing,
        )
    bad = events.filter(pl.col("severity").is_in(_BAD)).select("execution_id", pl.col("name").fill_null("no name"))
    bad = bad.join(frame.select(pl.col("id").alias("execution_id")), on="execution_id", how="semi")
    return bad.group_by("execution_id", "name").agg(pl.len().alias("n")).sort("execution_id", "name")
