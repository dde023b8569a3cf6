"""The expressions that predicates are made of: values, conditions on them, sequences of conditions.

All are frozen. ``repr`` is the Python that makes the same again (:func:`workbench._predicates.parse` reads it), and
what makes two predicates equal. Two *values* compared with ``==`` make a condition, as columns of Polars do.

Long, for values make predicates, and predicates hold values and make each other: parted, each would import the other.
What a user begins with is in :mod:`makers`, what constants may be in :mod:`constants`, and what sequences remember from
step to step in :mod:`moments`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NoReturn

from workbench._delta import item_key, same
from workbench._predicates import moments, paths, semantics, words
from workbench._predicates.constants import count, frozen, stored_keys, written
from workbench._predicates.moments import Moment, Row, Said, Test
from workbench._predicates.paths import MISSING, Keys
from workbench._predicates.watch import Matcher
from workbench.errors import ConfigurationError

Look = Callable[["Column"], Any]  # what a column's value is, here and now


class Node:
    """A part of an expression. Equal and hashed by what it says."""

    __slots__ = ()
    __array_ufunc__ = None  # NumPy's numbers leave the operators to us

    def __hash__(self) -> int:
        return hash(repr(self))

    def __bool__(self) -> NoReturn:
        raise ConfigurationError(
            f"{self!r} is true or false at a step of a run, not here. Join predicates with &, | and ~ in place of"
            " 'and', 'or' and 'not', with each comparison in parentheses: (a > 1) & (b < 2); and split 1 < a < 3 into"
            " (1 < a) & (a < 3). To search use bench.find(…)."
        )

    def __iter__(self) -> NoReturn:
        raise ConfigurationError(f"{self!r} is no list. For 'x in …' write .is_in([…]) or .contains(x).")

    def __contains__(self, item: Any) -> NoReturn:
        self.__iter__()

    def parts(self) -> tuple[Node, ...]:
        """The nodes right below."""
        found = (getattr(self, field.name) for field in fields(self))  # pyright: ignore[reportArgumentType]
        return tuple(one for one in found if isinstance(one, Node))

    def walk(self) -> Iterator[Node]:
        """The node and all below it."""
        yield self
        for part in self.parts():
            yield from part.walk()


# ---------------------------------------------------------------- values


class Value(Node):
    """Something that has a value at a step. Compared with another value or a constant it makes a predicate."""

    __slots__ = ()

    def __eq__(self, other: Any) -> Comparison:  # pyright: ignore[reportIncompatibleMethodOverride]
        return Comparison("==", self, as_value(other))

    def __ne__(self, other: Any) -> Comparison:  # pyright: ignore[reportIncompatibleMethodOverride]
        return Comparison("!=", self, as_value(other))

    __hash__ = Node.__hash__

    def __lt__(self, other: Any) -> Comparison:
        return Comparison("<", self, as_value(other))

    def __le__(self, other: Any) -> Comparison:
        return Comparison("<=", self, as_value(other))

    def __gt__(self, other: Any) -> Comparison:
        return Comparison(">", self, as_value(other))

    def __ge__(self, other: Any) -> Comparison:
        return Comparison(">=", self, as_value(other))

    def contains(self, item: Any) -> Comparison:
        """A text that has this text in it, an array with an equal item, or an object with this key."""
        return Comparison("contains", self, as_value(item))

    def is_in(self, values: Any) -> Comparison:
        """Equal to one of a list."""
        given = list(values) if isinstance(values, (tuple, set, frozenset, range)) else values
        if not isinstance(given, (list, Value)):
            raise ConfigurationError(f".is_in({values!r}) takes a list, like .is_in(['a', 'b']).", value=values)
        return Comparison("is_in", self, as_value(given))

    def matches(self, pattern: str) -> Comparison:
        """A text in which a regular expression (Python's ``re``) is found; ``^`` and ``$`` tie it to the ends.

        Repeats inside repeats, like ``(a+)+$``, may take forever on a text that nearly matches: interrupt, and write it
        otherwise.
        """
        if not isinstance(pattern, str):
            raise ConfigurationError(f".matches({pattern!r}) takes a regular expression as text.", value=pattern)
        try:
            re.compile(pattern)
        except re.error as error:
            raise ConfigurationError(
                f".matches({pattern!r}): {error}. Put a \\ before what is meant as it stands, or use .contains().",
                value=pattern,
            ) from error
        return Comparison("matches", self, as_value(pattern))

    def exists(self) -> Comparison:
        """There is a value, if only null."""
        return Comparison("exists", self, Literal(True))

    def changed(self) -> Changed:
        """The value is another after this step than after the last snapshot before; of values of the state."""
        return Changed(self)

    def __add__(self, other: Any) -> Arithmetic:
        return Arithmetic("+", self, as_value(other))

    def __radd__(self, other: Any) -> Arithmetic:
        return Arithmetic("+", as_value(other), self)

    def __sub__(self, other: Any) -> Arithmetic:
        return Arithmetic("-", self, as_value(other))

    def __rsub__(self, other: Any) -> Arithmetic:
        return Arithmetic("-", as_value(other), self)

    def __mul__(self, other: Any) -> Arithmetic:
        return Arithmetic("*", self, as_value(other))

    def __rmul__(self, other: Any) -> Arithmetic:
        return Arithmetic("*", as_value(other), self)

    def __truediv__(self, other: Any) -> Arithmetic:
        return Arithmetic("/", self, as_value(other))

    def __rtruediv__(self, other: Any) -> Arithmetic:
        return Arithmetic("/", as_value(other), self)

    def __mod__(self, other: Any) -> Arithmetic:
        return Arithmetic("%", self, as_value(other))

    def __rmod__(self, other: Any) -> Arithmetic:
        return Arithmetic("%", as_value(other), self)

    def not_joined(self, other: Any) -> NoReturn:
        """Refuse ``&``, ``|`` and ``~`` of a value."""
        raise ConfigurationError(
            f"{self!r} is a value: compare it before &, | or ~, as in ({self!r} == True) & …. Python reads"
            " 'a > 1 & b < 2' as 'a > (1 & b) < 2': put each comparison in parentheses, (a > 1) & (b < 2)."
        )

    __and__ = __rand__ = __or__ = __ror__ = not_joined

    def __invert__(self) -> NoReturn:
        self.not_joined(None)

    def columns(self) -> tuple[Column, ...]:
        """What has to be known to compute it, each once."""
        return columns_of(self)

    def compute(self, look: Look) -> Any:
        """Its value, where `look` gives those of its columns."""
        raise NotImplementedError


class Column(Value):
    """A value that is read: of the state, of an event, of the run."""

    __slots__ = ()
    keys: Keys

    def compute(self, look: Look) -> Any:
        return look(self)

    def read(self, moment: Moment, row: Row | None) -> Any:
        """Its value at a step, of an event of the step; :data:`MISSING` where there is none."""
        raise NotImplementedError


def columns_of(node: Node) -> tuple[Column, ...]:
    """The columns below a node, each once."""
    return tuple({repr(part): part for part in node.walk() if isinstance(part, Column)}.values())


@dataclass(frozen=True, eq=False, repr=False)
class State(Column):
    """A value of the state after a step; see :func:`state`."""

    keys: Keys = ()

    def __repr__(self) -> str:
        return f"state({written(paths.written(self.keys))})" if self.keys else "state()"

    def read(self, moment: Moment, row: Row | None) -> Any:
        return MISSING if moment.state is MISSING else paths.at(moment.state, self.keys)


@dataclass(frozen=True, eq=False, repr=False)
class Run(Column):
    """A value of the run; see :func:`run`."""

    keys: Keys

    def __repr__(self) -> str:
        return f"run({written(paths.written(self.keys))})"

    def read(self, moment: Moment, row: Row | None) -> Any:
        return _cell(moment.run, self.keys)


@dataclass(frozen=True, eq=False, repr=False)
class EventValue(Column):
    """A value of an event: ``event("tool_call")["data.tool.arguments.amount"]``."""

    event: Event
    keys: Keys

    def __repr__(self) -> str:
        return f"{self.event!r}[{written(paths.written(self.keys))}]"

    def read(self, moment: Moment, row: Row | None) -> Any:
        return MISSING if row is None else _cell(row, self.keys)


def _cell(row: Row, keys: Keys) -> Any:
    """A column, or what is in it; None is nothing, in a column."""
    value = row.get(keys[0])
    return MISSING if value is None else paths.at(value, keys[1:])


@dataclass(frozen=True, eq=False, repr=False)
class Literal(Value):
    """A constant: a JSON value."""

    value: Any

    def __repr__(self) -> str:
        return written(self.value)

    def compute(self, look: Look) -> Any:
        return self.value


@dataclass(frozen=True, eq=False, repr=False)
class Arithmetic(Value):
    """``+ - * / %`` of two values."""

    op: str
    left: Value
    right: Value

    def __repr__(self) -> str:
        return f"({self.left!r} {self.op} {self.right!r})"

    def compute(self, look: Look) -> Any:
        return semantics.ARITHMETIC[self.op](self.left.compute(look), self.right.compute(look))


def as_value(given: Any) -> Value:
    """A value or a constant as a value."""
    if isinstance(given, Value):
        return given
    if isinstance(given, Predicate):
        raise ConfigurationError(
            f"{given!r} is a condition, not a value. Of an event take a value, like event('tool_call')['data.text'];"
            " join conditions with &, | and ~."
        )
    item = getattr(given, "item", None)
    if item is not None and not isinstance(given, (dict, list, tuple)):
        given = item()  # a number of NumPy
    try:
        return Literal(frozen(given))
    except RecursionError:
        raise ConfigurationError("A constant holds itself.") from None


# ---------------------------------------------------------------- predicates


class Predicate(Node):
    """A condition that holds or does not hold at a step of a run."""

    __slots__ = ()
    __hash__ = Node.__hash__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Predicate) and repr(self) == repr(other)

    def __and__(self, other: Predicate) -> And:
        return And(self, as_predicate(other))

    def __or__(self, other: Predicate) -> Or:
        return Or(self, as_predicate(other))

    def __invert__(self) -> Predicate:
        return Not(self)

    def then(self, other: Predicate, *, within: int | None = None) -> Then:
        """Holds where `other` does and this held at an earlier step, at most `within` steps before."""
        return Then(self, as_predicate(other), count(within, "within", may_be_none=True))

    def before(self, other: Predicate) -> Before:
        """Holds where this does and `other` has not held so far, nor holds in the same step."""
        return Before(self, as_predicate(other))

    def without(self, other: Predicate, *, within: int) -> Without:
        """Holds where this held `within` steps before (or more, at the first step there is) and `other` not since.

        ``error.without(retry, within=3)``: of an error in step 7 no retry came in 8, 9 or 10. It holds at step 10, once
        for each time; not where the run ends before.
        """
        return Without(self, as_predicate(other), count(within, "within") or 1)

    def at_least(self, n: int, *, within: int | None = None) -> AtLeast:
        """Holds where this does for the `n`-th time in the run or later; with `within`, `n` times in so many steps.

        ``within=10``: the `n`-th last time is at most 10 steps before.
        """
        return AtLeast(self, count(n, "n") or 1, count(within, "within", may_be_none=True))

    def begins(self) -> Begins:
        """Holds where this does and did not at the step before, or there was none."""
        return Begins(self)

    def watch(self, run: Mapping[str, Any] | None = None) -> Matcher:
        """Something to ask step by step, of a run that goes on: a breakpoint, an alert.

        Parameters
        ----------
        run
            The columns of the run, like a row of ``bench.executions()``; needed where the predicate speaks of them.
        """
        return Matcher(as_predicate(self), run=run)

    def to_dict(self) -> dict[str, Any]:
        """The predicate as JSON; :func:`workbench._predicates.from_dict` reads it."""
        return {"predicate": repr(self), "version": 1}

    def test(self, said: Said) -> Test:
        """Something to ask at each step of one run, after its parts; what they say is in `said`."""
        raise NotImplementedError

    def predicates(self) -> list[Predicate]:
        """The predicate and those it is made of, each once, behind its own parts."""
        found: dict[str, Predicate] = {}
        for node in self.walk():
            if isinstance(node, Predicate):
                found.pop(repr(node), None)
                found[repr(node)] = node
        return list(reversed(found.values()))

    def columns(self) -> tuple[Column, ...]:
        """What has to be known to tell, each once."""
        return columns_of(self)

    def run_columns(self) -> list[str]:
        """The columns of the run that have to be known."""
        return list(dict.fromkeys(column.keys[0] for column in self.columns() if isinstance(column, Run)))


def as_predicate(given: Any) -> Predicate:
    """What is given, if it is one, and no larger than can be asked."""
    if isinstance(given, Predicate):
        _check_size(given)
        return given
    if isinstance(given, Value):
        given.not_joined(None)
    raise ConfigurationError(
        f"{given!r} is no predicate. Make one with state(), event(), run() or never(), like"
        ' state("cart.total") > 100; in Python put each comparison in parentheses.',
        value=given,
    )


_MAX_PARTS, _MAX_DEPTH = 4_000, 200


def _check_size(predicate: Predicate) -> None:
    n, open_ = 0, [(predicate, 1)]
    while open_:
        node, depth = open_.pop()
        n += 1
        if n > _MAX_PARTS or depth > _MAX_DEPTH:
            raise ConfigurationError(
                f"The predicate has more than {_MAX_PARTS} parts, or more than {_MAX_DEPTH} one inside the other. For"
                " one of many values write .is_in([…]), or a list, as in event(name=[…])."
            )
        open_ += [(part, depth + 1) for part in node.parts()]


@dataclass(frozen=True, eq=False, repr=False)
class Event(Predicate):
    """An event of a kind; see :func:`event`."""

    kind: str | None = None
    where: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def event_types(self) -> tuple[str, ...]:
        """The event types meant; none = all."""
        return () if self.kind is None else words.GROUPS.get(self.kind, (self.kind,))

    def __getitem__(self, path: str) -> EventValue:
        example = "'name', 'duration_ms' or 'data.tool.arguments.amount'"
        keys = paths.keys_of(path, example=example)
        first = keys[0] if keys else path
        words.no_time(first)
        advice = f"What is inside the event's data is written data.{path}, as in the fields= of bench.events()."
        words.known(first, (*words.EVENT_COLUMNS, *words.EVENT_DOCUMENTS), what="Column of events", advice=advice)
        words.no_deeper(keys, words.EVENT_DOCUMENTS)
        return EventValue(self, stored_keys(keys))

    def repeats(self, n: int, *paths: str, within: int | None = None) -> Repeats:
        """Holds where an event says the same as events of `n` steps or more so far, this one among them.

        Parameters
        ----------
        n
            How often; ``event("tool_call").repeats(3)`` is the third same call, and each one after.
        *paths
            What has to be the same, each as in brackets; left out: ``"name"`` and ``"data.tool.arguments"``.
        within
            The `n`-th last of these steps is at most so many steps before.
        """
        values = tuple(self[path] for path in paths or ("name", "data.tool.arguments"))
        return Repeats(values, count(n, "n") or 1, count(within, "within", may_be_none=True))

    def is_of(self, row: Row) -> bool:
        """Whether an event is of the kind."""
        return moments.is_of(row, self.event_types, self.where)

    def test(self, said: Said) -> Test:
        return lambda moment: any(self.is_of(row) for row in moment.events)

    def __repr__(self) -> str:
        given = [] if self.kind is None else [written(self.kind)]
        given += [
            f"{name}={written(values[0]) if len(values) == 1 else written(list(values))}" for name, values in self.where
        ]
        return f"event({', '.join(given)})"


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Predicate):
    """Two values and what is asked of them. False where one is missing."""

    op: str
    left: Value
    right: Value

    def __post_init__(self) -> None:
        columns = columns_of(self)
        events = {repr(column.event) for column in columns if isinstance(column, EventValue)}
        if not columns:
            raise ConfigurationError(f"{self!r} compares constants: it is the same at every step.")
        if len(events) > 1:
            raise ConfigurationError(
                f"{self!r} compares values of two events, and a comparison looks at one event at a time. Take both from"
                " one, or write two comparisons joined by .then()."
            )

    @property
    def event(self) -> Event | None:
        """The kind of event that it looks at; None where it looks at none."""
        return next((column.event for column in columns_of(self) if isinstance(column, EventValue)), None)

    def holds(self, look: Look) -> bool:
        """Whether it does, where `look` gives the values of its columns."""
        left, right = self.left.compute(look), self.right.compute(look)
        return left is not MISSING and right is not MISSING and semantics.COMPARISONS[self.op](left, right)

    def test(self, said: Said) -> Test:
        event = self.event
        if event is None:
            return lambda moment: self.holds(lambda column: column.read(moment, None))
        return lambda moment: any(
            event.is_of(row) and self.holds(lambda column, row=row: column.read(moment, row)) for row in moment.events
        )

    def __repr__(self) -> str:
        if self.op == "exists":
            return f"{self.left!r}.exists()"
        if self.op.isidentifier():
            return f"{_called(self.left)}.{self.op}({_bare(self.right)})"
        return f"{_bare(self.left)} {self.op} {_bare(self.right)}"


def _bare(value: Value) -> str:
    text = repr(value)
    return text[1:-1] if isinstance(value, Arithmetic) else text


def _called(value: Value) -> str:
    return repr(value) if not isinstance(value, Literal) else f"({value!r})"


@dataclass(frozen=True, eq=False, repr=False)
class Changed(Predicate):
    """A value of the state is another than after the last snapshot before. The first snapshot changes nothing."""

    value: Value

    def __post_init__(self) -> None:
        columns = columns_of(self.value)
        if not columns or not all(isinstance(column, State) for column in columns):
            raise ConfigurationError(
                f"{self!r}: only values of the state change from step to step. Of events ask for two, one .then() the"
                " other; a run's columns are the same at every step."
            )

    def test(self, said: Said) -> Test:
        before: list[Any] = []

        def changed(moment: Moment) -> bool:
            if not moment.has_snapshot:
                return False
            now = self.value.compute(lambda column: column.read(moment, None))
            was = before[0] if before else now
            before[:] = [now]
            return now is not was and (now is MISSING or was is MISSING or not same(now, was))

        return changed

    def __repr__(self) -> str:
        return f"{self.value!r}.changed()"


@dataclass(frozen=True, eq=False, repr=False)
class Repeats(Predicate):
    """See :meth:`Event.repeats`. An event of which nothing of that is told repeats none."""

    values: tuple[EventValue, ...]
    n: int
    within: int | None = None

    @property
    def event(self) -> Event:
        """The kind of event."""
        return self.values[0].event

    def test(self, said: Said) -> Test:
        return moments.repeats(self._said_of, self.n, self.within)

    def _said_of(self, moment: Moment) -> set[Any]:
        """What the events of a step say, of those that count."""
        rows = [row for row in moment.events if self.event.is_of(row)]
        told = [[value.read(moment, row) for value in self.values] for row in rows]
        return {key_of(values) for values in told if any(value is not MISSING for value in values)}

    def __repr__(self) -> str:
        paths_ = tuple(paths.written(value.keys) for value in self.values)
        named = "" if paths_ == ("name", "data.tool.arguments") else "".join(f", {written(path)}" for path in paths_)
        return f"{self.event!r}.repeats({self.n}{named}{_within(self.within)})"


def key_of(values: Sequence[Any]) -> Any:
    """Equal for equal JSON values, missing ones among them, and for nothing else."""
    return tuple(MISSING if value is MISSING else (item_key(value),) for value in values)


class Joined(Predicate):
    """Two predicates and an operator between them."""

    __slots__ = ()
    sign = ""
    left: Predicate
    right: Predicate

    def __repr__(self) -> str:
        # a & b & c needs no parentheses, a & (b & c) does: it is another tree.
        left = repr(self.left) if type(self.left) is type(self) else _inside(self.left)
        return f"{left} {self.sign} {_inside(self.right)}"


@dataclass(frozen=True, eq=False, repr=False)
class And(Joined):
    """Both hold."""

    left: Predicate
    right: Predicate
    sign = "&"

    def test(self, said: Said) -> Test:
        left, right = repr(self.left), repr(self.right)
        return lambda moment: said[left] and said[right]


@dataclass(frozen=True, eq=False, repr=False)
class Or(Joined):
    """One of them holds, or both."""

    left: Predicate
    right: Predicate
    sign = "|"

    def test(self, said: Said) -> Test:
        left, right = repr(self.left), repr(self.right)
        return lambda moment: said[left] or said[right]


@dataclass(frozen=True, eq=False, repr=False)
class Not(Predicate):
    """It does not hold."""

    inner: Predicate

    def __repr__(self) -> str:
        return f"~{_inside(self.inner)}"

    def test(self, said: Said) -> Test:
        inner = repr(self.inner)
        return lambda moment: not said[inner]


@dataclass(frozen=True, eq=False, repr=False)
class Then(Predicate):
    """See :meth:`Predicate.then`."""

    first: Predicate
    second: Predicate
    within: int | None = None

    def __repr__(self) -> str:
        return f"{_inside(self.first)}.then({self.second!r}{_within(self.within)})"

    def test(self, said: Said) -> Test:
        return moments.then(said, repr(self.first), repr(self.second), self.within)


@dataclass(frozen=True, eq=False, repr=False)
class Before(Predicate):
    """See :meth:`Predicate.before`."""

    first: Predicate
    second: Predicate

    def __repr__(self) -> str:
        return f"{_inside(self.first)}.before({self.second!r})"

    def test(self, said: Said) -> Test:
        return moments.before(said, repr(self.first), repr(self.second))


@dataclass(frozen=True, eq=False, repr=False)
class Without(Predicate):
    """See :meth:`Predicate.without`."""

    first: Predicate
    second: Predicate
    within: int

    def __repr__(self) -> str:
        return f"{_inside(self.first)}.without({self.second!r}{_within(self.within)})"

    def test(self, said: Said) -> Test:
        return moments.without(said, repr(self.first), repr(self.second), self.within)


@dataclass(frozen=True, eq=False, repr=False)
class AtLeast(Predicate):
    """See :meth:`Predicate.at_least`."""

    inner: Predicate
    n: int
    within: int | None = None

    def __repr__(self) -> str:
        return f"{_inside(self.inner)}.at_least({self.n}{_within(self.within)})"

    def test(self, said: Said) -> Test:
        return moments.at_least(said, repr(self.inner), self.n, self.within)


@dataclass(frozen=True, eq=False, repr=False)
class Begins(Predicate):
    """See :meth:`Predicate.begins`."""

    inner: Predicate

    def __repr__(self) -> str:
        return f"{_inside(self.inner)}.begins()"

    def test(self, said: Said) -> Test:
        return moments.begins(said, repr(self.inner))


@dataclass(frozen=True, eq=False, repr=False)
class Never(Predicate):
    """It has not held so far, unless `release` held before or at the same step; see :func:`never`."""

    inner: Predicate
    release: Predicate | None = None

    def until(self, release: Predicate) -> Never:
        """Holds as long as what is forbidden has not happened without a `release` before it, or in the same step.

        Once broken it stays so: ``bench.find(~never(c).until(d), first=True)`` gives the step that broke it.
        """
        if self.release is not None:
            raise ConfigurationError(f"{self!r} has its .until() already. Join two with |, in one .until(a | b).")
        return Never(self.inner, as_predicate(release))

    def __repr__(self) -> str:
        return f"never({self.inner!r})" + (f".until({self.release!r})" if self.release is not None else "")

    def test(self, said: Said) -> Test:
        release = None if self.release is None else repr(self.release)
        return moments.never(said, repr(self.inner), release)


def _inside(node: Predicate) -> str:
    return f"({node!r})" if isinstance(node, (Comparison, Joined, Not)) and not _is_call(node) else repr(node)


def _is_call(node: Predicate) -> bool:
    return isinstance(node, Comparison) and node.op.isidentifier()


def _within(within: int | None) -> str:
    return "" if within is None else f", within={within}"
