"""The search of history in a shell: ``workbench find``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .look import Limit, Since, Until, Where, given
from .shell import Shell, short_ids

if TYPE_CHECKING:
    import polars as pl

_SHOWN = 50  # rows of a table


def add_to(app: typer.Typer) -> None:
    """Register the verb."""
    app.command()(find)


def find(
    ctx: typer.Context,
    predicate: Annotated[
        str, typer.Argument(help="What to look for, as in Python: 'state(\"cart.total\") > 100'.", metavar="PREDICATE")
    ],
    run: Annotated[
        list[str] | None, typer.Option(help="Only in this run (id, or its first characters); may be repeated.")
    ] = None,
    first: Annotated[bool, typer.Option("--first", help="Only the first such step of each run.")] = False,
    status: Annotated[str | None, typer.Option(help="Only in runs of this status.")] = None,
    agent_type: Annotated[str | None, typer.Option(help="Only in runs of this kind of agent.")] = None,
    task: Annotated[str | None, typer.Option(help="Only in runs of this task: title or id.")] = None,
    source: Annotated[str | None, typer.Option(help="Only in runs of this format.")] = None,
    since: Since = None,
    until: Until = None,
    where: Where = None,
    limit: Limit = None,
) -> None:
    """Find the steps of all runs at which a predicate holds.

    state("cart.total") > 100 · event("tool_call", name="refund") · run("agent_type") == "planner"; joined by &, | and
    ~ (each side in parentheses), a.then(b, within=5), a.without(b, within=3), a.before(b), never(c).until(d),
    a.at_least(3), a.begins(); event("tool_call").repeats(3) is the same call with the same arguments again;
    values have .contains(x), .is_in([x, y]), .matches("regex"), .changed(), .exists().
    """
    shell: Shell = ctx.obj
    filters = given(
        status=status, agent_type=agent_type, task=task, source=source, since=since, until=until, where=where
    )
    at_most = limit or (None if shell.json else _SHOWN)
    with shell.bench() as bench:
        frame = bench.find(predicate, run or None, first=first, limit=at_most, **filters)
    shell.frame(frame, rows=_rows, whole=2, empty="No step of any run matches.", documents=())
    if limit is None and len(frame) == at_most:
        shell.say(f"The first {at_most}; --limit shows more.")


def _rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    ids = short_ids(frame["execution_id"].to_list())
    several = frame["agent_type"].n_unique() > 1
    return [
        {"run": ids[number], "step": row["step_number"]}
        | ({"agent": row["agent_type"]} if several else {})
        | {"type": row["event_type"], "name": row["name"], "matched": row["matched"], "text": row["label"]}
        for number, row in enumerate(frame.iter_rows(named=True))
    ]
