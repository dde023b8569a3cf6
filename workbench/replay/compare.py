"""Compare two runs: which steps correspond, where they part, and what the difference is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import orjson
import polars as pl

from workbench._delta import Patch, diff
from workbench.errors import NotFoundError

from .align import align
from .steps import Renaming, Step, steps_of

if TYPE_CHECKING:
    from workbench.data.frames.load import Frames

SCHEMA = {
    "position": pl.Int64,
    "a_step": pl.Int64,
    "b_step": pl.Int64,
    "kind": pl.String,
    "what": pl.String,
    "a_label": pl.String,
    "b_label": pl.String,
    "similarity": pl.Float64,
}

# Steps that are commentary: that one run has one more of them is a matter of wording, not of structure.
COMMENTARY = frozenset({"reasoning", "log"})
# Tools that do nothing but write down a thought.
THINKING_TOOLS = frozenset({"think", "sequentialthinking"})

StateAt = Callable[[int], Any]


@dataclass(frozen=True)
class Diff:
    """The aligned difference of two runs.

    Attributes
    ----------
    steps
        One row per aligned pair, in order: ``position`` (0-based row), ``a_step`` / ``b_step`` (step numbers, null
        where a run has no such step), ``kind`` (equal · changed · added · removed), ``what`` (tool · arguments ·
        result · text; null for equal rows and for steps that only one run has; ``text`` for such commentary),
        ``a_label`` / ``b_label`` (one line), ``similarity`` (0 … 1, null for added and removed).
    a, b
        What the runs are called in sentences.
    titles
        What a heading says of them: name, status and the beginning of the id of stored runs.
    """

    steps: pl.DataFrame
    a: str = "A"
    b: str = "B"
    titles: tuple[str, str] = ("", "")
    _pairs: list[tuple[Step | None, Step | None]] = field(default_factory=list, repr=False)
    _states: tuple[StateAt | None, StateAt | None] = field(default=(None, None), repr=False)

    @property
    def n_a(self) -> int:
        """Steps of the first run."""
        return self.steps["a_step"].count()

    @property
    def n_b(self) -> int:
        """Steps of the second run."""
        return self.steps["b_step"].count()

    @property
    def differences(self) -> pl.DataFrame:
        """The rows of ``steps`` that differ in more than wording."""
        return self.steps.filter(_decides())

    @property
    def wording(self) -> pl.DataFrame:
        """The rows of ``steps`` that differ in wording only."""
        return self.steps.filter((pl.col("kind") != "equal") & ~_decides())

    @cached_property
    def first_divergence(self) -> dict[str, Any] | None:
        """The first row that differs in tool, arguments, result or structure.

        How a span ends is settled by what happens inside it: it counts only where nothing else differs.
        """
        rows = list(self.differences.iter_rows(named=True))
        return next((row for row in rows if not self._is_span_end(row)), rows[0] if rows else None)

    def _is_span_end(self, row: dict[str, Any]) -> bool:
        x, y = self._pairs[row["position"]]
        return row["what"] == "result" and all(step is not None and step.event_type == "span" for step in (x, y))

    @cached_property
    def first_difference(self) -> dict[str, Any] | None:
        """The first row that differs at all, wording included."""
        return next(self.steps.filter(pl.col("kind") != "equal").head(1).iter_rows(named=True), None)

    @cached_property
    def first_action(self) -> dict[str, Any] | None:
        """The first row in which the runs ask for different tools, or for one with different arguments."""
        for row in self.differences.iter_rows(named=True):
            x, y = self._pairs[row["position"]]
            if row["what"] in ("tool", "arguments") or (row["what"] is None and (x or y).event_type == "tool_call"):
                return row
        return None

    @cached_property
    def summary(self) -> str:
        """One sentence: where the runs part, and how."""
        row = self.first_divergence
        if row is None:
            row = self.first_difference
            if row is None:
                return "The runs are equal step by step." if self.n_a else "Neither run has steps."
            return f"The runs decide alike at every step; their wording differs first at {_where(row, self.b)}."
        sentence = _ended(f"Diverges at {_where(row, self.b)}: {self._how(row)}")
        action = self.first_action
        if action and action["position"] != row["position"]:
            sentence += _ended(f" First different action at {_where(action, self.b)}: {self._how(action)}")
        return sentence

    def detail(self, position: int) -> dict[str, Any]:
        """Return both sides of a row in full, and the patches between them.

        ``a`` and ``b`` (None where a run has no such step) hold ``step event_type role name label calls result is_error
        text``, ``calls`` being ``[{"tool", "arguments"}]``. ``arguments_patch`` and ``result_patch`` are RFC 6902; the
        document of the first is the arguments where both sides make one call, else the list of calls.

        Raises
        ------
        NotFoundError
            There is no such row.
        """
        if not 0 <= position < len(self._pairs):
            raise NotFoundError(
                f"No row {position} in this comparison; its positions are 0 to {len(self._pairs) - 1}.",
                position=position,
            )
        x, y = self._pairs[position]
        return {
            "position": position,
            "a": x and _side(x),
            "b": y and _side(y),
            "arguments_patch": diff(_called(x), _called(y)) if x and y and _differ(x, y) else [],
            "result_patch": diff(x.result, y.result) if x and y else [],
        }

    def state_patch(self, step: int | None = None) -> Patch:
        """Return the RFC 6902 patch from the state of `a` after its step `step` to the state of `b` at the same point.

        The same point is the step of `b` aligned with it or, where there is none, the last one before it. Without
        `step`: from the state that `a` ends with to that `b` ends with.

        Raises
        ------
        NotFoundError
            The first run has no such step (without `step`: a run has no steps), or a run has no state there.
        """
        state_a, state_b = self._states
        if state_a is None or state_b is None:
            raise NotFoundError(
                "This comparison was made of events alone. Use bench.compare(a, b), or pass states_a= and states_b=."
            )
        if step is None:
            if not self.n_a or not self.n_b:
                raise NotFoundError(f"{self.a if not self.n_a else self.b} has no steps.")
            return diff(state_a(self._last("a_step")), state_b(self._last("b_step")))
        rows = self.steps.filter(pl.col("a_step") == step)
        if rows.is_empty():
            known = self.steps["a_step"]
            there_are = f"its steps are {known.min()} to {known.max()}" if self.n_a else "it has none"
            raise NotFoundError(f"{self.a} has no step {step}; {there_are}.", step=step)
        before = self.steps.filter(pl.col("position") <= rows["position"][0])["b_step"].drop_nulls()
        if before.is_empty():
            raise NotFoundError(f"{self.b} has not begun when {self.a} is at step {step}.", step=step)
        return diff(state_a(step), state_b(before[-1]))

    def _last(self, column: str) -> int:
        return self.steps[column].drop_nulls()[-1]

    def __repr__(self) -> str:
        first = self.first_divergence
        step = first and _step_number(first)
        return (
            f"Diff(a={self.n_a}, b={self.n_b}, differences={len(self.differences)}, wording={len(self.wording)},"
            f" first={step})"
        )

    def _how(self, row: dict[str, Any]) -> str:
        x, y = self._pairs[row["position"]]
        if x is None or y is None:
            step, run = (y, self.b) if x is None else (x, self.a)
            return f"only {run} {_does(step)}" if step else ""
        if row["what"] == "tool":
            return f"{self.a} {_does(x)}, {self.b} {_does(y)}"
        if row["what"] == "arguments":
            tool = x.calls[0][0] if x.calls else x.name
            patch = diff(_called(x), _called(y))
            names = list(dict.fromkeys(op["path"].split("/")[1] for op in patch if op["path"]))
            return f"{tool}({', '.join(names)}) differs{self._values(_called(x), _called(y), names)}"
        if x.is_error != y.is_error:
            return f"{x.name or x.event_type} fails in {self.a if x.is_error else self.b} only"
        names = []
        if isinstance(x.result, dict) and isinstance(y.result, dict):
            names = list(dict.fromkeys(op["path"].split("/")[1] for op in diff(x.result, y.result) if op["path"]))
        what = f"{x.name or x.event_type} answers differently"
        return what + (f" ({', '.join(names)})" if 0 < len(names) <= 4 else "")

    def _values(self, x: Any, y: Any, names: list[str]) -> str:
        if len(names) != 1 or not isinstance(x, dict) or not isinstance(y, dict):
            return ""
        shown = [orjson.dumps(side[names[0]]).decode() if names[0] in side else "absent" for side in (x, y)]
        if max(map(len, shown)) > 60:
            return ""
        return f": {shown[0]} in {self.a}, {shown[1]} in {self.b}"


def compare(
    events_a: pl.DataFrame,
    events_b: pl.DataFrame,
    *,
    states_a: StateAt | None = None,
    states_b: StateAt | None = None,
    a: str = "A",
    b: str = "B",
    titles: tuple[str, str] = ("", ""),
) -> Diff:
    """Align the steps of two runs and say how each pair differs.

    Identifiers and times that a run makes up (call ids, UUIDs) are not differences; see :mod:`workbench.replay.steps`.

    Parameters
    ----------
    events_a, events_b
        Frames of ``bench.events(run)``, one run each; the columns ``step_number event_type name data`` are used.
    states_a, states_b
        The state of each run after a step, for :meth:`Diff.state_patch`.
    a, b
        What to call the runs in sentences.
    titles
        What to say of them in headings.

    Raises
    ------
    ConfigurationError
        A frame lacks a column.

    Examples
    --------
    >>> import polars as pl
    >>> def call(city):
    ...     data = '{"role":"assistant","tool":{"name":"forecast","arguments":{"city":"%s"}}}' % city
    ...     return pl.DataFrame({"step_number": [0], "event_type": ["tool_call"], "data": [data]})
    >>> compare(call("Oslo"), call("Rome")).summary
    'Diverges at step 0: forecast(city) differs: "Oslo" in A, "Rome" in B.'
    """
    steps_a, steps_b = steps_of(events_a), steps_of(events_b)
    renaming = Renaming(steps_a, steps_b)
    pairs: list[tuple[Step | None, Step | None]] = []
    rows = []
    for i, j in align(steps_a, steps_b):
        x = None if i is None else steps_a[i]
        y = None if j is None else steps_b[j]
        kind, what, similarity = _classified(x, y, renaming)
        rows.append(
            (
                len(pairs),
                x and x.number,
                y and y.number,
                kind,
                what,
                x and x.label,
                y and y.label,
                similarity,
            )
        )
        pairs.append((x, y))
    return Diff(pl.DataFrame(rows, schema=SCHEMA, orient="row"), a, b, titles, pairs, (states_a, states_b))


def compare_runs(frames: Frames, a: Any, b: Any) -> Diff:
    """Compare two stored runs, each named as in ``bench.events(run)``; of a fork its whole course.

    Raises
    ------
    NotFoundError
        There is no such run.
    """
    from workbench.data.secrets.known import cleared
    from workbench.data.store.snapshots import state_at

    ids = [frames.run_id(a), frames.run_id(b)]
    events = [frames.course(run, columns=["step_number", "event_type", "name", "data"]) for run in ids]
    states = [lambda step, run=run: cleared(frames.store, state_at(frames.store, run, step)) for run in ids]
    found = frames.executions(ids=list(set(ids)), columns=["id", "name", "status"])
    titles = {run: f"{name or 'run'} · {status} · {run[:8]}" for run, name, status in found.iter_rows()}
    return compare(*events, states_a=states[0], states_b=states[1], titles=(titles[ids[0]], titles[ids[1]]))


def _decides() -> pl.Expr:
    return (pl.col("kind") != "equal") & (pl.col("what").fill_null("structure") != "text")


def _classified(x: Step | None, y: Step | None, renaming: Renaming) -> tuple[str, str | None, float | None]:
    if x is None or y is None:
        step, kind = (y, "added") if x is None else (x, "removed")
        return kind, "text" if step and _is_commentary(step) else None, None
    what = _what(x, y, renaming)
    if what is None:
        return "equal", None, 1.0
    from rapidfuzz.distance import LCSseq

    return "changed", what, round(LCSseq.normalized_similarity(x.content, y.content), 4)


def _what(x: Step, y: Step, renaming: Renaming) -> str | None:
    """Name the most telling difference of two aligned steps. All parts are looked at, so that all ids are bound."""
    arguments = renaming.same(x.arguments_form, y.arguments_form)
    result = renaming.same(x.result_form, y.result_form)
    text = renaming.same(x.text_form, y.text_form)
    if x.kind != y.kind:
        return "tool"
    if _is_commentary(x):
        return None if arguments and result and text else "text"
    return "arguments" if not arguments else "result" if not result else None if text else "text"


def _is_commentary(step: Step) -> bool:
    tools = {tool for tool, _ in step.calls} or {step.name}
    return step.event_type in COMMENTARY or (step.is_call and tools <= THINKING_TOOLS)


def _side(step: Step) -> dict[str, Any]:
    return {
        "step": step.number,
        "event_type": step.event_type,
        "role": step.role,
        "name": step.name,
        "label": step.label,
        "calls": [{"tool": tool, "arguments": arguments} for tool, arguments in step.calls],
        "result": step.result,
        "is_error": step.is_error,
        "text": step.text,
    }


def _called(step: Step) -> Any:
    if len(step.calls) == 1:
        return step.calls[0][1]
    return [{"tool": tool, "arguments": arguments} for tool, arguments in step.calls]


def _differ(x: Step, y: Step) -> bool:
    return bool(x.calls or y.calls) and [c[0] for c in x.calls] == [c[0] for c in y.calls]


def _does(step: Step) -> str:
    if step.calls:
        return f"calls {_short(step.label)}"
    if step.event_type == "tool_result":
        return f"gets an {'error' if step.is_error else 'answer'} from {step.name}"
    if step.text:
        author = step.role or step.name
        return f"has {'an' if author == 'assistant' else 'a'} {author} {step.event_type}"
    return f"has {_short(step.label)}"


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith("…") else f"{sentence}."


def _short(text: str, length: int = 80) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _step_number(row: dict[str, Any]) -> int:
    return row["b_step"] if row["a_step"] is None else row["a_step"]


def _where(row: dict[str, Any], b: str) -> str:
    if row["a_step"] is None:
        return f"step {row['b_step']} of {b}"
    where = f"step {row['a_step']}"
    return where if row["b_step"] in (None, row["a_step"]) else f"{where} (step {row['b_step']} of {b})"
