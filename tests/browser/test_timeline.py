"""Timeline in a real browser: what a person sees, moves, chooses and finds, and what the kernel receives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from playwright.sync_api import expect

from tests.browser.timeline_page import at, extent, picture, press, root, stage, view
from tests.browser.waiting import count_events, eventually, frames, steady_box
from tests.widgets.events import event, frame, run
from workbench.widgets.timeline import Timeline

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
    expect(page.locator(".wb-tl-chosen code")).to_be_visible()
    frames(page)
    shot(page, f"timeline-{theme}-{width}")

    expect(root(page)).to_have_attribute("data-n", "60")
    expect(page.locator("[data-wb-static]")).to_be_hidden()
    eventually(page, lambda: root(page).evaluate("root => root.scrollWidth"), lambda wide: wide <= width)
    eventually(page, lambda: "wb-dark" in root(page).evaluate("root => root.className"), theme == "dark")


def test_colours_follow_the_theme(mount: Any) -> None:
    """Switching the host's theme redraws the canvas in the other colours."""
    page = mount(Timeline(run()))
    stage(page)
    before = picture(page)
    page.evaluate("document.body.setAttribute('data-jp-theme-light', 'false')")
    page.locator(".wb-timeline.wb-dark").wait_for()

    eventually(page, lambda: picture(page) != before)


def test_empty_and_tiny_frames(mount: Any, shot: Callable) -> None:
    """No events is said, one event is drawn."""
    page = mount(Timeline(run(3).clear()))
    expect(page.locator(".wb-empty")).to_contain_text("No events")
    shot(page, "timeline-empty")
    page = mount(Timeline(frame(event(0, 5))))
    x, y = at(page, 0)
    page.mouse.click(x, y)

    expect(page.locator(".wb-tl-detail-title")).to_have_text("name 0")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_marks_are_drawn_and_said(mount: Any, shot: Callable, theme: str) -> None:
    """What an event's place lacks is a sign on it, words in the pane and for a screen reader, and counted below."""
    marked = frame(
        event(0, 0, 900, event_type="span", span_id="s0"),
        event(1, 200, 100, mark="orphaned", parent_span_id="deadbeef"),
        event(2, 500, mark="unfinished", event_type="tool_call"),
        event(3, 700, 50, mark="out_of_order"),
    )
    plain = mount(Timeline(marked.with_columns(mark=pl.lit(None, pl.String))), theme=theme)
    stage(plain)
    without = picture(plain)
    page = mount(Timeline(marked), theme=theme)
    expect(page.locator(".wb-tl-status")).to_contain_text("1 orphaned · 1 unfinished · 1 out of order")
    said = {}
    stage(page).focus()
    for n in range(4):
        press(page, "n", "Enter")
        expect(page.locator(".wb-tl-detail-title")).to_have_text(f"name {n}")
        page.locator(".wb-tl-fields").wait_for()
        note = page.get_by_role("note")
        said[n] = note.inner_text() if note.count() else None
        if n == 1:
            frames(page)
            shot(page, f"timeline-marks-{theme}")

    assert picture(page) != without
    assert said[0] is None
    assert "its parent deadbeef is not in any file read so far" in said[1]
    assert "unfinished" in said[2]
    assert "out of order" in said[3]


def test_steps_where_there_are_no_times(mount: Any, shot: Callable) -> None:
    """Without timestamps the axis, the words and the viewport are in steps."""
    timeline = Timeline(run(40).with_columns(timestamp=pl.lit(None, pl.Datetime("us", "UTC"))))
    page = mount(timeline)
    stage(page)
    expect(page.locator(".wb-tl-unit")).to_have_text("steps")
    shot(page, "timeline-steps")

    expect(page.locator(".wb-tl-status")).to_contain_text("40 steps (no times in the source)")


def test_utc_or_since_the_start(mount: Any) -> None:
    """The axis changes between time since the start and time of day, UTC."""
    page = mount(Timeline(run()))
    stage(page)
    expect(page.locator(".wb-tl-status")).to_contain_text("in view: 0 ms … 6.03 s")
    page.locator(".wb-tl-unit").click()

    expect(page.locator(".wb-tl-unit")).to_have_text("UTC")
    expect(page.locator(".wb-tl-status")).to_contain_text("08:00:00.000 … 08:00:06.030 UTC")


