"""Verbs that bring runs in and show them: ingest, report, demo, lab."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigurationError, MissingExtraError, WorkbenchError
from .look import given
from .shell import Shell, clean, print_table
from .words import in_shell

if TYPE_CHECKING:
    from ..data.ingest import FileReport, IngestReport


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    for verb in (ingest, watch, formats, report, demo, lab):
        app.command()(verb)


def ingest(
    ctx: typer.Context,
    # Text, not Path: a Path would make one slash of the two in postgresql://.
    paths: Annotated[
        list[str], typer.Argument(help="Files and folders of agent history; or postgresql://…", metavar="PATH")
    ],
    format: Annotated[str | None, typer.Option(help="Read as this format instead of detecting it.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="What a column of a table holds; may be given again.", metavar="FIELD=COLUMN"),
    ] = None,
    columns: Annotated[Path | None, typer.Option(help="A JSON file {field: column} with them.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
    originals: Annotated[
        bool, typer.Option("--originals/--no-originals", help="Keep the files themselves too, compressed.")
    ] = True,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that read files at once; else as many as it pays for.")
    ] = None,
) -> None:
    """Read agent history into the database; reading a file twice adds nothing.

    A line that cannot be read is named with its number, and the rest of its file is stored: exit code 0, and with
    --json "ok": true and its count in "n_bad". Exit code 1 and "ok": false where nothing of a file could be read (it is
    damaged, or in no known format; in a folder, what is no agent history is passed over), where a path does not exist,
    and where no agent history was found. With --json stdout holds "files" and "totals" in each of these cases.

    A table (CSV, TSV, JSON lines, Parquet) is read by naming its columns: --column run=session --column text=message.
    The fields are run, id, time, role, text, tool, arguments, result, error, model, input_tokens, cost_usd and more: a
    wrong one is an error that lists them all. A column may be a dotted path into nested JSON.
    """
    shell: Shell = ctx.obj
    named = _columns(column or [], columns)
    with shell.bench() as bench:
        try:
            found = bench.ingest(
                paths,
                format=format,
                columns=named,
                progress=sys.stderr.isatty() and not quiet,
                keep_originals=originals,
                workers=workers,
            )
        except WorkbenchError as failed:
            so_far = vars(failed).pop("report", None)
            if shell.json and so_far is not None:
                shell.dump(_as_dict(so_far))
            raise
    if shell.json:
        shell.dump(_as_dict(found))
    elif found.files:
        rows = [(f.path, f.format, f.outcome, f.executions, f.events, f.snapshots, f.n_bad) for f in found.files]
        print_table(("file", "format", "outcome", "runs", "events", "states", "bad"), rows)
        print(_summed(found))
    for file in found.files:
        if file.error:
            shell.say(f"{file.path}: {in_shell(file.error)}")
        for bad in file.bad[:20]:
            where = file.path if bad.line is None else f"{file.path}:{bad.line}"
            shell.say(f"{where}: {bad.reason}")
        if file.n_bad > 20:
            shell.say(f"{file.path}: {file.n_bad} bad lines in all; --json lists the first 1,000.")
    for skipped in found.skipped[:20]:
        shell.say(f"{skipped.path}: passed over: {in_shell(skipped.reason)}")
    if len(found.skipped) > 20:
        shell.say(f"{len(found.skipped):,} files passed over in all; --json lists them.")
    if not found.files:
        shell.say("No agent history in these paths.")
    if not found.ok:
        raise typer.Exit(1)


def _columns(pairs: list[str], file: Path | None) -> dict[str, str] | None:
    """The columns that a mapping file and single options name; an option counts more."""
    import json

    found: dict[str, str] = {}
    if file is not None:
        try:
            found = json.loads(file.read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"--columns {file} cannot be read as JSON: {error}.") from error
        if not isinstance(found, dict):
            raise ConfigurationError(f'--columns {file} holds no JSON object {{"field": "column"}}.')
    for pair in pairs:
        field, sign, name = pair.partition("=")
        if not sign:
            raise ConfigurationError(
                f"--column {pair} has no =; write --column FIELD=COLUMN, as in --column text=message."
            )
        found[field] = name
    return found or None


def formats(ctx: typer.Context) -> None:
    """List the formats that ingest reads: name, title and where each comes from.

    Installed packages may add formats (entry points of the group workbench.readers). One that is broken is listed with
    the reason, and costs the others nothing.
    """
    from ..data.ingest import known_formats

    shell: Shell = ctx.obj
    found = known_formats()
    if shell.json:
        shell.dump([each.as_dict() for each in found])
        return
    print_table(("format", "title", "from"), [(each.name, each.title or "broken", each.origin) for each in found])
    for each in found:
        if each.error is not None:
            shell.say(f"{each.name}: {each.error}")


def watch(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Folder of agent history that grows.", metavar="FOLDER")],
    once: Annotated[bool, typer.Option("--once", help="Import what is there now, and stop.")] = False,
    poll: Annotated[
        bool, typer.Option("--poll", help="Look again and again, where the file system tells of no events.")
    ] = False,
    originals: Annotated[bool, typer.Option(help="Keep the files themselves too, compressed.")] = True,
) -> None:
    """Keep importing the files of a folder as they grow, until Ctrl+C; one line for each change.

    With --json one JSON object a line. A last line that is still being written is left to the next time; it is bad when
    nothing more comes for ten seconds. Exit code 1 where a file failed.
    """
    shell: Shell = ctx.obj
    has_failed = False
    with shell.bench() as bench:
        watching = bench.watch(folder, once=once, force_polling=poll, keep_originals=originals, on_notice=shell.say)
        if not once:
            shell.say(f"Watching {folder}. Stop with Ctrl+C.")
        try:
            for report in watching:
                has_failed |= not report.ok
                for file in report.files:
                    _tell(shell, file)
        except KeyboardInterrupt:
            watching.close()
    if has_failed:
        raise typer.Exit(1)


def _tell(shell: Shell, file: FileReport) -> None:
    """One line about a file that changed."""
    if shell.json:
        import orjson

        print(orjson.dumps(file.as_dict(), default=str).decode(), flush=True)
        return
    new = f"+{file.new.events:,} events" if file.new.events else f"{file.updated:,} updated"
    said = f"failed: {in_shell(file.error)}" if file.error else f"{file.outcome}: {new}"
    bad = f" · {_several(file.n_bad, 'line')} could not be read" if file.n_bad else ""
    print(clean(f"{file.path} [{file.format or '?'}] {said}{bad}"), flush=True)


def _as_dict(found: IngestReport) -> dict[str, Any]:
    report = found.as_dict()
    for file in report["files"]:
        file["error"] = file["error"] and in_shell(file["error"])
    return report


def _summed(found: IngestReport) -> str:
    n_failed = sum(file.outcome == "failed" for file in found.files)
    parts = [f"{_several(len(found.files), 'file')}: {found.totals}"]
    parts += [f"{_several(found.n_bad, 'line')} could not be read"] if found.n_bad else []
    parts += [f"{_several(n_failed, 'file')} failed"] if n_failed else []
    parts += [f"{len(found.skipped):,} passed over"] if found.skipped else []
    return " · ".join(parts)


def _several(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def report(
    ctx: typer.Context,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The HTML file to write, in a folder that exists.", metavar="FILE")
    ],
    run: Annotated[
        str | None, typer.Argument(help="Id of a run, or its first characters; without it, all runs.", metavar="RUN")
    ] = None,
    template: Annotated[str | None, typer.Option(help="execution_report, cohort_report, or your own notebook.")] = None,
    title: Annotated[str | None, typer.Option(help="Heading of the page.")] = None,
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", help="A parameter of the template: NAME=VALUE.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="Only runs from then on (cohort): 7d, 24h, or a date.")] = None,
    originals: Annotated[bool, typer.Option("--originals", help="Leave passwords, tokens and keys in.")] = False,
) -> None:
    """Write one HTML file about a run, or about all runs; it works with the network off."""
    shell: Shell = ctx.obj
    named = dict(_parameter(text) for text in parameter or ())
    with shell.bench() as bench:
        path = bench.report(
            run, output=output, redact=not originals, **given(template=template, title=title, since=since), **named
        )
    if shell.json:
        shell.dump({"output": str(path), "size_bytes": path.stat().st_size})
    else:
        print(path)


def _parameter(text: str) -> tuple[str, Any]:
    import orjson

    name, sign, value = text.partition("=")
    if not sign or not name.isidentifier():
        raise ConfigurationError(f"--parameter is {text!r}; it must be NAME=VALUE, e.g. since=7d.")
    try:
        return name, orjson.loads(value)
    except orjson.JSONDecodeError:
        return name, value


def demo(
    ctx: typer.Context,
    n: Annotated[int, typer.Option("-n", min=1, help="How many runs.")] = 200,
    seed: Annotated[int, typer.Option(help="The same seed gives the same requests and faults.")] = 2026,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the report; made when it is not there.", metavar="DIR")
    ] = Path("out"),
) -> None:
    """Let a small agent work, capture it, and write a report about its runs."""
    from .. import demo as shop

    shell: Shell = ctx.obj
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise ConfigurationError(
            f"--output is {str(output)!r}, which cannot be a folder: {problem.strerror}."
        ) from None
    with shell.bench() as bench:
        done = shop.run(bench, n=n, seed=seed, progress=sys.stderr.isatty())
        shell.say(f"{done}. Writing the report …")
        path = bench.report(output=output / "cohort_report.html", title="The demo's runs")
    if shell.json:
        return shell.dump({"n_runs": done.n_runs, "n_failed": done.n_failed, "report": str(path)})
    command = program() + (f" --home {shell.home}" if shell.home else f" --url {shell.url}" if shell.url else "")
    print(f"{done}.\n")
    print(f"Report      {path.resolve()}\n            open it in a browser; it needs no network and no kernel")
    print(f"Notebook    {command} lab\n            opens 00_start_here.ipynb on these runs")
    print(f"Shell       {command} executions --status failed")
    print(f"            {command} cohort --task 'Return from W1003 too late'")
    for line in own_history(command):
        print(line)
    return None


def program() -> str:
    """How this user calls the command: by name where it is on the path, else as it was called now."""
    if shutil.which("workbench"):
        return "workbench"
    called = Path(sys.argv[0])
    return f"{sys.executable} -m workbench" if called.name == "__main__.py" else os.path.relpath(called)


def own_history(command: str = "workbench") -> list[str]:
    """What to do with the agent history that lies in this user's home, one line for each kind found."""
    claude, codex = Path("~/.claude/projects"), Path("~/.codex/sessions")
    lines = []
    if claude.expanduser().is_dir():
        lines.append(f"Claude Code {command} ingest {claude}")
    if codex.expanduser().is_dir():
        lines.append(f"Codex       {command} ingest {codex}")
    return lines


