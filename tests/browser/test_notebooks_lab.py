"""The notebooks about time travel in a real JupyterLab: every cell runs, and the widgets in them are played with."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import Page, expect

import workbench
from tests.browser.waiting import eventually
from workbench import demo

FOLDER = Path(__file__).parent.parent.parent / "notebooks"
TALL = {"width": 1280, "height": 7000}


@pytest.fixture
def example(bench: workbench.Workbench, notebook: Any, shot: Callable) -> Callable[[str], Page]:
    """``example("03_…")``: the notebook, run on this test's database; pictures of it whole, light, dark and narrow."""

    def run(name: str) -> Page:
        book = nbformat.read(FOLDER / f"{name}.ipynb", 4)
        for cell in book.cells:
            cell.source = cell.source.replace("wb.connect()", f"wb.connect({bench.store.url!r})")
        page = notebook.open_copy(book).run_all().page
        expect(page.locator(".wb-replay-player[data-painted]").first).to_be_attached()
        usual = page.viewport_size
        page.set_viewport_size(TALL)
        cells = page.locator(".jp-WindowedPanel-outer").first
        eventually(page, lambda: cells.evaluate("el => el.clientHeight"), lambda height: height > TALL["height"] / 2)
        for look, theme, width in (("light", "light", None), ("dark", "dark", None), ("narrow", "light", 520)):
            notebook.theme(theme)
            notebook.narrow(width)
            expect(page.locator(".wb-replay-player").first).to_have_class(
                re.compile("wb-dark" if theme == "dark" else "wb")
            )
            shot(page, f"notebook-{name[:2]}-{look}")
        notebook.narrow(None)
        page.set_viewport_size(usual)
        return page

    return run


def test_replay_and_fork(example: Callable[[str], Page], notebook: Any) -> None:
    """The player steps to where the value changed, and the branches that the cells made stand in it."""
    page = example("03_replay_and_fork")
    player = page.locator(".wb-replay-player")
    player.locator(".wb-rp-slider").focus()
    page.keyboard.press("Home")
    page.keyboard.press("c")
    notebook.wait_kernel("player.step_number", 4)
    player.locator('[data-do="refresh"]').click()
    player.locator('[data-tab="branches"]').click()

    expect(player).to_contain_text("mended handbook")
    expect(player).to_contain_text("another, allowed")
    assert notebook.kernel("player.replay.state['rules']['return_days']") == 300


def test_find_the_cause(
    bench: workbench.Workbench, example: Callable[[str], Page], notebook: Any, shot: Callable
) -> None:
    """A click on another failed run moves the player below the graph to that run's step of the divergence."""
    demo.run(bench, progress=False)
    page = example("04_find_the_cause")
    view = page.locator(".wb-cohort-view")
    first = notebook.kernel("view.opened.replay.id")
    rows = view.locator(".wb-co-run")
    expect(rows).to_have_count(3)
    other = next(row for row in (rows.nth(k) for k in range(3)) if row.get_attribute("data-run") != first)
    other.locator(".wb-co-outcome").click()

    notebook.wait_kernel("view.opened.replay.id", other.get_attribute("data-run"))
    assert notebook.kernel("view.opened.step_number") == 7
    expect(view.locator(".wb-replay-player")).to_have_attribute("data-shown", "7")
    page.set_viewport_size(TALL)
    shot(view, "time-travel")
