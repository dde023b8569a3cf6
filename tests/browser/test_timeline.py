"""Timeline in a real browser: what a person does, and what the kernel receives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.widgets.events import event, frame, many, run
from workbench.widgets.timeline import Timeline

HOSTILE = (
    '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>\x1b[31mred\x1b[0m \u202eevil ' + "long " * 300
)


def stage(page: Page) -> Locator:
    page.locator(".wb-timeline[data-painted]").wait_for()
    return page.locator(".wb-tl-stage")


def root(page: Page) -> Locator:
    return page.locator(".wb-timeline")


def view(page: Page) -> tuple[float, float]:
    """What is in view, as the widget drew it."""
    low, high = root(page).get_attribute("data-view").split(" ")
    return float(low), float(high)


def at(page: Page, ms: float, track: int = 0) -> tuple[float, float]:
    """Page coordinates of a moment on a row."""
    box = stage(page).bounding_box()
    low, high = view(page)
    lanes = page.evaluate("model.get('_scene').lanes.map((l) => [l[1], l[2]])")
    y = 0.0
    for first, rows in lanes:
        height = max(18, rows * 20 + 6)
        if first <= track < first + rows:
            y += (height - rows * 20) / 2 + (track - first) * 20 + 9
            break
        y += height
    return box["x"] + (ms - low) / (high - low) * box["width"], box["y"] + y


def settle(page: Page) -> None:
    """Two frames, and the time a view takes to be told."""
    page.wait_for_timeout(200)


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)
    settle(page)


# -- looking -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("theme", "width"), [("light", 1200), ("dark", 1200), ("plain", 800), ("light", 420), ("dark", 420)]
)
def test_it_shows_and_hides_its_static_view(mount: Any, shot: Callable, theme: str, width: int) -> None:
    """In light, dark and narrow cells the timeline draws, within its cell, and replaces the static view."""
    page = mount(Timeline(run()), theme=theme, width=width)
    x, y = at(page, 600)
    page.mouse.click(x, y)
    page.locator(".wb-tl-fields").wait_for()
    settle(page)
    shot(page, f"timeline-{theme}-{width}")

    assert root(page).get_attribute("data-n") == "60"
    assert not page.locator("[data-wb-static]").is_visible()
    assert page.evaluate("document.querySelector('.wb-timeline').scrollWidth") <= width
    assert ("wb-dark" in root(page).get_attribute("class")) == (theme == "dark")


def test_colours_follow_the_theme(mount: Any) -> None:
    """Switching the host's theme redraws the canvas in the other colours."""
    page = mount(Timeline(run()))
    before = stage(page).screenshot()
    page.evaluate("document.body.setAttribute('data-jp-theme-light', 'false')")
    page.locator(".wb-timeline.wb-dark").wait_for()
    settle(page)

    assert stage(page).screenshot() != before


def test_empty_and_tiny_frames(mount: Any, shot: Callable) -> None:
    """No events is said, one event is drawn."""
    page = mount(Timeline(run(3).clear()))
    expect(page.locator(".wb-empty")).to_contain_text("No events")
    shot(page, "timeline-empty")
    page = mount(Timeline(frame(event(0, 5))))
    x, y = at(page, 0)
    page.mouse.click(x, y)

    expect(page.locator(".wb-tl-detail-title")).to_have_text("name 0")


def test_steps_where_there_are_no_times(mount: Any, shot: Callable) -> None:
    """Without timestamps the axis, the words and the viewport are in steps."""
    timeline = Timeline(run(40).with_columns(timestamp=pl.lit(None, pl.Datetime("us", "UTC"))))
    page = mount(timeline)
    stage(page)
    settle(page)
    shot(page, "timeline-steps")

    expect(page.locator(".wb-tl-unit")).to_have_text("steps")
    expect(page.locator(".wb-tl-status")).to_contain_text("40 steps (no times in the source)")


