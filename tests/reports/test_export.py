"""An executed notebook becomes one page that keeps its text apart from its markup."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from datetime import UTC, datetime
from typing import Any

import nbformat
from nbformat import NotebookNode

from workbench.reports import export_html
from workbench.reports.page import STATE_MIME, VIEW_MIME

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)> &"


def notebook(*cells: NotebookNode, state: dict[str, Any] | None = None) -> NotebookNode:
    made = nbformat.v4.new_notebook()
    made.cells = list(cells)
    if state:
        made.metadata["widgets"] = {STATE_MIME: {"version_major": 2, "version_minor": 0, "state": state}}
    return made


def markdown(source: str) -> NotebookNode:
    return nbformat.v4.new_markdown_cell(source)


def code(source: str, *outputs: NotebookNode, tags: tuple[str, ...] = ()) -> NotebookNode:
    return nbformat.v4.new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})


def shows(**data: Any) -> NotebookNode:
    return nbformat.v4.new_output("display_data", data={name.replace("__", "/"): value for name, value in data.items()})


def unpack(page: str, block: str) -> Any:
    packed = re.search(rf'id="{block}">([^<]*)<', page)
    assert packed
    return json.loads(gzip.decompress(base64.b64decode(packed[1])))


def widget(esm: str, **traits: Any) -> dict[str, Any]:
    return {"model_name": "AnyModel", "model_module": "anywidget", "state": {"_esm": esm, **traits}}


def test_title_time_and_contents():
    """The page opens with its title, when it was written, and links to its headings."""
    page = export_html(
        notebook(markdown("# Top\n\n## One\n\n## One\n\n### Deeper")),
        title="A & B",
        generated_at=datetime(2026, 11, 21, 8, 30, tzinfo=UTC),
    )

    assert "<title>A &amp; B</title>" in page
    assert "2026-11-21 08:30 UTC" in page
    assert re.findall(r'href="#([^"]*)"', page) == ["one", "one-2", "deeper"]
    assert re.findall(r'<h\d id="([^"]*)"', page) == ["top", "one", "one-2", "deeper"]


def test_hostile_text_stays_text():
    """Text, Markdown, streams, errors, code and titles cannot become markup."""
    error = nbformat.v4.new_output("error", ename="E", evalue=HOSTILE, traceback=[HOSTILE])
    cells = (
        markdown(HOSTILE),
        code(f"# {HOSTILE}", nbformat.v4.new_output("stream", text=HOSTILE), error, shows(text__plain=HOSTILE)),
        code("1", shows(text__markdown=HOSTILE, text__plain="x")),
    )

    page = export_html(notebook(*cells), title=HOSTILE)

    assert "<script>alert" not in page
    assert "<img" not in page


def test_terminal_codes_are_removed():
    """Colours, titles and links of a terminal are no text."""
    text = "\x1b[1;31mred\x1b[0m \x1b]0;title\x07 \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\"

    page = export_html(notebook(code("1", nbformat.v4.new_output("stream", text=text))), title="t")

    assert "<pre>red  link</pre>" in page


def test_one_script_may_run():
    """The policy names the hash of the page's own script, exactly as it stands there, and no other source of code."""
    page = export_html(
        notebook(code("w", shows(**{VIEW_MIME: {"model_id": "m1"}})), state={"m1": widget("x")}), title="t"
    )

    script = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    assert len(script) == 1
    assert f"script-src &#39;sha256-{digest}&#39; blob:;" in policy[1]
    assert "default-src &#39;none&#39;" in policy[1]
    assert "unsafe-eval" not in policy[1]


def test_nothing_to_draw_brings_no_script():
    """A page without widgets carries neither the widget manager nor any script."""
    page = export_html(notebook(markdown("## Only text")), title="t")

    assert "<script" not in page
    assert len(page) < 30_000


def test_code_of_many_widgets_is_stored_once():
    """Ten widgets of a kind carry their module once."""
    esm = "export default { render() {} } // " + "x" * 2000
    state = {f"m{n}": widget(esm, n=n) for n in range(10)}

    page = export_html(notebook(code("w", shows(**{VIEW_MIME: {"model_id": "m1"}})), state=state), title="t")

    saved = unpack(page, "wb-state")
    assert list(saved["shared"].values()) == [esm]
    (key,) = saved["shared"]
    assert all(model["state"]["_esm"] == {"$shared": key} for model in saved["state"]["state"].values())
    assert saved["state"]["state"]["m7"]["state"]["n"] == 7


def test_widget_without_a_static_view_keeps_its_text():
    """A foreign widget's text stands in for it; ours have published a static view already."""
    foreign = code("w", shows(**{VIEW_MIME: {"model_id": "m1"}, "text/plain": "IntSlider(value=3)"}))
    ours = code("w", shows(**{VIEW_MIME: {"model_id": "m2"}, "text/plain": "Timeline(events=3)"}))
    state = {"m1": widget("x"), "m2": widget("x", _static_id="timeline-1")}

    page = export_html(notebook(foreign, ours, state=state), title="t")

    assert "IntSlider(value=3)" in page
    assert "Timeline(events=3)" not in page


def test_svg_is_an_image():
    """An SVG is shown as an image, so that scripts in it stay dead."""
    page = export_html(notebook(code("1", shows(**{"image/svg+xml": "<svg onload=alert(1)></svg>"}))), title="t")

    assert "<svg" not in page
    assert 'src="data:image/svg+xml;base64,' in page


def test_tags_leave_cells_out():
    """`remove-cell`, `remove-input` and `remove-output` do as they say."""
    cells = (
        code("gone_cell", tags=("remove-cell",)),
        code("gone_input", shows(text__plain="kept output"), tags=("remove-input",)),
        code("kept_input", shows(text__plain="gone output"), tags=("remove-output",)),
    )

    page = export_html(notebook(*cells), title="t")

    assert "gone" not in page
    assert "kept output" in page
    assert "kept_input" in page


def test_figures_of_plotly_bring_plotly_once():
    """Plain plotly figures are drawn by one shared plotly.js, which may compile."""
    figure = {"data": [{"type": "bar", "y": [1, 2]}], "layout": {"title": {"text": "</script>"}}}
    cell = code(
        "f", shows(**{"application/vnd.plotly.v1+json": figure}), shows(**{"application/vnd.plotly.v1+json": figure})
    )

    page = export_html(notebook(cell), title="t")

    assert page.count('class="wb-live" data-wb-plotly') == 2
    assert len(unpack(page, "wb-code")["scripts"]) == 3
    assert "unsafe-eval" in page
