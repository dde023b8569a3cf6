"""Dashboard in Chromium."""

from __future__ import annotations

import itertools
import re
import runpy
from pathlib import Path

import polars as pl
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.waiting import eventually, frames, steady_box
from workbench.widgets import _plotly
from workbench.widgets._aggregate import BROWSER_ROWS
from workbench.widgets.dashboard import Dashboard

_made = runpy.run_path(str(Path(__file__).parent.parent / "fixtures/runs.py"))
make_runs, make_events = _made["make_runs"], _made["make_events"]

# The bare page has no widget manager that would load the model with plotly.js.
_LOAD = """async (esm) => { const url = URL.createObjectURL(new Blob([esm], { type: "text/javascript" }));
  (await import(url)).default.initialize(); }"""

# By how many pixels each chart misses the width of its panel.
_MISFITS = """[...document.querySelectorAll('.wb-db-box')]
  .map((box) => box.clientWidth - (box.querySelector('.main-svg')?.clientWidth ?? 0))"""


def _between(low: float, high: float) -> dict:
    return {"min": low, "below": high}


def show(mount, board: Dashboard, **options):
    """The dashboard on the bare page, its charts drawn."""
    page = mount(board, **options)
    page.evaluate(_LOAD, _plotly.source())
    page.wait_for_selector(".wb-dashboard[data-charts][data-turn]")
    return page


def settled(page, action) -> None:
    """Do something and wait for the numbers that follow from it."""
    before = page.locator(".wb-dashboard").get_attribute("data-turn")
    action()
    page.wait_for_function("b => document.querySelector('.wb-dashboard').dataset.turn !== b", arg=before)


def drag(page, locator, x0: float, x1: float) -> None:
    """Drag along the middle of an element; places as shares of its width."""
    box = steady_box(locator)
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + x0 * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + x1 * box["width"], y, steps=6)
    page.mouse.up()


def fact(page, key: str, *lines: str) -> None:
    """Wait until a number says this: the number itself, then the small lines below it."""
    shown = page.locator(f"[data-fact={key}] > :not(:first-child)")
    for at, line in enumerate(lines):
        expect(shown.nth(at)).to_have_text(line)


def bar(where: Page | Locator, panel: str, number: int, trace: int = 0) -> Locator:
    """One drawn bar of a panel."""
    return where.locator(f"[data-panel={panel}] .barlayer .trace").nth(trace).locator("path").nth(number)


def hover_bar(where: Page | Locator, panel: str, number: int, trace: int = 0) -> None:
    """Move to the middle of a bar and wait for a card; Plotly's own layer above it takes the pointer."""
    page = where.page if isinstance(where, Locator) else where
    card = where.locator(f"[data-panel={panel}] .wb-db-cursor")

    def moved() -> str:
        box = steady_box(bar(where, panel, number, trace))
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        frames(page, 6)  # Plotly looks at most every 50 ms
        if not (said := card.inner_text()):
            page.mouse.move(0, 0)  # it tells of a bar only when it is another one than before
        return said

    eventually(page, moved, bool)


_CHOSEN = """() => window.model ? JSON.stringify(model.get("filters"))
  : document.querySelector(".wb-dashboard").dataset.turn"""


def click_bar(page: Page, panel: str, number: int, trace: int = 0, *, keys: tuple[str, ...] = ()) -> None:
    """Click the middle of a bar; again if Plotly, which hears clicks only between two drawings, missed the first."""
    before = page.evaluate(_CHOSEN)

    def clicked() -> bool:
        hover_bar(page, panel, number, trace)
        for key in keys:
            page.keyboard.down(key)
        page.mouse.down()
        page.mouse.up()
        for key in keys:
            page.keyboard.up(key)
        frames(page)
        return page.evaluate(_CHOSEN) != before

    eventually(page, clicked)


