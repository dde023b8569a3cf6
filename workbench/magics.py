"""``%load_ext workbench``: ``%wb`` and ``%%wbsql`` in a notebook.

``%wb timeline RUN`` and its like return what the API returns, frames and widgets, so a result can be kept:
``runs = %wb executions --status failed``. A run is an id, its first characters, or the name of a variable that holds
one. The workbench used is the variable ``bench``; without one, ``connect()`` opens it and names it so.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

from .errors import WorkbenchError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ._workbench import Workbench

# Filters a verb takes as `--name value`; each is a keyword of the method of that name.
_EXECUTIONS = ("status", "agent_type", "task", "source", "since", "until", "where", "limit")
_EVENTS = ("event_type", "severity", "category", "since", "until", "where", "limit")
OPTIONS: dict[str, tuple[str, ...]] = {
    "connect": ("home", "url"),
    "executions": _EXECUTIONS,
    "runs": _EXECUTIONS,
    "browse": _EXECUTIONS,
    "dashboard": _EXECUTIONS,
    "events": _EVENTS,
    "timeline": _EVENTS,
    "snapshots": ("limit",),
    "state": (),
    "compare": (),
    "diff": (),
    "ingest": ("format",),
    "report": ("output", "template", "title", "since"),
    "sql": ("limit",),
    "health": (),
    "close": (),
}
# Verbs whose words are runs, and how many of them.
RUNS = {"events": 1, "timeline": 1, "snapshots": 1, "state": 1, "compare": 2, "diff": 2, "report": 1}
_SHORT = {"-o": "--output"}


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Called by ``%load_ext workbench``."""
    magics = WorkbenchMagics(shell)
    shell.register_magics(magics)
    for name in ("%wb", "wb"):
        shell.set_hook("complete_command", magics.complete, str_key=name)


