"""ExecutionBrowser in Chromium."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import polars as pl
import pytest
from playwright.sync_api import expect

from tests.browser.waiting import eventually, steady_box
from workbench.widgets.execution_browser import ExecutionBrowser

_made = runpy.run_path(str(Path(__file__).parent.parent / "fixtures/runs.py"))
make_runs, HOSTILE = _made["make_runs"], _made["HOSTILE"]


def shown(page, column: str) -> list[str]:
    """Text of a column's cells in sight, from the top."""
    return page.evaluate(
        """column => {
        const heads = [...document.querySelectorAll(".wb-eb-th")];
        const at = heads.findIndex((h) => h.dataset.column === column);
        const top = (r) => Number(/translateY\\(([-\\d.]+)px/.exec(r.style.transform)[1]);
        const rows = [...document.querySelectorAll(".wb-eb-row:not([hidden])")].sort((a, b) => top(a) - top(b));
        return rows.map((r) => r.children[at].innerText.trim()) }""",
        column,
    )


def settled(page, action) -> None:
    """Do something and wait for the view that follows from it."""
    before = page.evaluate("document.querySelector('.wb-execution-browser').dataset.turn")
    action()
    page.wait_for_function("b => document.querySelector('.wb-execution-browser').dataset.turn !== b", arg=before)


def open_browser(mount, browser: ExecutionBrowser, **options):
    """The browser on the bare page, its first view drawn."""
    page = mount(browser, **options)
    page.wait_for_selector(".wb-execution-browser[data-turn]")
    return page


def everything_here(page) -> None:
    """Wait until every row in sight has arrived from the kernel."""
    expect(page.locator(".wb-eb-waiting:not([hidden])")).to_have_count(0)


def row(page, number: int):
    """The row with this place in the view."""
    return page.locator(f".wb-eb-row[aria-rowindex='{number + 2}']:not([hidden])")


@pytest.mark.parametrize(("theme", "width"), [("light", 1240), ("dark", 1240), ("light", 420), ("dark", 420)])
def test_looks(mount, shot, theme: str, width: int) -> None:
    """Every theme and size has its picture; nothing is wider than its cell of the notebook."""
    runs = make_runs(120, hostile=True)
    browser = ExecutionBrowser(
        runs,
        height=380,
        selected_ids=runs["id"][2:4].to_list(),
        sort=["-started_at"],
        filters={"cost_usd": {"min": 0.01}},
    )
    page = open_browser(mount, browser, theme=theme, width=width)

    shot(page.locator(".wb-execution-browser"), f"execution-browser-{theme}-{width}")

    page.locator("[data-facet=agent_type]").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    shot(page.locator(".wb-execution-browser"), f"execution-browser-picker-{theme}-{width}")
    assert page.evaluate("document.querySelector('.wb-execution-browser').scrollWidth") <= width


def test_click_selects(mount) -> None:
    """A click selects one run, Ctrl adds, Shift takes all between; the kernel has the ids and the rows."""
    runs = make_runs(60)
    browser = ExecutionBrowser(runs)
    page = open_browser(mount, browser)

    def selected(*numbers: int) -> None:
        eventually(page, lambda: browser.selected_ids, [runs["id"][n] for n in numbers])

    row(page, 1).locator(".wb-eb-status").click()
    selected(1)
    row(page, 3).locator(".wb-eb-status").click(modifiers=["Control"])
    selected(1, 3)
    row(page, 6).locator(".wb-eb-status").click(modifiers=["Shift"])
    selected(3, 4, 5, 6)
    assert browser.selected.equals(runs[3:7])
    row(page, 4).locator(".wb-eb-mark").click()

    selected(3, 5, 6)
    expect(row(page, 4)).to_have_attribute("aria-selected", "false")
    expect(row(page, 5)).to_have_attribute("aria-selected", "true")
    expect(page.locator(".wb-eb-footer")).to_contain_text("3 selected")
    assert repr(browser) == "ExecutionBrowser(executions=60, selected=3)"


def test_a_double_click_opens_and_marks_no_text(mount) -> None:
    """A double click on a row opens it and selects no word; dragging over a cell still marks its text, to copy it."""
    runs = make_runs(30)
    opened: list[str] = []
    page = open_browser(mount, ExecutionBrowser(runs, on_open=opened.append, columns=["name", "status"]))
    cell = row(page, 2).get_by_role("gridcell").nth(1)

    cell.dblclick(position={"x": 30, "y": 15})
    eventually(page, lambda: opened, [runs["id"][2]])
    assert page.evaluate("String(getSelection())") == ""
    box = steady_box(cell)
    page.mouse.move(box["x"] + 2, box["y"] + 15)
    page.mouse.down()
    page.mouse.move(box["x"] + 80, box["y"] + 15, steps=4)
    page.mouse.up()

    eventually(
        page, lambda: page.evaluate("String(getSelection())"), lambda text: text and runs["name"][2].startswith(text)
    )


