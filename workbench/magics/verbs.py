"""The verbs of ``%wb``: what each says of itself, and the words and options it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from IPython.core.error import UsageError

_EXECUTIONS = ("status", "agent_type", "task", "source", "since", "until", "where", "limit")
_EVENTS = ("event_type", "severity", "category", "since", "until", "where", "limit")
_SHORT = {"-o": "--output"}


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb.

    Attributes
    ----------
    says
        What it does, in one line.
    words
        What follows it, as its usage shows it: ``RUN`` is needed, ``[RUN]`` is not, ``PATH…`` are one or more.
    options
        Filters it takes as ``--name value``; each is a keyword of the method of that name.
    """

    says: str
    words: str = ""
    options: tuple[str, ...] = ()

    @property
    def n_runs(self) -> int:
        """How many of its first words are runs."""
        return sum(word.strip("[]").startswith("RUN") for word in self.words.split())

    def missing(self, n: int) -> str:
        """The words still needed after so many."""
        return " ".join(word for word in self.words.split()[n:] if not word.startswith("["))

    @property
    def at_most(self) -> int | None:
        """How many words it takes; ``None`` for any number."""
        return None if self.words.endswith("…") else len(self.words.split())


VERBS = {
    "connect": Verb("open a workbench and name it `bench`", "", ("home", "url")),
    "executions": Verb("runs as a frame (also: runs)", "", _EXECUTIONS),
    "browse": Verb("the same as an ExecutionBrowser", "", _EXECUTIONS),
    "dashboard": Verb("the same as a Dashboard", "", _EXECUTIONS),
    "events": Verb("steps as a frame", "RUN", _EVENTS),
    "timeline": Verb("steps as a Timeline", "RUN", _EVENTS),
    "replay": Verb("the run step by step, as a ReplayPlayer", "RUN [STEP]"),
    "snapshots": Verb("states as a frame", "RUN", ("limit",)),
    "state": Verb("one state", "RUN STEP"),
    "diff": Verb("two runs side by side (also: compare)", "RUN_A RUN_B"),
    "ingest": Verb("read agent history", "PATH…", ("format",)),
    "report": Verb("one HTML file about a run, or about all", "[RUN]", ("output", "template", "title", "since")),
    "sql": Verb("read-only SQL as a frame; see also %%wbsql", "SELECT …"),
    "tasks": Verb("tasks as a frame", "", ("status", "priority", "source", "since", "until", "where", "limit")),
    "environments": Verb("environments as a frame", "", ("name", "since", "until", "where", "limit")),
    "health": Verb("what works and what does not (also: doctor)"),
    "close": Verb("close the workbench"),
    "help": Verb("this list, or how one verb is used", "[VERB]"),
}
ALIASES = {"runs": "executions", "compare": "diff", "doctor": "health"}


def named(word: str) -> str:
    """The verb that a word names.

    Raises
    ------
    UsageError
        It names none.
    """
    name = ALIASES.get(word, word)
    if name not in VERBS:
        raise UsageError(f"%wb has no verb {word!r}. It has: {', '.join(VERBS)}.")
    return name


def usage(name: str) -> str:
    """How a verb is used, in one line."""
    verb = VERBS[name]
    options = (f"[{_spelt(option)} …]" for option in verb.options)
    return " ".join(["%wb", name, *verb.words.split(), *options])


def overview() -> str:
    """All verbs, one line each."""
    lines = [(" ".join(filter(None, ("%wb", name, verb.words, "[--…]" * bool(verb.options)))), verb.says)
             for name, verb in VERBS.items()]  # fmt: skip
    width = max(len(how) for how, _ in lines)
    return "\n".join(f"{how:<{width}}   {says}" for how, says in lines)


def split(name: str, words: list[str], run: Callable[[str], Any]) -> tuple[list[Any], dict[str, Any]]:
    """Part a verb's words, of which ``run`` makes runs, from its ``--name value`` options.

    Raises
    ------
    UsageError
        Too few words, too many, or options it does not take; the text says how the verb is used.
    """
    verb = VERBS[name]
    positional: list[Any] = []
    options: dict[str, Any] = {}
    waiting = iter(words)
    for word in waiting:
        spelt = _SHORT.get(word, word)
        if spelt.startswith("--"):
            option, sign, value = spelt[2:].partition("=")
            key = option.replace("-", "_")
            if key not in verb.options:
                raise UsageError(f"%wb {name} has no option --{option}. It has: {_all(verb)}.")
            given = value if sign else next(waiting, None)
            if given is None:
                raise UsageError(f"%wb {name}: --{option} needs a value.")
            options[key] = number(given, f"%wb {name}: --{option}") if key == "limit" else given
        elif verb.at_most is not None and len(positional) == verb.at_most:
            raise UsageError(_too_many(name, word))
        else:
            positional.append(run(word) if len(positional) < verb.n_runs else word)
    if missing := verb.missing(len(positional)):
        raise UsageError(f"%wb {name} needs {missing}. Usage: {usage(name)}")
    return positional, options


def number(text: str, what: str) -> int:
    """A whole number that a word tells."""
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{what} is {text!r}; it must be a whole number.") from None


def _too_many(name: str, word: str) -> str:
    key, sign, value = word.partition("=")
    if sign and key.replace("-", "_") in VERBS[name].options:
        return f"%wb {name}: options are written {_spelt(key)} {value or '…'}, not {word}. Usage: {usage(name)}"
    return f"%wb {name} has no use for {word!r}. Usage: {usage(name)}"


def _all(verb: Verb) -> str:
    return ", ".join(map(_spelt, verb.options)) or "none"


def _spelt(option: str) -> str:
    return f"--{option.replace('_', '-')}"
