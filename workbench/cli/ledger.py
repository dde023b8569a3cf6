"""Verbs about what was ingested: imports, quarantine, retry, undo."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .look import Limit, Since, Until, Where, given
from .shell import Shell, clean, moment, print_table, short_ids
from .words import in_shell

if TYPE_CHECKING:
    import polars as pl

Import = Annotated[str, typer.Argument(help="Id of an import, or its first characters (4 or more).", metavar="ID")]
Format = Annotated[str | None, typer.Option(help="Only of this format, e.g. claude-code.")]

_NO_IMPORTS = "Nothing was ingested. Bring history in with: workbench ingest PATH…"


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    for verb in (imports, quarantine, retry, undo, deliver):
        app.command()(verb)


def imports(
    ctx: typer.Context,
    import_id: Annotated[
        str | None, typer.Argument(help="Show this one with its report; else list all.", metavar="ID")
    ] = None,
    format: Format = None,
    since: Since = None,
    until: Until = None,
    where: Where = None,
    limit: Limit = None,
) -> None:
    """List the files that were ingested, newest first, or show what became of one."""
    shell: Shell = ctx.obj
    filters = given(format=format, since=since, until=until, where=where, limit=limit)
    with shell.bench() as bench:
        if import_id is not None:
            return _one(shell, bench.import_report(import_id))
        frame = bench.imports(**filters)
    return shell.frame(frame, rows=_import_rows, whole=2, empty=_NO_IMPORTS, documents=("report",))


def _one(shell: Shell, report: Any) -> None:
    fidelity = report.fidelity.drop("file")
    if shell.json:
        return shell.dump(report.as_dict() | {"fidelity": fidelity.to_dicts()})
    print("\n".join(map(clean, str(report).splitlines())))
    print_table(fidelity.columns, fidelity.rows(), whole=1)
    return None


def _import_rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    ids = short_ids(frame["id"].to_list())
    return [
        {
            "id": ids[n], "format": row["format"], "when": moment(row["created_at"]), "runs": row["n_runs"],
            "events": row["n_events"], "bad": row["n_bad"], "kept": row["has_original"], "file": row["path"],
        }
        for n, row in enumerate(frame.iter_rows(named=True))
    ]  # fmt: skip


def quarantine(
    ctx: typer.Context,
    format: Format = None,
    all: Annotated[bool, typer.Option("--all", help="Also what could be read since.")] = False,
    since: Since = None,
    until: Until = None,
    where: Where = None,
    limit: Limit = None,
) -> None:
    """List what could not be read: bad lines of ingested files, and files of which nothing could be read."""
    shell: Shell = ctx.obj
    filters = given(format=format, since=since, until=until, where=where, limit=limit)
    with shell.bench() as bench:
        frame = bench.quarantine(**({"is_solved": None} if all else {}), **filters)
    shell.frame(frame, rows=_bad_rows, whole=2, empty="Nothing is in the quarantine.", documents=())


def _bad_rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    ids = short_ids(frame["id"].to_list())
    return [
        {
            "id": ids[n],
            "where": row["path"] if row["line"] is None else f"{row['path']}:{row['line']}",
            "reason": row["reason"],
            "text": (row["text"] or "")[:80],
        }
        for n, row in enumerate(frame.iter_rows(named=True))
    ]


def deliver(ctx: typer.Context) -> None:
    """Bring what killed or cut off agents captured into the database; exit 1 when some of it was refused."""
    from ..data.store import schema
    from ..replay.capture.delivery import delivery_of

    shell: Shell = ctx.obj
    # Not by connect(), which would deliver before anybody could count.
    with shell.store() as store:
        schema.ensure(store)
        told = delivery_of(store).deliver_left()
    if shell.json:
        shell.dump(told.as_dict())
    else:
        print(told if told.n_spools else "Nothing waits.")
    if told.n_refused:
        shell.say(f"{told.n_refused} records were refused and put aside; the log says why and where.")
        raise typer.Exit(1)


def retry(
    ctx: typer.Context,
    which: Annotated[
        str | None,
        typer.Argument(help="Id of an import or of a row of the quarantine; else all that is in it.", metavar="ID"),
    ] = None,
) -> None:
    """Read what is in the quarantine again; exit 1 when a file failed again."""
    shell: Shell = ctx.obj
    with shell.bench() as bench:
        found = bench.retry(which)
    if shell.json:
        shell.dump(found.as_dict())
    elif found.files:
        rows = [(f.path, f.outcome, f.new.events, f.n_bad) for f in found.files]
        print_table(("file", "outcome", "new events", "still bad"), rows)
    else:
        shell.say("Nothing is in the quarantine.")
    for file in found.files:
        if file.outcome == "failed":
            why = file.error or "; ".join(bad.reason for bad in file.bad[:1])
            shell.say(f"{file.path}: {in_shell(why)}")
    if any(file.outcome == "failed" for file in found.files):
        raise typer.Exit(1)


def undo(
    ctx: typer.Context,
    import_id: Import,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask. Without a terminal nothing is asked.")] = False,
) -> None:
    """Take an import back, as if its file had never been ingested; runs that other files hold too are built anew."""
    shell: Shell = ctx.obj
    with shell.bench() as bench:
        if not dry_run and not yes and sys.stdin.isatty():
            for line in str(bench.undo(import_id, dry_run=True)).splitlines():
                shell.say(line)
            if not typer.confirm("Go on?", err=True):
                shell.say("Nothing was changed.")
                raise typer.Exit(1)
        done = bench.undo(import_id, dry_run=dry_run)
    if shell.json:
        return shell.dump(done.as_dict())
    print("\n".join(map(clean, str(done).splitlines())))
    return None