def test_keyboard_alone(mount) -> None:
    """Arrows move, Space selects, Shift extends, Ctrl+A takes all, Escape none, Enter opens, / searches."""
    runs = make_runs(200)
    opened: list[str] = []
    browser = ExecutionBrowser(runs, on_open=opened.append)
    page = open_browser(mount, browser)
    grid = page.locator(".wb-eb-grid")

    grid.focus()
    for key in ("ArrowDown", "ArrowDown", "Space", "Shift+ArrowDown", "Shift+ArrowDown"):
        page.keyboard.press(key)
    expect(page.locator(".wb-eb-row[aria-selected=true]")).to_have_count(3)
    eventually(page, lambda: browser.selected_ids, runs["id"][2:5].to_list())
    page.keyboard.press("End")
    page.wait_for_function(
        """() => document.getElementById(document.querySelector(".wb-eb-grid").getAttribute("aria-activedescendant"))
        ?.getAttribute("aria-rowindex") === "201" """
    )
    page.keyboard.press("Enter")
    eventually(page, lambda: opened, [runs["id"][199]])
    page.keyboard.press("Control+a")
    eventually(page, lambda: browser.selected_ids, runs["id"].to_list())
    assert browser.selected.equals(runs)
    page.keyboard.press("Escape")
    eventually(page, lambda: browser.selected_ids, [])
    page.keyboard.press("/")

    expect(page.locator(".wb-eb-search")).to_be_focused()


def test_sort_by_two_columns(mount) -> None:
    """A heading sorts, again it turns, Shift adds a second key; what is shown is what `visible` has."""
    runs = make_runs(300)
    browser = ExecutionBrowser(runs)
    page = open_browser(mount, browser, width=1240)
    head = page.locator(".wb-eb-th[data-column=model], .wb-eb-th[data-column=agent_type]")

    settled(page, lambda: head.first.locator(".wb-eb-sort").click())
    settled(page, lambda: page.locator("[data-column=cost_usd] .wb-eb-sort").click(modifiers=["Shift"]))

    two_keys = [{"column": "agent_type", "descending": False}, {"column": "cost_usd", "descending": True}]
    eventually(page, lambda: browser.sort, two_keys)
    expect(page.locator("[data-column=cost_usd]")).to_have_attribute("aria-sort", "descending")
    expected = runs.sort(["agent_type", "cost_usd"], descending=[False, True], nulls_last=True, maintain_order=True)
    assert browser.visible.equals(expected)
    eventually(page, lambda: shown(page, "agent_type")[:5], expected["agent_type"][:5].to_list())
    eventually(page, lambda: shown(page, "name")[:5], expected["name"][:5].to_list())
    settled(page, lambda: page.locator("[data-column=cost_usd] .wb-eb-sort").click())
    eventually(page, lambda: browser.sort, [{"column": "cost_usd", "descending": False}])


def test_filters_reach_the_kernel(mount) -> None:
    """Typing, a status chip, a picker and a range each become a filter; counts, rows and code follow."""
    runs = make_runs(400)
    browser = ExecutionBrowser(runs)
    page = open_browser(mount, browser, width=1240)

    page.locator(".wb-eb-search").press_sequentially("passenger 7")
    eventually(page, lambda: browser.filters, {"search": "passenger 7"})
    settled(page, lambda: page.locator("[data-status=failed]").click())
    page.locator("[data-facet=agent_type]").click()
    page.get_by_role("dialog").get_by_role("searchbox").fill("air")
    settled(page, lambda: page.get_by_role("dialog").get_by_text("airline-agent").click())
    page.keyboard.press("Escape")
    page.locator("[data-filter=execution_time_ms]").click()
    page.get_by_label("Duration from").fill("4")
    settled(page, lambda: page.keyboard.press("Enter"))

    chosen = {
        "search": "passenger 7",
        "status": ["failed"],
        "agent_type": ["airline-agent"],
        "execution_time_ms": {"min": 4000},
    }
    eventually(page, lambda: browser.filters, chosen)
    expected = runs.filter(
        pl.any_horizontal(pl.col(pl.String).str.to_lowercase().str.contains("passenger", literal=True)),
        pl.any_horizontal(pl.col(pl.String).str.to_lowercase().str.contains("7", literal=True)),
        pl.col("status") == "failed",
        pl.col("agent_type") == "airline-agent",
        pl.col("execution_time_ms") >= 4000,
    )
    assert browser.visible.equals(expected)
    expect(page.locator(".wb-eb-footer")).to_contain_text(f"{expected.height} of 400 runs")
    scope: dict = {"runs": runs}
    exec(browser.code, scope)
    assert scope["visible"].equals(expected)
    page.get_by_role("button", name="Clear filters").click()
    eventually(page, lambda: browser.filters, {})
    expect(page.locator(".wb-eb-search")).to_have_value("")


