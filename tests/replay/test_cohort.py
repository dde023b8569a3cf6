"""Many runs on one graph: which steps correspond, and the first one whose outcome goes with failing."""

from __future__ import annotations

import random
from typing import Any

import polars as pl
import pytest
from courses import events, outcomes
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import ConfigurationError, NotFoundError
from workbench.replay.cohort import EDGES, NODES, STEPS, Cohort, cohort
from workbench.replay.divergences import SCHEMA
from workbench.replay.outcomes import outcomes_of

ASK = ["user:cancel my order please", "find?user=ann", "find=u1", "get?order=W1", "get=pending since Monday"]
DONE = ["cancel?order=W1", "cancel=cancelled", "assistant:it is cancelled", "user:thanks"]


def of(good: list[list[str]], failed: list[list[str]]) -> Cohort:
    """A cohort of good runs and, after them, failed ones."""
    words = ["good"] * len(good) + ["failed"] * len(failed)
    return cohort(events(*good, *failed), outcomes(*words))


# -- the first step that goes with failing --------------------------------------------------------------------------


def test_other_arguments():
    """Runs that fail because they give another argument are told apart by that argument."""
    wrong = [*ASK, "cancel?order=W2", *DONE[1:]]
    found = of([[*ASK, *DONE]] * 6, [wrong] * 6)

    row = found.divergence
    assert row is not None
    assert (row["class"], row["what"], row["step"], row["fails"]) == ("decision", "argument", 5, "without")
    assert (row["label"], row["instead"]) == ('cancel(order="W1")', "cancel(order=W2)")
    assert (row["n_with"], row["failed_with"], row["n_without"], row["failed_without"]) == (6, 0, 6, 6)
    assert row["difference"] == -1
    assert row["high"] == pytest.approx(-0.448, abs=1e-3)
    assert row["p_adjusted"] == pytest.approx(2 / 924)
    assert row["runs"] == [f"run-{number}" for number in range(6, 12)]
    assert row["step_numbers"] == [5] * 6
    assert 'step 5: “cancel(order=W2)”, not “cancel(order="W1")”. Then 6 of 6 fail, else 0 of 6' in found.summary


def test_another_tool():
    """Another tool at the same place is a decision, and both tools are named."""
    found = of([[*ASK, *DONE]] * 5, [[*ASK, "refund?order=W1", "refund=refused", *DONE[2:]]] * 5)

    row = found.divergence
    assert row is not None
    assert (row["class"], row["what"]) == ("decision", "tool")
    assert {row["label"], row["instead"]} == {"cancel(order=W1)", "refund(order=W1)"}


def test_left_out():
    """A step that failed runs leave out is structure; they are shown at the step before."""
    found = of([[*ASK, *DONE]] * 5, [[*ASK, *DONE[2:]]] * 5)

    row = found.divergence
    assert row is not None
    assert (row["class"], row["label"], row["fails"]) == ("structure", "cancel(order=W1)", "without")
    assert (row["instead"], row["step_numbers"]) == (None, [4] * 5)


def test_another_result():
    """Where the runs do the same and a tool fails, the tool's answer is what goes with it."""
    found = of([[*ASK, *DONE]] * 5, [[*ASK, DONE[0], "cancel!not allowed", *DONE[2:]]] * 5)

    row = found.divergence
    assert row is not None
    assert (row["class"], row["step"]) == ("result", 6)


def test_wording_alone():
    """Where nothing is done otherwise, a word that goes with failing is named, and as wording."""
    found = of([["user:cancel it politely", *ASK[1:], *DONE]] * 5, [["user:cancel it now", *ASK[1:], *DONE]] * 5)

    row = found.divergence
    assert row is not None
    assert (row["class"], row["step"]) == ("wording", 0)
    assert row["what"] in ("text", "word")


def test_wording_comes_after_deeds():
    """What a user said differently in failed runs does not hide what was done differently later."""
    found = of(
        [["user:cancel it politely", *ASK[1:], *DONE]] * 5,
        [["user:cancel it now", *ASK[1:], "refund?order=W1", "refund=ok", *DONE[2:]]] * 5,
    )

    assert found.divergences.select("class", "step").rows() == [("decision", 5)]


def test_the_cause_before_its_consequences():
    """Of steps that divide the runs alike the first one is named, and the others are counted."""
    worse = [*ASK[:3], "get?order=W9", "get=no such order", "search?name=ann", "search=none", "assistant:sorry"]
    found = of([[*ASK, *DONE]] * 5, [worse] * 5)

    row = found.divergence
    assert row is not None
    assert (row["step"], row["class"]) == (3, "decision")
    assert row["n_alike"] >= 4
    assert len(found.divergences) <= 2