def test_utc_or_since_the_start(mount: Any) -> None:
    """The axis changes between time since the start and time of day, UTC."""
    page = mount(Timeline(run()))
    stage(page)
    expect(page.locator(".wb-tl-status")).to_contain_text("in view: 0 ms … 6.03 s")
    page.locator(".wb-tl-unit").click()

    expect(page.locator(".wb-tl-unit")).to_have_text("UTC")
    expect(page.locator(".wb-tl-status")).to_contain_text("08:00:00.000 … 08:00:06.030 UTC")


# -- moving ------------------------------------------------------------------------------------------------------


def test_drag_pans_and_tells_the_kernel(mount: Any) -> None:
    """A drag moves the view by as much as the pointer moved; the kernel gets the viewport."""
    timeline = Timeline(run(), viewport=(2_000.0, 3_000.0))
    page = mount(timeline)
    box = stage(page).bounding_box()
    middle = box["y"] + 30
    page.mouse.move(box["x"] + 600, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 400, middle, steps=4)
    page.mouse.up()
    settle(page)

    expected = 2_000 + 200 / box["width"] * 1_000
    assert timeline.viewport[0] == pytest.approx(expected, abs=2)
    assert timeline.viewport[1] - timeline.viewport[0] == pytest.approx(1_000, abs=1)
    assert timeline.selection == {}


def test_wheel_zooms_only_when_meant(mount: Any) -> None:
    """A plain wheel scrolls the page until the timeline has the focus; with ctrl it zooms at once."""
    timeline = Timeline(run())
    page = mount(timeline)
    x, y = at(page, 3_000)
    before = view(page)
    page.mouse.move(x, y)
    page.mouse.wheel(0, -200)
    settle(page)
    assert view(page) == before

    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    settle(page)
    low, high = timeline.viewport
    assert high - low < (before[1] - before[0]) * 0.8
    assert (3_000 - low) / (high - low) == pytest.approx((3_000 - before[0]) / (before[1] - before[0]), abs=0.01)

    stage(page).focus()
    page.mouse.wheel(0, -200)
    settle(page)
    assert timeline.viewport[1] - timeline.viewport[0] < (high - low) * 0.8

    page.keyboard.down("Shift")
    page.mouse.wheel(0, 120)
    page.keyboard.up("Shift")
    settle(page)
    assert timeline.viewport[0] > low


def test_keys_move_and_zoom(mount: Any) -> None:
    """Arrows pan, + and - zoom, Home and End go to the ends, f shows everything."""
    timeline = Timeline(run())
    page = mount(timeline)
    stage(page).focus()
    whole = view(page)
    press(page, "+", "+")
    zoomed = timeline.viewport
    assert zoomed[1] - zoomed[0] == pytest.approx((whole[1] - whole[0]) / 4, rel=0.01)
    press(page, "ArrowRight")
    assert timeline.viewport[0] > zoomed[0]
    press(page, "ArrowLeft")
    assert timeline.viewport[0] == pytest.approx(zoomed[0], abs=0.01)
    press(page, "End")
    assert timeline.viewport[1] >= 6_000
    press(page, "Home")
    assert timeline.viewport[0] <= 0
    press(page, "-")
    assert timeline.viewport[1] - timeline.viewport[0] > zoomed[1] - zoomed[0]
    press(page, "f")
    assert timeline.viewport == pytest.approx(whole, abs=0.01)


def test_the_minimap_moves_the_view(mount: Any) -> None:
    """The view on the minimap is dragged, resized at its edge, and jumps to a click beside it."""
    timeline = Timeline(run(), viewport=(2_000.0, 3_000.0))
    page = mount(timeline)
    stage(page)
    box = page.locator(".wb-tl-mini").bounding_box()

    def x(ms: float) -> float:
        margin = 0.02 * timeline._span
        return box["x"] + (ms + margin) / (timeline._span + 2 * margin) * box["width"]

    y = box["y"] + 20
    page.mouse.move(x(2_500), y)
    page.mouse.down()
    page.mouse.move(x(3_500), y, steps=3)
    page.mouse.up()
    settle(page)
    assert timeline.viewport == pytest.approx((3_000, 4_000), abs=15)
    page.mouse.move(x(4_000) - 1, y)
    page.mouse.down()
    page.mouse.move(x(5_000), y, steps=3)
    page.mouse.up()
    settle(page)
    assert timeline.viewport == pytest.approx((3_000, 5_000), abs=15)
    page.mouse.click(x(1_500), y)
    settle(page)
    assert sum(timeline.viewport) / 2 == pytest.approx(1_500, abs=15)


