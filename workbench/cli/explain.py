"""Verbs that explain a run: who wrote a value of its state, and what the model saw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .look import Run
from .shell import Shell

if TYPE_CHECKING:
    import polars as pl

_SHOWN = 60  # characters of a value in a table


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    for verb in (origin, context):
        app.command()(verb)


def origin(
    ctx: typer.Context,
    run: Run,
    path: Annotated[
        str, typer.Argument(help="Path in the state: cart.items[0].price, or /cart/items/0/price.", metavar="PATH")
    ],
    step: Annotated[int | None, typer.Option(min=0, help="Look at the state after this step, not the last.")] = None,
    depth: Annotated[int, typer.Option(min=0, max=20, help="How many steps to walk back.")] = 3,
    limit: Annotated[int, typer.Option(min=1, help="At most so many rows of one value.")] = 20,
) -> None:
    """Say who wrote a value of the state: the step that set it, the event that brought it in, and what that came from.

    An asterisk marks the origin; other rows hold the value too. "unknown": no event does, other than by accident.
    """
    shell: Shell = ctx.obj
    with shell.bench() as bench:
        frame = bench.origin(run, path, step=step, depth=depth, limit=limit)
    shell.frame(frame, rows=_origin_rows, whole=4)


def _origin_rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            "": "*" if row["is_origin"] else "",
            "depth": row["depth"],
            "step": row["step_number"],
            "source": row["source"],
            "name": row["name"],
            "match": row["match"],
            "says": row["specificity"],
            "value": _short(row["value"]),
            "place": row["place"],
            "text": _short(row["text"]),
        }
        for row in frame.iter_rows(named=True)
    ]


def context(
    ctx: typer.Context,
    run: Run,
    step: Annotated[int | None, typer.Option(min=0, help="The messages of the model call at this step.")] = None,
    agent: Annotated[str | None, typer.Option(help="One lane: an agent or a sub-agent.")] = None,
) -> None:
    """Show what the model saw: one line per model call, or with --step its messages and what changed since the last.

    A context is put together from the conversation where the source did not record it (is_reconstructed).
    """
    shell: Shell = ctx.obj
    with shell.bench() as bench:
        frame = bench.context(run, step, agent=agent)
    shell.frame(
        frame, rows=_call_rows if step is None else _message_rows, whole=3, empty="This run has no model calls."
    )


def _call_rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    several = frame["agent"].n_unique() > 1
    return [
        {
            "step": row["step_number"],
            **({"agent": row["agent"]} if several else {}),
            "messages": row["n_messages"],
            "tokens": row["tokens"],
            "told by": row["tokens_from"],
            "added": row["added_tokens"],
            "dropped": row["dropped_tokens"],
            "broke at": row["broke_at"],
            "prefix": row["prefix_kept_tokens"],
            "cached": row["cache_read_tokens"],
            "user": row["user_tokens"],
            "assistant": row["assistant_tokens"],
            "tools": row["tool_result_tokens"],
            "unrecorded": row["unrecorded_tokens"],
        }
        for row in frame.iter_rows(named=True)
    ]


def _message_rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    names = ("position", "kind", "change", "tokens", "step_number", "name")
    rows = ({**{name: row[name] for name in names}, "text": row["text"]} for row in frame.iter_rows(named=True))
    return [{**row, "text": _short(row["text"])} for row in rows]


def _short(text: str | None) -> str | None:
    return text if text is None or len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
