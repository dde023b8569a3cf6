"""A live run, captured."""

from __future__ import annotations

import json
import threading

import polars as pl
import pytest

from workbench.errors import ConfigurationError
from workbench.replay.capture import fields


def test_a_recorded_run_is_a_run_like_any_other(bench):
    """What was said, called, spent and reached is in the frames."""
    with bench.record(agent_type="planner", task="Book", model="rules", input="To Oslo", metadata={"n": 1}) as run:
        run.event("message", name="user", role="user", text="To Oslo", usage={"input_tokens": 3, "output_tokens": 1})
        with run.span("work", agent="clerk"), run.tool("search", {"to": "OSL"}, agent="clerk", cost_usd=0.25) as call:
            call.result = [1, 2]
        run.finish(output="booked", score=1.0)

    row = bench.executions().row(0, named=True)
    assert (row["id"], row["status"], row["task"], row["source"]) == (str(run.id), "completed", "Book", "record")
    assert (row["score"], row["cost_usd"], row["input_tokens"], row["output_tokens"]) == (1.0, 0.25, 3, 1)
    assert row["cache_read_tokens"] is None
    events = bench.events(run.id)
    assert events["event_type"].to_list() == ["message", "span", "tool_call", "tool_result"]
    assert events["step_number"].to_list() == [0, 1, 2, 3]
    work, call = events.row(1, named=True), events.row(2, named=True)
    assert call["parent_span_id"] == work["span_id"]
    assert work["duration_ms"] >= call["duration_ms"] >= 0
    for ms in (work["duration_ms"], call["duration_ms"], row["execution_time_ms"]):
        assert ms == round(ms, 3)
    assert json.loads(events["data"][3])["tool"]["result"] == [1, 2]


def test_an_exception_makes_the_run_failed_and_goes_on(bench):
    """The agent's own error leaves the with; the run says what it was."""
    with pytest.raises(KeyError, match="price"), bench.record(agent_type="planner") as run, run.tool("look", {"x": 1}):
        raise KeyError("price")

    row = bench.executions().row(0, named=True)
    assert (row["status"], row["error_type"], row["error"], row["n_errors"]) == ("failed", "KeyError", "'price'", 2)
    assert bench.events(run.id)["severity"].to_list() == ["error", "error"]


def test_states_are_as_they_were_when_given(bench):
    """A state that the agent changes afterwards stays what it was; checkpoints have names."""
    state = {"plan": ["look"], "n": 0}
    with bench.record(agent_type="planner") as run:
        for number in range(60):
            run.event("log", name="turn")
            state["n"] = number
            state["plan"].append(f"step {number}")
            run.step(state)
        run.checkpoint("end", state)

    snapshots = bench.snapshots(run.id)
    assert snapshots["step_number"].to_list() == list(range(60))
    assert [json.loads(text)["n"] for text in snapshots["state"]] == list(range(60))
    assert bench.state(run.id, 7) == {"plan": ["look", *(f"step {n}" for n in range(8))], "n": 7}
    assert snapshots.filter("checkpoint")["description"].to_list() == ["end"]


def test_a_run_is_read_while_it_goes_on(bench):
    """Another connection sees events, states and totals before the run has ended; numbers and sums go on."""
    with bench.record(agent_type="planner") as run:
        for number in range(20):
            run.event("log", usage={"input_tokens": 1})
            run.step({"n": number})
        assert run.flush()
        assert bench.events(run.id).height == 20
        assert bench.state(run.id, 19) == {"n": 19}
        assert bench.executions().select("status", "input_tokens", "completed_at").row(0) == ("running", 20, None)
        for _ in range(5):
            run.event("log", usage={"input_tokens": 1})

    assert bench.events(run.id)["step_number"].to_list() == list(range(25))
    assert bench.executions().select("status", "input_tokens").row(0) == ("completed", 25)