def test_a_weak_cause_among_noise():
    """A mistake that only raises the rate of failing is found among random extra steps, and is beyond chance."""
    rnd = random.Random(4)
    runs, words = [], []
    for _ in range(80):
        is_wrong = rnd.random() < 0.5
        noise = [f"note?text={rnd.randrange(5)}", "note=ok"] if rnd.random() < 0.5 else []
        runs.append([*ASK[:3], *noise, f"get?order={'W9' if is_wrong else 'W1'}", "get=pending", *DONE])
        words.append("failed" if rnd.random() < (0.85 if is_wrong else 0.2) else "good")
    found = cohort(events(*runs), outcomes(*words))

    row = found.divergence
    assert row is not None
    assert row["label"] == 'get(order="W1")'
    assert row["p_adjusted"] <= 0.05
    assert len(found.divergences.filter(pl.col("p_adjusted") <= 0.05)) == 1


def test_chance_is_called_chance():
    """Two runs that differ are no proof, and the sentence says so."""
    found = of([[*ASK, *DONE]], [ASK])

    assert found.divergence is not None
    assert found.divergence["p_adjusted"] == 1
    assert "which may be chance" in found.summary


# -- what is no difference ------------------------------------------------------------------------------------------


def test_retries_are_one_step():
    """A call repeated word for word stands at the node of the first one and is no divergence."""
    again = [*ASK[:4], "get=pending since Monday", "get?order=W1", "get=pending since Monday", *DONE]
    found = of([[*ASK, *DONE]] * 3, [again] * 3)

    assert found.divergences.is_empty()
    assert sorted(set(found.steps.filter("is_repeat")["label"])) == ["get → pending since Monday", "get(order=W1)"]
    assert found.nodes.filter(pl.col("label") == "get(order=W1)")["n_repeats"].to_list() == [3]
    assert "goes with failing" in found.summary


def test_looking_again_later_is_a_step():
    """A call made once more after other steps is no retry: where failed runs leave it out, that is named."""
    checked = [*ASK, *DONE[:2], "get?order=W1", "get=cancelled now", *DONE[2:]]
    found = of([checked] * 5, [[*ASK, *DONE]] * 5)

    row = found.divergence
    assert row is not None
    assert (row["class"], row["label"], row["step"], row["fails"]) == ("structure", "get(order=W1)", 7, "without")


def test_equal_answers_to_different_calls_are_steps():
    """Two calls with different arguments and the same answer have two nodes each."""
    found = of([["get?order=W1", "get=pending", "get?order=W2", "get=pending"]] * 2, [["get?order=W1", "get=pending"]])

    assert found.nodes["n_repeats"].sum() == 0
    assert found.nodes["n_good"].to_list() == [2, 2, 2, 2]


def test_another_order_is_no_difference():
    """Steps in another order stand at the same nodes, marked as moved."""
    swapped = [ASK[0], *ASK[3:5], *ASK[1:3], *DONE]
    found = of([[*ASK, *DONE]] * 4, [swapped] * 4)

    assert found.divergences.is_empty()
    assert len(found.nodes) == len([*ASK, *DONE])
    assert set(found.nodes["n_runs"]) == {8}
    assert found.nodes["n_moved"].sum() == 8
    assert found.edges.filter("is_back")["n_failed"].sum() > 0


def test_ids_and_verdicts_are_no_difference():
    """Ids that each run makes up do not count, and a grade written into the run is not taken for a cause of it."""
    runs = []
    for number in range(8):
        grade = ("score", "reward", f'{{"extra": {{"reward": {int(number < 4)}}}}}')
        row = events([*ASK, f"book?id=call_{number}abcdefghijklmn", *DONE]).with_columns(
            execution_id=pl.lit(f"run-{number}")
        )
        verdict = pl.DataFrame([(f"run-{number}", 99, *grade)], schema=row.schema, orient="row")
        runs.append(pl.concat([row, verdict]))
    found = cohort(pl.concat(runs), outcomes(*["good"] * 4, *["failed"] * 4))

    assert found.divergences.is_empty()
    assert set(found.nodes["n_runs"]) == {8}


# -- the graph ------------------------------------------------------------------------------------------------------