def test_the_view_moves_from_python(mount: Any) -> None:
    """Setting ``viewport`` in the kernel moves the view."""
    timeline = Timeline(run())
    page = mount(timeline)
    stage(page)
    timeline.viewport = (1_000.0, 2_000.0)
    mount.flush()
    settle(page)

    assert view(page) == (1_000, 2_000)


# -- choosing ----------------------------------------------------------------------------------------------------


def test_click_opens_an_event(mount: Any) -> None:
    """A click selects the event for the kernel, shows its fields, its data as a tree, and the code that finds it."""
    events = run()
    timeline = Timeline(events)
    page = mount(timeline)
    x, y = at(page, 110, 1)
    page.mouse.click(x, y)
    page.locator(".wb-tl-chosen code").wait_for()

    assert timeline.selected["step_number"].to_list() == [1]
    expect(page.locator(".wb-tl-fields")).to_contain_text("search_flights")
    expect(page.locator(".wb-tl-detail .wb-json").first).to_contain_text("looking for flight 1")
    expect(page.locator(".wb-tl-chosen code")).to_have_text(timeline.code)
    press(page, "Escape")
    assert timeline.selection == {}
    assert not page.locator(".wb-tl-detail").is_visible()


@pytest.mark.parametrize("how", ["shift", "button"])
def test_brush_selects_a_range(mount: Any, how: str) -> None:
    """Shift-drag, or drag in select mode, selects what overlaps the range; what the legend hides is left out."""
    timeline = Timeline(run())
    page = mount(timeline)
    stage(page)
    page.locator('.wb-chip[data-name="message"]').click()
    if how == "button":
        page.get_by_role("button", name="Drag to select").click()
    x0, y = at(page, 1_010, 0)
    x1, _ = at(page, 1_390, 0)
    page.mouse.move(x0, y + 50)
    if how == "shift":
        page.keyboard.down("Shift")
    page.mouse.down()
    page.mouse.move(x1, y + 50, steps=4)
    page.mouse.up()
    page.keyboard.up("Shift")
    page.locator(".wb-tl-chosen code").wait_for()

    steps = timeline.selected["step_number"].to_list()
    assert steps == [0, 10, 11, 12]  # 13 is a message, which the legend hides
    assert eval(timeline.code, {"pl": pl, "events": timeline.events}).height == 4
    expect(page.locator(".wb-tl-chosen")).to_contain_text("4 events selected")


def test_lanes_are_buttons(mount: Any) -> None:
    """A click on a lane's name selects the lane."""
    timeline = Timeline(run())
    page = mount(timeline)
    stage(page)
    page.locator(".wb-tl-lane").nth(1).click()
    settle(page)

    assert set(timeline.selected["agent"]) == {"booker"}
    assert page.locator(".wb-tl-lane").nth(1).get_attribute("aria-pressed") == "true"


def test_the_legend_hides_and_shows(mount: Any) -> None:
    """A chip takes its events out of the picture and out of the reach of clicks and keys, and brings them back."""
    timeline = Timeline(run())
    page = mount(timeline)
    stage(page).focus()
    before = stage(page).screenshot()
    chip = page.locator('.wb-chip[data-name="span"]')
    chip.click()
    settle(page)
    assert stage(page).screenshot() != before
    assert page.locator('.wb-chip[data-name="span"]').get_attribute("aria-pressed") == "false"
    x, y = at(page, 3_000, 0)
    page.mouse.click(x, y)
    settle(page)
    assert timeline.selection == {}
    page.locator('.wb-chip[data-name="span"]').click()
    page.mouse.click(x, y)
    settle(page)
    assert timeline.selected["step_number"].to_list() == [0]


