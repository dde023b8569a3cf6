"""The kernel side of Timeline: reading frames, lanes, selections, search, details, the static view."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.widgets.events import START, event, frame, many, run
from workbench.widgets import _spans, _tracks
from workbench.widgets._document import HEAD, PIECE, Document, snippet
from workbench.widgets._spans import ESTIMATED, MOMENT, UNFINISHED
from workbench.widgets._wire import unpack
from workbench.widgets.timeline import WHOLE, Timeline

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\x1b[31m red \u202e\"'&"


def read(frame: pl.DataFrame) -> _spans.Spans:
    return _spans.read(_spans.completed(frame))


# -- reading frames ----------------------------------------------------------------------------------------------


def test_times_are_placed_since_the_first() -> None:
    """The axis starts at the first moment and ends with the last end."""
    timeline = Timeline(frame(event(0, 500, 250), event(1, 100)))

    assert timeline.origin == START + timedelta(milliseconds=100)
    assert timeline._span == 650
    assert repr(timeline) == "Timeline(events=2, span_ms=650)"
    assert timeline.viewport == (0.0, 650.0)
    assert timeline.window == (timeline.origin, timeline.origin + timedelta(milliseconds=650))


def test_without_times_the_axis_is_the_step() -> None:
    """A source without times gives steps, one unit each."""
    timeline = Timeline(run(20).with_columns(timestamp=pl.lit(None, pl.Datetime("us", "UTC"))))

    assert timeline.origin is None
    assert timeline._scene["unit"] == "steps"
    assert timeline._span == 20
    assert repr(timeline) == "Timeline(events=20)"
    assert timeline.window == (0.0, 20.0)


def test_an_event_without_a_time_stands_at_the_one_before() -> None:
    """Late or missing times are placed and marked, never dropped."""
    spans = read(frame(event(0, None), event(1, 100), event(2, None), event(3, 300)))

    assert spans.start.tolist() == [0, 0, 0, 200_000]
    assert (spans.flags & ESTIMATED > 0)[np.argsort(spans.row)].tolist() == [True, False, True, False]


def test_a_span_that_never_ended_is_open() -> None:
    """A span without duration reaches to the end of its run, marked unfinished; a message without one is a moment."""
    spans = read(
        frame(
            event(0, 0, event_type="span", span_id="a"),
            event(1, 100, 400.0),
            event(2, 50),
            event(3, 9_000, execution_id="other"),
        )
    )
    by_row = np.argsort(spans.row)

    assert spans.end[by_row].tolist() == [500_000, 500_000, 50_000, 9_000_000]
    assert spans.flags[by_row].tolist() == [UNFINISHED, 0, MOMENT, MOMENT]


@pytest.mark.parametrize("bad", [-5.0, float("nan"), float("inf"), None])
def test_what_is_no_length_is_a_moment(bad: float | None) -> None:
    """Negative, infinite and missing durations draw as moments; zero is a length."""
    spans = read(frame(event(0, 0, bad), event(1, 10, 0.0)))

    assert spans.end.tolist() == spans.start.tolist()
    assert spans.flags.tolist() == [MOMENT, 0]


def test_unknown_severities_count_as_info() -> None:
    """A severity of another vocabulary is not an error."""
    spans = read(frame(event(0, 0, severity="WARNING"), event(1, 1, severity="weird"), event(2, 2, severity=None)))

    assert spans.severity.tolist() == [2, 1, 1]


@pytest.mark.parametrize(
    ("bad", "error", "text"),
    [
        ([1], TypeError, "this is a list. Try bench.events"),
        (run(3).lazy(), TypeError, "Call .collect\\(\\) first"),
        (run(3).drop("timestamp", "event_type"), ValueError, "lacks event_type, timestamp; it has id"),
        (run(3).with_columns(timestamp=pl.lit("now")), ValueError, "timestamp is String; it must be Datetime"),
    ],
)
def test_a_bad_frame_is_refused_clearly(bad: Any, error: type[Exception], text: str) -> None:
    """What is no events frame says what is missing and what to do."""
    with pytest.raises(error, match=text):
        Timeline(bad)


def test_three_columns_are_enough() -> None:
    """Only type, time and step are required; everything else may be missing."""
    timeline = Timeline(run(30).select("event_type", "timestamp", "step_number"))
    timeline.selection = {"kind": "events", "rows": [3, 5]}

    assert timeline.selected["step_number"].to_list() == [3, 5]
    assert eval(timeline.code, {"pl": pl, "events": timeline.events}).height == 2
    assert "30 events" in timeline.static_html()


@pytest.mark.parametrize("rows", [0, 1])
def test_tiny_frames(rows: int) -> None:
    """An empty frame and a single event make a timeline, with selections and a static view."""
    timeline = Timeline(frame(*(event(i, 5) for i in range(rows))))
    timeline.selection = {"kind": "range", "start": -1, "end": 1}

    assert timeline.selected.height == rows
    assert repr(timeline).startswith(f"Timeline(events={rows}")
    assert timeline.static_html()


def test_days_in_other_zones_and_units_are_the_same_moment() -> None:
    """Nanosecond and zoned timestamps stand where the same moment in UTC does."""
    plain = run(10)
    other = plain.with_columns(pl.col("timestamp").dt.convert_time_zone("Asia/Tokyo").dt.cast_time_unit("ns"))

    assert Timeline(other).origin == Timeline(plain).origin
    assert read(other).start.tolist() == read(plain).start.tolist()


# -- lanes -------------------------------------------------------------------------------------------------------


def rows_of(spans: _spans.Spans, lanes: str, frame: pl.DataFrame) -> tuple[np.ndarray, list[_tracks.Lane]]:
    lane, names = _tracks.lane_codes(frame, spans, lanes)
    return _tracks.lay_out(spans, lane, names)


@pytest.mark.parametrize("lanes", list(_tracks.LANES))
def test_no_two_spans_of_a_row_overlap(lanes: str) -> None:
    """In every choice of lanes, spans of one row follow one another."""
    full = _spans.completed(run(200))
    spans = read(full)
    track, _ = rows_of(spans, lanes, full)

    for row in np.unique(track):
        at = np.flatnonzero(track == row)
        assert (spans.start[at][1:] >= spans.end[at][:-1]).all()


def test_what_encloses_lies_above() -> None:
    """A nested span gets a row below the one it lies in, and equal moments get rows of their own."""
    full = _spans.completed(frame(event(0, 0, 100), event(1, 0, 50), event(2, 10, 20), event(3, 60), event(4, 60)))
    spans = read(full)
    track, _ = rows_of(spans, "agent", full)

    assert track[np.argsort(spans.row)].tolist() == [0, 1, 2, 1, 2]


def test_nesting_lanes_follow_parents() -> None:
    """lanes="span" puts an event at the depth of its parents, a cycle in bad data included."""
    full = frame(
        event(0, 0, 100, span_id="a"),
        event(1, 10, 5, span_id="b", parent_span_id="a"),
        event(2, 200, 5, span_id="c", parent_span_id="b"),
        event(3, 300, 5, span_id="x", parent_span_id="y"),
        event(4, 300, 5, span_id="y", parent_span_id="x"),
        event(5, 400, parent_span_id="gone"),
    )
    spans = read(full)
    depth = _tracks.nesting(spans)[np.argsort(spans.row)].tolist()

    assert depth[:3] == [0, 1, 2]
    assert depth[5] == 0
    assert len(Timeline(full, lanes="span")._scene["lanes"]) <= _tracks.MAX_LANES


def test_lanes_beyond_the_limit_are_one_other() -> None:
    """A frame of very many agents keeps the busiest as lanes; nothing is dropped."""
    timeline = Timeline(frame(*(event(i, i, agent=f"agent {i // 2 if i < 80 else i}") for i in range(200))))
    lanes = timeline._scene["lanes"]

    assert len(lanes) == _tracks.MAX_LANES
    assert lanes[-1][0] == "other"
    assert sum(lane[3] for lane in lanes) == 200
    timeline.selection = {"kind": "lane", "lane": "other"}
    assert timeline.selected.height == lanes[-1][3]


def test_large_frames_take_the_fast_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the limit a row is how many were open: the same rows for properly nested spans."""
    full = _spans.completed(frame(*(event(i, i * 10, 1_000.0 - i * 20) for i in range(8))))
    spans = read(full)
    exact, _ = rows_of(spans, "agent", full)
    monkeypatch.setattr(_tracks, "PACK_EXACTLY", 0)

    fast, _ = rows_of(spans, "agent", full)

    assert fast.tolist() == exact.tolist() == list(range(8))


