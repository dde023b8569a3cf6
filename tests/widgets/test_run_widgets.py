"""ExecutionBrowser and Dashboard without a browser: frames in, frames and code out, static views, errors."""

from __future__ import annotations

import hashlib
import json
import re
import runpy
from pathlib import Path

import polars as pl
import pytest

import workbench as wb
from tests.widgets.still import Still
from workbench.errors import ConfigurationError
from workbench.widgets import _plotly

_made = runpy.run_path(str(Path(__file__).parent.parent / "fixtures/runs.py"))
make_runs, make_events, HOSTILE = _made["make_runs"], _made["make_events"], _made["HOSTILE"]
VENDOR = Path(wb.__file__).parent / "widgets/static/_vendor"


# -- ExecutionBrowser ----------------------------------------------------------------------------------------------


def test_browser_gives_rows_back_as_they_came() -> None:
    """`selected` and `visible` are rows of the frame that was given, dtypes and columns unchanged."""
    runs = make_runs(50).with_columns(extra=pl.lit([1, 2]))
    browser = wb.ExecutionBrowser(runs, filters={"status": ["failed"]}, sort=["-cost_usd"])
    browser.selected_ids = runs["id"][3:5].to_list()[::-1]

    assert browser.selected.equals(runs[3:5])
    assert browser.visible.schema == runs.schema
    assert set(browser.visible["status"]) == {"failed"}
    assert repr(browser) == "ExecutionBrowser(executions=50, selected=2)"


def test_browser_code_reproduces_the_view() -> None:
    """Running `code` with the frame as `runs` makes the same two frames, also where texts are long."""
    runs = make_runs(80)
    long = runs.with_columns(error=pl.lit("x" * 5_000 + " late"))
    for frame in (runs, long):
        browser = wb.ExecutionBrowser(
            frame,
            filters={"search": "Passenger trial", "started_at": {"min": "2026-11-03"}, "model": [None, "big-1"]},
            sort=["agent_type", "-cost_usd"],
            selected_ids=frame["id"][:2].to_list(),
        )
        scope: dict = {"runs": frame}

        exec(browser.code, scope)

        assert scope["visible"].equals(browser.visible)
        assert scope["selected"].equals(browser.selected)
    assert wb.ExecutionBrowser(runs).code == "visible = runs"


def test_search_reads_the_beginning_of_long_texts() -> None:
    """A text is searched in its first 2,000 characters, in the kernel as in the browser, which has no more of it."""
    runs = make_runs(4).with_columns(error=pl.lit("early " + "x" * 5_000 + " late"))

    assert wb.ExecutionBrowser(runs, filters={"search": "early"}).visible.height == 4
    assert wb.ExecutionBrowser(runs, filters={"search": "late"}).visible.height == 0


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: wb.ExecutionBrowser(make_runs(3).drop("status")), "needs the column status; the frame has id, name"),
        (lambda: wb.ExecutionBrowser([{"id": 1}]), "takes a polars.DataFrame of executions, not list"),  # type: ignore[arg-type]
        (lambda: wb.ExecutionBrowser(make_runs(1).with_columns(cost_usd=pl.lit("?"))), "needs cost_usd as number"),
        (lambda: wb.ExecutionBrowser(make_runs(3), columns=["price"]), "No column 'price' to show"),
        (lambda: wb.ExecutionBrowser(make_runs(3), sort=["price"]), "No column 'price' to sort by"),
        (lambda: wb.Dashboard(pl.DataFrame()), "needs the columns id, status, agent_type; the frame has none"),
        (lambda: wb.Dashboard(make_runs(3), make_runs(3)), "needs the columns execution_id, severity in events"),
        (lambda: wb.Dashboard(make_runs(3), filters={"fault": ["x"]}), "needs the events"),
        (lambda: wb.Dashboard(make_runs(3), group="status"), "Cannot group by 'status'. Choose one of: agent_type"),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_error(make, match: str) -> None:
    """What a widget cannot use is refused in Python with the columns it needs and has."""
    with pytest.raises(ConfigurationError, match=match):
        make()


