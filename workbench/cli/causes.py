"""Verbs that look for causes: over the runs of a task, and in one run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .look import Limit, Run, Since, Until, Where, given
from .shell import Shell, clean, print_table

if TYPE_CHECKING:
    import polars as pl


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    for verb in (cohort, suspects):
        app.command()(verb)


def cohort(
    ctx: typer.Context,
    runs: Annotated[
        list[str] | None, typer.Argument(help="The runs, where no task is named.", metavar="[RUN]...")
    ] = None,
    task: Annotated[str | None, typer.Option(help="Title or id of the task.")] = None,
    good: Annotated[
        float | None, typer.Option(help="Least score of a good run; without it, the status counts.")
    ] = None,
    agent_type: Annotated[str | None, typer.Option(help="Kind of agent.")] = None,
    model: Annotated[str | None, typer.Option(help="Main model of the run.")] = None,
    source: Annotated[str | None, typer.Option(help="Format they came from.")] = None,
    since: Since = None,
    until: Until = None,
    where: Where = None,
    limit: Limit = None,
) -> None:
    """Align the good and the failed runs of a task, and name the first step whose outcome goes with failing.

    "p" is corrected for all that was asked; above 0.05 it may be chance. With --json: the runs, all divergences with
    the runs and their steps, nodes and edges of the graph.
    """
    shell: Shell = ctx.obj
    filters = given(agent_type=agent_type, model=model, source=source, since=since, until=until, where=where)
    with shell.bench() as bench:
        found = bench.cohort(runs=runs or None, good=good, **given(task=task, limit=limit), **filters)
    if shell.json:
        frames = {name: getattr(found, name).to_dicts() for name in ("runs", "divergences", "nodes", "edges")}
        return shell.dump({"task": found.task, "summary": found.summary, **frames})
    print(clean(found.summary))
    rows = [list(row.values()) for row in _divergence_rows(found.divergences.head(20))]
    if rows:
        print_table(_COLUMNS, rows, whole=2)
    return None


_COLUMNS = ("step", "class", "what", "with: failed", "without: failed", "p", "instead")


def _divergence_rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            "step": row["step"],
            "class": row["class"],
            "what": row["label"],
            "with": f"{row['failed_with']} of {row['n_with']}",
            "without": f"{row['failed_without']} of {row['n_without']}",
            "p": round(row["p_adjusted"], 3),
            "instead": row["instead"] or "",
        }
        for row in frame.iter_rows(named=True)
    ]


def suspects(
    ctx: typer.Context,
    run: Run,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many steps.")] = None,
) -> None:
    """Rank the steps of a failed run by how much they look like its mistake, from the run alone."""
    shell: Shell = ctx.obj
    with shell.bench() as bench:
        frame = bench.suspects(run)
    at_most = limit or (len(frame) if shell.json else 10)
    shell.frame(frame.head(at_most), rows=_suspect_rows, whole=2, empty="No agent did anything in this run.")


def _suspect_rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    return [
        {"step": row["step_number"], "score": round(row["score"], 2), "reason": row["reason"], "what": row["label"]}
        for row in frame.iter_rows(named=True)
    ]