def test_changing_lanes_lays_out_again() -> None:
    """Setting ``lanes`` or ``colors`` from Python sends a new scene."""
    timeline = Timeline(run(60))
    assert [lane[0] for lane in timeline._scene["lanes"]] == ["planner", "booker", "critic"]
    timeline.lanes = "event_type"
    timeline.colors = "severity"

    assert "tool_call" in [lane[0] for lane in timeline._scene["lanes"]]
    assert [name for name, _ in timeline._scene["classes"]] == list(_spans.SEVERITIES)
    with pytest.raises(Exception, match="lanes"):
        timeline.lanes = "colour"


def test_colours_default_to_what_tells_events_apart() -> None:
    """Colour is by type; by category where every event is of one type."""
    grouped = run(9).with_columns(category=pl.Series(list("abcabcabc")))

    assert Timeline(run(9)).colors == "event_type"
    assert Timeline(grouped).colors == "event_type"
    assert Timeline(grouped.with_columns(event_type=pl.lit("log"))).colors == "category"


# -- selections --------------------------------------------------------------------------------------------------


def agree(timeline: Timeline, events: pl.DataFrame) -> pl.DataFrame:
    """``selected``, after asserting that ``code`` gives the same."""
    assert eval(timeline.code, {"pl": pl, "events": events}).equals(timeline.selected)
    return timeline.selected


