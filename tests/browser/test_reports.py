"""A report opened from a disk: alive without kernel or network, readable without JavaScript, safe to open."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Page, expect

import workbench
from tests.browser.waiting import eventually
from workbench.reports import export_html
from workbench.reports import run as reports
from workbench.reports.page import STATE_MIME, VIEW_MIME

EVENTS = """
import polars as pl
import workbench as wb
from datetime import datetime, timedelta, timezone

start = datetime(2026, 11, 21, 8, tzinfo=timezone.utc)
hostile = "<script>document.title = 'pwned'</script><img src='http://evil.example/x.png'>"
kinds = ["message", "tool_call", "tool_result", "message"]
runs = pl.DataFrame(
    {
        "id": [f"0190{n:04d}-0000-7000-8000-000000000000" for n in range(30)],
        "name": [f"run {n} {hostile}" for n in range(30)],
        "agent_type": ["clerk"] * 30,
        "status": ["failed" if n % 3 == 0 else "completed" for n in range(30)],
        "started_at": [start + timedelta(minutes=n) for n in range(30)],
        "execution_time_ms": [float(100 + n) for n in range(30)],
    }
)
"""
CONVERSATION = (
    EVENTS
    + """
from workbench.reports import Facts, Table

texts = ["Yes.", "a sentence of ordinary words " * 20, "x" * 700]
spoken = pl.DataFrame({"step": [1, 2, 3], "agent": ["clerk/retail"] * 3, "does": ["answers"] * 3,
                       "who or what": ["find_user_id_by_email"] * 3, "text": texts})
"""
)
# A line of a Markdown table as the rule below its head.
RULE = {ord(letter): "-" for letter in "column_0123456789"}
HOSTILE = """
from IPython.display import HTML
HTML('<p onclick="document.title=1">shown</p><script>document.title = "pwned"</script>')
"""


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A notebook with one of our widgets, a classic widget, a plotly figure and hostile HTML, executed and saved."""
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [
        nbformat.v4.new_markdown_cell("## Runs"),
        nbformat.v4.new_code_cell(EVENTS + "wb.ExecutionBrowser(runs)"),
        nbformat.v4.new_code_cell("import ipywidgets\nipywidgets.IntSlider(value=3, description='classic')"),
        nbformat.v4.new_code_cell("import plotly.graph_objects as go\ngo.Figure(go.Bar(y=[1, 3, 2]))"),
        nbformat.v4.new_code_cell("print('\\x1b[31mplain text\\x1b[0m')"),
    ]
    reports.execute(notebook, environment={})
    path = tmp_path_factory.mktemp("reports") / "report.html"
    path.write_text(export_html(notebook, title="All runs"), encoding="utf-8")
    return path


def opened(page: Page, path: Path) -> Page:
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-wb-widgets]")
    assert page.get_attribute("html", "data-wb-widgets") == "ready"
    return page


def test_widgets_are_alive_and_nothing_is_requested(offline_page: Page, page_file: Path, shot):
    """Our widget, a classic one and a plotly figure are drawn; ours answers to typing; the static view is gone."""
    page = opened(offline_page, page_file)

    browser = page.locator("[data-wb-view] section.wb")
    expect(browser).to_be_visible()
    expect(page.locator(".wb-static")).to_be_hidden()
    browser.get_by_label("Search all text").fill("run 17")
    expect(browser.get_by_text("1 of 30 runs")).to_be_visible()
    expect(browser.get_by_role("row").filter(has_text="run 17")).to_be_visible()
    expect(page.locator(".widget-slider, .jupyter-widgets.widget-inline-hbox").first).to_be_visible()
    expect(page.locator(".js-plotly-plot .bars path").first).to_be_visible()
    assert page.title() == "All runs"
    shot(page, "report-light")


def test_code_is_shown_on_demand(offline_page: Page, page_file: Path):
    """Code is hidden until the reader asks for it."""
    page = opened(offline_page, page_file)
    code = page.locator(".wb-code").first

    expect(code).to_be_hidden()
    page.get_by_label("show code").check()
    expect(code).to_be_visible()
    expect(code).to_contain_text("import polars as pl")


def test_contents_lead_to_headings(offline_page: Page, page_file: Path):
    """The table of contents works from the keyboard."""
    page = opened(offline_page, page_file)

    page.get_by_role("link", name="Runs").press("Enter")

    assert page.evaluate("location.hash") == "#runs"


def test_dark(browser: Browser, page_file: Path, shot):
    """The page and its widgets follow the reader's dark theme."""
    context = browser.new_context(color_scheme="dark")
    page = opened(context.new_page(), page_file)

    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    widget = page.evaluate("getComputedStyle(document.querySelector('[data-wb-view] .wb')).backgroundColor")
    shot(page, "report-dark")
    context.close()

    assert background == "rgb(20, 24, 29)"
    assert widget == "rgb(20, 24, 29)"