@pytest.mark.parametrize(
    ("theme", "width"), [("light", 1240), ("dark", 1240), ("light", 420), ("dark", 420), ("light", 760)]
)
def test_looks(mount, shot, theme: str, width: int) -> None:
    """Every theme and size has its picture, filtered and with a hovered bar; nothing is wider than its cell."""
    runs = make_runs(300, hostile=True)
    page = show(mount, Dashboard(runs, make_events(runs)), theme=theme, width=width)
    shot(page.locator(".wb-dashboard"), f"dashboard-{theme}-{width}")
    expect(page.locator(".js-plotly-plot")).to_have_count(8)
    assert page.evaluate("document.querySelector('.wb-dashboard').scrollWidth") <= width

    settled(page, lambda: click_bar(page, "groups", 1))
    hover_bar(page, "duration", 6)
    shot(page.locator(".wb-dashboard"), f"dashboard-filtered-{theme}-{width}")


@pytest.mark.parametrize("width", [420, 760, 1240])
def test_axis_labels_stand_apart(mount, shot, width: int) -> None:
    """No label under a bar touches the next one, "unpriced" included, however long the prices are."""
    runs = make_runs(400).with_columns(pl.col("cost_usd") / 1_000 + 0.0001)
    page = show(mount, Dashboard(runs), theme="dark", width=width)
    shot(page.locator("[data-panel=cost]"), f"dashboard-cost-{width}")

    labels = page.evaluate(
        """() => ["cost", "duration"].map((key) =>
        [...document.querySelectorAll(`[data-panel=${key}] .xtick text`)].map((el) => {
          const { left, right } = el.getBoundingClientRect(); return [left, right, el.textContent] })
        .sort((a, b) => a[0] - b[0]))"""
    )
    for panel in labels:
        assert len(panel) > 2
        for (_, right, before), (left, _, after) in itertools.pairwise(panel):
            assert right + 4 <= left, f"{before!r} reaches into {after!r}"


def test_click_filters_the_other_panels(mount) -> None:
    """A click on a bar filters all other panels, not its own; Ctrl adds a bar; a second click takes it back."""
    runs = make_runs(400)
    board = Dashboard(runs)
    page = show(mount, board, width=1240)

    settled(page, lambda: click_bar(page, "status", 1))
    eventually(page, lambda: board.filters, {"status": ["failed"]})
    failed = runs.filter(status="failed")
    fact(page, "runs", str(failed.height), "of 400")
    expect(page.locator("[data-panel=status] .barlayer path")).to_have_count(4)
    settled(page, lambda: click_bar(page, "groups", 0, trace=1))
    agent = board._plan["groups"]["agent_type"][0]
    eventually(page, lambda: board.filters, {"status": ["failed"], "agent_type": [agent]})
    assert board.selected.equals(failed.filter(agent_type=agent))
    settled(page, lambda: click_bar(page, "status", 0, keys=("Control",)))
    eventually(page, lambda: board.filters.get("status"), ["failed", "completed"])
    settled(page, lambda: page.get_by_role("button", name="Remove the filter Status").click())
    settled(page, lambda: click_bar(page, "groups", 0))
    eventually(page, lambda: board.filters, {})
    fact(page, "runs", "400")


@pytest.mark.parametrize(
    ("panel", "number", "expected"),
    [
        ("errors", 0, lambda b: {"error_kind": [b._plan["kinds"][0]]}),
        ("tokens", 1, lambda _b: {"cache_read_tokens": {"min": 1}}),
        ("duration", 5, lambda b: {"execution_time_ms": _between(*b._plan["edges"]["execution_time_ms"][5:7])}),
        ("faults", 0, lambda b: {"fault": [b._meta["faults"][0]]}),
    ],
)  # fmt: skip
def test_every_panel_filters(mount, panel: str, number: int, expected) -> None:
    """Each kind of bar becomes its filter; the code reproduces the selection."""
    runs = make_runs(400)
    events = make_events(runs)
    board = Dashboard(runs, events)
    page = show(mount, board, width=1240)

    settled(page, lambda: click_bar(page, panel, number))

    eventually(page, lambda: board.filters, expected(board))
    scope: dict = {"runs": runs, "events": events}
    exec(board.code, scope)
    assert scope["selected"].equals(board.selected)
    assert 0 < board.selected.height < 400
    fact(page, "runs", str(board.selected.height))


