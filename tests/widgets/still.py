"""What every static view and every saved page must be: well-formed, without script or address, hostile text as text."""

from __future__ import annotations

import html.parser
from pathlib import Path
from typing import Any

from workbench.widgets._base import Widget

HOSTILE = '<img src=x onerror="alert(1)"><script>alert(2)</script>\x1b[31mred\x1b[0m \u202egpj.exe'
_ALONE = {"br", "col", "hr", "rect"}


class Still(html.parser.HTMLParser):
    """A static view, read: its ``tags`` and its ``text``. A tag left open, or one that could act, fails the test."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(markup)
        assert not self._open
        assert not {"script", "style", "link", "img", "iframe"} & set(self.tags)
        assert "\x1b" not in self.text
        assert "\u202e" not in self.text

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not any(name.startswith("on") or str(value).startswith("javascript") for name, value in attrs)
        if tag not in _ALONE:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def check_page(widget: Widget, path: Path, *words: str) -> None:
    """``to_html`` writes what it returns: one document with the words of the static view, and no address outside."""
    document = widget.to_html(path)

    assert path.read_text(encoding="utf-8") == document
    for wanted in words:
        assert wanted in document
    assert "http://" not in document
    assert "https://" not in document