def test_readable_without_javascript(browser: Browser, page_file: Path, shot):
    """With JavaScript off, static views and texts are there, and code can still be shown."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_file.as_uri())

    expect(page.locator(".wb-static")).to_be_visible()
    expect(page.locator(".wb-static")).to_contain_text("run 17")
    expect(page.get_by_text("plain text", exact=True)).to_be_visible()
    expect(page.locator(".wb-fallback", has_text="IntSlider(value=3")).to_be_visible()
    page.get_by_label("show code").check()
    expect(page.locator(".wb-code").first).to_be_visible()
    shot(page, "report-no-javascript")
    context.close()


def test_paper_shows_the_static_view(offline_page: Page, page_file: Path):
    """Printed, the complete static view takes the place of the live one."""
    page = opened(offline_page, page_file)

    page.emulate_media(media="print")

    expect(page.locator(".wb-static")).to_be_visible()
    expect(page.locator("[data-wb-drawn=over-static]")).to_be_hidden()


def test_html_of_an_output_cannot_act(browser: Browser, tmp_path: Path):
    """Scripts and handlers in an output's HTML do not run, and its pictures are not fetched."""
    notebook = nbformat.v4.new_notebook()
    data = {"text/html": HOSTILE.split("HTML('")[1].rstrip("')\n") + "<img src='http://127.0.0.1:9/x.png'>"}
    notebook.cells = [nbformat.v4.new_code_cell("h", outputs=[nbformat.v4.new_output("display_data", data=data)])]
    path = tmp_path / "hostile.html"
    path.write_text(export_html(notebook, title="kept"), encoding="utf-8")
    page = browser.new_page()
    blocked: list[str] = []
    page.on("console", lambda message: blocked.append(message.text))
    page.goto(path.as_uri())

    page.get_by_text("shown").click()

    title = page.title()
    page.close()
    assert title == "kept"
    assert sum("Content Security Policy" in text for text in blocked) >= 3


def test_report_of_a_hostile_run(offline_page: Page, bench: workbench.Workbench, tmp_path: Path, shot):
    """A whole report about a run whose texts attack the page: drawn, clickable, silent, and untouched by them."""
    attack = (
        "<script>document.title='pwned'</script></script><img src=x onerror=\"document.title='pwned'\">\x1b[31m\u202e"
    )
    for good in (False, True):
        with bench.record(agent_type="clerk", task=f"Task {attack}", name=f"run {good} {attack}") as recording:
            recording.event("message", role="user", name="user", text=attack)
            with recording.tool("look", {"for": attack}) as call:
                call.result = {"found": attack if good else None}
            recording.finish(
                status="completed" if good else "failed", score=float(good), error=None if good else attack
            )
    run = bench.executions(status="failed")["id"][0]

    page = opened(offline_page, bench.report(run, output=tmp_path / "run.html"))

    timeline = page.locator("[data-wb-view] .wb-timeline")
    expect(timeline).to_be_visible()
    expect(page.locator("[data-wb-view] .wb-diff_view, [data-wb-view] .wb-diff-view")).to_be_visible()
    page.locator("[data-wb-view] .wb-timeline").click()
    expect(page.get_by_text(attack[:30]).first).to_be_visible()
    assert page.locator("[data-wb-drawn=over-static]").count() == 2
    assert page.title().startswith("Run run False <script>")
    assert page.title().endswith(">·[31m·")
    shot(page, "report-hostile")


# One look at a page: how wide it is, how wide the conversation's texts are and whether each stands below its step,
# and which tables are wider than the page without a box of their own that scrolls.
LOOK = """() => {
  const box = (element) => element.getBoundingClientRect();
  const texts = [...document.querySelectorAll("table.wb-stacks .wb-long")];
  const scrolls = (element) =>
    element && getComputedStyle(element).overflowX === "auto" && box(element).right <= innerWidth;
  const isCutOff = (table) => table.checkVisibility() && box(table).right > innerWidth + 1 &&
    !scrolls(table.closest(".wb-output-html, .wb-static"));
  return {
    wide: document.documentElement.scrollWidth > innerWidth,
    texts: texts.length,
    narrowest: Math.min(...texts.map((text) => box(text).width)),
    below: texts.every((text) => box(text).top >= box(text.parentElement.querySelector("[data-name]")).bottom - 1),
    cutOff: [...document.querySelectorAll("table")].filter(isCutOff).map((table) => table.outerHTML.slice(0, 80)),
  };
}"""