def test_unpriced_and_untimed_have_bars(mount) -> None:
    """Runs without a cost and without a time are counted, named and can be chosen."""
    runs = make_runs(300)
    board = Dashboard(runs)
    page = show(mount, board, width=1240)

    expect(page.locator("[data-fact=cost]")).to_contain_text(f"{runs['cost_usd'].null_count()} unpriced")
    untimed = f"{runs['started_at'].null_count()} runs without a time"
    expect(page.locator("[data-panel=time] .wb-db-note")).to_contain_text(untimed)
    settled(page, lambda: click_bar(page, "cost", 0, trace=1))
    eventually(page, lambda: board.filters, {"cost_usd": {"is_null": True}})
    settled(page, lambda: click_bar(page, "time", 0, trace=3))
    eventually(page, lambda: board.filters, {"cost_usd": {"is_null": True}, "started_at": {"is_null": True}})
    assert board.selected.equals(runs.filter(pl.col("cost_usd").is_null(), pl.col("started_at").is_null()))


def test_brush_chooses_a_time(mount) -> None:
    """A drag over the time panel filters to whole bars; the chip takes it back."""
    runs = make_runs(400)
    board = Dashboard(runs)
    page = show(mount, board, width=1240)

    settled(page, lambda: drag(page, page.locator("[data-panel=time] .nsewdrag").first, 0.25, 0.5))
    rule = eventually(page, lambda: board.filters.get("started_at"), bool)
    low, high = (_made["datetime"].fromisoformat(rule[key]) for key in ("min", "below"))
    assert board.selected.equals(runs.filter(pl.col("started_at") >= low, pl.col("started_at") < high))
    assert 60 < board.selected.height < 140
    assert low.hour % 12 == high.hour % 12 == 0
    page.get_by_role("button", name="Remove the filter Started").click()
    eventually(page, lambda: board.filters, {})


@pytest.mark.parametrize(
    ("step", "pattern"),
    [
        (pl.duration(milliseconds=1), r"\d\d:\d\d:\d\d\.\d{3}"),
        (pl.duration(seconds=20), r"\d\d:\d\d:\d\d"),
        (pl.duration(hours=1), r"\d\d:\d\d"),
    ],
)
def test_a_short_time_filter_names_its_two_ends(mount, step: pl.Expr, pattern: str) -> None:
    """The chip of a time filter is as fine as the bar it came from, so that its ends differ."""
    start = pl.datetime(2026, 11, 21, 2, 26, 59, time_zone="UTC")
    board = Dashboard(make_runs(20).with_columns(started_at=start + pl.int_range(20) * step))
    page = show(mount, board)

    page.locator("[data-panel=time] .wb-db-box").focus()
    page.keyboard.press("ArrowRight")
    settled(page, lambda: page.keyboard.press("Enter"))
    chip = page.locator(".wb-db-chips .wb-filter")
    expect(chip).to_contain_text(re.compile(f"Started ≥ 2026-11-21 {pattern} and < 2026-11-21 {pattern}×$"))
    low, high = re.findall(pattern, chip.inner_text())
    assert low < high


def test_keyboard_alone(mount) -> None:
    """In a panel arrows walk its bars and say them, Enter filters, Shift+arrows choose a time, Escape clears."""
    board = Dashboard(make_runs(200))
    page = show(mount, board, width=1240)
    box = page.locator("[data-panel=status] .wb-db-box")

    box.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    pointed = "document.getElementById(document.activeElement.getAttribute('aria-activedescendant'))?.textContent"
    said = eventually(page, lambda: page.evaluate(pointed) or "", lambda words: words.startswith("failed: "))
    expect(page.locator("[data-panel=status] .wb-db-cursor")).to_have_text(said.replace(": ", " ", 1))
    settled(page, lambda: page.keyboard.press("Enter"))
    eventually(page, lambda: board.filters, {"status": ["failed"]})
    expect(box).to_be_focused()
    settled(page, lambda: page.keyboard.press("Escape"))
    eventually(page, lambda: board.filters, {})
    page.locator("[data-panel=time] .wb-db-box").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    settled(page, lambda: page.keyboard.press("Shift+ArrowRight"))
    settled(page, lambda: page.keyboard.press("Shift+ArrowRight"))

    bins = board._plan["time"]
    start = bins["start"] + bins["width"]

    def chosen() -> list[float]:
        rule = board.filters.get("started_at", {})
        return [
            _made["datetime"].fromisoformat(rule[key]).timestamp() * 1000 for key in ("min", "below") if key in rule
        ]

    eventually(page, chosen, [start, start + 3 * bins["width"]])


