"""CohortView without a browser: what it folds and sends, what is selected, what stays without a kernel."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
import traitlets

import workbench as wb
from tests.replay.courses import events, outcomes
from tests.widgets.replays import refunds
from tests.widgets.still import HOSTILE, Still, check_page
from workbench.errors import ConfigurationError
from workbench.replay.cohort import Cohort, cohort
from workbench.widgets._cohort_flow import levels, thresholds, usual
from workbench.widgets._cohort_runs import AHEAD_BYTES, PAGE
from workbench.widgets._cohort_still import MAX_STEPS
from workbench.widgets._wire import unpack
from workbench.widgets.cohort_view import CohortView

ASK = ["user:cancel my order please", "get?order=W1", "get=pending"]
GOOD = [*ASK, "check?kind=cancel", "check=allowed", "cancel?order=W1", "cancel=cancelled", "user:thanks"]
FAILED = [*ASK, "refund?order=W1", "refund!refused", "user:thanks"]
ODD = [*ASK, "think?about=it", "think=done", *GOOD[3:]]


def found() -> Cohort:
    """Twenty runs: those that refund fail; one good run thinks first."""
    runs = [*[GOOD] * 9, ODD, *[FAILED] * 10]
    return cohort(events(*runs), outcomes(*["good"] * 10, *["failed"] * 10), task="Cancel W1")


def long(n_runs: int, n_steps: int) -> Cohort:
    """Many runs of many steps, the second half without one of them and failed."""
    steps = [f"tool{k % 7}?at={k}" for k in range(n_steps)]
    failed = [step for k, step in enumerate(steps) if k != n_steps // 2]
    half = n_runs // 2
    return cohort(events(*[steps] * half, *[failed] * half), outcomes(*["good"] * half, *["failed"] * half))


def node_of(made: Cohort, label: str) -> int:
    return made.nodes.filter(pl.col("label").str.starts_with(label))["node"][0]


# ---------------------------------------------------------------- construction


def test_repr_is_stable() -> None:
    """The repr says how many runs of either outcome there are, how many steps, and where they part."""
    assert repr(CohortView(found())) == "CohortView(good=10, failed=10, steps=12, diverges_at=3)"


def test_what_it_takes() -> None:
    """What is no cohort, and unknown options and values, are refused with what would be right."""
    with pytest.raises(TypeError, match=r"CohortView takes bench\.cohort\(task=….*given one DataFrame"):
        CohortView(pl.DataFrame())  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match=r"CohortView has no option 'nodes'\. Did you mean 'node'"):
        CohortView(found(), nodes=1)
    with pytest.raises(traitlets.TraitError, match="This cohort has no step 99; nodes are 0 to 11"):
        CohortView(found(), node=99)
    with pytest.raises(traitlets.TraitError, match="This cohort has no divergence 99; ranks are 1 to"):
        CohortView(found(), rank=99)
    with pytest.raises(traitlets.TraitError, match=r"all.*good.*failed"):
        CohortView(found(), outcome="bad")
    view = CohortView(found())
    with pytest.raises(
        traitlets.TraitError, match=r"folds below 1, 2, 5 runs\. For 7 .*CohortView\(cohort, min_runs=7\)"
    ):
        view.min_runs = 7
    assert CohortView(found(), min_runs=7).min_runs == 7


# ---------------------------------------------------------------- flows


def test_everything_is_the_graph_of_the_cohort() -> None:
    """With nothing folded the flows are the edges of the cohort."""
    made = found()
    (whole,) = levels(made, [1])

    edges = made.edges.sort("source", "target").select("n_good", "n_failed")
    ids = made.nodes["node"]
    drawn = whole.flows.with_columns(
        pl.when(pl.col(name) >= 0).then(ids.gather(whole.flows[name].clip(0))).alias(name)
        for name in ("source", "target")
    )
    assert whole.kept.tolist() == list(range(12))
    assert drawn.sort("source", "target").select("n_good", "n_failed").rows() == edges.rows()


def test_who_passes_a_folded_step_goes_on() -> None:
    """Where the steps of one run fold, its flow goes from the step before them to the one behind, and none is lost."""
    made = found()
    _, folded = levels(made, [1, 2])
    row = {label: made.nodes["label"].to_list().index(label) for label in ("get → pending", "check(kind=cancel)")}
    flow = folded.flows.filter(pl.col("source") == row["get → pending"], pl.col("target") == row["check(kind=cancel)"])

    assert (folded.n_folded, folded.n_hidden) == (2, 0)
    assert flow.select("n_good", "n_failed").rows() == [(10, 0)]
    for node in folded.kept.tolist():
        for outcome in ("n_good", "n_failed"):
            at_node = made.nodes[outcome][node]
            assert folded.flows.filter(pl.col("target") == node)[outcome].sum() == at_node
            assert folded.flows.filter(pl.col("source") == node)[outcome].sum() == at_node


def test_divergences_are_never_folded() -> None:
    """The step of the first divergence stands however few runs come to it."""
    runs = [*[GOOD] * 30, *[[*GOOD[:5], "oops?at=1", "oops!no", *GOOD[5:]]] * 3]
    made = cohort(events(*runs), outcomes(*["good"] * 30, *["failed"] * 3))
    (folded,) = levels(made, [20])
    assert made.divergence is not None
    assert made.at(made.divergence["node"])["execution_id"].n_unique() == 3

    assert made.divergence["node"] in made.nodes["node"].gather(folded.kept).to_list()
    assert folded.n_folded > 0


def test_thresholds() -> None:
    """One folds nothing; two or three runs have nothing to fold; the usual is 5 %."""
    assert (thresholds(2), usual(2)) == ([1], 1)
    assert (thresholds(20), usual(20)) == ([1, 2, 5], 2)
    assert (thresholds(1_000), usual(1_000)) == ([1, 20, 50, 100, 250], 50)


# ---------------------------------------------------------------- selection


def test_a_step_selects_its_runs() -> None:
    """A step, ticked runs and an outcome narrow the selection; the code makes the same frame again."""
    made = found()
    view = CohortView(made)
    assert view.selected.is_empty()
    view.node = node_of(made, "cancel(")
    frames, codes = [view.selected], [view.code]
    view.picked = ["run-1", "run-2"]
    frames.append(view.selected)
    codes.append(view.code)
    view.outcome = "failed"
    frames.append(view.selected)
    codes.append(view.code)

    assert [frame.height for frame in frames] == [10, 2, 0]
    assert frames[1].rows() == [("run-1", 5, "good"), ("run-2", 5, "good")]
    for frame, code in zip(frames, codes, strict=True):
        assert eval(code, {"cohort": made, "pl": pl}).equals(frame)


def test_a_divergence_selects_the_side_that_fails_more() -> None:
    """A divergence selects runs that may not come to its step, each at the step where that shows."""
    made = found()
    view = CohortView(made, rank=1)
    assert made.divergence is not None
    assert view.node == made.divergence["node"]

    assert view.selected.sort("execution_id").rows() == sorted(
        (run, step, "failed")
        for run, step in zip(made.divergence["runs"], made.divergence["step_numbers"], strict=True)
    )
    assert eval(view.code, {"cohort": made, "pl": pl}).equals(view.selected)
    view.picked = [made.divergence["runs"][0]]
    assert view.selected.height == 1
    view.node = node_of(made, "get(")
    assert (view.rank, view.picked) == (None, [])
    assert eval(view.code, {"cohort": made, "pl": pl}).equals(view.selected)


def test_lists_of_runs() -> None:
    """A list has one row a run with its steps there, failed runs first, in pages; an outcome filters it."""
    made = found()
    view = CohortView(made)
    node = node_of(made, "get(")
    page = view._runs.page(node, None)

    assert (page["total"], len(page["rows"])) == (20, 20)
    assert [row["outcome"] for row in page["rows"]] == ["failed"] * 10 + ["good"] * 10
    assert page["rows"][0] == {"id": "run-10", "name": "", "outcome": "failed", "steps": [1],
                               "label": page["rows"][0]["label"], "marks": []}  # fmt: skip
    assert view._runs.page(node, None, "good")["total"] == 10
    assert view._runs.page(node, None, "all", 15)["rows"][0]["id"] == "run-5"
    assert view._ahead[f"n{node}"] == page
    refused = view._runs.page(made.nodes.filter(pl.col("n_errors") > 0)["node"][0], None)
    assert refused["rows"][0]["marks"] == ["error"]


# ---------------------------------------------------------------- an opened run


def test_a_run_is_shown_at_a_step(bench: wb.Workbench) -> None:
    """A stored run stands in a player below, at its step; the next one goes into the same player."""
    made = refunds(bench)
    view = CohortView(made, rank=1)
    (first, step, _), (second, *_), *_ = view.selected.rows()
    player = view.show(first, step).opened
    player.watched = ["/done"]

    assert (player.replay.id, player.step_number) == (first, step)
    assert view._place == {"run": first, "name": name_of(made, first), "step": step}
    assert view.show(second).opened is player
    assert (player.replay.id, player.step_number, player.watched) == (second, 0, ["/done"])
    with pytest.raises(LookupError, match="This cohort has no run 'run-1'"):
        view.show("run-1")
    with pytest.raises(LookupError, match=r"has no step 99"):
        view.show(first, 99)


def test_what_opens_a_run_may_be_given() -> None:
    """A callback is told run and step; without one a cohort made of frames cannot open, and says so."""
    opened: list[tuple[str, int | None]] = []
    view = CohortView(found(), on_open=lambda run, step: opened.append((run, step)))

    assert view.show("run-3", 2).opened is None
    assert opened == [("run-3", 2)]
    assert view._head["can_open"] is True
    assert CohortView(found())._head["can_open"] is False
    with pytest.raises(TypeError, match=r"made of frames.*give on_open"):
        CohortView(found()).show("run-3")
    with pytest.raises(ConfigurationError, match=r"made of frames; runs of bench\.cohort"):
        found().replay("run-3")


def name_of(made: Cohort, run: str) -> str:
    return made.runs.filter(pl.col("execution_id") == run)["name"][0]


# ---------------------------------------------------------------- what is sent


def test_what_is_sent_is_bounded() -> None:
    """400 runs of 60 steps are less than a megabyte with their lists, which come in pages."""
    view = CohortView(long(400, 60))
    sent = len(view._graph) + len(json.dumps(view._ahead)) + len(json.dumps(view._head))

    assert sent < 1_000_000
    assert view._ahead
    assert len(json.dumps(view._ahead)) < AHEAD_BYTES * 1.3
    assert view._runs.page(0, None)["total"] == 400
    assert len(view._runs.page(0, None)["rows"]) == PAGE


def test_the_block_is_what_the_levels_are() -> None:
    """The browser's block holds the counts of every node and the flows of every level."""
    made = found()
    view = CohortView(made)
    facts, arrays = unpack(view._graph)

    assert [level["least"] for level in facts["levels"]] == [1, 2, 5]
    assert arrays["n_good"].tolist() == made.nodes["n_good"].to_list()
    assert facts["labels"] == made.nodes["label"].to_list()
    assert arrays["source1"].tolist() == view._levels[1].flows["source"].to_list()


