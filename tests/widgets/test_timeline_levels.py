"""Level of detail: cells agree with counting by hand, few events come each, and every answer is small."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.widgets.events import event, frame, many, run
from workbench.widgets import _levels, _spans, _tracks
from workbench.widgets._levels import Hidden, Levels, Tile
from workbench.widgets._spans import ERROR, Spans
from workbench.widgets._wire import pack
from workbench.widgets.timeline import Timeline


def levels(frame, lanes: str = "agent", colors: str = "event_type") -> Levels:
    """The levels a timeline would make."""
    frame = _spans.completed(frame)
    spans = _spans.read(frame)
    lane, names = _tracks.lane_codes(frame, spans, lanes)
    track, listed = _tracks.lay_out(spans, lane, names)
    color, classes = _tracks.color_codes(frame, spans, colors)
    return Levels(spans, track, listed[-1].first + listed[-1].rows, color, len(classes))


def by_hand(made: Levels, tile: Tile, hidden: Hidden | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Events and errors active in each cell, counted one event at a time."""
    hidden = hidden or Hidden()
    edges = np.linspace(tile.start, tile.end, tile.n_bins + 1)
    count = np.zeros((made.n_tracks, tile.n_bins), int)
    errors = np.zeros_like(count)
    spans = made.spans
    for i in range(len(spans)):
        if made.color[i] in hidden.colors or spans.severity[i] in hidden.severities:
            continue
        active = (spans.start[i] < np.ceil(edges[1:])) & (spans.end[i] >= np.ceil(edges[:-1]))
        count[made.track[i]] += active
        errors[made.track[i]] += active & (spans.severity[i] >= ERROR)
    return count, errors


def shares(made: Levels, tile: Tile) -> np.ndarray:
    return tile.mix.reshape(made.n_tracks, tile.n_bins, 3)