def test_group_picker(mount) -> None:
    """The comparison is by agent, model, task or source."""
    board = Dashboard(make_runs(300))
    page = show(mount, board, width=1240)

    page.get_by_label("Compare by").select_option("task")

    eventually(page, lambda: board.group, "task")
    expect(page.locator("[data-panel=groups] .wb-db-title")).to_have_text("By task")
    expect(page.locator("[data-panel=groups] .wb-db-note")).to_contain_text("13 more in the picker above")


def test_hostile_names_stay_text(mount) -> None:
    """Plotly reads HTML in its labels; names of agents write none."""
    evil = '<a href="javascript:alert(1)">click</a><b>%{y}</b>&lt;i&gt;'
    runs = make_runs(100).with_columns(agent_type=pl.lit(evil), error_type=pl.lit(evil), model=pl.lit("<i>m</i>"))
    page = show(mount, Dashboard(runs), width=1240)

    labels = page.locator("[data-panel=groups] .ytick text")
    expect(labels).to_have_count(1)
    expect(labels).to_contain_text(evil[:20])
    expect(page.locator(".wb-dashboard a, .wb-dashboard b")).to_have_count(0)
    settled(page, lambda: page.get_by_label("Compare by").select_option("model"))
    expect(labels).to_have_text(["<i>m</i>"])
    expect(page.locator("[data-panel=groups] .ytick tspan")).to_have_count(0)
    hover_bar(page, "errors", 0)
    expect(page.locator("[data-panel=errors] .wb-db-cursor")).to_contain_text(evil)
    expect(page.locator(".wb-dashboard a, .wb-dashboard b")).to_have_count(0)


def test_theme_switches_live(mount) -> None:
    """The charts take the host's colours, and the other ones as soon as the theme changes."""
    page = show(mount, Dashboard(make_runs(50)), theme="light")
    first = bar(page, "status", 0)

    expect(first).to_have_css("fill", "rgb(47, 111, 171)")
    page.evaluate("document.body.setAttribute('data-jp-theme-light', 'false')")
    expect(first).to_have_css("fill", "rgb(116, 179, 240)")


def test_charts_follow_the_width(mount) -> None:
    """The charts are as wide as their panels, also after the cell was hidden, shown and made narrow."""
    page = show(mount, Dashboard(make_runs(50)), width=1000)
    fits = f"{_MISFITS}.every((by) => Math.abs(by) < 2)"

    page.wait_for_function(fits)
    page.evaluate("document.querySelector('#cell').style.display = 'none'")
    page.evaluate("document.body.setAttribute('data-jp-theme-light', 'false')")
    expect(page.locator(".wb-dashboard")).to_have_class(re.compile("wb-dark"))
    frames(page)  # the widget has seen that it is hidden
    page.evaluate("document.querySelector('#cell').style.display = ''")
    expect(bar(page, "status", 0)).to_have_css("fill", "rgb(116, 179, 240)")
    page.evaluate("document.querySelector('#cell').style.width = '430px'")
    page.wait_for_function(
        f"{fits} && document.querySelector('[data-panel=time] .main-svg').getBoundingClientRect().width < 430"
    )


def test_nothing_and_little(mount) -> None:
    """No run is an empty state; runs without times, costs, durations and tokens still make a dashboard."""
    page = mount(Dashboard(make_runs(3).clear()))
    expect(page.locator(".wb-empty")).to_contain_text("No runs yet")

    page = show(mount, Dashboard(make_runs(30).select("id", "status", "agent_type")))
    fact(page, "duration", "–")
    expect(page.locator("[data-panel=tokens]")).to_contain_text("No token counts here")
    expect(page.locator("[data-panel=cost]")).to_contain_text("Cost per run")