def test_unknown_option_has_a_hint() -> None:
    """A misspelt keyword is refused with the nearest one."""
    with pytest.raises(TypeError, match="has no option 'filter'\\. Did you mean 'filters'"):
        wb.ExecutionBrowser(make_runs(2), filter={})


def test_on_open_is_called_with_the_id() -> None:
    """Opening a run calls every callback; the widget one returns is shown."""
    runs = make_runs(5)
    opened: list[str] = []
    board = wb.Dashboard(runs)
    browser = wb.ExecutionBrowser(runs, on_open=opened.append)
    browser.on_open(lambda _id: board)

    browser._answer_open(runs["id"][2])

    assert opened == [runs["id"][2]]
    assert browser._opened is board


def test_too_many_to_select() -> None:
    """More ids than one message should hold are refused, with the bound."""
    with pytest.raises(ConfigurationError, match="300,000 runs are too many to select; filter to 200,000 or fewer"):
        wb.ExecutionBrowser(make_runs(2))._answer_ids({}, [], 0, 300_000)


def test_frames_of_other_shapes() -> None:
    """Extra columns of any dtype, categoricals, dates, nested values and huge integers neither fail nor get lost."""
    runs = make_runs(6).with_columns(
        agent_type=pl.col("agent_type").cast(pl.Categorical),
        day=pl.col("started_at").dt.date(),
        big=pl.lit(2**60),
        flag=pl.Series([True, False, None] * 2),
        tags=pl.lit(["a", "b"]),
        blob=pl.lit(b"\x00\xff"),
        waited=pl.duration(seconds=3),
        nothing=pl.lit(None),
    )
    browser = wb.ExecutionBrowser(
        runs, columns=["agent_type", "day", "big", "flag", "tags", "blob", "waited", "nothing"]
    )

    assert json.dumps(browser.get_state()["_header"])
    assert browser._answer_view({"flag": ["true"]}, ["-big"])["rows"] == 2
    assert "['a', 'b']" in browser.static_html().replace("&#x27;", "'")
    assert wb.Dashboard(runs).selected.equals(runs)


def test_static_views_are_safe_and_whole() -> None:
    """Without a script: balanced markup, agent text escaped, no handler, the numbers there."""
    runs = make_runs(60, hostile=True).with_columns(error_type=pl.lit(HOSTILE), agent_type=pl.lit(HOSTILE))
    browser, board = wb.ExecutionBrowser(runs), wb.Dashboard(runs, make_events(runs))

    for still in (browser.static_html(), board.static_html()):
        assert "b" not in Still(still).tags
    assert "60 of 60 runs, the first 30 shown" in browser.static_html()
    assert browser.static_html().count("unpriced") == runs["cost_usd"][:30].null_count() > 0
    assert "unpriced" in board.static_html()
    assert "runs without a time" in board.static_html()


def test_heads_stand_over_their_columns() -> None:
    """Heads and cells of the still table are aligned alike, said in each, against JupyterLab."""
    browser = wb.ExecutionBrowser(make_runs(3), columns=["name", "status", "task", "started_at", "cost_usd"])
    table = browser.static_html().partition("<table")[2]
    sides = [re.findall(r"<t[hd] [^>]*text-align:(\w+)", row) for row in table.split("<tr>")[1:]]

    assert sides == [["left", "left", "left", "left", "right"]] * 4


@pytest.mark.parametrize(
    ("step_ms", "shown"),
    [
        (1, "2026-11-21 14:26:59.999 to 2026-11-21 14:27:00.012 UTC"),
        (20_000, "2026-11-21 14:26:55 to 2026-11-21 14:30:40 UTC"),
        (3_600_000, "2026-11-21 14:15 to 2026-11-22 01:30 UTC"),
    ],
)
def test_still_times_are_as_fine_as_their_bars(step_ms: int, shown: str) -> None:
    """The still chart over time says seconds and milliseconds where its bars are that narrow."""
    start = pl.datetime(2026, 11, 21, 14, 26, 59, 999_000, time_zone="UTC")
    runs = make_runs(12).with_columns(started_at=start + pl.int_range(12) * pl.duration(milliseconds=step_ms))

    assert shown in wb.Dashboard(runs).static_html()