@pytest.mark.parametrize(("width", "shown"), [(420, False), (1100, True)])
def test_lanes_with_errors_count_their_events_too(mount: Any, width: int, shown: bool) -> None:
    """Beside the errors of a lane stands how many events it has, where there is room for both."""
    page = mount(Timeline(frame(event(0, 0, severity="error"), event(1, 10), event(2, 20))), width=width)
    lane = page.locator(".wb-tl-lane").first

    expect(lane.locator(".wb-tl-lane-errors")).to_have_text("▼1")
    expect(lane.locator(".wb-tl-lane-count")).to_have_text("3")
    expect(lane.locator(".wb-tl-lane-count")).to_be_visible(visible=shown)


# -- moving ------------------------------------------------------------------------------------------------------


def test_drag_pans_and_tells_the_kernel(mount: Any) -> None:
    """A drag moves the view by as much as the pointer moved; the kernel gets the viewport."""
    timeline = Timeline(run(), viewport=(2_000.0, 3_000.0))
    page = mount(timeline)
    box = steady_box(stage(page))
    middle = box["y"] + 30
    page.mouse.move(box["x"] + 600, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 400, middle, steps=4)
    page.mouse.up()

    expected = 2_000 + 200 / box["width"] * 1_000
    eventually(page, lambda: timeline.viewport[0], pytest.approx(expected, abs=2))
    assert extent(timeline) == pytest.approx(1_000, abs=1)
    assert timeline.selection == {}


def test_wheel_zooms_only_when_meant(mount: Any) -> None:
    """A plain wheel scrolls the page until the timeline has the focus; with ctrl it zooms at once."""
    timeline = Timeline(run())
    page = mount(timeline)
    x, y = at(page, 3_000)
    before = view(page)
    handled = count_events(page, "wheel")
    page.mouse.move(x, y)
    page.mouse.wheel(0, -200)
    handled("wheel")
    frames(page)
    assert view(page) == before

    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    whole = before[1] - before[0]
    low, high = eventually(page, lambda: timeline.viewport, lambda v: v[1] - v[0] < whole * 0.8)
    assert (3_000 - low) / (high - low) == pytest.approx((3_000 - before[0]) / whole, abs=0.01)

    stage(page).focus()
    page.mouse.wheel(0, -200)
    low, high = eventually(page, lambda: timeline.viewport, lambda v: v[1] - v[0] < (high - low) * 0.8)

    page.keyboard.down("Shift")
    page.mouse.wheel(0, 120)
    page.keyboard.up("Shift")
    eventually(page, lambda: timeline.viewport[0], lambda start: start > low)


def test_a_wheel_that_scrolls_the_page_says_how_to_zoom(mount: Any, shot: Callable) -> None:
    """Over a timeline without the focus a plain wheel shows a hint; with the focus, or with ctrl, there is none."""
    page = mount(Timeline(run()))
    page.evaluate("() => { const set = setTimeout; window.setTimeout = (f, ms) => set(f, ms === 2000 ? 1e8 : ms) }")
    hint = page.locator(".wb-tl-hint")
    handled = count_events(page, "wheel")
    page.mouse.move(*at(page, 3_000))
    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    handled("wheel")
    expect(hint).to_be_hidden()
    page.mouse.wheel(0, 200)
    expect(hint).to_be_visible()
    expect(hint).to_have_text("Click the timeline, then the wheel zooms")
    expect(hint).to_have_attribute("aria-live", "polite")
    expect(hint).to_have_css("transition-duration", "0s")  # the page asks for reduced motion
    shot(page, "timeline-wheel-hint")
    stage(page).focus()
    expect(hint).to_be_hidden()
    page.mouse.wheel(0, 200)
    handled("wheel")
    handled("wheel")
    frames(page)

    expect(hint).to_be_hidden()


def test_the_wheel_hint_goes_by_itself(mount: Any) -> None:
    """Soon after the wheel has stopped the hint is gone."""
    page = mount(Timeline(run()))
    page.mouse.move(*at(page, 3_000))
    page.mouse.wheel(0, 200)

    expect(page.locator(".wb-tl-hint")).to_have_text("Click the timeline, then the wheel zooms")
    expect(page.locator(".wb-tl-hint")).to_be_hidden()