def test_no_row_passes(mount) -> None:
    """Filters that leave nothing say so and can be taken back."""
    browser = ExecutionBrowser(make_runs(50), filters={"search": "nothing like this"})
    page = open_browser(mount, browser)

    expect(page.locator(".wb-eb-note")).to_contain_text("No run passes these filters")
    page.get_by_role("button", name="Remove the filter search").click()
    eventually(page, lambda: browser.filters, {})
    expect(page.locator(".wb-eb-note")).to_be_empty()


def test_nothing_to_show(mount) -> None:
    """An empty frame is an empty state, not an empty table."""
    page = mount(ExecutionBrowser(make_runs(3).clear()))

    expect(page.locator(".wb-empty")).to_contain_text("No runs yet")


def test_unpriced_is_not_zero(mount) -> None:
    """A run without a cost reads "unpriced", other absent values are a dash, and the unpriced can be asked for."""
    runs = make_runs(40).with_columns(cost_usd=None, execution_time_ms=None)
    runs = runs.with_columns(pl.col("cost_usd", "execution_time_ms").cast(pl.Float64))
    browser = ExecutionBrowser(runs, columns=["status", "cost_usd", "execution_time_ms"])
    page = open_browser(mount, browser)

    eventually(page, lambda: set(shown(page, "cost_usd")), {"unpriced"})
    eventually(page, lambda: set(shown(page, "execution_time_ms")), {"–"})
    page.locator("[data-filter=cost_usd]").click()
    page.get_by_text("only unpriced").click()
    eventually(page, lambda: browser.filters, {"cost_usd": {"is_null": True}})


def test_columns_are_chosen(mount) -> None:
    """The chooser adds and removes columns, in their own order."""
    browser = ExecutionBrowser(make_runs(20))
    page = open_browser(mount, browser)

    page.locator(".wb-eb-columns").click()
    page.get_by_role("dialog").get_by_text("Cache read").click()
    page.get_by_role("dialog").get_by_text("Task", exact=True).click()

    expect(page.locator("[data-column=cache_read_tokens]")).to_have_count(1)
    expect(page.locator("[data-column=task]")).to_have_count(0)
    eventually(page, lambda: ("cache_read_tokens" in browser.columns, "task" in browser.columns), (True, False))


def test_hostile_text_stays_text(mount) -> None:
    """Markup, terminal codes and direction marks of an agent are shown, never obeyed."""
    runs = make_runs(30, hostile=True)
    browser = ExecutionBrowser(runs, columns=["status", "name", "error"])
    page = open_browser(mount, browser, width=1240)

    start = "<img src=x onerror=alert(1)> red [U+202E]evil"
    eventually(page, lambda: shown(page, "name")[0], lambda name: name.startswith(start))
    assert page.locator(".wb-execution-browser img, .wb-execution-browser b").count() == 0
    assert "\u202e" not in page.locator(".wb-execution-browser").inner_text()
    assert "<img" not in browser.static_html()


def test_grid_speaks_aria(mount) -> None:
    """The table is a grid with counts, positions, sort state and a label on every control."""
    page = open_browser(mount, ExecutionBrowser(make_runs(80), sort=["-cost_usd"]))

    grid = page.get_by_role("grid", name="Runs")
    expect(grid).to_have_attribute("aria-rowcount", "81")
    expect(grid).to_have_attribute("aria-multiselectable", "true")
    expect(grid).to_have_attribute("aria-colcount", str(page.get_by_role("columnheader").count()))
    nameless = page.evaluate(
        """() => [...document.querySelectorAll(".wb-execution-browser :is(button, input, select)")]
        .filter((e) => !(e.ariaLabel || e.textContent.trim() || e.closest("label")?.textContent.trim())).length"""
    )
    assert nameless == 0