@pytest.mark.parametrize("spread", ["even", "bursts"])
def test_cells_are_exact(spread: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At any zoom, a cell counts exactly the events active in it, and marks errors if and only if there are some."""
    monkeypatch.setattr(_levels, "EXACT", 20)
    made = levels(many(4_000, spread=spread))
    last = made.spans.last

    for low, high in [
        (0, last),
        (last // 3, last // 2),
        (0, last // 2_000),
        (last - last // 1_500, last),
        (-last, 2 * last),
    ]:
        tile = made.tile(low, high, 90)
        if tile.complete:
            continue
        count, errors = by_hand(made, tile)
        assert tile.count.reshape(made.n_tracks, -1).tolist() == count.tolist()
        assert ((tile.errors.reshape(made.n_tracks, -1) > 0) == (errors > 0)).all()


def test_cells_without_what_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hidden colour class and severity are in no cell and no item."""
    monkeypatch.setattr(_levels, "EXACT", 20)
    made = levels(many(3_000))
    hidden = Hidden(frozenset({0, 2}), frozenset({3}))

    tile = made.tile(0, made.spans.last, 80, hidden)
    count, _ = by_hand(made, tile, hidden)

    assert tile.count.reshape(made.n_tracks, -1).tolist() == count.tolist()
    assert not tile.errors.any()
    classes = shares(made, tile)
    assert not np.isin(classes[classes & 15 > 0] >> 4, [0, 2]).any()


def test_the_most_frequent_class_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first class of a cell is one with the highest count, and shares are fifteenths of the cell."""
    monkeypatch.setattr(_levels, "EXACT", 10)
    made = levels(frame(*(event(i, i % 10, event_type="a" if i % 4 else "b") for i in range(400))))

    tile = made.tile(0, made.spans.last, 1)
    first, second = shares(made, tile)[0, 0, :2]

    a = int(made.color[np.flatnonzero(made.spans.row == 1)[0]])
    assert first >> 4 == a
    assert (first & 15) / 15 == pytest.approx(0.75, abs=0.1)
    assert (second & 15) / 15 == pytest.approx(0.25, abs=0.1)


def test_few_events_come_each() -> None:
    """A view of few events has every one that overlaps it, also the span that began long before, and no other."""
    made = levels(run(300))
    low, high = 10_050_000, 10_450_000

    tile = made.tile(low, high, 900)

    spans = made.spans
    expected = np.flatnonzero((spans.start < high) & (spans.end >= low))
    assert tile.complete
    assert sorted(tile.items.tolist()) == expected.tolist()
    assert 0 in tile.items  # the root span


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5_000), st.one_of(st.none(), st.integers(0, 3_000))), min_size=1, max_size=60),
    st.integers(-100, 6_000),
    st.integers(0, 6_000),
)
def test_few_events_come_each_whatever_they_are(spans: list, low: int, width: int) -> None:
    """Any mixture of moments, zero-length and overlapping spans: the view has exactly those that overlap it."""
    made = levels(frame(*(event(i, at, length) for i, (at, length) in enumerate(spans))))
    start, end = low * 1_000, (low + width) * 1_000 + 1

    tile = made.tile(start, end, 300)

    expected = np.flatnonzero((made.spans.start < end) & (made.spans.end >= start))
    assert sorted(tile.items.tolist()) == expected.tolist()


def test_wide_spans_come_each_in_a_view_of_many() -> None:
    """Beside cells, the widest spans are sent: the longest in view, none narrower than three pixels."""
    rows = [event(i, i, 5.0) for i in range(6_000)]
    rows += [event(6_000 + i, i * 500, 2_000.0 + i) for i in range(10)]
    made = levels(frame(*rows))

    tile = made.tile(0, made.spans.last, 600)

    assert not tile.complete
    assert sorted(made.spans.row[tile.items].tolist()) == list(range(6_000, 6_010))


def test_the_longest_of_too_many_wide_spans_come() -> None:
    """When more spans are wide than may be sent, it is the longest that are."""
    rng = np.random.default_rng(3)
    lengths = rng.integers(400, 4_000, 5_000)
    made = levels(frame(*(event(i, i, float(n)) for i, n in enumerate(lengths))))

    tile = made.tile(0, made.spans.last, 1_200)

    sent = made.spans.end[tile.items] - made.spans.start[tile.items]
    every = np.sort(made.spans.end - made.spans.start)
    assert len(tile.items) == _levels.WIDEST
    assert sent.min() >= every[-_levels.WIDEST]


def test_no_answer_is_larger_than_100_kb() -> None:
    """Whatever the view, lanes and width, a frame is at most 100 KB on the wire."""
    for lanes in ("agent", "event_type", "span"):
        timeline = Timeline(many(30_000), lanes=lanes)
        for share in (1, 0.3, 0.08, 0.05, 0.01):
            answer = timeline._view(start=0, end=timeline._span * share, width=4_000)
            assert len(pack(answer.arrays, **answer.result)) <= 100_000, (lanes, share)


def test_longest_names_fit_too() -> None:
    """Two thousand events with long names of their own stay within 100 KB."""
    timeline = Timeline(frame(*(event(i, i, name=f"{i} {'ä' * 300}") for i in range(8_000))))

    answer = timeline._view(start=0, end=1_990, width=1_200)

    assert answer.result["complete"]
    assert len(pack(answer.arrays, **answer.result)) <= 100_000


def test_stepping_visits_every_event_in_time() -> None:
    """From one event to the next visits all, backwards too, and skips what is hidden or does not match."""
    made = levels(run(60))
    there, at = [], -1
    while (at := made.following(at, 1, None, Hidden())) is not None:
        there.append(at)
    back = made.following(30, -1, None, Hidden())
    errors = made.following(-1, 1, None, Hidden(severities=frozenset({0, 1, 2})))

    assert there == list(range(60))
    assert back == 29
    assert errors is not None
    assert made.spans.severity[errors] == ERROR
    assert made.following(59, 1, None, Hidden()) is None


def test_counting_a_place_agrees_with_its_events() -> None:
    """The hover card's count of a lane in a range is exact."""
    made = levels(run(60))
    spans: Spans = made.spans

    got = made.count(1_000_000, 2_000_000, 0, made.n_tracks, Hidden())

    active = (spans.start < 2_000_000) & (spans.end >= 1_000_000)
    assert got == {"n_events": int(active.sum()), "n_errors": int((active & (spans.severity >= ERROR)).sum())}
