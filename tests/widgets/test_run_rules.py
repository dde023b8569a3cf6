"""The rules of filtering, sorting and summing runs: Polars here against JavaScript under node, on the same bytes."""

from __future__ import annotations

import json
import random
import runpy
import subprocess
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from workbench.errors import ConfigurationError
from workbench.widgets import _aggregate
from workbench.widgets._filters import checked, code, expression, ordered, sort_code
from workbench.widgets._rows import Rows
from workbench.widgets._table import pack

ROOT = Path(__file__).parent.parent.parent
_made = runpy.run_path(str(ROOT / "tests/fixtures/runs.py"))
make_runs, make_events = _made["make_runs"], _made["make_events"]
node = runpy.run_path(str(ROOT / "tests/test_javascript.py"))["node"]

_HARNESS = """
import {{ readFileSync }} from "node:fs";
import {{ readTable, passing, rowsOf, sortRows, cell }} from "{lib}/table.js";
import {{ aggregate }} from "{lib}/aggregate.js";
import {{ localRows }} from "{lib}/rows.js";
const input = JSON.parse(readFileSync("{folder}/input.json"));
const table = readTable(input.header, readFileSync("{folder}/data.bin"));
const values = (column) => Array.from({{ length: table.rows }}, (_, i) => cell(column, i));
const out = [];
for (const c of input.cases) {{
  if (c.plan) out.push(aggregate(table, c.plan, c.filters, c.group, c.faults ?? null));
  else if (c.meta) out.push(await localRows(table, c.meta).view(c.filters, c.sort));
  else if (c.read) out.push(table.names.map((name) => values(table.columns.get(name))));
  else out.push([...sortRows(rowsOf(passing(table, c.filters)), table, c.sort)]);
}}
process.stdout.write(JSON.stringify(out));
"""


