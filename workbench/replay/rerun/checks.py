"""Whether an agent did what was recorded; where it did not, the step, both sides, and what differs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from workbench._delta import apply, same
from workbench.data.store.storable import dumped
from workbench.errors import DivergedError, EffectRefusedError
from workbench.replay.compare import Diff, compare
from workbench.replay.rerun.answering import said_call
from workbench.replay.rerun.memory import EVENTS
from workbench.replay.rerun.play import Played, answers_of
from workbench.replay.rerun.tape import MARKED, Answer, fits, settled

_VALUE = 300  # characters of a value in a message
_OPERATIONS = 12  # of a patch in a message
_STOPPED = (DivergedError, EffectRefusedError)
_MORE = 5  # further differences that are named


class NotAsRecordedError(AssertionError):
    """An agent did something else than what was recorded."""


def check_steps(played: Played, steps: Iterable[Mapping[str, Any]]) -> None:
    """Assert that an agent asked its tools and its model for the same, in the same order.

    Compared as by ``bench.compare()``: identifiers and times that a run makes up are not differences, nor is what
    tools for thinking are given. What models were asked, and which, is not compared.

    Raises
    ------
    NotAsRecordedError
        With the first step that differs, what was expected, what came, and the patch between.
    """
    __tracebackhide__ = True
    recorded = answers_of(steps)
    tells_requests = not any(one.is_turn for one in recorded)
    recorded = [one for one in recorded if not one.is_turn]
    loose = [one for one in recorded if one.arguments is None or MARKED in dumped(one.arguments)]
    came = [_as_recorded(call, loose) for call in answers_of(played.calls) if tells_requests or not call.is_model]
    found = compare(_calls(recorded), _calls(came))
    rows = found.differences.rows(named=True)
    if rows:
        parts = [_of_calls(row, found, recorded, came) for row in rows[: 1 + _MORE]]
        _fail(parts, len(rows), played)


def check_states(played: Played, states: Sequence[Mapping[str, Any]]) -> None:
    """Assert that an agent went through the same states, in the same order.

    Parameters
    ----------
    states
        In order, ``{"step": 4, "state": …}`` or, on the state before, ``{"step": 7, "patch": [RFC 6902]}``.

    Raises
    ------
    NotAsRecordedError
        With the first state that differs and the patch to what came; or because the agent gave no state at all.
    """
    __tracebackhide__ = True
    recorded = _whole(states)
    came = played.states
    if played.is_begun_with_state and recorded and not (len(came) >= len(recorded) and same(came[0], recorded[0][1])):
        recorded = recorded[1:]
    if recorded and not came and played.error is None:
        raise NotAsRecordedError(
            f"The agent gave no state; {len(recorded)} were recorded. States are what it yields, or gives to"
            " run.step(). Where the recording had them from elsewhere, delete this test."
        )
    numbers = [step for step, _ in recorded]
    expected = [state for _, state in recorded]
    came = [settled(expected[at], one) if at < len(expected) else one for at, one in enumerate(came)]
    found = compare(_values(expected), _values(came))
    rows = [row for row in found.steps.rows(named=True) if row["kind"] != "equal"]
    if rows:
        parts = [_of_values(row, found, "State after step {}", numbers) for row in rows[: 1 + _MORE]]
        _fail(parts, len(rows), played)


def check_output(played: Played, output: Any) -> None:
    """Assert that an agent came to the recorded output; identifiers and times that a run makes up may differ.

    Raises
    ------
    NotAsRecordedError
        With what was expected, what came, and the patch between.
    """
    __tracebackhide__ = True
    found = compare(_values([output]), _values([settled(output, played.output)]))
    rows = [row for row in found.steps.rows(named=True) if row["kind"] != "equal"]
    if rows:
        _fail([_of_values(rows[0], found, "The output", [])], 1, played)


def check_end(played: Played, error: str | None = None) -> None:
    """Assert that an agent ended as recorded: completed, or failed with that ``error``, the name of its type.

    Raises
    ------
    NotAsRecordedError
        It ended otherwise.
    """
    __tracebackhide__ = True
    kinds = [kind.__name__ for kind in type(played.error).__mro__] if played.error is not None else []
    if error is None and (played.error is not None or played.status != "completed"):
        _fail([_Part("The end", "completed", played.status, [])], 1, played)
    if error is not None and error not in kinds:
        _fail([_Part("The end", f"failed with {error}", played.status, [])], 1, played)


class _Part:
    """A difference, ready to be told."""

    def __init__(self, where: str, expected: str, came: str, patch: list[dict[str, Any]]) -> None:
        self.where, self.expected, self.came, self.patch = where, expected, came, patch

    def lines(self) -> list[str]:
        told = [f"  expected  {self.expected}", f"  got       {self.came}"]
        for at, operation in enumerate(self.patch[:_OPERATIONS]):
            value = f": {_short(operation['value'])}" if "value" in operation else ""
            told.append(f"  {'' if at else 'diff':<8}  {operation['op']} {operation['path'] or '(all)'}{value}")
        if len(self.patch) > _OPERATIONS:
            told.append(f"            … and {len(self.patch) - _OPERATIONS} more operations")
        return told


def _fail(parts: list[_Part], n: int, played: Played) -> None:
    __tracebackhide__ = True
    first, *more = parts
    lines = [f"{first.where} is not as recorded.", *first.lines()]
    error = played.error
    if error is not None:  # what is missing behind it, is missing because of it
        more = [part for part in more if part.came != "nothing"]
        n = 1 + len(more)
    if more:
        named = "; ".join(f"{part.where}: expected {part.expected}, got {part.came}" for part in more)
        lines.append(f"{n - 1} more: {named}{'; …' if n > 1 + len(more) else '.'}")
    if isinstance(error, DivergedError):
        asked = said_call(getattr(error, "tool", None), getattr(error, "arguments", None))
        lines.append(f"The agent was stopped where it asked for what was not recorded: {_cut(asked)}.")
    elif isinstance(error, EffectRefusedError):
        lines.append(f"The agent was stopped: {error}")
    elif error is not None:
        lines.append(f"The agent ended with {type(error).__name__}: {_cut(str(error))}")
    if played.refused and not isinstance(error, EffectRefusedError):
        lines.append(f"It was refused: {', '.join(f'{one.kind} {_cut(one.what)}' for one in played.refused[:_MORE])}.")
    lines.append("If that is what the agent shall do now, record it anew and write the test again.")
    raise NotAsRecordedError("\n".join(lines)) from (None if isinstance(error, _STOPPED) else error)


def _of_calls(row: Mapping[str, Any], found: Diff, recorded: list[Answer], came: list[Answer]) -> _Part:
    x = None if row["a_step"] is None else recorded[row["a_step"]]
    y = None if row["b_step"] is None else came[row["b_step"]]
    patch = found.detail(row["position"])["arguments_patch"] if x and y else []
    if x is not None:
        where = f"Step {_number(x)}"
    else:
        before = found.steps.filter(pl.col("position") < row["position"])["a_step"].drop_nulls()
        where = f"after step {_number(recorded[before[-1]])}" if len(before) else "before the first step"
        where = f"What comes {where}"
    return _Part(where, "nothing more" if x is None else _said(x), _said(y), patch)


def _of_values(row: Mapping[str, Any], found: Diff, where: str, numbers: list[int]) -> _Part:
    side = found.detail(row["position"])
    a, b = (None if side[key] is None else side[key]["result"] for key in ("a", "b"))
    at = row["a_step"]
    place = where.format(numbers[at]) if at is not None and numbers else where.format("the last") if not numbers else ""
    expected = "nothing more" if row["a_step"] is None else _short(a)
    given = "nothing" if row["b_step"] is None else _short(b)
    return _Part(place or f"What comes after the state of step {numbers[-1]}", expected, given, side["result_patch"])


def _number(call: Answer) -> str:
    return f"{call.step_number}{f' of {call.agent}' if call.agent is not None else ''}"


def _said(call: Answer | None) -> str:
    if call is None:
        return "nothing"
    return (
        f"a question to the model {call.name or ''}".rstrip() if call.is_model else said_call(call.name, call.arguments)
    )


def _as_recorded(call: Answer, recorded: list[Answer]) -> Answer:
    """A call with the recorded arguments in place of its own, where it fits them: some were redacted, or not kept."""
    for one in recorded:
        if not call.is_model and one.name == call.name and fits(one.arguments, call.arguments):
            call.arguments = one.arguments
            break
    return call


def _calls(calls: Iterable[Answer]) -> pl.DataFrame:
    """Calls as events; numbered by their place, as two may have one step."""
    rows = []
    for at, call in enumerate(calls):
        asked = {} if call.is_model else {"tool": {"name": call.name, "arguments": call.arguments}}
        kind = "llm_call" if call.is_model else "tool_call"
        rows.append((at, kind, None if call.is_model else call.name, dumped({"role": "assistant", **asked})))
    return pl.DataFrame(rows, schema=EVENTS, orient="row")


def _values(values: Iterable[Any]) -> pl.DataFrame:
    rows = [(at, "state", "state", dumped({"extra": value})) for at, value in enumerate(values)]
    return pl.DataFrame(rows, schema=EVENTS, orient="row")


def _whole(states: Sequence[Mapping[str, Any]]) -> list[tuple[int, Any]]:
    made: list[tuple[int, Any]] = []
    for one in states:
        state = one["state"] if "state" in one else apply(made[-1][1] if made else {}, one["patch"])
        made.append((one.get("step", len(made)), state))
    return made


def _short(value: Any) -> str:
    return _cut(dumped(value))


def _cut(text: str) -> str:
    return text if len(text) <= _VALUE else f"{text[:_VALUE]}… ({len(text)} characters)"