@pytest.fixture(scope="module")
def narrow_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a report is made of, each wider than a telephone: a conversation, a frame, facts, Markdown, code, text."""
    notebook = nbformat.v4.new_notebook()
    line = "| " + " | ".join(f"column_{n}" for n in range(12)) + " |"
    notebook.cells = [
        nbformat.v4.new_markdown_cell(
            f"## {'heading' * 20}\n\n{'word' * 50}\n\n{line}\n{line.translate(RULE)}\n{line}"
        ),
        nbformat.v4.new_code_cell(CONVERSATION + "Table(spoken)"),
        nbformat.v4.new_code_cell("Facts({'A, this run': 'x' * 300, 'B, a good run': 'words ' * 60})"),
        nbformat.v4.new_code_cell("Table(pl.DataFrame({f'column_{n}': ['short'] for n in range(12)}))"),
        nbformat.v4.new_code_cell("pl.DataFrame({f'column_{n}': [n] for n in range(12)})"),
        nbformat.v4.new_code_cell("wb.ExecutionBrowser(runs)"),
        nbformat.v4.new_code_cell("print('y' * 400)"),
    ]
    reports.execute(notebook, environment={})
    path = tmp_path_factory.mktemp("reports") / "narrow.html"
    path.write_text(export_html(notebook, title="t" * 300), encoding="utf-8")
    return path


@pytest.mark.parametrize("scripts", [True, False], ids=["live", "without-javascript"])
def test_a_narrow_page(browser: Browser, narrow_file: Path, scripts: bool, shot):
    """On a telephone nothing of the page moves sideways, texts have its full width and no table is cut off."""
    context = browser.new_context(viewport={"width": 420, "height": 900}, java_script_enabled=scripts)
    page = context.new_page()
    page.goto(narrow_file.as_uri())
    if scripts:
        expect(page.locator("html")).to_have_attribute("data-wb-widgets", "ready")
        expect(page.locator("[data-wb-view] section.wb")).to_be_visible()
        page.get_by_label("show code").check()
    shot(page, f"report-narrow-{scripts}")

    # Of the 420 px the page's own margins take 24.
    good = {"wide": False, "texts": 3, "narrowest": 380, "below": True, "cutOff": []}
    eventually(page, lambda: (look := page.evaluate(LOOK)) | {"narrowest": min(380, look["narrowest"])}, good)
    context.close()


@pytest.mark.parametrize("width", [721, 1280])
def test_a_wide_page_keeps_its_tables(browser: Browser, narrow_file: Path, width: int):
    """With room for it a conversation is a table with a head, its text column never squeezed to a few letters."""
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = opened(context.new_page(), narrow_file)

    expect(page.get_by_role("columnheader", name="who or what")).to_be_visible()
    good = {"wide": False, "texts": 3, "narrowest": 280, "below": False, "cutOff": []}
    eventually(page, lambda: (look := page.evaluate(LOOK)) | {"narrowest": min(280, look["narrowest"])}, good)
    context.close()


def test_a_widget_that_fails_keeps_its_static_view(browser: Browser, tmp_path: Path):
    """A widget whose module throws is told of, and read in its static form; the others are alive."""
    models = {"good": "el.append('alive')", "bad": "throw new Error('broken')"}
    state, cells = {}, []
    for name, body in models.items():
        esm = f"export default {{ render({{ el }}) {{ {body} }} }}"
        about = {"_model_module": "anywidget", "_model_name": "AnyModel", "_model_module_version": "0.11.0"}
        about |= {"_view_module": "anywidget", "_view_name": "AnyView", "_view_module_version": "0.11.0"}
        about |= {"_esm": esm, "_anywidget_id": name, "_static_id": f"static-{name}"}
        state[name] = {"model_name": "AnyModel", "model_module": "anywidget", "state": about}
        still = {"text/html": f'<div class="wb-static" data-wb-static="static-{name}">still {name}</div>'}
        outputs = [
            nbformat.v4.new_output("display_data", data=data) for data in (still, {VIEW_MIME: {"model_id": name}})
        ]
        cells.append(nbformat.v4.new_code_cell(name, outputs=outputs))
    notebook = nbformat.v4.new_notebook(metadata={"widgets": {STATE_MIME: {"state": state}}})
    notebook.cells = cells
    path = tmp_path / "partly.html"
    path.write_text(export_html(notebook, title="partly"), encoding="utf-8")
    page = browser.new_page()

    page.goto(path.as_uri())

    expect(page.get_by_text("alive", exact=True)).to_be_visible()
    expect(page.get_by_text("still good")).to_be_hidden()
    expect(page.locator(".wb-page-note")).to_contain_text("Widget bad drew nothing", timeout=15_000)
    expect(page.get_by_text("still bad")).to_be_visible()
    assert page.get_attribute("html", "data-wb-widgets") == "partly"
    page.close()