def test_hostile_labels_are_plain() -> None:
    """Terminal codes and direction marks do not leave Python; markup stays text in the static view."""
    runs = [[f"user:{HOSTILE}", f"tool?x={HOSTILE.replace('=', '')}"], [f"user:{HOSTILE}", "other?x=1"]] * 4
    made = cohort(events(*runs), outcomes(*["good", "failed"] * 4), task=HOSTILE)
    view = CohortView(made)
    sent = json.dumps([view._head, view._ahead, unpack(view._graph)[0]], ensure_ascii=False)
    texts = Still(view.static_html())

    assert "\x1b" not in sent
    assert "\u202e" not in sent
    assert '<img src=x onerror="alert(1)">' in texts.text


# ---------------------------------------------------------------- without a kernel


def test_static_view() -> None:
    """The static view has the sentence, the divergences with rates, and the steps with both counts."""
    made = found()
    texts = Still(CohortView(made).static_html())

    assert made.summary in texts.text
    for wanted in ("10 of 10", "0 of 10", "+100%", "◆ parts here", "✓ 10", "✕ 10", "fewer than 2 runs"):
        assert wanted in texts.text, wanted


def test_static_view_is_bounded() -> None:
    """A graph of hundreds of steps becomes the first of them and the number of the rest."""
    markup = CohortView(long(10, 200)).static_html()

    assert markup.count("✓") == MAX_STEPS
    assert "later steps" in markup


def test_without_two_outcomes_or_steps() -> None:
    """A cohort of one outcome says so; one without steps has a static view too."""
    one = CohortView(cohort(events(GOOD, GOOD), outcomes("good", "good")))
    none = CohortView(cohort(events([], []), outcomes("good", "failed")))

    assert "nothing to tell them apart" in Still(one.static_html()).text
    assert repr(none) == "CohortView(good=0, failed=0, steps=0, diverges_at=None)"
    assert "No run of this cohort has steps." in none.static_html()
    assert none.selected.columns == ["execution_id", "step_number", "outcome"]


def test_page(tmp_path: Path) -> None:
    """A saved page has the sentence and the widget, and no address outside."""
    check_page(CohortView(found()), tmp_path / "cohort.html", "of 20 runs failed")
