"""Verbs that read: executions, events, snapshots, one state, differences, SQL."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .shell import Shell, clean, duration, moment, print_table, short_ids, terminal_width

if TYPE_CHECKING:
    import polars as pl

Run = Annotated[str, typer.Argument(help="Id of a run, or its first characters (4 or more).", metavar="RUN")]
Since = Annotated[str | None, typer.Option(help="From when on: 7d, 24h, 30m, or a date or time (ISO 8601).")]
Until = Annotated[str | None, typer.Option(help="Until when, spelt like --since.")]
Where = Annotated[str | None, typer.Option(help="A further SQL condition.")]
Limit = Annotated[int | None, typer.Option(min=1, help="At most so many rows.")]


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    for verb in (executions, execution, events, snapshots, state, diff, sql):
        app.command()(verb)


def executions(
    ctx: typer.Context,
    status: Annotated[str | None, typer.Option(help="pending, running, completed, failed or cancelled.")] = None,
    agent_type: Annotated[str | None, typer.Option(help="Kind of agent.")] = None,
    task: Annotated[str | None, typer.Option(help="Title or id of the task.")] = None,
    source: Annotated[str | None, typer.Option(help="Format it came from, e.g. tau-bench.")] = None,
    since: Since = None,
    until: Until = None,
    where: Where = None,
    limit: Limit = None,
) -> None:
    """List runs, newest first."""
    shell: Shell = ctx.obj
    filters = given(
        status=status, agent_type=agent_type, task=task, source=source, since=since, until=until, where=where
    )
    with shell.bench() as bench:
        # A screen holds some twenty; a pipe gets them all unless it asks for fewer.
        frame = bench.executions(**filters, **given(limit=limit or (None if shell.json else 50)))
        if shell.json:
            return shell.frame(frame)
        if frame.is_empty():
            return shell.say("No runs found. Bring some in with: workbench ingest PATH…")
        rows = _run_rows(frame)
        print_table(list(rows[0]), [list(row.values()) for row in rows], whole=2)
        if limit is None and len(frame) == 50:
            shell.say("The 50 newest; --limit shows more.")
    return None


def _run_rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """What a line has room for: the name first of all, agent and events on wide terminals only."""
    width = terminal_width()
    ids = short_ids(frame["id"].to_list())
    rows = []
    for number, run in enumerate(frame.iter_rows(named=True)):
        row = {"id": ids[number], "status": run["status"], "name": run["name"] or run["task"] or run["source_id"]}
        if width >= 100:
            row |= {"agent": run["agent_type"], "events": run["n_events"]}
        row |= {"started": moment(run["started_at"]), "took": duration(run["execution_time_ms"])}
        rows.append(row | {"cost $": None if run["cost_usd"] is None else f"{run['cost_usd']:.4f}"})
    return rows


def execution(ctx: typer.Context, run: Run) -> None:
    """Show all that is known of one run."""
    shell: Shell = ctx.obj
    with shell.bench() as bench:
        shell.record(bench.execution(run).model_dump(mode="json"))


def events(
    ctx: typer.Context,
    run: Run,
    event_type: Annotated[
        str | None, typer.Option("--type", help="message, tool_call, tool_result, llm_call, span, …")
    ] = None,
    severity: Annotated[str | None, typer.Option(help="debug, info, warning, error or critical.")] = None,
    category: Annotated[str | None, typer.Option(help="The source's own grouping.")] = None,
    since: Since = None,
    until: Until = None,
    where: Where = None,
    limit: Limit = None,
) -> None:
    """List the steps of a run, in order."""
    shell: Shell = ctx.obj
    filters = given(event_type=event_type, severity=severity, category=category, since=since, until=until, where=where)
    with shell.bench() as bench:
        frame = bench.events(run, **filters, **given(limit=limit))
        if shell.json:
            return shell.frame(frame)
        if frame.is_empty():
            return shell.say("This run has no such events.")
        rows = _event_rows(frame)
        print_table(list(rows[0]), [list(row.values()) for row in rows], whole=2)
    return None


def _event_rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """One line a step; the agent and the severity where they tell anything."""
    several = frame["agent"].n_unique() > 1
    uneven = not frame["severity"].is_in(["info", "debug"]).all()
    rows = []
    for event in frame.iter_rows(named=True):
        row = {"step": event["step_number"], "type": event["event_type"], "name": event["name"]}
        row |= {"agent": event["agent"]} if several else {}
        row |= {"severity": event["severity"]} if uneven else {}
        rows.append(row | {"took": duration(event["duration_ms"]), "text": _said(event["data"])})
    return rows


def _said(data: str | None) -> str:
    """What a step says, in one line: its text, its tool's arguments or result, or its error."""
    import orjson

    document = orjson.loads(data or "{}")
    tool = document.get("tool") or {}
    for value in (document.get("text"), tool.get("arguments"), tool.get("result"), document.get("error")):
        if value:
            text = value if isinstance(value, str) else orjson.dumps(value).decode()
            return clean(text[:200])
    return ""


def snapshots(ctx: typer.Context, run: Run, limit: Limit = None) -> None:
    """List the states of a run; with --json, each state whole."""
    shell: Shell = ctx.obj
    with shell.bench() as bench:
        frame = bench.snapshots(run, **given(limit=limit))
        if shell.json:
            return shell.frame(frame)
        if frame.is_empty():
            return shell.say("This run has no states.")
        print_table(
            ("step", "time", "kind", "description", "state"), map(_snapshot_row, frame.iter_rows(named=True)), whole=3
        )
    return None


def _snapshot_row(row: dict[str, Any]) -> tuple[Any, ...]:
    kind = "checkpoint" if row["checkpoint"] else "derived" if row["is_derived"] else ""
    return row["step_number"], moment(row["timestamp"]), kind, row["description"] or "", row["state"][:200]


def state(ctx: typer.Context, run: Run, step: Annotated[int, typer.Argument(min=0, help="Step number.")]) -> None:
    """Print the state of a run after a step, as JSON."""
    shell: Shell = ctx.obj
    with shell.bench() as bench:
        shell.dump(bench.state(run, step))


def diff(ctx: typer.Context, a: Run, b: Run) -> None:
    """Align the steps of two runs and say where they part."""
    shell: Shell = ctx.obj
    with shell.bench() as bench:
        found = bench.compare(a, b)
        if shell.json:
            steps = found.steps.to_dicts()
            return shell.dump({"a": found.a, "b": found.b, "summary": found.summary,
                               "first_divergence": found.first_divergence, "steps": steps})  # fmt: skip
        print(clean(found.summary))
        marks = {"equal": " ", "changed": "≠", "added": "+", "removed": "−"}
        rows = [
            (marks[row["kind"]], row["a_step"], row["b_step"], row["what"] or "", row["a_label"], row["b_label"])
            for row in found.steps.iter_rows(named=True)
            if row["kind"] != "equal"
        ]
        if rows:
            print_table(("", "a", "b", "what", "a says", "b says"), rows)
    return None


def sql(
    ctx: typer.Context,
    query: Annotated[
        str, typer.Argument(help="SQL; '-' reads it from stdin. Tables need no schema name.", metavar="SQL")
    ],
    limit: Limit = None,
) -> None:
    """Ask the database, read-only."""
    shell: Shell = ctx.obj
    text = sys.stdin.read() if query == "-" else query
    with shell.bench() as bench:
        frame = bench.sql(text, **given(limit=limit))
        if shell.json:
            shell.dump_rows(frame.iter_rows(named=True))
        else:
            shell.frame(frame, empty="No rows.")


def given(**options: Any) -> dict[str, Any]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value is not None}