def test_error_of_a_callback_is_shown(mount) -> None:
    """What `on_open` raises stands in the widget, and the table goes on."""

    def fail(_id: str) -> None:
        raise RuntimeError("no such run over there")

    runs = make_runs(20)
    browser = ExecutionBrowser(runs, on_open=fail)
    page = open_browser(mount, browser)

    row(page, 2).locator(".wb-eb-status").dblclick()
    expect(page.locator(".wb-error-pane")).to_contain_text("RuntimeError: no such run over there")
    row(page, 3).locator(".wb-eb-status").click()
    eventually(page, lambda: browser.selected_ids, [runs["id"][3]])


def test_copy_ids(mount) -> None:
    """Ctrl+C copies the selected ids, one a line."""
    runs = make_runs(20)
    page = open_browser(mount, ExecutionBrowser(runs, selected_ids=runs["id"][:2].to_list()))
    page.evaluate("document.addEventListener('copy', () => { window.copied = document.activeElement.value })")

    page.locator(".wb-eb-grid").focus()
    page.keyboard.press("Control+c")
    page.wait_for_function("window.copied")

    assert page.evaluate("copied").split("\n") == runs["id"][:2].to_list()


def test_python_side_moves_the_view(mount) -> None:
    """Traits set in Python change what is shown."""
    runs = make_runs(100)
    browser = ExecutionBrowser(runs)
    page = open_browser(mount, browser)

    browser.filters = {"status": ["failed"]}
    browser.selected_ids = [browser.visible["id"][0]]
    mount.flush()

    expect(page.locator(".wb-execution-browser")).to_have_attribute("data-rows", str(browser.visible.height))
    eventually(page, lambda: set(shown(page, "status")), {"failed"})
    expect(row(page, 0)).to_have_attribute("aria-selected", "true")


# -- 100,000 runs -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many() -> pl.DataFrame:
    return make_runs(100_000)