def test_lanes_and_colours_are_chosen_in_the_toolbar(mount: Any) -> None:
    """Choosing lanes or colours is a trait in the kernel, which lays out again."""
    timeline = Timeline(run())
    page = mount(timeline)
    stage(page)
    page.get_by_label("Lanes by").select_option("event_type")
    page.get_by_label("Colour by").select_option("severity")
    page.locator('.wb-tl-lane[data-lane="tool_call"]').wait_for()

    assert (timeline.lanes, timeline.colors) == ("event_type", "severity")
    assert page.locator('.wb-chip[data-name="error"] .wb-swatch').count() == 1


# -- finding -----------------------------------------------------------------------------------------------------


def test_search_counts_marks_and_jumps(mount: Any, shot: Callable) -> None:
    """Typing searches in the kernel, says how many match, jumps to one; Enter goes to the next."""
    timeline = Timeline(run(), viewport=(0.0, 500.0))
    page = mount(timeline)
    stage(page).focus()
    press(page, "/")
    page.keyboard.type("flight 4")
    page.locator('.wb-timeline[data-hits="11"]').wait_for()
    expect(page.locator(".wb-tl-hits")).to_have_text("11 matches")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    settle(page)
    expect(page.locator(".wb-sr[role=status]")).to_contain_text("+4 s")
    assert timeline.viewport[0] > 500
    shot(page, "timeline-search")
    page.keyboard.press("Escape")
    page.locator('.wb-timeline[data-hits=""]').wait_for()
    assert page.evaluate("document.activeElement.className") == "wb-tl-stage"


def test_keys_go_from_event_to_event(mount: Any) -> None:
    """The keys n and p step in time, up and down change the lane, each is said to a screen reader, Enter opens."""
    timeline = Timeline(run())
    page = mount(timeline)
    stage(page).focus()
    said = page.locator(".wb-sr[role=status]")
    press(page, "n", "n")
    expect(said).to_contain_text("search_flights, planner, +100 ms")
    press(page, "p")
    expect(said).to_contain_text("task 7, planner, +0 ms, 6 s")
    press(page, "ArrowDown")
    expect(said).to_contain_text("booker")
    press(page, "Enter")
    page.locator(".wb-tl-fields").wait_for()
    assert timeline.selected["agent"].to_list() == ["booker"]
    press(page, "n")
    assert timeline.selected.height == 1
    assert timeline.selected["step_number"].to_list() == [8]


def test_the_hover_card_says_what_is_there(mount: Any, shot: Callable) -> None:
    """Hovering shows name, severity by sign and word, time, length, and a line of its text from the kernel."""
    page = mount(Timeline(run()))
    for row in range(6):  # the row the error lies in
        x, y = at(page, 1_710, row)
        page.mouse.move(x, y)
        page.wait_for_timeout(60)
        if "error" in page.locator(".wb-tl-card").inner_text():
            break
    expect(page.locator(".wb-tl-card")).to_contain_text("▼ error")
    expect(page.locator(".wb-tl-card")).to_contain_text("looking for flight 17")
    shot(page, "timeline-hover")


# -- large runs --------------------------------------------------------------------------------------------------


def test_a_large_run_switches_between_cells_and_events(mount: Any, shot: Callable) -> None:
    """Many events are cells, few are drawn each; every answer stays small and the newest view is what is asked."""
    timeline = Timeline(many(40_000))
    page = mount(timeline)
    stage(page).focus()
    page.wait_for_timeout(400)
    shot(page, "timeline-40k")
    assert root(page).get_attribute("data-mode") == "cells"
    press(page, *["+"] * 7)
    page.locator('.wb-timeline[data-mode="exact"]').wait_for()
    shot(page, "timeline-40k-zoomed")
    assert 0 < int(root(page).get_attribute("data-items")) <= 2_000
    press(page, "n")
    expect(page.locator(".wb-sr[role=status]")).to_contain_text("+")
    press(page, "Enter")
    page.locator(".wb-tl-fields").wait_for()
    assert timeline.selected.height == 1


