"""Predicates over history: what to look for in the steps of runs, as Python expressions. Pure; nothing is read here.

::

    wb.state("cart.total") > 100                              # the state after a step
    wb.event("tool_call", name="refund")                      # what happened in a step
    wb.event("tool_call", name="refund")["data.tool.arguments.amount"] >= 50
    wb.run("agent_type") == "planner"                         # the run itself
    a & b, a | b, ~a                                          # and, or, not: each side in parentheses
    a.then(b, within=5)                                       # b, at most 5 steps after an a
    a.without(b, within=3)                                    # a 3 steps ago, and no b since: an error, no retry
    a.before(b)                                               # a, and no b so far
    wb.never(c).until(d)                                      # no c so far, but after a d
    a.at_least(3), a.at_least(3, within=10), a.begins()
    wb.event("tool_call").repeats(3)                          # the same tool and arguments for the third time

A predicate holds or does not hold *at a step*, and what it says of a step depends on that step and those before it
alone. So one object serves to search (``bench.find(predicate)``), and to stop (``predicate.watch()``): both find the
same steps.

**Steps.** The steps of a run are the numbers that have an event or a snapshot. The *state* at a step is that of the
last snapshot until then. ``within=5`` counts step numbers. A comparison that speaks of an event holds where one event
of the step makes it true. The steps that a fork shares with the run it left are steps of the fork, too.

**Missing is not null.** A value is *missing* where its path leads nowhere, where no snapshot was made yet, where an
event or run has no such column filled, and where arithmetic has no result (text, booleans, a division by zero).
Missing compares to nothing: every comparison with it is false, ``!=`` too. ``.exists()`` asks; it is true for a JSON
null, which is a value: ``wb.state("x") == None``.

**Values are JSON.** ``1 == 1.0``, ``True != 1``, and text is never a number. ``<`` and its like order numbers with
numbers and text with text (by code point); between anything else they are false.

**Kinds of events** are the event types of ``bench.events()``; ``"tool"`` stands for ``tool_call`` and ``tool_result``
together. ``name=`` of a tool is found in every call of a step that holds several.
"""

from __future__ import annotations

from workbench._predicates.makers import event, never, run, state
from workbench._predicates.nodes import Comparison, Event, Predicate, Run, State, Value
from workbench._predicates.parse import from_dict, parse
from workbench._predicates.watch import Matcher

__all__ = [
    "Comparison",
    "Event",
    "Matcher",
    "Predicate",
    "Run",
    "State",
    "Value",
    "event",
    "from_dict",
    "never",
    "parse",
    "run",
    "state",
]