@magics_class
class WorkbenchMagics(Magics):
    """``%wb`` and ``%%wbsql``."""

    _ids: tuple[float, list[str]] = (0.0, [])

    @line_magic
    def wb(self, line: str) -> Any:
        """Ask the workbench.

        ::

            %wb connect [--home DIR | --url URL]      open one and name it `bench`
            %wb executions [--status failed …]        runs as a frame (also: runs)
            %wb browse [--since 7d …]                 the same as an ExecutionBrowser
            %wb dashboard [--since 7d …]              the same as a Dashboard
            %wb events RUN [--severity error …]       steps as a frame
            %wb timeline RUN                          steps as a Timeline
            %wb snapshots RUN                         states as a frame
            %wb state RUN STEP                        one state
            %wb diff A B                              two runs side by side (also: compare)
            %wb ingest PATH…                          read agent history
            %wb report [RUN] -o FILE                  one HTML file
            %wb sql SELECT …                          read-only SQL as a frame; see also %%wbsql
            %wb health                                what works and what does not
            %wb close
        """
        try:
            words = shlex.split(line)
        except ValueError as wrong:
            raise UsageError(f"%wb: {wrong}") from None
        if not words:
            raise UsageError(f"%wb needs a verb: {', '.join(OPTIONS)}. See: %wb?")
        verb, rest = words[0], words[1:]
        if verb not in OPTIONS:
            raise UsageError(f"%wb has no verb {verb!r}. It has: {', '.join(OPTIONS)}.")
        if verb == "sql":  # quotes belong to the SQL
            return self._answer(lambda: self._bench().sql(line.strip()[len("sql") :]))
        positional, options = self._options(verb, rest)
        method: Callable[..., Any] = getattr(self, f"_{verb}")
        return self._answer(lambda: method(*positional, **options))

    @magic_arguments()
    @argument("-o", "--output", metavar="NAME", help="Keep the frame under this name instead of showing it.")
    @argument("-n", "--limit", type=int, help="At most so many rows.")
    @argument("--duckdb", action="store_true", help="Ask DuckDB; every Polars frame of the notebook is a table.")
    @cell_magic
    def wbsql(self, line: str, cell: str) -> Any:
        """Read-only SQL over the workbench's tables, as a Polars frame."""
        options = parse_argstring(self.wbsql, line)
        if options.output and not options.output.isidentifier():
            raise UsageError(f"%%wbsql: -o {options.output!r} is not a Python name.")
        frame = self._answer(lambda: self._duckdb(cell) if options.duckdb else self._sql(cell, options.limit))
        if options.output is None:
            return frame
        self._shell().push({options.output: frame})
        return None

    # -- verbs ---------------------------------------------------------------------------------------------------

    def _connect(self, **where: Any) -> Workbench:
        from ._workbench import connect

        bench = connect(**where)
        self._shell().push({"bench": bench})
        return bench

    def _executions(self, **filters: Any) -> Any:
        return self._bench().executions(**filters)

    _runs = _executions

    def _browse(self, **filters: Any) -> Any:
        from .widgets import ExecutionBrowser

        return ExecutionBrowser(self._bench().executions(**filters))

    def _dashboard(self, **filters: Any) -> Any:
        from .widgets import Dashboard

        return Dashboard(self._bench().executions(**filters))

    def _events(self, run: Any, **filters: Any) -> Any:
        return self._bench().events(run, **filters)

    def _timeline(self, run: Any, **filters: Any) -> Any:
        from .widgets import Timeline

        return Timeline(self._bench().events(run, **filters))

    def _snapshots(self, run: Any, **filters: Any) -> Any:
        return self._bench().snapshots(run, **filters)

    def _state(self, run: Any, step: str) -> Any:
        return self._bench().state(run, int(step))

    def _compare(self, a: Any, b: Any) -> Any:
        from .widgets import DiffView

        return DiffView(self._bench().compare(a, b))

    _diff = _compare

    def _ingest(self, *paths: str, **options: Any) -> Any:
        return self._bench().ingest(list(paths), **options)

    def _report(self, run: Any = None, **options: Any) -> Any:
        return self._bench().report(run, **options)

    def _health(self) -> Any:
        return self._bench().health()

    def _close(self) -> None:
        self._bench().close()
        self._shell().drop_by_id({"bench": self._shell().user_ns["bench"]})

    def _sql(self, query: str, limit: int | None) -> Any:
        return self._bench().sql(query, limit=limit or None)

    def _duckdb(self, query: str) -> Any:
        import polars as pl

        names = {name: value for name, value in self._shell().user_ns.items() if isinstance(value, pl.DataFrame)}
        frames = {name: frame for name, frame in names.items() if name in query and not name.startswith("_")}
        return self._bench().duckdb(query, **frames)

    # -- words ---------------------------------------------------------------------------------------------------

    def _options(self, verb: str, words: list[str]) -> tuple[list[Any], dict[str, Any]]:
        """Split words into runs or paths, and `--name value` options."""
        positional: list[Any] = []
        options: dict[str, Any] = {}
        waiting = iter(words)
        for word in waiting:
            spelt = _SHORT.get(word, word)
            if not spelt.startswith("--"):
                positional.append(self._value(word) if len(positional) < RUNS.get(verb, 0) else word)
                continue
            name, sign, value = spelt[2:].partition("=")
            key = name.replace("-", "_")
            if key not in OPTIONS[verb]:
                allowed = ", ".join(f"--{option.replace('_', '-')}" for option in OPTIONS[verb]) or "none"
                raise UsageError(f"%wb {verb} has no option --{name}. It has: {allowed}.")
            value = value if sign else next(waiting, None)
            if value is None:
                raise UsageError(f"%wb {verb}: --{name} needs a value.")
            options[key] = int(value) if key == "limit" else value
        return positional, options

    def _value(self, word: str) -> Any:
        """The run a variable holds, or the word itself as an id."""
        return self._shell().user_ns.get(word, word) if word.isidentifier() else word

    def _bench(self) -> Workbench:
        from ._workbench import Workbench

        bench = self._shell().user_ns.get("bench")
        return bench if isinstance(bench, Workbench) else self._connect()

    def _shell(self) -> InteractiveShell:
        assert self.shell is not None
        return self.shell

    @staticmethod
    def _answer(ask: Callable[[], Any]) -> Any:
        """What `ask` returns; our own errors as one line instead of a traceback."""
        try:
            return ask()
        except WorkbenchError as problem:
            raise UsageError(str(problem)) from problem
        except TypeError as problem:
            if "positional argument" not in str(problem):
                raise
            raise UsageError(f"%wb: wrong number of words. See: %wb? ({problem})") from problem

    # -- completion ----------------------------------------------------------------------------------------------

    def complete(self, shell: InteractiveShell, event: Any) -> list[str]:
        """Verbs, then a verb's options, runs of the open workbench, and variables that hold one."""
        words = event.line.split()
        at_verb = len(words) < 2 or (len(words) == 2 and not event.line.endswith(" "))
        if at_verb:
            return [verb for verb in OPTIONS if verb.startswith(event.symbol)]
        options = [f"--{name.replace('_', '-')}" for name in OPTIONS.get(words[1], ())]
        if event.symbol.startswith("-"):
            return [option for option in options if option.startswith(event.symbol)]
        runs = [run for run in self._known_ids() if run.startswith(event.symbol)] if words[1] in RUNS else []
        return runs or ([] if event.symbol else options)

    def _known_ids(self) -> list[str]:
        """Newest ids of the open workbench; a TAB never opens a connection, nor asks more than once in 5 s."""
        from ._workbench import Workbench

        bench = self._shell().user_ns.get("bench")
        if not isinstance(bench, Workbench):
            return []
        asked, ids = self._ids
        if time.monotonic() - asked > 5:
            ids = bench.executions(limit=200)["id"].to_list()
            self._ids = (time.monotonic(), ids)
        return ids
