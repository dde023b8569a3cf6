"""Waiting for what follows from an action: the page draws a frame later, the kernel hears later still.

What is read at once after a click or a key is right only by luck. Locators are asked with Playwright's ``expect``,
which tries again by itself; everything else (traits of the test's widget, numbers) with :func:`eventually`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from playwright.sync_api import FloatRect, Locator, Page

LIMIT_S = 30.0
"""Far more than anything takes; only a failing test waits so long."""

_FRAMES = """async (n) => { for (let i = 0; i < n; i++) await new Promise((r) => requestAnimationFrame(r));
  await new Promise((r) => setTimeout(r)) }"""
_STEADY = """async (el) => { let before = "";
  for (;;) {
    const { x, y, width, height } = el.getBoundingClientRect();
    const now = JSON.stringify({ x, y, width, height });
    if (now === before && width && height) return { x, y, width, height };
    before = now;
    for (let i = 0; i < 2; i++) await new Promise((r) => requestAnimationFrame(r));
  } }"""


def eventually(page: Page, read: Callable[[], Any], expected: Any = True) -> Any:
    """Read until the value is the expected one, or passes it where ``expected`` is a function; return the value.

    The page is waited on between two readings: only then do its messages reach the widget in this process.
    """
    deadline = time.monotonic() + LIMIT_S
    while True:
        value = read()
        if expected(value) if callable(expected) else value == expected:
            return value
        wanted = "what the test asks for" if callable(expected) else repr(expected)
        assert time.monotonic() < deadline, f"after {LIMIT_S:g} s the value is {value!r}, not {wanted}"
        page.wait_for_timeout(25)


def frames(page: Page, count: int = 3) -> None:
    """Let the page draw: what an event has asked for by ``requestAnimationFrame`` is done afterwards.

    For "nothing has happened", after a sign that the event was handled.
    """
    page.evaluate(_FRAMES, count)


def steady_box(locator: Locator) -> FloatRect:
    """Where an element is, in sight and once it has stopped moving: a pointer sent earlier would miss it."""
    locator.scroll_into_view_if_needed()
    return locator.evaluate(_STEADY)


def count_events(page: Page, *names: str) -> Callable[[str], None]:
    """Count events of the window from now on; the result waits until one more of a name was handled everywhere."""
    page.evaluate(
        """names => { window.wbSeen = Object.fromEntries(names.map((name) => [name, 0]));
        const count = (event) => setTimeout(() => window.wbSeen[event.type]++);
        for (const name of names) window.addEventListener(name, count, { capture: true, passive: true }) }""",
        list(names),
    )
    handled = dict.fromkeys(names, 0)

    def handled_one_more(name: str) -> None:
        handled[name] += 1
        page.wait_for_function("([name, n]) => window.wbSeen[name] >= n", arg=[name, handled[name]])

    return handled_one_more
