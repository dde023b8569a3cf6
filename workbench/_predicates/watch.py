"""A predicate asked online, step by step: :class:`Matcher`. It says at every step what a search would say of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

import orjson

from workbench._predicates.moments import Moment, Test
from workbench._predicates.paths import MISSING
from workbench.errors import ConfigurationError

if TYPE_CHECKING:
    from workbench._predicates.nodes import Predicate

_UNCHANGED: Any = object()


class Matcher:
    """Says of each step whether the predicate holds there. Made by :meth:`Predicate.watch`; of one run.

    Attributes
    ----------
    predicate : Predicate
        What is asked.

    Examples
    --------
    >>> from workbench._predicates import event, state
    >>> watch = (state("n") > 1).begins().watch()
    >>> [watch.feed(step, state={"n": step}) for step in range(4)]
    [False, False, True, False]
    """

    def __init__(self, predicate: Predicate, *, run: Mapping[str, Any] | None = None) -> None:
        self.predicate = predicate
        self._run = _run_columns(predicate, run)
        self.reset()

    def __repr__(self) -> str:
        return f"Matcher({self.predicate!r})"

    def reset(self) -> None:
        """Forget all steps, as before a run."""
        self._said: dict[str, bool] = {}
        self._tests: dict[str, Test] = {}
        for part in self.predicate.predicates():
            self._tests[repr(part)] = part.test(self._said)
        self._state: Any = MISSING
        self._step = -1

    def feed(
        self,
        step_number: int,
        event: Mapping[str, Any] | Iterable[Mapping[str, Any]] | None = None,
        state: Any = _UNCHANGED,
    ) -> bool:
        """Take the next step, and say whether the predicate holds there.

        Parameters
        ----------
        step_number
            Greater than the last one.
        event
            The event of the step, or all of them: a row of ``bench.events()`` (``data`` as a dict or JSON text).
        state
            The whole state after the step; left out, it is what it was. Kept until the next step: not to be changed.

        Raises
        ------
        ConfigurationError
            The step is not behind the last one; see :meth:`reset`.
        """
        if step_number <= self._step:
            raise ConfigurationError(
                f"Step {step_number} comes after step {self._step}. Steps go forward; .reset() starts anew.",
                step_number=step_number,
            )
        self._step = step_number
        has_snapshot = state is not _UNCHANGED
        self._state = state if has_snapshot else self._state
        given = (
            []
            if event is None
            else [cast("Mapping[str, Any]", event)]
            if isinstance(event, Mapping)
            else list(cast("Iterable[Mapping[str, Any]]", event))
        )
        moment = Moment(step_number, [_opened(one) for one in given], self._state, has_snapshot, self._run)
        for name, test in self._tests.items():
            self._said[name] = test(moment)
        return self._said[repr(self.predicate)]


def _run_columns(predicate: Predicate, run: Mapping[str, Any] | None) -> Mapping[str, Any]:
    needed = predicate.run_columns()
    lacking = [name for name in needed if name not in (run or {})]
    if lacking:
        raise ConfigurationError(
            f"The predicate speaks of the run's {', '.join(dict.fromkeys(lacking))}: give its columns,"
            " predicate.watch(run=bench.executions(ids=run).row(0, named=True)).",
            lacking=lacking,
        )
    return {name: value for name, value in (run or {}).items() if name in needed}


def _opened(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """The event with its data parsed."""
    data = event.get("data")
    return {**event, "data": orjson.loads(data)} if isinstance(data, (str, bytes)) else event