def test_nothing_selected_is_an_empty_frame() -> None:
    """Before any click, ``selected`` has the columns and no rows."""
    events = run(5)
    timeline = Timeline(events)

    assert agree(timeline, events).height == 0
    assert timeline.selected.schema == events.schema


def test_clicked_events() -> None:
    """Clicked events come as rows and as a filter on their ids."""
    events = run(30)
    timeline = Timeline(events)
    timeline.selection = {"kind": "events", "rows": [4]}

    assert agree(timeline, events)["step_number"].to_list() == [4]
    assert timeline.code == "events.filter(pl.col(\"id\") == 'ev-4')"
    timeline.selection = {"kind": "events", "rows": [4, 7, 999]}
    assert agree(timeline, events)["step_number"].to_list() == [4, 7]


def test_a_brushed_range_is_what_overlaps_it() -> None:
    """A range selects what is active in it, the enclosing span too."""
    events = run(30)
    timeline = Timeline(events)
    timeline.selection = {"kind": "range", "start": 1_010.0, "end": 1_210.0}

    assert agree(timeline, events)["step_number"].to_list() == [0, 10, 11, 12]
    assert "pl.datetime(2026, 11, 21, 8, 0, 1, 10000" in timeline.code


def test_a_range_without_durations_and_with_holes_in_time() -> None:
    """Frames of moments, of missing times and of no times select what stands in the range."""
    moments = run(30).with_columns(duration_ms=pl.lit(None, pl.Float64))
    holes = moments.with_columns(timestamp=pl.when(pl.col("step_number") % 3 != 1).then("timestamp"))
    steps = moments.with_columns(timestamp=pl.lit(None, pl.Datetime("us", "UTC")))
    for events, expected in ((moments, [11, 12]), (holes, [11, 12, 13]), (steps, [1_010])):
        timeline = Timeline(events)
        timeline.selection = {"kind": "range", "start": 1_010.0, "end": 1_210.0}
        if events is steps:
            timeline.selection = {"kind": "range", "start": 4.2, "end": 6.9}
            expected = [4, 5, 6]
        assert agree(timeline, events)["step_number"].to_list() == expected


