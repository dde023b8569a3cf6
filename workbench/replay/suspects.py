"""Which steps of one failed run to look at first, from the run alone: no other runs, no language model.

Each signal looks at the run in one way and gives every step of an agent a number from 0 to 1; what tools answer and
users say is evidence and never a suspect. A step's score is 1 − Π(1 − weight · signal), as independent causes add up.
The signals and their weights were fixed on the runs of Who&When that algorithms made, whose annotations were looked at
for that, and were scored on those made by hand, whose annotations were not: ``benchmarks/suspects.py``. They are
weak: use them to choose where to begin to read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import polars as pl

from workbench.errors import ConfigurationError

from .steps import Step, steps_of

if TYPE_CHECKING:
    from workbench.data.frames.load import Frames

    from .cohort import Cohort

SCHEMA = {"step_number": pl.Int64, "score": pl.Float64, "reason": pl.String, "agent": pl.String, "label": pl.String}

# Called with the events and the ranking so far; returns scores from 0 to 1 by step number, with a reason or without.
Judge = Callable[[pl.DataFrame, pl.DataFrame], Mapping[int, float | tuple[float, str]]]

_COLUMNS = ["step_number", "event_type", "name", "agent", "severity", "data"]
_ACTS = ("tool_call", "reasoning", "llm_call", "span")
_NO_STEPS = ("score", "metric", "state", "log")
_SHOWN = 4_000  # characters of a step that are looked at: beginning and end

_words = re.compile(r"[^\W\d_]{3,}")
_numbers = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?![\w])")
_code = re.compile(r"```|^\s*(?:import|def|from|print)\b", re.MULTILINE)
_wrong = re.compile(
    r"\b(?:error|exception|traceback|fail(?:ed|s|ure)?|unable|cannot|can't|couldn't|could not|did not|didn't|does not"
    r"|doesn't|not (?:found|available|defined|possible|accessible|sufficient)|no (?:results?|data|such)|incorrect|wrong"
    r"|invalid|unsuccessful|missing|empty|issue|mistake|unfortunately|apolog\w+|sorry)\b"
    r"|\"is_in_loop\":\s*\{[^}]*\"answer\":\s*true|\"is_progress_being_made\":\s*\{[^}]*\"answer\":\s*false",
    re.IGNORECASE,
)
_unfounded = re.compile(
    r"\b(?:assum(?:e|es|ed|ing|ption)|hypothetical(?:ly)?|placeholder|simulat(?:e|ed|ing|ion)|mock(?:ed)?|dummy"
    r"|fictional|for (?:demonstration|illustration|example purposes|the sake)|sample data"
    r"|example (?:data|video|url|id|path)|i (?:believe|think|recall|guess)|from memory|my knowledge"
    r"|known (?:data|facts|information)|(?:already|previously) (?:identified|verified|established|known)|let's say"
    r"|pretend|path/to|presumabl\w+|most likely)\b",
    re.IGNORECASE,
)
_nothing = re.compile(
    r"^\s*(?:none|null|nan|\[\s*\]|\{\s*\}|\"\"|''|no \w+( \w+)? found.*)?\s*$|not found|no such file|no results",
    re.IGNORECASE,
)
_ending = re.compile(r"\bTERMINATE\b|\bfinal answer\b|###STOP###|\bno further\b|\bconclude\b", re.IGNORECASE)
_output = re.compile(r"^\s*exitcode:.*?\n(?:code output:)?", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Course:
    """A run as the signals see it: in each list one entry a step."""

    steps: list[Step]
    agents: list[str]
    severities: list[str]

    @cached_property
    def texts(self) -> list[str]:
        """What each step says, its arguments and results included."""
        return [_cut(_said(step)) for step in self.steps]

    @cached_property
    def is_act(self) -> list[bool]:
        """Whether an agent did the step."""
        return [
            step.event_type in _ACTS or (step.role == "assistant" and step.event_type != "tool_result")
            for step in self.steps
        ]

    @cached_property
    def next_act(self) -> list[int]:
        """Of each step, the next one that an agent did; the number of steps where there is none."""
        found = [len(self.steps)] * len(self.steps)
        for i in range(len(self.steps) - 2, -1, -1):
            found[i] = i + 1 if self.is_act[i + 1] else found[i + 1]
        return found

    def answers(self, i: int) -> Iterable[int]:
        """The results that came back before an agent did something else."""
        return (j for j in range(i + 1, self.next_act[i]) if self.steps[j].event_type == "tool_result")

    @cached_property
    def is_error(self) -> list[bool]:
        """Whether the step is an error."""
        return [
            step.is_error or severity in ("error", "critical")
            for step, severity in zip(self.steps, self.severities, strict=True)
        ]

    @cached_property
    def first_failure(self) -> int | None:
        """The first act that failed or whose answer did."""
        return next((k for k, is_act in enumerate(self.is_act) if is_act and _failed_answer(self, k)), None)

    @cached_property
    def last_decision(self) -> int | None:
        """The last act that is no mere closing word."""
        acts = [k for k, is_act in enumerate(self.is_act) if is_act and not _is_closing(self, k)]
        return acts[-1] if acts else None

    @cached_property
    def new_numbers(self) -> list[set[str]]:
        """Of each step, the numbers in it that stand in no earlier step."""
        seen: set[str] = set()
        found = []
        for text in self.texts:
            own = {one.replace(",", "").rstrip(".") for one in _numbers.findall(text)}
            found.append({one for one in own if len(one) > 1} - seen)
            seen |= own
        return found

    @cached_property
    def new_words(self) -> list[float]:
        """Of each step, how much it says that was not said before: bits of its words under those before, 0 to 1."""
        counts: dict[str, int] = {}
        total, found = 0, []
        for text in self.texts:
            words = [word.lower() for word in _words.findall(text)]
            bits = [np.log2((total + 1000) / (counts.get(word, 0) + 0.5)) for word in set(words)]
            found.append(float(np.sum(bits)))
            for word in words:
                counts[word] = counts.get(word, 0) + 1
            total += len(words)
        greatest = max(found, default=0) or 1.0
        return [one / greatest for one in found]


def _failed_answer(course: Course, i: int) -> float:
    return float(any(course.is_error[j] for j in course.answers(i)) or course.is_error[i])


def _first_failure(course: Course, i: int) -> float:
    return float(i == course.first_failure)


def _no_answer(course: Course, i: int) -> float:
    found = [_output.sub("", course.texts[j]) for j in course.answers(i) if not course.is_error[j]]
    return float(any(len(text) < 200 and _nothing.search(text) for text in found))


def _complaint(course: Course, i: int) -> float:
    """The next agent says, first of all, that something went wrong."""
    j = course.next_act[i]
    return float(j < len(course.steps) and bool(_wrong.search(course.texts[j][:300])))


def _unfounded_words(course: Course, i: int) -> float:
    return min(len(_unfounded.findall(course.texts[i])) / 2, 1.0) if i else 0.0


def _own_numbers(course: Course, i: int) -> float:
    """Numbers that nobody gave: not the request, no result. A program may hold numbers."""
    if not i or _code.search(course.texts[i]):
        return 0.0
    return min(len(course.new_numbers[i]) / 3, 1.0)


def _repeat(course: Course, i: int) -> float:
    from rapidfuzz.fuzz import ratio

    before = [k for k in range(max(i - 12, 0), i) if course.is_act[k] and len(course.texts[k]) > 20]
    return float(any(ratio(course.texts[i][:1000], course.texts[k][:1000]) > 90 for k in before))


def _substance(course: Course, i: int) -> float:
    return course.new_words[i]


def _early(course: Course, i: int) -> float:
    return 1.0 - i / max(len(course.steps), 1)


def _last_decision(course: Course, i: int) -> float:
    return float(i == course.last_decision)


def _is_closing(course: Course, i: int) -> bool:
    return bool(_ending.search(course.texts[i])) and len(course.texts[i]) < 400


def _hands_over(course: Course, i: int) -> float:
    """Another agent goes on: the one who spoke last before had its say."""
    j = course.next_act[i]
    return float(j < len(course.steps) and course.agents[j] != course.agents[i])


@dataclass(frozen=True)
class Signal:
    """One way to look at a run, what it is worth and what it says of a step."""

    weight: float
    measure: Callable[[Course, int], float]
    reason: str


SIGNALS = (
    Signal(0.25, _failed_answer, "its call failed"),
    Signal(0.15, _first_failure, "the first failure follows it"),
    Signal(0.20, _no_answer, "it got nothing back"),
    Signal(0.20, _complaint, "the next step says that something went wrong"),
    Signal(0.30, _unfounded_words, "it assumes or makes up"),
    Signal(0.20, _own_numbers, "its numbers come from nowhere"),
    Signal(0.10, _repeat, "it repeats an earlier step"),
    Signal(0.40, _substance, "it brings in much that is new"),
    Signal(0.20, _early, "all that follows builds on it"),
    Signal(0.05, _last_decision, "the last decision"),
    Signal(0.05, _hands_over, "another agent takes over"),
)


def rank(
    events: pl.DataFrame, *, divergences: Mapping[int, tuple[float, str]] | None = None, judge: Judge | None = None
) -> pl.DataFrame:
    """Rank the steps of a run, given as its events; see :func:`suspects`."""
    course = course_of(events)
    parting = _blamed(course, divergences or {})
    rows = []
    for i, step in enumerate(course.steps):
        if course.is_act[i]:
            given = [(signal.weight * signal.measure(course, i), signal.reason) for signal in SIGNALS]
            if _is_closing(course, i):
                given = [(weight / 4, reason) for weight, reason in given]
            if i in parting:
                given.append(parting[i])
            rows.append((step.number, _score(given), _reason(given), course.agents[i], step.label))
    found = _sorted(pl.DataFrame(rows, schema=SCHEMA, orient="row"))
    return found if judge is None else _judged(found, judge(events, found))


def suspects(frames: Frames, run: Any, *, cohort: Cohort | None = None, judge: Judge | None = None) -> pl.DataFrame:
    """Rank the steps of a run by how much they look like its mistake, from the run alone.

    Parameters
    ----------
    run
        As in ``bench.events(run)``; of a fork, the steps up to the fork are looked at too.
    cohort
        A cohort that holds the run: where it differs there, as runs that fail do, counts too.
    judge
        A function of the run's events and this ranking, such as one that asks a language model. It returns a score from
        0 to 1 by step number, or a score and a reason; these take the place of ours, before all that it is silent on.

    Returns
    -------
    polars.DataFrame
        Every step that an agent did, best first: ``step_number``, ``score`` (0 to 1, not a probability), ``reason``
        (the signals that weigh most, the heaviest first; empty where none does), ``agent``, ``label`` (one line). Empty
        for a run without such steps.

    Raises
    ------
    NotFoundError
        There is no such run.
    ConfigurationError
        What the judge returns is no score by step number.

    Notes
    -----
    The run's metadata and its score are not read. How well it does is in ``benchmarks/README.md``: better than chance
    on short runs of several agents, hardly on long ones.
    """
    run = frames.run_id(run)
    events = frames.course(run, columns=_COLUMNS)
    return rank(events, divergences=None if cohort is None else _parting(cohort, run), judge=judge)


def _blamed(course: Course, divergences: Mapping[int, tuple[float, str]]) -> dict[int, tuple[float, str]]:
    """What parts the runs by the act that brought it about: that at the step, or the last one before."""
    found: dict[int, tuple[float, str]] = {}
    for number, (weight, reason) in divergences.items():
        acts = [i for i, step in enumerate(course.steps) if course.is_act[i] and step.number <= number]
        if acts and weight > found.get(acts[-1], (0.0, ""))[0]:
            found[acts[-1]] = weight, reason
    return found


def _parting(cohort: Cohort, run: str) -> dict[int, tuple[float, str]]:
    """Where a run is on the side that fails: step → weight and reason, the heaviest of each step."""
    found: dict[int, tuple[float, str]] = {}
    for row in cohort.divergences.iter_rows(named=True):
        step = dict(zip(row["runs"], row["step_numbers"], strict=True)).get(run)
        weight = abs(row["difference"]) * (1 - row["p_adjusted"]) * (0.5 if row["class"] == "wording" else 1.0)
        if step is not None and weight > found.get(step, (0.0, ""))[0]:
            found[step] = weight, f"failed runs part here ({row['class']})"
    return found


def course_of(events: pl.DataFrame) -> Course:
    """Open up the events of one run."""
    events = events.filter(~pl.col("event_type").is_in(_NO_STEPS)).sort("step_number")
    agents = events["agent"] if "agent" in events.columns else events["event_type"]
    severities = events["severity"] if "severity" in events.columns else pl.repeat("info", len(events), eager=True)
    return Course(steps_of(events), [agent or "" for agent in agents], [one or "info" for one in severities])


def _score(given: Iterable[tuple[float, str]]) -> float:
    return round(1 - float(np.prod([1 - weight for weight, _ in given])), 6)


def _reason(given: Iterable[tuple[float, str]]) -> str:
    told = sorted((one for one in given if one[0] >= 0.05), key=lambda one: -one[0])[:3]
    return "; ".join(reason for _, reason in told)


def _sorted(found: pl.DataFrame) -> pl.DataFrame:
    return found.sort(-pl.col("score"), "step_number")


def _judged(found: pl.DataFrame, verdicts: Any) -> pl.DataFrame:
    """Put the judge's scores in the place of ours; steps that it does not speak of stay behind those it does."""
    if not isinstance(verdicts, Mapping):
        raise ConfigurationError(f"judge returned {type(verdicts).__name__}, not {_VERDICT}.", value=verdicts)
    told = {step: one if isinstance(one, tuple) else (one, "the judge says so") for step, one in verdicts.items()}
    numbers = set(found["step_number"])
    for step, verdict in told.items():
        if step not in numbers:
            raise ConfigurationError(f"judge speaks of step {step!r}, which no agent did; {_VERDICT}.", value=step)
        if len(verdict) != 2 or not _is_score(verdict[0]):
            raise ConfigurationError(
                f"judge says {verdict!r} of step {step}; it must return {_VERDICT}.", value=verdict
            )
    rows = [
        row
        if row["step_number"] not in told
        else row | dict(zip(("score", "reason"), told[row["step_number"]], strict=True))
        for row in found.iter_rows(named=True)
    ]
    judged = pl.DataFrame(rows, schema=SCHEMA, strict=False)
    return judged.sort(~pl.col("step_number").is_in(list(told)), -pl.col("score"), "step_number")


_VERDICT = "a score from 0 to 1 by step number, or (score, reason): {12: 0.9, 7: (0.4, 'wrong order')}"


def _is_score(given: Any) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool) and 0 <= given <= 1


def _said(step: Step) -> str:
    parts = [step.text, step.arguments_form.skeleton]
    if step.result is not None:
        parts.append(step.result if isinstance(step.result, str) else orjson.dumps(step.result).decode())
    return "\n".join(part for part in parts if part)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN * 3 // 4]}\n{text[-_SHOWN // 4 :]}"