def test_first_message_is_small(many: pl.DataFrame) -> None:
    """Of 100,000 runs the first message carries at most a megabyte, and a tile much less, also with endless titles."""
    numbered = pl.format("task {} {}", pl.int_range(pl.len()) // 3, pl.lit("of a long title " * 12))
    _first_message(ExecutionBrowser(many.with_columns(task=numbered, error=pl.lit("x" * 9_000))))
    _first_message(ExecutionBrowser(many))


def _first_message(browser: ExecutionBrowser) -> None:
    state = browser.get_state()
    size = len(state["_data"]) + sum(
        len(json.dumps(state[k])) for k in ("_header", "_meta", "columns", "filters", "sort")
    )
    tile = browser._answer_tile({}, [], 50_000)
    print(
        f"first message {size:,} bytes with {state['_header']['rows']:,} rows; "
        f"a tile {tile.arrays['data'].nbytes:,} bytes"
    )
    assert size < 1_010_000
    assert tile.arrays["data"].nbytes < 1_000_000


def test_scroll_through_many(mount, many: pl.DataFrame) -> None:
    """Any place of 100,000 runs can be scrolled to and shows its own rows; sort, filter and select-all work there."""
    browser = ExecutionBrowser(many)
    page = open_browser(mount, browser, width=1240)

    page.evaluate("document.querySelector('.wb-eb-grid').scrollTop = 30 * 70_000")
    row(page, 70_005).wait_for()
    everything_here(page)
    row(page, 70_005).locator(".wb-eb-status").click()
    eventually(page, lambda: browser.selected_ids, [many["id"][70_005]])
    row(page, 70_009).locator(".wb-eb-status").click(modifiers=["Shift"])
    eventually(page, lambda: len(browser.selected_ids), 5)
    assert browser.selected.equals(many[70_005:70_010])
    settled(page, lambda: page.locator("[data-column=cost_usd] .wb-eb-sort").click())
    settled(page, lambda: page.locator("[data-status=failed]").click())
    eventually(page, lambda: browser.filters, {"status": ["failed"]})
    everything_here(page)

    eventually(page, lambda: shown(page, "name")[:8], browser.visible["name"][:8].to_list())
    eventually(page, lambda: set(shown(page, "status")), {"failed"})
    page.locator(".wb-eb-grid").focus()
    page.keyboard.press("Control+a")
    eventually(page, lambda: len(browser.selected_ids), (many["status"] == "failed").sum())
    assert browser.selected.height == browser.visible.height


def test_scrolling_draws_once_a_frame(mount, many: pl.DataFrame) -> None:
    """However often 100,000 runs are scrolled within a frame, it is drawn once, with a few dozen rows in the page."""
    page = open_browser(mount, ExecutionBrowser(many), width=1240)

    seen = page.evaluate(
        """async () => { const grid = document.querySelector(".wb-eb-grid"); let draws = 0, most = 0;
        const raf = window.requestAnimationFrame;
        window.requestAnimationFrame = (f) => raf.call(window, (t) => { draws++; f(t); });
        for (let frame = 0; frame < 60; frame++) {
          for (let k = 0; k < 5; k++) { grid.scrollTop += 170; grid.dispatchEvent(new Event("scroll")); }
          await new Promise((r) => raf.call(window, r));
          most = Math.max(most, document.querySelectorAll(".wb-eb-row").length); }
        window.requestAnimationFrame = raf;
        return { draws, most } }"""
    )

    assert 0 < seen["draws"] <= 61
    assert 0 < seen["most"] < 60


def test_a_kernel_that_goes_away(mount, many: pl.DataFrame) -> None:
    """When the kernel stops answering, the rows that were sent stay usable and the footer says what is missing."""
    page = open_browser(mount, ExecutionBrowser(many))
    # The wire waits 20 s for an answer; here 200 ms.
    page.evaluate("const set = window.setTimeout; window.setTimeout = (f, ms) => set(f, ms > 5000 ? 200 : ms)")
    page.evaluate("model.deaf = true")

    page.evaluate("document.querySelector('.wb-eb-grid').scrollTop = 30 * 70_000")
    page.get_by_text("the first of 100,000: the others are with the kernel, which does not answer").wait_for()

    page.locator("[data-status=failed]").click()
    page.wait_for_function("model.get('filters').status !== undefined")
    page.evaluate("document.querySelector('.wb-eb-grid').scrollTop = 0")
    eventually(page, lambda: set(shown(page, "status")), {"failed"})
    everything_here(page)
    expect(page.locator(".wb-error-pane")).to_have_count(0)


def test_without_a_kernel_the_sent_rows_remain(offline_page, tmp_path: Path, many: pl.DataFrame) -> None:
    """A saved page filters and sorts the rows it was sent and says that the others are not there."""
    path = tmp_path / "runs.html"
    browser = ExecutionBrowser(many.head(30_000), filters={"status": ["failed"]})
    document = browser.to_html(path)
    offline_page.goto(path.as_uri())
    offline_page.wait_for_selector(".wb-execution-browser[data-turn]")

    expect(offline_page.locator(".wb-eb-footer")).to_contain_text("the first of 30,000")
    eventually(offline_page, offline_page.locator(".wb-eb-row:not([hidden])").count, lambda rows: rows > 5)
    expect(offline_page.locator(".wb-static")).to_be_hidden()
    offline_page.locator("[data-column=cost_usd] .wb-eb-sort").click()
    expect(offline_page.locator("[data-column=cost_usd]")).to_have_attribute("aria-sort", "descending")
    assert len(document) < 3_000_000


# -- JupyterLab ----------------------------------------------------------------------------------------------------

_SETUP = """
import workbench as wb
from fixtures.runs import make_runs, make_events
runs = make_runs(120)
"""


def test_in_jupyterlab(notebook, shot) -> None:
    """In JupyterLab: click, type, keys reach the kernel; opening shows the callback's widget; themes switch."""
    notebook.open(
        _SETUP,
        "b = wb.ExecutionBrowser(runs, on_open=lambda id: wb.Dashboard(runs.filter(id=id)), height=300)\nb",
    ).run_all()
    page = notebook.page
    page.wait_for_selector(".wb-execution-browser[data-turn]")

    # JupyterLab has a rule for buttons, which would make it square.
    expect(page.locator(".wb-eb-status-chip").first).to_have_css("border-radius", "13px")
    row(page, 2).locator(".wb-eb-status").click()
    notebook.wait_kernel("b.selected['id'].to_list() == runs['id'][2:3].to_list()", True)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Shift+ArrowDown")
    notebook.wait_kernel("len(b.selected_ids)", 3)
    page.locator(".wb-eb-search").press_sequentially("passenger 14")
    notebook.wait_kernel("b.filters", {"search": "passenger 14"})
    found = str(notebook.kernel("b.visible.height"))
    expect(page.locator(".wb-execution-browser")).to_have_attribute("data-rows", found)
    page.locator(".wb-eb-grid").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".wb-eb-opened .wb-dashboard[data-charts]", timeout=60_000)
    shot(page, "execution-browser-lab-light")
    notebook.theme("dark")
    shot(page, "execution-browser-lab-dark")
    notebook.theme("light")

    expect(page.locator(".jp-Notebook.jp-mod-editMode")).to_have_count(0)
    notebook.keeps_letters(page.locator(".wb-eb-grid"))
    assert notebook.kernel("repr(b)") == "ExecutionBrowser(executions=120, selected=3)"
