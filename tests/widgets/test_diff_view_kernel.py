"""DiffView without a browser: what it is made of, what it sends, what stays without a kernel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import traitlets
from hypothesis import given
from hypothesis import strategies as st

from tests.widgets.still import HOSTILE, Still, check_page
from workbench._delta import same
from workbench.replay.compare import Diff, compare
from workbench.widgets._diff_rows import StateSource
from workbench.widgets._diff_static import MAX_ROWS
from workbench.widgets.diff_view import SENT, DiffView


def run(*calls: Any) -> pl.DataFrame:
    rows = []
    for step, (tool, arguments) in enumerate(calls):
        if tool == "says":
            data = {"role": "assistant", "text": arguments}
            rows.append((step, "message", "assistant", json.dumps(data)))
        else:
            data = {"role": "assistant", "tool": {"name": tool, "call_id": f"c{step}", "arguments": arguments}}
            rows.append((step, "tool_call", tool, json.dumps(data)))
    schema = {"step_number": pl.Int64, "event_type": pl.String, "name": pl.String, "data": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def diff() -> Diff:
    a = run(("says", "Hello"), ("look", {"at": 1}), ("book", {"seat": "12A"}), ("says", "Done."))
    b = run(("says", "Good day"), ("look", {"at": 1}), ("book", {"seat": "12B"}), ("check", {}), ("says", "Done."))
    return compare(a, b)


# ---------------------------------------------------------------- construction


def test_repr_is_stable() -> None:
    """The repr says how many steps each run has, how many differences matter, and the first of them."""
    assert repr(DiffView(diff())) == "DiffView(a=4, b=5, differences=2, first=2)"
    assert repr(DiffView({"x": 1}, {"x": 2})) == "DiffView(a='object of 1', b='object of 1', differences=1, first='/x')"
    assert repr(DiffView([1], [1])) == "DiffView(a='array of 1', b='array of 1', differences=0, first=None)"


def test_what_it_takes() -> None:
    """One argument that is no comparison, and unknown options, are refused with what would be right."""
    with pytest.raises(TypeError, match=r"DiffView takes bench\.compare\(a, b\), or two states.*given one dict"):
        DiffView({"a": 1})
    with pytest.raises(TypeError, match=r"DiffView has no option 'kind'\. Did you mean 'kinds'"):
        DiffView(diff(), kind=["text"])
    with pytest.raises(
        traitlets.TraitError, match="DiffView has no kind 'words' here; it has: tool, arguments, result"
    ):
        DiffView(diff(), kinds=["words"])
    with pytest.raises(traitlets.TraitError, match="DiffView has no row 99; its rows are 0 to 4"):
        DiffView(diff(), position=99)


def test_wording_is_off_by_default() -> None:
    """All kinds but the wording are shown at first."""
    view = DiffView(diff())

    assert view.kinds == ["tool", "arguments", "result", "structure"]
    assert {k["name"]: k["count"] for k in view._head["kinds"]} == {
        "tool": 0,
        "arguments": 1,
        "result": 0,
        "structure": 1,
        "text": 1,
    }


def test_selection_and_code() -> None:
    """A selection comes back as a frame and as code; evaluating the code gives the same view and selection."""
    import workbench

    the_diff = diff()
    view = DiffView(the_diff)
    assert view.selected.is_empty()
    assert view.code == "workbench.DiffView(diff)"
    view.position, view.kinds = 2, ["text", "arguments"]
    again = eval(view.code, {"workbench": workbench, "diff": the_diff})

    assert view.selected.select("position", "kind", "what").rows() == [(2, "changed", "arguments")]
    assert view.code == "workbench.DiffView(diff, kinds=['arguments', 'text'], position=2)"
    assert (again.kinds, again.position) == (view.kinds, view.position)
    assert again.selected.equals(view.selected)


def test_selection_of_states() -> None:
    """A selected row of two states is its pointer and both values as JSON."""
    view = DiffView.of_states({"a": [1, {"b": None}]}, {"a": [1, {"b": True}]}, names=("before", "after"))
    view.position = view._source.first

    assert view.selected.rows() == [("/a/1/b", "changed", "null", "true")]
    assert view._head["names"] == ["before", "after"]


# ---------------------------------------------------------------- rows of two states

keys = st.sampled_from(["a", "b", "c/d", "~", ""])
scalars = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["x", "y", "long " * 60])
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=15
)
_ABSENT = object()


def at(document: Any, pointer: str) -> Any:
    for part in pointer.split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, list):
            document = document[int(part)]
        elif isinstance(document, dict) and part in document:
            document = document[part]
        else:
            return _ABSENT
    return document


@given(documents, documents)
def test_rows_of_states_tell_the_whole_difference(a: Any, b: Any) -> None:
    """Every row shows what stands at its pointer, and there are difference rows exactly when the states differ."""
    source = StateSource.of(a, b, "A", "B")
    differing = [row for row in source.tree if row.category not in ("equal", "parent")]

    assert (not differing) is same(a, b)
    assert (source.first is None) is same(a, b)
    for row in source.tree:
        if row.category != "removed":
            assert same(at(b, row.pointer), row.b)
        if row.category == "equal":
            assert same(row.a, row.b)
        if row.category == "changed":
            assert not same(row.a, row.b)
    kept = [row.pointer for row in source.tree if row.category != "removed"]
    assert len(kept) == len(set(kept))
    assert DiffView(source).static_html()


# ---------------------------------------------------------------- texts


def test_long_texts_are_cut_around_their_difference() -> None:
    """Of a text of 100,000 characters the part around the first difference is sent, and the rest on request."""
    a, b = ("word " * 20_000 + end for end in ("old", "new"))
    view = DiffView(compare(run(("says", a)), run(("says", b))), kinds=["text"])
    block = view._ahead["0"][0]

    assert block["a"].endswith("old")
    assert block["b"].endswith("new")
    assert len(block["a"]) <= SENT
    assert view._more(0, 0, "a", 0, block["skip"])["text"] == a[:20_000]
    assert len(json.dumps(view._ahead)) < 20_000
    assert view._open(0)["blocks"] == view._ahead["0"]


def test_many_long_rows_are_sent_on_request() -> None:
    """What is sent ahead is bounded; the rest is there when asked."""
    a, b = (run(*[("write", {"text": f"{side} " * 2_000})] * 400) for side in ("x", "y"))
    view = DiffView(compare(a, b))

    assert len(json.dumps(view._ahead)) < 1_500_000
    assert str(399) not in view._ahead
    assert view._open(399)["blocks"][0]["title"] == "arguments"


def test_equal_sides_are_sent_once() -> None:
    """A part that is equal on both sides is sent once and marked so."""
    a = run(("book", {"seat": "1"}))
    data = json.dumps({"text": "same words", "tool": {"name": "book", "arguments": {"seat": "2"}}})
    both = a.with_columns(data=pl.lit(data.replace('"2"', '"1"'))), a.with_columns(data=pl.lit(data))
    blocks = DiffView(compare(*both))._open(0)["blocks"]

    assert [(block["title"], block["equal"], block["b"] is None) for block in blocks] == [
        ("text", True, True),
        ("arguments", False, False),
    ]


# ---------------------------------------------------------------- without a kernel


def test_static_view() -> None:
    """The static view holds the sentence and every difference, marked by sign and word, equal rows as counts."""
    texts = Still(DiffView(diff()).static_html())

    assert "Diverges at step 2: book(seat) differs" in texts.text
    for wanted in ("≠ Arguments", "first", "+ Only in one", "1 equal step", "book(seat=12A)", "book(seat=12B)"):
        assert wanted in texts.text, wanted


def test_hostile_text_stays_text() -> None:
    """Markup, terminal codes and direction marks of an agent are shown as text in the static view."""
    view = DiffView(compare(run(("says", HOSTILE)), run(("says", "x" + HOSTILE))), kinds=["text"])
    states = DiffView({HOSTILE: HOSTILE}, {HOSTILE: 1})
    for widget in (view, states):
        assert '<img src=x onerror="alert(1)">' in Still(widget.static_html()).text


def test_static_view_is_bounded() -> None:
    """A difference of 5,000 rows becomes a table of the first of them and the number of the rest."""
    a, b = (run(*[("f", {"x": f"{side}{k}"}) for k in range(5_000)]) for side in "ab")
    markup = DiffView(compare(a, b)).static_html()

    assert markup.count("<tr>") == MAX_ROWS + 1
    assert f"and {5_000 - MAX_ROWS:,} more rows" in markup


def test_equal_and_empty() -> None:
    """Without differences the static view says so; without anything there is no table."""
    same_runs = DiffView(compare(run(("f", {})), run(("f", {}))))
    empty = DiffView(compare(run(), run()))

    assert "The runs are equal step by step." in same_runs.static_html()
    assert "1 equal step" in same_runs.static_html()
    assert "<table" not in empty.static_html()
    assert repr(empty) == "DiffView(a=0, b=0, differences=0, first=None)"


def test_page(tmp_path: Path) -> None:
    """A saved page has the sentence and the widget, and no address outside."""
    check_page(DiffView(diff()), tmp_path / "diff.html", "Diverges at step 2")


def test_long_runs_are_a_few_megabytes() -> None:
    """A view of 33,000 rows sends less than 4 MB at first."""
    a = run(*[("f", {"x": k}) for k in range(33_000)])
    b = run(*[("f", {"x": -1 if k % 500 == 0 else k}) for k in range(33_000)])
    the_diff = compare(a, b)
    view = DiffView(the_diff)

    assert len(view._rows) < 4_000_000
    assert view._head["kinds"][1]["count"] == 66
