"""Verbs about secrets: where they stand, and looking for them again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .shell import Shell, short_ids

if TYPE_CHECKING:
    import polars as pl

Run = Annotated[
    str | None, typer.Argument(help="Id of a run, or its first characters; without it, all runs.", metavar="RUN")
]


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    app.command()(secrets)


def secrets(
    ctx: typer.Context,
    run: Run = None,
    rescan: Annotated[bool, typer.Option("--rescan", help="Look again at what is stored first.")] = False,
) -> None:
    """List where passwords, tokens and keys stand in the runs; never what they are."""
    shell: Shell = ctx.obj
    with shell.bench() as bench:
        frame = bench.rescan(run) if rescan else bench.secrets(run)
    shell.frame(frame, rows=_rows, whole=2, empty="No secrets found.")


def _rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    ids = short_ids(frame["execution_id"].to_list())
    return [
        {
            "run": ids[number],
            "step": row["step_number"],
            "rule": row["rule"],
            "shown": row["shown"],
            "place": row["place"],
        }
        for number, row in enumerate(frame.iter_rows(named=True))
    ]
