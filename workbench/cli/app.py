"""The app, its global options, and how it ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from .. import __version__
from ..errors import ConfigurationError, WorkbenchError
from . import bring, database, look, records
from .shell import Shell, clean

_GLOBAL_FLAGS = ("--json",)
_GLOBAL_VALUES = ("--home", "--url")

# One class up from typer's own: also what an unknown verb or a missing argument raises.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="workbench",
    help="The notebook-native debugger for AI agents: your runs, in your Postgres, in your kernel.",
    epilog="--json, --home and --url may also stand after the verb.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"workbench {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    ctx: typer.Context,
    home: Annotated[str | None, typer.Option(help="Folder of the embedded server's data.", metavar="DIR")] = None,
    url: Annotated[str | None, typer.Option(help="Any Postgres: postgresql://…", metavar="URL")] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    ctx.obj = Shell(home=home, url=url, json=json)


for part in (bring, look, records, database):
    part.add_to(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the ``workbench`` command; ends the process with its exit code."""
    given = hoisted(sys.argv[1:] if arguments is None else arguments)
    sys.exit(run(given, as_json="--json" in given))


def hoisted(arguments: Sequence[str]) -> list[str]:
    """The same arguments, global options first; what follows ``--`` is left alone."""
    front, rest = [], []
    waiting = iter(arguments)
    for argument in waiting:
        if argument == "--":
            rest += [argument, *waiting]
        elif argument in _GLOBAL_FLAGS or argument.startswith(tuple(f"{name}=" for name in _GLOBAL_VALUES)):
            front.append(argument)
        elif argument in _GLOBAL_VALUES:
            front += [argument, *([value] if (value := next(waiting, None)) is not None else [])]
        else:
            rest.append(argument)
    return [*front, *rest]


def run(arguments: Sequence[str], *, as_json: bool = False) -> int:
    """Do what the arguments say and return the exit code."""
    try:
        code = app(list(arguments), prog_name="workbench", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except UsageError as wrong:
        return _usage(wrong, as_json)
    except ConfigurationError as wrong:
        return _complain(wrong, as_json, code=2)
    except WorkbenchError as failed:
        return _complain(failed, as_json)
    except typer.Abort:
        return _complain(KeyboardInterrupt("Stopped."), as_json)
    except SystemExit as ended:
        # typer ends so when the reader has gone (`| head`), who has what he wanted.
        if isinstance(ended.__context__, BrokenPipeError):
            return _let_go()
        raise
    except BrokenPipeError:
        return _let_go()
    except OSError as failed:
        return _complain(failed, as_json)
    except KeyboardInterrupt:
        _complain(KeyboardInterrupt("Stopped."), as_json)
        return 130


def _let_go() -> int:
    """Drop what is still to be written: Python would complain once more when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _usage(wrong: Exception, as_json: bool) -> int:
    context = getattr(wrong, "ctx", None)
    if type(wrong).__name__ == "NoArgsIsHelpError":
        print(context.get_help() if context else wrong)
        return 2
    text = wrong.format_message()  # pyright: ignore[reportAttributeAccessIssue]
    verb = context.command_path if context else "workbench"
    return _complain(ConfigurationError(f"{text} See: {verb} --help"), as_json, code=2, kind="UsageError")


def _complain(problem: BaseException, as_json: bool, *, code: int = 1, kind: str | None = None) -> int:
    if as_json:
        import orjson

        values = {
            name: value for name, value in vars(problem).items() if name != "message" and not name.startswith("_")
        }
        error = {"type": kind or type(problem).__name__, "message": str(problem), **values}
        print(orjson.dumps({"error": error}, default=str).decode(), file=sys.stderr)
    else:
        print(f"workbench: {clean(str(problem))}", file=sys.stderr)
    return code
