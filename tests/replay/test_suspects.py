"""Where to begin to read a failed run: the ranking of its steps, from the run alone."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from courses import events

from workbench import Workbench
from workbench.errors import ConfigurationError, NotFoundError
from workbench.replay.suspects import SCHEMA, rank

START = ["user:please move my booking of 3 May to the cheapest flight", "find?user=ann", "find=ann has booking B1"]


def test_the_call_that_failed_first():
    """Of several calls that fail, the first is the one to look at."""
    run = [
        *START,
        "move?booking=B2",
        "move!no such booking",
        "move?booking=B3",
        "move!no such booking",
        "assistant:done",
    ]

    found = rank(events(run))

    assert found["step_number"][0] == 3
    assert "its call failed" in found["reason"][0]
    assert found["score"].is_between(0, 1).all()


def test_what_nobody_said():
    """An agent that names figures that no tool and no user gave is suspected before one that repeats what was given."""
    run = [
        *START,
        "assistant:your booking B1 of 3 May was found",
        "assistant:I assume that the cheapest flight costs 4417 and leaves at 1855 with 212 left",
        "user:fine",
        "assistant:it is done then",
    ]

    found = rank(events(run))

    assert found["step_number"][0] == 4
    assert "assumes" in found["reason"][0]


def test_an_empty_answer_and_a_loop():
    """A call that got nothing back and steps that are repeated have that as a reason."""
    run = [*START, "search?from=PRG,to=ROM,day=3", "search=[]", "search?from=PRG,to=ROM,day=3", "search=[]"]

    reasons = {row["step_number"]: row["reason"] for row in rank(events(run)).iter_rows(named=True)}

    assert "it got nothing back" in reasons[3]
    assert "it repeats an earlier step" in reasons[5]


def test_only_what_agents_did():
    """Users and tools are not suspected, and a run without an agent's step has an empty frame of the same columns."""
    assert set(rank(events([*START, "assistant:done"]))["step_number"]) == {1, 3}
    nothing = rank(events(["user:hello", "user:anybody?"]))
    assert (len(nothing), dict(nothing.schema)) == (0, SCHEMA)


def test_the_verdict_is_not_read():
    """A grade that stands among the steps changes nothing."""
    run = events([*START, "move?booking=B2", "move!no such booking", "assistant:sorry"])
    grade = pl.DataFrame([("run-0", 9, "score", "reward", '{"extra": {"step": 1}}')], schema=run.schema, orient="row")

    assert rank(pl.concat([run, grade])).equals(rank(run))


def test_a_judge():
    """A judge's scores take the place of ours, and what it is silent on stays behind in our order."""
    run = events([*START, "move?booking=B2", "move!no such booking", "assistant:sorry"])
    ours = rank(run)["step_number"].to_list()

    found = rank(run, judge=lambda events, ranking: {5: 0.2, 1: (0.9, "wrong user")})

    assert found.select("step_number", "score", "reason").rows()[:2] == [
        (1, 0.9, "wrong user"),
        (5, 0.2, "the judge says so"),
    ]
    assert found["step_number"].to_list()[2:] == [step for step in ours if step not in (1, 5)]


@pytest.mark.parametrize("verdict", [[3], {3: 7.0}, {3: "bad"}, {4: 0.5}, {3: (0.5, "a", "b")}, {3: True}])
def test_a_judge_that_makes_no_sense(verdict: object):
    """What is no score of an agent's step is refused, with what is allowed."""
    run = events([*START, "move?booking=B2", "move!no such booking"])

    with pytest.raises(ConfigurationError, match="a score from 0 to 1 by step number"):
        rank(run, judge=lambda events, ranking: verdict)  # pyright: ignore[reportArgumentType]


def test_a_cohort_helps(bench: Workbench):
    """Where failed runs of the task part from good ones, the run's step there comes first, with that as the reason."""
    runs: dict[str, list[str]] = {"completed": [], "failed": []}
    for status, ids in runs.items():
        for _ in range(5):
            with bench.record(agent_type="clerk", task="Cancel W1") as run:
                run.event("message", role="user", text="Cancel my order, please.")
                with run.tool("get_order", {"order_id": "W1"}) as call:
                    call.result = {"status": "pending"}
                with run.tool("cancel_order" if status == "completed" else "refund_order", {"order_id": "W1"}) as call:
                    call.result = {"ok": True}
                run.finish(status=status)  # pyright: ignore[reportArgumentType]
            ids.append(str(run.id))

    found = bench.suspects(runs["failed"][0], cohort=bench.cohort(task="Cancel W1"))

    assert found["label"][0] == "refund_order(order_id=W1)"
    assert "failed runs part here (decision)" in found["reason"][0]
    with pytest.raises(NotFoundError):
        bench.suspects("00000000")


def test_the_annotation_is_never_read(bench: Workbench, shared_data: Path, tmp_path: Path):
    """Real annotated failures are ranked alike whatever their annotation says."""
    for part in ("Algorithm-Generated", "Hand-Crafted"):
        record = json.loads(next((shared_data / "who-and-when" / part).glob("*.json")).read_bytes())
        silent = {key: value for key, value in record.items() if not key.startswith("mistake")}
        rankings = []
        for name, content in (("told", record), ("silent", {**silent, "question_ID": f"{part} without"})):
            file = tmp_path / f"{part}-{name}.json"
            file.write_text(json.dumps(content))
            before = set(bench.executions()["id"])
            bench.ingest(file, progress=False)
            (run,) = set(bench.executions()["id"]) - before
            rankings.append(bench.suspects(run))

        assert rankings[0].height > 1
        assert rankings[0].equals(rankings[1])
