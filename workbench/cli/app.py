"""The app, its global options, and how it ends."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from itertools import takewhile
from typing import Annotated

import typer

from .. import __version__
from ..errors import ConfigurationError, WorkbenchError
from . import bring, causes, costs, database, explain, find, give, ledger, look, records, secrets, travel
from .shell import Shell, clean
from .words import in_shell

_GLOBAL_FLAGS = ("--json",)
_GLOBAL_VALUES = ("--home", "--url")

_INTERRUPTED = 130  # 128 + SIGINT, as a shell has it

# One class up from typer's own: also what an unknown verb or a missing argument raises.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="workbench",
    help="The notebook-native debugger for AI agents: your runs, in your Postgres, in your kernel.",
    epilog="--json, --home and --url may also stand after the verb. WORKBENCH_TRACEBACK=1 shows where an error arose.",
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


for part in (bring, give, look, find, explain, travel, causes, ledger, costs, secrets, records, database):
    part.add_to(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the ``workbench`` command; ends the process with its exit code."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


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


def run(arguments: Sequence[str]) -> int:
    """Do what the arguments say and return the exit code."""
    given = hoisted(arguments)
    as_json = "--json" in takewhile(lambda argument: argument != "--", given)
    try:
        code = app(given, prog_name="workbench", standalone_mode=False)
        sys.stdout.flush()
        # typer makes an exit code of Ctrl+C, and says nothing.
        return _stopped(as_json) if code == _INTERRUPTED else code if isinstance(code, int) else 0
    except UsageError as wrong:
        return _usage(wrong, as_json)
    except ConfigurationError as wrong:
        return _complain(wrong, as_json, code=2)
    except WorkbenchError as failed:
        return _stopped(as_json) if getattr(failed, "is_cancelled", False) else _complain(failed, as_json)
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
        return _stopped(as_json)
    except typer.Abort as ended:  # what typer makes of an EOFError; without a cause, a question broken off
        return _unexpected(ended.__cause__, given, as_json) if ended.__cause__ else _stopped(as_json)
    except BaseException as failed:  # noqa: BLE001 (a panic in polars is no Exception)
        return _unexpected(failed, given, as_json)


def _let_go() -> int:
    """Drop what is still to be written: Python would complain once more when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _usage(wrong: Exception, as_json: bool) -> int:
    context = getattr(wrong, "ctx", None)
    if type(wrong).__name__ == "NoArgsIsHelpError":
        print(context.get_help() if context else wrong)
        return 2
    text: str = wrong.format_message()  # pyright: ignore[reportAttributeAccessIssue]
    text += "" if text.endswith((".", "?")) else "."
    verb = context.command_path if context else "workbench"
    return _complain(ConfigurationError(f"{text} See: {verb} --help"), as_json, code=2, kind="UsageError")


def _stopped(as_json: bool) -> int:
    return _complain(KeyboardInterrupt("Stopped."), as_json, code=_INTERRUPTED)


def _unexpected(failed: BaseException, given: Sequence[str], as_json: bool) -> int:
    kind = type(failed).__name__
    said = f"{_verb(given)} failed unexpectedly: {kind}: {failed}".rstrip(": .")
    return _complain(failed, as_json, message=f"{said}. WORKBENCH_TRACEBACK=1 shows where.")


def _verb(given: Sequence[str]) -> str:
    rest = iter(given)
    for argument in rest:
        if argument in _GLOBAL_VALUES:
            next(rest, None)
        elif not argument.startswith("-"):
            return argument
    return "workbench"


def _complain(
    problem: BaseException, as_json: bool, *, code: int = 1, kind: str | None = None, message: str | None = None
) -> int:
    """Say what is wrong on stderr: our own errors with their values, a stranger's in a ``message`` of ours."""
    said = in_shell(str(problem)) if message is None else message
    trace = traceback.format_exception(problem) if os.environ.get("WORKBENCH_TRACEBACK") else []
    if as_json:
        import orjson

        given = vars(problem) if message is None else {}
        values = {name: value for name, value in given.items() if name != "message" and not name.startswith("_")}
        error = {"type": kind or type(problem).__name__, "message": said, **values}
        error |= {"traceback": "".join(trace)} if trace else {}
        print(orjson.dumps({"error": error}, default=str).decode(), file=sys.stderr)
    else:
        # In one line, a mark below a place marks nothing.
        one_line = " ".join(line for line in said.splitlines() if line.strip() != "^")
        lines = [*"".join(trace).splitlines(), f"workbench: {one_line}"]
        print(*map(clean, lines), sep="\n", file=sys.stderr)
    return code
