"""The ledger in a shell: ``workbench costs``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .look import Limit, Since, Until, Where, given
from .shell import Shell, short_ids

if TYPE_CHECKING:
    import polars as pl


def add_to(app: typer.Typer) -> None:
    """Register the verb."""
    app.command()(costs)


def costs(
    ctx: typer.Context,
    by: Annotated[
        str | None, typer.Option(help="model, agent_type, task, source, day or all; without it, one row a run.")
    ] = None,
    status: Annotated[str | None, typer.Option(help="pending, running, completed, failed or cancelled.")] = None,
    agent_type: Annotated[str | None, typer.Option(help="Kind of agent.")] = None,
    model: Annotated[str | None, typer.Option(help="Main model of the run.")] = None,
    source: Annotated[str | None, typer.Option(help="Format it came from, e.g. claude-code.")] = None,
    since: Since = None,
    until: Until = None,
    where: Where = None,
    limit: Limit = None,
    reprice: Annotated[
        bool, typer.Option("--reprice", help="First give unpriced runs a price, after an upgrade of the prices.")
    ] = False,
) -> None:
    """Add up tokens and cost, with what is unpriced and how far it is from what the sources report.

    A run's cost is what its source says, else what a dated table of prices says, else unknown, which adds nothing to a
    sum: "unpriced" is the share of runs without a cost. "difference" is what is stored minus what the sources report.
    """
    shell: Shell = ctx.obj
    filters = given(status=status, agent_type=agent_type, model=model, source=source)
    filters |= given(since=since, until=until, where=where, limit=limit)
    with shell.bench() as bench:
        if reprice:
            shell.say(str(bench.price()))
        frame = bench.costs(by=by, **filters)
    none = "No runs match." if filters else "No runs found. Bring some in with: workbench ingest PATH…"
    shell.frame(frame, rows=_run_rows if by is None else _group_rows, whole=1, empty=none)


def _run_rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    ids = short_ids(frame["id"].to_list())
    return [
        {"id": ids[number], "name": row["name"], "model": row["model"]}
        | _tokens(row)
        | {"cost $": _usd(row["cost_usd"]) or "unpriced", "by": row["cost_source"] or "–"}
        | _difference(row)
        for number, row in enumerate(frame.iter_rows(named=True))
    ]


def _group_rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    key = frame.columns[0] if frame.columns[0] != "n_runs" else None
    return [
        ({key: row[key]} if key else {})
        | {"runs": row["n_runs"]}
        | _tokens(row)
        | {"cost $": _usd(row["cost_usd"]) or "–", "unpriced": f"{row['unpriced_share']:.0%}"}
        | _difference(row)
        for row in frame.iter_rows(named=True)
    ]


def _tokens(row: dict[str, Any]) -> dict[str, Any]:
    cached = [row[name] for name in ("cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens")]
    known = [n for n in cached if n is not None]
    return {"input": row["input_tokens"], "cached": sum(known) if known else None, "output": row["output_tokens"]}


def _difference(row: dict[str, Any]) -> dict[str, Any]:
    return {"reported": row["reported_tokens"], "difference": row["difference_tokens"]}


def _usd(value: float | None) -> str | None:
    return None if value is None else f"{value:.4f}"
