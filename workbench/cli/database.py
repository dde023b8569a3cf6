"""Verbs about the database itself: ``db …`` and ``doctor``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from .shell import Shell, clean, print_table

Revision = Annotated[
    str, typer.Argument(help="Revision, 'head', 'base', or steps such as +1 and -1.", metavar="REVISION")
]

db = typer.Typer(help="Versions of the database schema.", no_args_is_help=True, rich_markup_mode=None)


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    app.add_typer(db, name="db")
    app.command()(doctor)


@db.command()
def upgrade(ctx: typer.Context, revision: Revision = "head") -> None:
    """Bring the schema up to a revision."""
    from ..data.store import schema

    with ctx.obj.store() as store:
        _tell(ctx.obj, schema.upgrade(store, revision))


@db.command()
def downgrade(
    ctx: typer.Context,
    revision: Revision,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask. Without a terminal nothing is asked.")] = False,
) -> None:
    """Take the schema back to a revision; 'base' removes all tables and what is in them."""
    from ..data.store import schema

    with ctx.obj.store() as store:
        if not yes and sys.stdin.isatty():
            lost = "all tables" if revision == "base" else "what later revisions brought"
            if not typer.confirm(f"Remove {lost}, with the data, from {store}?", err=True):
                ctx.obj.say("Nothing was changed.")
                raise typer.Exit(1)
        _tell(ctx.obj, schema.downgrade(store, revision))


@db.command()
def current(ctx: typer.Context) -> None:
    """Print the schema's revision."""
    from ..data.store import schema

    with ctx.obj.store() as store:
        _tell(ctx.obj, schema.current(store))


def _tell(shell: Shell, revision: str | None) -> None:
    if shell.json:
        shell.dump({"revision": revision})
    else:
        print(revision or "base (no tables)")


@db.command()
def history(ctx: typer.Context) -> None:
    """List the revisions, newest first."""
    from ..data.store import schema

    shell: Shell = ctx.obj
    with shell.store() as store:
        revisions = schema.history(store)
    if shell.json:
        shell.dump(revisions)
    else:
        rows = [("→" if r["is_current"] else "", r["revision"], r["doc"]) for r in revisions]
        print_table(("", "revision", "what it brought"), rows, whole=2)


@db.command()
def check(ctx: typer.Context) -> None:
    """Compare the database with what this version expects; exit 1 when they differ."""
    from ..data.store import schema

    shell: Shell = ctx.obj
    with shell.store() as store:
        differences = schema.check(store)
    if shell.json:
        shell.dump({"ok": not differences, "differences": differences})
    else:
        print("\n".join(map(clean, differences)) or "The schema is as this version expects it.")
    if differences:
        raise typer.Exit(1)


def doctor(ctx: typer.Context) -> None:
    """Say what works and what does not, with the reason and what to do; exit 1 when something does not."""
    shell: Shell = ctx.obj
    with shell.bench() as bench:
        found = bench.health()
    if shell.json:
        shell.dump(found.to_dict())
    else:
        print("\n".join(map(clean, str(found).splitlines())))
    if not found.ok:
        raise typer.Exit(1)
