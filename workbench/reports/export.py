"""An executed notebook as one HTML file: no network, no kernel, its widgets alive.

Text is escaped wherever it is shown (Markdown allows no raw HTML); an output's own ``text/html`` is taken as its cell
made it, under the page's content security policy, which runs no script of it and sends no request.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nbformat import NotebookNode

from .page import PLOTLY_MIME, STATE_MIME, TEMPLATE, VIEW_MIME, boot, figure, payload, place, policy

_IMAGES = ("image/svg+xml", "image/png", "image/jpeg", "image/gif", "image/webp")


@dataclass(frozen=True, slots=True)
class Block:
    """One piece of the page: safe HTML and the class of the element around it."""

    css: str
    html: str


@dataclass(frozen=True, slots=True)
class Heading:
    """One line of the table of contents."""

    level: int
    anchor: str
    text: str


def export_html(notebook: NotebookNode, *, title: str, generated_at: datetime | None = None) -> str:
    """Write an executed notebook as one page.

    Parameters
    ----------
    notebook
        Executed; its widgets' state in ``metadata.widgets``, as nbclient, papermill and JupyterLab leave it. Cells
        tagged ``remove-cell``, ``remove-input`` or ``remove-output`` are left out or cut accordingly.
    title
        Heading and title of the page.
    generated_at
        Time shown under the title; now, when ``None``.

    Returns
    -------
    str
        A complete HTML document that makes no request. Code is hidden until the reader asks for it; where JavaScript is
        off, each widget's static view stays.
    """
    from jinja2 import Environment, FileSystemLoader

    from .. import __version__

    contents: list[Heading] = []
    state = dict(notebook.metadata.get("widgets", {}).get(STATE_MIME, {}))
    blocks = list(_blocks(notebook, state.get("state", {}), contents))
    plotly = any("data-wb-plotly" in block.html for block in blocks)
    page = Environment(loader=FileSystemLoader(TEMPLATE), autoescape=True, keep_trailing_newline=True)
    return page.get_template("report.html.j2").render(
        title=title,
        version=__version__,
        generated_at=(generated_at or datetime.now(UTC)).astimezone(UTC),
        policy=policy(state, plotly=plotly),
        style=_style(),
        contents=[heading for heading in contents if heading.level > 1],
        blocks=blocks,
        payload=payload(state, plotly=plotly),
        boot=boot(),
    )


def _blocks(notebook: NotebookNode, models: Mapping[str, Any], contents: list[Heading]) -> Iterator[Block]:
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "remove-cell" in tags:
            continue
        if cell.cell_type == "markdown":
            yield Block("wb-text", _markdown(cell.source, contents))
        elif cell.cell_type == "code":
            if cell.source.strip() and "remove-input" not in tags:
                yield Block("wb-code", f"<pre>{_highlighted(cell.source)}</pre>")
            if "remove-output" not in tags:
                yield from (_output(output, models) for output in cell.get("outputs", []))


def _output(output: Mapping[str, Any], models: Mapping[str, Any]) -> Block:
    kind = output["output_type"]
    if kind == "stream":
        return Block(f"wb-output wb-output-{output['name']}", f"<pre>{_terminal(output['text'])}</pre>")
    if kind == "error":
        return Block("wb-output wb-output-error", f"<pre>{_terminal(chr(10).join(output['traceback']))}</pre>")
    return _richest(output["data"], models)


def _richest(data: Mapping[str, Any], models: Mapping[str, Any]) -> Block:
    """The best form an output has that a page can show."""
    plain = str(data.get("text/plain", ""))
    if VIEW_MIME in data:
        model_id = data[VIEW_MIME]["model_id"]
        # A widget of ours has published its static view as an output of its own.
        has_static = "_static_id" in models.get(model_id, {}).get("state", {})
        return Block("wb-output", place(model_id, "" if has_static else plain))
    if PLOTLY_MIME in data:
        return Block("wb-output", figure(data[PLOTLY_MIME]))
    if "text/html" in data:
        return Block("wb-output wb-output-html", data["text/html"])
    if "text/markdown" in data:
        return Block("wb-output wb-text", _markdown(data["text/markdown"], []))
    for mime in _IMAGES:
        if mime in data:
            return Block("wb-output", _image(mime, data[mime], plain))
    return Block("wb-output", f"<pre>{_terminal(plain)}</pre>")


def _image(mime: str, content: str, about: str) -> str:
    # An SVG as an image cannot run the scripts it may hold.
    encoded = base64.b64encode(content.encode()).decode() if mime == "image/svg+xml" else re.sub(r"\s", "", content)
    return f'<img alt="{html.escape(about)}" src="data:{mime};base64,{html.escape(encoded)}">'


def _terminal(text: str) -> str:
    """Escaped text without its terminal codes."""
    return html.escape(re.sub(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])", "", text))


def _markdown(source: str, contents: list[Heading]) -> str:
    """Markdown as HTML, raw HTML in it shown as text; its headings are added to ``contents``."""
    import mistune

    class Renderer(mistune.HTMLRenderer):
        def heading(self, text: str, level: int, **attrs: Any) -> str:
            plain = html.unescape(re.sub(r"<[^>]*>", "", text))
            anchor = _anchor(plain, {heading.anchor for heading in contents})
            contents.append(Heading(level, anchor, plain))
            return f'<h{level} id="{html.escape(anchor)}">{text}</h{level}>\n'

    return str(mistune.create_markdown(renderer=Renderer(escape=True), plugins=["table", "strikethrough"])(source))


def _anchor(text: str, taken: set[str]) -> str:
    slug = re.sub(r"[^\w]+", "-", text.lower()).strip("-") or "section"
    names = [slug, *(f"{slug}-{n}" for n in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)


def _highlighted(source: str) -> str:
    from pygments import highlight
    from pygments.formatters.html import HtmlFormatter
    from pygments.lexers import get_lexer_by_name

    return highlight(source, get_lexer_by_name("python"), HtmlFormatter(nowrap=True))


def _style() -> str:
    from pygments.formatters.html import HtmlFormatter

    light = HtmlFormatter(style="default").get_style_defs(".wb-code")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".wb-code")
    page = (TEMPLATE / "page.css").read_text("utf-8")
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n{page}"