def test_threads_record_into_one_run(bench):
    """Events of several threads get a number each; none is lost."""
    with bench.record(agent_type="planner") as run:

        def work(name: str) -> None:
            for _ in range(50):
                with run.tool(name, {}) as call:
                    call.result = name

        threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    events = bench.events(run.id)
    assert events["step_number"].to_list() == list(range(400))
    assert events.group_by("name").len()["len"].to_list() == [100] * 4


def test_unpriced_is_not_free(bench):
    """A run whose cost is unknown has none, whatever its events cost."""
    with bench.record(agent_type="planner") as run:
        run.event("llm_call", cost_usd=0.5)
        run.finish(cost_usd=None)

    assert bench.executions()["cost_usd"].to_list() == [None]


def test_hostile_values_are_kept_as_data(bench):
    """NUL, lone surrogates, NaN and objects that are no JSON do not stop the capture."""
    with bench.record(agent_type="planner", name="<script>\0") as run:
        run.event("message", text="a\0b\ud800", data={"x": float("nan"), "o": object()})
        run.step({"x": float("inf")})

    assert bench.events(run.id).height == 1
    assert bench.executions()["n_snapshots"].to_list() == [1]


def test_a_run_needs_a_kind(bench):
    """An empty agent type is refused before anything is recorded, with what is wanted."""
    with pytest.raises(ConfigurationError, match="agent_type must not be empty"):
        bench.record(agent_type="")


def test_unknown_classes_of_tokens_do_not_stop_the_agent(bench, caplog, monkeypatch):
    """They are kept and not counted, and the log says which there are; a provider's own names are understood."""
    monkeypatch.setattr(fields, "_warned", [])  # it says so once a process
    with bench.record(agent_type="planner") as run:
        run.event("llm_call", usage={"blue_tokens": 3, "input_tokens": 1})
        run.event("llm_call", usage={"prompt_tokens": 5, "completion_tokens": 2})

    assert "'blue_tokens', which is counted nowhere. Classes are: input_tokens" in caplog.text
    assert json.loads(bench.events(run.id)["data"][0])["extra"]["usage"] == {"blue_tokens": 3}
    assert bench.executions().select("input_tokens", "output_tokens").row(0) == (6, 2)


def test_tasks_of_one_title_are_one_task(bench):
    """Two runs of a title share a task, so that they can be compared."""
    for _ in range(2):
        with bench.record(agent_type="planner", task="Book"):
            pass

    assert bench.tasks()["title"].to_list() == ["Book"]
    assert bench.executions(task="Book").height == 2
    assert bench.executions()["task_id"].n_unique() == 1
    assert bench.executions().select(pl.col("n_events")).to_series().to_list() == [0, 0]


class _Hostile(dict):
    """Raises whatever it is asked."""

    def items(self):
        raise SystemError("no items")

    def __str__(self):
        raise SystemError("no text")

    __repr__ = __str__

    def __float__(self):
        raise SystemError("no number")


def test_one_value_that_cannot_be_said_costs_nothing_else(bench):
    """A number of 5,000 digits, and arguments that raise when they are asked, take nothing else of the run along."""
    about = {"name": _Hostile(), "model": _Hostile(), "task": _Hostile(a=1), "metadata": [1]}
    with bench.record(agent_type="planner", **about) as run:
        run.event("log", text="stays", data={"n": 10**5000, "kept": 1})
        run.event("log", text="stays", usage=_Hostile(input_tokens=3), data=[1], cost_usd=_Hostile())
        run.event("log", text="stays", usage={"mine": 1}, data=[1])
        run.step({"n": -(10**5000), "kept": 1})

    told = [json.loads(data) for data in bench.events(run.id)["data"]]
    assert [event["text"] for event in told] == ["stays"] * 3
    assert told[0]["extra"] == {"n": hex(10**5000), "kept": 1}
    assert told[1]["usage"] == {"input_tokens": 3}
    assert told[2]["extra"] == {"data": [1], "usage": {"mine": 1}}
    assert bench.state(run.id, 2) == {"n": hex(-(10**5000)), "kept": 1}
    assert bench.execution(run.id).metadata["metadata"] == [1]