def lab(
    ctx: typer.Context,
    folder: Annotated[
        Path | None, typer.Argument(help="Folder to open; else the example notebooks.", metavar="DIR")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser window.")] = True,
    port: Annotated[int | None, typer.Option(help="Port of the server; else the first free one from 8888 on.")] = None,
) -> None:
    """Open JupyterLab on the example notebooks."""
    shell: Shell = ctx.obj
    if importlib.util.find_spec("jupyterlab") is None:
        raise MissingExtraError("JupyterLab", "lab")
    where = folder or examples()
    start = ["--LabApp.default_url=/lab/tree/00_start_here.ipynb"] if (where / "00_start_here.ipynb").is_file() else []
    root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    extra = [*start, *root, *([] if browser else ["--no-browser"]), *([f"--ServerApp.port={port}"] if port else [])]
    environment = {
        "WORKBENCH_HOME": shell.home and str(Path(shell.home).resolve()),
        "WORKBENCH_DATABASE_URL": shell.url,
    }
    shell.say(f"Notebooks in {where}")
    done = subprocess.run(
        [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={where}", *extra],
        env={**os.environ, **given(**environment)},
        check=False,
    )
    raise typer.Exit(1 if done.returncode else 0)


def examples() -> Path:
    """The example notebooks: the checkout's own, or a copy in the current folder when installed from a wheel.

    A notebook that is there already is left alone: the user may have changed it.
    """
    from ..reports.run import EXAMPLES

    if EXAMPLES.name == "notebooks":
        return EXAMPLES
    target = Path.cwd() / "workbench-notebooks"
    target.mkdir(exist_ok=True)
    for notebook in sorted(EXAMPLES.glob("*.ipynb")):
        if not (target / notebook.name).exists():
            shutil.copy(notebook, target / notebook.name)
    return target
