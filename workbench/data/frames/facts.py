"""What the parts of a predicate say that look at values: read from the store once, then asked for any steps.

Whether a comparison holds is decided by :mod:`workbench._predicates.semantics`, once for each distinct value (or pair
of values), so a search says exactly what a breakpoint says. The server picks the events, and leaves out those that
cannot match; it never decides alone what a value means.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray
from psycopg import sql

from workbench._delta import item_key
from workbench._predicates import nodes, paths, words
from workbench._predicates.nodes import Column, Comparison, Event, EventValue, Literal, Predicate, Run, State
from workbench._predicates.paths import MISSING
from workbench.data.frames import filters
from workbench.data.frames.forks import past
from workbench.data.frames.state_paths import looked_up, state_values
from workbench.data.frames.steps import STEPS, Flags, Keys, Leaf, Steps, joined

if TYPE_CHECKING:
    from workbench.data.frames.transport import Transport

Codes = NDArray[np.int64]


class Coded:
    """Values of one column, by key: a number for each distinct one. Number -1 is missing."""

    def __init__(self, keys: Keys, texts: pl.Series) -> None:
        self.keys = keys
        distinct = texts.drop_nulls().unique()
        self.values: list[Any] = orjson.loads(f"[{','.join(distinct)}]") if len(distinct) else []
        numbers = pl.DataFrame({"text": distinct, "code": np.arange(len(distinct), dtype=np.int64)})
        asked = pl.DataFrame({"text": texts}).join(numbers, on="text", how="left", maintain_order="left")
        self.codes: Codes = asked["code"].fill_null(-1).to_numpy()

    def filled(self, steps: Steps) -> Codes:
        """The value at each step: that of the last key until then."""
        places = steps.filled(self.keys)
        return np.where(places >= 0, self.codes[places], -1) if len(self.codes) else np.full(len(places), -1)


class Facts:
    """Reads what a predicate needs to know of some runs.

    Parameters
    ----------
    runs
        ``id``, and a column of JSON text named as each column of the run that is asked for; numbered from 0.
    chosen
        SQL of the ids of these runs; ``None`` = all that there are.

    Notes
    -----
    The steps that a fork shares are read with those of the run it left, which gets a number behind the runs chosen, and
    stand in the fork as well: what is asked of a fork is asked of its whole course.
    """

    def __init__(self, transport: Transport, runs: pl.DataFrame, chosen: sql.Composable | None) -> None:
        self.transport = transport
        self.n_chosen = len(runs)
        shared = past(transport, chosen).filter(pl.col("fork").is_in(runs["id"].implode()))
        others = shared.select(id=pl.col("run").unique()).join(runs, on="id", how="anti")
        runs = pl.concat([runs, others], how="diagonal")
        self.runs = runs
        self.n_runs = len(runs)
        if chosen is not None and len(others):
            known = sql.SQL("SELECT unnest({}::uuid[])").format(sql.Literal(others["id"].to_list()))
            chosen = sql.SQL("{} UNION ALL {}").format(chosen, known)
        self.chosen = chosen
        number = {run: n for n, run in enumerate(runs["id"])} if len(shared) else {}
        self._shared = [(number[fork], number[run], after, until) for fork, run, after, until in shared.iter_rows()]
        self._numbers = pl.DataFrame({"run": runs["id"], "number": np.arange(len(runs), dtype=np.int64)})
        self._states: dict[str, Coded] = {}
        self._keys: dict[str, Keys] = {}
        self._truth: dict[str, tuple[Keys, Flags]] = {}
        self._gaps: tuple[Keys, Keys] | None = None

    # -- what the predicate asks ---------------------------------------------------------------------------------------

    def read(self, predicate: Predicate) -> None:
        """Read all that it needs."""
        for column in predicate.columns():
            if isinstance(column, State):
                self._states[repr(column)] = self._state(column)
        for node in predicate.walk():
            if repr(node) in self._keys or repr(node) in self._truth:
                continue
            if isinstance(node, Event):
                self._keys[repr(node)] = self._events(node)
            elif isinstance(node, nodes.Repeats):
                self._keys[repr(node)] = self._repeats(node)
            elif isinstance(node, nodes.Changed):
                self._keys[repr(node)] = self._changes(node)
            elif isinstance(node, Comparison) and node.event is not None:
                self._keys[repr(node)] = self._of_events(node)
            elif isinstance(node, Comparison):
                self._truth[repr(node)] = self._of_states(node)

    def leaf(self, node: Predicate) -> Leaf:
        """At which of some steps a part holds."""
        if repr(node) in self._keys:
            return lambda steps: steps.among(self._keys[repr(node)])
        keys, truth = self._truth[repr(node)]
        if not any(isinstance(column, State) for column in node.columns()):
            return lambda steps: truth[steps.runs]

        def filled(steps: Steps) -> Flags:
            places = steps.filled(keys)
            holds = (places >= 0) & truth[places] if len(truth) else np.zeros(len(places), bool)
            return holds & ~self._pruned(steps)

        return filled

    def may_hold(self, node: Predicate) -> Flags:
        """The runs in which a part holds at some step, or may."""
        if repr(node) in self._keys:
            keys = self._keys[repr(node)]
        else:
            keys, truth = self._truth[repr(node)]
            keys = keys[truth]
        found = np.zeros(self.n_runs, bool)
        found[keys // STEPS] = True
        return found

    def codes(self, column: Column, steps: Steps) -> Codes:
        """The number of a column's value at each step, into :meth:`values`; -1 = missing."""
        return self._codes(column, steps, {})[0]

    def values(self, column: Column) -> list[Any]:
        """The distinct values of a column of the state or the run."""
        return self._codes(column, Steps(np.zeros(0, np.int64)), {})[1]

    def happened(self, predicate: Predicate) -> Keys:
        """The steps of all its events and changes."""
        return joined([self._keys[repr(n)] for n in predicate.walk() if repr(n) in self._keys])

    def own(self, keys: Keys) -> Flags:
        """Which steps are of the runs chosen, and of forks behind those that they share."""
        return (keys < self.n_chosen * STEPS) & (keys % STEPS > self._shared_until()[keys // STEPS])

    def _shared_until(self) -> NDArray[np.int64]:
        """By run: the last step that a fork shares; -1 of all others."""
        shared = np.full(self.n_runs, -1, np.int64)
        for fork, _, _, until in self._shared:
            shared[fork] = max(shared[fork], until)
        return shared

    def all_steps(self, wanted: Flags) -> Keys:
        """Every step of the runs wanted that has an event or a state."""
        read = wanted.copy()
        read[[run for fork, run, _, _ in self._shared if wanted[fork]]] = True
        ids = None if read.sum() > self.n_runs / 2 else self.runs["id"].filter(pl.Series(read)).to_list()
        found = []
        for table in ("observability_events", "execution_snapshots"):
            query = sql.SQL("SELECT e.execution_id AS run, e.step_number::bigint AS step FROM {} e{}").format(
                sql.Identifier("workbench", table), self._where("e", ids=ids)
            )
            found.append(self._numbered(self.transport.fetch(query, _PLACE))[0])
        keys = joined(found)
        return keys[wanted[keys // STEPS]]

    def _pruned(self, steps: Steps) -> Flags:
        """The steps whose states were pruned: what was true before them may have ended there."""
        if self._gaps is None:
            self._gaps = self._read_gaps()
        first, last = self._gaps
        place = np.searchsorted(first, steps.keys, side="right") - 1
        return (place >= 0) & (steps.keys <= last[place]) if len(first) else np.zeros(len(steps.keys), bool)

    def _read_gaps(self) -> tuple[Keys, Keys]:
        rows = self.transport.fetch(_GAPS.format(self._where("p")), _PLACE | {"length": pl.Int64})
        first, order = self._numbered(rows)
        last = first + rows["length"].to_numpy()[order]
        end = (
            first // STEPS * STEPS + self._shared_until()[first // STEPS]
        )  # of what a fork shares; behind it comes its own
        return first, np.where(first <= end, np.minimum(last, end), last)

    # -- reading -------------------------------------------------------------------------------------------------------

    def _where(self, alias: str, *conditions: sql.Composable, ids: Sequence[str] | None = None) -> sql.Composable:
        return filters.all_of([*conditions, *self._of_runs(alias, ids)])

    def _of_runs(self, alias: str, ids: Sequence[str] | None = None) -> list[sql.Composable]:
        run = sql.SQL("{}.execution_id").format(sql.Identifier(alias))
        if ids is not None:
            return [filters.ids(run, ids)]
        return [] if self.chosen is None else [sql.SQL("{} IN ({})").format(run, self.chosen)]

    def _numbered(self, rows: pl.DataFrame) -> tuple[Keys, NDArray[np.int64]]:
        """Keys of rows with ``run`` and ``step``, sorted, and the rows they are of; none of runs not asked for."""
        number = pl.DataFrame({"run": rows["run"]}).join(self._numbers, on="run", how="left", maintain_order="left")
        keys = (number["number"] * STEPS + rows["step"]).fill_null(-1).to_numpy()
        order = np.argsort(keys, kind="stable") if (keys[1:] < keys[:-1]).any() else np.arange(len(keys))
        order = order[np.searchsorted(keys[order], 0) :]
        keys = keys[order]
        return self._with_shared(keys, order) if self._shared else (keys, order)

    def _with_shared(self, keys: Keys, order: NDArray[np.int64]) -> tuple[Keys, NDArray[np.int64]]:
        """The same and, for each fork, what it shares; its own comes behind that at the same step.

        The first state of a fork stands at the step it was forked at, as that of the run it left does.
        """
        all_keys, all_order = [], []
        for fork, run, after, until in self._shared:
            part = slice(*np.searchsorted(keys, [run * STEPS + max(after, 0), run * STEPS + until + 1]))
            all_keys.append(keys[part] + (fork - run) * STEPS)
            all_order.append(order[part])
        together = np.concatenate([*all_keys, keys])
        place = np.argsort(together, kind="stable")
        return together[place], np.concatenate([*all_order, order])[place]

    def _state(self, column: State) -> Coded:
        rows = state_values(self.transport, column.keys, where=self._of_runs("s"))
        keys, order = self._numbered(rows)
        last = np.append(keys[1:] != keys[:-1], True)[: len(keys)]  # a fork's own first state, not the one it shares
        return Coded(keys[last], rows["value"][order[last]])

    def _events(self, event: Event) -> Keys:
        query = sql.SQL("SELECT e.execution_id AS run, e.step_number::bigint AS step FROM {}{}").format(
            _EVENTS, self._where("e", *_of_kind(event))
        )
        return joined([self._numbered(self.transport.fetch(query, _PLACE))[0]])

    def _of_events(self, node: Comparison) -> Keys:
        """The steps with an event that makes a comparison true."""
        assert node.event is not None
        read = [column for column in node.columns() if isinstance(column, EventValue)]
        there = [sql.SQL("{} IS NOT NULL").format(_json(column)) for column in read]
        keys, coded = self._values(node.event, read, [*there, *_may_match(node)])
        return joined([keys[self._compared(node, Steps(keys), coded)]])

    def _repeats(self, node: nodes.Repeats) -> Keys:
        """The steps with an event that says the same as those of enough steps before."""
        keys, coded = self._values(node.event, node.values, [])
        told = np.zeros(len(keys), np.int64)
        is_told = np.zeros(len(keys), bool)
        for one in coded.values():
            alike: dict[Any, int] = {}
            same = [alike.setdefault(_key(value), len(alike)) for value in [*one.values, MISSING]]
            told = np.unique(told * len(same) + np.array(same)[one.codes], return_inverse=True)[1].reshape(-1)
            is_told |= one.codes >= 0
        rows = pl.DataFrame({"key": keys, "told": told}).filter(pl.Series(is_told)).unique().sort("key")
        earlier = pl.col("key").shift(node.n - 1).over(pl.col("key") // STEPS, "told")
        is_near = pl.lit(value=True) if node.within is None else pl.col("key") - earlier <= node.within
        return joined([rows.filter(earlier.is_not_null() & is_near)["key"].to_numpy()])

    def _values(
        self, event: Event, read: Sequence[EventValue], conditions: Sequence[sql.Composable]
    ) -> tuple[Keys, dict[str, Coded]]:
        """The values of events of a kind, by column."""
        texts = [
            sql.SQL("({})::text AS {}").format(_json(column), sql.Identifier(f"v{n}")) for n, column in enumerate(read)
        ]
        query = sql.SQL("SELECT e.execution_id AS run, e.step_number::bigint AS step, {} FROM {}{}").format(
            sql.SQL(", ").join(texts), _EVENTS, self._where("e", *_of_kind(event), *conditions)
        )
        rows = self.transport.fetch(query, _PLACE | {f"v{n}": pl.String for n in range(len(read))})
        keys, order = self._numbered(rows)
        return keys, {
            repr(column): Coded(keys, looked_up(rows[f"v{n}"], _rest(column))[order]) for n, column in enumerate(read)
        }

    def _of_states(self, node: Comparison) -> tuple[Keys, Flags]:
        """Where a comparison of states and columns of the run changes, and whether it holds from there on."""
        states = [self._states[repr(column)] for column in node.columns() if isinstance(column, State)]
        keys = _all_keys(states) if states else np.arange(self.n_runs, dtype=np.int64) * STEPS
        return keys, self._compared(node, Steps(keys), {})

    def _changes(self, node: nodes.Changed) -> Keys:
        """The steps at which a value of the state is another than at the snapshot before."""
        # Rows that say the same value again do no harm; the first of a run is that of its first snapshot, a keyframe.
        steps = Steps(_all_keys([self._states[repr(column)] for column in node.value.columns()]))
        codes, rows = self._together(node.value, steps, {})
        alike: dict[Any, int] = {}
        values = _each(node.value, node.value.compute, rows)
        same = np.array([alike.setdefault(_key(value), len(alike)) for value in values], np.int64)[codes]
        is_first = np.arange(len(codes)) == steps.first
        return steps.keys[~is_first & (same != np.roll(same, 1))]

    # -- deciding ------------------------------------------------------------------------------------------------------

    def _compared(self, node: Comparison, steps: Steps, coded: dict[str, Coded]) -> Flags:
        codes, rows = self._together(node, steps, coded)
        return np.array(_each(node, node.holds, rows), bool)[codes]

    def _together(self, node: nodes.Node, steps: Steps, coded: dict[str, Coded]) -> tuple[Codes, list[Sequence[Any]]]:
        """For each step a number, and for each number the values of the columns of a node."""
        codes: list[Codes] = []
        values: list[list[Any]] = []
        for column in nodes.columns_of(node):
            found = self._codes(column, steps, coded)
            codes.append(found[0])
            values.append([*found[1], MISSING])  # -1 is the last
        if len(codes) == 1:
            return codes[0], [(value,) for value in values[0]]
        together = np.zeros(len(steps.keys), np.int64)
        for of_column, known in zip(codes, values, strict=True):
            together = np.unique(together * len(known) + of_column % len(known), return_inverse=True)[1].reshape(-1)
        _, example = np.unique(together, return_index=True)
        return together, [
            tuple(known[of_column[n]] for of_column, known in zip(codes, values, strict=True)) for n in example
        ]

    def _codes(self, column: Column, steps: Steps, coded: dict[str, Coded]) -> tuple[Codes, list[Any]]:
        if isinstance(column, State):
            state = self._states[repr(column)]
            return state.filled(steps), state.values
        if isinstance(column, Run):
            of_runs = Coded(steps.keys[:0], self.runs[repr(column)])
            return of_runs.codes[steps.runs], of_runs.values
        return coded[repr(column)].codes, coded[repr(column)].values


def _each(node: nodes.Node, ask: Callable[[nodes.Look], Any], rows: Sequence[Sequence[Any]]) -> list[Any]:
    """What a node says of each row of values."""
    names = [repr(column) for column in nodes.columns_of(node)]
    place = {id(part): names.index(repr(part)) for part in node.walk() if isinstance(part, Column)}
    row: Sequence[Any] = ()

    def look(column: Column) -> Any:
        return row[place[id(column)]]

    said = []
    for row in rows:  # noqa: B007 (look() sees it)
        said.append(ask(look))
    return said


def _key(value: Any) -> Any:
    """Equal for equal JSON values, and for nothing else."""
    return MISSING if value is MISSING else (item_key(value),)


def _all_keys(states: Sequence[Coded]) -> Keys:
    return states[0].keys if len(states) == 1 else joined([one.keys for one in states])


# ---------------------------------------------------------------- SQL of events

_EVENTS = sql.SQL("workbench.observability_events e")
_PLACE: dict[str, Any] = {"run": pl.String, "step": pl.Int64}
_GAPS = sql.SQL(
    "SELECT p.execution_id AS run, p.first_step::bigint AS step, (p.last_step - p.first_step)::bigint AS length"
    " FROM workbench.pruned_states p{}"
)
_ONE_OF_SEVERAL = "jsonb_path_exists(e.data->'tool_calls', 'strict $[*] ? (@.name == $names[*])', {}::jsonb, true)"
_ESCAPED = re.compile(r'["\\\x00-\x1f]')  # what JSON text writes otherwise


def _of_kind(event: Event) -> list[sql.Composable]:
    """That an event is of a kind; as :func:`workbench._predicates.moments.is_of` has it."""
    found = [filters.one_of(sql.SQL("e.event_type"), event.event_types, name="event")] if event.event_types else []
    for column, values in event.where:
        condition = filters.one_of(sql.SQL("e.{}").format(sql.Identifier(column)), values, name=column)
        if column == "name":
            names = sql.Literal(orjson.dumps({"names": values}).decode())
            condition = sql.SQL("({} OR {})").format(condition, sql.SQL(_ONE_OF_SEVERAL).format(names))
        found.append(condition)
    return found


def _json(column: EventValue) -> sql.Composable:
    """The value as JSON; SQL's NULL where it is missing."""
    if column.keys[0] in words.EVENT_DOCUMENTS:
        return sql.SQL("e.{} #> {}::text[]").format(sql.Identifier(column.keys[0]), sql.Literal(_plain(column)))
    return sql.SQL("to_jsonb(e.{})").format(sql.Identifier(column.keys[0]))


def _plain(column: EventValue) -> list[str]:
    return list(paths.plain(column.keys[1:]))


def _rest(column: EventValue) -> tuple[str, ...]:
    return column.keys[1 + len(_plain(column)) :]


def _may_match(node: Comparison) -> list[sql.Composable]:
    """What is true of every event that makes a comparison with a constant true: the others are not sent."""
    if not isinstance(node.left, EventValue) or not isinstance(node.right, Literal) or _rest(node.left):
        return []
    value, wanted = sql.SQL("(({}) #>> '{{}}')").format(_json(node.left)), node.right.value
    if node.op == "==" and isinstance(wanted, str):
        return [sql.SQL("{} = {}").format(value, sql.Literal(wanted))]
    if node.op == "is_in" and all(isinstance(one, str) for one in wanted):
        return [sql.SQL("{} = ANY({}::text[])").format(value, sql.Literal(wanted))]
    # In an object or array the text stands as JSON writes it.
    if node.op == "contains" and isinstance(wanted, str) and not _ESCAPED.search(wanted):
        return [sql.SQL("strpos({}, {}) > 0").format(value, sql.Literal(wanted))]
    if node.op in ("<", "<=", ">", ">=") and not isinstance(wanted, str):
        return [sql.SQL("jsonb_typeof({}) = 'number'").format(_json(node.left))]
    return []
