"""Widgets that stay in the page after their kernel has ended: they say so, once, and keep what they have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import expect

from tests.browser.timeline_page import at, press, stage
from tests.widgets.events import run
from tests.widgets.replays import refunds
from workbench.widgets.timeline import Timeline

GONE = "The kernel was restarted or stopped: run this cell again."
SETUP = """
import workbench as wb
from fixtures.runs import make_runs
from tests.widgets.events import run
runs = make_runs(40)
"""


def test_a_request_that_cannot_be_sent(mount: Any) -> None:
    """When the host refuses to send, the widget says why in one line, and what it has still works."""
    page = mount(Timeline(run()))
    stage(page)
    page.evaluate("() => { model.send = () => { throw new Error('Cannot send') } }")
    page.get_by_label("Search names").fill("flight")
    expect(page.locator(".wb-gone")).to_have_text(GONE)
    page.mouse.click(*at(page, 3_000))
    page.locator(".wb-tl-fields").wait_for()
    stage(page).focus()
    press(page, "n")

    expect(page.locator(".wb-sr[role=status]")).to_contain_text("Selected")
    expect(page.locator(".wb-gone")).to_have_count(1)
    expect(page.locator(".wb-error-pane")).to_have_count(0)


def test_a_restart_in_jupyterlab(notebook: Any, shot: Callable) -> None:
    """After a restart of the kernel every widget says to run its cell again; the cell run again is without it."""
    notebook.open(
        SETUP,
        "wb.Timeline(run())",
        "wb.ExecutionBrowser(runs, height=200)",
        "wb.Dashboard(runs)",
        "wb.DiffView({'a': 1}, {'a': 2})",
    ).run_all()
    page = notebook.page
    widgets = [page.locator(f".wb-{name}") for name in ("timeline", "execution-browser", "dashboard", "diff-view")]
    for widget in widgets:
        expect(widget).to_be_visible()
    page.evaluate("jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    for widget in widgets:
        expect(widget.locator("> .wb-gone")).to_have_text(GONE)
    stage(page).focus()
    press(page, "n", "Enter")
    expect(page.locator(".wb-tl-fields")).to_contain_text("task 7")
    shot(page, "kernel-gone-lab")
    expect(page.locator(".wb-error-pane")).to_have_count(0)

    notebook.run_all()
    for widget in widgets:
        expect(widget).to_be_visible()
    expect(page.locator(".wb-gone")).to_have_count(0)


def test_a_restart_under_an_opened_run(bench: Any, notebook: Any, shot: Callable) -> None:
    """The graph of a cohort and the player it opened both say so; lists still open, a run says why it cannot."""
    made = refunds(bench)
    notebook.open(
        f"import workbench as wb\nbench = wb.connect({bench.store.url!r})",
        f"view = wb.CohortView(bench.cohort(task={made.task!r}), rank=1)\nview.show(*view.selected.row(0)[:2])",
    ).run_all()
    page = notebook.page
    view, player = page.locator(".wb-cohort-view"), page.locator(".wb-replay-player[data-painted]")
    expect(player).to_be_visible()
    page.evaluate("jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    expect(view.locator("> .wb-gone")).to_have_text(GONE)
    expect(player.locator("> .wb-gone")).to_have_text(GONE)
    page.locator(".wb-co-stage").focus()
    press(page, "Escape", "d")
    page.locator(".wb-co-run .wb-co-outcome").nth(1).click()
    expect(page.locator(".wb-co-opened-note")).to_have_text(f"This run cannot be opened: {GONE}")
    shot(view, "kernel-gone-cohort")
    expect(page.locator(".wb-error-pane")).to_have_count(0)

    notebook.run_all()
    expect(player).to_be_visible()
    expect(page.locator(".wb-gone")).to_have_count(0)