def test_keys_move_and_zoom(mount: Any) -> None:
    """Arrows pan, + and - zoom, Home and End go to the ends, f shows everything."""
    timeline = Timeline(run())
    page = mount(timeline)
    stage(page).focus()
    whole = view(page)
    press(page, "+", "+")
    quarter = (whole[1] - whole[0]) / 4
    eventually(page, lambda: extent(timeline), pytest.approx(quarter, rel=0.01))
    start = timeline.viewport[0]
    press(page, "ArrowRight")
    eventually(page, lambda: timeline.viewport[0], lambda now: now > start)
    press(page, "ArrowLeft")
    eventually(page, lambda: timeline.viewport[0], pytest.approx(start, abs=0.01))
    press(page, "End")
    eventually(page, lambda: timeline.viewport[1], lambda end: end >= 6_000)
    press(page, "Home")
    eventually(page, lambda: timeline.viewport[0], lambda now: now <= 0)
    press(page, "-")
    eventually(page, lambda: extent(timeline), lambda size: size > quarter * 1.5)
    press(page, "f")
    eventually(page, lambda: timeline.viewport, pytest.approx(whole, abs=0.01))


def test_the_minimap_moves_the_view(mount: Any) -> None:
    """The view on the minimap is dragged, resized at its edge, and jumps to a click beside it."""
    timeline = Timeline(run(), viewport=(2_000.0, 3_000.0))
    page = mount(timeline)
    stage(page)
    box = steady_box(page.locator(".wb-tl-mini"))

    def x(ms: float) -> float:
        margin = 0.02 * timeline._span
        return box["x"] + (ms + margin) / (timeline._span + 2 * margin) * box["width"]

    y = box["y"] + 20
    page.mouse.move(x(2_500), y)
    page.mouse.down()
    page.mouse.move(x(3_500), y, steps=3)
    page.mouse.up()
    eventually(page, lambda: timeline.viewport, pytest.approx((3_000, 4_000), abs=15))
    page.mouse.move(x(4_000) - 1, y)
    page.mouse.down()
    page.mouse.move(x(5_000), y, steps=3)
    page.mouse.up()
    eventually(page, lambda: timeline.viewport, pytest.approx((3_000, 5_000), abs=15))
    page.mouse.click(x(1_500), y)
    eventually(page, lambda: sum(timeline.viewport) / 2, pytest.approx(1_500, abs=15))


def test_the_view_moves_from_python(mount: Any) -> None:
    """Setting ``viewport`` in the kernel moves the view."""
    timeline = Timeline(run())
    page = mount(timeline)
    stage(page)
    timeline.viewport = (1_000.0, 2_000.0)
    mount.flush()

    eventually(page, lambda: view(page), (1_000, 2_000))


# -- choosing ----------------------------------------------------------------------------------------------------


def test_click_opens_an_event(mount: Any) -> None:
    """A click selects the event for the kernel, shows its fields, its data as a tree, and the code that finds it."""
    events = run()
    timeline = Timeline(events)
    page = mount(timeline)
    x, y = at(page, 110, 1)
    page.mouse.click(x, y)
    page.locator(".wb-tl-chosen code").wait_for()

    eventually(page, lambda: timeline.selected["step_number"].to_list(), [1])
    expect(page.locator(".wb-tl-fields")).to_contain_text("search_flights")
    expect(page.locator(".wb-tl-detail .wb-json").first).to_contain_text("looking for flight 1")
    expect(page.locator(".wb-tl-chosen code")).to_have_text(timeline.code)
    press(page, "Escape")
    eventually(page, lambda: timeline.selection, {})
    expect(page.locator(".wb-tl-detail")).to_be_hidden()


@pytest.mark.parametrize("how", ["shift", "button"])
def test_brush_selects_a_range(mount: Any, how: str) -> None:
    """Shift-drag, or drag in select mode, selects what overlaps the range; what the legend hides is left out."""
    timeline = Timeline(run())
    page = mount(timeline)
    stage(page)
    page.locator('.wb-chip[data-name="message"]').click()
    expect(page.locator('.wb-chip[data-name="message"]')).to_have_attribute("aria-pressed", "false")
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

    # 13 is a message, which the legend hides
    eventually(page, lambda: timeline.selected["step_number"].to_list(), [0, 10, 11, 12])
    assert eval(timeline.code, {"pl": pl, "events": timeline.events}).height == 4
    expect(page.locator(".wb-tl-chosen")).to_contain_text("4 events selected")