def test_a_range_leaves_out_what_the_legend_hides() -> None:
    """Hidden classes and severities are not selected, in the code neither."""
    events = run(60)
    timeline = Timeline(events)
    hidden = {"colors": ["message", "span"], "severities": ["error"]}
    timeline.selection = {"kind": "range", "start": 0.0, "end": 6_000.0, "hidden": hidden}
    expected = events.filter(~pl.col("event_type").is_in(["message", "span"]), pl.col("severity") != "error")

    assert agree(timeline, events).equals(expected)
    timeline.colors = "category"
    timeline.selection = {"kind": "range", "start": 0.0, "end": 6_000.0, "hidden": {"colors": ["–"]}}
    assert agree(timeline, events).height == 0


def test_a_range_without_other() -> None:
    """Hiding "other" hides every class the legend does not name."""
    events = frame(*(event(i, i, event_type=f"type {min(i % 20, 10)}") for i in range(100)))
    timeline = Timeline(events)
    named = [name for name, _ in timeline._scene["classes"]]
    timeline.selection = {"kind": "range", "start": 0.0, "end": 100.0, "hidden": {"colors": ["other"]}}

    assert named[-1] == "other"
    assert set(agree(timeline, events)["event_type"]) == set(named[:-1])


def test_a_lane_is_selected_by_its_name() -> None:
    """A click on a lane's name selects its events; the lane of nulls too."""
    events = run(30).with_columns(agent=pl.when(pl.col("step_number") < 20).then("agent"))
    timeline = Timeline(events)
    for lane in ("booker", "–"):
        timeline.selection = {"kind": "lane", "lane": lane}
        expected = events.filter(pl.col("agent").is_null() if lane == "–" else pl.col("agent") == lane)
        assert agree(timeline, events).equals(expected)


# -- answers -----------------------------------------------------------------------------------------------------


def test_small_runs_are_sent_whole() -> None:
    """A run of a few thousand events needs no kernel to be drawn; a larger one sends its beginning and an overview."""
    small, large = Timeline(run(60)), Timeline(many(WHOLE + 1_000))

    assert small._scene["whole"]
    assert len(unpack(small._head)[1]["row"]) == 60
    assert not large._scene["whole"]
    assert 0 < len(unpack(large._head)[1]["row"]) < WHOLE
    assert unpack(large._overview)[0]["bins"] > 100


def test_what_is_sent_at_first_is_bounded() -> None:
    """Large data stays in the kernel: the state of a widget over 40 MB of text is under 1 MB."""
    timeline = Timeline(frame(*(event(i, i, data={"text": "x" * 20_000}) for i in range(2_000))))
    state = timeline.get_state()

    size = sum(
        len(v) if isinstance(v, bytes | str) else len(json.dumps(v))
        for k, v in state.items()
        if k not in ("_esm", "layout")
    )
    assert size < 1_000_000


def test_search_finds_names_types_and_data() -> None:
    """Search ignores case, looks into the data, takes no pattern and counts every hit."""
    timeline = Timeline(run(60))

    assert timeline._search(text="SEARCH_flights").result["n"] == 24
    assert timeline._search(text="flight 42").arrays["row"].tolist() == [42]
    assert timeline._search(text="fl.ght").result["n"] == 0
    assert timeline._search(text="reasoning").result["n"] == 12
    assert timeline._search(text="  ").result["n"] == 0


def test_search_marks_the_events_of_a_view_and_steps_between_hits() -> None:
    """After a search, events in view say whether they match, and stepping goes from hit to hit."""
    timeline = Timeline(run(60))
    timeline._search(text="flight 4")
    items = timeline._view(start=0, end=6_000, width=500).arrays
    matched = set(items["row"][items["flags"] & 8 > 0].tolist())

    assert matched == {4, *range(40, 50)}
    assert timeline._step(row=4, direction=1, matches=True).arrays["row"].tolist() == [40]
    assert timeline._step(row=40, direction=-1, matches=True).arrays["row"].tolist() == [4]
    assert timeline._step(row=49, direction=1, matches=True).result == {"found": False}