def in_javascript(frame: pl.DataFrame, cases: list[dict], folder: Path) -> list:
    """What the browser's code makes of a packed frame."""
    header, data = pack(frame)
    (folder / "data.bin").write_bytes(data)
    (folder / "input.json").write_text(json.dumps({"header": header, "cases": cases}))
    (folder / "run.mjs").write_text(_HARNESS.format(lib=ROOT / "workbench/widgets/static/_lib", folder=folder))
    ran = subprocess.run([node(), folder / "run.mjs"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


FILTERS = [
    {},
    {"status": ["failed", "running"]},
    {"model": [None]},
    {"model": ["big-1", None], "agent_type": ["planner", "shop-clerk"]},
    {"search": "PASSENGER 14"},
    {"search": "trial  planner"},
    {"cost_usd": {"is_null": True}},
    {"cost_usd": {"min": 0.02, "max": 0.1}},
    {"execution_time_ms": {"min": 5000, "below": 20_000}},
    {"started_at": {"min": "2026-11-03T00:00:00Z", "below": "2026-11-12T12:00:00Z"}},
    {"started_at": {"is_null": True}, "status": ["completed"]},
    {"n_events": {"max": 10}, "error_type": ["timeout"]},
    {"search": "nothing has this"},
]
SORTS = [
    [],
    [{"column": "cost_usd", "descending": True}],
    [{"column": "model", "descending": False}, {"column": "execution_time_ms", "descending": True}],
    [{"column": "started_at", "descending": False}],
    [{"column": "name", "descending": True}, {"column": "id", "descending": False}],
]


def test_packed_columns_read_back(tmp_path: Path) -> None:
    """Every cell of a packed frame reads back in JavaScript as it was, nulls and hostile text included."""
    runs = make_runs(150, hostile=True).with_columns(name=pl.when(pl.col("score") == 1).then(pl.col("name") + " 🜚 é"))

    (read,) = in_javascript(runs, [{"read": True}], tmp_path)

    for name, values in zip(runs.columns, read, strict=True):
        column = runs[name]
        if name == "started_at":
            column = column.dt.epoch("us").cast(pl.Float64) / 1000
        assert values == column.to_list(), name


def test_browser_and_polars_keep_the_same_rows(tmp_path: Path) -> None:
    """Every filter with every sort gives the same rows in the same order on both sides, and its code gives them too."""
    runs = make_runs(400)
    cases = [{"filters": f, "sort": s} for f in FILTERS for s in SORTS]

    found = in_javascript(runs, cases, tmp_path)

    numbered = runs.with_row_index("_row")
    for case, rows in zip(cases, found, strict=True):
        filters = checked(case["filters"], runs)
        kept = ordered(numbered.filter(expression(filters, runs)), case["sort"])
        assert rows == kept["_row"].to_list(), case
        written = eval(code(filters, runs) + sort_code(case["sort"]), {"pl": pl, "datetime": datetime, "runs": runs})
        assert written.equals(kept.drop("_row")), case
    assert {len(rows) for rows in found} >= {0, 400}


def test_text_sorts_by_code_point(tmp_path: Path) -> None:
    """Astral characters sort after the others, as Polars sorts them, though UTF-16 says otherwise."""
    names = ["\ufffd", "😀", "z", "Z", "é", "\ue000", None, "zz"]
    frame = pl.DataFrame({"id": [str(i) for i in range(8)], "name": names})
    sort = [{"column": "name", "descending": False}]

    (rows,) = in_javascript(frame, [{"filters": {}, "sort": sort}], tmp_path)

    assert rows == ordered(frame.with_row_index("_row"), sort)["_row"].to_list()


def test_counts_beside_the_filters_agree(tmp_path: Path) -> None:
    """Rows, values per picker and bins per number are the same from the browser's columns and from the kernel."""
    runs = make_runs(500)
    rows = Rows(runs, runs.columns)
    meta = {"facets": rows.facet_columns, "scales": rows.scales()}
    cases = [{"filters": f, "sort": [], "meta": meta} for f in FILTERS]

    found = in_javascript(runs, cases, tmp_path)

    for case, summary in zip(cases, found, strict=True):
        assert summary == rows.summary(case["filters"], meta["scales"]), case["filters"]


def _same(a: object, b: object, path: str = "") -> None:
    if isinstance(a, dict) and isinstance(b, dict):
        assert a.keys() == b.keys(), path
        for key in a:
            _same(a[key], b[key], f"{path}.{key}")
    elif isinstance(a, list) and isinstance(b, list):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            _same(x, y, f"{path}[{i}]")
    elif isinstance(a, float) or isinstance(b, float):
        assert a == pytest.approx(b, rel=1e-12), path
    else:
        assert a == b, path


def test_dashboard_numbers_agree(tmp_path: Path) -> None:
    """Every panel's numbers under random combinations of filters are the same in JavaScript and in Polars."""
    long_ago = pl.when(pl.int_range(pl.len()) < 3).then(pl.col("started_at") - pl.duration(days=2900))
    runs = make_runs(700).with_columns(started_at=long_ago.otherwise("started_at"))
    from workbench.widgets.dashboard import Dashboard

    board = Dashboard(runs, make_events(runs))
    assert board._plan["time"]["earlier"]
    rng = random.Random(4)
    choices = {
        "status": [["failed"], ["completed", "running"]],
        "agent_type": [["planner"], ["researcher", "shop-clerk"]],
        "model": [[None], ["big-1"]],
        "error_kind": [["timeout"], [_aggregate.NO_KIND]],
        "started_at": [{"is_null": True}, {"min": "2026-11-04T00:00:00Z", "below": "2026-11-15T00:00:00Z"}],
        "execution_time_ms": [{"min": 2200, "below": 22_000}, {"is_null": True}],
        "cost_usd": [{"is_null": True}, {"below": 0.1}],
        "cache_read_tokens": [{"min": 1}],
        "fault": [["refund"], ["book", "get_order"]],
    }
    import numpy as np

    triples = np.frombuffer(board._fault_data, "<u4").reshape(-1, 3)
    faults = {
        "names": board._meta["faults"],
        "rows": triples[:, 0].tolist(),
        "codes": triples[:, 1].tolist(),
        "counts": triples[:, 2].tolist(),
        "shown": 8,
    }
    cases = []
    for _ in range(60):
        names = rng.sample(sorted(choices), rng.randint(0, 3))
        filters = {name: rng.choice(choices[name]) for name in names}
        group = rng.choice(_aggregate.GROUPS)
        cases.append({"plan": board._plan, "filters": filters, "group": group, "faults": faults})

    found = in_javascript(board._frame.drop("id"), cases, tmp_path)

    for case, numbers in zip(cases, found, strict=True):
        board.filters, board.group = case["filters"], case["group"]
        _same(numbers, json.loads(json.dumps(board.numbers)), str(case["filters"]))
        assert board.selected.height == numbers["headline"]["runs"]


def test_dashboard_numbers_are_those_of_the_frame() -> None:
    """Headline numbers equal plain Polars on the frame: counts, exact quantiles, sums, unpriced."""
    runs = make_runs(900)
    from workbench.widgets.dashboard import Dashboard

    head = Dashboard(runs, filters={"agent_type": ["airline-agent"]}).numbers["headline"]

    mine = runs.filter(pl.col("agent_type") == "airline-agent")
    done, failed = ((mine["status"] == s).sum() for s in ("completed", "failed"))
    assert head["runs"] == mine.height
    assert (head["completed"], head["failed"]) == (done, failed)
    assert head["success"]["rate"] == done / (done + failed)
    for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        assert head["duration"][name] == mine["execution_time_ms"].quantile(q, "linear")
    assert head["tokens"]["output_tokens"] == {"sum": mine["output_tokens"].sum(), "n": mine["output_tokens"].count()}
    assert head["cost"]["sum"] == pytest.approx(mine["cost_usd"].sum())
    assert head["cost"]["unpriced"] == mine["cost_usd"].null_count()
    assert head["errors"] == failed


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634), (81, 263, 0.2553, 0.3662)],
)
def test_wilson_interval(successes: int, n: int, low: float, high: float) -> None:
    """Published values; 81 of 263 is Newcombe's example (Statistics in Medicine 17, 1998, table I, method 3)."""
    found = _aggregate.wilson(successes, n)

    assert found == pytest.approx((low, high), abs=5e-5)
    assert _aggregate.wilson(0, 0) is None


