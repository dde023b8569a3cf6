"""TAB behind ``%wb``: verbs, their options, the values of an option, and runs of the open workbench.

What it offers suppresses what others would (of ``--`` Python makes names); where it has nothing to offer, as for a
path or the value of a filter, the others are heard.
"""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from uuid import UUID
from weakref import WeakKeyDictionary

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from ..errors import WorkbenchError
from .verbs import ALIASES, VERBS

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .._workbench import Workbench

_LINE = re.compile(r"\s*(?:(?:[\w\s,]+=)?\s*(%))?wb\s+(.*)", re.DOTALL)
_ASKED_S = 5  # apart, at least
_NO_RUNS: dict[str, list[str]] = {"id": [], "agent_type": [], "source": []}


class Completions:
    """What TAB offers in a shell; it never opens a connection."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._asked: WeakKeyDictionary[Workbench, tuple[float, dict[str, list[str]]]] = WeakKeyDictionary()

    @context_matcher(identifier="workbench.wb")
    def matcher(self, context: CompletionContext) -> SimpleMatcherResult:
        """What IPython asks."""
        typed, offered = self._offered(context.text_until_cursor)
        already = typed.removesuffix(context.token)  # of the word, before what IPython replaces
        found = [word.removeprefix(already) for word in offered if word.startswith(typed)]
        return {"completions": [SimpleCompletion(word) for word in found], "suppress": bool(found), "ordered": True}

    def _offered(self, line: str) -> tuple[str, Iterable[str]]:
        """The word at the cursor, and all that may stand there."""
        of_wb = _LINE.fullmatch(line)
        # `wb` alone is the magic only where no variable has that name.
        if of_wb is None or not (of_wb[1] or "wb" not in self._shell.user_ns):
            return "", ()
        *before, typed = re.split(r"\s+", of_wb[2])
        if not before:
            return typed, [*VERBS, *ALIASES]
        name, *words = before
        name = ALIASES.get(name, name)
        if name not in VERBS:
            return typed, ()
        verb = VERBS[name]
        option, sign, value = typed.partition("=")
        if sign and option.startswith("--"):
            return value, self._values(name, option)
        if words and words[-1].startswith("-") and "=" not in words[-1]:
            return typed, self._values(name, words[-1])
        if typed.startswith("-"):
            return typed, _options(verb.options)
        n_words = len(words) - sum(2 - ("=" in word) for word in words if word.startswith("-"))
        if name == "help":
            return typed, VERBS
        if n_words < verb.n_runs:
            return typed, self._runs() or (() if typed else _options(verb.options))
        return typed, () if verb.missing(n_words) else _options(verb.options)

    def _values(self, verb: str, option: str) -> Iterable[str]:
        """The values of an option that has few, or of which the newest runs have some."""
        name = option.removeprefix("--").replace("-", "_")
        if name not in VERBS[verb].options:
            return ()
        if name == "format":
            from ..data.ingest import names

            return names()
        if name in ("status", "severity", "priority"):
            from ..data.store import tables

            statuses = tables.TASK_STATUSES if verb == "tasks" else tables.EXECUTION_STATUSES
            return {"status": statuses, "severity": tables.SEVERITIES, "priority": tables.PRIORITIES}[name]
        if verb != "tasks" and name in ("agent_type", "source"):
            return self._known()[name]
        return ()

    def _runs(self) -> list[str]:
        """Variables that hold one of the newest runs, and their ids."""
        ids = self._known()["id"]
        if not ids:
            return []
        from ..data.store.records import Execution

        values = ((name, value) for name, value in self._shell.user_ns.items() if not name.startswith("_"))
        held = ((name, value.id if isinstance(value, Execution) else value) for name, value in values)
        known = set(ids)
        return [*(name for name, run in held if isinstance(run, str | UUID) and str(run) in known), *ids]

    def _known(self) -> dict[str, list[str]]:
        """Ids, agents and sources of the newest runs of the open workbench, asked for once in 5 s at most."""
        from .._workbench import Workbench

        bench = self._shell.user_ns.get("bench")
        if not isinstance(bench, Workbench):
            return _NO_RUNS
        asked, known = self._asked.get(bench, (None, _NO_RUNS))
        if asked is None or time.monotonic() - asked > _ASKED_S:
            known = _newest(bench)
            self._asked[bench] = (time.monotonic(), known)
        return known


def _newest(bench: Any) -> dict[str, list[str]]:
    try:
        runs = bench.executions(limit=200, columns=list(_NO_RUNS))
    except WorkbenchError:  # a TAB is no place to hear of it
        return _NO_RUNS
    values = {name: runs[name].drop_nulls().unique(maintain_order=True).to_list() for name in _NO_RUNS}
    return {name: [value for value in found if shlex.quote(value) == value] for name, found in values.items()}


def _options(names: Iterable[str]) -> list[str]:
    return [f"--{name.replace('_', '-')}" for name in names]
