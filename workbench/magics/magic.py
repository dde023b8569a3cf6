"""The magics themselves: ``%wb`` and ``%%wbsql``.

``%wb timeline RUN`` and its like return what the API returns, frames and widgets, so a result can be kept:
``runs = %wb executions --status failed``. A run is an id, its first characters, or the name of a variable that holds
one. The workbench used is the variable ``bench``; without one, ``connect()`` opens it and names it so.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

from ..errors import WorkbenchError
from .complete import Completions
from .verbs import named, number, overview, split, usage

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .._workbench import Workbench


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Called by ``%load_ext workbench``."""
    shell.register_magics(WorkbenchMagics(shell))
    matcher = Completions(shell).matcher
    others = [other for other in shell.Completer.custom_matchers if _identity(other) != _identity(matcher)]
    shell.Completer.custom_matchers = [*others, matcher]  # once, however often the extension is loaded


def _identity(matcher: Any) -> str | None:
    return getattr(matcher, "matcher_identifier", None)


@magics_class
class WorkbenchMagics(Magics):
    """``%wb`` and ``%%wbsql``."""

    @line_magic
    def wb(self, line: str) -> Any:
        """Ask the workbench: `%wb VERB …`."""
        first, *text = line.split(maxsplit=1) or ["help"]
        if first == "sql" and text:  # quotes belong to the SQL
            return self._answer(lambda: self._sql(text[0]))
        verb = named(first)
        try:
            words = shlex.split(line)[1:]
        except ValueError as wrong:
            raise UsageError(f"%wb: {wrong}") from None
        positional, options = split(verb, words, self._value)
        method: Callable[..., Any] = getattr(self, f"_{verb}")
        return self._answer(lambda: method(*positional, **options))

    wb.__doc__ = f"{wb.__doc__}\n\n{overview()}"

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
        from .._workbench import connect

        bench = connect(**where)
        self._shell().push({"bench": bench})
        return bench

    def _executions(self, **filters: Any) -> Any:
        return self._bench().executions(**filters)

    def _browse(self, **filters: Any) -> Any:
        from ..widgets import ExecutionBrowser

        return ExecutionBrowser(self._bench().executions(**filters))

    def _dashboard(self, **filters: Any) -> Any:
        from ..widgets import Dashboard

        return Dashboard(self._bench().executions(**filters))

    def _events(self, run: Any, **filters: Any) -> Any:
        return self._bench().events(run, **filters)

    def _timeline(self, run: Any, **filters: Any) -> Any:
        from ..widgets import Timeline

        return Timeline(self._bench().events(run, **filters))

    def _replay(self, run: Any, step: str | None = None) -> Any:
        from ..widgets import ReplayPlayer

        replay = self._bench().replay(run)
        return ReplayPlayer(replay if step is None else replay.seek(number(step, "%wb replay: STEP")))

    def _snapshots(self, run: Any, **filters: Any) -> Any:
        return self._bench().snapshots(run, **filters)

    def _state(self, run: Any, step: str) -> Any:
        return self._bench().state(run, number(step, "%wb state: STEP"))

    def _diff(self, a: Any, b: Any) -> Any:
        from ..widgets import DiffView

        return DiffView(self._bench().compare(a, b))

    def _ingest(self, *paths: str, **options: Any) -> Any:
        return self._bench().ingest(list(paths), **options)

    def _report(self, run: Any = None, **options: Any) -> Any:
        return self._bench().report(run, **options)

    def _tasks(self, **filters: Any) -> Any:
        return self._bench().tasks(**filters)

    def _environments(self, **filters: Any) -> Any:
        return self._bench().environments(**filters)

    def _help(self, verb: str | None = None) -> None:
        print(overview() if verb is None else usage(named(verb)))

    def _health(self) -> Any:
        return self._bench().health()

    def _close(self) -> None:
        self._bench().close()
        self._shell().drop_by_id({"bench": self._shell().user_ns["bench"]})

    def _sql(self, query: str, limit: int | None = None) -> Any:
        return self._bench().sql(query, limit=limit or None)

    def _duckdb(self, query: str) -> Any:
        import polars as pl

        names = {name: value for name, value in self._shell().user_ns.items() if isinstance(value, pl.DataFrame)}
        frames = {name: frame for name, frame in names.items() if name in query and not name.startswith("_")}
        return self._bench().duckdb(query, **frames)

    # -- words ---------------------------------------------------------------------------------------------------

    def _value(self, word: str) -> Any:
        """The run a variable holds, or the word itself as an id."""
        return self._shell().user_ns.get(word, word) if word.isidentifier() else word

    def _bench(self) -> Workbench:
        from .._workbench import Workbench

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