def test_lanes_are_buttons(mount: Any) -> None:
    """A click on a lane's name selects the lane."""
    timeline = Timeline(run())
    page = mount(timeline)
    stage(page)
    page.locator(".wb-tl-lane").nth(1).click()

    eventually(page, lambda: set(timeline.selected["agent"]), {"booker"})
    expect(page.locator(".wb-tl-lane").nth(1)).to_have_attribute("aria-pressed", "true")


def test_the_legend_hides_and_shows(mount: Any) -> None:
    """A chip takes its events out of the picture and out of the reach of clicks and keys, and brings them back."""
    timeline = Timeline(run())
    page = mount(timeline)
    stage(page).focus()
    before = picture(page)
    chip = page.locator('.wb-chip[data-name="span"]')
    chip.click()
    expect(chip).to_have_attribute("aria-pressed", "false")
    without = eventually(page, lambda: picture(page), lambda now: now != before)
    x, y = at(page, 3_000, 0)
    handled = count_events(page, "pointerup")
    page.mouse.click(x, y)
    handled("pointerup")
    frames(page)
    assert timeline.selection == {}
    chip.click()
    expect(chip).to_have_attribute("aria-pressed", "true")
    eventually(page, lambda: picture(page), lambda now: now != without)
    page.mouse.click(x, y)
    eventually(page, lambda: timeline.selected["step_number"].to_list(), [0])


def test_lanes_and_colours_are_chosen_in_the_toolbar(mount: Any) -> None:
    """Choosing lanes or colours is a trait in the kernel, which lays out again."""
    timeline = Timeline(run())
    page = mount(timeline)
    stage(page)
    page.get_by_label("Lanes by").select_option("event_type")
    page.get_by_label("Colour by").select_option("severity")
    page.locator('.wb-tl-lane[data-lane="tool_call"]').wait_for()

    eventually(page, lambda: (timeline.lanes, timeline.colors), ("event_type", "severity"))
    expect(page.locator('.wb-chip[data-name="error"] .wb-swatch')).to_have_count(1)


# -- finding -----------------------------------------------------------------------------------------------------


def test_search_counts_marks_and_jumps(mount: Any, shot: Callable) -> None:
    """Typing searches in the kernel, says how many match, jumps to one; Enter goes to the next."""
    timeline = Timeline(run(), viewport=(0.0, 500.0))
    page = mount(timeline)
    stage(page).focus()
    press(page, "/")
    expect(page.get_by_label("Search names")).to_be_focused()
    page.keyboard.type("flight 4")
    page.locator('.wb-timeline[data-hits="11"]').wait_for()
    expect(page.locator(".wb-tl-hits")).to_have_text("11 matches")
    press(page, "Enter", "Enter")
    expect(page.locator(".wb-sr[role=status]")).to_contain_text("+4 s")
    eventually(page, lambda: timeline.viewport[0], lambda start: start > 500)
    shot(page, "timeline-search")
    page.keyboard.press("Escape")
    expect(root(page)).to_have_attribute("data-hits", "")
    expect(stage(page)).to_be_focused()


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
    eventually(page, lambda: timeline.selected["agent"].to_list(), ["booker"])
    press(page, "n")
    eventually(page, lambda: timeline.selected["step_number"].to_list(), [8])


def test_the_hover_card_says_what_is_there(mount: Any, shot: Callable) -> None:
    """Hovering shows name, severity by sign and word, time, length, and a line of its text from the kernel."""
    page = mount(Timeline(run()))
    card = page.locator(".wb-tl-card")

    def found() -> str:
        for row in range(6):  # the row the error lies in
            page.mouse.move(*at(page, 1_710, row))
            frames(page)
            if "error" in (said := card.inner_text()):
                return said
        return ""

    eventually(page, found, lambda said: "▼ error" in said)
    expect(card).to_contain_text("looking for flight 17")
    shot(page, "timeline-hover")