def test_nearest_of_a_lane() -> None:
    """The nearest event of a lane is found however far it is."""
    timeline = Timeline(frame(event(0, 0, agent="a"), *(event(i, i * 10, agent="b") for i in range(1, 12_000))))

    assert timeline._near(at=100_000, first=0, tracks=1).arrays["row"].tolist() == [0]
    assert timeline._near(at=55, first=1, tracks=1).arrays["row"].tolist()[0] in (5, 6)


def test_details_cut_what_is_huge() -> None:
    """A 50 MB string never crosses whole; it comes in pieces on request."""
    text = "ab" * 25_000_000
    timeline = Timeline(
        frame(event(0, 0, data={"text": text, "n": 2**60, "list": list(range(1_000)), "a/b~c": "y" * 9_000}))
    )
    detail = timeline._detail(0)

    assert len(json.dumps(detail)) < 100_000
    assert detail["cuts"] == {"/text": len(text), "/list": 1_000, "/a~1b~0c": 9_000}
    assert detail["data"]["n"] == str(2**60)
    document = timeline._document(0)
    assert document.text_piece("/text", HEAD) == text[HEAD : HEAD + PIECE]
    assert document.text_piece("/a~1b~0c", 8_990) == "y" * 10
    assert timeline._entries(0, "/list", 990)["entries"] == [(str(i), i) for i in range(990, 1_000)]
    with pytest.raises(LookupError, match="no text at '/list'"):
        document.text_piece("/list", 0)
    with pytest.raises(LookupError, match="no event in row 7"):
        timeline._detail(7)


@pytest.mark.parametrize("data", [None, "", "not json", '{"a":', "[" * 3_000 + "]" * 3_000, '"x"', "NaN", "{}"])
def test_details_of_odd_data(data: str | None) -> None:
    """Data that is no JSON, or too deep, or missing, still gives a detail."""
    timeline = Timeline(frame(event(0, 0, data=data)))

    json.dumps(timeline._detail(0), allow_nan=False)
    assert isinstance(snippet(data), str)


def test_deep_data_is_cut_not_refused() -> None:
    """A tree of depth 900 is cut where a pane ends."""
    deep: Any = "end"
    for _ in range(900):
        deep = {"k": deep}
    data, cuts = Document(frame(event(0, 0, data=deep)), 0).trimmed()

    json.dumps(data)
    assert len(cuts) == 1


# -- the static view ---------------------------------------------------------------------------------------------


def test_the_static_view_shows_the_errors_and_escapes_everything() -> None:
    """Hostile text is text; a late error is in the table; there is no script."""
    rows = [
        event(i, i * 10, name=HOSTILE, agent=HOSTILE, event_type=HOSTILE, data={"text": HOSTILE}) for i in range(40)
    ]
    rows.append(event(40, 400, name="boom", severity="critical", data={"error": {"message": "it broke"}}))
    html = Timeline(frame(*rows)).static_html()

    assert "<script" not in html
    assert "<img" not in html
    assert "\x1b" not in html
    assert "&lt;script&gt;" in html
    assert "it broke" in html
    assert "▼ critical" in html
    assert "<svg" in html
    assert "28 more events" in html


def test_the_static_view_of_a_large_run_is_small() -> None:
    """A million events still make a readable page of some 100 KB."""
    html = Timeline(many(300_000)).static_html()

    assert len(html) < 500_000
    assert "300,000 events" in html


def test_viewport_moves_from_python() -> None:
    """Setting the viewport is how a notebook points at a moment."""
    timeline = Timeline(run(30), viewport=(100.0, 200.0))
    assert timeline.viewport == (100.0, 200.0)
    timeline.viewport = (0.0, 50.0)

    assert timeline.window == (
        datetime(2026, 11, 21, 8, 0, tzinfo=UTC),
        datetime(2026, 11, 21, 8, 0, 0, 50_000, tzinfo=UTC),
    )
