"""The events that hold a value, the one of them that brought it into a run, and what that one had it from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson
import polars as pl

from workbench.data.frames.filters import quoted
from workbench.data.store.course import Stretch, course
from workbench.replay.holders import EXACT, NUMBER, PATH, SUBSTRING, TELLING, Held, Needle, role_of, shown
from workbench.replay.paths import find, keys_of, pointer, walk

if TYPE_CHECKING:
    from workbench._typing import Recall
    from workbench.data.frames.load import Frames

_END = 2**31 - 1
_TRACED = 8  # values of one container, or arguments of one call, that are followed
_WORTH = 0.2  # specificity from which on they are
_FIRST_HAND = ("message", "reasoning", "tool_call", "tool_result", "llm_call")  # others tell again what these said
_MATCHES = {EXACT: 0, PATH: 1, NUMBER: 2, SUBSTRING: 3}


@dataclass(slots=True, frozen=True)
class Row:
    """One row of :func:`workbench.replay.provenance.origin`, and what is needed to go on from it."""

    depth: int
    of: str
    source: str
    execution_id: str | None = None
    step_number: int | None = None
    event_id: str | None = None
    event_type: str | None = None
    name: str | None = None
    agent: str | None = None
    place: str | None = None
    match: str | None = None
    same_key: bool | None = None
    specificity: float | None = None
    value: str | None = None
    text: str | None = None
    is_origin: bool = False
    is_credible: bool = False
    call: Mapping[str, Any] | None = None  # of a tool's result: the call as its event tells it


class Search:
    """Looks for values in the events of runs, and for what those came from.

    Parameters
    ----------
    deepest
        The depth to stop at.
    limit
        Rows of one depth and value.
    memory
        See :func:`workbench.replay.provenance.origin`.
    """

    def __init__(self, frames: Frames, *, deepest: int, limit: int, memory: Recall | None = None) -> None:
        self._frames = frames
        self._deepest = deepest
        self._limit = limit
        self._memory = memory
        self._been: set[tuple[str, int]] = set()  # calls and runs that were followed

    def back(self, run: str, until: int, wanted: Mapping[str, Needle], depth: int) -> list[Row]:
        """Rows of the values wanted: the events of a run up to a step that hold them, then what those came from."""
        if depth > self._deepest or not wanted:
            return []
        rows: list[Row] = []
        for of, found in self._holders(run, until, wanted, depth).items():
            needle = wanted[of]
            first = _first(found, until)
            if first is not None:
                rows += self._told(first, found) + self._further(first, needle)
                continue
            elsewhere = self._above(run, of, needle, depth) or self._parts(run, until, of, needle, depth)
            rows += elsewhere or self._told(_unknown(depth, of, needle), found)
        return rows

    def _told(self, origin: Row, found: Sequence[Row]) -> list[Row]:
        others = [row for row in found if row.event_id != origin.event_id or row.source != origin.source]
        others.sort(key=lambda row: not row.is_credible)
        others = others[: max(self._limit - 1, 0)]
        return [origin, *sorted(others, key=lambda row: _END if row.step_number is None else row.step_number)]

    # -- where it came from --------------------------------------------------------------------------------------------

    def _further(self, row: Row, needle: Needle) -> list[Row]:
        depth, run = row.depth + 1, row.execution_id or ""
        if depth > self._deepest:
            return []
        if row.source == "tool result":
            call = _call_of(self._frames, row)
            return self._below(row, call, needle) or self._arguments(run, call, depth)
        if row.source in ("user message", "system message", "run input"):
            return self._above(run, row.place or "", needle, depth)
        return []

    def _arguments(self, run: str, call: _Call | None, depth: int) -> list[Row]:
        """What the tool was given: its result is made of it."""
        if call is None or (run, call.step_number) in self._been:
            return []
        self._been.add((run, call.step_number))
        wanted = _leaves(call.arguments, "/tool/arguments")
        # What nothing before the call held, the call itself holds: the agent's own.
        return self.back(run, call.step_number, wanted, depth)

    def _below(self, row: Row, call: _Call | None, needle: Needle) -> list[Row]:
        """The run of a sub-agent that the call started, where it holds the value."""
        events = [event for event in (row.event_id, call and call.event_id) if event]
        children = asked(self._frames, _SPAWNED, row.execution_id or "", events)["id"]
        for child in children:
            if (child, _END) not in self._been:
                self._been.add((child, _END))
                rows = self.back(child, _END, {row.place or "": needle}, row.depth + 1)
                if rows and rows[0].source != "unknown":
                    return rows
        return []

    def _above(self, run: str, of: str, needle: Needle, depth: int) -> list[Row]:
        """The run that this one hangs on, where it holds the value before the step that it hangs on."""
        parent = asked(self._frames, _PARENT, _root(self._frames, run))
        if depth > self._deepest or not parent.height or (parent["run"][0], -1) in self._been:
            return []
        self._been |= {(parent["run"][0], -1), (run, _END)}
        step = parent["step"][0]
        rows = self.back(parent["run"][0], _END if step is None else int(step), {of: needle}, depth)
        return rows if rows and rows[0].source != "unknown" else []

    def _parts(self, run: str, until: int, of: str, needle: Needle, depth: int) -> list[Row]:
        """Of an object or a list that stands nowhere as a whole: the most telling of what it holds."""
        if not isinstance(needle.value, dict | list):
            return []
        rows = self.back(run, until, _leaves(needle.value, of), depth)
        return rows if any(row.source != "unknown" for row in rows) else []

    # -- who holds it --------------------------------------------------------------------------------------------------

    def _holders(self, run: str, until: int, wanted: Mapping[str, Needle], depth: int) -> dict[str, list[Row]]:
        """For each value the events that hold it, in their order; memories and the input of the run behind."""
        held: dict[str, list[Row]] = {of: [] for of in wanted}
        for event, data in self._documents(run, until, wanted.values()):
            for of, needle in wanted.items():
                row = _held(event, data, of, needle, depth)
                if row is not None:
                    held[of].append(row)
        return held

    def _documents(
        self, run: str, until: int, needles: Iterable[Needle]
    ) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        blank = dict.fromkeys(_COLUMNS) | {"execution_id": run}
        some = _condition([needle.hint() for needle in needles], is_redacted=self._frames.store.settings.redact)
        for stretch in _course(self._frames, run):
            last = until if stretch.until is None else min(until, stretch.until)
            where = f"step_number > {stretch.after} AND step_number <= {last}{some}"
            columns = [*_COLUMNS, "data"]
            for event in self._rows(str(stretch.execution_id), columns=columns, where=where):
                data = orjson.loads(event.pop("data") or "{}")
                # What was said on an abandoned branch is not what the agent saw.
                if not (isinstance(data.get("extra"), dict) and data["extra"].get("is_off_branch")):
                    yield event, data
        for memory in self._memory(run, until) if self._memory is not None else ():
            told = {name: memory.get(name) for name in ("step_number", "name")}
            yield {**blank, **told, "id": memory.get("id"), "source": "memory"}, {"content": memory.get("content")}
        given = asked(self._frames, _INPUT, _root(self._frames, run))["input"]
        if given.len() and given[0] is not None:
            yield {**blank, "source": "run input"}, {"input": orjson.loads(given[0])}

    def _rows(self, run: str, **chosen: Any) -> Iterator[dict[str, Any]]:
        for page in self._frames.pages("events", run, **chosen):
            yield from page.iter_rows(named=True)


_COLUMNS = ("execution_id", "step_number", "id", "event_type", "name", "agent")
_INPUT = "SELECT input::text AS input FROM agent_executions WHERE id = $1::uuid"
_PARENT = """
SELECT x.parent_execution_id::text AS run, e.step_number AS step
FROM agent_executions x LEFT JOIN observability_events e ON e.id = x.parent_event_id
WHERE x.id = $1::uuid AND x.parent_execution_id IS NOT NULL
"""
_SPAWNED = """
SELECT id::text AS id FROM agent_executions
WHERE parent_execution_id = $1::uuid AND parent_event_id::text = ANY($2) ORDER BY id
"""


def asked(frames: Frames, query: str, *params: Any) -> pl.DataFrame:
    """A small question to the store."""
    return frames.sql(query, params)


def _course(frames: Frames, run: str) -> list[Stretch]:
    with frames.store.raw() as connection:
        return course(connection, run)


def _root(frames: Frames, run: str) -> str:
    """Of a fork the run that it was forked from in the end; else the run itself."""
    return str(_course(frames, run)[0].execution_id)


def name_in(keys: Sequence[str]) -> str | None:
    """The name that a value has: the last key that is no position."""
    return next((key for key in reversed(keys) if not key.isdigit()), None)


def _leaves(value: Any, front: str) -> dict[str, Needle]:
    """The most telling values inside a container, by their pointers."""
    found = {
        front + pointer(keys): Needle(item, name_in(keys))
        for keys, item in walk(value)
        if not isinstance(item, dict | list)
    }
    telling = sorted(found.items(), key=lambda pair: -pair[1].specificity)[:_TRACED]
    return {of: needle for of, needle in telling if needle.specificity >= _WORTH}


def _condition(hints: Iterable[tuple[str, bool] | None], *, is_redacted: bool) -> str:
    """More SQL for the events that may hold one of the values. Redacted values stand otherwise in the store."""
    conditions: list[str] = []
    for hint in hints:
        if hint is None or is_redacted:
            conditions = []
            break
        text, is_regex = quoted(hint[0]), hint[1]
        conditions.append(f"lower(data::text) ~ {text}" if is_regex else f"strpos(lower(data::text), {text}) > 0")
    return f" AND ({' OR '.join(dict.fromkeys(conditions))})" if conditions else ""


def _held(event: Mapping[str, Any], data: dict[str, Any], of: str, needle: Needle, depth: int) -> Row | None:
    """The best place of an event that holds the value."""
    best = min(needle.found(data), key=lambda held: _rank(held, needle), default=None)
    if best is None:
        return None
    source = event.get("source") or role_of(best.place, data, event["event_type"])
    return Row(
        depth, of, source, event["execution_id"], event["step_number"], event["id"], event["event_type"],
        event["name"], event["agent"], best.place, best.match, best.same_key, needle.specificity, shown(needle.value),
        best.text, is_credible=needle.is_credible(best), call=_told_call(data, best.place),
    )  # fmt: skip


def _rank(held: Held, needle: Needle) -> tuple[Any, ...]:
    """What was given stands before what came of it, a source's own fields before the rest of its record."""
    keys = held.place.split("/")[1:]
    is_given = keys[:2] in (["extra", "input_messages"], ["extra", "input"])
    order = 0 if is_given else 1 if "arguments" in keys[:3] else 2
    is_rest = keys[0] == "extra" and not is_given
    return not needle.is_credible(held), is_rest, order, not held.same_key, _MATCHES[held.match]


