"""Verbs that go back in a run: fork, rollback, branches, notes; and prune, which lets go of its states."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigurationError
from .look import Run
from .shell import Shell, moment, short_ids

if TYPE_CHECKING:
    import polars as pl

Step = Annotated[int, typer.Argument(min=0, help="Number of a step.", metavar="STEP")]


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    for verb in (fork, rollback, branches, notes, note, prune):
        app.command()(verb)


def fork(
    ctx: typer.Context,
    run: Run,
    step: Step,
    state: Annotated[
        Path | None, typer.Option(help="JSON file of the state to begin with; '-' reads it from stdin.", metavar="FILE")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What to call the branch.")] = None,
) -> None:
    """Make a branch that goes on from a step, and print its id; the run itself is never changed."""
    shell: Shell = ctx.obj
    edited = {} if state is None else {"state": _document(state)}
    with shell.bench() as bench:
        made = str(bench.fork(run, step, name=name, **edited))
    if shell.json:
        return shell.dump({"id": made, "forked_at_step": step})
    return print(made)


def rollback(
    ctx: typer.Context,
    run: Run,
    step: Step,
    reason: Annotated[str | None, typer.Option(help="Why, kept with the move.")] = None,
) -> None:
    """Return to a step: a branch from there becomes the head. What came after stays where it is."""
    shell: Shell = ctx.obj
    with shell.bench() as bench:
        head = str(bench.rollback(run, step, reason=reason))
    if shell.json:
        return shell.dump({"id": head})
    return print(head)


def branches(ctx: typer.Context, run: Run) -> None:
    """List the run that all was forked from and every branch of it."""
    shell: Shell = ctx.obj
    with shell.bench() as bench:
        frame = bench.branches(run)
    shell.frame(frame, rows=_branch_rows, whole=1)


def _branch_rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    ids = short_ids(frame["id"].to_list())
    return [
        {
            "id": "  " * row["depth"] + own,
            "status": row["status"],
            "forked at": row["forked_at_step"],
            "last step": row["last_step"],
            "head": "head" if row["is_head"] else "was head" if row["was_head"] else "",
            "name": row["name"] or "",
        }
        for own, row in zip(ids, frame.iter_rows(named=True), strict=True)
    ]


def notes(ctx: typer.Context, run: Run) -> None:
    """List the notes, pins and checkpoints on the steps of a run."""
    shell: Shell = ctx.obj
    with shell.bench() as bench:
        frame = bench.notes(run)
    shell.frame(
        frame, rows=_note_rows, empty="Nothing is noted on this run. Write one with: workbench note RUN STEP TEXT"
    )


def _note_rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            "step": row["step_number"],
            "kind": row["kind"],
            "text": row["text"],
            "author": row["author"] or "",
            "time": moment(row["created_at"]),
        }
        for row in frame.iter_rows(named=True)
    ]


def note(
    ctx: typer.Context,
    run: Run,
    step: Step,
    text: Annotated[str, typer.Argument(help="What to write; of a checkpoint, its name.", metavar="[TEXT]")] = "",
    pin: Annotated[bool, typer.Option("--pin", help="Mark the step; needs no text.")] = False,
    checkpoint: Annotated[bool, typer.Option("--checkpoint", help="Name the step, to return to it.")] = False,
    author: Annotated[str | None, typer.Option(help="Who says so.")] = None,
) -> None:
    """Write a note on a step, pin it, or make it a named checkpoint; print the note's id."""
    shell: Shell = ctx.obj
    if pin and checkpoint:
        raise ConfigurationError("--pin and --checkpoint exclude each other: a mark, or a name to return to.")
    kind = "pin" if pin else "checkpoint" if checkpoint else "note"
    with shell.bench() as bench:
        made = str(bench.note(run, step, text=text, kind=kind, author=author))
    if shell.json:
        return shell.dump({"id": made})
    return print(made)


def prune(
    ctx: typer.Context,
    runs: Annotated[list[str], typer.Argument(help="Ids of runs, or the first characters of them.", metavar="RUN...")],
    every: Annotated[int | None, typer.Option(min=2, help="Keep the first state in each N steps.", metavar="N")] = None,
    last: Annotated[int | None, typer.Option(min=1, help="Keep the last N states of each run.", metavar="N")] = None,
    before: Annotated[
        int | None, typer.Option(min=1, help="Only states of steps before this one go.", metavar="STEP")
    ] = None,
    checkpoints: Annotated[
        bool, typer.Option(help="Keep the checkpoints that the agent made; LangGraph makes one after each step.")
    ] = True,
    abandoned: Annotated[
        bool, typer.Option("--abandoned", help="What a rollback left behind, in all branches, and nothing else.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and change nothing.")] = False,
) -> None:
    """Leave out stored states. Events, checkpoints, noted steps, forks and the last state of a run always stay."""
    shell: Shell = ctx.obj
    with shell.bench() as bench:
        rule = {"every": every, "last": last, "before": before, "checkpoints": checkpoints, "abandoned": abandoned}
        done = bench.prune(runs, **rule, dry_run=dry_run)
    if shell.json:
        return shell.dump(done.as_dict())
    return print(done)


def _document(file: Path) -> Any:
    import orjson

    try:
        return orjson.loads(sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"--state: {file} cannot be read: {error.strerror}.", path=str(file)) from error
    except orjson.JSONDecodeError as error:
        raise ConfigurationError(f"--state: {file} is no JSON: {error}.", path=str(file)) from error
