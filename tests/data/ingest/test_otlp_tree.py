"""The spans of a trace as a tree: order, lanes, repeated and circular parents."""

from __future__ import annotations

from otlp_requests import TRACE, request, run_of, runs_of, source_of, span


def test_steps_are_ordered_by_start_then_by_tree() -> None:
    """However the spans lie in the file, parents that start with their children come first."""
    run = run_of(
        span("aaaaaaaaaaaaaaa3", "bbbbbbbbbbbbbbb2", name="grandchild"),
        span("aaaaaaaaaaaaaaa4", "ccccccccccccccc1", at=-1, name="early"),
        span("bbbbbbbbbbbbbbb2", "ccccccccccccccc1", name="child"),
        span("ccccccccccccccc1", name="root", seconds=5),
    )

    assert [step.name for step in run.steps] == ["early", "root", "child", "grandchild"]
    assert run.name == "root"
    assert run.completed_at is not None
    assert run.started_at is not None
    assert (run.completed_at - run.started_at).total_seconds() == 6


def test_lanes_follow_the_nearest_agent() -> None:
    """A span lies in the lane of the agent around it; outside of any agent, in that of its service."""
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "planner"}
    inner = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "coder"}

    run = run_of(
        span("aaaaaaaaaaaaaaa1", name="http"),
        span("aaaaaaaaaaaaaaa2", "aaaaaaaaaaaaaaa1", at=0.1, attributes=agent),
        span("aaaaaaaaaaaaaaa3", "aaaaaaaaaaaaaaa2", at=0.2, attributes=inner),
        span("aaaaaaaaaaaaaaa4", "aaaaaaaaaaaaaaa3", at=0.3, attributes={"gen_ai.operation.name": "execute_tool"}),
    )

    assert [step.agent for step in run.steps] == ["shop", "planner", "coder", "coder"]


def test_repeated_span_ids_lose_nothing() -> None:
    """Redacted exports give every span one id: each stays an event of its own, with its own identity."""
    spans = [span(name=f"tool {n}", attributes={"gen_ai.tool.name": f"t{n}"}) for n in range(4)]

    run = run_of(*spans)

    assert len({step.source_id for step in run.steps}) == 4
    assert {step.span_id for step in run.steps} == {"00f067aa0ba902b7"}


def test_a_span_sent_twice_is_one_event() -> None:
    """An exporter that retries sends the same spans again: they are stored once, and the report says so."""
    source = source_of(request(span()), request(span(), span("00f067aa0ba902b8")))

    (run,) = runs_of(source)

    assert len(run.steps) == 2
    assert [(note.kind, note.why, n) for note, n in source.notes.items()] == [("kept", "each is stored once", 1)]


def test_a_circle_of_parents_is_survived() -> None:
    """Spans that are each other's parents are all kept."""
    run = run_of(
        span("aaaaaaaaaaaaaaa1", "aaaaaaaaaaaaaaa2", name="a"),
        span("aaaaaaaaaaaaaaa2", "aaaaaaaaaaaaaaa1", name="b"),
        span("aaaaaaaaaaaaaaa3", "aaaaaaaaaaaaaaa3", name="its own parent"),
    )

    assert sorted(step.name or "" for step in run.steps) == ["a", "b", "its own parent"]


def test_a_chain_of_twenty_thousand_spans_is_read() -> None:
    """Depth costs neither the stack nor quadratic time."""
    chain = [span(f"{n + 1:016x}", f"{n:016x}" if n else "", at=n / 1000) for n in range(20_000)]

    run = run_of(*chain)

    assert [step.span_id for step in run.steps[:2]] == [f"{1:016x}", f"{2:016x}"]
    assert len(run.steps) == 20_000


def test_spans_of_a_trace_spread_over_lines_are_one_run() -> None:
    """One request per line, spans of two traces mixed: each trace is one run."""
    other = "f" * 32
    source = source_of(
        request(span("aaaaaaaaaaaaaaa2", "aaaaaaaaaaaaaaa1", at=1)),
        request(span("bbbbbbbbbbbbbbb1", traceId=other)),
        request(span("aaaaaaaaaaaaaaa1", seconds=3)),
    )

    assert [(run.source_id, len(run.steps)) for run in runs_of(source)] == [(TRACE, 2), (other, 1)]