def test_more_runs_than_the_browser_holds(mount) -> None:
    """Above the bound the kernel answers: no columns are sent, clicks filter all the same, numbers are the frame's."""
    runs = make_runs(2_000)
    many = pl.concat([runs] * (BROWSER_ROWS // runs.height + 1))
    board = Dashboard(many)
    page = show(mount, board, width=1240)

    assert len(board.get_state()["_data"]) == 0
    settled(page, lambda: click_bar(page, "status", 1))
    fact(page, "runs", f"{(many['status'] == 'failed').sum():,}")
    eventually(page, lambda: board.filters, {"status": ["failed"]})
    assert board.selected.height == (many["status"] == "failed").sum()


def test_large_sets_filter_in_the_browser(mount) -> None:
    """At 100,000 runs a click asks the kernel nothing: the browser counts, and its numbers are the frame's."""
    runs = make_runs(100_000)
    page = show(mount, Dashboard(runs), width=1240)

    for status in (["failed"], ["completed"], ["failed", "running"]):
        page.evaluate("status => model.set('filters', { status, agent_type: ['airline-agent'] })", status)
        expected = runs.filter(pl.col("status").is_in(status), agent_type="airline-agent")
        fact(page, "runs", f"{expected.height:,}", "of 100,000")
    assert page.evaluate("model.sent") == []


def test_saved_page_is_alive(offline_page, tmp_path: Path) -> None:
    """The saved file has its charts with the network off, and clicks still filter."""
    path = tmp_path / "board.html"
    document = Dashboard(make_runs(150)).to_html(path)
    offline_page.goto(path.as_uri())
    offline_page.wait_for_selector(".wb-dashboard[data-charts][data-turn]")

    settled(offline_page, lambda: click_bar(offline_page, "status", 1))
    expect(offline_page.locator(".wb-chip")).to_contain_text("Status: failed")
    expect(offline_page.locator(".wb-static")).to_be_hidden()
    assert len(document) < 1_500_000


_SETUP = """
import workbench as wb
from fixtures.runs import make_runs, make_events
runs = make_runs(300)
"""


def test_in_jupyterlab(notebook, shot) -> None:
    """In JupyterLab: plotly.js comes once for two dashboards; click, brush and keys reach the kernel; themes switch."""
    notebook.open(
        _SETUP, "d = wb.Dashboard(runs, make_events(runs))\nd", "e = wb.Dashboard(runs.head(20))\ne"
    ).run_all()
    page = notebook.page
    page.wait_for_selector(".wb-dashboard[data-charts] >> nth=1", timeout=60_000)
    first = page.locator(".wb-dashboard").first
    page.evaluate("document.querySelector('.wb-dashboard').scrollIntoView()")

    assert page.evaluate("[...globalThis[Symbol.for('workbench.libraries')].keys()].length") == 1
    assert notebook.kernel("d._plotly is e._plotly") is True
    assert notebook.kernel("len(d._esm)") < 150_000
    hover_bar(first, "status", 1)
    page.mouse.down()
    page.mouse.up()
    notebook.wait_kernel("d.filters", {"status": ["failed"]})
    failed = notebook.kernel("d.selected.height")
    assert failed == notebook.kernel("int((runs['status'] == 'failed').sum())")
    expect(first).to_have_attribute("data-runs", str(failed))
    notebook.drag(first.locator("[data-panel=time] .nsewdrag").first, 0.2, 0.5, 0.6, 0.5)
    notebook.wait_kernel("sorted(d.filters)", ["started_at", "status"])
    expect(first).to_have_attribute("data-runs", str(notebook.kernel("d.selected.height")))
    shot(page, "dashboard-lab-light")
    notebook.theme("dark")
    expect(first.locator("[data-panel=groups] .barlayer path").first).to_have_css("fill", "rgb(116, 179, 240)")
    page.evaluate("document.querySelector('.wb-dashboard').scrollIntoView()")
    shot(page, "dashboard-lab-dark")
    eventually(page, lambda: max(map(abs, page.evaluate(_MISFITS))), lambda by: by < 2)
    notebook.theme("light")
    notebook.keeps_letters(first.locator("[data-panel=status] .wb-db-box"))
    assert (
        notebook.kernel("repr(d)")
        == f"Dashboard(executions=300, failed={(make_runs(300)['status'] == 'failed').sum()})"
    )