def _first(found: Sequence[Row], until: int) -> Row | None:
    """The row that brought the value in, marked: the earliest, or of a value that says little the nearest."""
    # What the step of the change says as a whole is no accident, however short it is.
    credible = [row for row in found if row.is_credible or (row.match == EXACT and row.step_number == until)]
    of_kind = (
        [row for row in credible if row.event_type in _FIRST_HAND or row.source == "memory"],
        [row for row in credible if row.source == "run input"],
        credible,
    )
    rows = sorted(next(filter(None, of_kind), []), key=lambda row: _END if row.step_number is None else row.step_number)
    if not rows:
        return None
    is_telling = (rows[0].specificity or 0) >= TELLING
    return replace(rows[0] if is_telling else rows[-1], is_origin=True)


def _unknown(depth: int, of: str, needle: Needle) -> Row:
    return Row(
        depth, of, "unknown", specificity=needle.specificity, value=shown(needle.value), is_origin=True,
        text="no event up to there holds it, other than by accident",
    )  # fmt: skip


# ---------------------------------------------------------------- calls


@dataclass(slots=True, frozen=True)
class _Call:
    step_number: int
    event_id: str
    arguments: Any


def _told_call(data: Mapping[str, Any], place: str) -> Mapping[str, Any] | None:
    """The call, as the event tells it, whose result a place is in."""
    keys = keys_of(place)
    call = find(data, keys[:2] if keys[:1] == ["tool_calls"] else keys[:1], None)
    return call if keys[:1] in (["tool"], ["tool_calls"]) and isinstance(call, dict) else None


def _call_of(frames: Frames, row: Row) -> _Call | None:
    """The call that a tool's result answers: told in the same event, or in one before."""
    told, step = row.call, row.step_number
    if told is None or step is None or row.event_id is None:
        return None
    if told.get("arguments") is not None:
        return _Call(step, row.event_id, told["arguments"])
    call_id = told.get("call_id")
    if not isinstance(call_id, str) or not call_id:
        return None
    text = quoted(orjson.dumps(call_id).decode())
    where = f"step_number < {step} AND strpos(data::text, {text}) > 0"
    events = frames.events(row.execution_id, columns=["step_number", "id", "data"], where=where)
    for number, event_id, data in reversed(events.rows()):
        document = orjson.loads(data)
        for call in [document.get("tool"), *(document.get("tool_calls") or ())]:
            if isinstance(call, dict) and call.get("call_id") == call_id and "arguments" in call:
                return _Call(number, event_id, call["arguments"])
    return None