def test_a_click_on_cells_opens_the_nearest(mount: Any) -> None:
    """In a view of cells a click still reaches an event."""
    timeline = Timeline(many(40_000))
    page = mount(timeline)
    x, y = at(page, 40_000_000, 0)
    page.mouse.click(x, y)
    page.locator(".wb-tl-fields").wait_for()

    assert timeline.selected["agent"].to_list() == [timeline._scene["lanes"][0][0]]


# -- trouble -----------------------------------------------------------------------------------------------------


def test_hostile_text_is_text_everywhere(mount: Any, shot: Callable) -> None:
    """Markup, terminal codes and endless words in every field do nothing but read as text, and fit."""
    evil = {"name": HOSTILE, "agent": HOSTILE, "event_type": HOSTILE, "category": HOSTILE}
    rows = [event(i, i * 10, 8.0, **evil, data={HOSTILE: HOSTILE, "text": HOSTILE}) for i in range(9)]
    timeline = Timeline(frame(*rows))
    page = mount(timeline, width=700)
    x, y = at(page, 44, 0)
    page.mouse.move(x, y)
    page.wait_for_timeout(150)
    page.mouse.click(x, y)
    page.locator(".wb-tl-fields").wait_for()
    page.locator(".wb-tl-lane").first.hover()
    settle(page)
    shot(page, "timeline-hostile")

    assert page.evaluate("window.pwned") is None
    assert page.locator(".wb-timeline img, .wb-timeline script").count() == 0
    text = root(page).inner_text()
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "<img src=x" in text
    assert page.evaluate("document.querySelector('.wb-timeline').scrollWidth") <= 700


def test_huge_text_comes_in_pieces(mount: Any) -> None:
    """A 50 MB text shows its beginning; "show more" asks the kernel for the next piece, not the whole."""
    timeline = Timeline(frame(event(0, 0, 5.0, data={"text": "word " * 10_000_000})))
    page = mount(timeline)
    x, y = at(page, 2)
    page.mouse.click(x, y)
    more = page.locator(".wb-more").first
    expect(more).to_contain_text("of 50,000,000 characters")
    more.click()
    more.click()
    expect(more).to_contain_text("show more (22,000 of 50,000,000")

    assert max(len(json.dumps(message)) for message in page.evaluate("model.sent")) < 10_000


def test_a_failing_handler_shows_in_the_widget(mount: Any, shot: Callable) -> None:
    """What goes wrong in the kernel is said in the widget, and the widget stays alive."""
    timeline = Timeline(run())

    def broken(text: str, **_: Any) -> None:
        raise RuntimeError(f"cannot search for {text}")

    timeline._wire._handlers["search"] = broken
    page = mount(timeline)
    stage(page)
    page.get_by_label("Search names").fill("x")
    expect(page.locator(".wb-error-pane")).to_contain_text("RuntimeError: cannot search for x")
    shot(page, "timeline-error")
    page.get_by_label("Close this message").click()
    stage(page).focus()
    press(page, "n")

    expect(page.locator(".wb-sr[role=status]")).to_contain_text("task 7")


def test_it_unmounts_cleanly(mount: Any) -> None:
    """After its cell is gone the widget leaves nothing and answers nothing."""
    page = mount(Timeline(run()))
    stage(page)
    page.evaluate("window.unmount()")
    page.evaluate("model.set('viewport', [0, 1])")

    assert page.locator(".wb-timeline").count() == 0


def test_a_saved_page_is_alive_without_kernel_and_network(offline_page: Page, tmp_path: Path, shot: Callable) -> None:
    """A page opened from disk pans, zooms, filters, searches and shows details of what was sent."""
    path = tmp_path / "timeline.html"
    Timeline(run()).to_html(path)
    page = offline_page
    page.goto(path.as_uri())
    stage(page).focus()
    press(page, "+", "Home", "n", "Enter")
    expect(page.locator(".wb-tl-fields")).to_contain_text("task 7")
    page.locator('.wb-chip[data-name="message"]').click()
    page.get_by_label("Search names").fill("flight 4")
    page.locator('.wb-timeline[data-hits="11"]').wait_for()
    shot(page, "timeline-saved")

    assert not page.locator("[data-wb-static]").is_visible()


