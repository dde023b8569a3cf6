"""What a user begins with: ``state()``, ``event()``, ``run()`` and ``never()``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench._predicates import paths, words
from workbench._predicates.constants import stored, stored_keys
from workbench._predicates.nodes import Event, Never, Predicate, Run, State, as_predicate
from workbench.errors import ConfigurationError


def state(path: str = "") -> State:
    """A value of the state after a step.

    Parameters
    ----------
    path
        Keys and list positions joined by dots, ``"cart.items.0.price"`` (``-1`` = the last; a key with dots in double
        quotes), or a JSON pointer, ``"/cart/items/0/price"``. Left out: the whole state.

    Examples
    --------
    >>> state("cart.total") > 100
    state("cart.total") > 100
    >>> state("/plan/a~1b").exists() & ~state("messages.-1.content").contains("sorry")
    state("plan.a/b").exists() & (~state("messages.-1.content").contains("sorry"))
    """
    return State(stored_keys(paths.keys_of(path, example="'cart.total'")))


def event(kind: str | None = None, **where: str | Sequence[str]) -> Event:
    """A step in which something happened.

    Parameters
    ----------
    kind
        A type of event (``"tool_call"``, ``"message"``, …), or ``"tool"`` for ``tool_call`` and ``tool_result``; left
        out: any.
    **where
        ``name``, ``agent``, ``category``, ``severity``, ``mark``: one text or a list of them, as in ``bench.events()``.
        A name is also that of each of several calls that a step holds.

    Returns
    -------
    Event
        A predicate. In brackets it gives a value of the event: a column, or a path into ``data``.

    Examples
    --------
    >>> event("tool_call", name="refund").then(event(severity=["critical", "error"]), within=5)
    event("tool_call", name="refund").then(event(severity=["critical", "error"]), within=5)
    >>> event("tool_call", name="refund")["data.tool.arguments.amount"] >= 50
    event("tool_call", name="refund")["data.tool.arguments.amount"] >= 50
    """
    if kind is not None:
        advice = 'For a type of your own write event()["event_type"] == "…".'
        words.known(kind, (*words.EVENT_TYPES, *words.GROUPS), what="Kind of event", advice=advice)
    advice = 'Other columns and what is in data are compared: event("tool_call")["data.tool.arguments.amount"] > 50.'
    for name in where:
        words.known(name, words.EVENT_FILTERS, what="Filter of events", advice=advice)
    found = [(name, _texts(name, given)) for name, given in where.items()]
    return Event(kind, tuple(sorted(found, key=lambda one: words.EVENT_FILTERS.index(one[0]))))


def run(column: str) -> Run:
    """A value of the run: a column of ``bench.executions()``, or a path into its documents (``"metadata.trial"``).

    Examples
    --------
    >>> (run("agent_type") == "planner") & (run("cost_usd") / run("n_events") > 0.1)
    (run("agent_type") == "planner") & (run("cost_usd") / run("n_events") > 0.1)
    """
    keys = paths.keys_of(column, example="'agent_type' or 'metadata.trial'")
    first = keys[0] if keys else column
    words.no_time(first)
    words.known(first, (*words.RUN_COLUMNS, *words.RUN_DOCUMENTS), what="Column of runs")
    words.no_deeper(keys, words.RUN_DOCUMENTS)
    return Run(stored_keys(keys))


def never(predicate: Predicate) -> Never:
    """It has not held so far; with ``.until(d)``, not before `d` did.

    Examples
    --------
    >>> ~never(event("tool_call", name="refund")).until(event("tool_call", name="verify"))
    ~never(event("tool_call", name="refund")).until(event("tool_call", name="verify"))
    """
    return Never(as_predicate(predicate))


def _texts(name: str, given: Any) -> tuple[str, ...]:
    values = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, (list, tuple, set)) else ()
    if not values or not all(isinstance(value, str) for value in values):
        raise ConfigurationError(
            f"{name}={given!r}: give a text, or a list of texts. For a pattern write event()[{name!r}].matches('…').",
            value=given,
        )
    for value in values:
        if name in ("severity", "mark"):
            words.known(value, words.SEVERITIES if name == "severity" else words.MARKS, what=name.capitalize())
    return tuple(sorted({stored(value) for value in values}))
