"""``tasks …`` and ``environments …``: list, get, create, update, delete; environments also activate and deactivate."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ..errors import ConfigurationError, NotFoundError
from .shell import Shell

Id = Annotated[str, typer.Argument(help="Id of the record.", metavar="ID")]
Limit = Annotated[int | None, typer.Option(min=1, help="At most so many rows.")]
Fields = Annotated[list[str], typer.Argument(help="NAME=VALUE; a value may be JSON.", metavar="NAME=VALUE")]

tasks = typer.Typer(help="Tasks that agents try.", rich_markup_mode=None)
environments = typer.Typer(help="Named settings of agents; at most one per user is active.", rich_markup_mode=None)


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    app.add_typer(tasks, name="tasks")
    app.add_typer(environments, name="environments")
    environments.command()(activate)
    environments.command()(deactivate)


def activate(ctx: typer.Context, id: Id) -> None:
    """Make an environment the one in use."""
    with ctx.obj.bench() as bench:
        ctx.obj.record(bench.records.environments.activate(id).model_dump(mode="json"))


def deactivate(ctx: typer.Context, id: Id) -> None:
    """Take an environment out of use."""
    with ctx.obj.bench() as bench:
        ctx.obj.record(bench.records.environments.deactivate(id).model_dump(mode="json"))


def _verbs(group: typer.Typer, noun: str, table: list[str]) -> None:
    """Give a group the verbs every kind of record has."""
    a = "an" if noun[0] in "aeiou" else "a"

    @group.callback(invoke_without_command=True)
    def _list(ctx: typer.Context, limit: Limit = None) -> None:
        if ctx.invoked_subcommand is None:
            listed(ctx, limit)

    @group.command("list", help=f"List {noun}s, newest first.")
    def listed(ctx: typer.Context, limit: Limit = None) -> None:
        shell: Shell = ctx.obj
        with shell.bench() as bench:
            frame = getattr(bench, f"{noun}s")(**({"limit": limit} if limit else {}))
            shell.frame(frame, rows=lambda found: found.select(table).to_dicts(), empty=f"No {noun}s.")

    @group.command(help=f"Show one {noun}.")
    def get(ctx: typer.Context, id: Id) -> None:
        with ctx.obj.bench() as bench:
            ctx.obj.record(_room(bench, noun).get(id).model_dump(mode="json"))

    @group.command(help=f"Create {a} {noun}.")
    def create(ctx: typer.Context, fields: Fields) -> None:
        with ctx.obj.bench() as bench:
            ctx.obj.record(_room(bench, noun).create(**_values(fields)).model_dump(mode="json"))

    @group.command(help=f"Change fields of {a} {noun}.")
    def update(
        ctx: typer.Context,
        id: Id,
        fields: Fields,
        row_version: Annotated[int | None, typer.Option(help="Fail unless the record still has this version.")] = None,
    ) -> None:
        with ctx.obj.bench() as bench:
            room = _room(bench, noun)
            version = row_version or room.get(id).row_version
            ctx.obj.record(room.update(id, row_version=version, **_values(fields)).model_dump(mode="json"))

    @group.command(help=f"Delete {a} {noun}.")
    def delete(ctx: typer.Context, id: Id) -> None:
        with ctx.obj.bench() as bench:
            if not _room(bench, noun).delete(id):
                raise NotFoundError(f"No {noun} {id!r}. List them with: workbench {noun}s")
        ctx.obj.say(f"Deleted {noun} {id}.")


def _room(bench: Any, noun: str) -> Any:
    return getattr(bench.records, f"{noun}s")


def _values(fields: list[str]) -> dict[str, Any]:
    import orjson

    values = {}
    for field in fields:
        name, sign, text = field.partition("=")
        if not sign:
            raise ConfigurationError(f"A field is {field!r}; it must be NAME=VALUE.")
        try:
            values[name] = orjson.loads(text)
        except orjson.JSONDecodeError:
            values[name] = text
    return values


_verbs(tasks, "task", ["id", "title", "status", "priority", "source"])
_verbs(environments, "environment", ["id", "name", "is_active", "schema_version"])
