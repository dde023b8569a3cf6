"""Values in a report are short, readable and escaped."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from workbench.reports import Facts, Note, Table, duration, run_label


def test_table_escapes_cuts_and_aligns():
    """Texts are escaped and cut with the rest counted; numbers stand right; null is a dash; bad words are marked."""
    frame = pl.DataFrame({"<n>": [1, None], "text": ["<b>" + "x" * 30, "failed"]})

    html = Table(frame, cut=10)._repr_html_()

    assert "<b>" not in html
    assert "&lt;b&gt;xxxxxxx … [23 more characters]" in html
    assert '<th scope="col" style="text-align:right">&lt;n&gt;</th>' in html
    assert ">–</span>" in html
    assert '<span class="wb-bad" style="white-space:pre">failed</span>' in html


def test_a_column_of_long_texts_is_marked():
    """Its cells can take a line of their own on a narrow page, where a number says what it is; other tables stay."""
    frame = pl.DataFrame({'n "1"': [1, 2], "who": ["a", "b"], "text": ["hello", "long " * 10]})

    html = Table(frame)._repr_html_()

    assert '<table class="dataframe wb-stacks">' in html
    assert '<td class="wb-long"><span style="white-space:pre">hello</span></td>' in html
    assert '<td data-name="n &quot;1&quot;" style="text-align:right"><span' in html
    assert "<td><span" in html
    assert '<table class="dataframe">' in Table(frame.head(1))._repr_html_()


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


def test_a_huge_fact_is_cut():
    """A megabyte of error message does not become three hundred screens; the rest is counted."""
    assert ">" + "x" * 2000 + " … [998,000 more characters]<" in Facts({"error": "x" * 1_000_000})._repr_html_()


def test_reprs_are_stable():
    """As text they name their size, not their values, so that notebooks can be compared."""
    assert repr(Table(pl.DataFrame({"a": [1, 2]}))) == "Table(rows=2, columns=1)"
    assert repr(Facts({"a": 1, "b": None})) == "Facts(a)"
    assert repr(Note("none")) == "Note(text='none')"


def test_runs_of_one_name_are_told_apart():
    """A run's label holds its model, status, start and id beside its name; what is unknown is left out."""
    run = {"id": "0190aaaa-0000-7000-8000-000000000000", "name": None, "source_id": "86/0", "agent_type": "clerk"}
    run |= {"model": "gpt-4.1", "status": "failed", "started_at": datetime(2026, 11, 21, 8, tzinfo=UTC)}

    assert run_label(run) == "86/0 · clerk · gpt-4.1 · failed · started 2026-11-21 08:00:00 UTC · 0190aaaa"
    assert run_label(run | {"name": "task 86", "model": None, "started_at": None}) == (
        "task 86 · clerk · failed · 0190aaaa"
    )


@pytest.mark.parametrize(
    ("ms", "said"),
    [(None, "–"), (0.4, "0 ms"), (999.4, "999 ms"), (1500, "1.5 s"), (61_000, "1 min 01 s"), (7_260_000, "2 h 01 min")],
)
def test_durations(ms: float | None, said: str):
    """Durations are said in the unit a person would use."""
    assert duration(ms) == said