def test_a_saved_page_of_a_large_run_zooms_what_it_has(offline_page: Page, tmp_path: Path) -> None:
    """A large run saved without its kernel keeps its overview and its first events."""
    path = tmp_path / "timeline.html"
    Timeline(many(20_000)).to_html(path)
    offline_page.goto(path.as_uri())
    stage(offline_page).focus()
    press(offline_page, "+", "n", "n")

    assert root(offline_page).get_attribute("data-mode") == "cells"
    assert path.stat().st_size < 3_000_000


def test_a_saved_page_reads_without_scripts(browser: Any, tmp_path: Path) -> None:
    """With scripts off, the static view is what is shown."""
    path = tmp_path / "timeline.html"
    Timeline(run()).to_html(path)
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())

    assert page.locator("[data-wb-static] svg").is_visible()
    assert "looking for flight" in page.locator("[data-wb-static]").inner_text()
    context.close()


# -- JupyterLab --------------------------------------------------------------------------------------------------

SETUP = "import polars as pl\nfrom tests.widgets.events import run, many\nfrom workbench import Timeline"


def test_in_jupyterlab(notebook: Any, shot: Callable) -> None:
    """In JupyterLab: click, brush, wheel, keys and search reach the kernel, and no key reaches the notebook."""
    notebook.open(SETUP, "timeline = Timeline(run()); timeline", "timeline").run_all()
    page = notebook.page
    page.locator(".wb-timeline[data-painted]").first.wait_for()
    first = page.locator(".wb-timeline").first
    canvas = first.locator(".wb-tl-stage")
    notebook.drag(canvas, 0.2, 0.9, 0.4, 0.9)
    assert not first.page.locator("[data-wb-static]").first.is_visible()
    canvas.focus()
    cells = page.evaluate("jupyterapp.shell.currentWidget.content.model.cells.length")
    for key in ("+", "+", "Home", "n", "n", "Enter", "ArrowRight", "f", "+", "a", "b", "x"):
        page.keyboard.press(key)  # a, b and x are JupyterLab's: new cell above, below, cut
    notebook.wait_kernel("timeline.selected['step_number'].to_list()", [1])
    notebook.wait_kernel("timeline.viewport[1] - timeline.viewport[0] < 6_000", True)
    assert page.evaluate("jupyterapp.shell.currentWidget.content.model.cells.length") == cells
    page.keyboard.press("/")
    page.keyboard.type("flight 42")
    first.locator('xpath=self::*[@data-hits="1"]').wait_for()
    canvas.hover()
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    page.keyboard.press("Escape")
    page.keyboard.down("Shift")
    notebook.drag(canvas, 0.3, 0.9, 0.6, 0.9)
    page.keyboard.up("Shift")
    notebook.wait_kernel("timeline.selection['kind']", "range")
    assert notebook.kernel("timeline.selected.height") == notebook.kernel(
        "eval(timeline.code, {'pl': pl, 'events': timeline.events}).height"
    )
    # the second view of the same widget shows the same selection
    expect(page.locator('.wb-timeline[data-selection="range"]')).to_have_count(2)
    shot(page, "timeline-lab-light")
    notebook.theme("dark")
    page.wait_for_timeout(300)
    shot(page, "timeline-lab-dark")
    notebook.theme("light")
    notebook.narrow(420)
    page.wait_for_timeout(300)
    shot(page, "timeline-lab-narrow")


def test_large_in_jupyterlab(notebook: Any) -> None:
    """A large run in JupyterLab: finer levels come from the kernel over the real wire."""
    notebook.open(SETUP, "timeline = Timeline(many(100_000)); timeline").run_all()
    page = notebook.page
    page.locator(".wb-timeline[data-mode='cells']").wait_for()
    page.locator(".wb-tl-stage").focus()
    for _ in range(8):
        page.keyboard.press("+")
    page.locator(".wb-timeline[data-mode='exact']").wait_for()
    page.keyboard.press("n")
    page.keyboard.press("Enter")
    page.locator(".wb-tl-fields").wait_for()

    notebook.wait_kernel("timeline.selected.height", 1)
