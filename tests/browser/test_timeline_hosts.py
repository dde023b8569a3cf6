"""Timeline in a real browser where it has to hold out: large runs, hostile text, saved pages, JupyterLab."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.timeline_page import at, press, root, stage
from tests.browser.waiting import eventually, frames
from tests.widgets.events import event, frame, many, run
from workbench.widgets.timeline import Timeline

HOSTILE = (
    '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>\x1b[31mred\x1b[0m \u202eevil ' + "long " * 300
)


# -- large runs --------------------------------------------------------------------------------------------------


def test_a_large_run_switches_between_cells_and_events(mount: Any, shot: Callable) -> None:
    """Many events are cells, few are drawn each; every answer stays small and the newest view is what is asked."""
    timeline = Timeline(many(40_000))
    page = mount(timeline)
    stage(page).focus()
    expect(root(page)).to_have_attribute("data-mode", "cells")
    shot(page, "timeline-40k")
    press(page, *["+"] * 7)
    page.locator('.wb-timeline[data-mode="exact"]').wait_for()
    shot(page, "timeline-40k-zoomed")
    eventually(page, lambda: int(root(page).get_attribute("data-items") or 0), lambda drawn: 0 < drawn <= 2_000)
    press(page, "n")
    expect(page.locator(".wb-sr[role=status]")).to_contain_text("+")
    press(page, "Enter")
    page.locator(".wb-tl-fields").wait_for()
    eventually(page, lambda: timeline.selected.height, 1)


def test_a_click_on_cells_opens_the_nearest(mount: Any) -> None:
    """In a view of cells a click still reaches an event."""
    timeline = Timeline(many(40_000))
    page = mount(timeline)
    x, y = at(page, 40_000_000, 0)
    page.mouse.click(x, y)
    page.locator(".wb-tl-fields").wait_for()

    eventually(page, lambda: timeline.selected["agent"].to_list(), [timeline._scene["lanes"][0][0]])


# -- trouble -----------------------------------------------------------------------------------------------------


def test_hostile_text_is_text_everywhere(mount: Any, shot: Callable) -> None:
    """Markup, terminal codes and endless words in every field do nothing but read as text, and fit."""
    evil = {"name": HOSTILE, "agent": HOSTILE, "event_type": HOSTILE, "category": HOSTILE}
    rows = [event(i, i * 10, 8.0, **evil, data={HOSTILE: HOSTILE, "text": HOSTILE}) for i in range(9)]
    timeline = Timeline(frame(*rows))
    page = mount(timeline, width=700)
    x, y = at(page, 44, 0)
    page.mouse.move(x, y)
    expect(page.locator(".wb-tl-card")).to_contain_text("<img src=x")
    page.mouse.click(x, y)
    expect(page.locator(".wb-tl-fields")).to_contain_text("<img src=x")
    expect(page.locator(".wb-tl-detail .wb-json").first).to_contain_text("<img src=x")
    expect(page.locator(".wb-tl-chosen code")).to_be_visible()
    page.locator(".wb-tl-lane").first.hover()
    frames(page)
    shot(page, "timeline-hostile")

    assert page.evaluate("window.pwned") is None
    expect(page.locator(".wb-timeline img, .wb-timeline script")).to_have_count(0)
    text = root(page).inner_text()
    assert "\x1b" not in text
    assert "\u202e" not in text
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
    expect(more).to_contain_text("show more (2,000 of 50,000,000")
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

    expect(page.locator(".wb-timeline")).to_have_count(0)


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

    expect(page.locator("[data-wb-static]")).to_be_hidden()


def test_a_saved_page_of_a_large_run_zooms_what_it_has(offline_page: Page, tmp_path: Path) -> None:
    """A large run saved without its kernel keeps its overview and its first events, and says where those end."""
    path = tmp_path / "timeline.html"
    Timeline(many(20_000)).to_html(path)
    offline_page.goto(path.as_uri())
    stage(offline_page).focus()
    press(offline_page, "+", "n")
    expect(offline_page.locator(".wb-sr[role=status]")).to_have_text("no further event is saved here")
    press(offline_page, "Home", "n")

    expect(offline_page.locator(".wb-sr[role=status]")).to_contain_text("+0 ms")
    expect(root(offline_page)).to_have_attribute("data-mode", "cells")
    assert path.stat().st_size < 3_000_000


def test_a_saved_page_reads_without_scripts(browser: Any, tmp_path: Path) -> None:
    """With scripts off, the static view is what is shown."""
    path = tmp_path / "timeline.html"
    Timeline(run()).to_html(path)
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())

    expect(page.locator("[data-wb-static] svg")).to_be_visible()
    expect(page.locator("[data-wb-static]")).to_contain_text("looking for flight")
    context.close()


# -- JupyterLab --------------------------------------------------------------------------------------------------

SETUP = "import polars as pl\nfrom tests.widgets.events import run, many\nfrom workbench import Timeline"


def test_in_jupyterlab(notebook: Any, shot: Callable) -> None:
    """In JupyterLab: click, brush, wheel, keys and search reach the kernel, and no key reaches the notebook."""
    notebook.open(SETUP, "timeline = Timeline(run()); timeline", "timeline").run_all()
    page = notebook.page
    page.locator(".wb-timeline[data-painted]").first.wait_for()
    first = page.locator(".wb-timeline").first
    expect(first.locator(".wb-chip").first).to_have_css("border-radius", "11px")  # JupyterLab has a rule for buttons
    canvas = first.locator(".wb-tl-stage")
    notebook.drag(canvas, 0.2, 0.9, 0.4, 0.9)
    expect(page.locator("[data-wb-static]").first).to_be_hidden()
    canvas.focus()
    for key in ("+", "+", "Home", "n", "n", "Enter", "ArrowRight", "f", "+"):
        page.keyboard.press(key)
    notebook.wait_kernel("timeline.selected['step_number'].to_list()", [1])
    notebook.wait_kernel("timeline.viewport[1] - timeline.viewport[0] < 6_000", True)
    notebook.keeps_letters(canvas)
    page.keyboard.press("/")
    page.keyboard.type("flight 42")
    expect(first).to_have_attribute("data-hits", "1")
    canvas.hover()
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    page.keyboard.press("Escape")
    expect(first).to_have_attribute("data-hits", "")
    page.keyboard.down("Shift")
    notebook.drag(canvas, 0.3, 0.9, 0.6, 0.9)
    page.keyboard.up("Shift")
    notebook.wait_kernel("timeline.selection.get('kind')", "range")
    assert notebook.kernel("timeline.selected.height") == notebook.kernel(
        "eval(timeline.code, {'pl': pl, 'events': timeline.events}).height"
    )
    # the second view of the same widget shows the same selection
    expect(page.locator('.wb-timeline[data-selection="range"]')).to_have_count(2)
    shot(page, "timeline-lab-light")
    notebook.theme("dark")
    shot(page, "timeline-lab-dark")
    notebook.theme("light")
    notebook.narrow(420)
    expect(first).to_have_class(re.compile("wb-narrow"))
    shot(page, "timeline-lab-narrow")


_WIDTH = "document.querySelector('.wb-timeline').clientWidth"
# Labels of the detail pane that do not fit their column, or reach into a value.
_CLASHES = """() => [...document.querySelectorAll(".wb-tl-detail dt")].filter((label) => {
    const [a, b] = [label, label.nextElementSibling].map((el) => el.getBoundingClientRect());
    const apart = a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
    return !apart || label.scrollWidth > label.clientWidth || !a.width || !b.width;
  }).map((label) => label.textContent)"""


def test_fields_stand_beside_their_labels_in_jupyterlab(notebook: Any, shot: Callable) -> None:
    """JupyterLab's rules for lists leave the labels of the detail pane beside their values, wide or narrow."""
    notebook.open(SETUP, f"Timeline(run().with_columns(pl.lit('v').alias('{'a_long_name_' * 9}')))").run_all()
    page = notebook.page
    stage(page).focus()
    press(page, "n", "Enter")
    page.locator(".wb-tl-rest > summary").click()
    expect(page.locator(".wb-tl-others dt", has_text="a_long_name")).to_be_visible()
    for width in (830, 420):
        notebook.narrow(width)
        eventually(page, lambda width=width: page.evaluate(_WIDTH), lambda now, width=width: 0 < now <= width)
        frames(page)
        shot(page, f"timeline-fields-lab-{width}")

        assert page.evaluate(_CLASHES) == []


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