@pytest.mark.parametrize(
    "values",
    [[1.0], [0.0], [0.0, 0.0], [5.0, 5.0], [3, 700, 90_000], [0, 0.001, 40], [-3.0, 8], [1e-7, 2e-7], [1e12, 5]],
)
def test_bins_hold_every_number(values: list[float]) -> None:
    """Bin edges ascend, span the numbers, and no number is lost."""
    series = pl.Series(values, dtype=pl.Float64)

    at = _aggregate.edges(series)

    assert at == sorted(set(at))
    assert at[0] <= min(values)
    assert at[-1] >= max(values)
    assert sum(_aggregate._binned(series, at)["counts"]) == len(values)
    assert len(at) < 60


@pytest.mark.parametrize("span_s", [0, 3, 600, 86_400, 86_400 * 20, 86_400 * 4000])
def test_time_bins_hold_every_time(span_s: int) -> None:
    """Whatever the span, 13 to 49 bins hold all times, and a bin starts on a round moment."""
    times = pl.Series([_made["START"], _made["START"] + _made["timedelta"](seconds=span_s)])

    bins = _aggregate.time_bins(times)

    assert bins is not None
    assert 13 <= bins["bins"] <= 49
    first, last = (t.timestamp() * 1000 for t in times)
    assert bins["start"] <= first
    assert last < bins["start"] + bins["width"] * bins["bins"]


def test_a_run_of_years_ago_does_not_flatten_the_axis() -> None:
    """Outliers go into the outer bar, which says so; the others keep bars of a day or less."""
    times = make_runs(300)["started_at"].drop_nulls()
    old = pl.concat(
        [times, pl.Series("started_at", [_made["START"] - _made["timedelta"](days=3000)], dtype=times.dtype)]
    )

    bins = _aggregate.time_bins(old)

    assert bins is not None
    assert bins["earlier"]
    assert bins["width"] <= 86_400_000


@pytest.mark.parametrize(
    ("filters", "match"),
    [
        ({"agent": ["x"]}, "No column 'agent' to filter by. The frame has: id, name"),
        ({"status": {"min": 3}}, "Cannot filter 'status' by"),
        ({"cost_usd": {"min": "much"}}, "'cost_usd' is compared with a number, not with 'much'"),
        ({"started_at": {"min": "yesterday"}}, "'started_at' is compared with a time, not with 'yesterday'"),
        ({"cost_usd": {"over": 3}}, "Cannot filter 'cost_usd' by"),
    ],
)
def test_wrong_filters_say_what_is_allowed(filters: dict, match: str) -> None:
    """A filter that cannot work names the column, the value and what would work."""
    with pytest.raises(ConfigurationError, match=match):
        checked(filters, make_runs(3))