def test_flows():
    """Edges count the good and the failed runs that go from node to node, from the start to the end."""
    found = of([[*ASK, *DONE]] * 2, [ASK] * 3)

    start = found.edges.filter(pl.col("source").is_null()).row(0, named=True)
    ends = found.edges.filter(pl.col("target").is_null()).sort("n_good")
    assert (start["target"], start["n_good"], start["n_failed"]) == (0, 2, 3)
    assert ends.select("n_good", "n_failed").rows() == [(0, 3), (2, 0)]
    assert found.at(5)["execution_id"].to_list() == ["run-0", "run-1"]
    with pytest.raises(NotFoundError, match="No node 99"):
        found.at(99)


words = st.sampled_from([*ASK, *DONE, "user:yes", "get?order=W7", "find!gone", "wait?", "a?x=1", "b?x=1", "c?x=2"])


@given(st.lists(st.lists(words, min_size=1, max_size=12), min_size=2, max_size=6), st.data())
def test_every_step_stands_once(runs: list[list[str]], data: st.DataObject):
    """Whatever the runs, each step stands in the graph once, flows add up, and outcomes do not move a step."""
    flags = data.draw(st.lists(st.sampled_from(["good", "failed"]), min_size=len(runs), max_size=len(runs)))
    found = cohort(events(*runs), outcomes(*flags))
    other = cohort(events(*runs), outcomes(*reversed(flags)))

    assert found.steps.group_by("execution_id").len().sort("execution_id")["len"].to_list() == [
        len(run) for _, run in sorted(zip([f"run-{n}" for n in range(len(runs))], runs, strict=True))
    ]
    assert found.steps.drop("outcome").equals(other.steps.drop("outcome"))
    for name in ("n_good", "n_failed"):
        starts = found.edges.filter(pl.col("source").is_null())[name].sum()
        assert starts == flags.count(name.removeprefix("n_"))
    assert (found.edges["n_good"] + found.edges["n_failed"]).equals(found.edges["n_runs"])
    p = found.divergences["p_adjusted"]
    assert p.is_between(0, 1).all()
    assert (p >= found.divergences["p_value"] - 1e-9).all()
    assert found.divergences.select((pl.col("low") <= pl.col("difference")).all()).item() in (True, None)


def test_schemas_hold_without_rows():
    """Frames keep their columns and dtypes where nothing is in them."""
    found = cohort(events([], []), outcomes("good", "failed"))

    assert found.runs["outcome"].to_list() == ["empty", "empty"]
    assert (dict(found.steps.schema), dict(found.nodes.schema)) == (STEPS, NODES)
    assert (dict(found.edges.schema), dict(found.divergences.schema)) == (EDGES, SCHEMA)
    assert found.divergence is None


def test_one_outcome_only():
    """Without failed runs there is a graph, and the sentence says why there is no divergence."""
    found = of([[*ASK, *DONE]] * 3, [])

    assert found.divergences.is_empty()
    assert len(found.nodes) == 9
    assert found.summary.endswith("Without runs of both outcomes there is nothing to tell them apart by.")


def test_check():
    """Runs left out one by one are told right where the cause is plain, and no better than by chance where none is."""
    plain = of([[*ASK, *DONE]] * 4, [[*ASK, "refund?order=W1", "refund=ok", *DONE[2:]]] * 4).check()
    none = of([[*ASK, *DONE]] * 4, [[*ASK, *DONE]] * 4).check()

    assert (plain["n_runs"], plain["accuracy"]) == (8, 1.0)
    assert (none["n_unnamed"], none["accuracy"]) == (8, none["baseline"])


# -- which runs are good --------------------------------------------------------------------------------------------

RUNS = pl.DataFrame(
    {
        "status": ["completed", "completed", "completed", "failed", "running", "cancelled", "completed"],
        "score": [None, 1.0, 0.0, 1.0, None, None, 0.4],
    }
)


@pytest.mark.parametrize(
    ("good", "expected"),
    [
        (None, "good good failed failed undecided undecided good"),
        (0.5, "undecided good failed good undecided undecided failed"),
        (pl.col("status") == "completed", "good good good failed failed failed good"),
        (lambda run: run["score"] and run["score"] > 0.3, "undecided good failed good undecided undecided good"),
    ],
)
def test_rules(good: Any, expected: str):
    """Good and failed follow from status and score, or from a threshold, an expression or a function."""
    assert outcomes_of(RUNS, good).to_list() == expected.split()


@pytest.mark.parametrize("good", ["best", True, pl.col("score")])
def test_no_rule(good: Any):
    """What is no rule is refused, with what is allowed."""
    with pytest.raises(ConfigurationError, match=r"good=pl\.col"):
        outcomes_of(RUNS, good)
