"""Verbs that give runs away: export, bundle, to-pytest."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import ConfigurationError
from .look import given
from .shell import Shell, clean


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    for verb in (export, bundle, to_pytest):
        app.command()(verb)


def export(
    ctx: typer.Context,
    run: Annotated[str, typer.Argument(help="Id of a run, or its first characters.", metavar="RUN")],
    format: Annotated[str, typer.Option(help="What to write: original, atif, …")] = "original",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write; without it, stdout.", metavar="FILE")
    ] = None,
    version: Annotated[str | None, typer.Option(help="Of the format: 1.7 or 1.8 of ATIF.")] = None,
    import_id: Annotated[
        str | None, typer.Option("--import", help="Of several originals, the one of this import.", metavar="ID")
    ] = None,
    redact: Annotated[
        bool | None, typer.Option("--redact/--no-redact", help="Leave out secrets; an original has them all.")
    ] = None,
) -> None:
    """Write one run as a file that other tools read.

    Without --output the file's bytes go to stdout; with it the path does, or with --json {"output", "size_bytes"}.
    """
    shell: Shell = ctx.obj
    if shell.json and output is None:
        raise ConfigurationError("--json says where the file is: name it with --output FILE.")
    with shell.bench() as bench:
        found = bench.export(run, output, format=format, **given(version=version, import_id=import_id, redact=redact))
    if isinstance(found, bytes):
        sys.stdout.buffer.write(found)
        sys.stdout.flush()
    elif shell.json:
        shell.dump({"output": str(found), "size_bytes": found.stat().st_size})
    else:
        print(found)


def bundle(
    ctx: typer.Context,
    run: Annotated[str, typer.Argument(help="Id of a run, or its first characters.", metavar="RUN")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The zip to write.", metavar="FILE")] = None,
    preview: Annotated[bool, typer.Option("--preview", help="Say what it would tell, and write nothing.")] = False,
    originals: Annotated[bool, typer.Option("--originals", help="Leave passwords, tokens and keys in.")] = False,
) -> None:
    """Write one run as one file to hand on, without secrets; another workbench reads it with: workbench ingest FILE."""
    shell: Shell = ctx.obj
    if output is None and not preview:
        raise ConfigurationError("Name the file to write: --output run.zip; or look first at what it tells: --preview.")
    with shell.bench() as bench:
        found = bench.export_bundle(run, output, originals=originals, preview=preview)
    if not isinstance(found, Path):
        return shell.dump(found.as_dict()) if shell.json else print("\n".join(map(clean, str(found).splitlines())))
    if shell.json:
        return shell.dump({"output": str(found), "size_bytes": found.stat().st_size})
    return print(found)


def to_pytest(
    ctx: typer.Context,
    run: Annotated[str, typer.Argument(help="Id of a run, or its first characters.", metavar="RUN")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The Python file: tests/test_x.py.", metavar="FILE")],
    agent: Annotated[
        str | None, typer.Option(help="What is tested: my_package.agents:plan. Else a marked place is left for it.")
    ] = None,
    step: Annotated[int | None, typer.Option(min=0, help="Begin with the state after this step.")] = None,
    redact: Annotated[bool, typer.Option("--redact/--no-redact", help="Leave out secrets.")] = True,
) -> None:
    """Write a run as a pytest file: it passes on the recorded agent, and fails on a changed one.

    The file holds what tools and models answered; what is large goes to a JSON file beside it. Run it with pytest: it
    needs no database and no network.
    """
    shell: Shell = ctx.obj
    with shell.bench() as bench:
        found = bench.to_pytest(run, output, agent=agent, step=step, redact=redact)
    if shell.json:
        return shell.dump({"output": str(found), "size_bytes": found.stat().st_size})
    return print(found)
