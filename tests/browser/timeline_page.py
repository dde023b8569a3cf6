"""Where things are on a timeline that a browser shows: for the tests of Timeline."""

from __future__ import annotations

from playwright.sync_api import Locator, Page

from tests.browser.waiting import steady_box
from workbench.widgets.timeline import Timeline


def stage(page: Page) -> Locator:
    page.locator(".wb-timeline[data-painted]").wait_for()
    return page.locator(".wb-tl-stage")


def root(page: Page) -> Locator:
    return page.locator(".wb-timeline")


def view(page: Page) -> tuple[float, float]:
    """What is in view, as the widget drew it."""
    low, high = (root(page).get_attribute("data-view") or "").split(" ")
    return float(low), float(high)


def at(page: Page, ms: float, track: int = 0) -> tuple[float, float]:
    """Page coordinates of a moment on a row."""
    box = steady_box(stage(page))
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


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def picture(page: Page) -> str:
    """What is painted on the stage, under the pointer's marks."""
    return page.locator(".wb-tl-stage canvas").first.evaluate("canvas => canvas.toDataURL()")


def extent(timeline: Timeline) -> float:
    """How much of the axis the kernel believes to be in view."""
    return timeline.viewport[1] - timeline.viewport[0]