def test_numbers_that_are_none() -> None:
    """NaN and infinity count as absent; the sums of the others stand."""
    runs = make_runs(5).with_columns(cost_usd=pl.Series([1.0, float("nan"), float("inf"), None, 2.0]))
    board, browser = wb.Dashboard(runs), wb.ExecutionBrowser(runs)

    assert board.numbers["headline"]["cost"] == {"sum": 3.0, "priced": 2, "unpriced": 3}
    for widget in (board, browser):
        assert json.dumps(widget.get_state()["_meta"], allow_nan=False)


@pytest.mark.parametrize(
    "runs", [make_runs(4).clear(), make_runs(1), make_runs(3).select("id", "status", "agent_type")]
)
def test_little_or_nothing(runs: pl.DataFrame) -> None:
    """Empty frames, one run, and runs with nothing but a status have their views and numbers."""
    browser, board = wb.ExecutionBrowser(runs), wb.Dashboard(runs)

    assert browser.visible.equals(runs)
    assert board.selected.equals(runs)
    assert board.numbers["total"] == runs.height
    assert json.dumps(board.get_state()["_meta"], allow_nan=False)
    assert json.dumps(browser.get_state()["_meta"], allow_nan=False)
    for still in (browser.static_html(), board.static_html()):
        Still(still)


# -- Dashboard -----------------------------------------------------------------------------------------------------


def test_dashboard_speaks_of_failed_runs_without_a_kind() -> None:
    """A failed run whose source names no kind is counted under "no kind given", and its code finds it."""
    runs = make_runs(200)
    board = wb.Dashboard(runs, filters={"error_kind": ["no kind given", "timeout"]})
    scope: dict = {"runs": runs}

    exec(board.code, scope)

    expected = runs.filter(
        (pl.col("status") == "failed") & (pl.col("error_type").is_null() | (pl.col("error_type") == "timeout"))
    )
    assert board.selected.equals(expected)
    assert scope["selected"].equals(expected)
    assert repr(board) == f"Dashboard(executions=200, failed={(runs['status'] == 'failed').sum()})"


def test_dashboard_answers_for_many_runs() -> None:
    """The kernel's answer is JSON and equal to the numbers of the same filters."""
    board = wb.Dashboard(make_runs(100), make_events(make_runs(100)))
    filters = {"status": ["failed"], "fault": ["refund"]}

    answer = board._answer_aggregate(filters, "task")

    board.filters, board.group = filters, "task"
    assert json.loads(json.dumps(answer, allow_nan=False)) == json.loads(json.dumps(board.numbers))


def test_plotly_comes_once() -> None:
    """Two dashboards share one model with the library, and neither has it in its own module."""
    one, other = wb.Dashboard(make_runs(5)), wb.Dashboard(make_runs(5))

    assert one._plotly is other._plotly
    assert len(one._esm) < 150_000
    assert one._esm == other._esm
    assert one.to_html().count("workbench.libraries") == 0  # squeezed, not in clear
    assert len(one.to_html()) < 1_200_000


def test_vendored_plotly_is_what_its_record_says() -> None:
    """Hash, size and version of the bundle are as recorded, its licences are there, the script builds that version."""
    record = json.loads((VENDOR / "plotly-basic.json").read_text())
    code = (VENDOR / "plotly-basic.min.js").read_bytes()
    script = (Path(wb.__file__).parent.parent / "scripts/build_vendor.py").read_text()
    licences = (VENDOR / "plotly-basic.LICENSES.txt").read_text()

    assert hashlib.sha256(code).hexdigest() == record["sha256"]
    assert len(code) == record["size_bytes"]
    assert f"plotly.js (basic - minified) v{record['version']}".encode() in code[:200]
    assert re.search(r'^VERSION = "(.+)"$', script, re.MULTILINE)[1] == record["version"] == _plotly.version()  # type: ignore[index]
    for name in ("plotly.js-basic-dist-min", "@plotly/d3", "d3-format", "culori", "polybooljs"):
        assert f"\n{name} " in f"\n{licences}"
    assert licences.count("Permission") >= 10
