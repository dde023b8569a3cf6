"""Text from agents, made safe to look at: no terminal codes, no invisible reordering, never whole when it is huge.

The twin of ``static/_lib/text.js``; the two agree character by character (``tests/widgets/test_text.py``).
"""

from __future__ import annotations

import re
from html import escape as _escape

# ECMA-48: CSI, OSC (ended by BEL or ST), the other string introducers, and two-character escapes.
_ANSI = re.compile(
    "\x1b(?:"
    r"\[[0-?]*[ -/]*[@-~]"
    "|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?"
    "|[PX^_][^\x1b]*(?:\x1b\\\\)?"
    "|[ -/]*[0-~]"
    ")|\x9b[0-?]*[ -/]*[@-~]"
)
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
# Explicit direction marks: text that reads differently from what it is (CVE-2021-42574, "Trojan Source").
_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_LONE = re.compile("[\ud800-\udfff]")


def plain(text: object) -> str:
    """Terminal codes removed; other control characters and direction marks shown as visible signs."""
    value = _ANSI.sub("", str(text)).replace("\r\n", "\n").replace("\r", "\n")
    value = _CONTROL.sub(lambda m: "\u2421" if m[0] == "\x7f" else chr(0x2400 + ord(m[0])), value)
    value = _LONE.sub("\ufffd", value)
    return _BIDI.sub(lambda m: f"[U+{ord(m[0]):04X}]", value)


def cut(text: object, limit: int) -> str:
    """At most ``limit`` characters of :func:`plain` text, with a note of what is missing."""
    value = str(text)
    if len(value) <= limit:
        return plain(value)
    return f"{plain(value[:limit])} … [{len(value):,} characters]"


def one_line(text: object, limit: int = 80) -> str:
    """:func:`plain` text on one line of at most ``limit`` characters."""
    value = " ".join(plain(str(text)[: limit * 4]).split())
    return value if len(value) <= limit else value[: limit - 1] + "…"


def escape(text: object, limit: int = 2_000) -> str:
    """:func:`cut` text for HTML, in element content and in quoted attributes."""
    return _escape(cut(text, limit), quote=True)
