"""Values in a report are short, readable and escaped."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from workbench.reports import Facts, Note, Table, duration


def test_table_escapes_cuts_and_aligns():
    """Texts are escaped and cut with the rest counted; numbers stand right; null is a dash; bad words are marked."""
    frame = pl.DataFrame({"<n>": [1, None], "text": ["<b>" + "x" * 30, "failed"]})

    html = Table(frame, cut=10)._repr_html_()

    assert "<b>" not in html
    assert "&lt;b&gt;xxxxxxx … [23 more characters]" in html
    assert '<th scope="col" style="text-align:right">&lt;n&gt;</th>' in html
    assert ">–</span>" in html
    assert '<span class="wb-bad" style="white-space:nowrap">failed</span>' in html


def test_control_characters_are_dots():
    """What would drive a terminal, or hide in a page, is shown as a dot; line ends stay."""
    assert "a·[31mb\nc" in Facts({"x": "a\x1b[31mb\nc"})._repr_html_()


def test_facts_leave_out_what_is_unknown():
    """A fact that is None has no line; times and numbers are readable."""
    facts = Facts({"when": datetime(2026, 11, 21, 8, tzinfo=UTC), "n": 1234567, "share": 0.123456, "unknown": None})

    html = facts._repr_html_()

    assert "unknown" not in html
    assert "2026-11-21 08:00:00 UTC" in html
    assert "1,234,567" in html
    assert "0.1235" in html


def test_reprs_are_stable():
    """As text they name their size, not their values, so that notebooks can be compared."""
    assert repr(Table(pl.DataFrame({"a": [1, 2]}))) == "Table(rows=2, columns=1)"
    assert repr(Facts({"a": 1, "b": None})) == "Facts(a)"
    assert repr(Note("none")) == "Note(text='none')"


@pytest.mark.parametrize(
    ("ms", "said"),
    [(None, "–"), (0.4, "0 ms"), (999.4, "999 ms"), (1500, "1.5 s"), (61_000, "1 min 01 s"), (7_260_000, "2 h 01 min")],
)
def test_durations(ms: float | None, said: str):
    """Durations are said in the unit a person would use."""
    assert duration(ms) == said
