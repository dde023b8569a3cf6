"""Verbs that read: executions, events, snapshots, one state, differences, SQL."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import NotFoundError
from .shell import Shell, clean, duration, moment, print_table, short_ids, terminal_width

if TYPE_CHECKING:
    import polars as pl

    from .._delta import Patch
    from ..replay.compare import Diff

Run = Annotated[str, typer.Argument(help="Id of a run, or its first characters (4 or more).", metavar="RUN")]
Since = Annotated[str | None, typer.Option(help="From when on: 7d, 24h, 30m, or a date or time (ISO 8601).")]
Until = Annotated[str | None, typer.Option(help="Until when, spelt like --since.")]
Where = Annotated[str | None, typer.Option(help="A further SQL condition.")]
Limit = Annotated[int | None, typer.Option(min=1, help="At most so many rows.")]

_PREVIEW = 200  # characters of a state in a table
_PATHS = 3  # of a patch in a sentence
_MARKS = {"equal": " ", "changed": "≠", "added": "+", "removed": "−"}


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    for verb in (executions, execution, tree, events, snapshots, state, diff, sql):
        app.command()(verb)


def executions(
    ctx: typer.Context,
    status: Annotated[str | None, typer.Option(help="pending, running, completed, failed or cancelled.")] = None,
    agent_type: Annotated[str | None, typer.Option(help="Kind of agent.")] = None,
    task: Annotated[str | None, typer.Option(help="Title or id of the task.")] = None,
    source: Annotated[str | None, typer.Option(help="Format it came from, e.g. tau-bench.")] = None,
    parent: Annotated[str | None, typer.Option(help="The run that they hang on.")] = None,
    since: Since = None,
    until: Until = None,
    where: Where = None,
    limit: Limit = None,
) -> None:
    """List runs, newest first."""
    shell: Shell = ctx.obj
    filters = given(
        status=status, agent_type=agent_type, task=task, source=source, parent=parent, since=since, until=until,
        where=where,
    )  # fmt: skip
    # A screen holds some twenty; a pipe of JSON gets them all unless it asks for fewer.
    at_most = limit or (None if shell.json else 50)
    with shell.bench() as bench:
        frame = bench.executions(**filters, **given(limit=at_most))
    none = "No runs match." if filters else "No runs found. Bring some in with: workbench ingest PATH…"
    shell.frame(frame, rows=_run_rows, whole=2, empty=none)
    if limit is None and len(frame) == at_most:
        shell.say(f"The {at_most} newest; --limit shows more.")


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


def tree(ctx: typer.Context, run: Run) -> None:
    """List a run and all runs below it: sub-agents, forks, sessions that go on from it."""
    shell: Shell = ctx.obj
    with shell.bench() as bench:
        frame = bench.tree(run)
    shell.frame(frame, rows=_tree_rows, whole=2, empty="No runs.")


def _tree_rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    ids = short_ids(frame["id"].to_list())
    return [
        {
            "id": ids[number],
            "name": "  " * min(run["depth"], 20) + (run["name"] or run["source_id"] or ""),
            "link": run["link"] if run["depth"] else None,
            "at step": run["parent_step"] if run["depth"] else None,
            "status": run["status"],
            "took": duration(run["execution_time_ms"]),
        }
        for number, run in enumerate(frame.iter_rows(named=True))
    ]


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
    shell.frame(frame, rows=_event_rows, whole=2, empty="This run has no such events.")


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
            return text[: terminal_width()]
    return ""


def snapshots(ctx: typer.Context, run: Run, limit: Limit = None) -> None:
    """List the states of a run; with --json, each state whole."""
    shell: Shell = ctx.obj
    with shell.bench() as bench:
        frame = bench.snapshots(run, **given(limit=limit))
    shell.frame(frame, rows=_snapshot_rows, whole=3, empty="This run has no states.")


def _snapshot_rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """One line a state; of the state itself as much as an eye can take in."""
    return [
        {
            "step": row["step_number"],
            "time": moment(row["timestamp"]),
            "kind": "checkpoint" if row["checkpoint"] else "derived" if row["is_derived"] else "",
            "description": row["description"] or "",
            "state": row["state"] if len(row["state"]) <= _PREVIEW else row["state"][:_PREVIEW] + "…",
        }
        for row in frame.iter_rows(named=True)
    ]


def state(
    ctx: typer.Context,
    run: Run,
    step: Annotated[
        int, typer.Argument(min=0, help="Step number, at most that of the run's last step.", metavar="STEP")
    ],
) -> None:
    """Print the state of a run after a step, that of its last snapshot until then, as JSON."""
    shell: Shell = ctx.obj
    with shell.bench() as bench:
        shell.dump(bench.state(run, step))


def diff(
    ctx: typer.Context,
    a: Annotated[str, typer.Argument(help="The run that is A: id, or its first characters.", metavar="RUN_A")],
    b: Annotated[str, typer.Argument(help="The run that is B.", metavar="RUN_B")],
    step: Annotated[
        int | None, typer.Option(min=0, help="Compare the states after this step of A instead of the last ones.")
    ] = None,
) -> None:
    """Align the steps of two runs, A and B, and say where they part; compare the states that they end with.

    With --json, state_patch is the RFC 6902 patch from A's state to B's, null where a run has no states.
    """
    shell: Shell = ctx.obj
    with shell.bench() as bench:
        runs = bench.execution(a), bench.execution(b)
        found = bench.compare(*runs)
        patch = _state_patch(found, step)
    named = {run: {"id": str(of.id), "name": of.name, "status": of.status} for run, of in zip("ab", runs, strict=True)}
    if shell.json:
        said = {"summary": found.summary, "first_divergence": found.first_divergence, "steps": found.steps.to_dicts()}
        return shell.dump({**named, **said, "state_patch": patch})
    for run, of in named.items():
        print(clean(f"{run.upper()}  {of['id']}  {of['status']}  {of['name'] or ''}").rstrip())
    print(clean(found.summary))
    if patch is not None:
        print(clean(_states_differ(patch, "that they end with" if step is None else f"after step {step} of A")))
    rows = [
        (_MARKS[row["kind"]], row["a_step"], row["b_step"], row["what"] or "", row["a_label"], row["b_label"])
        for row in found.steps.iter_rows(named=True)
        if row["kind"] != "equal"
    ]
    if rows:
        print_table(("", "a", "b", "what", "a says", "b says"), rows)
    return None


def _state_patch(found: Diff, step: int | None) -> Patch | None:
    """The patch from A's state to B's; asked for without a step, it may be missing."""
    try:
        return found.state_patch(step)
    except NotFoundError:
        if step is not None:
            raise
        return None


def _states_differ(patch: Patch, which: str) -> str:
    if not patch:
        return f"The states {which} are equal."
    paths = list(dict.fromkeys(operation["path"] or "/" for operation in patch))
    more = f" and {len(paths) - _PATHS} more" if len(paths) > _PATHS else ""
    return f"The states {which} differ at {', '.join(paths[:_PATHS])}{more}; --json has the patch."


def sql(
    ctx: typer.Context,
    query: Annotated[
        str, typer.Argument(help="SQL; '-' reads it from stdin. Tables need no schema name.", metavar="SQL")
    ],
    param: Annotated[list[str] | None, typer.Option(help="Value of $1; given again, of $2, …", metavar="VALUE")] = None,
    limit: Limit = None,
) -> None:
    """Ask the database in Postgres's SQL, read-only; with --json, json and jsonb columns are objects.

    Values stand apart from the query, where no quote in them does harm; single quotes keep $1 from the shell:
    workbench sql 'SELECT name FROM agent_executions WHERE status = $1 LIMIT $2' --param failed --param 10
    """
    from ..data.frames.sql import sql_and_json

    shell: Shell = ctx.obj
    text = sys.stdin.read() if query == "-" else query
    with shell.bench() as bench:
        frame, documents = sql_and_json(bench.store, text, params=param, limit=limit)
    shell.frame(frame, empty="No rows.", whole=int(frame.columns[:1] == ["id"]), documents=documents)


def given(**options: Any) -> dict[str, Any]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value is not None}
